package linux

import (
	"syscall"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// at returns the directory from which path starts if it is relative, with a reference: nil, which is
// the current directory, for AT_FDCWD and for absolute paths. release gives it back.
func at(fd int, path string) (*vfs.File, syscall.Errno) {
	if fd == abi.AT_FDCWD || path != "" && path[0] == '/' {
		return nil, 0
	}
	return process.files.get(fd)
}

func release(dir *vfs.File) {
	if dir != nil {
		dir.Close()
	}
}

// location is the directory descriptor and the path that many calls begin with.
type location struct {
	dir  *vfs.File
	path string
}

func (l location) release() { release(l.dir) }

// location returns the location of arguments dir, a descriptor, and path. The caller releases it.
func (a *args) location(dir, path int) (location, syscall.Errno) {
	return a.locationAt(a.int(dir), path)
}

// here returns the location of argument i, a path from the current directory.
func (a *args) here(i int) (location, syscall.Errno) { return a.locationAt(abi.AT_FDCWD, i) }

func (a *args) locationAt(fd, i int) (location, syscall.Errno) {
	path, err := a.path(i)
	if err != 0 {
		return location{}, err
	}
	dir, err := at(fd, path)
	return location{dir, path}, err
}

// onPath calls op with l, which argument errors may have made impossible, and releases it.
func onPath(l location, err syscall.Errno, op func(location) error) (uintptr, syscall.Errno) {
	if err != 0 {
		return 0, err
	}
	defer l.release()
	return 0, errno(op(l))
}

// onFile calls op with the file behind descriptor fd.
func onFile(fd int, op func(*vfs.File) error) (uintptr, syscall.Errno) {
	f, err := process.files.get(fd)
	if err != 0 {
		return 0, err
	}
	defer f.Close()
	return 0, errno(op(f))
}

// open opens l as a descriptor.
func open(l location, err syscall.Errno, flags int, mode uint32) (uintptr, syscall.Errno) {
	if err != 0 {
		return 0, err
	}
	defer l.release()
	if flags&abi.O_PATH == 0 {
		flags |= abi.O_LARGEFILE
	}
	f, e := space().Open(l.dir, l.path, flags, mode)
	if e != nil {
		return 0, errno(e)
	}
	return process.install(f, flags)
}

func sysOpen(a args) (uintptr, syscall.Errno) {
	l, err := a.here(0)
	return open(l, err, a.int(1), a.uint32(2))
}

func sysOpenat(a args) (uintptr, syscall.Errno) {
	l, err := a.location(0, 1)
	return open(l, err, a.int(2), a.uint32(3))
}

func sysCreat(a args) (uintptr, syscall.Errno) {
	l, err := a.here(0)
	return open(l, err, syscall.O_CREAT|syscall.O_WRONLY|syscall.O_TRUNC, a.uint32(1))
}

func mkdir(l location, err syscall.Errno, mode uint32) (uintptr, syscall.Errno) {
	return onPath(l, err, func(l location) error { return space().Mkdir(l.dir, l.path, mode) })
}

func sysMkdir(a args) (uintptr, syscall.Errno) {
	l, err := a.here(0)
	return mkdir(l, err, a.uint32(1))
}

func sysMkdirat(a args) (uintptr, syscall.Errno) {
	l, err := a.location(0, 1)
	return mkdir(l, err, a.uint32(2))
}

func mknod(l location, err syscall.Errno, mode uint32, device uintptr) (uintptr, syscall.Errno) {
	return onPath(l, err, func(l location) error {
		return space().Mknod(l.dir, l.path, mode, uint64(uint32(device)))
	})
}

func sysMknod(a args) (uintptr, syscall.Errno) {
	l, err := a.here(0)
	return mknod(l, err, a.uint32(1), a.n[2])
}

func sysMknodat(a args) (uintptr, syscall.Errno) {
	l, err := a.location(0, 1)
	return mknod(l, err, a.uint32(2), a.n[3])
}

func unlink(l location, err syscall.Errno, flags int) (uintptr, syscall.Errno) {
	return onPath(l, err, func(l location) error { return space().Unlink(l.dir, l.path, flags) })
}

func sysUnlink(a args) (uintptr, syscall.Errno) {
	l, err := a.here(0)
	return unlink(l, err, 0)
}

func sysRmdir(a args) (uintptr, syscall.Errno) {
	l, err := a.here(0)
	return unlink(l, err, abi.AT_REMOVEDIR)
}

func sysUnlinkat(a args) (uintptr, syscall.Errno) {
	l, err := a.location(0, 1)
	return unlink(l, err, a.int(2))
}

// onPaths calls op with two locations of a, at arguments (dir, path); a dir of -1 is the current
// directory.
func onPaths(a *args, dir1, path1, dir2, path2 int, op func(from, to location) error) (uintptr, syscall.Errno) {
	fd := func(i int) int {
		if i < 0 {
			return abi.AT_FDCWD
		}
		return a.int(i)
	}
	from, err := a.locationAt(fd(dir1), path1)
	if err != 0 {
		return 0, err
	}
	defer from.release()
	to, err := a.locationAt(fd(dir2), path2)
	if err != 0 {
		return 0, err
	}
	defer to.release()
	return 0, errno(op(from, to))
}

func rename(flags int) func(from, to location) error {
	return func(from, to location) error {
		return space().Rename(from.dir, from.path, to.dir, to.path, flags)
	}
}

func sysRename(a args) (uintptr, syscall.Errno)   { return onPaths(&a, -1, 0, -1, 1, rename(0)) }
func sysRenameat(a args) (uintptr, syscall.Errno) { return onPaths(&a, 0, 1, 2, 3, rename(0)) }
func sysRenameat2(a args) (uintptr, syscall.Errno) {
	return onPaths(&a, 0, 1, 2, 3, rename(a.int(4)))
}

func link(flags int) func(from, to location) error {
	return func(from, to location) error {
		return space().Link(from.dir, from.path, to.dir, to.path, flags)
	}
}

func sysLink(a args) (uintptr, syscall.Errno)   { return onPaths(&a, -1, 0, -1, 1, link(0)) }
func sysLinkat(a args) (uintptr, syscall.Errno) { return onPaths(&a, 0, 1, 2, 3, link(a.int(4))) }

// symlink makes a symbolic link to the text of argument 0.
func symlink(a *args, l location, err syscall.Errno) (uintptr, syscall.Errno) {
	target, e := a.path(0)
	if e != 0 {
		if err == 0 {
			l.release()
		}
		return 0, e
	}
	return onPath(l, err, func(l location) error { return space().Symlink(target, l.dir, l.path) })
}

func sysSymlink(a args) (uintptr, syscall.Errno) {
	l, err := a.here(1)
	return symlink(&a, l, err)
}

func sysSymlinkat(a args) (uintptr, syscall.Errno) {
	l, err := a.location(1, 2)
	return symlink(&a, l, err)
}

// readlink reads a symbolic link into the memory of arguments buf and buf+1.
func readlink(a *args, l location, err syscall.Errno, buf int) (uintptr, syscall.Errno) {
	if err != 0 {
		return 0, err
	}
	defer l.release()
	if a.int(buf+1) <= 0 {
		return 0, syscall.EINVAL
	}
	target, e := space().Readlink(l.dir, l.path)
	if e != nil {
		return 0, errno(e)
	}
	out, err := a.bytes(buf, buf+1)
	return uintptr(copy(out, target)), err
}

func sysReadlink(a args) (uintptr, syscall.Errno) {
	l, err := a.here(0)
	return readlink(&a, l, err, 1)
}

func sysReadlinkat(a args) (uintptr, syscall.Errno) {
	l, err := a.location(0, 1)
	return readlink(&a, l, err, 2)
}

func sysGetcwd(a args) (uintptr, syscall.Errno) {
	path, e := space().Getcwd()
	if e != nil {
		return 0, errno(e)
	}
	out, err := a.bytes(0, 1)
	if err != 0 {
		return 0, err
	}
	if len(out) <= len(path) {
		return 0, syscall.ERANGE
	}
	n := copy(out, path)
	out[n] = 0
	return uintptr(n + 1), 0
}

func sysChdir(a args) (uintptr, syscall.Errno) {
	path, err := a.path(0)
	if err != 0 {
		return 0, err
	}
	return 0, errno(space().Chdir(path))
}

func sysFchdir(a args) (uintptr, syscall.Errno) { return onFile(a.int(0), space().Fchdir) }

func sysUmask(a args) (uintptr, syscall.Errno) {
	return uintptr(space().Umask(a.uint32(0))), 0
}

// direntBuffer is the most that one getdents64 returns.
const direntBuffer = 32 << 10

// sysGetdents64 is getdents64. The directory is read into a buffer of the heap: the functions that
// file systems call for each name would hold a pointer of the caller there.
func sysGetdents64(a args) (uintptr, syscall.Errno) {
	f, err := process.files.get(a.int(0))
	if err != 0 {
		return 0, err
	}
	defer f.Close()
	p, err := memory(a.p[1], uintptr(a.uint32(2)))
	if err != 0 {
		return 0, err
	}
	buf := make([]byte, min(len(p), direntBuffer))
	n, e := f.ReadDir(buf)
	copy(p, buf[:n])
	return uintptr(n), errno(e)
}

func access(l location, err syscall.Errno, mode uint32, flags int) (uintptr, syscall.Errno) {
	return onPath(l, err, func(l location) error { return space().Access(l.dir, l.path, mode, flags) })
}

func sysAccess(a args) (uintptr, syscall.Errno) {
	l, err := a.here(0)
	return access(l, err, a.uint32(1), 0)
}

func sysFaccessat(a args) (uintptr, syscall.Errno) {
	l, err := a.location(0, 1)
	return access(l, err, a.uint32(2), 0)
}

func sysFaccessat2(a args) (uintptr, syscall.Errno) {
	l, err := a.location(0, 1)
	return access(l, err, a.uint32(2), a.int(3))
}
