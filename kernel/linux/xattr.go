package linux

import (
	"syscall"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// The extended attribute calls come in three forms: of a path, of a path whose last symbolic link is
// not followed, and of a descriptor.

// xattrName returns the attribute name at argument 1.
func (a *args) xattrName() (string, syscall.Errno) {
	return text(a.p[1], abi.XATTR_NAME_MAX+1, syscall.ERANGE)
}

func getxattr(a *args, flags int) (uintptr, syscall.Errno) {
	l, err := a.here(0)
	if err != 0 {
		return 0, err
	}
	name, err := a.xattrName()
	if err != 0 {
		return 0, err
	}
	buf, err := a.bytes(2, 3)
	if err != 0 {
		return 0, err
	}
	n, e := space().Getxattr(l.dir, l.path, name, buf, flags)
	return uintptr(n), errno(e)
}

func sysGetxattr(a args) (uintptr, syscall.Errno)  { return getxattr(&a, 0) }
func sysLgetxattr(a args) (uintptr, syscall.Errno) { return getxattr(&a, abi.AT_SYMLINK_NOFOLLOW) }

func sysFgetxattr(a args) (uintptr, syscall.Errno) {
	f, err := process.files.get(a.int(0))
	if err != 0 {
		return 0, err
	}
	defer f.Close()
	name, err := a.xattrName()
	if err != 0 {
		return 0, err
	}
	buf, err := a.bytes(2, 3)
	if err != 0 {
		return 0, err
	}
	n, e := f.Getxattr(name, buf)
	return uintptr(n), errno(e)
}

// xattrValue returns the name and the value that a call sets.
func (a *args) xattrValue() (name string, value []byte, err syscall.Errno) {
	name, err = a.xattrName()
	if err == 0 && a.n[3] > abi.XATTR_SIZE_MAX {
		err = syscall.E2BIG
	}
	if err == 0 {
		value, err = a.bytes(2, 3)
	}
	return name, value, err
}

func setxattr(a *args, flags int) (uintptr, syscall.Errno) {
	l, err := a.here(0)
	if err != 0 {
		return 0, err
	}
	name, value, err := a.xattrValue()
	if err != 0 {
		return 0, err
	}
	return 0, errno(space().Setxattr(l.dir, l.path, name, value, a.int(4), flags))
}

func sysSetxattr(a args) (uintptr, syscall.Errno)  { return setxattr(&a, 0) }
func sysLsetxattr(a args) (uintptr, syscall.Errno) { return setxattr(&a, abi.AT_SYMLINK_NOFOLLOW) }

func sysFsetxattr(a args) (uintptr, syscall.Errno) {
	f, err := process.files.get(a.int(0))
	if err != 0 {
		return 0, err
	}
	defer f.Close()
	name, value, err := a.xattrValue()
	if err != 0 {
		return 0, err
	}
	return 0, errno(f.Setxattr(name, value, a.int(4)))
}

func listxattr(a *args, flags int) (uintptr, syscall.Errno) {
	l, err := a.here(0)
	if err != 0 {
		return 0, err
	}
	buf, err := a.bytes(1, 2)
	if err != 0 {
		return 0, err
	}
	n, e := space().Listxattr(l.dir, l.path, buf, flags)
	return uintptr(n), errno(e)
}

func sysListxattr(a args) (uintptr, syscall.Errno)  { return listxattr(&a, 0) }
func sysLlistxattr(a args) (uintptr, syscall.Errno) { return listxattr(&a, abi.AT_SYMLINK_NOFOLLOW) }

func sysFlistxattr(a args) (uintptr, syscall.Errno) {
	f, err := process.files.get(a.int(0))
	if err != 0 {
		return 0, err
	}
	defer f.Close()
	buf, err := a.bytes(1, 2)
	if err != 0 {
		return 0, err
	}
	n, e := f.Listxattr(buf)
	return uintptr(n), errno(e)
}

func removexattr(a *args, flags int) (uintptr, syscall.Errno) {
	l, err := a.here(0)
	if err != 0 {
		return 0, err
	}
	name, err := a.xattrName()
	if err != 0 {
		return 0, err
	}
	return 0, errno(space().Removexattr(l.dir, l.path, name, flags))
}

func sysRemovexattr(a args) (uintptr, syscall.Errno) { return removexattr(&a, 0) }
func sysLremovexattr(a args) (uintptr, syscall.Errno) {
	return removexattr(&a, abi.AT_SYMLINK_NOFOLLOW)
}

func sysFremovexattr(a args) (uintptr, syscall.Errno) {
	name, err := a.xattrName()
	if err != 0 {
		return 0, err
	}
	return onFile(a.int(0), func(f *vfs.File) error { return f.Removexattr(name) })
}
