package linux

import (
	"syscall"
	"unsafe"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

func chmod(l location, err syscall.Errno, mode uint32, flags int) (uintptr, syscall.Errno) {
	return onPath(l, err, func(l location) error { return space().Chmod(l.dir, l.path, mode, flags) })
}

func sysChmod(a args) (uintptr, syscall.Errno) {
	l, err := a.here(0)
	return chmod(l, err, a.uint32(1), 0)
}

func sysFchmodat(a args) (uintptr, syscall.Errno) {
	l, err := a.location(0, 1)
	return chmod(l, err, a.uint32(2), 0)
}

func sysFchmodat2(a args) (uintptr, syscall.Errno) {
	l, err := a.location(0, 1)
	return chmod(l, err, a.uint32(2), a.int(3))
}

func sysFchmod(a args) (uintptr, syscall.Errno) {
	return onFile(a.int(0), func(f *vfs.File) error { return f.Chmod(a.uint32(1)) })
}

func chown(l location, err syscall.Errno, uid, gid uint32, flags int) (uintptr, syscall.Errno) {
	return onPath(l, err, func(l location) error { return space().Chown(l.dir, l.path, uid, gid, flags) })
}

func sysChown(a args) (uintptr, syscall.Errno) {
	l, err := a.here(0)
	return chown(l, err, a.uint32(1), a.uint32(2), 0)
}

func sysLchown(a args) (uintptr, syscall.Errno) {
	l, err := a.here(0)
	return chown(l, err, a.uint32(1), a.uint32(2), abi.AT_SYMLINK_NOFOLLOW)
}

func sysFchownat(a args) (uintptr, syscall.Errno) {
	l, err := a.location(0, 1)
	return chown(l, err, a.uint32(2), a.uint32(3), a.int(4))
}

func sysFchown(a args) (uintptr, syscall.Errno) {
	return onFile(a.int(0), func(f *vfs.File) error { return f.Chown(a.uint32(1), a.uint32(2)) })
}

// now2 are the times of a call that sets both to the present.
var now2 = [2]syscall.Timespec{{Nsec: abi.UTIME_NOW}, {Nsec: abi.UTIME_NOW}}

func utimes(l location, err syscall.Errno, times [2]syscall.Timespec, flags int) (uintptr, syscall.Errno) {
	return onPath(l, err, func(l location) error { return space().Utimes(l.dir, l.path, times, flags) })
}

// sysUtimensat is utimensat; without a path it is about the descriptor (futimens).
func sysUtimensat(a args) (uintptr, syscall.Errno) {
	times := now2
	if a.p[2] != nil {
		times = *(*[2]syscall.Timespec)(a.p[2])
	}
	if a.p[1] != nil {
		l, err := a.location(0, 1)
		return utimes(l, err, times, a.int(3))
	}
	if a.int(3) != 0 {
		return 0, syscall.EINVAL
	}
	return onFile(a.int(0), func(f *vfs.File) error { return f.Utimes(times) })
}

// timevals returns the caller's pair of timeval at p, which nil makes the present.
func timevals(p unsafe.Pointer) (times [2]syscall.Timespec, err syscall.Errno) {
	if p == nil {
		return now2, 0
	}
	for i, tv := range *(*[2]syscall.Timeval)(p) {
		if tv.Usec < 0 || tv.Usec >= 1e6 {
			return times, syscall.EINVAL
		}
		times[i] = syscall.Timespec{Sec: tv.Sec, Nsec: tv.Usec * 1000}
	}
	return times, 0
}

func sysUtimes(a args) (uintptr, syscall.Errno) {
	times, err := timevals(a.p[1])
	if err != 0 {
		return 0, err
	}
	l, err := a.here(0)
	return utimes(l, err, times, 0)
}

func sysFutimesat(a args) (uintptr, syscall.Errno) {
	times, err := timevals(a.p[2])
	if err != 0 {
		return 0, err
	}
	if a.p[1] == nil {
		return onFile(a.int(0), func(f *vfs.File) error { return f.Utimes(times) })
	}
	l, err := a.location(0, 1)
	return utimes(l, err, times, 0)
}

func sysUtime(a args) (uintptr, syscall.Errno) {
	times := now2
	if a.p[1] != nil {
		u := *(*syscall.Utimbuf)(a.p[1])
		times = [2]syscall.Timespec{{Sec: u.Actime}, {Sec: u.Modtime}}
	}
	l, err := a.here(0)
	return utimes(l, err, times, 0)
}

func sysTruncate(a args) (uintptr, syscall.Errno) {
	l, err := a.here(0)
	size := int64(a.n[1])
	return onPath(l, err, func(l location) error { return space().Truncate(l.dir, l.path, size) })
}

func sysFtruncate(a args) (uintptr, syscall.Errno) {
	return onFile(a.int(0), func(f *vfs.File) error { return f.Truncate(int64(a.n[1])) })
}

func sysFallocate(a args) (uintptr, syscall.Errno) {
	return onFile(a.int(0), func(f *vfs.File) error { return f.Fallocate(a.uint32(1), int64(a.n[2]), int64(a.n[3])) })
}
