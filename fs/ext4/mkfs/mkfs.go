// Package mkfs makes ext4 file systems as mke2fs of e2fsprogs 1.47 does by
// default, except that no room is kept for more group descriptors
// (resize_inode): nothing here grows a file system.
package mkfs

import (
	"errors"
	"time"

	"github.com/goshawk-os/goshawk/fs/block"
	"github.com/goshawk-os/goshawk/fs/ext4/crc32c"
	"github.com/goshawk-os/goshawk/fs/ext4/disk"
)

// Options of a new file system. The zero value of a field is mke2fs's default,
// except for UUID, HashSeed and Time, which the caller makes up.
type Options struct {
	BlockSize   int    // bytes: 1024, 2048 or 4096; 0: 1024 below 512 MiB but no less than a logical block of the device, else 4096
	InodeRatio  uint64 // bytes of the device for each inode; 0: by size
	Inodes      uint64 // how many inodes; 0: by InodeRatio
	JournalSize uint64 // bytes; 0: by size, none below 2048 blocks
	NoJournal   bool
	Label       string // at most 16 bytes
	UUID        [16]byte
	HashSeed    [16]byte // of the hashes of names in directories, a UUID
	Time        time.Time
	// Reserved is how much only root may use, in percent; nil: 5.
	Reserved *int
}

// A Result says what was made.
type Result struct {
	BlockSize                      int
	Blocks, Inodes, Groups         uint64
	InodesPerGroup, FirstDataBlock uint64
	JournalBlocks                  uint64
}

func (o *Options) check() error {
	switch {
	case o.BlockSize != 0 && o.BlockSize != 1024 && o.BlockSize != 2048 && o.BlockSize != 4096:
		return errors.New("mkfs: blocks have 1024, 2048 or 4096 bytes, not " + number(uint64(o.BlockSize)))
	case o.InodeRatio != 0 && (o.InodeRatio < 1024 || o.InodeRatio > 64<<20):
		return errors.New("mkfs: one inode is for 1024 to 67108864 bytes, not " + number(o.InodeRatio))
	case o.InodeRatio != 0 && o.Inodes != 0:
		return errors.New("mkfs: give the number of inodes or the bytes for each, not both")
	case o.JournalSize != 0 && o.NoJournal:
		return errors.New("mkfs: no journal has no size")
	case len(o.Label) > 16:
		return errors.New("mkfs: a label has at most 16 bytes")
	case o.Reserved != nil && (*o.Reserved < 0 || *o.Reserved > 50):
		return errors.New("mkfs: 0 to 50 percent can be reserved")
	case o.Time.Unix() < 0 || o.Time.Unix() >= 1<<32:
		return errors.New("mkfs: the time is not from 1970 to 2106")
	}
	return nil
}

// Format makes an ext4 file system on a device. What the device held is lost.
// Errors are those of the device or sentences about the options. The
// superblock is written last: until then the device holds no file system.
func Format(dev block.Device, o Options) (*Result, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	info := dev.Info()
	l, err := plan(uint64(info.Size), uint64(info.LogicalBlock), &o)
	if err != nil {
		return nil, err
	}
	w := &writer{layout: l, dev: dev, seed: crc32c.Update(^uint32(0), o.UUID[:]), now: uint32(o.Time.Unix()), zeroed: info.MaxWriteZeroes > 0}
	if err := w.write(); err != nil {
		return nil, err
	}
	r := &Result{BlockSize: int(l.size), Blocks: l.blocks, Inodes: l.inodes * l.groups, Groups: l.groups, InodesPerGroup: l.inodes, FirstDataBlock: l.first}
	for _, j := range l.journal {
		r.JournalBlocks += j.count
	}
	return r, nil
}

// A writer writes a layout.
type writer struct {
	*layout
	dev    block.Device
	seed   uint32
	now    uint32
	zeroed bool // all inode tables are made zero, not only that of group 0
	free   uint64
	err    error
}

func (w *writer) put(number uint64, p []byte) {
	if w.err == nil {
		w.err = block.WriteAt(w.dev, p, int64(number*w.size))
	}
}

func (w *writer) zero(number, count uint64) {
	if w.err == nil {
		w.err = block.Do(w.dev, &block.Request{Op: block.WriteZeroes, Off: int64(number * w.size), Length: int64(count * w.size)})
	}
}

// wiped is how much of the device's beginning is made zero first: signatures of
// other file systems are there.
const wiped = 128 << 10

func (w *writer) write() error {
	w.zero(0, wiped/w.size)
	w.flush()
	descs := w.descriptors()
	w.directories()
	w.journalBlocksAndMap()
	w.inodeTable()
	super := w.super()
	for g := range w.groups {
		if !hasSuper(g) {
			continue
		}
		w.put(w.start(g)+1, descs)
		if g != 0 {
			b := make([]byte, w.size)
			s := *super
			s.S_block_group_nr = uint16(g)
			s.S_state = 0 // a copy is not known to be clean, as with mke2fs
			putSuper(b, &s)
			w.put(w.start(g), b)
		}
	}
	w.flush()
	// The superblock lies in the middle of a block, before which a boot loader may be.
	b := make([]byte, max(w.size, 4096))
	if w.err == nil {
		w.err = block.ReadAt(w.dev, b, 0)
	}
	putSuper(b[disk.SUPER_OFFSET:], super)
	w.put(0, b)
	w.flush()
	return w.err
}

func (w *writer) flush() {
	if w.err == nil {
		w.err = block.Flush(w.dev)
	}
}
