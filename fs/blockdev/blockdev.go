// Package blockdev makes a disk a block special file: bytes at any offset, and
// the ioctls of Linux's block devices.
//
// Nothing is cached. What a write returned from has reached the disk, though a
// power cut may still lose it before a Sync.
package blockdev

import (
	"sync"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/block"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// A Disk is a block device that can be opened many times.
type Disk struct {
	device block.Device
	// change is held for reading while whole blocks are written, and alone
	// while parts of blocks are changed by reading and writing them.
	change sync.RWMutex
}

// New returns the block special file of a device.
func New(d block.Device) *Disk { return &Disk{device: d} }

// Open opens the disk with the flags of open(2). The Content is also a
// vfs.Ioctler and a vfs.Syncer.
func (d *Disk) Open(flags int) (vfs.Content, error) { return &file{d, flags}, nil }

// file is an open disk.
type file struct {
	*Disk
	flags int
}

// Data go by way of buffers, since the caller's memory may be a goroutine's
// stack, which moves.
const (
	smallBuffer = 16 << 10
	largeBuffer = 512 << 10
)

var (
	smallBuffers = sync.Pool{New: func() any { return &transfer{buffer: make([]byte, smallBuffer)} }}
	largeBuffers = sync.Pool{New: func() any { return &transfer{buffer: make([]byte, largeBuffer)} }}
)

// transfer is a buffer with the request that reads or writes it.
type transfer struct {
	buffer  []byte
	request block.Request
	parts   [1][]byte
}

// newTransfer returns a transfer for n bytes, or for as many as it can.
func newTransfer(n int64) (*transfer, *sync.Pool) {
	pool := &largeBuffers
	if n <= smallBuffer {
		pool = &smallBuffers
	}
	return pool.Get().(*transfer), pool
}

// do reads or writes the buffer from byte from to byte to at offset off.
func (t *transfer) do(d block.Device, op block.Op, from, to int, off int64) error {
	t.parts[0] = t.buffer[from:to]
	t.request = block.Request{Op: op, Off: off, Parts: t.parts[:]}
	return block.Do(d, &t.request)
}

// aligned reports whether p at off is what O_DIRECT asks for.
func (f *file) aligned(p []byte, off int64) bool {
	return f.flags&syscall.O_DIRECT == 0 || (off|int64(len(p)))&int64(f.device.Info().LogicalBlock-1) == 0
}

// Size implements vfs.Content.
func (f *file) Size() int64 { return f.device.Info().Size }

// Truncate implements vfs.Content: the size of a disk is what it is.
func (f *file) Truncate(int64) error { return syscall.EINVAL }

// ReadAt implements vfs.Content.
func (f *file) ReadAt(p []byte, off int64) (n int, err error) {
	if !f.aligned(p, off) {
		return 0, syscall.EINVAL
	}
	info := f.device.Info()
	if off >= info.Size {
		return 0, nil
	}
	p = p[:min(int64(len(p)), info.Size-off)]
	mask := int64(info.LogicalBlock - 1)
	t, pool := newTransfer(int64(len(p)) + 2*mask)
	defer pool.Put(t)
	for n < len(p) {
		skip := off & mask
		length := min(int64(len(p)-n), int64(len(t.buffer))-skip)
		if err := t.do(f.device, block.Read, 0, int((skip+length+mask)&^mask), off-skip); err != nil {
			return n, err
		}
		copy(p[n:], t.buffer[skip:skip+length])
		n += int(length)
		off += length
	}
	return n, nil
}

// WriteAt implements vfs.Content.
func (f *file) WriteAt(p []byte, off int64) (n int, end int64, err error) {
	info := f.device.Info()
	if off == vfs.AppendOffset {
		off = info.Size
	}
	switch {
	case info.ReadOnly:
		return 0, off, syscall.EPERM
	case len(p) == 0:
		return 0, off, nil
	case off >= info.Size:
		return 0, off, syscall.ENOSPC
	case !f.aligned(p, off):
		return 0, off, syscall.EINVAL
	}
	if room := info.Size - off; int64(len(p)) > room {
		p, err = p[:room], syscall.ENOSPC
	}
	n, failure := f.write(p, off, int64(info.LogicalBlock))
	if failure == nil && f.flags&syscall.O_DSYNC != 0 {
		if failure = f.Sync(); failure != nil {
			n = 0
		}
	}
	if failure != nil {
		err = failure
	}
	return n, off + int64(n), err
}

// write writes within the disk.
func (f *file) write(p []byte, off, block int64) (n int, err error) {
	mask := block - 1
	t, pool := newTransfer(int64(len(p)) + 2*mask)
	defer pool.Put(t)
	for n < len(p) {
		skip := off & mask
		length := min(int64(len(p)-n), int64(len(t.buffer))-skip)
		if err := f.writeBlocks(t, p[n:n+int(length)], off-skip, int(skip), int(mask)); err != nil {
			return n, err
		}
		n += int(length)
		off += length
	}
	return n, nil
}

// writeBlocks writes p skip bytes behind the beginning of the block at off. What
// p leaves of the first and of the last block stays.
func (f *file) writeBlocks(t *transfer, p []byte, off int64, skip, mask int) error {
	end := skip + len(p)
	whole := (end + mask) &^ mask
	if skip == 0 && end == whole {
		f.change.RLock()
		defer f.change.RUnlock()
	} else {
		f.change.Lock()
		defer f.change.Unlock()
	}
	if skip > 0 || end < mask+1 {
		if err := t.do(f.device, block.Read, 0, mask+1, off); err != nil {
			return err
		}
	}
	if last := whole - mask - 1; end < whole && last > 0 {
		if err := t.do(f.device, block.Read, last, whole, off+int64(last)); err != nil {
			return err
		}
	}
	copy(t.buffer[skip:], p)
	return t.do(f.device, block.Write, 0, whole, off)
}

// Sync implements vfs.Syncer.
func (f *file) Sync() error { return block.Flush(f.device) }
