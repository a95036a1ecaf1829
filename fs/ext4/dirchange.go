package ext4

import (
	"syscall"

	"github.com/goshawk-os/goshawk/fs/ext4/disk"
	"github.com/goshawk-os/goshawk/fs/ext4/jbd2"
)

// insertCredits is how many blocks insert may change: up to four times it makes a block and
// enters it in one above.
const insertCredits = 40

// entrySize is how many bytes an entry takes.
func entrySize(length int) int { return (disk.DIR_ENTRY_SIZE + length + 3) &^ 3 }

// room is where the entries of a block end, before the checksum.
func (d *directory) room() int {
	if d.fs.csum {
		return d.fs.size - disk.DIR_TAIL_SIZE
	}
	return d.fs.size
}

// putEntry writes an entry that takes length bytes at off.
func putEntry(p []byte, off, length int, text string, ino uint32, typ uint8) {
	*disk.At[disk.DirEntry2](p, off) = disk.DirEntry2{Inode: ino, Rec_len: uint16(length), Name_len: uint8(len(text)), File_type: typ}
	copy(p[off+disk.DIR_ENTRY_SIZE:], text)
}

// initialise makes "." and "..", of the first block, which grow has made.
func (d *directory) initialise(b *jbd2.Buffer, parent uint32) {
	putEntry(b.Data, 0, entrySize(1), ".", d.ino, disk.FT_DIR)
	putEntry(b.Data, entrySize(1), d.room()-entrySize(1), "..", parent, disk.FT_DIR)
	d.seal(b, true)
}

// insert adds a name that is not there. A directory that is full, which only an index can be: ENOSPC.
// The caller holds change.
func (d *directory) insert(h *jbd2.Handle, text string, ino uint32, typ uint8) error {
	for {
		if d.indexed() && d.hasIndexes() {
			done, err := d.insertIndexed(h, text, ino, typ)
			if done || err != nil {
				return err
			}
			continue
		}
		if d.indexed() {
			if err := d.dropIndex(h); err != nil {
				return err
			}
		}
		for at := range d.count() {
			b, err := d.block(at)
			if err != nil {
				return err
			}
			done, err := d.insertIn(h, b, at == 0, text, ino, typ)
			b.Release()
			if done || err != nil {
				return err
			}
		}
		if d.getsIndex() {
			if err := d.makeIndex(h); err != nil {
				return err
			}
			continue
		}
		b, _, err := d.grow(h)
		if err != nil {
			return err
		}
		d.clearNames(b)
		b.Release()
	}
}

// dropIndex makes a directory whose index the file system does not use any more (tune2fs -O
// ^dir_index) one without: the index would not have what is added. Its blocks look unused without
// their checksums; where there are some, tune2fs has dropped the indexes itself.
func (d *directory) dropIndex(h *jbd2.Handle) error {
	if d.fs.csum {
		return d.fs.damaged("directory", uint64(d.ino), "it has an index, and the file system none")
	}
	return d.update(h, func(r *disk.Inode) { r.I_flags &^= disk.INDEX_FL })
}

// clearNames makes a block one without names.
func (d *directory) clearNames(b *jbd2.Buffer) {
	clear(b.Data)
	putEntry(b.Data, 0, d.room(), "", 0, 0)
	d.seal(b, false)
}

// insertIn adds a name to a block if there is room for it.
func (d *directory) insertIn(h *jbd2.Handle, b *jbd2.Buffer, first bool, text string, ino uint32, typ uint8) (done bool, err error) {
	need := entrySize(len(text))
	if _, err := d.entries(b.Data, 0, 0, func(name) bool { return true }); err != nil {
		return false, err
	}
	for off := 0; off < d.room(); {
		e := disk.At[disk.DirEntry2](b.Data, off)
		used := 0
		if e.Inode != 0 {
			used = entrySize(int(e.Name_len))
		}
		if left := int(e.Rec_len) - used; left >= need {
			if err := h.Modify(b); err != nil {
				return false, err
			}
			if used > 0 {
				e.Rec_len = uint16(used)
			}
			putEntry(b.Data, off+used, left, text, ino, typ)
			d.seal(b, first)
			return true, nil
		}
		off += int(e.Rec_len)
	}
	return false, nil
}

// locate finds the block and the entry of a name, and the entry before it in the block, and has
// change work on them.
func (d *directory) locate(h *jbd2.Handle, text string, change func(before, e *disk.DirEntry2)) error {
	visit := func(at uint32) (done bool, err error) {
		b, err := d.block(at)
		if err != nil {
			return false, err
		}
		defer b.Release()
		if _, err := d.entries(b.Data, 0, 0, func(name) bool { return true }); err != nil {
			return false, err
		}
		var before *disk.DirEntry2
		for off := 0; off < d.room(); {
			e := disk.At[disk.DirEntry2](b.Data, off)
			if e.Inode != 0 && string(b.Data[off+disk.DIR_ENTRY_SIZE:][:e.Name_len]) == text {
				if err := h.Modify(b); err != nil {
					return false, err
				}
				change(before, e)
				d.seal(b, at == 0)
				return true, nil
			}
			before = e
			off += int(e.Rec_len)
		}
		return false, nil
	}
	if d.indexed() && d.hasIndexes() && text != ".." {
		done, err := d.walkLeaves(text, visit)
		if err == nil && !done {
			err = syscall.ENOENT
		}
		return err
	}
	for at := range d.count() {
		if done, err := visit(at); done || err != nil {
			return err
		}
	}
	return syscall.ENOENT
}

// remove takes a name away. The caller holds change.
func (d *directory) remove(h *jbd2.Handle, text string) error {
	return d.locate(h, text, func(before, e *disk.DirEntry2) {
		if before != nil {
			before.Rec_len += e.Rec_len
		} else {
			e.Inode = 0
		}
	})
}

// replace gives a name another inode. The caller holds change.
func (d *directory) replace(h *jbd2.Handle, text string, ino uint32, typ uint8) error {
	return d.locate(h, text, func(_, e *disk.DirEntry2) { e.Inode, e.File_type = ino, typ })
}

// setParent changes "..".
func (d *directory) setParent(h *jbd2.Handle, ino uint32) error {
	return d.replace(h, "..", ino, disk.FT_DIR)
}
