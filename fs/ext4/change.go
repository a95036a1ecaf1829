package ext4

import (
	"strconv"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/block"
	"github.com/goshawk-os/goshawk/fs/ext4/crc32c"
	"github.com/goshawk-os/goshawk/fs/ext4/disk"
	"github.com/goshawk-os/goshawk/fs/ext4/jbd2"
	"github.com/goshawk-os/goshawk/fs/pagecache"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// How many blocks operations may change at most (Journal.Begin).
const (
	inodeCredits    = 1
	truncateCredits = 2*cutCredits + 4
	allocateSteps   = 3
	allocateCredits = 1 + allocateSteps*extentCredits
	extentCredits   = 8 + cutCredits // to allocate an extent, or to make an unwritten one data
	writeCredits    = 2
	maxExtents      = 16 // put into a file by one handle
	nameCredits     = insertCredits + 16
)

// change does one operation as a part of a transaction. f holds no FS.mu or
// node.mu when it is called. An error of f that says that something could not be read or written,
// or is damaged, may have come half way: then the journal is aborted and nothing of it reaches the disk.
func (fs *FS) change(credits int, f func(h *jbd2.Handle) error) error {
	if fs.readOnly.Load() {
		return syscall.EROFS
	}
	h, err := fs.journal.Begin(credits)
	if err != nil {
		return err
	}
	err = f(h)
	switch err {
	case nil, syscall.ENOSPC, syscall.EFBIG, syscall.EMLINK, syscall.EEXIST, syscall.ENOENT, syscall.ENODATA,
		syscall.ERANGE, syscall.E2BIG, syscall.EOPNOTSUPP, syscall.ENOTEMPTY:
	default:
		fs.journal.Abort(err)
	}
	if e := h.End(); err == nil {
		err = e
	}
	return err
}

// commit makes a transaction lasting, and what was written to the device before.
func (fs *FS) commit(tid jbd2.TID) error {
	if fs.readOnly.Load() {
		return nil
	}
	flush := !fs.journal.WillFlush(tid)
	if fs.journal.CommitAndWait(tid) != nil {
		return syscall.EIO
	}
	if flush && fs.dev.Info().VolatileCache {
		return block.Flush(fs.dev)
	}
	return nil
}

// superPlace returns the block that the superblock is in, and where.
func (fs *FS) superPlace() (number uint64, off int) {
	return uint64(disk.SUPER_OFFSET / fs.size), disk.SUPER_OFFSET % fs.size
}

// changeSuper changes the superblock. The caller holds superMu.
func (fs *FS) changeSuper(h *jbd2.Handle, f func(s *disk.SuperBlock)) error {
	number, off := fs.superPlace()
	b, err := fs.cache.Get(number)
	if err != nil {
		return err
	}
	defer b.Release()
	if err := h.Modify(b); err != nil {
		return err
	}
	fs.editSuper(b.Data[off:], f)
	return nil
}

func (fs *FS) editSuper(p []byte, f func(s *disk.SuperBlock)) {
	s := disk.At[disk.SuperBlock](p, 0)
	f(s)
	s.S_wtime = uint32(vfs.Now().Sec)
	if fs.csum {
		s.S_checksum = crc32c.Update(^uint32(0), p[:disk.SUPER_OFFSET-4])
	}
}

// writeSuper changes the superblock on the disk at once, when no journal runs, or when the one that
// does has failed.
func (fs *FS) writeSuper(f func(s *disk.SuperBlock)) error {
	number, off := fs.superPlace()
	b, err := fs.cache.Get(number)
	if err != nil {
		return err
	}
	defer b.Release()
	p := append([]byte(nil), b.Data...)
	fs.editSuper(p[off:], f)
	err = block.Do(fs.dev, &block.Request{Op: block.Write, Off: int64(number) * int64(fs.size), Parts: [][]byte{p}})
	if err == nil {
		err = block.Flush(fs.dev)
	}
	if err == nil {
		copy(b.Data, p)
	}
	return err
}

// counts brings the totals of the superblock up to date, which only the groups have meanwhile.
func (fs *FS) counts(s *disk.SuperBlock) {
	var blocks uint64
	var inodes uint32
	for _, g := range fs.groups {
		g.mu.Lock()
		blocks += uint64(g.freeBlocks)
		inodes += g.freeInodes
		g.mu.Unlock()
	}
	s.S_free_blocks_count_lo, s.S_free_inodes_count = uint32(blocks), inodes
	if s.S_feature_incompat&disk.INCOMPAT_64BIT != 0 {
		s.S_free_blocks_count_hi = uint32(blocks >> 32)
	}
}

// open starts the journal, which makes the file system one that can be changed.
func (fs *FS) open(log *jbd2.Log) error {
	fs.free.Store(int64(fs.freeBlocks()))
	state := fs.super.S_state
	if log != nil && log.Errno() != 0 {
		state |= disk.ERROR_FS
	}
	switch {
	case state&disk.ERROR_FS != 0:
		fs.log("ext4: the file system has errors; check it with e2fsck")
	case state&disk.VALID_FS == 0 && log == nil:
		fs.log("ext4: the file system has no journal and was not unmounted; check it with e2fsck")
	}
	err := fs.writeSuper(func(s *disk.SuperBlock) {
		s.S_mtime = uint32(vfs.Now().Sec)
		s.S_mnt_count++
		if s.S_state = state; log != nil {
			s.S_feature_incompat |= disk.INCOMPAT_RECOVER
		} else {
			s.S_state &^= disk.VALID_FS
		}
	})
	if err != nil {
		return err
	}
	fs.journal, err = jbd2.Start(fs.cache, log, jbd2.Options{
		Checksum: fs.csum, Wide: fs.super.S_feature_incompat&disk.INCOMPAT_64BIT != 0, Log: func(s string) { fs.log("ext4: journal: " + s) },
		OnAbort: func(err error) {
			fs.log("ext4: the file system can only be read from now on: " + err.Error())
			_ = fs.writeSuper(noteError)
		},
	})
	if err != nil {
		return err
	}
	_ = fs.journal.ClearErrno()
	fs.readOnly.Store(false)
	return fs.recoverOrphans()
}

// noteError has the next mount, and e2fsck, know that something is wrong.
func noteError(s *disk.SuperBlock) {
	s.S_state |= disk.ERROR_FS
	s.S_error_count++
}

// freeBlocks returns what the groups have.
func (fs *FS) freeBlocks() (n uint64) {
	for _, g := range fs.groups {
		g.mu.Lock()
		n += uint64(g.freeBlocks)
		g.mu.Unlock()
	}
	return n
}

// ReadOnly reports whether the file system can only be read, because it is mounted so or has features
// that changes would have to keep.
func (fs *FS) ReadOnly() bool { return fs.readOnly.Load() }

// Sync makes everything lasting.
func (fs *FS) Sync() error {
	if fs.readOnly.Load() {
		return nil
	}
	err := fs.o.Pages.Sync(func(b pagecache.Backend) bool {
		f, ok := b.(*file)
		return ok && f.fs == fs
	})
	fs.mu.Lock()
	stale := make([]*node, 0, len(fs.stale))
	for n := range fs.stale {
		stale = append(stale, n)
	}
	fs.mu.Unlock()
	for _, n := range stale {
		if e := n.flushTimes(); err == nil {
			err = e
		}
	}
	if e := fs.commit(fs.journal.Running()); err == nil {
		err = e
	}
	return err
}

// Unmount makes everything lasting and marks the file system as unmounted. It is not used afterwards.
// Error: what could not be written.
func (fs *FS) Unmount() error {
	if fs.readOnly.Load() {
		return nil
	}
	err := fs.Sync()
	fs.readOnly.Store(true)
	if e := fs.journal.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return fs.writeSuper(func(s *disk.SuperBlock) {
		fs.counts(s)
		s.S_feature_incompat &^= disk.INCOMPAT_RECOVER
		if !fs.wrong.Load() {
			s.S_state |= disk.VALID_FS
		}
	})
}

// log tells Options.Log.
func (fs *FS) log(text string) {
	if fs.o.Log != nil {
		fs.o.Log(text)
	}
}

func (fs *FS) say(what string, number uint64, text string) {
	fs.log("ext4: " + what + " " + strconv.FormatUint(number, 10) + " " + text)
}

// damaged logs what is wrong, has the superblock say so too, and returns EUCLEAN.
func (fs *FS) damaged(what string, number uint64, why string) error {
	fs.say(what, number, "is damaged: "+why)
	if !fs.readOnly.Load() && fs.journal != nil && !fs.wrong.Swap(true) {
		go func() { // the caller may have a handle
			_ = fs.change(1, func(h *jbd2.Handle) error {
				fs.superMu.Lock()
				defer fs.superMu.Unlock()
				return fs.changeSuper(h, noteError)
			})
		}()
	}
	return syscall.EUCLEAN
}
