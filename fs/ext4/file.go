package ext4

import (
	"math"
	"sync"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/ext4/disk"
	"github.com/goshawk-os/goshawk/fs/ext4/jbd2"
	"github.com/goshawk-os/goshawk/fs/pagecache"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// file is a regular file. Its size is that of pages; node.size is how much of it the disk has.
type file struct {
	node
	pages  *pagecache.Mapping
	inline []byte // the content, when it lies in the inode

	promiseMu sync.Mutex
	// promised has a bit for each page that has been promised blocks, 64 pages to a word.
	promised map[int64]uint64
}

func (f *file) open() error {
	if f.inlined {
		var err error
		if f.inline, err = f.inlineData(); err != nil {
			return err
		}
	}
	f.pages = f.fs.o.Pages.NewMapping(f, int64(f.size))
	return nil
}

// Stat implements vfs.Inode.
func (f *file) Stat() (vfs.Stat, error) {
	st, err := f.node.Stat()
	st.Size = f.pages.Size()
	f.promiseMu.Lock()
	waiting := len(f.promised) > 0
	f.promiseMu.Unlock()
	if waiting {
		st.Blocks += int64(f.pages.Dirty()) * (pagecache.PageSize / 512)
	}
	return st, err
}

// Size implements vfs.Content.
func (f *file) Size() int64 { return f.pages.Size() }

// ReadAt implements vfs.Content.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	f.accessed()
	return f.pages.ReadAt(p, off)
}

// Lend implements vfs.Lender. What cannot be read ends the bytes that are lent.
func (f *file) Lend(off int64, n int, use func(parts [][]byte)) int {
	f.accessed()
	n, _ = f.pages.Lend(off, n, use)
	return n
}

// Map implements vfs.Mapper.
func (f *file) Map(off int64, memory []byte, write bool) (unmap func(), err error) {
	if write {
		if err := f.changeable(); err != nil {
			return nil, err
		}
		f.written()
	}
	return f.pages.Map(off, memory, write)
}

// maxSize is the most bytes of a file: its blocks have numbers of 32 bits.
func (f *file) maxSize() int64 { return int64(f.fs.size) * math.MaxUint32 }

// changeable returns why the content cannot be changed.
func (f *file) changeable() error {
	switch {
	case f.fs.readOnly.Load():
		return syscall.EROFS
	case f.blockMap:
		f.fs.say("inode", uint64(f.ino), "has a block map, and such files can only be read")
		return syscall.EOPNOTSUPP
	case f.fs.journal.Err() != nil:
		return syscall.EROFS
	}
	return nil
}

// WriteAt implements vfs.Content.
func (f *file) WriteAt(p []byte, off int64) (int, int64, error) {
	if err := f.changeable(); err != nil {
		return 0, max(off, 0), err
	}
	if off != vfs.AppendOffset {
		if off >= f.maxSize() {
			return 0, off, syscall.EFBIG
		}
		p = p[:min(int64(len(p)), f.maxSize()-off)]
	}
	n, end, err := f.pages.WriteAt(p, off)
	if n > 0 {
		f.written()
	}
	return n, end, err
}

// Truncate implements vfs.Content.
func (f *file) Truncate(size int64) error {
	if err := f.changeable(); err != nil {
		return err
	}
	if size > f.maxSize() {
		return syscall.EFBIG
	}
	return f.pages.Truncate(size, func() error {
		// The next pages after the end are cut off too: they may be promised or preallocated.
		if first := (size + pagecache.PageSize - 1) / pagecache.PageSize; size < f.pages.Size() {
			f.fulfil(first, math.MaxInt64)
		}
		return f.fs.change(truncateCredits, func(h *jbd2.Handle) error {
			now := vfs.Now()
			f.mu.Lock()
			shrinks := uint64(size) < f.size || size < f.pages.Size()
			f.size = uint64(size)
			f.setMtime(now)
			f.setCtime(now)
			err := f.store(h)
			f.dataTID = h.TID()
			f.mu.Unlock()
			if err != nil || !shrinks {
				return err
			}
			return f.fs.cutAll(h, &f.node, f.blocks(size))
		})
	})
}

// blocks returns how many blocks so many bytes take.
func (f *file) blocks(n int64) uint64 {
	return (uint64(n) + uint64(f.fs.size) - 1) / uint64(f.fs.size)
}

