package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/block"
)

// imageSector is the logical block of an image's device, in bytes.
const imageSector = 512

// An imageDevice is an image file as a disk. What is written stays in memory.
type imageDevice struct {
	file *os.File
	size int64

	mu      sync.Mutex
	written map[int64]*[imageSector]byte // by number of the sector
}

// openImage opens an image file for reading.
func openImage(name string) (*imageDevice, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	size, err := f.Seek(0, io.SeekEnd) // a disk has no size in its attributes
	if info, _ := f.Stat(); err != nil || info != nil && info.IsDir() {
		f.Close()
		return nil, &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("no image file")}
	}
	return &imageDevice{file: f, size: size / imageSector * imageSector, written: make(map[int64]*[imageSector]byte)}, nil
}

// Close closes the file.
func (d *imageDevice) Close() error { return d.file.Close() }

// Info implements block.Device.
func (d *imageDevice) Info() block.Info {
	return block.Info{Size: d.size, LogicalBlock: imageSector, PhysicalBlock: imageSector}
}

// Submit implements block.Device.
func (d *imageDevice) Submit(r *block.Request) { r.Done(r, d.do(r)) }

func (d *imageDevice) do(r *block.Request) error {
	info := d.Info()
	if err := info.Check(r); err != nil {
		return err
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
