package linux

import (
	"syscall"
	"time"
	"unsafe"
)

// Clocks (clock_getres(2)).
const (
	clockRealtime        = 0
	clockMonotonic       = 1
	clockProcessCPU      = 2
	clockThreadCPU       = 3
	clockMonotonicRaw    = 4
	clockRealtimeCoarse  = 5
	clockMonotonicCoarse = 6
	clockBoottime        = 7
	clockRealtimeAlarm   = 8
	clockBoottimeAlarm   = 9
	clockTAI             = 11
)

const second = int64(time.Second)

// wallNano returns the wall time in nanoseconds since 1970.
func wallNano() int64 {
	sec, nsec := walltime()
	return sec*second + int64(nsec)
}

func wallTimespec() syscall.Timespec {
	sec, nsec := walltime()
	return syscall.Timespec{Sec: sec, Nsec: int64(nsec)}
}

func validTimespec(t syscall.Timespec) bool { return t.Sec >= 0 && t.Nsec >= 0 && t.Nsec < second }

// nanoseconds returns a valid timespec in nanoseconds, at most never.
func nanoseconds(t syscall.Timespec) int64 {
	if t.Sec >= never/second {
		return never
	}
	return t.Sec*second + t.Nsec
}

// saturate returns now+d, at most never.
func saturate(now, d int64) int64 {
	if d > 0 && now > never-d {
		return never
	}
	return now + d
}

// deadlineMillis returns the deadline of a wait for so many milliseconds: 0 if it is not to wait at
// all, never if it is negative.
func deadlineMillis(ms int) int64 {
	switch {
	case ms < 0:
		return never
	case ms == 0:
		return 0
	}
	return saturate(nanotime(), int64(ms)*int64(time.Millisecond))
}

// deadlineNano is deadlineMillis for seconds and nanoseconds, neither negative.
func deadlineNano(sec, nsec int64) int64 {
	if sec == 0 && nsec == 0 {
		return 0
	}
	return saturate(nanotime(), nanoseconds(syscall.Timespec{Sec: sec + nsec/second, Nsec: nsec % second}))
}

// deadlineTimespec is deadlineMillis for the caller's timespec at p, nil meaning forever.
func deadlineTimespec(p unsafe.Pointer) (int64, syscall.Errno) {
	if p == nil {
		return never, 0
	}
	t := *(*syscall.Timespec)(p)
	if !validTimespec(t) {
		return 0, syscall.EINVAL
	}
	return deadlineNano(t.Sec, t.Nsec), 0
}

// timeLeft returns how long it is to deadline.
func timeLeft(deadline int64) int64 {
	if deadline == 0 {
		return 0
	}
	return max(0, deadline-nanotime())
}

// storeTimeLeft updates the caller's timespec at p, which gave the deadline.
func storeTimeLeft(p unsafe.Pointer, deadline int64) {
	if p != nil && deadline != never {
		*(*syscall.Timespec)(p) = syscall.NsecToTimespec(timeLeft(deadline))
	}
}

// readClock returns a clock's time.
func readClock(id int) (syscall.Timespec, syscall.Errno) {
	switch id {
	case clockRealtime, clockRealtimeCoarse, clockRealtimeAlarm, clockTAI:
		return wallTimespec(), 0
	case clockMonotonic, clockMonotonicRaw, clockMonotonicCoarse, clockBoottime, clockBoottimeAlarm:
		return syscall.NsecToTimespec(nanotime()), 0
	case clockProcessCPU:
		return syscall.NsecToTimespec(cpuTime(-1)), 0
	case clockThreadCPU:
		return syscall.NsecToTimespec(cpuTime(gettid())), 0
	}
	return syscall.Timespec{}, syscall.EINVAL
}

func sysClockGettime(a args) (uintptr, syscall.Errno) {
	t, err := readClock(a.int(0))
	if err != 0 {
		return 0, err
	}
	if a.p[1] == nil {
		return 0, syscall.EFAULT
	}
	*(*syscall.Timespec)(a.p[1]) = t
	return 0, 0
}

func sysClockGetres(a args) (uintptr, syscall.Errno) {
	if _, err := readClock(a.int(0)); err != 0 {
		return 0, err
	}
	if a.p[1] != nil {
		*(*syscall.Timespec)(a.p[1]) = syscall.Timespec{Nsec: 1}
	}
	return 0, 0
}

