//go:build !goshawk

package linux

import (
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPoll(t *testing.T) {
	both(t, func(k *kernel) {
		r, w := k.pipe(0)
		f := k.open(k.dir+"/f", syscall.O_CREAT|syscall.O_RDWR, 0o600)
		list := make([]pollFD, 5)
		poll := func(ms int, fds ...pollFD) {
			copy(list, fds)
			k.do("poll", syscall.SYS_POLL, unsafe.Pointer(&list[0]), len(fds), ms)
			for _, p := range list[:len(fds)] {
				k.logf("  %#x", p.revents)
			}
		}
		in, out := pollFD{fd: int32(r), events: readable}, pollFD{fd: int32(w), events: writable}
		poll(0, in)
		poll(5, in)
		poll(0, in, out)
		poll(-1, in, out)
		k.write(w, "x")
		poll(-1, in)
		poll(0, pollFD{fd: int32(r), events: readable | writable | readNorm}, pollFD{fd: -1, events: 1}, pollFD{fd: 999, events: 1})
		poll(0, pollFD{fd: int32(f), events: readable | writable})
		k.close(w)
		poll(0, in)
		k.read(r, 1)
		poll(0, in)
		k.do("too many", syscall.SYS_POLL, unsafe.Pointer(&list[0]), 1<<30, 0)
		k.do("nil", syscall.SYS_POLL, nil, 1, 0)
		k.do("none", syscall.SYS_POLL, nil, 0, 1)
		ts := &syscall.Timespec{Nsec: 2e9}
		k.do("ppoll bad time", syscall.SYS_PPOLL, nil, 0, unsafe.Pointer(ts), nil, 8)
		ts.Nsec = 1e6
		k.do("ppoll", syscall.SYS_PPOLL, nil, 0, unsafe.Pointer(ts), nil, 8)
		k.logf("%v", *ts)
		k.close(r, f)
	})
}

func TestSelect(t *testing.T) {
	both(t, func(k *kernel) {
		r, w := k.pipe(0)
		n := max(r, w) + 1
		sel := func(tv *syscall.Timeval) {
			var sets [3]fdSet
			sets[0].add(r)
			sets[1].add(w)
			sets[2].add(r)
			k.do("select", syscall.SYS_SELECT, n, unsafe.Pointer(&sets[0]), unsafe.Pointer(&sets[1]), unsafe.Pointer(&sets[2]), unsafe.Pointer(tv))
			k.logf("%v %v %v", sets[0].has(r), sets[1].has(w), sets[2].has(r))
		}
		sel(&syscall.Timeval{})
		k.write(w, "x")
		sel(&syscall.Timeval{Sec: 10})
		var set fdSet
		set.add(r)
		k.do("pselect6", syscall.SYS_PSELECT6, n, unsafe.Pointer(&set), nil, nil, nil, nil)
		k.logf("%v", set.has(r))
		k.read(r, 1)
		k.do("timeout", syscall.SYS_SELECT, n, unsafe.Pointer(&set), nil, nil, unsafe.Pointer(&syscall.Timeval{Usec: 2000}))
		k.logf("%v", set.has(r))
		set.add(r)
		k.close(r)
		k.do("closed", syscall.SYS_SELECT, n, unsafe.Pointer(&set), nil, nil, unsafe.Pointer(&syscall.Timeval{}))
		k.do("negative", syscall.SYS_SELECT, -1, nil, nil, nil, nil)
		k.close(w)
	})
}

func TestEventfd(t *testing.T) {
	both(t, func(k *kernel) {
		e := k.fd("eventfd2", syscall.SYS_EVENTFD2, 3, syscall.O_NONBLOCK|syscall.O_CLOEXEC)
		k.read(e, 8)
		k.read(e, 8)
		k.read(e, 7)
		k.write(e, "\x05\x00\x00\x00\x00\x00\x00\x00")
		k.write(e, "\x05\x00\x00\x00\x00\x00\x00\x00")
		k.read(e, 100)
		k.write(e, "\xff\xff\xff\xff\xff\xff\xff\xff")
		k.write(e, "\xfe\xff\xff\xff\xff\xff\xff\xff")
		k.write(e, "\x01\x00\x00\x00\x00\x00\x00\x00")
		k.close(e)
		s := k.fd("semaphore", syscall.SYS_EVENTFD2, 2, syscall.O_NONBLOCK|eventfdSemaphore)
		k.read(s, 8)
		k.read(s, 8)
		k.read(s, 8)
		k.do("bad flags", syscall.SYS_EVENTFD2, 0, 0x40)
		k.close(s)
	})
}

// A write is of one number and no more, as on recent releases of Linux; others ignore what follows it.
func TestEventfdWritesOne(t *testing.T) {
	k := goshawkKernel(t)
	e := k.fd("eventfd2", syscall.SYS_EVENTFD2, 0, 0)
	_, err := k.quiet(syscall.SYS_WRITE, e, make([]byte, 16), 16)
	assert.Equal(t, syscall.EINVAL, err)
}

func TestTimerfd(t *testing.T) {
	both(t, func(k *kernel) {
		f := k.fd("timerfd_create", syscall.SYS_TIMERFD_CREATE, clockMonotonic, syscall.O_NONBLOCK)
		k.read(f, 8)
		s := &itimerspec{Value: syscall.Timespec{Nsec: 1}}
		k.do("timerfd_settime", syscall.SYS_TIMERFD_SETTIME, f, 0, unsafe.Pointer(s), nil)
		p := &pollFD{fd: int32(f), events: readable}
		k.do("poll", syscall.SYS_POLL, unsafe.Pointer(p), 1, -1)
		k.read(f, 8)
		k.read(f, 8)
		old := &itimerspec{}
		k.do("timerfd_gettime", syscall.SYS_TIMERFD_GETTIME, f, unsafe.Pointer(old))
		k.logf("%v", *old)
		s = &itimerspec{Value: syscall.Timespec{Sec: 1000}, Interval: syscall.Timespec{Sec: 5}}
		k.do("timerfd_settime", syscall.SYS_TIMERFD_SETTIME, f, 0, unsafe.Pointer(s), nil)
		k.do("timerfd_gettime", syscall.SYS_TIMERFD_GETTIME, f, unsafe.Pointer(old))
		k.logf("%v %v", old.Interval, old.Value.Sec >= 999)
		k.do("disarm", syscall.SYS_TIMERFD_SETTIME, f, 0, unsafe.Pointer(&itimerspec{}), nil)
		k.do("poll", syscall.SYS_POLL, unsafe.Pointer(p), 1, 5)
		s.Value.Nsec = -1
		k.do("bad time", syscall.SYS_TIMERFD_SETTIME, f, 0, unsafe.Pointer(s), nil)
		k.do("bad clock", syscall.SYS_TIMERFD_CREATE, 99, 0)
		k.do("not a timer", syscall.SYS_TIMERFD_GETTIME, 0, unsafe.Pointer(old))
		k.do("in the past", syscall.SYS_TIMERFD_SETTIME, f, timerAbsolute, unsafe.Pointer(&itimerspec{Value: syscall.Timespec{Nsec: 1}}), nil)
		k.do("poll", syscall.SYS_POLL, unsafe.Pointer(p), 1, -1)
		k.close(f)
	})
}

func TestTimerfdInterval(t *testing.T) {
	k := goshawkKernel(t)
	f := k.fd("timerfd_create", syscall.SYS_TIMERFD_CREATE, clockMonotonic, 0)
	start := nanotime()
	s := &itimerspec{Value: syscall.Timespec{Nsec: 2e6}, Interval: syscall.Timespec{Nsec: 1e6}}
	_, err := k.quiet(syscall.SYS_TIMERFD_SETTIME, f, 0, unsafe.Pointer(s), nil)
	require.Zero(t, err)
	count := uint64(0)
	for count < 10 {
		n := new(uint64)
		_, err := k.quiet(syscall.SYS_READ, f, unsafe.Pointer(n), 8)
		require.Zero(t, err)
		count += *n
	}
	assert.GreaterOrEqual(t, nanotime()-start, int64(11e6))
	assert.LessOrEqual(t, int64(count), (nanotime()-start-2e6)/1e6+1, "no more expirations than time has passed for")
	k.close(f)
}

func TestSleep(t *testing.T) {
	both(t, func(k *kernel) {
		ts := &syscall.Timespec{Nsec: 3e6}
		before := time.Now()
		k.do("nanosleep", syscall.SYS_NANOSLEEP, unsafe.Pointer(ts), nil)
		k.do("clock_nanosleep", syscall.SYS_CLOCK_NANOSLEEP, clockMonotonic, 0, unsafe.Pointer(ts), nil)
		now := new(syscall.Timespec)
		k.do("clock_gettime", syscall.SYS_CLOCK_GETTIME, clockMonotonic, unsafe.Pointer(now))
		now.Nsec += 3e6
		if now.Nsec >= second {
			now.Sec, now.Nsec = now.Sec+1, now.Nsec-second
		}
		k.do("clock_nanosleep absolute", syscall.SYS_CLOCK_NANOSLEEP, clockMonotonic, timerAbsolute, unsafe.Pointer(now), nil)
		k.logf("%v", time.Since(before) >= 9*time.Millisecond)
		k.do("past", syscall.SYS_CLOCK_NANOSLEEP, clockRealtime, timerAbsolute, unsafe.Pointer(ts), nil)
		ts.Nsec = -1
		k.do("bad", syscall.SYS_NANOSLEEP, unsafe.Pointer(ts), nil)
		k.do("nil", syscall.SYS_NANOSLEEP, nil, nil)
		k.do("bad clock", syscall.SYS_CLOCK_NANOSLEEP, 77, 0, unsafe.Pointer(ts), nil)
		k.do("bad clock", syscall.SYS_CLOCK_GETTIME, 77, unsafe.Pointer(now))
		for _, c := range []int{0, 1, 2, 3, 4, 5, 6, 7, 11} {
			k.do("clock_gettime", syscall.SYS_CLOCK_GETTIME, c, unsafe.Pointer(now))
		}
		k.do("clock_getres", syscall.SYS_CLOCK_GETRES, clockMonotonic, unsafe.Pointer(now))
		k.logf("%v", *now)
	})
}
