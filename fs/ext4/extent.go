package ext4

import (
	"syscall"

	"github.com/goshawk-os/goshawk/fs/ext4/crc32c"
	"github.com/goshawk-os/goshawk/fs/ext4/disk"
	"github.com/goshawk-os/goshawk/fs/ext4/jbd2"
)

// An extent says that count blocks of a file, from at on, lie at phys and behind.
type extent struct {
	at, count uint32
	phys      uint64
	unwritten bool
}

func (e extent) end() uint32 { return e.at + e.count }

// joins reports whether f goes on where e ends, and both fit into one.
func (e extent) joins(f extent) bool {
	most := uint32(disk.EXT_INIT_MAX_LEN)
	if e.unwritten {
		most--
	}
	return e.end() == f.at && e.phys+uint64(e.count) == f.phys && e.unwritten == f.unwritten && e.count+f.count <= most
}

func (e extent) encode(d *disk.Extent) {
	*d = disk.Extent{Ee_block: e.at, Ee_len: uint16(e.count), Ee_start_hi: uint16(e.phys >> 32), Ee_start_lo: uint32(e.phys)}
	if e.unwritten {
		d.Ee_len += disk.EXT_INIT_MAX_LEN
	}
}

func decode(d *disk.Extent) extent {
	e := extent{at: d.Ee_block, count: uint32(d.Ee_len), phys: uint64(d.Ee_start_lo) | uint64(d.Ee_start_hi)<<32}
	if e.count > disk.EXT_INIT_MAX_LEN {
		e.count, e.unwritten = e.count-disk.EXT_INIT_MAX_LEN, true
	}
	return e
}

// A level is a block of an extent tree on the way from the root to a leaf.
type level struct {
	b    *jbd2.Buffer // nil: the root, which is in the inode
	data []byte
	i    int // the entry that leads on; in a leaf the last that does not begin behind what is looked for, or -1
}

func (l *level) header() *disk.ExtentHeader { return disk.At[disk.ExtentHeader](l.data, 0) }
func (l *level) entries() int               { return int(l.header().Eh_entries) }
func (l *level) key(i int) *uint32          { return disk.At[uint32](l.data, (i+1)*disk.EXT_ENTRY_SIZE) }
func (l *level) extent(i int) *disk.Extent {
	return disk.At[disk.Extent](l.data, (i+1)*disk.EXT_ENTRY_SIZE)
}
func (l *level) index(i int) *disk.ExtentIdx {
	return disk.At[disk.ExtentIdx](l.data, (i+1)*disk.EXT_ENTRY_SIZE)
}
func (l *level) full() bool { return l.header().Eh_entries == l.header().Eh_max }

// area returns the bytes of entries i to j-1.
func (l *level) area(i, j int) []byte {
	return l.data[(i+1)*disk.EXT_ENTRY_SIZE : (j+1)*disk.EXT_ENTRY_SIZE]
}

// insert makes room for an entry at i.
func (l *level) insert(i int) {
	n := l.entries()
	copy(l.area(i+1, n+1), l.area(i, n))
	l.header().Eh_entries++
}

// remove takes entry i away.
func (l *level) remove(i int) {
	n := l.entries()
	copy(l.area(i, n-1), l.area(i+1, n))
	clear(l.area(n-1, n))
	l.header().Eh_entries--
}

// checkNode reports whether a block of the tree, or the root, is one of a depth; -1: of any.
func checkNode(data []byte, depth int) bool {
	h := disk.At[disk.ExtentHeader](data, 0)
	return h.Eh_magic == disk.EXT_MAGIC && h.Eh_entries <= h.Eh_max && (int(h.Eh_max)+1)*disk.EXT_ENTRY_SIZE <= len(data) &&
		h.Eh_depth <= disk.EXT_MAX_DEPTH && (depth < 0 || int(h.Eh_depth) == depth) && (h.Eh_depth == 0 || h.Eh_entries > 0 || depth < 0)
}

// search returns the last of the entries that does not begin behind at, or -1.
func search(data []byte, entries int, at uint64) int {
	i, j := 0, entries
	for i < j {
		m := (i + j) / 2
		if uint64(*disk.At[uint32](data, (m+1)*disk.EXT_ENTRY_SIZE)) <= at {
			i = m + 1
		} else {
			j = m
		}
	}
	return i - 1
}

// A path leads from the root to the leaf where a block belongs.
type path []level

func (p path) release() {
	for _, l := range p {
		if l.b != nil {
			l.b.Release()
		}
	}
}

