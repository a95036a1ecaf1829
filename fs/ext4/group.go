package ext4

import (
	"errors"
	"strconv"
	"sync"
	"unsafe"

	"github.com/goshawk-os/goshawk/fs/ext4/crc32c"
	"github.com/goshawk-os/goshawk/fs/ext4/disk"
	"github.com/goshawk-os/goshawk/fs/ext4/jbd2"
)

// group is a block group: its descriptor, and the allocator's view of its blocks.
type group struct {
	number                               int
	blockBitmap, inodeBitmap, inodeTable uint64 // blocks
	first                                uint64 // block of bit 0
	count                                int    // blocks

	mu                               sync.Mutex
	flags                            uint16
	freeBlocks, freeInodes, usedDirs uint32
	itableUnused                     uint32 // inodes at the table's end that were never used
	blockSum, inodeSum               uint32 // checksums of the bitmaps

	// used has a bit for each block that cannot be had: what is in the bitmap on the
	// disk, what is about to be, and what was freed by a transaction that is not
	// there yet; nil until it is needed. avail counts the others.
	used  []uint64
	avail int
	bad   bool // a bitmap is damaged: nothing is allocated here
}

// readGroups reads and checks all group descriptors.
func (fs *FS) readGroups() error {
	s := &fs.super
	count := int((fs.blocks - uint64(s.S_first_data_block) + uint64(s.S_blocks_per_group) - 1) / uint64(s.S_blocks_per_group))
	fs.groups = make([]*group, 0, min(count, 1<<16))
	perBlock := fs.size / fs.descLen
	tableBlocks := (uint64(s.S_inodes_per_group)*uint64(fs.inodeLen) + uint64(fs.size) - 1) / uint64(fs.size)
	for first := 0; first < count; first += perBlock {
		b, err := fs.cache.Get(fs.descriptorBlock(first / perBlock))
		if err != nil {
			return errors.New("ext4: the group descriptors cannot be read: " + err.Error())
		}
		for i := first; i < min(first+perBlock, count); i++ {
			d := b.Data[(i-first)*fs.descLen:][:fs.descLen]
			g := fs.parseGroup(i, d)
			if !fs.groupSum(i, d) || !fs.valid(g.inodeTable, tableBlocks) || !fs.valid(g.blockBitmap, 1) ||
				!fs.valid(g.inodeBitmap, 1) || g.freeInodes > s.S_inodes_per_group || g.itableUnused > s.S_inodes_per_group {
				b.Release()
				return errors.New("ext4: group descriptor " + strconv.Itoa(i) + " is damaged")
			}
			fs.groups = append(fs.groups, g)
		}
		b.Release()
	}
	return nil
}

func (fs *FS) parseGroup(i int, d []byte) *group {
	var w disk.GroupDesc
	if len(d) >= disk.MIN_DESC_SIZE_64BIT {
		w = *disk.At[disk.GroupDesc](d, 0)
	} else {
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&w)), disk.MIN_DESC_SIZE), d)
	}
	s := &fs.super
	first := uint64(s.S_first_data_block) + uint64(i)*uint64(s.S_blocks_per_group)
	g := &group{
		number: i, first: first, count: int(min(uint64(s.S_blocks_per_group), fs.blocks-first)),
		blockBitmap:  uint64(w.Bg_block_bitmap_lo) | uint64(w.Bg_block_bitmap_hi)<<32,
		inodeBitmap:  uint64(w.Bg_inode_bitmap_lo) | uint64(w.Bg_inode_bitmap_hi)<<32,
		inodeTable:   uint64(w.Bg_inode_table_lo) | uint64(w.Bg_inode_table_hi)<<32,
		freeBlocks:   uint32(w.Bg_free_blocks_count_lo) | uint32(w.Bg_free_blocks_count_hi)<<16,
		freeInodes:   uint32(w.Bg_free_inodes_count_lo) | uint32(w.Bg_free_inodes_count_hi)<<16,
		usedDirs:     uint32(w.Bg_used_dirs_count_lo) | uint32(w.Bg_used_dirs_count_hi)<<16,
		itableUnused: uint32(w.Bg_itable_unused_lo) | uint32(w.Bg_itable_unused_hi)<<16,
		blockSum:     uint32(w.Bg_block_bitmap_csum_lo) | uint32(w.Bg_block_bitmap_csum_hi)<<16,
		inodeSum:     uint32(w.Bg_inode_bitmap_csum_lo) | uint32(w.Bg_inode_bitmap_csum_hi)<<16,
		flags:        w.Bg_flags,
	}
	if !fs.csum && s.S_feature_ro_compat&disk.RO_COMPAT_GDT_CSUM == 0 {
		g.flags, g.itableUnused = 0, 0 // these fields mean nothing then
	}
	return g
}

