package qemu

import (
	"os"

	"golang.org/x/sys/unix"
)

// Bytes of an image that QEMU locks: those from permBase on say what it does with the image, those from
// sharedBase on what it does not allow others (block/file-posix.c, include/block/block-common.h).
const (
	permBase   = 100
	sharedBase = 200
	permWrite  = 1
)

// InUse reports whether a QEMU has locked an image so that another cannot have it.
func InUse(f *os.File, readOnly bool) bool {
	locked := func(at int64) bool {
		l := unix.Flock_t{Type: unix.F_WRLCK, Start: at, Len: 1}
		return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &l) == nil && l.Type != unix.F_UNLCK
	}
	return locked(permBase+permWrite) || !readOnly && locked(sharedBase+permWrite)
}
