package linux

import (
	"syscall"
	"unsafe"

	"github.com/goshawk-os/goshawk/fs/abi"
)

const (
	pageSize = 4096

	mapSharedValidate = 3
	mapTypeMask       = 0xf

	remapMayMove = 1
)

func pages(n uintptr) uintptr { return (n + pageSize - 1) &^ (pageSize - 1) }

// sysMmap is mmap. A shared mapping of a file on a disk is the memory of the file itself, all of which is
// read now, and any protection but none lets the program write there. Other mappings of files are copies, made now, and
// MAP_SHARED is refused where stores would have to reach the file.
func sysMmap(a args) (uintptr, syscall.Errno) {
	addr, length, prot, flags, offset := a.n[0], a.n[1], a.int(2), a.int(3), int64(a.n[5])
	kind := flags & mapTypeMask
	if length == 0 || offset&(pageSize-1) != 0 ||
		kind != syscall.MAP_SHARED && kind != syscall.MAP_PRIVATE && kind != mapSharedValidate {
		return 0, syscall.EINVAL
	}
	if pages(length) < length {
		return 0, syscall.ENOMEM
	}
	if flags&syscall.MAP_ANONYMOUS != 0 {
		return mmap(addr, length, prot, flags&^mapTypeMask|syscall.MAP_PRIVATE)
	}
	f, err := process.files.get(a.int(4))
	if err != 0 {
		return 0, err
	}
	defer f.Close()
	switch mode := f.Flags() & (syscall.O_ACCMODE | abi.O_PATH); {
	case mode&abi.O_PATH != 0:
		return 0, syscall.EBADF
	case mode == syscall.O_WRONLY:
		return 0, syscall.EACCES
	case f.Inode().Type() != syscall.S_IFREG:
		return 0, syscall.ENODEV
	case kind != syscall.MAP_PRIVATE && prot&syscall.PROT_WRITE != 0 && mode == syscall.O_RDONLY:
		return 0, syscall.EACCES
	case kind != syscall.MAP_PRIVATE && f.CanMap():
		return mapShared(f, addr, length, prot, flags, offset)
	case kind != syscall.MAP_PRIVATE && prot&syscall.PROT_WRITE != 0:
		return 0, syscall.ENODEV
	}
	at, err := mmap(addr, length, syscall.PROT_READ|syscall.PROT_WRITE,
		flags&^mapTypeMask|syscall.MAP_PRIVATE|syscall.MAP_ANONYMOUS)
	if err != 0 {
		return 0, err
	}
	into := unsafe.Slice((*byte)(pointer(at)), length)
	for len(into) > 0 {
		n, err := f.Pread(into, offset)
		if err != nil {
			munmap(at, length)
			return 0, errno(err)
		}
		if n == 0 {
			break
		}
		into = into[n:]
		offset += int64(n)
	}
	if prot != syscall.PROT_READ|syscall.PROT_WRITE {
		if err := mprotect(at, length, prot); err != 0 {
			munmap(at, length)
			return 0, err
		}
	}
	return at, 0
}

func sysMunmap(a args) (uintptr, syscall.Errno) {
	if a.n[0]&(pageSize-1) != 0 || a.n[1] == 0 {
		return 0, syscall.EINVAL
	}
	if err := shared.unmap(a.n[0], pages(a.n[1])); err != 0 {
		return 0, err
	}
	return 0, munmap(a.n[0], a.n[1])
}

func sysMprotect(a args) (uintptr, syscall.Errno) {
	if a.n[0]&(pageSize-1) != 0 {
		return 0, syscall.EINVAL
	}
	if a.n[1] == 0 {
		return 0, 0
	}
	return 0, mprotect(a.n[0], a.n[1], a.int(2))
}

func sysMadvise(a args) (uintptr, syscall.Errno) {
	if a.n[0]&(pageSize-1) != 0 {
		return 0, syscall.EINVAL
	}
	if a.n[1] == 0 {
		return 0, 0
	}
	return 0, madvise(a.n[0], a.n[1], a.int(2))
}

// sysMremap is mremap: growing allocates and copies.
func sysMremap(a args) (uintptr, syscall.Errno) {
	old, oldLength, newLength, flags := a.n[0], pages(a.n[1]), pages(a.n[2]), a.int(3)
	if old&(pageSize-1) != 0 || newLength == 0 || oldLength == 0 || flags&^remapMayMove != 0 {
		return 0, syscall.EINVAL
	}
	if newLength <= oldLength {
		if newLength < oldLength {
			return old, munmap(old+newLength, oldLength-newLength)
		}
		return old, 0
	}
	if flags&remapMayMove == 0 || len(shared.find(old, oldLength)) > 0 {
		return 0, syscall.ENOMEM
	}
	at, err := mmap(0, newLength, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANONYMOUS)
	if err != 0 {
		return 0, err
	}
	copy(unsafe.Slice((*byte)(pointer(at)), oldLength), unsafe.Slice((*byte)(pointer(old)), oldLength))
	return at, munmap(old, oldLength)
}

const msyncFlags = 1 | 2 | 4 // MS_ASYNC, MS_INVALIDATE, MS_SYNC

// sysMsync is msync.
func sysMsync(a args) (uintptr, syscall.Errno) {
	flags := a.int(2)
	if a.n[0]&(pageSize-1) != 0 || flags&^msyncFlags != 0 || flags&5 == 5 {
		return 0, syscall.EINVAL
	}
	if flags&syscall.MS_SYNC == 0 {
		return 0, 0
	}
	for _, m := range shared.find(a.n[0], pages(a.n[1])) {
		if err := m.file.DataSync(); err != nil {
			return 0, errno(err)
		}
	}
	return 0, 0
}
