package ext4

import (
	"github.com/goshawk-os/goshawk/fs/ext4/crc32c"
	"github.com/goshawk-os/goshawk/fs/ext4/disk"
	"github.com/goshawk-os/goshawk/fs/ext4/jbd2"
)

// A run is where blocks of a file lie: count of them at phys, or nowhere if that is 0.
type run struct {
	phys, count uint64
	unwritten   bool // allocated only: the file has zeroes there
}

// data reports whether there is something to read.
func (r run) data() bool { return r.phys != 0 && !r.unwritten }

// lookup returns where the file's block number at lies, and for how many blocks
// from there on that holds. The caller holds mu.
func (n *node) lookup(at uint64) (run, error) {
	if at >= 1<<32 {
		return run{count: 1}, nil
	}
	if n.raw.I_flags&disk.EXTENTS_FL == 0 {
		return n.lookupMap(at)
	}
	next := uint64(1 << 32) // first block that another part of the tree is about
	data, depth := n.raw.I_block[:], -1
	for {
		if !checkNode(data, depth) {
			return run{}, n.badTree()
		}
		h := disk.At[disk.ExtentHeader](data, 0)
		i := search(data, int(h.Eh_entries), at)
		if i+1 < int(h.Eh_entries) {
			next = min(next, uint64(*disk.At[uint32](data, (i+2)*disk.EXT_ENTRY_SIZE)))
		}
		if i < 0 {
			return run{count: max(next, at+1) - at}, nil
		}
		if h.Eh_depth == 0 {
			return n.inExtent(decode(disk.At[disk.Extent](data, (i+1)*disk.EXT_ENTRY_SIZE)), at, max(next, at+1))
		}
		depth = int(h.Eh_depth) - 1
		x := disk.At[disk.ExtentIdx](data, (i+1)*disk.EXT_ENTRY_SIZE)
		b, err := n.treeBlock(uint64(x.Ei_leaf_lo) | uint64(x.Ei_leaf_hi)<<32)
		if err != nil {
			return run{}, err
		}
		data = b.Data // mu keeps it as it is, also when the cache has forgotten it
		b.Release()
	}
}

func (n *node) inExtent(e extent, at, next uint64) (run, error) {
	into := at - uint64(e.at)
	if e.count == 0 || !n.fs.valid(e.phys, uint64(e.count)) {
		return run{}, n.fs.damaged("inode", uint64(n.ino), "an extent does not lie in the file system")
	}
	if into >= uint64(e.count) {
		return run{count: next - at}, nil
	}
	return run{e.phys + into, uint64(e.count) - into, e.unwritten}, nil
}

// lookupMap is lookup in a block map (ifork.rst, "Direct/Indirect Block Addressing").
func (n *node) lookupMap(at uint64) (run, error) {
	per := uint64(n.fs.size / 4)
	i, level := at, 0
	if at >= disk.NDIR_BLOCKS {
		i -= disk.NDIR_BLOCKS
		span := per
		for level = 1; i >= span; level++ {
			if level == disk.MAP_LEVELS {
				return run{count: 1}, nil
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
			return run{}, n.fs.damaged("inode", uint64(n.ino), "a block does not lie in the file system")
		}
		span := uint64(1)
		for range level {
			span *= per
		}
		if p == 0 {
			return run{count: span - i%span}, nil
		}
		if level == 0 {
			return run{phys: p, count: 1}, nil
		}
		b, err := n.mapBlock(p)
		if err != nil {
			return run{}, err
		}
		table = b.Data
		b.Release()
		level--
		slot = i / (span / per) % per
	}
}

// mapBlock returns a block of the inode's map.
func (n *node) mapBlock(number uint64) (*jbd2.Buffer, error) {
	if !n.fs.valid(number, 1) {
		return nil, n.fs.damaged("inode", uint64(n.ino), "a block of its map does not lie in the file system")
	}
	return n.fs.cache.Get(number)
}

// treeBlock returns a block of the inode's extent tree, whose checksum is right.
func (n *node) treeBlock(number uint64) (*jbd2.Buffer, error) {
	b, err := n.mapBlock(number)
	if err != nil {
		return nil, err
	}
	if n.fs.csum && !b.Verified() {
		end := (int(disk.At[disk.ExtentHeader](b.Data, 0).Eh_max) + 1) * disk.EXT_ENTRY_SIZE
		if sum := disk.At[uint32](b.Data, end); sum == nil || crc32c.Update(n.seed, b.Data[:end]) != *sum {
			b.Release()
			return nil, n.fs.damaged("block", number, "wrong checksum of an extent block")
		}
		b.SetVerified()
	}
	return b, nil
}
