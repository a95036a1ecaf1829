package linux

import (
	"sync"
	"syscall"
	"unsafe"
)

// Flags of eventfd2 (eventfd(2)).
const (
	eventfdSemaphore = 1
	eventfdMax       = 1<<64 - 2
)

// eventfd is a counter.
type eventfd struct {
	mu        sync.Mutex
	count     uint64
	semaphore bool
	watchers  waitQueue
}

func (e *eventfd) queue() *waitQueue { return &e.watchers }

func (e *eventfd) Read(p []byte, flags int) (int, error)  { return readWaiting(e, p, flags) }
func (e *eventfd) Write(p []byte, flags int) (int, error) { return writeWaiting(e, p, flags) }

func (e *eventfd) Close() error {
	forget(e)
	return nil
}

func (e *eventfd) ready() uint32 {
	e.mu.Lock()
	defer e.mu.Unlock()
	events := uint32(0)
	if e.count > 0 {
		events |= readable
	}
	if e.count < eventfdMax {
		events |= writable
	}
	return events
}

func (e *eventfd) tryRead(b []byte) (int, syscall.Errno) {
	if len(b) < 8 {
		return 0, syscall.EINVAL
	}
	e.mu.Lock()
	n := e.count
	if n == 0 {
		e.mu.Unlock()
		return 0, syscall.EAGAIN
	}
	if e.semaphore {
		n = 1
	}
	e.count -= n
	e.mu.Unlock()
	e.watchers.fire(writable)
	*(*uint64)(unsafe.Pointer(&b[0])) = n
	return 8, 0
}

func (e *eventfd) tryWrite(b []byte) (int, syscall.Errno) {
	if len(b) != 8 {
		return 0, syscall.EINVAL
	}
	n := *(*uint64)(unsafe.Pointer(&b[0]))
	if n > eventfdMax {
		return 0, syscall.EINVAL
	}
	e.mu.Lock()
	if n > eventfdMax-e.count {
		e.mu.Unlock()
		return 0, syscall.EAGAIN
	}
	e.count += n
	e.mu.Unlock()
	e.watchers.fire(readable)
	return 8, 0
}

func sysEventfd(a args) (uintptr, syscall.Errno) { return newEventfd(a.uint32(0), 0) }

func sysEventfd2(a args) (uintptr, syscall.Errno) { return newEventfd(a.uint32(0), a.int(1)) }

func newEventfd(count uint32, flags int) (uintptr, syscall.Errno) {
	if flags&^(eventfdSemaphore|syscall.O_CLOEXEC|syscall.O_NONBLOCK) != 0 {
		return 0, syscall.EINVAL
	}
	e := &eventfd{count: uint64(count), semaphore: flags&eventfdSemaphore != 0}
	return process.installObject(e, flags, "anon_inode:[eventfd]")
}
