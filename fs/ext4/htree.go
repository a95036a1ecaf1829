package ext4

import (
	"cmp"
	"slices"
	"syscall"
	"unsafe"

	"github.com/goshawk-os/goshawk/fs/ext4/disk"
	"github.com/goshawk-os/goshawk/fs/ext4/jbd2"
)

// An index (directory.rst, "Hash Tree Directories") is a tree of at most three levels above its leaves, which
// are blocks with names. An entry of it says in which block the names are
// whose hash is not below its own, up to the next. The hash has its lowest bit set when names with
// the same hash are also at the end of the block before.

// A frame is a block of an index on the way to a leaf.
type frame struct {
	b       *jbd2.Buffer
	at      uint32         // number of the block in the directory
	entries []disk.DxEntry // with room for as many as there may be
	i       int            // the entry that leads on
}

func (f *frame) limits() *disk.DxCountLimit {
	return (*disk.DxCountLimit)(unsafe.Pointer(&f.entries[0]))
}
func (f *frame) count() int    { return int(f.limits().Count) }
func (f *frame) full() bool    { return f.limits().Count == f.limits().Limit }
func (f *frame) leads() uint32 { return f.entries[f.i].Block & disk.DX_BLOCK_MASK }

// insert enters a block behind the entry that leads on.
func (f *frame) insert(hash, block uint32) {
	n := f.count()
	copy(f.entries[f.i+2:n+1], f.entries[f.i+1:n])
	f.entries[f.i+1] = disk.DxEntry{Hash: hash, Block: block}
	f.limits().Count++
}

type frames []frame

func (p frames) release() {
	for _, f := range p {
		f.b.Release()
	}
}

// next returns the hash of the leaf behind the one that p leads to; false: there is none.
func (p frames) next() (hash uint32, ok bool) {
	for k := len(p) - 1; k >= 0; k-- {
		if f := &p[k]; f.i+1 < f.count() {
			return f.entries[f.i+1].Hash, true
		}
	}
	return 0, false
}

// advance lets p lead to the next leaf.
func (d *directory) advance(p frames) (frames, error) {
	k := len(p) - 1
	for ; p[k].i+1 == p[k].count(); k-- {
	}
	p[k].i++
	for k++; k < len(p); k++ {
		f, err := d.frame(p[k-1].leads(), disk.DX_NODE_ENTRIES)
		if err != nil {
			return p, err
		}
		p[k].b.Release()
		p[k] = f
	}
	return p, nil
}

func (d *directory) badIndex() error {
	return d.fs.damaged("directory", uint64(d.ino), "its index is wrong")
}

// indexLimit is how many entries fit behind off in a block.
func (d *directory) indexLimit(off int) int {
	n := d.fs.size - off
	if d.fs.csum {
		n -= disk.DX_TAIL_SIZE
	}
	return n / disk.DX_ENTRY_SIZE
}

// frame returns a block of the index whose entries begin at off.
func (d *directory) frame(at uint32, off int) (frame, error) {
	if at >= d.count() || (at == 0) != (off == disk.DX_ROOT_ENTRIES) {
		return frame{}, d.badIndex()
	}
	b, err := d.block(at)
	if err != nil {
		return frame{}, err
	}
	limit := d.indexLimit(off)
	f := frame{b: b, at: at, entries: unsafe.Slice(disk.At[disk.DxEntry](b.Data, off), limit)}
	c := f.limits()
	if d.indexIn(b.Data, at == 0) != off || int(c.Limit) != limit || c.Count == 0 || c.Count > c.Limit {
		b.Release()
		return frame{}, d.badIndex()
	}
	return f, nil
}

// rootInfo returns what the first block says of the index.
func (p frames) rootInfo() *disk.DxRootInfo {
	return disk.At[disk.DxRootInfo](p[0].b.Data, disk.DX_ROOT_INFO)
}

