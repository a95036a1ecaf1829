package linux

import (
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/vfs"
)

// What the descriptor table notes of a descriptor besides its file.
const (
	noteTaken       = 1 << iota // open, or reserved
	noteCloseOnExec             // FD_CLOEXEC
)

// slots are the files of the descriptors, nil where none is open.
type slots []atomic.Pointer[vfs.File]

// table is the descriptor table. Its zero value is empty. A look-up takes no lock.
type table struct {
	files atomic.Pointer[slots] // replaced to grow, with mu held

	mu    sync.Mutex
	notes []uint8 // by descriptor, as long as files
	free  int     // no descriptor below is free
}

// get returns the file behind fd with a reference, which the caller closes.
func (t *table) get(fd int) (*vfs.File, syscall.Errno) {
	for {
		files := t.files.Load()
		if files == nil || uint(fd) >= uint(len(*files)) {
			return nil, syscall.EBADF
		}
		f := (*files)[fd].Load()
		if f == nil {
			return nil, syscall.EBADF
		}
		if f.TryIncRef() {
			return f, 0
		}
		// Closed since: what the descriptor leads to now is in the table.
	}
}

// add opens the lowest free descriptor not below first for f, whose reference it takes over; that
// reference is closed if there is no descriptor left below limit.
func (t *table) add(f *vfs.File, first, limit int, closeOnExec bool) (int, syscall.Errno) {
	t.mu.Lock()
	fd, err := t.take(first, limit, closeOnExec)
	if err == 0 {
		(*t.files.Load())[fd].Store(f)
	}
	t.mu.Unlock()
	if err != 0 {
		f.Close()
	}
	return fd, err
}

// reserve takes the lowest free descriptor, which is not open until it is opened.
func (t *table) reserve(limit int, closeOnExec bool) (int, syscall.Errno) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.take(0, limit, closeOnExec)
}

// open opens a reserved descriptor for f, whose reference it takes over.
func (t *table) open(fd int, f *vfs.File) {
	t.mu.Lock()
	(*t.files.Load())[fd].Store(f)
	t.mu.Unlock()
}

// cancel gives up a reserved descriptor.
func (t *table) cancel(fd int) {
	t.mu.Lock()
	t.release(fd)
	t.mu.Unlock()
}

// take takes the lowest free descriptor not below first, with the table locked.
func (t *table) take(first, limit int, closeOnExec bool) (int, syscall.Errno) {
	fd := max(first, t.free)
	for fd < len(t.notes) && t.notes[fd] != 0 {
		fd++
	}
	if fd >= limit {
		return -1, syscall.EMFILE
	}
	t.note(fd, closeOnExec)
	if first <= t.free {
		t.free = fd + 1
	}
	return fd, 0
}

// note marks fd as taken, with the table locked.
func (t *table) note(fd int, closeOnExec bool) {
	if fd >= len(t.notes) {
		t.grow(fd + 1)
	}
	t.notes[fd] = noteTaken
	if closeOnExec {
		t.notes[fd] |= noteCloseOnExec
	}
}

// grow makes room for at least n descriptors, with the table locked.
func (t *table) grow(n int) {
	n = max(n, 2*len(t.notes), 16)
	files := make(slots, n)
	if old := t.files.Load(); old != nil {
		for i := range *old {
			files[i].Store((*old)[i].Load())
		}
	}
	t.notes = append(t.notes, make([]uint8, n-len(t.notes))...)
	t.files.Store(&files)
}

// release makes fd free, with the table locked.
func (t *table) release(fd int) {
	t.notes[fd] = 0
	t.free = min(t.free, fd)
}

// replace makes fd lead to f, whose reference it takes over, and closes what it led to. EBUSY if fd
// is reserved.
func (t *table) replace(fd int, f *vfs.File, closeOnExec bool) syscall.Errno {
	t.mu.Lock()
	var old *vfs.File
	if fd < len(t.notes) {
		if old = (*t.files.Load())[fd].Load(); old == nil && t.notes[fd] != 0 {
			t.mu.Unlock()
			f.Close()
			return syscall.EBUSY
		}
	}
	t.note(fd, closeOnExec)
	(*t.files.Load())[fd].Store(f)
	t.mu.Unlock()
	if old != nil {
		closeFile(old)
	}
	return 0
}

// close takes fd out of the table and returns the file it led to, with the table's reference.
func (t *table) close(fd int) (*vfs.File, syscall.Errno) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.isOpen(fd) {
		return nil, syscall.EBADF
	}
	f := (*t.files.Load())[fd].Swap(nil)
	t.release(fd)
	return f, 0
}

// isOpen reports whether fd is open, with the table locked.
func (t *table) isOpen(fd int) bool {
	return uint(fd) < uint(len(t.notes)) && (*t.files.Load())[fd].Load() != nil
}

// closeOnExec returns whether fd has FD_CLOEXEC.
func (t *table) closeOnExec(fd int) (bool, syscall.Errno) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.isOpen(fd) {
		return false, syscall.EBADF
	}
	return t.notes[fd]&noteCloseOnExec != 0, 0
}

// setCloseOnExec sets or clears FD_CLOEXEC of the open descriptors from first to last.
func (t *table) setCloseOnExec(first, last int, on bool) {
	t.mu.Lock()
	for fd := first; fd <= last && fd < len(t.notes); fd++ {
		switch {
		case !t.isOpen(fd):
		case on:
			t.notes[fd] |= noteCloseOnExec
		default:
			t.notes[fd] &^= noteCloseOnExec
		}
	}
	t.mu.Unlock()
}

// next returns the lowest open descriptor not below fd, -1 if there is none.
func (t *table) next(fd int) int {
	files := t.files.Load()
	if files == nil {
		return -1
	}
	for ; fd < len(*files); fd++ {
		if (*files)[fd].Load() != nil {
			return fd
		}
	}
	return -1
}
