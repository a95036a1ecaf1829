package vfs

import (
	"syscall"
	"unsafe"
)

// direntHeader is the length of a linux_dirent64 before the name.
const direntHeader = 19

// firstCursor is the position of the first name behind "." and "..".
const firstCursor = 2

// ReadDir fills p with linux_dirent64 records (getdents64(2)) and returns how
// many bytes they take, 0 at the end. EINVAL if not even one fits.
func (f *File) ReadDir(p []byte) (int, error) {
	if f.isPath() {
		return 0, syscall.EBADF
	}
	dir, ok := f.Inode().(Directory)
	if !ok {
		return 0, syscall.ENOTDIR
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n, full := 0, false
	emit := func(name string, ino uint64, typ uint32, next int64) bool {
		size := putDirent(p[n:], name, ino, typ, next)
		if size == 0 {
			full = true
			return false
		}
		n += size
		f.off = next
		return true
	}
	for f.off < firstCursor && !full {
		self := f.loc.entry
		name := "."
		if f.off == 1 {
			name = ".."
			self, _, _ = self.Where()
		}
		st, err := self.Inode().Stat()
		if err != nil {
			return 0, err
		}
		emit(name, st.Ino, syscall.S_IFDIR, f.off+1)
	}
	if !full {
		err := dir.ReadDir(f.off-firstCursor, func(name string, ino uint64, typ uint32, next int64) bool {
			return emit(name, ino, typ, next+firstCursor)
		})
		if err != nil {
			return 0, err
		}
	}
	if n == 0 && full {
		return 0, syscall.EINVAL
	}
	happened(f.loc, syscall.IN_ACCESS)
	return n, nil
}

// putDirent writes one record and returns its length, 0 if it does not fit.
func putDirent(p []byte, name string, ino uint64, typ uint32, next int64) int {
	size := (direntHeader + len(name) + 1 + 7) &^ 7
	if size > len(p) {
		return 0
	}
	d := syscall.Dirent{Ino: ino, Off: next, Reclen: uint16(size), Type: uint8(typ >> 12)}
	copy(p, unsafe.Slice((*byte)(unsafe.Pointer(&d)), direntHeader))
	clear(p[direntHeader+copy(p[direntHeader:], name) : size])
	return size
}
