package ext4

import (
	"math/bits"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/ext4/disk"
	"github.com/goshawk-os/goshawk/fs/ext4/jbd2"
)

// chooseGroups returns in which order groups are tried for a new inode: files
// go where their directory is; directories of the root are spread, and others
// stay near their parents while there is room (Orlov's allocator).
func (fs *FS) chooseGroups(parent uint32, dir bool) (first int) {
	home := int((parent - 1) / fs.super.S_inodes_per_group)
	if !dir {
		return home
	}
	var inodes, blocks uint64
	for _, g := range fs.groups {
		g.mu.Lock()
		inodes += uint64(g.freeInodes)
		blocks += uint64(g.freeBlocks)
		g.mu.Unlock()
	}
	n := uint64(len(fs.groups))
	roomy := func(g *group) (dirs uint32, ok bool) {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.usedDirs, g.freeInodes > 0 && uint64(g.freeInodes) >= inodes/n && uint64(g.freeBlocks) >= blocks/n
	}
	best, fewest := home, ^uint32(0)
	if parent != disk.ROOT_INO {
		for i := range len(fs.groups) {
			g := (home + i) % len(fs.groups)
			if dirs, ok := roomy(fs.groups[g]); ok && dirs < fs.super.S_inodes_per_group/16+64 {
				return g
			}
		}
		return home
	}
	for i, g := range fs.groups {
		if dirs, ok := roomy(g); ok && dirs < fewest {
			best, fewest = i, dirs
		}
	}
	return best
}

// newInode allocates an inode's number. fresh says that nothing in the block of the table that
// has it was ever written.
func (fs *FS) newInode(h *jbd2.Handle, parent uint32, dir bool) (ino uint32, fresh bool, err error) {
	first := fs.chooseGroups(parent, dir)
	for i := range len(fs.groups) {
		g := fs.groups[(first+i)%len(fs.groups)]
		g.mu.Lock()
		bit, fresh, err := -1, false, error(nil)
		if g.freeInodes > 0 && !g.bad {
			bit, fresh, err = fs.newInodeIn(h, g, dir)
		}
		g.mu.Unlock()
		if err != nil {
			return 0, false, err
		}
		if bit >= 0 {
			return uint32(g.number)*fs.super.S_inodes_per_group + uint32(bit) + 1, fresh, nil
		}
	}
	return 0, false, syscall.ENOSPC
}

// inodeBitmap returns that of a group, checked. The caller holds g.mu and releases it.
func (fs *FS) inodeBitmap(g *group) (*jbd2.Buffer, error) {
	b, err := fs.cache.Get(g.inodeBitmap)
	if err != nil {
		return nil, err
	}
	if fs.csum && !b.Verified() && fs.bitmapSum(b.Data, fs.super.S_inodes_per_group) != g.inodeSum {
		b.Release()
		return nil, fs.damaged("the inode bitmap of group", uint64(g.number), "wrong checksum")
	}
	b.SetVerified()
	return b, nil
}

// newInodeIn finds the first free inode of a group; -1 if there is none. The caller holds g.mu.
func (fs *FS) newInodeIn(h *jbd2.Handle, g *group, dir bool) (bit int, fresh bool, err error) {
	per := int(fs.super.S_inodes_per_group)
	var b *jbd2.Buffer
	if g.flags&disk.BG_INODE_UNINIT != 0 {
		if b, err = h.Create(g.inodeBitmap); err != nil {
			return -1, false, err
		}
		defer b.Release()
		for i := per / 8; i < fs.size; i++ {
			b.Data[i] = 0xff
		}
		g.flags &^= disk.BG_INODE_UNINIT
	} else {
		if b, err = fs.inodeBitmap(g); err != nil {
			g.bad = true
			return -1, false, nil
		}
		defer b.Release()
	}
	from := 0
	if g.number == 0 {
		from = int(max(fs.super.S_first_ino, disk.GOOD_OLD_FIRST_INO)) - 1
	}
	bit = firstClear(b.Data, from, per)
	if bit < 0 {
		return -1, false, nil
	}
	if err := h.Modify(b); err != nil {
		return -1, false, err
	}
	setBits(b.Data, bit, 1, true)
	if fs.csum {
		g.inodeSum = fs.bitmapSum(b.Data, fs.super.S_inodes_per_group)
	}
	used := per - int(g.itableUnused)
	inBlock := fs.size / fs.inodeLen
	fresh = g.itableUnused > 0 && bit/inBlock*inBlock >= used
	if bit >= used {
		g.itableUnused = uint32(per - bit - 1)
	}
	g.freeInodes--
	if dir {
		g.usedDirs++
	}
	return bit, fresh, fs.storeGroup(h, g)
}

// firstClear returns the first bit from from on, and before end, that is clear, -1 if there is none.
func firstClear(p []byte, from, end int) int {
	for i := from; i < end; {
		w := ^p[i/8] >> (i % 8)
		if w != 0 {
			if i += bits.TrailingZeros8(w); i < end {
				return i
			}
			return -1
		}
		i = i&^7 + 8
	}
	return -1
}

// freeInode gives an inode's number back.
func (fs *FS) freeInode(h *jbd2.Handle, ino uint32, dir bool) error {
	g := fs.groups[(ino-1)/fs.super.S_inodes_per_group]
	g.mu.Lock()
	defer g.mu.Unlock()
	b, err := fs.inodeBitmap(g)
	if err != nil {
		return err
	}
	defer b.Release()
	if err := h.Modify(b); err != nil {
		return err
	}
	if !setBits(b.Data, int((ino-1)%fs.super.S_inodes_per_group), 1, false) {
		return fs.damaged("inode", uint64(ino), "it was free")
	}
	if fs.csum {
		g.inodeSum = fs.bitmapSum(b.Data, fs.super.S_inodes_per_group)
	}
	g.freeInodes++
	if dir {
		g.usedDirs--
	}
	return fs.storeGroup(h, g)
}
