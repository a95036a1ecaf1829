package vfs

import (
	"sync"
	"unsafe"
)

// A Handle is the open object behind a File that is no ordinary file: a
// device, a fifo, a pipe, a socket. Read and Write park the goroutine until
// they can do something; if flags, the file's status flags, contain
// O_NONBLOCK they return EAGAIN instead. Read returns 0, nil at end of file.
// Errors are syscall.Errno. Close is called once, when the last reference to
// the File is gone; it ends waiting Reads and Writes.
type Handle interface {
	Read(p []byte, flags int) (int, error)
	Write(p []byte, flags int) (int, error)
	Close() error
}

// A Poller is a Handle with readiness. Readiness is pushed: whoever waits
// first registers with Notify, then asks Poll once, then waits for the call.
type Poller interface {
	// Poll returns the events that are true now (POLLIN, POLLOUT, POLLERR,
	// POLLHUP, POLLRDHUP, POLLPRI), all of them, not only those asked for.
	Poll() uint32
	// Notify has fn called with the events that became true, each time some
	// may have: after each transition, and on arrival of more data too (as
	// edge-triggered epoll wants it). fn is called on any goroutine, perhaps
	// concurrently with itself, without locks of the Handle that Poll takes;
	// it must not wait. cancel ends this; a call of fn may still be under way
	// when it returns.
	Notify(fn func(events uint32)) (cancel func())
}

// An Ioctler is a Handle, or the Content of a device, with ioctls of its own.
// arg is the third argument.
type Ioctler interface {
	Ioctl(cmd uint, arg unsafe.Pointer) error
}

// A Seeker is a Handle with its own idea of lseek; pread and pwrite are then
// allowed and are like read and write. A Handle that is no Seeker answers
// ESPIPE to these.
type Seeker interface {
	Seek(off int64, whence int) (int64, error)
}

// A Reopener is a Handle that can be opened again through /proc/self/fd. A
// Handle without path that is no Reopener answers ENXIO.
type Reopener interface {
	Reopen(flags int) (Handle, error)
}

// A Stater is a Handle of NewFile with attributes of its own.
type Stater interface {
	Stat() Stat
}

// Watchers is the list behind Poller.Notify, for a Handle to embed. The zero
// value is empty.
type Watchers struct {
	mu   sync.Mutex
	next uint64
	fns  map[uint64]func(events uint32)
}

// Notify implements Poller.
func (w *Watchers) Notify(fn func(events uint32)) (cancel func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fns == nil {
		w.fns = make(map[uint64]func(uint32))
	}
	id := w.next
	w.next++
	w.fns[id] = fn
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.fns, id)
	}
}

// Fire calls everyone registered. The caller holds no lock that Poll takes.
func (w *Watchers) Fire(events uint32) {
	w.mu.Lock()
	if len(w.fns) == 0 {
		w.mu.Unlock()
		return
	}
	fns := make([]func(uint32), 0, len(w.fns))
	for _, fn := range w.fns {
		fns = append(fns, fn)
	}
	w.mu.Unlock()
	for _, fn := range fns {
		fn(events)
	}
}
