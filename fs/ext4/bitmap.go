package ext4

import (
	"math/bits"

	"github.com/goshawk-os/goshawk/fs/ext4/crc32c"
	"github.com/goshawk-os/goshawk/fs/ext4/disk"
	"github.com/goshawk-os/goshawk/fs/ext4/jbd2"
)

// A bitmap of blocks in memory.
type bitmap []uint64

// next returns the first bit at or behind from, and before end, that is or is not set; else end.
func (m bitmap) next(from, end int, set bool) int {
	for from < end {
		w := m[from/64]
		if !set {
			w = ^w
		}
		if w >>= from % 64; w != 0 {
			return min(from+bits.TrailingZeros64(w), end)
		}
		from = from&^63 + 64
	}
	return end
}

// fill sets or clears count bits from start on.
func (m bitmap) fill(start, count int, set bool) {
	for count > 0 {
		n := min(count, 64-start%64)
		mask := (^uint64(0) >> (64 - n)) << (start % 64)
		if set {
			m[start/64] |= mask
		} else {
			m[start/64] &^= mask
		}
		start += n
		count -= n
	}
}

// setBits sets or clears bits of a bitmap on the disk, and reports whether all had been the opposite.
func setBits(p []byte, start, count int, set bool) bool {
	right := true
	for i := start; i < start+count; {
		mask, n := byte(1)<<(i%8), 1
		if i%8 == 0 && start+count-i >= 8 {
			mask, n = 0xff, 8
		}
		if set {
			right = right && p[i/8]&mask == 0
			p[i/8] |= mask
		} else {
			right = right && p[i/8]&mask == mask
			p[i/8] &^= mask
		}
		i += n
	}
	return right
}

// blockBits makes the content of a block bitmap that was never written: what
// the group's own structures take, and behind its end all.
func (fs *FS) blockBits(g *group) bitmap {
	m := make(bitmap, fs.size/8)
	m.fill(0, fs.baseBlocks(uint64(g.number)), true)
	own := func(block uint64, count int) {
		for i := range uint64(count) {
			if at := block + i - g.first; block+i >= g.first && at < uint64(g.count) {
				m.fill(int(at), 1, true)
			}
		}
	}
	own(g.blockBitmap, 1)
	own(g.inodeBitmap, 1)
	own(g.inodeTable, (int(fs.super.S_inodes_per_group)*fs.inodeLen+fs.size-1)/fs.size)
	m.fill(g.count, 8*fs.size-g.count, true)
	return m
}

// baseBlocks returns how many blocks at the beginning of a group a copy of the superblock and of
// the descriptors takes.
func (fs *FS) baseBlocks(g uint64) int {
	s := &fs.super
	n := 0
	if fs.hasSuper(g) {
		n = 1
	}
	perBlock := uint64(fs.size / fs.descLen)
	if s.S_feature_incompat&disk.INCOMPAT_META_BG != 0 && g/perBlock >= uint64(s.S_first_meta_bg) {
		if i := g % perBlock; i <= 1 || i == perBlock-1 {
			n++
		}
		return n
	}
	if n == 0 {
		return 0
	}
	table := (len(fs.groups) + int(perBlock) - 1) / int(perBlock)
	if s.S_feature_incompat&disk.INCOMPAT_META_BG != 0 {
		table = min(table, int(s.S_first_meta_bg))
	}
	return min(n+table+int(s.S_reserved_gdt_blocks), int(s.S_blocks_per_group))
}

// bitmapSum returns the checksum of a bitmap of so many bits.
func (fs *FS) bitmapSum(data []byte, bits uint32) uint32 {
	c := crc32c.Update(fs.seed, data[:bits/8])
	if fs.descLen < disk.MIN_DESC_SIZE_64BIT {
		c &= 0xffff
	}
	return c
}

// blockBitmap returns the block bitmap of a group, checked. The caller holds g.mu and releases it.
func (fs *FS) blockBitmap(g *group) (*jbd2.Buffer, error) {
	b, err := fs.cache.Get(g.blockBitmap)
	if err != nil {
		return nil, err
	}
	if fs.csum && !b.Verified() && fs.bitmapSum(b.Data, fs.super.S_clusters_per_group) != g.blockSum {
		b.Release()
		return nil, fs.damaged("the block bitmap of group", uint64(g.number), "wrong checksum")
	}
	b.SetVerified()
	return b, nil
}

// load makes g.used. The caller holds g.mu.
func (fs *FS) load(g *group) error {
	if g.used != nil {
		return nil
	}
	var m bitmap
	if g.flags&disk.BG_BLOCK_UNINIT != 0 {
		m = fs.blockBits(g)
	} else {
		b, err := fs.blockBitmap(g)
		if err != nil {
			return err
		}
		m = make(bitmap, fs.size/8)
		for i := range m {
			m[i] = *disk.At[uint64](b.Data, 8*i)
		}
		b.Release()
		m.fill(g.count, 8*fs.size-g.count, true)
	}
	free := 8 * fs.size
	for _, w := range m {
		free -= bits.OnesCount64(w)
	}
	if uint32(free) != g.freeBlocks {
		return fs.damaged("the block bitmap of group", uint64(g.number), "it contradicts the descriptor")
	}
	g.used, g.avail = m, free
	return nil
}
