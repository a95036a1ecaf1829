package vfs

import "syscall"

// Stat is the attributes of a file, as stat and statx report them.
type Stat struct {
	Dev     uint64 // of the file system
	Ino     uint64
	Mode    uint32 // type and permissions
	Nlink   uint64
	Uid     uint32
	Gid     uint32
	Rdev    uint64 // of a device node
	Size    int64  // bytes
	Blksize int64  // preferred size of reads and writes, bytes
	Blocks  int64  // allocated, in units of 512 bytes
	Atime   syscall.Timespec
	Mtime   syscall.Timespec
	Ctime   syscall.Timespec
	Btime   syscall.Timespec // birth; statx only
}

// Sys returns the structure that the stat calls fill in. The widths of its
// fields differ between architectures.
func (s Stat) Sys() syscall.Stat_t {
	var t syscall.Stat_t
	t.Dev, t.Ino, t.Mode = s.Dev, s.Ino, s.Mode
	setInteger(&t.Nlink, s.Nlink)
	t.Uid, t.Gid, t.Rdev, t.Size = s.Uid, s.Gid, s.Rdev, s.Size
	setInteger(&t.Blksize, s.Blksize)
	t.Blocks = s.Blocks
	t.Atim, t.Mtim, t.Ctim = s.Atime, s.Mtime, s.Ctime
	return t
}

func setInteger[D, S int32 | int64 | uint32 | uint64](dst *D, v S) { *dst = D(v) }
