package tsc_test

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/kernel/machine/tsc"
)

const (
	century = 100 * 365 * 24 * 3600 * 1_000_000_000 // ns
	most    = 1<<64 - 1
)

func exact(ticks, frequency uint64) *big.Int {
	n := new(big.Int).SetUint64(ticks)
	n.Mul(n, big.NewInt(1_000_000_000))
	return n.Div(n, new(big.Int).SetUint64(frequency))
}

// TestNanoseconds compares with exact arithmetic. The multiplier is rounded to 2^-33 ns per tick.
func TestNanoseconds(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, hz := range []uint64{1_000, 3_579_545, 24_000_000, 1_000_000_000, 1_000_000_007,
		2_999_999_993, 3_000_000_000, 5_800_000_000} {
		scale, ok := tsc.NewScale(hz)
		require.True(t, ok)
		limit := exactTicks(century, hz)
		for i := range 2000 {
			ticks := random.Uint64N(limit)
			switch i {
			case 0:
				ticks = 0
			case 1:
				ticks = limit
			}
			want := exact(ticks, hz)
			got := new(big.Int).SetUint64(scale.Nanoseconds(ticks))
			margin := ticks>>33 + 1
			difference := got.Sub(got, want)
			require.LessOrEqual(t, difference.CmpAbs(new(big.Int).SetUint64(margin)), 0,
				"%d Hz, %d ticks: off by %v ns", hz, ticks, difference)
		}
	}
}

func exactTicks(ns, frequency uint64) uint64 {
	n := new(big.Int).SetUint64(ns)
	n.Mul(n, new(big.Int).SetUint64(frequency))
	n.Div(n, big.NewInt(1_000_000_000))
	if !n.IsUint64() {
		return most
	}
	return n.Uint64()
}

func TestNanosecondsAtTheLimit(t *testing.T) {
	slow, _ := tsc.NewScale(1_000) // a tick is 10^6 ns
	assert.EqualValues(t, uint64(most/1_000_000*1_000_000), slow.Nanoseconds(most/1_000_000))
	assert.EqualValues(t, uint64(most), slow.Nanoseconds(most/1_000_000+1))
	assert.EqualValues(t, uint64(most), slow.Nanoseconds(most))
	same, _ := tsc.NewScale(1_000_000_000)
	assert.EqualValues(t, uint64(most), same.Nanoseconds(most))
}

// TestTicks: Ticks is the smallest number that Nanoseconds brings to the time, at the limits too.
func TestTicks(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, hz := range []uint64{tsc.MinFrequency, 24_000_000, 2_999_999_993, tsc.MaxFrequency} {
		scale, ok := tsc.NewScale(hz)
		require.True(t, ok)
		for i := range 2000 {
			ns := random.Uint64() >> (i % 64)
			ticks := scale.Ticks(ns)
			if ticks == most {
				require.LessOrEqual(t, scale.Nanoseconds(most-1), ns)
				continue
			}
			require.GreaterOrEqual(t, scale.Nanoseconds(ticks), ns, "%d Hz, %d ns: too early", hz, ns)
			if ticks > 0 {
				require.Less(t, scale.Nanoseconds(ticks-1), ns, "%d Hz, %d ns: too late", hz, ns)
			}
		}
		assert.Zero(t, scale.Ticks(0))
	}
	fast, _ := tsc.NewScale(3_000_000_000)
	assert.EqualValues(t, uint64(most), fast.Ticks(most))
}

func TestNewScaleRefuses(t *testing.T) {
	for _, hz := range []uint64{0, tsc.MinFrequency - 1, tsc.MaxFrequency + 1, most} {
		_, ok := tsc.NewScale(hz)
		assert.False(t, ok, hz)
	}
}

func TestFrequency(t *testing.T) {
	assert.EqualValues(t, 3_000_000_000, tsc.Frequency(30_000_000, 10_000_000))
	assert.EqualValues(t, 1_000_000_000, tsc.Frequency(most, most))
	assert.Zero(t, tsc.Frequency(1, 0))
	assert.Zero(t, tsc.Frequency(most, 1), "does not fit")
	assert.Zero(t, tsc.Frequency(0, 1))
}
