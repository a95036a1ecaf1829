package linux

import (
	"sync"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/vfs"
)

// descriptor is an entry of the descriptor table.
type descriptor struct {
	file        *vfs.File // nil: not open
	closeOnExec bool
}

// table is the descriptor table. Its zero value is empty.
type table struct {
	mu   sync.RWMutex
	fds  []descriptor
	free int // no descriptor below is free
}

// get returns the file behind fd with a reference, which the caller closes.
func (t *table) get(fd int) (*vfs.File, syscall.Errno) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if fd < 0 || fd >= len(t.fds) || t.fds[fd].file == nil {
		return nil, syscall.EBADF
	}
	f := t.fds[fd].file
	f.IncRef()
	return f, 0
}

// add opens the lowest free descriptor not below first for f, whose reference it takes over; that
// reference is closed if there is no descriptor left below limit.
func (t *table) add(f *vfs.File, first, limit int, closeOnExec bool) (int, syscall.Errno) {
	t.mu.Lock()
	fd := max(first, t.free)
	for fd < len(t.fds) && t.fds[fd].file != nil {
		fd++
	}
	if fd >= limit {
		t.mu.Unlock()
		f.Close()
		return -1, syscall.EMFILE
	}
	t.set(fd, descriptor{f, closeOnExec})
	if first <= t.free {
		t.free = fd + 1
	}
	t.mu.Unlock()
	return fd, 0
}

// set stores an entry, with the table locked.
func (t *table) set(fd int, d descriptor) {
	for fd >= len(t.fds) {
		t.fds = append(t.fds, descriptor{})
		t.fds = t.fds[:min(cap(t.fds), max(fd+1, 16))]
	}
	t.fds[fd] = d
}

// replace makes fd lead to f, whose reference it takes over, and closes what it led to.
func (t *table) replace(fd int, f *vfs.File, closeOnExec bool) {
	t.mu.Lock()
	var old *vfs.File
	if fd < len(t.fds) {
		old = t.fds[fd].file
	}
	t.set(fd, descriptor{f, closeOnExec})
	t.mu.Unlock()
	if old != nil {
		closeFile(old)
	}
}

// close takes fd out of the table and returns the file it led to, with the table's reference.
func (t *table) close(fd int) (*vfs.File, syscall.Errno) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if fd < 0 || fd >= len(t.fds) || t.fds[fd].file == nil {
		return nil, syscall.EBADF
	}
	f := t.fds[fd].file
	t.fds[fd] = descriptor{}
	t.free = min(t.free, fd)
	return f, 0
}

// closeOnExec returns whether fd has FD_CLOEXEC.
func (t *table) closeOnExec(fd int) (bool, syscall.Errno) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if fd < 0 || fd >= len(t.fds) || t.fds[fd].file == nil {
		return false, syscall.EBADF
	}
	return t.fds[fd].closeOnExec, 0
}

// setCloseOnExec sets or clears FD_CLOEXEC of the open descriptors from first to last.
func (t *table) setCloseOnExec(first, last int, on bool) {
	t.mu.Lock()
	for fd := first; fd <= last && fd < len(t.fds); fd++ {
		t.fds[fd].closeOnExec = on && t.fds[fd].file != nil
	}
	t.mu.Unlock()
}

// next returns the lowest open descriptor not below fd, -1 if there is none.
func (t *table) next(fd int) int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for ; fd < len(t.fds); fd++ {
		if t.fds[fd].file != nil {
			return fd
		}
	}
	return -1
}
