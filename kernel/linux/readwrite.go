package linux

import (
	"math"
	"syscall"
	"unsafe"

	"github.com/goshawk-os/goshawk/fs/vfs"
)

// sysRead and sysWrite are for what quick leaves: no bytes, or no memory for them.
func sysRead(a args) (uintptr, syscall.Errno) {
	return onBytes(&a, func(f *vfs.File, p []byte, _ int64) (int, error) { return f.Read(p) })
}

func sysWrite(a args) (uintptr, syscall.Errno) {
	return onBytes(&a, func(f *vfs.File, p []byte, _ int64) (int, error) { return f.Write(p) })
}

func sysPread(a args) (uintptr, syscall.Errno)  { return onBytes(&a, (*vfs.File).Pread) }
func sysPwrite(a args) (uintptr, syscall.Errno) { return onBytes(&a, (*vfs.File).Pwrite) }

// onBytes has do carried out on the file of argument 0 with the memory of arguments 1 and 2, at the
// offset in argument 3.
func onBytes(a *args, do func(f *vfs.File, p []byte, offset int64) (int, error)) (uintptr, syscall.Errno) {
	f, err := process.files.get(a.int(0))
	if err != 0 {
		return 0, err
	}
	defer f.Close()
	p, err := a.bytes(1, 2)
	if err != 0 {
		return 0, err
	}
	n, e := do(f, p, int64(a.n[3]))
	return uintptr(n), errno(e)
}

// quick is read and write of at least one byte.
func quick(num uintptr, fd int, base unsafe.Pointer, n int) (r1, r2, err uintptr) {
	f, no := process.files.get(fd)
	if no != 0 {
		return ^uintptr(0), 0, uintptr(no)
	}
	p := unsafe.Slice((*byte)(base), min(n, maxTransfer))
	if s, ok := f.Handle().(*socketFile); ok {
		if num == syscall.SYS_READ {
			if n, no = s.socket.Read(p); no == syscall.EAGAIN && !nonblocking(f) {
				n, no = s.readWaiting(p)
			}
		} else if n, no = s.socket.Write(p); no != 0 || n < len(p) {
			n, no = s.writeWaiting(p, n, no, nonblocking(f))
		}
	} else {
		var e error
		if num == syscall.SYS_READ {
			n, e = f.Read(p)
		} else {
			n, e = f.Write(p)
		}
		no = errno(e)
	}
	f.Close()
	if no != 0 {
		return ^uintptr(0), 0, uintptr(no)
	}
	return uintptr(n), 0, 0
}

// maxVectors is IOV_MAX (readv(2)).
const maxVectors = 1024

// iovec is struct iovec.
type iovec struct {
	base *byte
	size uint64
}

// vectors returns the caller's I/O vector at argument 1, and the sum of its lengths.
func (a *args) vectors() ([]iovec, syscall.Errno) {
	n := a.int(2)
	if n < 0 || n > maxVectors {
		return nil, syscall.EINVAL
	}
	list, err := array[iovec](a.p[1], n)
	if err != 0 {
		return nil, err
	}
	return list, checkVector(list)
}

// checkVector returns EINVAL if the sum of the lengths is no ssize_t.
func checkVector(list []iovec) syscall.Errno {
	total := uint64(0)
	for i := range list {
		if list[i].size > math.MaxInt64 || total+list[i].size > math.MaxInt64 {
			return syscall.EINVAL
		}
		total += list[i].size
	}
	return 0
}

// eachVector transfers the parts of a vector in order, until one is cut short. offset is -1 for the
// file's own offset.
func eachVector(f *vfs.File, list []iovec, offset int64, write bool) (uintptr, syscall.Errno) {
	total := 0
	for i := range list {
		p, err := memory(unsafe.Pointer(list[i].base), uintptr(list[i].size))
		n := 0
		if err == 0 {
			var e error
			switch {
			case offset < 0 && write:
				n, e = f.Write(p)
			case offset < 0:
				n, e = f.Read(p)
			case write:
				n, e = f.Pwrite(p, offset+int64(total))
			default:
				n, e = f.Pread(p, offset+int64(total))
			}
			err = errno(e)
		}
		total += n
		if err != 0 && total == 0 {
			return 0, err
		}
		if err != 0 || n < len(p) {
			break
		}
		// What is there has been read: the next part must not wait for more.
		if !write && offset < 0 && total > 0 && readiness(f)&readable == 0 {
			break
		}
	}
	return uintptr(total), 0
}

// vectored carries out readv and its kind.
func vectored(a *args, offset int64, write bool) (uintptr, syscall.Errno) {
	f, err := process.files.get(a.int(0))
	if err != 0 {
		return 0, err
	}
	defer f.Close()
	list, err := a.vectors()
	if err != 0 {
		return 0, err
	}
	if len(list) == 0 {
		list = []iovec{{}} // for the errors of the file
	}
	if s, ok := f.Handle().(*socketFile); ok && len(list) > 1 && offset < 0 {
		return s.vector(list, f, write)
	}
	if len(list) > 1 && write {
		if list, err = gather(list); err != 0 {
			return 0, err
		}
	}
	return eachVector(f, list, offset, write)
}

// gatherLimit is the most that a writev writes in one piece, so that nothing of others comes between.
const gatherLimit = 64 << 10

// gather returns a vector with the bytes of list in one part, or list if they are too many.
func gather(list []iovec) ([]iovec, syscall.Errno) {
	total := uint64(0)
	for i := range list {
		total += list[i].size
	}
	if total == 0 || total > gatherLimit {
		return list, 0
	}
	all := make([]byte, 0, total)
	for i := range list {
		p, err := memory(unsafe.Pointer(list[i].base), uintptr(list[i].size))
		if err != 0 {
			return nil, err
		}
		all = append(all, p...)
	}
	return []iovec{{base: &all[0], size: total}}, 0
}

func sysReadv(a args) (uintptr, syscall.Errno)  { return vectored(&a, -1, false) }
func sysWritev(a args) (uintptr, syscall.Errno) { return vectored(&a, -1, true) }

// positioned is vectored at the offset that argument 3 gives.
func positioned(a *args, write bool) (uintptr, syscall.Errno) {
	if int64(a.n[3]) < 0 {
		return 0, syscall.EINVAL
	}
	return vectored(a, int64(a.n[3]), write)
}

func sysPreadv(a args) (uintptr, syscall.Errno)  { return positioned(&a, false) }
func sysPwritev(a args) (uintptr, syscall.Errno) { return positioned(&a, true) }

// Flags of preadv2 and pwritev2.
const (
	rwfHighPriority = 1
	rwfDataSync     = 2
	rwfSync         = 4
)

// positioned2 is positioned with flags, and the file's own offset at -1.
func positioned2(a *args, write bool) (uintptr, syscall.Errno) {
	if a.uint32(5)&^(rwfHighPriority|rwfDataSync|rwfSync) != 0 {
		return 0, syscall.EOPNOTSUPP
	}
	offset := int64(a.n[3])
	if offset < -1 {
		return 0, syscall.EINVAL
	}
	n, err := vectored(a, offset, write)
	if err == 0 && write && a.uint32(5)&(rwfDataSync|rwfSync) != 0 {
		sync := sysFdatasync
		if a.uint32(5)&rwfSync != 0 {
			sync = sysFsync
		}
		if _, err := sync(*a); err != 0 {
			return 0, err
		}
	}
	return n, err
}

func sysPreadv2(a args) (uintptr, syscall.Errno)  { return positioned2(&a, false) }
func sysPwritev2(a args) (uintptr, syscall.Errno) { return positioned2(&a, true) }
