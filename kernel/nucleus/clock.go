package nucleus

import (
	"math/bits"
	"sync/atomic"
	"unsafe"

	"github.com/goshawk-os/goshawk/arch/amd64"
	"github.com/goshawk-os/goshawk/kernel/cmdline"
	"github.com/goshawk-os/goshawk/kernel/machine/acpi"
	"github.com/goshawk-os/goshawk/kernel/machine/pvclock"
	"github.com/goshawk-os/goshawk/kernel/machine/rtc"
)

// clockState converts the time-stamp counter to time:
//
//	nanoseconds since boot = ns + (counter - tsc) * mult >> 32
//	nanoseconds since 1970 = nanoseconds since boot + wall
//
// It is written under seq, which is odd while it changes; the readers are in
// entry_amd64.s.
type clockState struct {
	seq  uint32
	tsc  uint64
	mult uint64
	ns   int64
	wall int64
}

// The clock runs at one tick per nanosecond until it is calibrated.
var clock = clockState{mult: 1 << 32}

var tscFrequency uint64 // Hz

// mulShift32 returns a*b >> 32.
func mulShift32(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi<<32 | lo>>32
}

// clockTicks returns the counter's value at a time in nanoseconds since boot.
func clockTicks(when int64) uint64 {
	if when <= clock.ns {
		return clock.tsc
	}
	hi, lo := bits.Div64(uint64(when-clock.ns)>>32, uint64(when-clock.ns)<<32, clock.mult)
	_ = lo
	return clock.tsc + hi + 1
}

// setClock makes the counter run at a frequency from now on.
func setClock(frequency uint64) {
	tsc := amd64.Rdtsc()
	now := clock.ns + int64(mulShift32(tsc-clock.tsc, clock.mult))
	mult, _ := bits.Div64(1_000_000_000>>32, 1_000_000_000<<32&(1<<64-1), frequency)
	atomic.AddUint32(&clock.seq, 1)
	clock.tsc, clock.ns, clock.mult = tsc, now, mult
	atomic.AddUint32(&clock.seq, 1)
	tscFrequency = frequency
}

const (
	pitFrequency = 1_193_182 // Hz: 14.31818 MHz / 12
	pitChannel0  = 0x40
	pitControl   = 0x43
)

// pitCount latches and reads the counter of the PIT's channel 0 (Intel 8254 data
// sheet, counter latch command).
func pitCount() uint16 {
	amd64.Out8(pitControl, 0)
	lo := amd64.In8(pitChannel0)
	return uint16(lo) | uint16(amd64.In8(pitChannel0))<<8
}

// pitSample returns the PIT's counter and the time stamp in the middle of the
// quickest of some readings.
func pitSample() (count uint16, tsc uint64) {
	best := ^uint64(0)
	for i := 0; i < 8; i++ {
		before := amd64.Rdtsc()
		c := pitCount()
		after := amd64.Rdtsc()
		if after-before < best {
			best = after - before
			count, tsc = c, before+best/2
		}
	}
	return count, tsc
}

// calibrate sets the clock and the APIC timer's scale. The frequency of the
// counter comes from KVM where it is known there, else it is measured against
// the PIT, else against the ACPI timer. It reports false if there is none.
//
// A measurement during which the host had better things to do can be far off: the
// PIT wraps after 55 ms. So two in a row have to agree.
func calibrate() bool {
	frequency := kvmFrequency()
	usePIT := frequency == 0 && pitWorks()
	if frequency == 0 && !usePIT && tables.PMTimer == 0 {
		return false
	}
	if frequency != 0 {
		setClock(frequency)
		if hasTSCDeadline {
			return true
		}
	}
	if !hasTSCDeadline {
		apicWrite(apicTimerInitial, 1<<32-1)
	}
	var last uint64
	for try := 0; try < 20; try++ {
		var m measurement
		switch {
		case frequency != 0:
			m = measureClock()
		case usePIT:
			m = measurePIT()
		default:
			m = measurePMTimer()
		}
		if m.ns == 0 {
			continue
		}
		hi, lo := bits.Mul64(m.cycles, 1_000_000_000)
		f, _ := bits.Div64(hi, lo, m.ns)
		agree := f-last+f>>8 < f>>7 // within 0.4 %
		last = f
		if !agree {
			continue
		}
		if frequency == 0 {
			setClock(f)
		}
		if !hasTSCDeadline {
			apicWrite(apicTimerInitial, 0)
			timerScale = uint64(m.apicTicks) << 32 / m.ns
		}
		return true
	}
	return false
}

