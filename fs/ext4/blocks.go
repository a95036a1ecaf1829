package ext4

import (
	"github.com/goshawk-os/goshawk/fs/ext4/crc32c"
	"github.com/goshawk-os/goshawk/fs/ext4/disk"
)

// lookup returns where the file's block number at lies, and for how many blocks
// from there on that holds. phys is 0 for a hole or blocks not written yet.
func (n *node) lookup(at uint64) (phys, count uint64, err error) {
	if at >= 1<<32 {
		return 0, 1, nil
	}
	if n.raw.I_flags&disk.EXTENTS_FL == 0 {
		return n.lookupMap(at)
	}
	next := uint64(1 << 32) // first block that another part of the tree is about
	node, depth := n.raw.I_block[:], -1
	for {
		h := disk.At[disk.ExtentHeader](node, 0)
		entries := int(h.Eh_entries)
		if h.Eh_magic != disk.EXT_MAGIC || entries > int(h.Eh_max) || (int(h.Eh_max)+1)*disk.EXT_ENTRY_SIZE > len(node) ||
			h.Eh_depth > disk.EXT_MAX_DEPTH || depth >= 0 && int(h.Eh_depth) != depth-1 {
			return 0, 0, n.fs.damaged("inode", uint64(n.ino), "its extent tree is wrong")
		}
		depth = int(h.Eh_depth)
		// The last entry that does not begin behind at: all three structures begin with a block number.
		i, j := 0, entries
		for i < j {
			m := (i + j) / 2
			if uint64(*disk.At[uint32](node, (m+1)*disk.EXT_ENTRY_SIZE)) <= at {
				i = m + 1
			} else {
				j = m
			}
		}
		if i < entries {
			next = min(next, uint64(*disk.At[uint32](node, (i+1)*disk.EXT_ENTRY_SIZE)))
		}
		if i == 0 {
			return 0, max(next, at+1) - at, nil
		}
		if depth == 0 {
			return n.inExtent(disk.At[disk.Extent](node, i*disk.EXT_ENTRY_SIZE), at, max(next, at+1))
		}
		x := disk.At[disk.ExtentIdx](node, i*disk.EXT_ENTRY_SIZE)
		if node, err = n.metadata(uint64(x.Ei_leaf_lo)|uint64(x.Ei_leaf_hi)<<32, true); err != nil {
			return 0, 0, err
		}
	}
}

func (n *node) inExtent(e *disk.Extent, at, next uint64) (phys, count uint64, err error) {
	length, unwritten := uint64(e.Ee_len), false
	if length > disk.EXT_INIT_MAX_LEN {
		length, unwritten = length-disk.EXT_INIT_MAX_LEN, true
	}
	start, into := uint64(e.Ee_start_lo)|uint64(e.Ee_start_hi)<<32, at-uint64(e.Ee_block)
	if length == 0 || !n.fs.valid(start, length) {
		return 0, 0, n.fs.damaged("inode", uint64(n.ino), "an extent does not lie in the file system")
	}
	if into >= length {
		return 0, next - at, nil
	}
	if unwritten {
		return 0, length - into, nil
	}
	return start + into, length - into, nil
}

// lookupMap is lookup in a block map (ifork.rst, "Direct/Indirect Block Addressing").
func (n *node) lookupMap(at uint64) (phys, count uint64, err error) {
	per := uint64(n.fs.size / 4)
	i, level := at, 0
	if at >= disk.NDIR_BLOCKS {
		i -= disk.NDIR_BLOCKS
		span := per
		for level = 1; i >= span; level++ {
			if level == disk.MAP_LEVELS {
				return 0, 1, nil
			}
			i -= span
			span *= per
		}
	}
	table, slot := n.raw.I_block[:], i
	if level > 0 {
		slot = disk.NDIR_BLOCKS + uint64(level) - 1
	}
	for {
		p := uint64(*disk.At[uint32](table, int(slot)*4))
		if p != 0 && !n.fs.valid(p, 1) {
			return 0, 0, n.fs.damaged("inode", uint64(n.ino), "a block does not lie in the file system")
		}
		span := uint64(1)
		for range level {
			span *= per
		}
		if p == 0 {
			return 0, span - i%span, nil
		}
		if level == 0 {
			return p, 1, nil
		}
		if table, err = n.metadata(p, false); err != nil {
			return 0, 0, err
		}
		level--
		slot = i / (span / per) % per
	}
}

// metadata returns a block of the inode's map; extents have checksums. The
// bytes stay as they are: nothing writes.
func (n *node) metadata(number uint64, extents bool) ([]byte, error) {
	if !n.fs.valid(number, 1) {
		return nil, n.fs.damaged("inode", uint64(n.ino), "a block of its map does not lie in the file system")
	}
	b, err := n.fs.cache.Get(number)
	if err != nil {
		return nil, err
	}
	defer b.Release()
	if extents && n.fs.csum && !b.Verified() {
		end := (int(disk.At[disk.ExtentHeader](b.Data, 0).Eh_max) + 1) * disk.EXT_ENTRY_SIZE
		if sum := disk.At[uint32](b.Data, end); sum == nil || crc32c.Update(n.seed, b.Data[:end]) != *sum {
			return nil, n.fs.damaged("block", number, "wrong checksum of an extent block")
		}
		b.SetVerified()
	}
	return b.Data, nil
}
