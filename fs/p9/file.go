package p9

import (
	"math"
	"sync"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/vfs"
)

// file is a regular file.
type file struct {
	node
	opening   sync.Mutex
	appending sync.Mutex
}

// syncFile is a file that was opened with O_SYNC or O_DSYNC.
type syncFile struct{ *file }

// OpenContent implements vfs.ContentOpener. The file has been acquired.
func (f *file) OpenContent(flags int) (vfs.Content, error) {
	f.opening.Lock()
	defer f.opening.Unlock()
	mode := flags & syscall.O_ACCMODE
	s := f.fids
	s.mu.Lock()
	if s.made != nil {
		s.made.refs.Add(1)
		s.read, s.write, s.made = s.made, s.made, nil
	}
	reads := s.read == nil && (mode == syscall.O_RDONLY || mode == syscall.O_RDWR)
	writes := s.write == nil && (mode == syscall.O_WRONLY || mode == syscall.O_RDWR)
	s.mu.Unlock()
	if reads || writes {
		if err := f.openFid(reads, writes); err != nil {
			return nil, err
		}
	}
	if flags&syscall.O_DSYNC != 0 {
		return syncFile{f}, nil
	}
	return f, nil
}

// openFid has the server open the file.
func (f *file) openFid(reads, writes bool) error {
	mode := uint32(P9_DOTL_RDONLY)
	switch {
	case reads && writes:
		mode = P9_DOTL_RDWR
	case writes:
		mode = P9_DOTL_WRONLY
	}
	fd, err := f.open(mode)
	if err != nil {
		return err
	}
	f.fids.mu.Lock()
	defer f.fids.mu.Unlock()
	if reads {
		f.fids.read = fd
	}
	if writes {
		f.fids.write = fd
	}
	if reads && writes {
		fd.refs.Add(1)
	}
	return nil
}

// open returns a fid that is open, for the caller to drop.
func (n *node) open(flags uint32) (*fid, error) {
	path := n.use()
	defer path.drop()
	fd, err := n.fs.client.clone(path)
	if err != nil {
		return nil, err
	}
	if err := n.fs.client.open(fd, flags); err != nil {
		fd.drop()
		return nil, err
	}
	return fd, nil
}

// ReadAt implements vfs.Content.
func (f *file) ReadAt(p []byte, off int64) (n int, err error) {
	fd := f.fids.use(&f.fids.read)
	if fd == nil {
		return 0, syscall.EBADF
	}
	defer fd.drop()
	return f.fs.client.readAt(fd, p, off)
}

// readAt reads until p is full or there is no more, which a server shows by less
// than it was asked for.
func (c *client) readAt(fd *fid, p []byte, off int64) (n int, err error) {
	for n < len(p) {
		asked := min(len(p)-n, fd.unit)
		k, err := c.read(fd, p[n:], off+int64(n))
		n += k
		if err != nil {
			return n, err
		}
		if k < asked {
			break
		}
	}
	return n, nil
}

// WriteAt implements vfs.Content.
func (f *file) WriteAt(p []byte, off int64) (n int, end int64, err error) {
	if off == vfs.AppendOffset {
		return f.append(p)
	}
	fd := f.fids.use(&f.fids.write)
	if fd == nil {
		return 0, off, syscall.EBADF
	}
	defer fd.drop()
	n, err = f.fs.client.writeAt(fd, p, off)
	f.wrote(off + int64(n))
	return n, off + int64(n), err
}

func (c *client) writeAt(fd *fid, p []byte, off int64) (n int, err error) {
	if int64(len(p)) > math.MaxInt64-off {
		return 0, syscall.EFBIG
	}
	for n < len(p) && err == nil {
		var k int
		k, err = c.write(fd, p[n:], off+int64(n))
		n += k
	}
	return n, err
}

// append writes at the end of the file, wherever that is when the server
// writes. The offset behind it is right if nobody else appends at the same
// moment. A file that the server does not open once more, since it has no name
// or cannot be written to by those who come now, is written at the end that it
// had before.
func (f *file) append(p []byte) (n int, end int64, err error) {
	f.appending.Lock()
	defer f.appending.Unlock()
	fd := f.fids.use(&f.fids.tail)
	if fd == nil {
		if fd, err = f.open(P9_DOTL_WRONLY | P9_DOTL_APPEND); err == nil {
			fd.refs.Add(1)
			f.fids.mu.Lock()
			f.fids.tail = fd
			f.fids.mu.Unlock()
		} else if fd = f.fids.use(&f.fids.write); fd == nil {
			return 0, 0, err
		}
	}
	defer fd.drop()
	st, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	n, err = f.fs.client.writeAt(fd, p, st.Size)
	end = st.Size + int64(n)
	f.wrote(end)
	return n, end, err
}

// wrote notes that a file without a name is at least so long.
func (f *file) wrote(end int64) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.orphan != nil {
		f.orphan.Size = max(f.orphan.Size, end)
	}
}

// Truncate implements vfs.Content.
func (f *file) Truncate(size int64) error {
	fd := f.fids.use(&f.fids.write)
	if fd == nil {
		fd = f.use()
	}
	defer fd.drop()
	return f.fs.client.setattr(fd, changes{valid: P9_SETATTR_SIZE, size: uint64(size)})
}

// Size implements vfs.Content. A file that the server cannot tell of has no
// bytes.
func (f *file) Size() int64 {
	st, _ := f.Stat()
	return st.Size
}

// Sync implements vfs.Syncer.
func (f *file) Sync() error {
	fd := f.fids.use(&f.fids.write)
	if fd == nil {
		fd = f.fids.use(&f.fids.read)
	}
	if fd == nil {
		return syscall.EBADF
	}
	defer fd.drop()
	return f.fs.client.fsync(fd)
}

// WriteAt implements vfs.Content.
func (f syncFile) WriteAt(p []byte, off int64) (n int, end int64, err error) {
	n, end, err = f.file.WriteAt(p, off)
	if n > 0 {
		if failure := f.Sync(); failure != nil {
			return 0, end, failure
		}
	}
	return n, end, err
}
