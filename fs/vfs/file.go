package vfs

import (
	"math"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/goshawk-os/goshawk/fs/abi"
)

// statusFlags are what SetFlags changes (fcntl F_SETFL).
const statusFlags = syscall.O_APPEND | syscall.O_NONBLOCK | syscall.O_DIRECT | syscall.O_NOATIME | syscall.O_ASYNC

// creationFlags have no meaning after open and are not kept.
const creationFlags = syscall.O_CREAT | syscall.O_EXCL | syscall.O_NOCTTY | syscall.O_TRUNC | syscall.O_CLOEXEC

// A File is an open file description. It is safe for concurrent use.
type File struct {
	refs    atomic.Int32
	flags   atomic.Int64
	loc     location
	content Content // of regular files and disks
	handle  Handle  // of other special files

	mu  sync.Mutex // reads and writes that use off
	off int64      // position in a file or directory
}

func newFile(l location, flags int) *File {
	f := &File{loc: l}
	f.refs.Store(1)
	f.flags.Store(int64(flags &^ creationFlags))
	return f
}

// IncRef adds a reference to those that there are.
func (f *File) IncRef() { f.refs.Add(1) }

// TryIncRef adds a reference unless the last one is gone.
func (f *File) TryIncRef() bool {
	for {
		n := f.refs.Load()
		if n == 0 {
			return false
		}
		if f.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Close takes a reference away. With the last one the file's locks are dropped
// and its handle is closed.
func (f *File) Close() error {
	if f.refs.Add(-1) != 0 {
		return nil
	}
	return f.close()
}

func (f *File) close() error {
	if !f.isPath() {
		if f.canWrite() == nil {
			happened(f.loc, syscall.IN_CLOSE_WRITE)
		} else {
			happened(f.loc, syscall.IN_CLOSE_NOWRITE)
		}
	}
	locks.drop(f)
	var err error
	if f.handle != nil {
		err = f.handle.Close()
	}
	if a, ok := f.loc.inode().(Acquirer); ok {
		a.Release()
		removed(f.loc.inode())
	}
	return err
}

// Handle returns the object behind a device, fifo, pipe or socket, or nil.
func (f *File) Handle() Handle { return f.handle }

// Flags returns access mode and status flags (fcntl F_GETFL).
func (f *File) Flags() int { return int(f.flags.Load()) }

// SetFlags sets the status flags that can be changed (fcntl F_SETFL).
func (f *File) SetFlags(flags int) {
	for {
		old := f.flags.Load()
		if f.flags.CompareAndSwap(old, old&^statusFlags|int64(flags)&statusFlags) {
			return
		}
	}
}

func (f *File) isPath() bool { return f.Flags()&abi.O_PATH != 0 }

func (f *File) isDir() bool { return f.loc.isDir() }

// Inode returns the file's inode.
func (f *File) Inode() Inode { return f.loc.inode() }

func (f *File) readable() error {
	flags := f.Flags()
	if mode := flags & syscall.O_ACCMODE; flags&abi.O_PATH != 0 || mode != syscall.O_RDONLY && mode != syscall.O_RDWR {
		return syscall.EBADF
	}
	return nil
}

func (f *File) canWrite() error {
	flags := f.Flags()
	if mode := flags & syscall.O_ACCMODE; flags&abi.O_PATH != 0 || mode != syscall.O_WRONLY && mode != syscall.O_RDWR {
		return syscall.EBADF
	}
	return nil
}

// Read reads at the file's position. It returns 0, nil at end of file.
func (f *File) Read(p []byte) (int, error) {
	if err := f.readable(); err != nil {
		return 0, err
	}
	if f.handle != nil {
		return f.handle.Read(p, f.Flags())
	}
	if f.content == nil {
		return 0, syscall.EISDIR
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if int64(len(p)) > math.MaxInt64-f.off {
		return 0, syscall.EINVAL
	}
	n, err := f.content.ReadAt(p, f.off)
	f.off += int64(n)
	f.transferred(n, syscall.IN_ACCESS)
	return n, err
}

// Write writes at the file's position, or at the end with O_APPEND.
func (f *File) Write(p []byte) (int, error) {
	if err := f.canWrite(); err != nil {
		return 0, err
	}
	if f.handle != nil {
		return f.handle.Write(p, f.Flags())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	off := f.off
	if int64(len(p)) > math.MaxInt64-off {
		return 0, syscall.EINVAL
	}
	if f.Flags()&syscall.O_APPEND != 0 {
		off = AppendOffset
	}
	n, end, err := f.content.WriteAt(p, off)
	if n > 0 {
		f.off, err = end, f.settle()
	}
	f.transferred(n, syscall.IN_MODIFY)
	return settled(n, err)
}

// transferred reports that n bytes were read or written.
func (f *File) transferred(n int, event uint32) {
	if n > 0 {
		happened(f.loc, event)
	}
}

// Pread reads at an offset.
func (f *File) Pread(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, syscall.EINVAL
	}
	if f.isPath() {
		return 0, syscall.EBADF
	}
	if f.handle != nil {
		if _, ok := f.handle.(Seeker); !ok {
			return 0, syscall.ESPIPE
		}
	}
	if err := f.readable(); err != nil {
		return 0, err
	}
	if int64(len(p)) > math.MaxInt64-off {
		return 0, syscall.EINVAL
	}
	if f.handle != nil {
		return f.handle.Read(p, f.Flags())
	}
	if f.content == nil {
		return 0, syscall.EISDIR
	}
	n, err := f.content.ReadAt(p, off)
	f.transferred(n, syscall.IN_ACCESS)
	return n, err
}

// Pwrite writes at an offset; with O_APPEND at the end all the same, as on
// Linux (pwrite(2), bugs).
func (f *File) Pwrite(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, syscall.EINVAL
	}
	if f.isPath() {
		return 0, syscall.EBADF
	}
	if f.handle != nil {
		if _, ok := f.handle.(Seeker); !ok {
			return 0, syscall.ESPIPE
		}
	}
	if err := f.canWrite(); err != nil {
		return 0, err
	}
	if int64(len(p)) > math.MaxInt64-off {
		return 0, syscall.EINVAL
	}
	if f.handle != nil {
		return f.handle.Write(p, f.Flags())
	}
	if f.Flags()&syscall.O_APPEND != 0 {
		off = AppendOffset
	}
	n, _, err := f.content.WriteAt(p, off)
	if n > 0 {
		err = f.settle()
	}
	f.transferred(n, syscall.IN_MODIFY)
	return settled(n, err)
}

// Seek moves the position, as lseek(2), SEEK_DATA and SEEK_HOLE included. In a
// directory positions are those found in d_off of ReadDir's records.
func (f *File) Seek(off int64, whence int) (int64, error) {
	if f.isPath() {
		return 0, syscall.EBADF
	}
	if whence < abi.SEEK_SET || whence > abi.SEEK_HOLE {
		return 0, syscall.EINVAL
	}
	if f.handle != nil {
		if s, ok := f.handle.(Seeker); ok {
			return s.Seek(off, whence)
		}
		return 0, syscall.ESPIPE
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	pos, err := f.position(off, whence)
	if err != nil {
		return 0, err
	}
	f.off = pos
	return pos, nil
}

func (f *File) position(off int64, whence int) (int64, error) {
	base := int64(0)
	switch whence {
	case abi.SEEK_SET:
	case abi.SEEK_CUR:
		base = f.off
	case abi.SEEK_END:
		if f.content == nil {
			return 0, syscall.EINVAL
		}
		base = f.content.Size()
	default:
		return f.seekSparse(off, whence)
	}
	if off > math.MaxInt64-base || base+off < 0 {
		return 0, syscall.EINVAL
	}
	return base + off, nil
}

func (f *File) seekSparse(off int64, whence int) (int64, error) {
	if f.content == nil {
		return 0, syscall.EINVAL
	}
	size := f.content.Size()
	if off < 0 || off >= size {
		return 0, syscall.ENXIO
	}
	if s, ok := f.content.(Sparse); ok {
		if whence == abi.SEEK_DATA {
			return s.SeekData(off)
		}
		return s.SeekHole(off)
	}
	if whence == abi.SEEK_DATA {
		return off, nil
	}
	return size, nil
}

// Stat returns the attributes. It works on an O_PATH file too.
func (f *File) Stat() (Stat, error) { return f.Inode().Stat() }

// Chmod sets the permission bits.
func (f *File) Chmod(mode uint32) error {
	if f.isPath() {
		return syscall.EBADF
	}
	return chmod(f.loc, mode)
}

// Chown sets owner and group; NoID leaves one as it is.
func (f *File) Chown(uid, gid uint32) error {
	if f.isPath() {
		return syscall.EBADF
	}
	return chown(f.loc, uid, gid)
}

// Utimes sets access and modification time; see Namespace.Utimes.
func (f *File) Utimes(times [2]syscall.Timespec) error {
	if f.isPath() {
		return syscall.EBADF
	}
	return utimes(f.loc, times)
}

// Truncate sets the size, as ftruncate(2).
func (f *File) Truncate(size int64) error {
	if size < 0 {
		return syscall.EINVAL
	}
	if f.isPath() {
		return syscall.EBADF
	}
	if f.content == nil || f.canWrite() != nil {
		return syscall.EINVAL
	}
	return f.truncate(size)
}

func (f *File) truncate(size int64) error {
	if err := f.content.Truncate(size); err != nil {
		return err
	}
	happened(f.loc, syscall.IN_MODIFY)
	return nil
}

// Fallocate reserves or frees space, as fallocate(2).
func (f *File) Fallocate(mode uint32, off, n int64) error {
	if f.isPath() {
		return syscall.EBADF
	}
	if off < 0 || n <= 0 {
		return syscall.EINVAL
	}
	switch mode {
	case 0, abi.FALLOC_FL_KEEP_SIZE, abi.FALLOC_FL_PUNCH_HOLE | abi.FALLOC_FL_KEEP_SIZE:
	default:
		return syscall.EOPNOTSUPP
	}
	if err := f.canWrite(); err != nil {
		return err
	}
	switch f.Inode().Type() {
	case syscall.S_IFREG:
	case syscall.S_IFIFO:
		return syscall.ESPIPE
	default:
		return syscall.ENODEV
	}
	if off > math.MaxInt64-n {
		return syscall.EFBIG
	}
	a, ok := f.content.(Allocator)
	if !ok {
		return syscall.EOPNOTSUPP
	}
	if err := a.Allocate(mode, off, n); err != nil {
		return err
	}
	happened(f.loc, syscall.IN_MODIFY)
	return nil
}

// Statfs describes the file system that the file lies in.
func (f *File) Statfs() (syscall.Statfs_t, error) { return statfs(f.loc) }

// Ioctl passes cmd to a device: ENOTTY if it has none such.
func (f *File) Ioctl(cmd uint, arg unsafe.Pointer) error {
	if f.isPath() {
		return syscall.EBADF
	}
	i, ok := f.handle.(Ioctler)
	if !ok {
		i, ok = f.content.(Ioctler)
	}
	if !ok {
		return syscall.ENOTTY
	}
	return i.Ioctl(cmd, arg)
}

// Bytes returns n bytes at off in place, if the file system can do that and
// all of them lie within the file. They stay unchanged even if the file is
// written to, and the caller must not change them.
func (f *File) Bytes(off int64, n int) ([]byte, bool) {
	v, ok := f.content.(Viewer)
	if !ok || off < 0 || n < 0 {
		return nil, false
	}
	b, ok := v.Bytes(off, n)
	f.transferred(len(b), syscall.IN_ACCESS)
	return b, ok
}

// CanMap reports whether Map is of use.
func (f *File) CanMap() bool {
	_, ok := f.content.(Mapper)
	return ok
}

// Map is Mapper.Map of the file's content: ENODEV.
func (f *File) Map(off int64, memory []byte, write bool) (unmap func(), err error) {
	m, ok := f.content.(Mapper)
	if !ok {
		return nil, syscall.ENODEV
	}
	return m.Map(off, memory, write)
}

// Lend calls use with up to n bytes from off on in place, as Lender.Lend does, if the file system can
// do that, and reports whether it can.
func (f *File) Lend(off int64, n int, use func(parts [][]byte)) bool {
	l, ok := f.content.(Lender)
	if !ok || off < 0 || n < 0 {
		return false
	}
	f.transferred(l.Lend(off, n, use), syscall.IN_ACCESS)
	return true
}
