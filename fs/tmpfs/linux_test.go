package tmpfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/devfs"
	"github.com/goshawk-os/goshawk/fs/tmpfs"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// limit is the size of the file systems that are compared.
const limit = 4 << 20

// system is the calls that are compared between Linux and Goshawk. dir is a
// descriptor or abi.AT_FDCWD.
type system interface {
	open(dir int, path string, flags int, mode uint32) (int, error)
	close(fd int) error
	read(fd, n int) ([]byte, error)
	write(fd int, p []byte) (int, error)
	pread(fd, n int, off int64) ([]byte, error)
	pwrite(fd int, p []byte, off int64) (int, error)
	seek(fd int, off int64, whence int) (int64, error)
	ftruncate(fd int, size int64) error
	fallocate(fd int, mode uint32, off, n int64) error
	fstat(fd int) (syscall.Stat_t, error)
	getdents(fd, n int) ([]byte, error)
	copyRange(in int, inOff int64, out int, outOff int64, n int) (int, error)
	flock(fd, op int) error
	lock(fd, cmd int, lk *syscall.Flock_t) error
	flags(fd int) (int, error)
	stat(dir int, path string, flags int) (syscall.Stat_t, error)
	mkdir(dir int, path string, mode uint32) error
	mknod(dir int, path string, mode uint32, dev int) error
	unlink(dir int, path string, flags int) error
	rename(oldDir int, old string, newDir int, new string, flags int) error
	link(oldDir int, old string, newDir int, new string, flags int) error
	symlink(target string, dir int, path string) error
	readlink(dir int, path string) (string, error)
	access(dir int, path string, mode uint32, flags int) error
	chmod(dir int, path string, mode uint32, flags int) error
	chown(dir int, path string, uid, gid int, flags int) error
	fchmod(fd int, mode uint32) error
	utimes(dir int, path string, times [2]syscall.Timespec, flags int) error
	truncate(path string, size int64) error
	statfs(path string) (syscall.Statfs_t, error)
	getxattr(path, name string, n int) ([]byte, error)
	setxattr(path, name string, value []byte, how int) error
	listxattr(path string) ([]string, error)
	removexattr(path, name string) error
	chdir(path string) error
	fchdir(fd int) error
	getcwd() (string, error)
	umask(mask int) int
}

