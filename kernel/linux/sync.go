package linux

import (
	"syscall"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// sysFsync is fsync and fdatasync.
func sysFsync(a args) (uintptr, syscall.Errno) { return onFile(a.int(0), (*vfs.File).Sync) }

// sysSync is sync: no mounted file system keeps anything that is not yet where it belongs.
func sysSync(args) (uintptr, syscall.Errno) { return 0, 0 }

// sysSyncfs is syncfs; see sysSync.
func sysSyncfs(a args) (uintptr, syscall.Errno) {
	return onFile(a.int(0), func(f *vfs.File) error {
		if f.Flags()&abi.O_PATH != 0 {
			return syscall.EBADF
		}
		return nil
	})
}

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
		return f.Sync()
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
