// Package pvclock reads the clock that KVM keeps in the guest's memory (Linux,
// Documentation/virt/kvm/x86/msr.rst and cpuid.rst).
//
// It can be called before the Go runtime exists.
package pvclock

import (
	"math/bits"
	"sync/atomic"
)

// Model-specific registers, and the bits of CPUID leaf 0x40000001 EAX that offer them.
const (
	MSRWallClock  = 0x4b564d00 // physical address of a WallClock, 4-byte aligned
	MSRSystemTime = 0x4b564d01 // physical address of a TimeInfo, 4-byte aligned, with Enable

	FeatureClock  = 1 << 3  // the two registers above exist
	FeatureStable = 1 << 24 // Stable in TimeInfo.Flags means something

	// Enable is the bit of MSRSystemTime that makes the host keep the structure up to date.
	Enable = 1
)

// Stable is the bit of TimeInfo.Flags that says that the clocks of all CPUs agree.
const Stable = 1 << 0

// TimeInfo is the structure pvclock_vcpu_time_info, which the host changes while the guest reads.
type TimeInfo struct {
	version      uint32 // odd while the host changes the structure
	_            uint32
	tscTimestamp uint64
	systemTime   uint64 // ns since boot at tscTimestamp
	multiplier   uint32
	shift        int8
	Flags        uint8
	_            [2]uint8
}

// WallClock is the structure pvclock_wall_clock: the wall time at which the system time was 0. The
// host writes it once, when the guest writes the register.
type WallClock struct {
	version     uint32
	seconds     uint32
	nanoseconds uint32
}

// Begin starts a reading and returns the version to hand to Done. It reports false if the host is
// changing the structure or has not filled it in yet; try again.
func (t *TimeInfo) Begin() (version uint32, ok bool) {
	v := atomic.LoadUint32(&t.version)
	return v, v != 0 && v&1 == 0
}

// Done reports whether what was read since Begin belongs together. If not, read again.
func (t *TimeInfo) Done(version uint32) bool {
	return atomic.LoadUint32(&t.version) == version
}

// Nanoseconds converts a value of the CPU's time stamp counter, read between Begin and Done, to the
// nanoseconds since boot. A counter slightly behind the host's stamp gives the stamp's time.
func (t *TimeInfo) Nanoseconds(tsc uint64) uint64 {
	delta := tsc - t.tscTimestamp
	if int64(delta) < 0 {
		delta = 0
	}
	if t.shift >= 0 {
		delta <<= uint8(t.shift)
	} else {
		delta >>= uint8(-t.shift)
	}
	hi, lo := bits.Mul64(delta, uint64(t.multiplier))
	return t.systemTime + (hi<<32 | lo>>32)
}

// Frequency returns the counter's frequency in hertz that the structure implies, 0 if it holds none.
func (t *TimeInfo) Frequency() uint64 {
	if t.multiplier == 0 {
		return 0
	}
	// ns = ticks << shift * multiplier >> 32, so hz = 10^9 << 32 / multiplier >> shift.
	hz := uint64(1_000_000_000<<32) / uint64(t.multiplier)
	if t.shift >= 0 {
		return hz >> uint8(t.shift)
	}
	return hz << uint8(-t.shift)
}

// Unix returns the wall time at which the system time was 0, in seconds and nanoseconds since 1970.
// It reports false if the host has not filled the structure in.
func (w *WallClock) Unix() (seconds int64, nanoseconds int32, ok bool) {
	v := atomic.LoadUint32(&w.version)
	seconds, nanoseconds = int64(w.seconds), int32(w.nanoseconds)
	return seconds, nanoseconds, v != 0 && v&1 == 0 && atomic.LoadUint32(&w.version) == v
}
