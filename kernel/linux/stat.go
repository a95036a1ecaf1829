package linux

import (
	"syscall"
	"unsafe"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// stat stores the attributes of l in the caller's structure at out.
func stat(l location, err syscall.Errno, flags int, out unsafe.Pointer) (uintptr, syscall.Errno) {
	if err != 0 {
		return 0, err
	}
	defer l.release()
	st, e := space().Stat(l.dir, l.path, flags)
	return storeStat(st, e, out)
}

func storeStat(st vfs.Stat, e error, out unsafe.Pointer) (uintptr, syscall.Errno) {
	if e != nil {
		return 0, errno(e)
	}
	if out == nil {
		return 0, syscall.EFAULT
	}
	*(*syscall.Stat_t)(out) = st.Sys()
	return 0, 0
}

func sysStat(a args) (uintptr, syscall.Errno) {
	l, err := a.here(0)
	return stat(l, err, 0, a.p[1])
}

func sysLstat(a args) (uintptr, syscall.Errno) {
	l, err := a.here(0)
	return stat(l, err, abi.AT_SYMLINK_NOFOLLOW, a.p[1])
}

func sysNewfstatat(a args) (uintptr, syscall.Errno) {
	l, err := a.location(0, 1)
	return stat(l, err, a.int(3), a.p[2])
}

func sysFstat(a args) (uintptr, syscall.Errno) {
	f, err := process.files.get(a.int(0))
	if err != 0 {
		return 0, err
	}
	defer f.Close()
	st, e := f.Stat()
	return storeStat(st, e, a.p[1])
}

// statxTime is struct statx_timestamp.
type statxTime struct {
	sec  int64
	nsec uint32
	_    int32
}

// statxResult is struct statx (statx(2)).
type statxResult struct {
	mask, blksize               uint32
	attributes                  uint64
	nlink, uid, gid             uint32
	mode                        uint16
	_                           uint16
	ino, size, blocks           uint64
	attributesMask              uint64
	atime, btime, ctime, mtime  statxTime
	rdevMajor, rdevMinor        uint32
	devMajor, devMinor          uint32
	mntID                       uint64
	dioMemAlign, dioOffsetAlign uint32
	_                           [12]uint64
}

const (
	statxBasic    = 0x7ff // STATX_BASIC_STATS
	statxBtime    = 0x800
	statxReserved = 0x80000000
	statxSyncType = 0x6000 // AT_STATX_SYNC_TYPE
)

func sysStatx(a args) (uintptr, syscall.Errno) {
	flags, mask := a.int(2), a.uint32(3)
	if mask&statxReserved != 0 || flags&statxSyncType == statxSyncType {
		return 0, syscall.EINVAL
	}
	l, err := a.location(0, 1)
	if err != 0 {
		return 0, err
	}
	defer l.release()
	st, e := space().Stat(l.dir, l.path, flags&^statxSyncType)
	if e != nil {
		return 0, errno(e)
	}
	if a.p[4] == nil {
		return 0, syscall.EFAULT
	}
	*(*statxResult)(a.p[4]) = statxResult{
		mask: statxBasic | statxBtime, blksize: uint32(st.Blksize),
		nlink: uint32(st.Nlink), uid: st.Uid, gid: st.Gid, mode: uint16(st.Mode),
		ino: st.Ino, size: uint64(st.Size), blocks: uint64(st.Blocks),
		atime: statxTimeOf(st.Atime), btime: statxTimeOf(st.Btime),
		ctime: statxTimeOf(st.Ctime), mtime: statxTimeOf(st.Mtime),
		rdevMajor: major(st.Rdev), rdevMinor: minor(st.Rdev),
		devMajor: major(st.Dev), devMinor: minor(st.Dev),
	}
	return 0, 0
}

func statxTimeOf(t syscall.Timespec) statxTime { return statxTime{sec: t.Sec, nsec: uint32(t.Nsec)} }

// major and minor are the halves of a device number (makedev(3)).
func major(dev uint64) uint32 { return uint32(dev>>8&0xfff | dev>>32&^0xfff) }
func minor(dev uint64) uint32 { return uint32(dev&0xff | dev>>12&^0xff) }

func storeStatfs(st syscall.Statfs_t, e error, out unsafe.Pointer) (uintptr, syscall.Errno) {
	if e != nil {
		return 0, errno(e)
	}
	if out == nil {
		return 0, syscall.EFAULT
	}
	*(*syscall.Statfs_t)(out) = st
	return 0, 0
}

func sysStatfs(a args) (uintptr, syscall.Errno) {
	path, err := a.path(0)
	if err != 0 {
		return 0, err
	}
	st, e := space().Statfs(nil, path)
	return storeStatfs(st, e, a.p[1])
}

func sysFstatfs(a args) (uintptr, syscall.Errno) {
	f, err := process.files.get(a.int(0))
	if err != 0 {
		return 0, err
	}
	defer f.Close()
	st, e := f.Statfs()
	return storeStatfs(st, e, a.p[1])
}
