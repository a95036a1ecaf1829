package ext4

import (
	"cmp"
	"slices"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/ext4/crc32c"
	"github.com/goshawk-os/goshawk/fs/ext4/disk"
	"github.com/goshawk-os/goshawk/fs/ext4/jbd2"
)

var fileTypes = [...]uint32{0, syscall.S_IFREG, syscall.S_IFDIR, syscall.S_IFCHR, syscall.S_IFBLK, syscall.S_IFIFO, syscall.S_IFSOCK, syscall.S_IFLNK}

// A name is one entry of a directory as it is on disk. text is a part of the block.
type name struct {
	text []byte
	ino  uint32
	typ  uint8
	next int64 // offset of the next entry in the directory
}

// find returns the inode that a name has: ENOENT.
func (d *directory) find(text string) (ino uint32, err error) {
	if d.indexed() && d.hasIndexes() {
		return d.findIndexed(text)
	}
	err = d.scan(0, func(n name) bool {
		if string(n.text) == text {
			ino = n.ino
		}
		return ino == 0
	})
	if err == nil && ino == 0 {
		err = syscall.ENOENT
	}
	return ino, err
}

// hasIndexes reports whether directories of the file system have indexes.
func (d *directory) hasIndexes() bool {
	return d.fs.super.S_feature_compat&disk.COMPAT_DIR_INDEX != 0 && !d.inlined
}

// getsIndex reports whether the directory gets an index when it needs a second block.
func (d *directory) getsIndex() bool {
	return d.hasIndexes() && d.count() == 1 && d.fs.super.S_def_hash_version <= disk.DX_HASH_TEA
}

func isDot(text []byte) bool { return string(text) == "." || string(text) == ".." }

// empty reports whether there are only "." and "..".
func (d *directory) empty() (bool, error) {
	empty := true
	err := d.scan(0, func(n name) bool {
		empty = isDot(n.text)
		return empty
	})
	return empty, err
}

// typeOf returns the S_IFMT bits of a name, 0 if the directory does not have them.
func (d *directory) typeOf(n name) uint32 {
	if d.fs.super.S_feature_incompat&disk.INCOMPAT_FILETYPE == 0 || int(n.typ) >= len(fileTypes) {
		return 0
	}
	return fileTypes[n.typ]
}

// list is ReadDir with change. What has an index, or may get one, is listed in the order of
// hashes: names keep their places when blocks are split. A cursor is then the hash and 32 bits that
// tell names with the same hash apart; else an offset in the directory.
func (d *directory) list(cursor int64, emit func(name string, ino uint64, typ uint32, next int64) bool) error {
	if d.hasIndexes() {
		switch {
		case d.indexed():
			return d.listIndexed(cursor, emit)
		case d.getsIndex():
			s := d.fs.hasher(d.fs.super.S_def_hash_version)
			g := gathered{s: &s}
			if err := d.scan(0, g.add); err != nil {
				return err
			}
			g.emit(d, cursor, emit)
			return nil
		}
	}
	return d.scan(cursor, func(n name) bool {
		return isDot(n.text) || emit(string(n.text), uint64(n.ino), d.typeOf(n), n.next)
	})
}

// gathered are names to be listed in the order of hashes.
type gathered struct {
	s     *hasher
	names []name
	keys  []key
}

type key struct {
	at int64 // cursor of the name
	i  int
}

func (g *gathered) add(n name) bool {
	if !isDot(n.text) {
		minor := uint32(2166136261) // FNV-1a
		for _, c := range n.text {
			minor = (minor ^ uint32(c)) * 16777619
		}
		g.keys = append(g.keys, key{int64(g.s.hash(n.text)>>1)<<32 | int64(minor), len(g.names)})
		g.names = append(g.names, n)
	}
	return true
}

// emit hands on the names from cursor on, and reports whether more are wanted.
func (g *gathered) emit(d *directory, cursor int64, emit func(name string, ino uint64, typ uint32, next int64) bool) bool {
	slices.SortFunc(g.keys, func(a, b key) int { return cmp.Compare(a.at, b.at) })
	for _, k := range g.keys {
		if n := g.names[k.i]; k.at >= cursor && !emit(string(n.text), uint64(n.ino), d.typeOf(n), k.at+1) {
			return false
		}
	}
	g.keys, g.names = g.keys[:0], g.names[:0]
	return true
}

