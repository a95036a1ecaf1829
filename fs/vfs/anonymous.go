package vfs

import (
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/goshawk-os/goshawk/fs/abi"
)

// anonymous is entry and inode of a file without a path.
type anonymous struct {
	handle Handle
	name   string
	stat   Stat
}

// anonymousFS is where such files are, so that each File has a mount.
type anonymousFS struct{}

var (
	anonymousDev   = NewDev()
	lastAnonymous  atomic.Uint64
	anonymousMount = &mount{fs: anonymousFS{}}
)

func (anonymousFS) Root() Entry  { return nil }
func (anonymousFS) Type() string { return "anon_inodefs" }
func (anonymousFS) Statfs() (syscall.Statfs_t, error) {
	return syscall.Statfs_t{Type: abi.ANON_INODE_MAGIC, Bsize: 4096, Frsize: 4096, Namelen: abi.NAME_MAX}, nil
}

// NewFile returns a File around a handle that has no path. mode is its type
// and permissions (S_IFIFO|0600 of a pipe). name is what /proc/self/fd shows:
// "anon_inode:[eventpoll]"; a name that ends in ":" gets the inode number in
// brackets ("pipe:" becomes "pipe:[7]").
func NewFile(h Handle, flags int, mode uint32, name string) *File {
	now, ino := Now(), lastAnonymous.Add(1)
	a := &anonymous{handle: h, name: name, stat: Stat{
		Dev: anonymousDev, Ino: ino, Mode: mode, Nlink: 1, Blksize: 4096,
		Atime: now, Mtime: now, Ctime: now, Btime: now,
	}}
	return a.file(h, flags)
}

// NewFilePair returns the two Files of one object with two ends, as a pipe
// has: they have the same inode.
func NewFilePair(a, b Handle, aFlags, bFlags int, mode uint32, name string) (*File, *File) {
	f := NewFile(a, aFlags, mode, name)
	return f, f.loc.entry.(*anonymous).file(b, bFlags)
}

func (a *anonymous) file(h Handle, flags int) *File {
	f := newFile(location{anonymousMount, a}, flags)
	f.handle = h
	return f
}

func (a *anonymous) Inode() Inode                 { return a }
func (a *anonymous) Where() (Entry, string, bool) { return a, a.path(), true }
func (a *anonymous) Type() uint32                 { return a.stat.Mode & syscall.S_IFMT }

// path returns what NewFile says of a name.
func (a *anonymous) path() string {
	if strings.HasSuffix(a.name, ":") {
		return a.name + "[" + strconv.FormatUint(a.stat.Ino, 10) + "]"
	}
	return a.name
}

func (a *anonymous) Stat() (Stat, error) {
	if s, ok := a.handle.(Stater); ok {
		st := s.Stat()
		st.Dev, st.Ino = a.stat.Dev, a.stat.Ino
		return st, nil
	}
	return a.stat, nil
}

// SetAttr is accepted and has no effect.
func (a *anonymous) SetAttr(Attr) error { return nil }

// OpenHandle implements HandleOpener: opening through /proc/self/fd.
func (a *anonymous) OpenHandle(flags int) (Handle, error) {
	if r, ok := a.handle.(Reopener); ok {
		return r.Reopen(flags)
	}
	return nil, syscall.ENXIO
}

// Now returns the time for time stamps.
func Now() syscall.Timespec { return syscall.NsecToTimespec(time.Now().UnixNano()) }