// measurement is what counters did in ns nanoseconds, 0 if it failed.
type measurement struct {
	ns, cycles uint64
	apicTicks  uint32
}

func measurePIT() measurement {
	c0, t0 := pitSample()
	refineCount, refineTSC = c0, t0
	a0 := apicRead(apicTimerCurrent)
	for c0-pitCount() < calibrationTime*pitFrequency/1_000_000_000 {
		amd64.Pause()
	}
	c1, t1 := pitSample()
	a1 := apicRead(apicTimerCurrent)
	return measurement{uint64(c0-c1) * 1_000_000_000 / pitFrequency, t1 - t0, a0 - a1}
}

// refineCount is the PIT's counter at the time refineTSC, 0 if the PIT was not
// used.
var (
	refineCount uint16
	refineTSC   uint64
)

// refineClock measures the counter's frequency again, over the time since boot,
// which the first measurement tells well enough to know how often the PIT has
// wrapped: a second later the result is good to a few parts per million.
func refineClock() {
	if refineTSC == 0 {
		return
	}
	count, tsc := pitSample()
	cycles := tsc - refineTSC
	hi, lo := bits.Mul64(cycles, pitFrequency)
	about, _ := bits.Div64(hi, lo, tscFrequency)
	ticks := about + uint64(int64(int16(refineCount-count-uint16(about))))
	hi, lo = bits.Mul64(cycles, pitFrequency)
	f, _ := bits.Div64(hi, lo, ticks)
	if f-tscFrequency+tscFrequency>>7 < tscFrequency>>6 {
		setClock(f)
	}
}

func measurePMTimer() measurement {
	const mask = 1<<24 - 1
	p0, t0, a0 := pmTimer(), amd64.Rdtsc(), apicRead(apicTimerCurrent)
	for (pmTimer()-p0)&mask < calibrationTime*acpi.PMTimerFrequency/1_000_000_000 {
		amd64.Pause()
	}
	p1, t1, a1 := pmTimer(), amd64.Rdtsc(), apicRead(apicTimerCurrent)
	return measurement{uint64((p1-p0)&mask) * 1_000_000_000 / acpi.PMTimerFrequency, t1 - t0, a0 - a1}
}

// measureClock measures the APIC timer with a clock that is already right.
func measureClock() measurement {
	n0, t0, a0 := clockNow(), amd64.Rdtsc(), apicRead(apicTimerCurrent)
	wait(calibrationTime)
	n1, t1, a1 := clockNow(), amd64.Rdtsc(), apicRead(apicTimerCurrent)
	return measurement{uint64(n1 - n0), t1 - t0, a0 - a1}
}

func pmTimer() uint32 {
	return uint32(amd64.In16(tables.PMTimer)) | uint32(amd64.In16(tables.PMTimer+2))<<16
}

// calibrationTime is how long counters are compared, in nanoseconds.
const calibrationTime = 500_000

// pitWorks programs channel 0 to count down from 65536 again and again and tells
// whether it does.
func pitWorks() bool {
	amd64.Out8(pitControl, 0x34) // channel 0, two bytes, mode 2
	amd64.Out8(pitChannel0, 0)
	amd64.Out8(pitChannel0, 0)
	first := pitCount()
	for i := 0; i < 1000; i++ {
		if pitCount() != first { // a port that is not there always reads the same
			return true
		}
	}
	return false
}

// The structures that KVM writes to, at addresses that are their physical ones.
var (
	kvmTime pvclock.TimeInfo
	kvmWall pvclock.WallClock
	hasKVM  bool
)