// newLinux makes the calling thread see a fresh tmpfs as its root, and nothing
// else of the machine. The goroutine stays on the thread, which ends with it.
func newLinux(t *testing.T) system {
	if os.Getuid() != 0 {
		t.Skip("comparing with Linux's tmpfs needs root, to mount one in a mount namespace")
	}
	dir := t.TempDir()
	runtime.LockOSThread()
	step := func(what string, err error) {
		if err != nil {
			t.Skipf("comparing with Linux's tmpfs needs a mount namespace: %s: %v", what, err)
		}
	}
	step("unshare", syscall.Unshare(syscall.CLONE_NEWNS|syscall.CLONE_FS))
	step("make / private", syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
	step("mount", syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0755", limit)))
	step("chroot", syscall.Chroot(dir))
	step("chdir", syscall.Chdir("/"))
	syscall.Umask(0o022)
	return linuxSystem{}
}

type linuxSystem struct{}

func call(nr, a, b, c, d, e, f uintptr) (int, error) {
	r, _, errno := syscall.Syscall6(nr, a, b, c, d, e, f)
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}

// kept holds the last arguments of system calls, so that they are on the heap
// and stay there for the call: Linux gets their addresses as integers.
var kept [64]unsafe.Pointer

var keptNext int

func keep(p unsafe.Pointer) uintptr {
	kept[keptNext%len(kept)] = p
	keptNext++
	return uintptr(p)
}

func cstr(s string) uintptr {
	p, err := syscall.BytePtrFromString(s)
	if err != nil {
		panic(err)
	}
	return keep(unsafe.Pointer(p))
}

func at(dir int) uintptr { return uintptr(dir) }

func addr(p []byte) uintptr { return keep(unsafe.Pointer(unsafe.SliceData(p))) }

func (linuxSystem) open(dir int, path string, flags int, mode uint32) (int, error) {
	return call(syscall.SYS_OPENAT, at(dir), cstr(path), uintptr(flags), uintptr(mode), 0, 0)
}
func (linuxSystem) close(fd int) error { return syscall.Close(fd) }
func (linuxSystem) read(fd, n int) ([]byte, error) {
	p := make([]byte, n)
	got, err := call(syscall.SYS_READ, uintptr(fd), addr(p), uintptr(n), 0, 0, 0)
	return p[:got], err
}
func (linuxSystem) write(fd int, p []byte) (int, error) {
	return call(syscall.SYS_WRITE, uintptr(fd), addr(p), uintptr(len(p)), 0, 0, 0)
}
func (linuxSystem) pread(fd, n int, off int64) ([]byte, error) {
	p := make([]byte, n)
	got, err := call(syscall.SYS_PREAD64, uintptr(fd), addr(p), uintptr(n), uintptr(off), 0, 0)
	return p[:got], err
}
func (linuxSystem) pwrite(fd int, p []byte, off int64) (int, error) {
	return call(syscall.SYS_PWRITE64, uintptr(fd), addr(p), uintptr(len(p)), uintptr(off), 0, 0)
}
func (linuxSystem) seek(fd int, off int64, whence int) (int64, error) {
	n, err := call(syscall.SYS_LSEEK, uintptr(fd), uintptr(off), uintptr(whence), 0, 0, 0)
	return int64(n), err
}
func (linuxSystem) ftruncate(fd int, size int64) error { return syscall.Ftruncate(fd, size) }
func (linuxSystem) fallocate(fd int, mode uint32, off, n int64) error {
	return syscall.Fallocate(fd, mode, off, n)
}
func (linuxSystem) fstat(fd int) (st syscall.Stat_t, err error) { return st, syscall.Fstat(fd, &st) }
func (linuxSystem) getdents(fd, n int) ([]byte, error) {
	p := make([]byte, n)
	got, err := call(syscall.SYS_GETDENTS64, uintptr(fd), addr(p), uintptr(n), 0, 0, 0)
	return p[:got], err
}
func (linuxSystem) copyRange(in int, inOff int64, out int, outOff int64, n int) (int, error) {
	const sysCopyFileRange = 326
	return call(sysCopyFileRange, uintptr(in), keep(unsafe.Pointer(&inOff)), uintptr(out), keep(unsafe.Pointer(&outOff)), uintptr(n), 0)
}
func (linuxSystem) flock(fd, op int) error { return syscall.Flock(fd, op) }
func (linuxSystem) lock(fd, cmd int, lk *syscall.Flock_t) error {
	return syscall.FcntlFlock(uintptr(fd), cmd, lk)
}
func (linuxSystem) flags(fd int) (int, error) {
	return call(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFL, 0, 0, 0, 0)
}
func (linuxSystem) stat(dir int, path string, flags int) (st syscall.Stat_t, err error) {
	_, err = call(syscall.SYS_NEWFSTATAT, at(dir), cstr(path), keep(unsafe.Pointer(&st)), uintptr(flags), 0, 0)
	return st, err
}
func (linuxSystem) mkdir(dir int, path string, mode uint32) error {
	return syscall.Mkdirat(dir, path, mode)
}
func (linuxSystem) mknod(dir int, path string, mode uint32, dev int) error {
	return syscall.Mknodat(dir, path, mode, dev)
}
func (linuxSystem) unlink(dir int, path string, flags int) error {
	_, err := call(syscall.SYS_UNLINKAT, at(dir), cstr(path), uintptr(flags), 0, 0, 0)
	return err
}
func (linuxSystem) rename(oldDir int, old string, newDir int, new string, flags int) error {
	const sysRenameat2 = 316
	_, err := call(sysRenameat2, at(oldDir), cstr(old), at(newDir), cstr(new), uintptr(flags), 0)
	return err
}
func (linuxSystem) link(oldDir int, old string, newDir int, new string, flags int) error {
	_, err := call(syscall.SYS_LINKAT, at(oldDir), cstr(old), at(newDir), cstr(new), uintptr(flags), 0)
	return err
}
func (linuxSystem) symlink(target string, dir int, path string) error {
	_, err := call(syscall.SYS_SYMLINKAT, cstr(target), at(dir), cstr(path), 0, 0, 0)
	return err
}
func (linuxSystem) readlink(dir int, path string) (string, error) {
	p := make([]byte, 5000)
	n, err := call(syscall.SYS_READLINKAT, at(dir), cstr(path), addr(p), uintptr(len(p)), 0, 0)
	return string(p[:n]), err
}
func (linuxSystem) access(dir int, path string, mode uint32, flags int) error {
	const sysFaccessat2 = 439
	_, err := call(sysFaccessat2, at(dir), cstr(path), uintptr(mode), uintptr(flags), 0, 0)
	return err
}
func (linuxSystem) chmod(dir int, path string, mode uint32, flags int) error {
	const sysFchmodat2 = 452
	_, err := call(sysFchmodat2, at(dir), cstr(path), uintptr(mode), uintptr(flags), 0, 0)
	return err
}
func (linuxSystem) chown(dir int, path string, uid, gid int, flags int) error {
	_, err := call(syscall.SYS_FCHOWNAT, at(dir), cstr(path), uintptr(uid), uintptr(gid), uintptr(flags), 0)
	return err
}
func (linuxSystem) fchmod(fd int, mode uint32) error { return syscall.Fchmod(fd, mode) }
func (linuxSystem) utimes(dir int, path string, times [2]syscall.Timespec, flags int) error {
	_, err := call(syscall.SYS_UTIMENSAT, at(dir), cstr(path), keep(unsafe.Pointer(&times)), uintptr(flags), 0, 0)
	return err
}
func (linuxSystem) truncate(path string, size int64) error { return syscall.Truncate(path, size) }
func (linuxSystem) statfs(path string) (s syscall.Statfs_t, err error) {
	return s, syscall.Statfs(path, &s)
}
func (linuxSystem) getxattr(path, name string, n int) ([]byte, error) {
	p := make([]byte, n)
	got, err := call(syscall.SYS_LGETXATTR, cstr(path), cstr(name), addr(p), uintptr(n), 0, 0)
	if n == 0 {
		return make([]byte, got), err
	}
	return p[:got], err
}
func (linuxSystem) setxattr(path, name string, value []byte, how int) error {
	_, err := call(syscall.SYS_LSETXATTR, cstr(path), cstr(name), addr(value), uintptr(len(value)), uintptr(how), 0)
	return err
}
func (linuxSystem) listxattr(path string) ([]string, error) {
	p := make([]byte, 1<<16)
	n, err := call(syscall.SYS_LLISTXATTR, cstr(path), addr(p), uintptr(len(p)), 0, 0, 0)
	return splitNames(p[:n]), err
}
func (linuxSystem) removexattr(path, name string) error {
	_, err := call(syscall.SYS_LREMOVEXATTR, cstr(path), cstr(name), 0, 0, 0, 0)
	return err
}
func (linuxSystem) chdir(path string) error { return syscall.Chdir(path) }
func (linuxSystem) fchdir(fd int) error     { return syscall.Fchdir(fd) }
func (linuxSystem) getcwd() (string, error) {
	p := make([]byte, 5000)
	n, err := call(syscall.SYS_GETCWD, addr(p), uintptr(len(p)), 0, 0, 0, 0)
	return string(bytes.TrimSuffix(p[:n], []byte{0})), err
}
func (linuxSystem) umask(mask int) int { return syscall.Umask(mask) }

func splitNames(p []byte) []string {
	names := strings.Split(strings.TrimSuffix(string(p), "\x00"), "\x00")
	sort.Strings(names)
	return names
}

// goshawk is the same over a Namespace.
type goshawk struct {
	ns    *vfs.Namespace
	files map[int]*vfs.File
	next  int
}

func newGoshawk() *goshawk {
	ns := vfs.New(tmpfs.New(tmpfs.Options{Limit: limit}))
	ns.OpenDevice = devfs.New(func([]byte) {}, nil).OpenDevice
	return &goshawk{ns: ns, files: map[int]*vfs.File{}, next: 3}
}

// at does what the personality does with a directory descriptor.
func (g *goshawk) at(dir int, path string) (*vfs.File, error) {
	if dir == abi.AT_FDCWD || strings.HasPrefix(path, "/") {
		return nil, nil
	}
	return g.file(dir)
}

func (g *goshawk) file(fd int) (*vfs.File, error) {
	if f := g.files[fd]; f != nil {
		return f, nil
	}
	return nil, syscall.EBADF
}

func (g *goshawk) open(dir int, path string, flags int, mode uint32) (int, error) {
	d, err := g.at(dir, path)
	if err != nil {
		return 0, err
	}
	f, err := g.ns.Open(d, path, flags, mode)
	if err != nil {
		return 0, err
	}
	g.next++
	g.files[g.next] = f
	return g.next, nil
}
func (g *goshawk) close(fd int) error {
	f, err := g.file(fd)
	if err != nil {
		return err
	}
	delete(g.files, fd)
	f.ReleaseRecordLocks(1)
	return f.Close()
}
func (g *goshawk) read(fd, n int) ([]byte, error) {
	p := make([]byte, n)
	got, err := g.files[fd].Read(p)
	return p[:got], err
}
func (g *goshawk) write(fd int, p []byte) (int, error) { return g.files[fd].Write(p) }
func (g *goshawk) pread(fd, n int, off int64) ([]byte, error) {
	p := make([]byte, n)
	got, err := g.files[fd].Pread(p, off)
	return p[:got], err
}
func (g *goshawk) pwrite(fd int, p []byte, off int64) (int, error) {
	return g.files[fd].Pwrite(p, off)
}
func (g *goshawk) seek(fd int, off int64, whence int) (int64, error) {
	return g.files[fd].Seek(off, whence)
}
func (g *goshawk) ftruncate(fd int, size int64) error { return g.files[fd].Truncate(size) }
func (g *goshawk) fallocate(fd int, mode uint32, off, n int64) error {
	return g.files[fd].Fallocate(mode, off, n)
}
func (g *goshawk) fstat(fd int) (syscall.Stat_t, error) {
	st, err := g.files[fd].Stat()
	return st.Sys(), err
}
func (g *goshawk) getdents(fd, n int) ([]byte, error) {
	p := make([]byte, n)
	got, err := g.files[fd].ReadDir(p)
	return p[:got], err
}
func (g *goshawk) copyRange(in int, inOff int64, out int, outOff int64, n int) (int, error) {
	return vfs.CopyFileRange(g.files[in], &inOff, g.files[out], &outOff, n)
}
func (g *goshawk) flock(fd, op int) error { return g.files[fd].Flock(op) }
func (g *goshawk) lock(fd, cmd int, lk *syscall.Flock_t) error {
	return g.files[fd].Lock(cmd, lk, 1)
}
func (g *goshawk) flags(fd int) (int, error) { return g.files[fd].Flags(), nil }
func (g *goshawk) stat(dir int, path string, flags int) (syscall.Stat_t, error) {
	d, err := g.at(dir, path)
	if err != nil {
		return syscall.Stat_t{}, err
	}
	st, err := g.ns.Stat(d, path, flags)
	return st.Sys(), err
}

// with calls do with the directory that dir and path mean.
func (g *goshawk) with(dir int, path string, do func(d *vfs.File) error) error {
	d, err := g.at(dir, path)
	if err != nil {
		return err
	}
	return do(d)
}
func (g *goshawk) mkdir(dir int, path string, mode uint32) error {
	return g.with(dir, path, func(d *vfs.File) error { return g.ns.Mkdir(d, path, mode) })
}
func (g *goshawk) mknod(dir int, path string, mode uint32, dev int) error {
	return g.with(dir, path, func(d *vfs.File) error { return g.ns.Mknod(d, path, mode, uint64(dev)) })
}
func (g *goshawk) unlink(dir int, path string, flags int) error {
	return g.with(dir, path, func(d *vfs.File) error { return g.ns.Unlink(d, path, flags) })
}
func (g *goshawk) rename(oldDir int, old string, newDir int, new string, flags int) error {
	return g.with(oldDir, old, func(od *vfs.File) error {
		return g.with(newDir, new, func(nd *vfs.File) error { return g.ns.Rename(od, old, nd, new, flags) })
	})
}
func (g *goshawk) link(oldDir int, old string, newDir int, new string, flags int) error {
	return g.with(oldDir, old, func(od *vfs.File) error {
		return g.with(newDir, new, func(nd *vfs.File) error { return g.ns.Link(od, old, nd, new, flags) })
	})
}
func (g *goshawk) symlink(target string, dir int, path string) error {
	return g.with(dir, path, func(d *vfs.File) error { return g.ns.Symlink(target, d, path) })
}
func (g *goshawk) readlink(dir int, path string) (s string, err error) {
	err = g.with(dir, path, func(d *vfs.File) (err error) { s, err = g.ns.Readlink(d, path); return err })
	return s, err
}
func (g *goshawk) access(dir int, path string, mode uint32, flags int) error {
	return g.with(dir, path, func(d *vfs.File) error { return g.ns.Access(d, path, mode, flags) })
}
func (g *goshawk) chmod(dir int, path string, mode uint32, flags int) error {
	return g.with(dir, path, func(d *vfs.File) error { return g.ns.Chmod(d, path, mode, flags) })
}
func (g *goshawk) chown(dir int, path string, uid, gid int, flags int) error {
	return g.with(dir, path, func(d *vfs.File) error { return g.ns.Chown(d, path, uint32(uid), uint32(gid), flags) })
}
func (g *goshawk) fchmod(fd int, mode uint32) error { return g.files[fd].Chmod(mode) }
func (g *goshawk) utimes(dir int, path string, times [2]syscall.Timespec, flags int) error {
	return g.with(dir, path, func(d *vfs.File) error { return g.ns.Utimes(d, path, times, flags) })
}
func (g *goshawk) truncate(path string, size int64) error { return g.ns.Truncate(nil, path, size) }
func (g *goshawk) statfs(path string) (syscall.Statfs_t, error) {
	return g.ns.Statfs(nil, path)
}
func (g *goshawk) getxattr(path, name string, n int) ([]byte, error) {
	p := make([]byte, n)
	got, err := g.ns.Getxattr(nil, path, name, p, abi.AT_SYMLINK_NOFOLLOW)
	if n == 0 {
		return make([]byte, got), err
	}
	return p[:got], err
}
func (g *goshawk) setxattr(path, name string, value []byte, how int) error {
	return g.ns.Setxattr(nil, path, name, value, how, abi.AT_SYMLINK_NOFOLLOW)
}
func (g *goshawk) listxattr(path string) ([]string, error) {
	p := make([]byte, 1<<16)
	n, err := g.ns.Listxattr(nil, path, p, abi.AT_SYMLINK_NOFOLLOW)
	return splitNames(p[:n]), err
}
func (g *goshawk) removexattr(path, name string) error {
	return g.ns.Removexattr(nil, path, name, abi.AT_SYMLINK_NOFOLLOW)
}
func (g *goshawk) chdir(path string) error { return g.ns.Chdir(path) }
func (g *goshawk) fchdir(fd int) error {
	f, err := g.file(fd)
	if err != nil {
		return err
	}
	return g.ns.Fchdir(f)
}
func (g *goshawk) getcwd() (string, error) { return g.ns.Getcwd() }
func (g *goshawk) umask(mask int) int      { return int(g.ns.Umask(uint32(mask))) }

func errno(err error) string {
	if err == nil {
		return "ok"
	}
	var e syscall.Errno
	if !errors.As(err, &e) {
		return fmt.Sprintf("no errno: %v", err)
	}
	for name, value := range map[string]syscall.Errno{
		"EEXIST": syscall.EEXIST, "ENOENT": syscall.ENOENT, "ENOTDIR": syscall.ENOTDIR, "EISDIR": syscall.EISDIR,
		"EINVAL": syscall.EINVAL, "ELOOP": syscall.ELOOP, "EBUSY": syscall.EBUSY, "ENOTEMPTY": syscall.ENOTEMPTY,
		"EBADF": syscall.EBADF, "EPERM": syscall.EPERM, "EACCES": syscall.EACCES, "ENXIO": syscall.ENXIO,
		"ENAMETOOLONG": syscall.ENAMETOOLONG, "ENOSPC": syscall.ENOSPC, "ESPIPE": syscall.ESPIPE, "EXDEV": syscall.EXDEV,
		"EOPNOTSUPP": syscall.EOPNOTSUPP, "EFBIG": syscall.EFBIG, "EAGAIN": syscall.EAGAIN, "ENODATA": syscall.ENODATA,
		"ERANGE": syscall.ERANGE, "ENODEV": syscall.ENODEV, "EOVERFLOW": syscall.EOVERFLOW,
	} {
		if e == value {
			return name
		}
	}
	return e.Error()
}