// path returns the way to block at. The caller holds mu, and releases the path.
func (n *node) path(at uint32) (path, error) {
	p := path{{data: n.raw.I_block[:]}}
	if !checkNode(p[0].data, -1) {
		return nil, n.badTree()
	}
	for depth := int(p[0].header().Eh_depth); ; depth-- {
		l := &p[len(p)-1]
		l.i = search(l.data, l.entries(), uint64(at))
		if depth == 0 {
			return p, nil
		}
		l.i = max(l.i, 0)
		if l.entries() == 0 {
			p.release()
			return nil, n.badTree()
		}
		x := l.index(l.i)
		b, err := n.treeBlock(uint64(x.Ei_leaf_lo) | uint64(x.Ei_leaf_hi)<<32)
		if err == nil && !checkNode(b.Data, depth-1) {
			b.Release()
			err = n.badTree()
		}
		if err != nil {
			p.release()
			return nil, err
		}
		p = append(p, level{b: b, data: b.Data})
	}
}

func (n *node) badTree() error {
	return n.fs.damaged("inode", uint64(n.ino), "its extent tree is wrong")
}

// modify must be called before a level is changed, and seal after it. The root
// is stored with the inode.
func (l *level) modify(h *jbd2.Handle) error {
	if l.b == nil {
		return nil
	}
	return h.Modify(l.b)
}

func (n *node) seal(l *level) {
	if l.b != nil && n.fs.csum {
		end := (int(l.header().Eh_max) + 1) * disk.EXT_ENTRY_SIZE
		*disk.At[uint32](l.data, end) = crc32c.Update(n.seed, l.data[:end])
	}
}

// fixKeys repairs the keys above level k after its first entry got another one.
func (n *node) fixKeys(h *jbd2.Handle, p path, k int) error {
	for ; k > 0; k-- {
		up := &p[k-1]
		if *up.key(up.i) != *p[k].key(0) {
			if err := up.modify(h); err != nil {
				return err
			}
			*up.key(up.i) = *p[k].key(0)
			n.seal(up)
		}
		if up.i != 0 {
			return nil
		}
	}
	return nil
}

// put adds an extent where the file has none. The caller holds mu and stores the inode.
func (n *node) put(h *jbd2.Handle, e extent) error {
	for {
		p, err := n.path(e.at)
		if err != nil {
			return err
		}
		done, err := n.putIn(h, p, e)
		p.release()
		if done || err != nil {
			return err
		}
	}
}

// putIn puts an extent into the leaf that p leads to, or makes room there.
func (n *node) putIn(h *jbd2.Handle, p path, e extent) (done bool, err error) {
	leaf := &p[len(p)-1]
	left, right := leaf.i, leaf.i+1
	toLeft := left >= 0 && decode(leaf.extent(left)).joins(e)
	toRight := right < leaf.entries() && e.joins(decode(leaf.extent(right)))
	if !toLeft && !toRight && leaf.full() {
		return false, n.split(h, p, e.at)
	}
	if err := leaf.modify(h); err != nil {
		return false, err
	}
	switch {
	case toLeft:
		l := decode(leaf.extent(left))
		l.count += e.count
		if right < leaf.entries() {
			if r := decode(leaf.extent(right)); l.joins(r) {
				l.count += r.count
				leaf.remove(right)
			}
		}
		l.encode(leaf.extent(left))
	case toRight:
		r := decode(leaf.extent(right))
		e.count += r.count
		e.encode(leaf.extent(right))
	default:
		leaf.insert(right)
		e.encode(leaf.extent(right))
	}
	n.seal(leaf)
	if right == 0 {
		return true, n.fixKeys(h, p, len(p)-1)
	}
	return true, nil
}

// split adds one block to the tree, so that there is room for an entry at block at in the leaf or
// nearer to it.
func (n *node) split(h *jbd2.Handle, p path, at uint32) error {
	k := len(p) - 2
	for k >= 0 && p[k].full() {
		k--
	}
	if k < 0 && len(p) > disk.EXT_MAX_DEPTH {
		return syscall.EFBIG
	}
	goal := decode(p[len(p)-1].extent(max(p[len(p)-1].i, 0))).phys
	b, err := n.fs.newBlock(h, goal, forFiles)
	if err != nil {
		return err
	}
	defer b.Release()
	n.addBlocks(1)
	n.dataTID = h.TID()
	fresh := &level{b: b, data: b.Data}
	*fresh.header() = disk.ExtentHeader{Eh_magic: disk.EXT_MAGIC, Eh_max: uint16((n.fs.size - disk.EXT_ENTRY_SIZE) / disk.EXT_ENTRY_SIZE)}
	index := func(l *level, i int, key uint32) {
		*l.index(i) = disk.ExtentIdx{Ei_block: key, Ei_leaf_lo: uint32(b.Block), Ei_leaf_hi: uint16(b.Block >> 32)}
	}
	if k < 0 { // the root moves down
		root := &p[0]
		count := root.entries()
		copy(fresh.area(0, count), root.area(0, count))
		fresh.header().Eh_entries, fresh.header().Eh_depth = root.header().Eh_entries, root.header().Eh_depth
		n.seal(fresh)
		clear(root.area(0, count))
		root.header().Eh_depth++
		root.header().Eh_entries = 1
		index(root, 0, *fresh.key(0))
		return nil
	}
	full, up := &p[k+1], &p[k]
	if err := full.modify(h); err != nil {
		return err
	}
	if err := up.modify(h); err != nil {
		return err
	}
	// A file that grows at its end leaves full blocks behind; others are halved.
	count, from, key := full.entries(), full.entries()/2, at
	switch {
	case full.i < count-1:
		key = *full.key(from)
	case k+1 == len(p)-1:
		from = count
	default:
		from = count - 1
		key = *full.key(from)
	}
	copy(fresh.area(0, count-from), full.area(from, count))
	clear(full.area(from, count))
	fresh.header().Eh_entries, fresh.header().Eh_depth = uint16(count-from), full.header().Eh_depth
	full.header().Eh_entries = uint16(from)
	n.seal(fresh)
	n.seal(full)
	up.insert(up.i + 1)
	index(up, up.i+1, key)
	n.seal(up)
	return nil
}

