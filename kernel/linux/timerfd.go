package linux

import (
	"sync"
	"syscall"
	"time"
	"unsafe"

	"github.com/goshawk-os/goshawk/fs/vfs"
)

// Flags of timerfd_settime (timerfd_create(2)).
const (
	timerAbsolute    = 1
	timerCancelOnSet = 2
)

// itimerspec is struct itimerspec.
type itimerspec struct{ Interval, Value syscall.Timespec }

// timerfd is a timer that counts its expirations.
type timerfd struct {
	mu       sync.Mutex
	clock    int
	timer    *time.Timer
	next     int64 // monotonic time of the next expiration, 0 if disarmed
	interval int64
	count    uint64
	set      uint64 // times that the timer was set: tells a stale timer
	watchers waitQueue
}

func (t *timerfd) queue() *waitQueue { return &t.watchers }

func (t *timerfd) Read(p []byte, flags int) (int, error)  { return readWaiting(t, p, flags) }
func (t *timerfd) Write(p []byte, flags int) (int, error) { return writeWaiting(t, p, flags) }

func (t *timerfd) Close() error {
	forget(t)
	t.mu.Lock()
	t.stop()
	t.mu.Unlock()
	return nil
}

func (t *timerfd) stop() {
	t.set++
	t.next = 0
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
}

func (t *timerfd) ready() uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count > 0 {
		return readable
	}
	return 0
}

func (t *timerfd) tryRead(b []byte) (int, syscall.Errno) {
	if len(b) < 8 {
		return 0, syscall.EINVAL
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count == 0 {
		return 0, syscall.EAGAIN
	}
	*(*uint64)(unsafe.Pointer(&b[0])) = t.count
	t.count = 0
	return 8, 0
}

func (t *timerfd) tryWrite([]byte) (int, syscall.Errno) { return 0, syscall.EINVAL }

// arm sets the Go timer for t.next, with t locked.
func (t *timerfd) arm() {
	set := t.set
	t.timer = time.AfterFunc(time.Duration(t.next-nanotime()), func() { t.expire(set) })
}

func (t *timerfd) expire(set uint64) {
	t.mu.Lock()
	if t.set != set {
		t.mu.Unlock()
		return
	}
	t.count++
	if t.interval > 0 {
		missed := max(0, nanotime()-t.next) / t.interval
		t.count += uint64(missed)
		t.next += (missed + 1) * t.interval
		t.arm()
	} else {
		t.next = 0
	}
	t.mu.Unlock()
	t.watchers.fire(readable)
}

// setting returns the time left and the interval, with t locked.
func (t *timerfd) setting() itimerspec {
	s := itimerspec{Interval: syscall.NsecToTimespec(t.interval)}
	if t.next != 0 {
		s.Value = syscall.NsecToTimespec(max(1, t.next-nanotime()))
	}
	return s
}

func sysTimerfdCreate(a args) (uintptr, syscall.Errno) {
	clock, flags := a.int(0), a.int(1)
	switch clock {
	case clockRealtime, clockMonotonic, clockBoottime:
	default:
		return 0, syscall.EINVAL
	}
	if flags&^(syscall.O_CLOEXEC|syscall.O_NONBLOCK) != 0 {
		return 0, syscall.EINVAL
	}
	return process.installObject(&timerfd{clock: clock}, flags, "anon_inode:[timerfd]")
}

// timer returns the timer behind descriptor fd, and its file with a reference.
func timer(fd int) (*timerfd, *vfs.File, syscall.Errno) {
	f, err := process.files.get(fd)
	if err != 0 {
		return nil, nil, err
	}
	t, ok := f.Handle().(*timerfd)
	if !ok {
		f.Close()
		return nil, nil, syscall.EINVAL
	}
	return t, f, 0
}

func sysTimerfdSettime(a args) (uintptr, syscall.Errno) {
	flags := a.int(1)
	if flags&^(timerAbsolute|timerCancelOnSet) != 0 {
		return 0, syscall.EINVAL
	}
	if a.p[2] == nil {
		return 0, syscall.EFAULT
	}
	s := *(*itimerspec)(a.p[2])
	if !validTimespec(s.Value) || !validTimespec(s.Interval) {
		return 0, syscall.EINVAL
	}
	t, f, err := timer(a.int(0))
	if err != 0 {
		return 0, err
	}
	defer f.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.setting()
	t.stop()
	t.count = 0
	t.interval = nanoseconds(s.Interval)
	if v := nanoseconds(s.Value); v != 0 {
		now := nanotime()
		switch {
		case flags&timerAbsolute == 0:
			t.next = saturate(now, v)
		case t.clock == clockRealtime:
			t.next = max(1, saturate(now, v-wallNano()))
		default:
			t.next = v
		}
		t.arm()
	}
	if a.p[3] != nil {
		*(*itimerspec)(a.p[3]) = old
	}
	return 0, 0
}

func sysTimerfdGettime(a args) (uintptr, syscall.Errno) {
	t, f, err := timer(a.int(0))
	if err != 0 {
		return 0, err
	}
	defer f.Close()
	if a.p[1] == nil {
		return 0, syscall.EFAULT
	}
	t.mu.Lock()
	s := t.setting()
	t.mu.Unlock()
	*(*itimerspec)(a.p[1]) = s
	return 0, 0
}
