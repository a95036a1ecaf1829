package vfs

import (
	"strings"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/abi"
)

// Getxattr reads an extended attribute into buf and returns its length; with
// an empty buf only the length. ERANGE if buf is too short. The last component
// of path is not followed with AT_SYMLINK_NOFOLLOW (lgetxattr).
func (ns *Namespace) Getxattr(dir *File, path, name string, buf []byte, flags int) (int, error) {
	if err := checkXattrName(name); err != nil {
		return 0, err
	}
	l, err := ns.resolveChange(dir, path, flags)
	if err != nil {
		return 0, err
	}
	return getxattr(l, name, buf)
}

// Setxattr sets an extended attribute. how is XATTR_CREATE, XATTR_REPLACE or 0.
func (ns *Namespace) Setxattr(dir *File, path, name string, value []byte, how, flags int) error {
	if err := checkSetxattr(name, value, how); err != nil {
		return err
	}
	l, err := ns.resolveChange(dir, path, flags)
	if err != nil {
		return err
	}
	return setxattr(l, name, value, how)
}

// Listxattr reads the names of the extended attributes into buf, each with a
// zero byte behind it, and returns their length; with an empty buf only that.
func (ns *Namespace) Listxattr(dir *File, path string, buf []byte, flags int) (int, error) {
	l, err := ns.resolveChange(dir, path, flags)
	if err != nil {
		return 0, err
	}
	return listxattr(l, buf)
}

// Removexattr removes an extended attribute.
func (ns *Namespace) Removexattr(dir *File, path, name string, flags int) error {
	if err := checkXattrName(name); err != nil {
		return err
	}
	l, err := ns.resolveChange(dir, path, flags)
	if err != nil {
		return err
	}
	return removexattr(l, name)
}

// Getxattr is Namespace.Getxattr of an open file.
func (f *File) Getxattr(name string, buf []byte) (int, error) {
	if err := checkXattrName(name); err != nil {
		return 0, err
	}
	if f.isPath() {
		return 0, syscall.EBADF
	}
	return getxattr(f.loc, name, buf)
}

// Setxattr is Namespace.Setxattr of an open file.
func (f *File) Setxattr(name string, value []byte, how int) error {
	if err := checkSetxattr(name, value, how); err != nil {
		return err
	}
	if f.isPath() {
		return syscall.EBADF
	}
	return setxattr(f.loc, name, value, how)
}

// Listxattr is Namespace.Listxattr of an open file.
func (f *File) Listxattr(buf []byte) (int, error) {
	if f.isPath() {
		return 0, syscall.EBADF
	}
	return listxattr(f.loc, buf)
}

// Removexattr is Namespace.Removexattr of an open file.
func (f *File) Removexattr(name string) error {
	if err := checkXattrName(name); err != nil {
		return err
	}
	if f.isPath() {
		return syscall.EBADF
	}
	return removexattr(f.loc, name)
}

func checkXattrName(name string) error {
	if name == "" || len(name) > abi.XATTR_NAME_MAX {
		return syscall.ERANGE
	}
	return nil
}

func checkSetxattr(name string, value []byte, how int) error {
	if how&^(abi.XATTR_CREATE|abi.XATTR_REPLACE) != 0 {
		return syscall.EINVAL
	}
	if err := checkXattrName(name); err != nil {
		return err
	}
	if len(value) > abi.XATTR_SIZE_MAX {
		return syscall.E2BIG
	}
	return nil
}

// xattrs returns the attributes of l after checking the prefix of name, which
// is one of those of tmpfs; user attributes exist on files and directories
// only (xattr(7)), elsewhere none is what they answer.
func xattrs(l location, name string, none syscall.Errno) (Xattrs, error) {
	prefix, rest, _ := strings.Cut(name, ".")
	switch prefix {
	case "user":
		if typ := l.inode().Type(); typ != syscall.S_IFREG && typ != syscall.S_IFDIR {
			return nil, none
		}
	case "trusted", "security":
	default:
		return nil, syscall.EOPNOTSUPP
	}
	if rest == "" {
		return nil, syscall.EINVAL
	}
	x, ok := l.inode().(Xattrs)
	if !ok {
		return nil, syscall.EOPNOTSUPP
	}
	return x, nil
}

func getxattr(l location, name string, buf []byte) (int, error) {
	x, err := xattrs(l, name, syscall.ENODATA)
	if err != nil {
		return 0, err
	}
	value, err := x.Getxattr(name)
	if err != nil {
		return 0, err
	}
	return fill(buf, value)
}

func setxattr(l location, name string, value []byte, how int) error {
	x, err := changeXattrs(l, name)
	if err != nil {
		return err
	}
	if err := x.Setxattr(name, value, how); err != nil {
		return err
	}
	happened(l, syscall.IN_ATTRIB)
	return nil
}

func removexattr(l location, name string) error {
	x, err := changeXattrs(l, name)
	if err != nil {
		return err
	}
	if err := x.Removexattr(name); err != nil {
		return err
	}
	happened(l, syscall.IN_ATTRIB)
	return nil
}

func changeXattrs(l location, name string) (Xattrs, error) {
	if err := l.writable(); err != nil {
		return nil, err
	}
	return xattrs(l, name, syscall.EPERM)
}

func listxattr(l location, buf []byte) (int, error) {
	x, ok := l.inode().(Xattrs)
	if !ok {
		return 0, nil
	}
	names, err := x.Listxattr()
	if err != nil {
		return 0, err
	}
	var all []byte
	for _, name := range names {
		all = append(append(all, name...), 0)
	}
	if len(all) > abi.XATTR_LIST_MAX {
		return 0, syscall.E2BIG
	}
	return fill(buf, all)
}

// fill copies what a call with an optional buffer returns.
func fill(buf, value []byte) (int, error) {
	if len(buf) == 0 {
		return len(value), nil
	}
	if len(buf) < len(value) {
		return 0, syscall.ERANGE
	}
	return copy(buf, value), nil
}