// cutCredits is how many blocks one step of cut may change.
const cutCredits = 16

// cut takes the blocks from to end-1 out of the file, the last ones first, and frees them if free.
// more says that the transaction has no room for the rest, which is from what is now there to be done
// again. The caller holds mu and stores the inode.
func (n *node) cut(h *jbd2.Handle, from, end uint64, free bool) (more bool, err error) {
	end = min(end, 1<<32-1)
	for end > from {
		if h.Credits() < cutCredits && !h.Extend(cutCredits) {
			return true, nil
		}
		p, err := n.path(uint32(end - 1))
		if err != nil {
			return false, err
		}
		leaf := &p[len(p)-1]
		if leaf.i < 0 {
			p.release()
			return false, nil
		}
		e := decode(leaf.extent(leaf.i))
		if uint64(e.end()) <= from {
			p.release()
			return false, nil
		}
		if e.count == 0 || !n.fs.valid(e.phys, uint64(e.count)) {
			p.release()
			return false, n.badTree()
		}
		s, t := max(uint64(e.at), from), min(uint64(e.end()), end)
		err = n.cutExtent(h, p, e, uint32(s), uint32(t))
		p.release()
		if err == nil && free {
			start := e.phys + s - uint64(e.at)
			if n.typ != syscall.S_IFREG { // the blocks of directories and links are in the journal
				err = h.Revoke(start, int(t-s))
			}
			n.addBlocks(-int64(t - s))
			err = joinErrors(n.fs.release(h, start, t-s), err)
		}
		if err != nil {
			return false, err
		}
		n.dataTID = h.TID()
		end = s
	}
	return false, nil
}

// cutExtent takes the blocks s to t-1 out of extent e, which p leads to.
func (n *node) cutExtent(h *jbd2.Handle, p path, e extent, s, t uint32) error {
	leaf := &p[len(p)-1]
	if e.at < s && t < e.end() {
		// What lies behind gets an entry first, which may fail; and then it is another path.
		right := extent{t, e.end() - t, e.phys + uint64(t-e.at), e.unwritten}
		if err := n.put(h, right); err != nil {
			return err
		}
		p, err := n.path(s)
		if err != nil {
			return err
		}
		defer p.release()
		leaf = &p[len(p)-1]
		if err := leaf.modify(h); err != nil {
			return err
		}
		e.count = s - e.at
		e.encode(leaf.extent(leaf.i))
		n.seal(leaf)
		return nil
	}
	if err := leaf.modify(h); err != nil {
		return err
	}
	switch {
	case e.at < s:
		e.count = s - e.at
		e.encode(leaf.extent(leaf.i))
	case t < e.end():
		e = extent{t, e.end() - t, e.phys + uint64(t-e.at), e.unwritten}
		e.encode(leaf.extent(leaf.i))
		if leaf.i == 0 {
			n.seal(leaf)
			return n.fixKeys(h, p, len(p)-1)
		}
	default:
		return n.removeEntry(h, p)
	}
	n.seal(leaf)
	return nil
}

// removeEntry takes the entry that p leads to out of its leaf, and with it blocks of the tree that have
// no others.
func (n *node) removeEntry(h *jbd2.Handle, p path) error {
	for k := len(p) - 1; ; k-- {
		l := &p[k]
		if err := l.modify(h); err != nil {
			return err
		}
		l.remove(l.i)
		if l.entries() > 0 {
			n.seal(l)
			if l.i == 0 {
				return n.fixKeys(h, p, k)
			}
			return nil
		}
		if k == 0 {
			l.header().Eh_depth = 0
			return nil
		}
		if err := n.fs.freeBlock(h, l.b.Block); err != nil {
			return err
		}
		n.addBlocks(-1)
	}
}
