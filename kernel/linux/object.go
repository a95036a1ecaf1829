package linux

import (
	"syscall"

	"github.com/goshawk-os/goshawk/fs/vfs"
)

// object is what an open file of the personality's own leads to: a pipe, a terminal, an event. There
// is one for each open file description.
type object interface {
	vfs.Handle
	// ready returns the events for which the object is ready.
	ready() uint32
	// queue returns who watches the object's readiness.
	queue() *waitQueue
	// tryRead and tryWrite do not wait: they return EAGAIN, or fewer bytes than asked for.
	tryRead(p []byte) (int, syscall.Errno)
	tryWrite(p []byte) (int, syscall.Errno)
}

// objectOf returns the object behind f, nil for a file of a file system. Only objects can be waited
// for; all other files are always ready.
func objectOf(f *vfs.File) object {
	o, _ := f.Handle().(object)
	return o
}

// readiness returns the events for which f is ready.
func readiness(f *vfs.File) uint32 {
	if o := objectOf(f); o != nil {
		return o.ready()
	}
	return readable | writable | readNorm | writeNorm
}

// readWaiting reads from o, and waits for something to read unless flags have O_NONBLOCK.
func readWaiting(o object, p []byte, flags int) (int, error) {
	for {
		n, err := o.tryRead(p)
		if err != syscall.EAGAIN || flags&syscall.O_NONBLOCK != 0 {
			return n, failure(err)
		}
		await(o, readable)
	}
}

// writeWaiting writes all of p to o, waiting for room. If flags have O_NONBLOCK it writes what there
// is room for.
func writeWaiting(o object, p []byte, flags int) (int, error) {
	done := 0
	for {
		n, err := o.tryWrite(p[done:])
		done += n
		switch {
		case err == 0 && (done == len(p) || n == 0):
			return done, nil
		case err == 0:
			continue
		case err != syscall.EAGAIN || flags&syscall.O_NONBLOCK != 0:
			if done > 0 {
				return done, nil
			}
			return 0, failure(err)
		}
		await(o, writable)
	}
}

// failure returns err as an error, nil if it is 0.
func failure(err syscall.Errno) error {
	if err == 0 {
		return nil
	}
	return err
}

// errno returns the number of an error of package vfs, which has no others than syscall.Errno.
func errno(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	if e, ok := err.(syscall.Errno); ok {
		return e
	}
	return syscall.EIO
}

// forget takes o out of the epoll descriptors that watch it: it is closed.
func forget(o object) {
	q := o.queue()
	var items []*epollItem
	q.mu.Lock()
	for w := q.head; w != nil; w = w.next {
		if item, ok := w.sink.(*epollItem); ok && item.key.object == o {
			items = append(items, item)
		}
	}
	q.mu.Unlock()
	for _, item := range items {
		item.forget()
	}
}
