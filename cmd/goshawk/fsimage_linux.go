package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/block"
	"github.com/goshawk-os/goshawk/qemu"
)

// imageSector is the logical block of an image's device, in bytes.
const imageSector = 512

// An imageDevice is an image file as a disk. Unless it was opened for writing, what is written stays in memory.
type imageDevice struct {
	file  *os.File
	size  int64
	write bool

	mu      sync.Mutex
	written map[int64]*[imageSector]byte // by number of the sector
}

// openImage opens an image file, perhaps for writing: then nobody else may have it open so, and no machine.
func openImage(name string, write bool) (*imageDevice, error) {
	flags := os.O_RDONLY
	if write {
		flags = os.O_RDWR | os.O_EXCL // no block device that is mounted
	}
	f, err := os.OpenFile(name, flags, 0)
	if err != nil {
		return nil, err
	}
	if write && qemu.InUse(f, false) {
		f.Close()
		return nil, &fs.PathError{Op: "write", Path: name, Err: fmt.Errorf("the image is in use by a machine")}
	}
	size, err := f.Seek(0, io.SeekEnd) // a disk has no size in its attributes
	if info, _ := f.Stat(); err != nil || info != nil && info.IsDir() {
		f.Close()
		return nil, &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("no image file")}
	}
	return &imageDevice{file: f, size: size / imageSector * imageSector, write: write, written: make(map[int64]*[imageSector]byte)}, nil
}

// Close closes the file.
func (d *imageDevice) Close() error { return d.file.Close() }

// Info implements block.Device.
func (d *imageDevice) Info() block.Info {
	i := block.Info{Size: d.size, LogicalBlock: imageSector, PhysicalBlock: imageSector, VolatileCache: d.write}
	if d.write {
		i.MaxDiscard, i.MaxWriteZeroes = d.size, d.size
	}
	return i
}

// Submit implements block.Device.
func (d *imageDevice) Submit(r *block.Request) { r.Done(r, d.do(r)) }

func (d *imageDevice) do(r *block.Request) error {
	info := d.Info()
	if err := info.Check(r); err != nil {
		return err
	}
	if d.write {
		return d.through(r)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	off := r.Off
	for _, p := range r.Parts {
		switch r.Op {
		case block.Read:
			if _, err := d.file.ReadAt(p, off); err != nil {
				return syscall.EIO
			}
			for i := 0; len(d.written) > 0 && i < len(p); i += imageSector {
				if s := d.written[(off+int64(i))/imageSector]; s != nil {
					copy(p[i:i+imageSector], s[:])
				}
			}
		case block.Write:
			for i := 0; i < len(p); i += imageSector {
				s := [imageSector]byte(p[i:])
				d.written[(off+int64(i))/imageSector] = &s
			}
		}
		off += int64(len(p))
	}
	return nil
}

// through does a request on the file itself.
func (d *imageDevice) through(r *block.Request) (err error) {
	const punchHole = 2 | 1 // FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
	off := r.Off
	switch r.Op {
	case block.Discard, block.WriteZeroes:
		if err = syscall.Fallocate(int(d.file.Fd()), punchHole, off, r.Length); err != nil && r.Op == block.WriteZeroes {
			err = d.zero(off, r.Length)
		}
	case block.FlushCache:
	default:
		for _, p := range r.Parts {
			if r.Op == block.Read {
				_, err = d.file.ReadAt(p, off)
			} else {
				_, err = d.file.WriteAt(p, off)
			}
			if err != nil {
				break
			}
			off += int64(len(p))
		}
	}
	if err == nil && (r.Op == block.FlushCache || r.FUA) {
		err = syscall.Fdatasync(int(d.file.Fd()))
	}
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return syscall.ENOSPC
	case err != nil:
		return syscall.EIO
	}
	return nil
}

// zero writes zeroes where the file cannot have holes.
func (d *imageDevice) zero(off, n int64) error {
	p := make([]byte, min(n, 1<<20))
	for n > 0 {
		part := p[:min(n, int64(len(p)))]
		if _, err := d.file.WriteAt(part, off); err != nil {
			return err
		}
		off += int64(len(part))
		n -= int64(len(part))
	}
	return nil
}