// kvmFrequency returns the counter's frequency as KVM tells it, 0 if there is no
// KVM or it does not.
func kvmFrequency() uint64 {
	_, _, c, _ := amd64.Cpuid(1, 0)
	if c>>31 == 0 {
		return 0
	}
	_, b, c, d := amd64.Cpuid(0x40000000, 0)
	if b != 0x4b4d564b || c != 0x564b4d56 || d != 0x4d { // "KVMKVMKVM"
		return 0
	}
	features, _, _, _ := amd64.Cpuid(0x40000001, 0)
	if features&pvclock.FeatureClock == 0 {
		return 0
	}
	hasKVM = true
	amd64.Wrmsr(pvclock.MSRWallClock, uint64(addr(&kvmWall)))
	amd64.Wrmsr(pvclock.MSRSystemTime, uint64(addr(&kvmTime))|pvclock.Enable)
	for i := 0; i < 1000; i++ {
		if v, ok := kvmTime.Begin(); ok {
			f := kvmTime.Frequency()
			if kvmTime.Done(v) {
				return f
			}
		}
	}
	return 0
}

// readWallClock sets the wall time: from KVM, from the option wall of the command
// line, or from the real-time clock. Without any it stays at 1970.
func readWallClock() {
	var unix int64 // ns
	if hasKVM {
		sec, nsec, ok := kvmWall.Unix()
		v, begun := kvmTime.Begin()
		since := kvmTime.Nanoseconds(amd64.Rdtsc())
		if ok && begun && kvmTime.Done(v) {
			setWall(sec*1_000_000_000 + int64(nsec) + int64(since))
			return
		}
	}
	for w := cmdline.Parse(unsafe.String((*byte)(at(commandLine)), commandLineSize)); ; {
		word, arg, ok := w.Next()
		if !ok {
			break
		}
		if v, is := cmdline.Option(word, "wall"); is && !arg {
			for i := 0; i < len(v) && v[i]-'0' < 10; i++ {
				unix = unix*10 + int64(v[i]-'0')
			}
		}
	}
	sec, ok := readRTC()
	if unix == 0 {
		unix = sec * 1_000_000_000
		wallFromRTC = ok
	}
	if unix != 0 {
		setWall(unix)
	}
	if ok && routeLine(lineRTC, &cpus[0], isaInterrupt(rtcIRQ)) {
		cmos(rtcStatusC)
		setCMOS(rtc.StatusB, cmos(rtc.StatusB)|rtcUpdateInterrupt)
	}
}

func setWall(unix int64) {
	now := clock.ns + int64(mulShift32(amd64.Rdtsc()-clock.tsc, clock.mult))
	atomic.AddUint32(&clock.seq, 1)
	clock.wall = unix - now
	atomic.AddUint32(&clock.seq, 1)
}

// The real-time clock tells seconds only. Its interrupt after each update tells
// when one begins, which sets the wall clock right if that came from there. The
// second, at least a second after boot, also refines the frequency of the clock,
// and is the last.
const (
	rtcIRQ             = 8
	rtcStatusC         = 0x0c // reading it acknowledges the interrupt
	rtcUpdateInterrupt = 1 << 4
)

var (
	rtcUpdates  int
	wallFromRTC bool
)

func rtcInterrupt() {
	if cmos(rtcStatusC)&rtcUpdateInterrupt == 0 {
		return
	}
	rtcUpdates++
	if rtcUpdates == 2 {
		setCMOS(rtc.StatusB, cmos(rtc.StatusB)&^rtcUpdateInterrupt)
		refineClock()
	}
	if sec, ok := readRTC(); ok && wallFromRTC {
		setWall(sec * 1_000_000_000)
	}
}

func setCMOS(reg, v uint8) {
	amd64.Out8(0x70, reg)
	amd64.Out8(0x71, v)
}

func cmos(reg uint8) uint8 {
	amd64.Out8(0x70, reg)
	return amd64.In8(0x71)
}

// readRTC reads the real-time clock until two readings agree.
func readRTC() (unix int64, ok bool) {
	var last rtc.Registers
	for i := 0; i < 100; i++ {
		if cmos(rtc.StatusA)&rtc.UpdateInProgress != 0 {
			continue
		}
		var r rtc.Registers
		r.Seconds, r.Minutes, r.Hours = cmos(rtc.Seconds), cmos(rtc.Minutes), cmos(rtc.Hours)
		r.DayOfMonth, r.Month, r.Year = cmos(rtc.DayOfMonth), cmos(rtc.Month), cmos(rtc.Year)
		r.StatusB = cmos(rtc.StatusB)
		if tables.Century != 0 {
			r.Century = cmos(tables.Century)
		}
		if i > 0 && r == last {
			return rtc.Decode(r)
		}
		last = r
	}
	return 0, false
}
