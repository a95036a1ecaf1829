package ext4

import (
	"errors"
	"strconv"
	"unsafe"

	"github.com/goshawk-os/goshawk/fs/ext4/crc32c"
	"github.com/goshawk-os/goshawk/fs/ext4/disk"
)

// group is what is needed of a group descriptor.
type group struct {
	inodeTable             uint64
	freeBlocks, freeInodes uint32
}

// readGroups reads and checks all group descriptors.
func (fs *FS) readGroups() error {
	s := &fs.super
	count := int((fs.blocks - uint64(s.S_first_data_block) + uint64(s.S_blocks_per_group) - 1) / uint64(s.S_blocks_per_group))
	fs.groups = make([]group, 0, min(count, 1<<16))
	perBlock := fs.size / fs.descLen
	tableBlocks := (uint64(s.S_inodes_per_group)*uint64(fs.inodeLen) + uint64(fs.size) - 1) / uint64(fs.size)
	for first := 0; first < count; first += perBlock {
		b, err := fs.cache.Get(fs.descriptorBlock(first / perBlock))
		if err != nil {
			return errors.New("ext4: the group descriptors cannot be read: " + err.Error())
		}
		for i := first; i < min(first+perBlock, count); i++ {
			d := b.Data[(i-first)*fs.descLen:][:fs.descLen]
			g := fs.parseGroup(d)
			if !fs.groupSum(i, d) || !fs.valid(g.inodeTable, tableBlocks) {
				b.Release()
				return errors.New("ext4: group descriptor " + strconv.Itoa(i) + " is damaged")
			}
			fs.groups = append(fs.groups, g)
		}
		b.Release()
	}
	return nil
}

func (fs *FS) parseGroup(d []byte) group {
	var whole disk.GroupDesc
	if len(d) >= disk.MIN_DESC_SIZE_64BIT {
		whole = *disk.At[disk.GroupDesc](d, 0)
	} else {
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&whole)), disk.MIN_DESC_SIZE), d)
	}
	return group{
		uint64(whole.Bg_inode_table_lo) | uint64(whole.Bg_inode_table_hi)<<32,
		uint32(whole.Bg_free_blocks_count_lo) | uint32(whole.Bg_free_blocks_count_hi)<<16,
		uint32(whole.Bg_free_inodes_count_lo) | uint32(whole.Bg_free_inodes_count_hi)<<16,
	}
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
	const sparseSuper, sparseSuper2 = 0x1, 0x200
	s := &fs.super
	switch {
	case g == 0:
		return true
	case s.S_feature_compat&sparseSuper2 != 0:
		return g == uint64(s.S_backup_bgs[0]) || g == uint64(s.S_backup_bgs[1])
	case g == 1 || s.S_feature_ro_compat&sparseSuper == 0:
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

// groupSum checks the checksum of a descriptor (checksums.rst).
func (fs *FS) groupSum(i int, d []byte) bool {
	want := *disk.At[uint16](d, disk.DESC_CHECKSUM)
	number := []byte{byte(i), byte(i >> 8), byte(i >> 16), byte(i >> 24)}
	if fs.csum {
		c := crc32c.Update(fs.seed, number)
		c = crc32c.Update(c, d[:disk.DESC_CHECKSUM])
		c = crc32c.Update(c, []byte{0, 0})
		return uint16(crc32c.Update(c, d[disk.DESC_CHECKSUM+2:])) == want
	}
	if fs.super.S_feature_ro_compat&disk.RO_COMPAT_GDT_CSUM == 0 {
		return true
	}
	c := crc16(^uint16(0), fs.super.S_uuid[:])
	c = crc16(crc16(c, number), d[:disk.DESC_CHECKSUM])
	return crc16(c, d[disk.DESC_CHECKSUM+2:]) == want
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
