// Package tsc converts between ticks of a time stamp counter and nanoseconds.
//
// It can be called before the Go runtime exists.
package tsc

import "math/bits"

// Frequencies that a Scale can be made for, in hertz.
const (
	MinFrequency = 1_000
	MaxFrequency = 1 << 40
)

// Scale converts ticks to nanoseconds and back. It holds nanoseconds per tick as a fixed-point
// number with 32 bits before and 32 after the point.
type Scale struct {
	multiplier uint64
}

// NewScale returns the scale of a counter with the given frequency in hertz. It reports false for a
// frequency that no counter has.
func NewScale(frequency uint64) (Scale, bool) {
	if frequency < MinFrequency || frequency > MaxFrequency {
		return Scale{}, false
	}
	return Scale{(1_000_000_000<<32 + frequency/2) / frequency}, true
}

// Nanoseconds converts ticks to nanoseconds, rounded down. The product is computed with 128 bits,
// so that it is right for every number of ticks whose result fits 64 bits; past that it is the
// largest uint64.
func (s Scale) Nanoseconds(ticks uint64) uint64 {
	hi, lo := bits.Mul64(ticks, s.multiplier)
	if hi>>32 != 0 {
		return 1<<64 - 1
	}
	return hi<<32 | lo>>32
}

// Ticks returns the smallest number of ticks t for which Nanoseconds(t) is at least ns, so that a
// timer set by it never fires early. Where no 64-bit number is enough it is the largest uint64.
func (s Scale) Ticks(ns uint64) uint64 {
	hi, lo := ns>>32, ns<<32
	if hi >= s.multiplier {
		return 1<<64 - 1
	}
	t, rest := bits.Div64(hi, lo, s.multiplier)
	if rest != 0 && t != 1<<64-1 {
		t++
	}
	return t
}

// Frequency returns the frequency that ticks within ns nanoseconds amount to, in hertz, or 0 if ns
// is 0 or the result does not fit 64 bits. It is for calibrating a counter against another clock.
func Frequency(ticks, ns uint64) uint64 {
	hi, lo := bits.Mul64(ticks, 1_000_000_000)
	if hi >= ns {
		return 0
	}
	hz, _ := bits.Div64(hi, lo, ns)
	return hz
}
