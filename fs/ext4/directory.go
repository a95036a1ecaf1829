package ext4

import (
	"syscall"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/ext4/crc32c"
	"github.com/goshawk-os/goshawk/fs/ext4/disk"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// directory is a directory. self is its place in the tree; FS.mu.
type directory struct {
	node
	self *entry
}

// Lookup implements vfs.Directory.
func (d *directory) Lookup(name string) (vfs.Entry, error) {
	if len(name) > abi.NAME_MAX {
		return nil, syscall.ENAMETOOLONG
	}
	fs, key := d.fs, nameKey{d.ino, name}
	fs.mu.Lock()
	e := fs.names[key]
	fs.mu.Unlock()
	if e != nil {
		return e, nil
	}
	var ino uint32
	err := d.scan(0, func(got []byte, number uint32, _ uint8, _ int64) bool {
		if string(got) == name {
			ino = number
		}
		return ino == 0
	})
	if err != nil {
		return nil, err
	}
	if ino == 0 {
		return nil, syscall.ENOENT
	}
	i, err := fs.inode(ino)
	if err != nil {
		return nil, err
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if e := fs.names[key]; e != nil {
		return e, nil
	}
	e = &entry{d.self, name, i}
	if sub, ok := i.(*directory); ok {
		if sub.self != nil {
			return nil, fs.damaged("directory", uint64(ino), "it has two names")
		}
		sub.self = e
	}
	fs.names[key] = e
	return e, nil
}

var fileTypes = [...]uint32{0, syscall.S_IFREG, syscall.S_IFDIR, syscall.S_IFCHR, syscall.S_IFBLK, syscall.S_IFIFO, syscall.S_IFSOCK, syscall.S_IFLNK}

// ReadDir implements vfs.Directory. A cursor is an offset in the directory.
func (d *directory) ReadDir(cursor int64, emit func(name string, ino uint64, typ uint32, next int64) bool) error {
	typed := d.fs.super.S_feature_incompat&disk.INCOMPAT_FILETYPE != 0
	return d.scan(cursor, func(name []byte, ino uint32, ft uint8, next int64) bool {
		if string(name) == "." || string(name) == ".." {
			return true
		}
		typ := uint32(0)
		if typed && int(ft) < len(fileTypes) {
			typ = fileTypes[ft]
		}
		return emit(string(name), uint64(ino), typ, next)
	})
}

// scan calls use for each entry at or behind the offset from until it returns
// false. Blocks of an index look like unused entries (directory.rst).
func (d *directory) scan(from int64, use func(name []byte, ino uint32, ft uint8, next int64) bool) error {
	if d.raw.I_flags&disk.INLINE_DATA_FL != 0 {
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
	size := uint64(d.fs.size)
	if d.size%size != 0 {
		return d.fs.damaged("directory", uint64(d.ino), "impossible size")
	}
	for at := uint64(max(from, 0)) / size; at < d.size/size; at++ {
		phys, _, err := d.lookup(at)
		if err != nil {
			return err
		}
		if phys == 0 {
			return d.fs.damaged("directory", uint64(d.ino), "it has a hole")
		}
		b, err := d.fs.cache.Get(phys)
		if err != nil {
			return err
		}
		more := false
		if d.fs.csum && !b.Verified() && !d.checksum(b.Data, at == 0) {
			err = d.fs.damaged("directory", uint64(d.ino), "wrong checksum of a block")
		} else {
			b.SetVerified()
			more, err = d.entries(b.Data, int64(at*size), from, use)
		}
		b.Release()
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// entries goes through one area, which begins at offset base of the directory.
func (d *directory) entries(area []byte, base, from int64, use func([]byte, uint32, uint8, int64) bool) (more bool, err error) {
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
			name := area[off+disk.DIR_ENTRY_SIZE:][:e.Name_len]
			if !nameValid(name) {
				return false, d.fs.damaged("directory", uint64(d.ino), "an impossible name")
			}
			if !use(name, e.Inode, e.File_type, next) {
				return false, nil
			}
		}
		off += length
	}
	return true, nil
}

func nameValid(name []byte) bool {
	for _, c := range name {
		if c == 0 || c == '/' {
			return false
		}
	}
	return len(name) > 0
}

// checksum checks that of a block with entries, or of an index.
func (d *directory) checksum(b []byte, first bool) bool {
	if d.raw.I_flags&disk.INDEX_FL != 0 {
		e := disk.At[disk.DirEntry2](b, 0)
		switch {
		case first:
			return d.indexSum(b, disk.DX_ROOT_ENTRIES)
		case e.Inode == 0 && int(e.Rec_len) == len(b):
			return d.indexSum(b, disk.DX_NODE_ENTRIES)
		}
	}
	t := disk.At[disk.DirEntryTail](b, len(b)-disk.DIR_TAIL_SIZE)
	return t.Det_rec_len == disk.DIR_TAIL_SIZE && t.Det_reserved_ft == disk.FT_DIR_CSUM &&
		crc32c.Update(d.seed, b[:len(b)-disk.DIR_TAIL_SIZE]) == t.Det_checksum
}

// indexSum checks the checksum of an index block: over the entries in use and
// the tail (struct dx_tail), which lies behind the place for all entries.
func (d *directory) indexSum(b []byte, entries int) bool {
	c := disk.At[disk.DxCountLimit](b, entries)
	tail := entries + int(c.Limit)*disk.DX_ENTRY_SIZE
	if c.Count > c.Limit || tail > len(b)-disk.DX_ENTRY_SIZE {
		return false
	}
	sum := crc32c.Update(d.seed, b[:entries+int(c.Count)*disk.DX_ENTRY_SIZE])
	sum = crc32c.Update(sum, b[tail:tail+4])
	return crc32c.Update(sum, []byte{0, 0, 0, 0}) == *disk.At[uint32](b, tail+4)
}
