package linux

import (
	"syscall"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// transferChunk is how much sendfile moves at once.
const transferChunk = 64 << 10

func sysSendfile(a args) (uintptr, syscall.Errno) {
	out, err := process.files.get(a.int(0))
	if err != 0 {
		return 0, err
	}
	defer out.Close()
	in, err := process.files.get(a.int(1))
	if err != 0 {
		return 0, err
	}
	defer in.Close()
	reads, _ := accessMode(in)
	_, writes := accessMode(out)
	switch {
	case !reads || !writes:
		return 0, syscall.EBADF
	case in.Inode().Type() != syscall.S_IFREG, out.Flags()&syscall.O_APPEND != 0:
		return 0, syscall.EINVAL
	}
	if a.p[2] != nil {
		offset := *(*int64)(a.p[2])
		if offset < 0 {
			return 0, syscall.EINVAL
		}
		n, err := sendfile(out, in, offset, a.n[3])
		if err == 0 {
			*(*int64)(a.p[2]) = offset + int64(n)
		}
		return n, err
	}
	offset, e := in.Seek(0, abi.SEEK_CUR)
	if e != nil {
		return 0, errno(e)
	}
	n, err := sendfile(out, in, offset, a.n[3])
	if err == 0 {
		_, e = in.Seek(offset+int64(n), abi.SEEK_SET)
	}
	return n, max(err, errno(e))
}

// sendfile copies up to count bytes at offset of in, a regular file, to out.
func sendfile(out, in *vfs.File, offset int64, count uintptr) (uintptr, syscall.Errno) {
	count = min(count, maxTransfer)
	done := uintptr(0)
	var buf []byte
	for done < count {
		want := int(min(count-done, transferChunk))
		part, ok := in.Bytes(offset+int64(done), want)
		if !ok {
			if buf == nil {
				buf = make([]byte, want)
			}
			n, err := in.Pread(buf[:want], offset+int64(done))
			if err != nil && done == 0 {
				return 0, errno(err)
			}
			part = buf[:n]
		}
		if len(part) == 0 {
			break
		}
		n, err := out.Write(part)
		done += uintptr(n)
		if err != nil && done == 0 {
			return 0, errno(err)
		}
		if n < len(part) {
			break
		}
	}
	return done, 0
}

func sysCopyFileRange(a args) (uintptr, syscall.Errno) {
	if a.uint32(5) != 0 {
		return 0, syscall.EINVAL
	}
	in, err := process.files.get(a.int(0))
	if err != 0 {
		return 0, err
	}
	defer in.Close()
	out, err := process.files.get(a.int(2))
	if err != 0 {
		return 0, err
	}
	defer out.Close()
	n, e := vfs.CopyFileRange(in, (*int64)(a.p[1]), out, (*int64)(a.p[3]), int(min(a.n[4], maxTransfer)))
	return uintptr(n), errno(e)
}

// Flags of memfd_create (memfd_create(2)).
const (
	memfdCloexec      = 1
	memfdAllowSealing = 2
	memfdNoexecSeal   = 8
	memfdExec         = 16

	memfdNameMax = 249
)

// sysMemfdCreate is memfd_create: a file without a name on the root file system, which is in memory.
func sysMemfdCreate(a args) (uintptr, syscall.Errno) {
	if _, err := text(a.p[0], memfdNameMax+1, syscall.EINVAL); err != 0 {
		return 0, err
	}
	flags := a.uint32(1)
	if flags&^(memfdCloexec|memfdAllowSealing|memfdNoexecSeal|memfdExec) != 0 {
		return 0, syscall.EINVAL
	}
	f, err := space().Open(nil, "/", abi.O_TMPFILE|abi.O_LARGEFILE|syscall.O_EXCL|syscall.O_RDWR, 0o777)
	if err != nil {
		return 0, errno(err)
	}
	closeFlags := 0
	if flags&memfdCloexec != 0 {
		closeFlags = syscall.O_CLOEXEC
	}
	return process.install(f, closeFlags)
}
