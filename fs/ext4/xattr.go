package ext4

import (
	"syscall"

	"github.com/goshawk-os/goshawk/fs/ext4/crc32c"
	"github.com/goshawk-os/goshawk/fs/ext4/disk"
	"github.com/goshawk-os/goshawk/fs/ext4/jbd2"
)

// xattr is one extended attribute as it is on disk.
type xattr struct {
	index uint8
	name  string
	value []byte
}

// prefixes are what indexes of names stand for (attributes.rst).
var prefixes = [...]string{
	1: "user.", 2: "system.posix_acl_access", 3: "system.posix_acl_default", 4: "trusted.", 6: "security.", 7: "system.", 8: "system.richacl",
}

// full returns the whole name, "" if it is none that programs see.
func (x xattr) full() string {
	if int(x.index) >= len(prefixes) || prefixes[x.index] == "" || x.index == disk.XATTR_INDEX_SYSTEM && x.name == "data" {
		return ""
	}
	return prefixes[x.index] + x.name
}

// Getxattr implements vfs.Xattrs.
func (n *node) Getxattr(name string) (value []byte, err error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	found := false
	var it xattr
	err = n.xattrs(func(x xattr) bool {
		if x.full() == name {
			it, found = x, true
		}
		return !found
	})
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, syscall.ENODATA
	case it.index == disk.XATTR_INDEX_POSIX_ACL_ACCESS || it.index == disk.XATTR_INDEX_POSIX_ACL_DEFAULT:
		if value = posixACL(it.value); value == nil {
			return nil, n.fs.damaged("inode", uint64(n.ino), "its access control list is wrong")
		}
		return value, nil
	}
	return it.value, nil
}

// Listxattr implements vfs.Xattrs.
func (n *node) Listxattr() (names []string, err error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	err = n.xattrs(func(x xattr) bool {
		if name := x.full(); name != "" {
			names = append(names, name)
		}
		return true
	})
	return names, err
}

// xattrs calls use for all attributes until it returns false. The caller holds mu.
func (n *node) xattrs(use func(xattr) bool) error {
	more := true
	err := n.tailXattrs(func(x xattr) bool {
		more = use(x)
		return more
	})
	number := n.xattrBlock()
	if err != nil || !more || number == 0 {
		return err
	}
	b, err := n.openXattrs(number)
	if err != nil {
		return err
	}
	defer b.Release()
	return n.parseXattrs(b.Data, disk.XATTR_HEADER_SIZE, b.Data, use)
}

// xattrBlock returns the number of the block of attributes, 0 if there is none.
func (n *node) xattrBlock() uint64 {
	return uint64(n.raw.I_file_acl_lo) | uint64(n.raw.L_i_file_acl_h)<<32
}

// openXattrs returns that block, checked.
func (n *node) openXattrs(number uint64) (*jbd2.Buffer, error) {
	if !n.fs.valid(number, 1) {
		return nil, n.fs.damaged("inode", uint64(n.ino), "its block of attributes does not lie in the file system")
	}
	b, err := n.fs.cache.Get(number)
	if err != nil {
		return nil, err
	}
	h := disk.At[disk.XattrHeader](b.Data, 0)
	if h.H_magic != disk.XATTR_MAGIC || h.H_blocks != 1 {
		b.Release()
		return nil, n.fs.damaged("block", number, "it holds no extended attributes")
	}
	if n.fs.csum && !b.Verified() {
		if n.fs.xattrSum(b) != h.H_checksum {
			b.Release()
			return nil, n.fs.damaged("block", number, "wrong checksum of extended attributes")
		}
		b.SetVerified()
	}
	return b, nil
}

// xattrSum returns the checksum of a block of extended attributes.
func (fs *FS) xattrSum(b *jbd2.Buffer) uint32 {
	c := crc32c.Update(crc32c.Update(fs.seed, raw4(uint32(b.Block))), raw4(uint32(b.Block>>32)))
	c = crc32c.Update(c, b.Data[:disk.XATTR_CHECKSUM])
	c = crc32c.Update(c, []byte{0, 0, 0, 0})
	return crc32c.Update(c, b.Data[disk.XATTR_CHECKSUM+4:])
}

// dropXattrs frees the block of attributes of an inode that is deleted, or counts one user less of it.
func (n *node) dropXattrs(h *jbd2.Handle) error {
	number := n.xattrBlock()
	if number == 0 {
		return nil
	}
	b, err := n.openXattrs(number)
	if err != nil {
		return err
	}
	defer b.Release()
	header := disk.At[disk.XattrHeader](b.Data, 0)
	if header.H_refcount <= 1 {
		return n.fs.freeBlock(h, number)
	}
	if err := h.Modify(b); err != nil {
		return err
	}
	header.H_refcount--
	if n.fs.csum {
		header.H_checksum = n.fs.xattrSum(b)
	}
	return nil
}

// tailXattrs is xattrs for those in the inode, whose values are counted from
// behind the magic number.
func (n *node) tailXattrs(use func(xattr) bool) error {
	if n.tail == nil {
		return nil
	}
	return n.parseXattrs(n.tail, 4, n.tail[4:], use)
}

func (n *node) parseXattrs(area []byte, off int, values []byte, use func(xattr) bool) error {
	for {
		if end := disk.At[uint32](area, off); end == nil || *end == 0 {
			return nil
		}
		e := disk.At[disk.XattrEntry](area, off)
		if e == nil || int(e.E_name_len) > len(area)-off-disk.XATTR_ENTRY_SIZE || e.E_value_inum != 0 ||
			uint64(e.E_value_offs)+uint64(e.E_value_size) > uint64(len(values)) {
			return n.fs.damaged("inode", uint64(n.ino), "an extended attribute is wrong")
		}
		name := area[off+disk.XATTR_ENTRY_SIZE:][:e.E_name_len]
		value := append([]byte{}, values[e.E_value_offs:][:e.E_value_size]...)
		if !use(xattr{e.E_name_index, string(name), value}) {
			return nil
		}
		off += (disk.XATTR_ENTRY_SIZE + int(e.E_name_len) + 3) &^ 3
	}
}

// posixACL turns an access control list as it is on disk (version 1: a user or
// group only where there is one) into that of system calls (version 2).
func posixACL(d []byte) []byte {
	const aclUser, aclGroup = 2, 8
	if v := disk.At[uint32](d, 0); v == nil || *v != 1 {
		return nil
	}
	out := raw4(2)
	for d = d[4:]; len(d) > 0; {
		tag := disk.At[uint16](d, 0)
		if tag == nil || len(d) < 4 {
			return nil
		}
		out = append(out, d[:4]...)
		d = d[4:]
		if *tag != aclUser && *tag != aclGroup {
			out = append(out, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		if len(d) < 4 {
			return nil
		}
		out = append(out, d[:4]...)
		d = d[4:]
	}
	return out
}