// scan calls use for each name at or behind the offset from until it returns
// false. Blocks of an index look like unused entries (directory.rst).
func (d *directory) scan(from int64, use func(n name) bool) error {
	if d.inlined {
		data, err := d.inlineData()
		if err != nil {
			return err
		}
		// The entries in i_block and those in the attribute are two areas.
		parts := [2][]byte{data[min(disk.INLINE_DIR_HEAD, len(data)):min(len(data), len(d.raw.I_block))], data[min(len(data), len(d.raw.I_block)):]}
		base := int64(disk.INLINE_DIR_HEAD)
		for _, p := range parts {
			if more, err := d.entries(p, base, from, use); err != nil || !more {
				return err
			}
			base += int64(len(p))
		}
		return nil
	}
	for at := uint32(max(from, 0) / int64(d.fs.size)); at < d.count(); at++ {
		b, err := d.block(at)
		if err != nil {
			return err
		}
		more, err := d.entries(b.Data, int64(at)*int64(d.fs.size), from, use)
		b.Release()
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// block returns block at of the directory, whose checksum is right.
func (d *directory) block(at uint32) (*jbd2.Buffer, error) {
	b, err := d.get(at)
	if err != nil {
		return nil, err
	}
	if d.fs.csum && !b.Verified() && !d.checksum(b.Data, at == 0) {
		b.Release()
		return nil, d.fs.damaged("directory", uint64(d.ino), "wrong checksum of a block")
	}
	b.SetVerified()
	return b, nil
}

// entries goes through one area, which begins at offset base of the directory.
func (d *directory) entries(area []byte, base, from int64, use func(n name) bool) (more bool, err error) {
	for off := 0; off < len(area); {
		e := disk.At[disk.DirEntry2](area, off)
		if e == nil {
			return false, d.fs.damaged("directory", uint64(d.ino), "an entry is cut off")
		}
		length := int(e.Rec_len)
		if length < disk.DIR_ENTRY_SIZE+int(e.Name_len) || length%4 != 0 || length > len(area)-off {
			return false, d.fs.damaged("directory", uint64(d.ino), "an entry has an impossible length")
		}
		next := base + int64(off+length)
		if e.Inode != 0 && base+int64(off) >= from {
			text := area[off+disk.DIR_ENTRY_SIZE:][:e.Name_len]
			if !nameValid(text) {
				return false, d.fs.damaged("directory", uint64(d.ino), "an impossible name")
			}
			if !use(name{text, e.Inode, e.File_type, next}) {
				return false, nil
			}
		}
		off += length
	}
	return true, nil
}

func nameValid(text []byte) bool {
	for _, c := range text {
		if c == 0 || c == '/' {
			return false
		}
	}
	return len(text) > 0
}

// checksum checks that of a block with entries, or of an index.
func (d *directory) checksum(b []byte, first bool) bool {
	if entries := d.indexIn(b, first); entries != 0 {
		tail := d.indexTail(b, entries)
		return tail != nil && d.indexSum(b, entries) == tail.Dt_checksum
	}
	t := disk.At[disk.DirEntryTail](b, len(b)-disk.DIR_TAIL_SIZE)
	return t.Det_rec_len == disk.DIR_TAIL_SIZE && t.Det_reserved_ft == disk.FT_DIR_CSUM &&
		crc32c.Update(d.seed, b[:len(b)-disk.DIR_TAIL_SIZE]) == t.Det_checksum
}

// indexIn returns where the entries of an index begin in a block; 0: it has names.
func (d *directory) indexIn(b []byte, first bool) int {
	if !d.indexed() {
		return 0
	}
	e := disk.At[disk.DirEntry2](b, 0)
	switch {
	case first:
		return disk.DX_ROOT_ENTRIES
	case e.Inode == 0 && int(e.Rec_len) == len(b):
		return disk.DX_NODE_ENTRIES
	}
	return 0
}

// indexTail returns the place of an index block's checksum, nil if it has none.
func (d *directory) indexTail(b []byte, entries int) *disk.DxTail {
	c := disk.At[disk.DxCountLimit](b, entries)
	if c.Count > c.Limit {
		return nil
	}
	return disk.At[disk.DxTail](b, entries+int(c.Limit)*disk.DX_ENTRY_SIZE)
}

// indexSum computes the checksum of an index block: over the entries in use and the tail.
func (d *directory) indexSum(b []byte, entries int) uint32 {
	c := disk.At[disk.DxCountLimit](b, entries)
	sum := crc32c.Update(d.seed, b[:entries+int(c.Count)*disk.DX_ENTRY_SIZE])
	sum = crc32c.Update(sum, b[entries+int(c.Limit)*disk.DX_ENTRY_SIZE:][:4])
	return crc32c.Update(sum, []byte{0, 0, 0, 0})
}

// seal renews the checksum of a block that was changed.
func (d *directory) seal(b *jbd2.Buffer, first bool) {
	if !d.fs.csum {
		return
	}
	if entries := d.indexIn(b.Data, first); entries != 0 {
		d.indexTail(b.Data, entries).Dt_checksum = d.indexSum(b.Data, entries)
		return
	}
	t := disk.At[disk.DirEntryTail](b.Data, len(b.Data)-disk.DIR_TAIL_SIZE)
	*t = disk.DirEntryTail{Det_rec_len: disk.DIR_TAIL_SIZE, Det_reserved_ft: disk.FT_DIR_CSUM}
	t.Det_checksum = crc32c.Update(d.seed, b.Data[:len(b.Data)-disk.DIR_TAIL_SIZE])
}
