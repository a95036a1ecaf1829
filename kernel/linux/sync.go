package linux

import (
	"syscall"

	"github.com/goshawk-os/goshawk/fs/vfs"
)

func sysFsync(a args) (uintptr, syscall.Errno) { return onFile(a.int(0), (*vfs.File).Sync) }

func sysFdatasync(a args) (uintptr, syscall.Errno) { return onFile(a.int(0), (*vfs.File).DataSync) }

// sysSync is sync, which has no errors.
func sysSync(args) (uintptr, syscall.Errno) {
	_ = space().Sync()
	return 0, 0
}

func sysSyncfs(a args) (uintptr, syscall.Errno) { return onFile(a.int(0), (*vfs.File).SyncFS) }

const syncRangeFlags = 1 | 2 | 4 // SYNC_FILE_RANGE_WAIT_BEFORE, _WRITE, _WAIT_AFTER

func sysSyncFileRange(a args) (uintptr, syscall.Errno) {
	offset, n := int64(a.n[1]), int64(a.n[2])
	return onFile(a.int(0), func(f *vfs.File) error {
		switch {
		case a.uint32(3)&^syncRangeFlags != 0, offset < 0, n < 0, offset+n < 0:
			return syscall.EINVAL
		case f.Handle() != nil:
			return syscall.ESPIPE
		}
		return f.SyncRange(offset, n)
	})
}

const lastAdvice = 5 // POSIX_FADV_NOREUSE

// sysFadvise is fadvise64: advice about files in memory changes nothing.
func sysFadvise(a args) (uintptr, syscall.Errno) {
	return onFile(a.int(0), func(f *vfs.File) error {
		switch {
		case isPipe(f):
			return syscall.ESPIPE
		case int64(a.n[2]) < 0, a.int(3) < 0, a.int(3) > lastAdvice:
			return syscall.EINVAL
		}
		return nil
	})
}

func isPipe(f *vfs.File) bool {
	_, ok := f.Handle().(*pipeEnd)
	return ok
}

// sysReadahead is readahead; see sysFadvise.
func sysReadahead(a args) (uintptr, syscall.Errno) {
	return onFile(a.int(0), func(f *vfs.File) error {
		switch {
		case f.Flags()&syscall.O_ACCMODE == syscall.O_WRONLY:
			return syscall.EBADF
		case f.Inode().Type() != syscall.S_IFREG:
			return syscall.EINVAL
		}
		return nil
	})
}
