package linux

import (
	"syscall"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// transferChunk is how much sendfile moves at once by way of a buffer.
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
	left := int(min(count, maxTransfer))
	o := objectOf(out)
	if o == nil {
		n, err := copyOut(out, in, offset, left)
		return uintptr(n), err
	}
	done := 0
	var buf []byte
	for left > 0 {
		n, end, err := lend(o, in, offset+int64(done), left, &buf)
		done += n
		left -= n
		if err == syscall.EAGAIN && !nonblocking(out) {
			if err = room(o); err == 0 {
				continue
			}
		}
		if err != 0 && done == 0 {
			return 0, err
		}
		if err != 0 || end {
			break
		}
	}
	return uintptr(done), 0
}

// lend writes up to n bytes at offset of in to o without waiting, in place if the file system can do
// that, else by way of *buf, which it makes. end says that there are no more.
func lend(o object, in *vfs.File, offset int64, n int, buf *[]byte) (done int, end bool, err syscall.Errno) {
	if s, ok := o.(*socketFile); ok && s.kind != syscall.SOCK_STREAM {
		n = min(n, transferChunk) // in one message
	}
	write := func(parts [][]byte) {
		end = len(parts) == 0 || len(parts[0]) == 0
		if s, ok := o.(*socketFile); ok && !end {
			done, err = s.tryWriteParts(parts)
			return
		}
		for _, p := range parts {
			k, e := o.tryWrite(p)
			done += k
			if err = e; err != 0 || k < len(p) {
				break
			}
		}
	}
	if in.Lend(offset, n, write) {
		return done, end, err
	}
	n = min(n, transferChunk)
	if *buf == nil {
		*buf = make([]byte, n)
	}
	k, e := in.Pread((*buf)[:n], offset)
	if e != nil {
		return 0, false, errno(e)
	}
	write([][]byte{(*buf)[:k]})
	return done, end, err
}

// room waits until o, the file that sendfile writes to, takes more.
func room(o object) syscall.Errno {
	s, ok := o.(*socketFile)
	if !ok {
		await(o, writable)
		return 0
	}
	var r retry
	defer r.end(s)
	timeout := s.sendTimeout.Load()
	if !r.again(s, writable, timeout) {
		return syscall.EAGAIN
	}
	for s.ready()&(writable|always) == 0 {
		if !r.again(s, writable, timeout) {
			return syscall.EAGAIN
		}
	}
	return 0
}

// copyOut copies up to n bytes at offset of in to out, which has no readiness, through a buffer.
func copyOut(out, in *vfs.File, offset int64, n int) (int, syscall.Errno) {
	buf := make([]byte, min(n, transferChunk))
	done := 0
	for done < n {
		got, err := in.Pread(buf[:min(n-done, len(buf))], offset+int64(done))
		wrote := 0
		if err == nil && got > 0 {
			wrote, err = out.Write(buf[:got])
		}
		done += wrote
		if err != nil && done == 0 {
			return 0, errno(err)
		}
		if err != nil || wrote < got || got == 0 {
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
