package vfs

import (
	"math"
	"syscall"
)

// copyChunk is how many bytes CopyFileRange moves at once where it cannot use
// the source's bytes in place.
const copyChunk = 256 << 10

// CopyFileRange copies up to n bytes between regular files, as
// copy_file_range(2). A nil offset means the file's position, which moves; an
// offset that is given is advanced instead.
func CopyFileRange(in *File, inOff *int64, out *File, outOff *int64, n int) (int, error) {
	switch {
	case in.isPath() || out.isPath():
		return 0, syscall.EBADF
	case in.isDir() || out.isDir():
		return 0, syscall.EISDIR
	case in.Inode().Type() != syscall.S_IFREG || out.Inode().Type() != syscall.S_IFREG:
		return 0, syscall.EINVAL
	case in.readable() != nil || out.canWrite() != nil || out.Flags()&syscall.O_APPEND != 0:
		return 0, syscall.EBADF
	}
	inPos, outPos := in.position0(inOff), out.position0(outOff)
	if end := uint64(n); uint64(inPos)+end < end || uint64(outPos)+end < end {
		return 0, syscall.EOVERFLOW
	}
	n = int(min(int64(n), max(0, in.content.Size()-inPos)))
	if inPos < 0 || outPos < 0 || n < 0 {
		return 0, syscall.EINVAL
	}
	if outPos == math.MaxInt64 {
		return 0, syscall.EFBIG
	}
	n = int(min(int64(n), math.MaxInt64-outPos))
	if in.Inode() == out.Inode() && inPos < outPos+int64(n) && outPos < inPos+int64(n) {
		return 0, syscall.EINVAL
	}
	if in.loc.mount.fs != out.loc.mount.fs {
		return 0, syscall.EXDEV
	}
	done, err := copyContent(in.content, inPos, out.content, outPos, n)
	in.transferred(done, syscall.IN_ACCESS)
	out.transferred(done, syscall.IN_MODIFY)
	in.advance(inOff, done)
	out.advance(outOff, done)
	if done > 0 {
		err = nil
	}
	return done, err
}

func copyContent(in Content, inPos int64, out Content, outPos int64, n int) (done int, err error) {
	var buf []byte
	for done < n && err == nil {
		want := min(n-done, copyChunk)
		var part []byte
		if v, ok := in.(Viewer); ok {
			part, _ = v.Bytes(inPos+int64(done), want)
		}
		if part == nil {
			if buf == nil {
				buf = make([]byte, want)
			}
			var got int
			got, err = in.ReadAt(buf[:want], inPos+int64(done))
			if got == 0 {
				break
			}
			part = buf[:got]
		}
		var wrote int
		wrote, _, err = out.WriteAt(part, outPos+int64(done))
		done += wrote
	}
	return done, err
}

// position0 returns the offset at p, or the file's position if p is nil.
func (f *File) position0(p *int64) int64 {
	if p != nil {
		return *p
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.off
}

// advance moves the offset at p, or the file's position if p is nil.
func (f *File) advance(p *int64, n int) {
	if p != nil {
		*p += int64(n)
		return
	}
	f.mu.Lock()
	f.off += int64(n)
	f.mu.Unlock()
}