// Allocate implements vfs.Allocator.
func (f *file) Allocate(mode uint32, off, n int64) error {
	if err := f.changeable(); err != nil {
		return err
	}
	per := uint64(pagecache.PageSize / f.fs.size)
	if mode&abi.FALLOC_FL_PUNCH_HOLE != 0 {
		if off >= f.maxSize() {
			return nil
		}
		err := f.pages.Punch(off, min(n, f.maxSize()-off), func(first, end int64) error {
			f.fulfil(first, end)
			size := uint64(f.pages.Size())
			return f.fs.change(truncateCredits, func(h *jbd2.Handle) error {
				// What would have told the disk the size may be among the pages that are dropped.
				f.mu.Lock()
				f.size, f.dataTID = max(f.size, size), h.TID()
				f.mu.Unlock()
				return f.fs.cutRange(h, &f.node, uint64(first)*per, uint64(end)*per)
			})
		})
		if err == nil {
			f.written()
		}
		return err
	}
	if off+n > f.maxSize() {
		return syscall.EFBIG
	}
	for again := true; ; again = false {
		size := f.pages.Size()
		if mode&abi.FALLOC_FL_KEEP_SIZE == 0 {
			size = max(size, off+n)
		}
		err := f.pages.Truncate(size, func() error { return f.preallocate(off, n, size) })
		if err != syscall.ENOSPC || !again || !f.fs.reclaim() {
			if err == nil {
				f.written()
			}
			return err
		}
	}
}

// preallocate gives blocks to the holes in a range, and then the file its size.
func (f *file) preallocate(off, n, size int64) error {
	at, end := uint64(off)/uint64(f.fs.size), f.blocks(off+n)
	for at < end {
		err := f.fs.change(allocateCredits, func(h *jbd2.Handle) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			for used := 0; at < end && used < allocateSteps; {
				r, err := f.lookup(at)
				if err != nil {
					return err
				}
				count := min(r.count, end-at)
				if r.phys == 0 {
					start, got, err := f.fs.take(f.goal(at), int(min(count, disk.EXT_INIT_MAX_LEN-1)), forNames)
					if err != nil {
						return joinErrors(err, f.store(h))
					}
					if err := f.add(h, extent{uint32(at), uint32(got), start, true}); err != nil {
						f.fs.drop(start, got)
						return joinErrors(err, f.store(h))
					}
					count = uint64(got)
					used++
				}
				at += count
			}
			return f.store(h)
		})
		if err != nil {
			return err
		}
	}
	f.mu.RLock()
	grows := uint64(size) > f.size
	f.mu.RUnlock()
	if !grows {
		return nil
	}
	return f.fs.change(inodeCredits, func(h *jbd2.Handle) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.size, f.dataTID = uint64(size), h.TID()
		return f.store(h)
	})
}

// joinErrors returns the second error if there is one: it is the graver one.
func joinErrors(err, graver error) error {
	if graver != nil {
		return graver
	}
	return err
}

// add puts an extent of blocks that were taken into the file. The caller holds mu and stores the inode.
func (n *node) add(h *jbd2.Handle, e extent) error {
	if err := n.put(h, e); err != nil {
		return err
	}
	n.addBlocks(int64(e.count))
	n.dataTID = h.TID()
	return n.fs.place(h, e.phys, int(e.count))
}

// goal returns where block at of the file had best lie: behind the one before it. The caller holds mu.
func (n *node) goal(at uint64) uint64 {
	if at > 0 {
		if r, err := n.lookup(at - 1); err == nil && r.phys != 0 {
			return r.phys + 1
		}
	}
	return n.fs.groups[(n.ino-1)/n.fs.super.S_inodes_per_group].first
}

// SeekData implements vfs.Sparse.
func (f *file) SeekData(off int64) (int64, error) { return f.seek(off, true) }

// SeekHole implements vfs.Sparse.
func (f *file) SeekHole(off int64) (int64, error) { return f.seek(off, false) }

func (f *file) seek(off int64, data bool) (int64, error) {
	// What has no blocks yet is data too.
	if f.pages.Dirty() > 0 {
		if err := f.pages.SyncAll(); err != nil {
			return 0, err
		}
	}
	total := f.pages.Size()
	if off < 0 || off >= total {
		return 0, syscall.ENXIO
	}
	if f.inline != nil {
		if data {
			return off, nil
		}
		return total, nil
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	size := uint64(f.fs.size)
	at, end := uint64(off)/size, f.blocks(total)
	for at < end {
		r, err := f.lookup(at)
		if err != nil {
			return 0, err
		}
		if r.data() == data {
			return max(off, int64(at*size)), nil
		}
		if at >= 1<<32 {
			break // no file has blocks there
		}
		at += r.count
	}
	if data {
		return 0, syscall.ENXIO
	}
	return total, nil
}

// Sync implements vfs.Syncer.
func (f *file) Sync() error {
	if f.fs.readOnly.Load() {
		return nil
	}
	if err := f.pages.SyncAll(); err != nil {
		return err
	}
	return f.node.Sync()
}

// DataSync makes lasting what is needed to read the data (fdatasync).
func (f *file) DataSync() error {
	if f.fs.readOnly.Load() {
		return nil
	}
	if err := f.pages.SyncAll(); err != nil {
		return err
	}
	f.mu.RLock()
	tid := f.dataTID
	f.mu.RUnlock()
	return f.fs.commit(tid)
}

// SyncRange writes the dirty pages of a range and waits for them; it makes nothing lasting.
func (f *file) SyncRange(off, n int64) error { return f.pages.Sync(off, n) }
