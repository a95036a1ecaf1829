package p9

import (
	"strings"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/abi"
)

// Getxattr implements vfs.Xattrs.
func (n *node) Getxattr(name string) ([]byte, error) { return n.xattr(name, abi.XATTR_SIZE_MAX) }

// xattr reads an extended attribute, or all names, of up to limit bytes.
func (n *node) xattr(name string, limit uint64) ([]byte, error) {
	path := n.use()
	defer path.drop()
	c := n.fs.client
	f, size, err := c.xattrwalk(path, name)
	if err != nil {
		return nil, err
	}
	defer f.drop()
	if size > limit {
		return nil, syscall.E2BIG
	}
	value := make([]byte, size)
	got, err := c.readAt(f, value, 0)
	if err == nil && got < len(value) {
		err = syscall.EIO
	}
	return value, err
}

// Setxattr implements vfs.Xattrs. In the protocol an empty value removes the
// attribute, so there is none: EOPNOTSUPP.
func (n *node) Setxattr(name string, value []byte, flags int) error {
	if len(value) == 0 {
		return syscall.EOPNOTSUPP
	}
	return n.writeXattr(name, value, flags)
}

// Removexattr implements vfs.Xattrs.
func (n *node) Removexattr(name string) error { return n.writeXattr(name, nil, abi.XATTR_REPLACE) }

func (n *node) writeXattr(name string, value []byte, flags int) error {
	path := n.use()
	defer path.drop()
	c := n.fs.client
	f, err := c.clone(path)
	if err != nil {
		return err
	}
	if err := c.xattrcreate(f, name, uint64(len(value)), uint32(flags)); err != nil {
		f.drop()
		return err
	}
	if _, err := c.writeAt(f, value, 0); err != nil {
		f.drop()
		return err
	}
	return c.clunk(f.id)
}

// Listxattr implements vfs.Xattrs.
func (n *node) Listxattr() ([]string, error) {
	all, err := n.xattr("", abi.XATTR_LIST_MAX)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(all), "\x00"), "\x00"), nil
}