// levels is how many levels of an index there may be above the leaves.
func (d *directory) levels() int {
	if d.fs.super.S_feature_incompat&disk.INCOMPAT_LARGEDIR != 0 {
		return 3
	}
	return 2
}

// root returns the first block of the index, and its hash function.
func (d *directory) root() (frames, hasher, error) {
	f, err := d.frame(0, disk.DX_ROOT_ENTRIES)
	if err != nil {
		return nil, hasher{}, err
	}
	p := frames{f}
	i := p.rootInfo()
	if i.Info_length != uint8(unsafe.Sizeof(*i)) || i.Hash_version > disk.DX_HASH_TEA || int(i.Indirect_levels) >= d.levels() {
		p.release()
		return nil, hasher{}, d.badIndex()
	}
	return p, d.fs.hasher(i.Hash_version), nil
}

// descend goes on from the root to the leaf for a hash. The caller releases the result, also with an error.
func (d *directory) descend(p frames, hash uint32) (frames, error) {
	for levels := int(p.rootInfo().Indirect_levels); ; levels-- {
		f := &p[len(p)-1]
		i, j := 1, f.count()
		for i < j {
			m := (i + j) / 2
			if f.entries[m].Hash <= hash {
				i = m + 1
			} else {
				j = m
			}
		}
		f.i = i - 1
		if levels == 0 {
			if at := f.leads(); at == 0 || at >= d.count() {
				return p, d.badIndex()
			}
			return p, nil
		}
		next, err := d.frame(f.leads(), disk.DX_NODE_ENTRIES)
		if err != nil {
			return p, err
		}
		p = append(p, next)
	}
}

// walkLeaves calls visit for the leaves that may have a name, until it returns true.
func (d *directory) walkLeaves(text string, visit func(at uint32) (bool, error)) (done bool, err error) {
	p, s, err := d.root()
	if err != nil {
		return false, err
	}
	defer func() { p.release() }()
	hash := s.hash([]byte(text))
	if p, err = d.descend(p, hash); err != nil {
		return false, err
	}
	for left := d.count(); left > 0; left-- { // each leaf once
		if done, err := visit(p[len(p)-1].leads()); done || err != nil {
			return done, err
		}
		if next, ok := p.next(); !ok || next&^1 != hash {
			return false, nil
		}
		if p, err = d.advance(p); err != nil {
			return false, err
		}
	}
	return false, d.badIndex()
}

// findIndexed is find by the index. "." and ".." are not in it, and nobody looks for them here.
func (d *directory) findIndexed(text string) (ino uint32, err error) {
	_, err = d.walkLeaves(text, func(at uint32) (bool, error) {
		b, err := d.leaf(at)
		if err != nil {
			return false, err
		}
		defer b.Release()
		_, err = d.entries(b.Data, 0, 0, func(n name) bool {
			if string(n.text) == text {
				ino = n.ino
			}
			return ino == 0
		})
		return ino != 0, err
	})
	if err == nil && ino == 0 {
		err = syscall.ENOENT
	}
	return ino, err
}

// leaf returns a block that has names.
func (d *directory) leaf(at uint32) (*jbd2.Buffer, error) {
	if at == 0 || at >= d.count() {
		return nil, d.badIndex()
	}
	return d.block(at)
}

// listIndexed is list by the index.
func (d *directory) listIndexed(cursor int64, emit func(name string, ino uint64, typ uint32, next int64) bool) error {
	p, s, err := d.root()
	if err != nil {
		return err
	}
	defer func() { p.release() }()
	if p, err = d.descend(p, uint32(cursor>>32)<<1); err != nil {
		return err
	}
	g := gathered{s: &s}
	for left := d.count(); left > 0; left-- { // each leaf once
		b, err := d.leaf(p[len(p)-1].leads())
		if err != nil {
			return err
		}
		_, err = d.entries(b.Data, 0, 0, g.add)
		b.Release() // the names stay: nobody changes the block now
		if err != nil {
			return err
		}
		next, ok := p.next()
		if (!ok || next&1 == 0) && !g.emit(d, cursor, emit) || !ok {
			return nil
		}
		if p, err = d.advance(p); err != nil {
			return err
		}
	}
	return d.badIndex()
}

