package ext4

import (
	"cmp"
	"slices"
	"strings"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/ext4/disk"
	"github.com/goshawk-os/goshawk/fs/ext4/jbd2"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// xattrCredits: inode, superblock, a block that is freed and one that is allocated.
const xattrCredits = 8

// Setxattr implements vfs.Xattrs.
func (n *node) Setxattr(name string, value []byte, flags int) error {
	return n.changeXattr(name, func(old bool) ([]byte, error) {
		switch {
		case old && flags&abi.XATTR_CREATE != 0:
			return nil, syscall.EEXIST
		case !old && flags&abi.XATTR_REPLACE != 0:
			return nil, syscall.ENODATA
		}
		return append([]byte{}, value...), nil
	})
}

// Removexattr implements vfs.Xattrs.
func (n *node) Removexattr(name string) error {
	return n.changeXattr(name, func(old bool) ([]byte, error) {
		if !old {
			return nil, syscall.ENODATA
		}
		return nil, nil
	})
}

// changeXattr gives an attribute the value that value returns, which is told whether there is one; nil: none.
func (n *node) changeXattr(name string, value func(old bool) ([]byte, error)) error {
	index := uint8(0)
	for i, p := range prefixes {
		if p != "" && strings.HasSuffix(p, ".") && strings.HasPrefix(name, p) {
			index = uint8(i)
		}
	}
	if index == 0 || index == disk.XATTR_INDEX_SYSTEM {
		return syscall.EOPNOTSUPP
	}
	x := xattr{index: index, name: name[len(prefixes[index]):]}
	return n.fs.retry(func() error {
		return n.fs.change(xattrCredits, func(h *jbd2.Handle) error { return n.changeXattrIn(h, x, value) })
	})
}

func (n *node) changeXattrIn(h *jbd2.Handle, x xattr, value func(old bool) ([]byte, error)) error {
	if n.fs.super.S_feature_compat&disk.COMPAT_EXT_ATTR == 0 {
		n.fs.superMu.Lock()
		err := n.fs.changeSuper(h, func(s *disk.SuperBlock) { s.S_feature_compat |= disk.COMPAT_EXT_ATTR })
		n.fs.superMu.Unlock()
		if err != nil {
			return err
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	var inInode, inBlock []xattr
	if err := n.tailXattrs(func(x xattr) bool { inInode = append(inInode, x); return true }); err != nil {
		return err
	}
	var old *jbd2.Buffer
	if number := n.xattrBlock(); number != 0 {
		var err error
		if old, err = n.openXattrs(number); err != nil {
			return err
		}
		defer old.Release()
		if err := n.parseXattrs(old.Data, disk.XATTR_HEADER_SIZE, old.Data, func(x xattr) bool { inBlock = append(inBlock, x); return true }); err != nil {
			return err
		}
	}
	same := func(y xattr) bool { return y.index == x.index && y.name == x.name }
	exists := slices.ContainsFunc(inInode, same) || slices.ContainsFunc(inBlock, same)
	wasInBlock := slices.ContainsFunc(inBlock, same)
	v, err := value(exists)
	if err != nil {
		return err
	}
	inInode, inBlock = slices.DeleteFunc(inInode, same), slices.DeleteFunc(inBlock, same)
	// The inode is the better place: nothing else has to be read.
	blockChanges := wasInBlock
	tail := n.packTail(inInode)
	if v != nil {
		x.value = v
		if with := n.packTail(append(inInode[:len(inInode):len(inInode)], x)); with != nil {
			tail = with
		} else {
			inBlock, blockChanges = append(inBlock, x), true
		}
	}
	if blockChanges {
		if err := n.storeXattrBlock(h, old, inBlock); err != nil {
			return err
		}
	}
	if n.tail = tail; len(inInode) == 0 && (v == nil || len(inBlock) > 0 && same(inBlock[len(inBlock)-1])) {
		n.tail = nil
	}
	n.setCtime(vfs.Now())
	return n.store(h)
}

// packTail returns what is behind an inode's fields with these attributes; nil: they do not fit.
func (n *node) packTail(list []xattr) []byte {
	room := n.fs.inodeLen - n.used
	if room < 2*4 {
		return nil
	}
	p := make([]byte, room)
	*disk.At[uint32](p, 0) = disk.XATTR_MAGIC
	if !packXattrs(p, 4, 4, list, false) {
		return nil
	}
	return p
}

// storeXattrBlock makes attributes the content of the inode's block: of old, if no other inode uses it, or of a new one.
func (n *node) storeXattrBlock(h *jbd2.Handle, old *jbd2.Buffer, list []xattr) error {
	slices.SortFunc(list, func(a, b xattr) int {
		return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(len(a.name), len(b.name)), cmp.Compare(a.name, b.name))
	})
	p := make([]byte, n.fs.size)
	if !packXattrs(p, disk.XATTR_HEADER_SIZE, 0, list, true) {
		return syscall.ENOSPC
	}
	shared := old != nil && disk.At[disk.XattrHeader](old.Data, 0).H_refcount > 1
	b := old
	if len(list) > 0 && (old == nil || shared) {
		var err error
		if b, err = n.fs.newBlock(h, n.fs.groups[(n.ino-1)/n.fs.super.S_inodes_per_group].first, forNames); err != nil {
			return err
		}
		defer b.Release()
		n.addBlocks(1)
	}
	if old != nil && (shared || len(list) == 0) {
		if err := n.dropXattrs(h); err != nil {
			return joinErrors(err, syscall.EIO)
		}
		n.addBlocks(-1)
	}
	if len(list) == 0 {
		n.raw.I_file_acl_lo, n.raw.L_i_file_acl_h = 0, 0
		return nil
	}
	if err := h.Modify(b); err != nil {
		return err
	}
	copy(b.Data, p)
	header := disk.At[disk.XattrHeader](b.Data, 0)
	*header = disk.XattrHeader{H_magic: disk.XATTR_MAGIC, H_refcount: 1, H_blocks: 1, H_hash: blockHash(b.Data)}
	if n.fs.csum {
		header.H_checksum = n.fs.xattrSum(b)
	}
	n.raw.I_file_acl_lo, n.raw.L_i_file_acl_h = uint32(b.Block), uint16(b.Block>>32)
	return nil
}

// packXattrs lays attributes out: entries from off on, values from the end of p down, whose offsets count
// from base. It reports whether they fit, with an end mark of four zero bytes. Hashes are for blocks only.
func packXattrs(p []byte, off, base int, list []xattr, hashes bool) bool {
	values := len(p)
	for _, x := range list {
		size := (disk.XATTR_ENTRY_SIZE + len(x.name) + 3) &^ 3
		values -= (len(x.value) + 3) &^ 3
		if off+size+4 > values {
			return false
		}
		e := disk.XattrEntry{E_name_len: uint8(len(x.name)), E_name_index: x.index, E_value_size: uint32(len(x.value))}
		copy(p[values:], x.value)
		if len(x.value) > 0 {
			e.E_value_offs = uint16(values - base)
		}
		if hashes {
			e.E_hash = entryHash(x.name, p[values:][:(len(x.value)+3)&^3])
		}
		*disk.At[disk.XattrEntry](p, off) = e
		copy(p[off+disk.XATTR_ENTRY_SIZE:], x.name)
		off += size
	}
	return true
}

// entryHash is e_hash (attributes.rst): of the name, and of the value in words.
func entryHash(name string, value []byte) (hash uint32) {
	for i := range len(name) {
		hash = hash<<5 ^ hash>>27 ^ uint32(name[i])
	}
	for i := 0; i < len(value); i += 4 {
		hash = hash<<16 ^ hash>>16 ^ *disk.At[uint32](value, i)
	}
	return hash
}

// blockHash is h_hash: of the entries' hashes, 0 if one of them has none.
func blockHash(p []byte) (hash uint32) {
	for off := disk.XATTR_HEADER_SIZE; *disk.At[uint32](p, off) != 0; {
		e := disk.At[disk.XattrEntry](p, off)
		if e.E_hash == 0 {
			return 0
		}
		hash = hash<<16 ^ hash>>16 ^ e.E_hash
		off += (disk.XATTR_ENTRY_SIZE + int(e.E_name_len) + 3) &^ 3
	}
	return hash
}
