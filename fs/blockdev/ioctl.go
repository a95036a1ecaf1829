package blockdev

import (
	"syscall"
	"unsafe"

	"github.com/goshawk-os/goshawk/fs/block"
)

// Requests of block devices (include/uapi/linux/fs.h, Linux 6.12).
const (
	BLKROGET     = 0x125d
	BLKGETSIZE   = 0x1260
	BLKFLSBUF    = 0x1261
	BLKSSZGET    = 0x1268
	BLKDISCARD   = 0x1277
	BLKPBSZGET   = 0x127b
	BLKZEROOUT   = 0x127f
	BLKGETSIZE64 = 0x80081272
)

// sectorSize is the unit of BLKGETSIZE, and what ranges are multiples of at
// least.
const sectorSize = 512

// Ioctl implements vfs.Ioctler.
func (f *file) Ioctl(cmd uint, arg unsafe.Pointer) error {
	switch cmd {
	case BLKFLSBUF:
		return f.Sync()
	case BLKROGET, BLKGETSIZE, BLKSSZGET, BLKPBSZGET, BLKGETSIZE64, BLKDISCARD, BLKZEROOUT:
		if arg == nil {
			return syscall.EFAULT
		}
	default:
		return syscall.ENOTTY
	}
	info := f.device.Info()
	switch cmd {
	case BLKROGET:
		*(*int32)(arg) = 0
		if info.ReadOnly {
			*(*int32)(arg) = 1
		}
	case BLKGETSIZE:
		*(*uintptr)(arg) = uintptr(info.Size / sectorSize)
	case BLKGETSIZE64:
		*(*uint64)(arg) = uint64(info.Size)
	case BLKSSZGET:
		*(*int32)(arg) = int32(info.LogicalBlock)
	case BLKPBSZGET:
		*(*uint32)(arg) = uint32(info.PhysicalBlock)
	case BLKDISCARD:
		r := *(*[2]uint64)(arg)
		return f.clear(&info, block.Discard, r[0], r[1])
	case BLKZEROOUT:
		r := *(*[2]uint64)(arg)
		return f.clear(&info, block.WriteZeroes, r[0], r[1])
	}
	return nil
}

// clear discards a range or makes it zero.
func (f *file) clear(info *block.Info, op block.Op, start, length uint64) error {
	size := uint64(info.Size)
	switch {
	case f.flags&syscall.O_ACCMODE == syscall.O_RDONLY:
		return syscall.EBADF
	case info.ReadOnly:
		return syscall.EPERM
	case op == block.Discard && info.MaxDiscard == 0:
		return syscall.EOPNOTSUPP
	case (start|length)&uint64(info.LogicalBlock-1) != 0, length == 0, start > size, length > size-start:
		return syscall.EINVAL
	}
	f.change.RLock()
	defer f.change.RUnlock()
	return block.Do(f.device, &block.Request{Op: op, Off: int64(start), Length: int64(length)})
}