// makeIndex turns a directory of one block into one with an index and one leaf.
func (d *directory) makeIndex(h *jbd2.Handle) error {
	root, err := d.block(0)
	if err != nil {
		return err
	}
	defer root.Release()
	if _, err := d.entries(root.Data, 0, 0, func(name) bool { return true }); err != nil {
		return err
	}
	dot := disk.At[disk.DirEntry2](root.Data, 0)
	up := disk.At[disk.DirEntry2](root.Data, entrySize(1))
	if int(dot.Rec_len) != entrySize(1) || dot.Name_len != 1 || up.Name_len != 2 || up.Inode == 0 || string(root.Data[entrySize(1)+disk.DIR_ENTRY_SIZE:][:2]) != ".." {
		return d.fs.damaged("directory", uint64(d.ino), "it does not begin with . and ..")
	}
	if err := h.Modify(root); err != nil {
		return err
	}
	leaf, at, err := d.grow(h)
	if err != nil {
		return err
	}
	defer leaf.Release()
	if err := d.setIndexed(h); err != nil {
		return err
	}
	var names []name
	_, _ = d.entries(root.Data, 0, 0, func(n name) bool {
		if !isDot(n.text) {
			names = append(names, n)
		}
		return true
	})
	d.pack(leaf, names)
	clear(root.Data[disk.DX_ROOT_INFO:])
	up.Rec_len = uint16(d.fs.size - entrySize(1))
	*disk.At[disk.DxRootInfo](root.Data, disk.DX_ROOT_INFO) = disk.DxRootInfo{Hash_version: d.fs.super.S_def_hash_version, Info_length: 8}
	*disk.At[disk.DxCountLimit](root.Data, disk.DX_ROOT_ENTRIES) = disk.DxCountLimit{Limit: uint16(d.indexLimit(disk.DX_ROOT_ENTRIES)), Count: 1}
	disk.At[disk.DxEntry](root.Data, disk.DX_ROOT_ENTRIES).Block = at
	d.seal(root, true)
	return nil
}

// pack makes names, which are parts of other memory, the content of a block.
func (d *directory) pack(b *jbd2.Buffer, names []name) {
	clear(b.Data)
	if len(names) == 0 {
		d.clearNames(b)
		return
	}
	off := 0
	for i, n := range names {
		length := entrySize(len(n.text))
		if i == len(names)-1 {
			length = d.room() - off
		}
		putEntry(b.Data, off, length, string(n.text), n.ino, n.typ)
		off += length
	}
	d.seal(b, false)
}

// insertIndexed adds a name, or brings the directory one step nearer to having room for it: each
// step leaves it in order.
func (d *directory) insertIndexed(h *jbd2.Handle, text string, ino uint32, typ uint8) (done bool, err error) {
	p, s, err := d.root()
	if err != nil {
		return false, err
	}
	defer func() { p.release() }()
	if p, err = d.descend(p, s.hash([]byte(text))); err != nil {
		return false, err
	}
	leaf, err := d.leaf(p[len(p)-1].leads())
	if err != nil {
		return false, err
	}
	defer leaf.Release()
	if done, err := d.insertIn(h, leaf, false, text, ino, typ); done || err != nil {
		return done, err
	}
	k := len(p) - 1
	for k >= 0 && p[k].full() {
		k--
	}
	switch {
	case k == len(p)-1:
		return false, d.splitLeaf(h, &p[k], leaf, &s)
	case k >= 0:
		return false, d.splitNode(h, &p[k], &p[k+1])
	case len(p) >= d.levels():
		return false, syscall.ENOSPC
	default:
		return false, d.addLevel(h, p)
	}
}

