package pvclock

import (
	"math/big"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestLayout compares with Linux, Documentation/virt/kvm/x86/msr.rst.
func TestLayout(t *testing.T) {
	var info TimeInfo
	assert.EqualValues(t, 32, unsafe.Sizeof(info))
	assert.EqualValues(t, 8, unsafe.Offsetof(info.tscTimestamp))
	assert.EqualValues(t, 16, unsafe.Offsetof(info.systemTime))
	assert.EqualValues(t, 24, unsafe.Offsetof(info.multiplier))
	assert.EqualValues(t, 28, unsafe.Offsetof(info.shift))
	assert.EqualValues(t, 29, unsafe.Offsetof(info.Flags))
	assert.EqualValues(t, 12, unsafe.Sizeof(WallClock{}))
}

func TestNanoseconds(t *testing.T) {
	// What KVM sets for 3 GHz: (ticks >> 1) * 2/3.
	info := TimeInfo{tscTimestamp: 1000, systemTime: 5_000, multiplier: 0xaaaaaaab, shift: -1}
	assert.EqualValues(t, 5_000, info.Nanoseconds(1000))
	assert.EqualValues(t, 5_000+1_000_000_000, info.Nanoseconds(1000+3_000_000_000))
	assert.EqualValues(t, 5_000, info.Nanoseconds(999), "a counter behind the stamp")

	// 500 MHz: (ticks << 1) * 1.0 does not fit 32 bits, so (ticks << 2) * 0.5.
	info = TimeInfo{multiplier: 0x8000_0000, shift: 2}
	assert.EqualValues(t, 2_000_000_000, info.Nanoseconds(1_000_000_000))
}

func TestNanosecondsIsExact(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 5000 {
		info := TimeInfo{multiplier: random.Uint32(), shift: int8(random.IntN(9) - 4)}
		tsc := random.Uint64() >> 5 // the left shift loses nothing
		want := new(big.Int).SetUint64(tsc)
		if info.shift >= 0 {
			want.Lsh(want, uint(info.shift))
		} else {
			want.Rsh(want, uint(-info.shift))
		}
		want.Mul(want, big.NewInt(int64(info.multiplier))).Rsh(want, 32)
		require.Equal(t, want.Uint64(), info.Nanoseconds(tsc))
	}
}

func TestFrequency(t *testing.T) {
	assert.Zero(t, (&TimeInfo{}).Frequency())
	assert.InDelta(t, 3e9, float64((&TimeInfo{multiplier: 0xaaaaaaab, shift: -1}).Frequency()), 2)
	assert.EqualValues(t, 500_000_000, (&TimeInfo{multiplier: 0x8000_0000, shift: 2}).Frequency())
}

func TestVersions(t *testing.T) {
	info := TimeInfo{}
	_, ok := info.Begin()
	assert.False(t, ok, "not filled in")
	info.version = 3
	_, ok = info.Begin()
	assert.False(t, ok, "being changed")
	info.version = 4
	version, ok := info.Begin()
	assert.True(t, ok)
	assert.True(t, info.Done(version))
	info.version = 6
	assert.False(t, info.Done(version))
}

func TestWallClock(t *testing.T) {
	_, _, ok := (&WallClock{}).Unix()
	assert.False(t, ok)
	_, _, ok = (&WallClock{version: 1, seconds: 7}).Unix()
	assert.False(t, ok)
	seconds, nanoseconds, ok := (&WallClock{2, 1_800_000_000, 999}).Unix()
	assert.True(t, ok)
	assert.EqualValues(t, 1_800_000_000, seconds)
	assert.EqualValues(t, 999, nanoseconds)
}
