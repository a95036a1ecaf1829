package ext4

import (
	"math"
	"strconv"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/ext4/crc32c"
	"github.com/goshawk-os/goshawk/fs/ext4/disk"
	"github.com/goshawk-os/goshawk/fs/ext4/jbd2"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// The list of orphans (orphan.rst) holds inodes that have no name and are
// still in use, and those that are being made shorter by more than one
// transaction. It begins in the superblock and goes on in i_dtime. After a crash,
// Mount deletes or truncates them.

// addOrphan puts an inode into the list. The caller does not hold n.mu.
func (fs *FS) addOrphan(h *jbd2.Handle, n *node) error {
	fs.superMu.Lock()
	defer fs.superMu.Unlock()
	if n.orphan {
		return nil
	}
	next := uint32(0)
	if fs.orphans != nil {
		next = fs.orphans.ino
	}
	if err := n.update(h, func(r *disk.Inode) { r.I_dtime = next }); err != nil {
		return err
	}
	if err := fs.changeSuper(h, func(s *disk.SuperBlock) { s.S_last_orphan = n.ino }); err != nil {
		return err
	}
	n.orphan, n.nextOrphan = true, fs.orphans
	if n.nextOrphan != nil {
		n.nextOrphan.prevOrphan = n
	}
	fs.orphans = n
	return nil
}

// removeOrphan takes it out, and sets i_dtime to the time of its deletion, or 0.
func (fs *FS) removeOrphan(h *jbd2.Handle, n *node, dtime uint32) error {
	fs.superMu.Lock()
	defer fs.superMu.Unlock()
	if !n.orphan {
		return nil
	}
	next := uint32(0)
	if n.nextOrphan != nil {
		next = n.nextOrphan.ino
	}
	var err error
	if n.prevOrphan != nil {
		err = n.prevOrphan.update(h, func(r *disk.Inode) { r.I_dtime = next })
	} else {
		err = fs.changeSuper(h, func(s *disk.SuperBlock) { s.S_last_orphan = next })
	}
	if err != nil {
		return err
	}
	if n.prevOrphan != nil {
		n.prevOrphan.nextOrphan = n.nextOrphan
	} else {
		fs.orphans = n.nextOrphan
	}
	if n.nextOrphan != nil {
		n.nextOrphan.prevOrphan = n.prevOrphan
	}
	n.orphan, n.prevOrphan, n.nextOrphan = false, nil, nil
	return n.update(h, func(r *disk.Inode) { r.I_dtime = dtime })
}

// cutRange frees the blocks from to end-1 of a file, if need be in several transactions.
func (fs *FS) cutRange(h *jbd2.Handle, n *node, from, end uint64) error {
	for {
		n.mu.Lock()
		more, err := n.cut(h, from, end, true)
		if e := n.store(h); err == nil {
			err = e
		}
		n.mu.Unlock()
		if err != nil || !more {
			return err
		}
		if err := h.Restart(truncateCredits); err != nil {
			return err
		}
	}
}

// cutAll frees the blocks from from on. A crash in between does not leave the rest: until it is
// done the inode is an orphan.
func (fs *FS) cutAll(h *jbd2.Handle, n *node, from uint64) error {
	for added := false; ; {
		n.mu.Lock()
		more, err := n.cut(h, from, math.MaxUint32, true)
		if e := n.store(h); err == nil {
			err = e
		}
		orphan := n.orphan
		n.mu.Unlock()
		switch {
		case err != nil:
			return err
		case !more && added:
			return fs.removeOrphan(h, n, 0)
		case !more:
			return nil
		case !orphan:
			added = true
			if err := fs.addOrphan(h, n); err != nil {
				return err
			}
		}
		if err := h.Restart(truncateCredits); err != nil {
			return err
		}
	}
}

// dead notes that an inode has lost its last name.
func (fs *FS) dead(n *node) {
	fs.mu.Lock()
	n.nameless = true
	fs.mu.Unlock()
	fs.reap(n)
}

// reap deletes an inode that nobody can reach any more.
func (fs *FS) reap(n *node) {
	fs.mu.Lock()
	gone := n.nameless && n.opens == 0 && !n.freed && !fs.readOnly.Load()
	if gone {
		n.freed = true
		delete(fs.stale, n)
	}
	fs.mu.Unlock()
	if !gone {
		return
	}
	if f, ok := n.self.(*file); ok {
		f.pages.Close()
		f.fulfil(0, math.MaxInt64)
	}
	if err := fs.delete(n); err != nil && fs.o.Log != nil {
		fs.say("inode", uint64(n.ino), "cannot be deleted now, the next mount will: "+err.Error())
	}
}

// delete frees what an orphan has, and its number.
func (fs *FS) delete(n *node) error {
	return fs.change(truncateCredits, func(h *jbd2.Handle) error {
		if n.raw.I_flags&disk.EXTENTS_FL != 0 {
			if err := fs.cutAll(h, n, 0); err != nil {
				return err
			}
		} else if n.sectors() > 0 && n.typ != syscall.S_IFLNK {
			return syscall.EOPNOTSUPP // a block map
		}
		if err := n.dropXattrs(h); err != nil {
			return err
		}
		if err := fs.removeOrphan(h, n, uint32(vfs.Now().Sec)); err != nil {
			return err
		}
		// The number may have another owner as soon as it is free.
		fs.mu.Lock()
		delete(fs.inodes, n.ino)
		fs.mu.Unlock()
		return fs.freeInode(h, n.ino, n.typ == syscall.S_IFDIR)
	})
}

// recoverOrphans does, at mount, what a crash has left undone.
func (fs *FS) recoverOrphans() error {
	list, err := fs.listOrphans()
	if err != nil {
		return err
	}
	for i := len(list) - 1; i >= 0; i-- { // as they were added, so that the list on the disk stays right
		n := list[i]
		n.orphan = true
		if n.nextOrphan = fs.orphans; n.nextOrphan != nil {
			n.nextOrphan.prevOrphan = n
		}
		fs.orphans = n
	}
	deleted, cut := 0, 0
	for _, n := range list {
		if n.raw.I_links_count == 0 {
			deleted++
			err = fs.delete(n)
		} else {
			cut++
			err = fs.change(truncateCredits, func(h *jbd2.Handle) error {
				if err := fs.cutAll(h, n, (n.size+uint64(fs.size)-1)/uint64(fs.size)); err != nil {
					return err
				}
				return fs.removeOrphan(h, n, 0)
			})
		}
		if err != nil {
			return err
		}
	}
	if deleted+cut > 0 {
		fs.log("ext4: " + strconv.Itoa(deleted) + " files that were deleted and still open before a crash are gone, " +
			strconv.Itoa(cut) + " are truncated now")
	}
	return fs.clearOrphanFile()
}

// listOrphans reads the list from the superblock, and the orphan file (with COMPAT_ORPHAN_FILE).
func (fs *FS) listOrphans() ([]*node, error) {
	var list []*node
	seen := make(map[uint32]bool)
	for ino := fs.super.S_last_orphan; ino != 0; {
		if seen[ino] {
			return nil, fs.damaged("inode", uint64(ino), "it is twice in the list of orphans")
		}
		seen[ino] = true
		n, err := fs.orphan(ino)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
		ino = n.raw.I_dtime
	}
	err := fs.orphanFile(func(b *jbd2.Buffer, ino *uint32) error {
		if *ino == 0 || seen[*ino] {
			return nil
		}
		seen[*ino] = true
		n, err := fs.orphan(*ino)
		if err != nil {
			return err
		}
		// It goes into the list, which is what the rest of this package knows.
		return fs.change(inodeCredits+2, func(h *jbd2.Handle) error {
			if len(list) > 0 {
				fs.orphans = list[0]
			}
			n.orphan = false
			err := fs.addOrphan(h, n)
			fs.orphans = nil
			list = append([]*node{n}, list...)
			for _, n := range list {
				n.nextOrphan, n.prevOrphan = nil, nil
			}
			return err
		})
	})
	return list, err
}

// orphan reads an inode that may have no name.
func (fs *FS) orphan(ino uint32) (*node, error) {
	n, err := fs.readNode(ino)
	if err != nil {
		return nil, err
	}
	n.self = &special{}
	return n, nil
}

// orphanFile calls use for each number in the orphan file.
func (fs *FS) orphanFile(use func(b *jbd2.Buffer, ino *uint32) error) error {
	if fs.super.S_feature_ro_compat&disk.RO_COMPAT_ORPHAN_PRESENT == 0 {
		return nil
	}
	const magic = 0x0b10ca04 // EXT4_ORPHAN_BLOCK_MAGIC, in ob_magic behind the numbers
	file, err := fs.readNode(fs.super.S_orphan_file_inum)
	if err != nil {
		return err
	}
	for at := uint64(0); at < file.size/uint64(fs.size); at++ {
		r, err := file.lookup(at)
		if err != nil || !r.data() {
			return joinErrors(fs.damaged("inode", uint64(file.ino), "the orphan file has a hole"), err)
		}
		b, err := fs.cache.Get(r.phys)
		if err != nil {
			return err
		}
		numbers := (fs.size - 8) / 4
		if *disk.At[uint32](b.Data, numbers*4) != magic ||
			fs.csum && *disk.At[uint32](b.Data, numbers*4+4) != orphanSum(file, b) {
			err = fs.damaged("block", r.phys, "it is none of the orphan file")
		}
		for i := 0; i < numbers && err == nil; i++ {
			err = use(b, disk.At[uint32](b.Data, 4*i))
		}
		b.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// orphanSum is the checksum of a block of the orphan file: over its number and the inode numbers in it.
func orphanSum(file *node, b *jbd2.Buffer) uint32 {
	c := crc32c.Update(crc32c.Update(file.seed, raw4(uint32(b.Block))), raw4(uint32(b.Block>>32)))
	return crc32c.Update(c, b.Data[:(len(b.Data)-8)/4*4])
}

// clearOrphanFile empties the orphan file: this package uses the list, which all systems read.
func (fs *FS) clearOrphanFile() error {
	if fs.super.S_feature_ro_compat&disk.RO_COMPAT_ORPHAN_PRESENT == 0 {
		return nil
	}
	file, err := fs.readNode(fs.super.S_orphan_file_inum)
	if err != nil {
		return err
	}
	err = fs.orphanFile(func(b *jbd2.Buffer, ino *uint32) error {
		if *ino == 0 {
			return nil
		}
		return fs.change(1, func(h *jbd2.Handle) error {
			if err := h.Modify(b); err != nil {
				return err
			}
			*ino = 0
			if fs.csum {
				*disk.At[uint32](b.Data, (fs.size-8)/4*4+4) = orphanSum(file, b)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	return fs.change(1, func(h *jbd2.Handle) error {
		fs.superMu.Lock()
		defer fs.superMu.Unlock()
		fs.super.S_feature_ro_compat &^= disk.RO_COMPAT_ORPHAN_PRESENT
		return fs.changeSuper(h, func(s *disk.SuperBlock) { s.S_feature_ro_compat &^= disk.RO_COMPAT_ORPHAN_PRESENT })
	})
}