// splitLeaf moves the upper half of a leaf's names, by hash, to a new block.
func (d *directory) splitLeaf(h *jbd2.Handle, up *frame, leaf *jbd2.Buffer, s *hasher) error {
	type hashed struct {
		name
		hash uint32
	}
	var all []hashed
	old := append([]byte(nil), leaf.Data...)
	total := 0
	if _, err := d.entries(old, 0, 0, func(n name) bool {
		all = append(all, hashed{n, s.hash(n.text)})
		total += entrySize(len(n.text))
		return true
	}); err != nil {
		return err
	}
	if len(all) < 2 {
		return d.badIndex()
	}
	slices.SortFunc(all, func(a, b hashed) int { return cmp.Compare(a.hash, b.hash) })
	split, size := len(all)-1, 0
	for split > 1 && size+entrySize(len(all[split].text)) <= total/2 {
		size += entrySize(len(all[split].text))
		split--
	}
	if err := h.Modify(leaf); err != nil {
		return err
	}
	if err := h.Modify(up.b); err != nil {
		return err
	}
	fresh, at, err := d.grow(h)
	if err != nil {
		return err
	}
	defer fresh.Release()
	names := make([]name, len(all))
	for i, n := range all {
		names[i] = n.name
	}
	d.pack(leaf, names[:split])
	d.pack(fresh, names[split:])
	hash := all[split].hash
	if all[split-1].hash == hash {
		hash |= 1
	}
	up.insert(hash, at)
	d.seal(up.b, up.at == 0)
	return nil
}

// newIndexBlock appends a block for entries of the index, whose count the caller sets.
func (d *directory) newIndexBlock(h *jbd2.Handle) (frame, error) {
	b, at, err := d.grow(h)
	if err != nil {
		return frame{}, err
	}
	putEntry(b.Data, 0, d.fs.size, "", 0, 0)
	limit := d.indexLimit(disk.DX_NODE_ENTRIES)
	return frame{b: b, at: at, entries: unsafe.Slice(disk.At[disk.DxEntry](b.Data, disk.DX_NODE_ENTRIES), limit)}, nil
}

// splitNode moves the upper half of an index block's entries to a new one.
func (d *directory) splitNode(h *jbd2.Handle, up, full *frame) error {
	if err := h.Modify(full.b); err != nil {
		return err
	}
	if err := h.Modify(up.b); err != nil {
		return err
	}
	fresh, err := d.newIndexBlock(h)
	if err != nil {
		return err
	}
	defer fresh.b.Release()
	count := full.count()
	half := count / 2
	hash := full.entries[half].Hash
	copy(fresh.entries, full.entries[half:count])
	*fresh.limits() = disk.DxCountLimit{Limit: uint16(len(fresh.entries)), Count: uint16(count - half)}
	clear(full.entries[half:count])
	full.limits().Count = uint16(half)
	up.insert(hash, fresh.at)
	d.seal(fresh.b, false)
	d.seal(full.b, full.at == 0)
	d.seal(up.b, up.at == 0)
	return nil
}

// addLevel moves the entries of the root down into a new block.
func (d *directory) addLevel(h *jbd2.Handle, p frames) error {
	root := &p[0]
	if err := h.Modify(root.b); err != nil {
		return err
	}
	fresh, err := d.newIndexBlock(h)
	if err != nil {
		return err
	}
	defer fresh.b.Release()
	count := root.count()
	copy(fresh.entries, root.entries[:count])
	*fresh.limits() = disk.DxCountLimit{Limit: uint16(len(fresh.entries)), Count: uint16(count)}
	clear(root.entries[1:count])
	root.limits().Count = 1
	root.entries[0].Block = fresh.at
	p.rootInfo().Indirect_levels++
	d.seal(fresh.b, false)
	d.seal(root.b, true)
	return nil
}