// storeGroup writes what changes of a descriptor. The caller holds g.mu.
func (fs *FS) storeGroup(h *jbd2.Handle, g *group) error {
	perBlock := fs.size / fs.descLen
	b, err := fs.cache.Get(fs.descriptorBlock(g.number / perBlock))
	if err != nil {
		return err
	}
	defer b.Release()
	if err := h.Modify(b); err != nil {
		return err
	}
	d := b.Data[g.number%perBlock*fs.descLen:][:fs.descLen]
	var w disk.GroupDesc
	whole := unsafe.Slice((*byte)(unsafe.Pointer(&w)), unsafe.Sizeof(w))
	copy(whole, d)
	put := func(lo, hi *uint16, v uint32) { *lo, *hi = uint16(v), uint16(v>>16) }
	put(&w.Bg_free_blocks_count_lo, &w.Bg_free_blocks_count_hi, g.freeBlocks)
	put(&w.Bg_free_inodes_count_lo, &w.Bg_free_inodes_count_hi, g.freeInodes)
	put(&w.Bg_used_dirs_count_lo, &w.Bg_used_dirs_count_hi, g.usedDirs)
	sums := fs.csum || fs.super.S_feature_ro_compat&disk.RO_COMPAT_GDT_CSUM != 0
	if sums {
		put(&w.Bg_itable_unused_lo, &w.Bg_itable_unused_hi, g.itableUnused)
		w.Bg_flags = g.flags
	}
	if fs.csum {
		put(&w.Bg_block_bitmap_csum_lo, &w.Bg_block_bitmap_csum_hi, g.blockSum)
		put(&w.Bg_inode_bitmap_csum_lo, &w.Bg_inode_bitmap_csum_hi, g.inodeSum)
	}
	copy(d, whole)
	if sums {
		*disk.At[uint16](d, disk.DESC_CHECKSUM) = fs.descSum(g.number, d)
	}
	return nil
}

// descriptorBlock returns where block n of the table of group descriptors lies:
// behind the superblock, or with META_BG in the first group of those it describes
// (group_descr.rst).
func (fs *FS) descriptorBlock(n int) uint64 {
	s := &fs.super
	first := uint64(s.S_first_data_block)
	if s.S_feature_incompat&disk.INCOMPAT_META_BG == 0 || n < int(s.S_first_meta_bg) {
		return uint64(disk.SUPER_OFFSET/fs.size) + 1 + uint64(n)
	}
	g := uint64(n) * uint64(fs.size/fs.descLen)
	at := first + g*uint64(s.S_blocks_per_group)
	if fs.hasSuper(g) {
		at++
	}
	if g == 0 && first == 0 && fs.size == disk.SUPER_OFFSET {
		at++ // block 0 is before the superblock's, and belongs to the group (bigalloc)
	}
	return at
}

// hasSuper reports whether a group has a copy of the superblock: with
// SPARSE_SUPER groups 0, 1 and the powers of 3, 5 and 7.
func (fs *FS) hasSuper(g uint64) bool {
	s := &fs.super
	switch {
	case g == 0:
		return true
	case s.S_feature_compat&disk.COMPAT_SPARSE_SUPER2 != 0:
		return g == uint64(s.S_backup_bgs[0]) || g == uint64(s.S_backup_bgs[1])
	case g == 1 || s.S_feature_ro_compat&disk.RO_COMPAT_SPARSE_SUPER == 0:
		return true
	}
	for _, base := range []uint64{3, 5, 7} {
		p := base
		for p < g {
			p *= base
		}
		if p == g {
			return true
		}
	}
	return false
}

// groupSum checks the checksum of a descriptor.
func (fs *FS) groupSum(i int, d []byte) bool {
	return !fs.csum && fs.super.S_feature_ro_compat&disk.RO_COMPAT_GDT_CSUM == 0 ||
		fs.descSum(i, d) == *disk.At[uint16](d, disk.DESC_CHECKSUM)
}

// descSum returns the checksum of descriptor i (checksums.rst).
func (fs *FS) descSum(i int, d []byte) uint16 {
	number := raw4(uint32(i))
	if fs.csum {
		c := crc32c.Update(fs.seed, number)
		c = crc32c.Update(c, d[:disk.DESC_CHECKSUM])
		c = crc32c.Update(c, []byte{0, 0})
		return uint16(crc32c.Update(c, d[disk.DESC_CHECKSUM+2:]))
	}
	c := crc16(^uint16(0), fs.super.S_uuid[:])
	c = crc16(crc16(c, number), d[:disk.DESC_CHECKSUM])
	return crc16(c, d[disk.DESC_CHECKSUM+2:])
}

// crc16 is the CRC-16 with polynomial 0x8005, bits reflected.
func crc16(c uint16, p []byte) uint16 {
	for _, b := range p {
		c ^= uint16(b)
		for range 8 {
			c = c>>1 ^ 0xa001&-(c&1)
		}
	}
	return c
}