func sysClockSettime(a args) (uintptr, syscall.Errno) {
	if a.int(0) != clockRealtime {
		return 0, syscall.EINVAL
	}
	return 0, syscall.EPERM
}

func sysGettimeofday(a args) (uintptr, syscall.Errno) {
	if a.p[0] != nil {
		*(*syscall.Timeval)(a.p[0]) = syscall.NsecToTimeval(wallNano())
	}
	if a.p[1] != nil {
		*(*[2]int32)(a.p[1]) = [2]int32{} // struct timezone
	}
	return 0, 0
}

func sysTime(a args) (uintptr, syscall.Errno) {
	sec, _ := walltime()
	if a.p[0] != nil {
		*(*int64)(a.p[0]) = sec
	}
	return uintptr(sec), 0
}

// sleepUntil waits until the monotonic clock reaches deadline.
func sleepUntil(deadline int64) {
	if deadline == never {
		blockEnter()
		select {}
	}
	for {
		left := deadline - nanotime()
		if left <= 0 {
			return
		}
		time.Sleep(time.Duration(left))
	}
}

func sysNanosleep(a args) (uintptr, syscall.Errno) {
	if a.p[0] == nil {
		return 0, syscall.EFAULT
	}
	deadline, err := deadlineTimespec(a.p[0])
	if err != 0 {
		return 0, err
	}
	sleepUntil(deadline)
	return 0, 0
}

func sysClockNanosleep(a args) (uintptr, syscall.Errno) {
	clock := a.int(0)
	switch clock {
	case clockRealtime, clockMonotonic, clockBoottime, clockTAI:
	case clockProcessCPU:
		return 0, syscall.EOPNOTSUPP
	default:
		return 0, syscall.EINVAL
	}
	if a.p[2] == nil {
		return 0, syscall.EFAULT
	}
	t := *(*syscall.Timespec)(a.p[2])
	if !validTimespec(t) {
		return 0, syscall.EINVAL
	}
	left := nanoseconds(t)
	if a.int(1)&timerAbsolute != 0 {
		now, _ := readClock(clock)
		left -= nanoseconds(now)
	}
	if left > 0 {
		sleepUntil(saturate(nanotime(), left))
	}
	return 0, 0
}

// ticks is the unit of times(2), per second (sysconf's _SC_CLK_TCK).
const ticks = 100

func sysTimes(a args) (uintptr, syscall.Errno) {
	if a.p[0] != nil {
		*(*syscall.Tms)(a.p[0]) = syscall.Tms{Utime: cpuTime(-1) / (second / ticks)}
	}
	return uintptr(nanotime() / (second / ticks)), 0
}

const (
	rusageThread   = 1
	rusageSelf     = 0
	rusageChildren = -1
)

func sysGetrusage(a args) (uintptr, syscall.Errno) {
	var r syscall.Rusage
	switch a.int(0) {
	case rusageSelf:
		r.Utime = syscall.NsecToTimeval(cpuTime(-1))
		total, free := memInfo()
		r.Maxrss = int64(total-free) >> 10
	case rusageThread:
		r.Utime = syscall.NsecToTimeval(cpuTime(gettid()))
	case rusageChildren:
	default:
		return 0, syscall.EINVAL
	}
	if a.p[1] == nil {
		return 0, syscall.EFAULT
	}
	*(*syscall.Rusage)(a.p[1]) = r
	return 0, 0
}

const timeError = 5 // TIME_ERROR: the clock is not synchronised (adjtimex(2))

// sysAdjtimex is adjtimex: it reads, and refuses to set.
func sysAdjtimex(a args) (uintptr, syscall.Errno) {
	t := (*syscall.Timex)(a.p[0])
	if t == nil {
		return 0, syscall.EFAULT
	}
	if t.Modes != 0 {
		return 0, syscall.EPERM
	}
	const unsynchronised = 0x40 // STA_UNSYNC
	*t = syscall.Timex{Status: unsynchronised, Precision: 1, Tolerance: 500 << 16, Tick: 10000, Time: syscall.NsecToTimeval(wallNano())}
	return timeError, 0
}

// sysClockAdjtime is clock_adjtime.
func sysClockAdjtime(a args) (uintptr, syscall.Errno) {
	if a.int(0) != clockRealtime {
		return 0, syscall.EOPNOTSUPP
	}
	return sysAdjtimex(args{p: [6]unsafe.Pointer{a.p[1]}})
}
