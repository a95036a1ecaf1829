package tmpfs

import (
	"slices"
	"sync"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// inode is what all inodes of this package have in common.
type inode interface {
	vfs.Inode
	base() *node
}

// node is the attributes of an inode. typ and what precedes it never change.
type node struct {
	fs   *FS
	ino  uint64
	rdev uint64
	typ  uint32

	mu                         sync.Mutex
	perm, uid, gid             uint32
	nlink                      int
	atime, mtime, ctime, btime syscall.Timespec
	xattrs                     []xattr
}

type xattr struct {
	name  string
	value []byte // never changed in place
}

func (fs *FS) initNode(n *node, mode uint32) {
	now := vfs.Now()
	n.fs, n.ino, n.typ, n.perm = fs, fs.ino.Add(1), mode&syscall.S_IFMT, mode&0o7777
	n.atime, n.mtime, n.ctime, n.btime = now, now, now, now
}

func (n *node) base() *node { return n }

// Type implements vfs.Inode.
func (n *node) Type() uint32 { return n.typ }

// Stat implements vfs.Inode; types of files with a size complete it.
func (n *node) Stat() (vfs.Stat, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return vfs.Stat{
		Dev: n.fs.dev, Ino: n.ino, Mode: n.typ | n.perm, Nlink: uint64(n.nlink), Uid: n.uid, Gid: n.gid,
		Rdev: n.rdev, Blksize: pageSize, Atime: n.atime, Mtime: n.mtime, Ctime: n.ctime, Btime: n.btime,
	}, nil
}

// SetAttr implements vfs.Inode.
func (n *node) SetAttr(a vfs.Attr) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if a.Set&vfs.SetOwner != 0 {
		n.chown(a.UID, a.GID)
	}
	if a.Set&vfs.SetMode != 0 {
		n.perm = a.Mode
	}
	if a.Set&vfs.SetAtime != 0 {
		n.atime = a.Atime
	}
	if a.Set&vfs.SetMtime != 0 {
		n.mtime = a.Mtime
	}
	n.ctime = vfs.Now()
	return nil
}

// chown also clears the set-ID bits of all but directories; a set-group-ID
// bit without execution by the group means something else and stays
// (chown(2)).
func (n *node) chown(uid, gid uint32) {
	if uid != vfs.NoID {
		n.uid = uid
	}
	if gid != vfs.NoID {
		n.gid = gid
	}
	if n.typ == syscall.S_IFDIR {
		return
	}
	n.perm &^= syscall.S_ISUID
	if n.perm&syscall.S_IXGRP != 0 {
		n.perm &^= syscall.S_ISGID
	}
}

// changed sets the change time, and the modification time if content did.
func (n *node) changed(content bool) {
	now := vfs.Now()
	n.mu.Lock()
	n.ctime = now
	if content {
		n.mtime = now
	}
	n.mu.Unlock()
}

// accessed sets the access time by the rule of the mount option relatime: if
// it is not behind the last change, or a day old.
func (n *node) accessed() {
	const day = 24 * 60 * 60
	now := vfs.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	if !before(n.mtime, n.atime) || !before(n.ctime, n.atime) || now.Sec-n.atime.Sec >= day {
		n.atime = now
	}
}

func before(a, b syscall.Timespec) bool {
	return a.Sec < b.Sec || a.Sec == b.Sec && a.Nsec < b.Nsec
}

func (n *node) findXattr(name string) int {
	return slices.IndexFunc(n.xattrs, func(x xattr) bool { return x.name == name })
}

// Getxattr implements vfs.Xattrs.
func (n *node) Getxattr(name string) ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	i := n.findXattr(name)
	if i < 0 {
		return nil, syscall.ENODATA
	}
	return n.xattrs[i].value, nil
}

// Setxattr implements vfs.Xattrs.
func (n *node) Setxattr(name string, value []byte, flags int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	i := n.findXattr(name)
	switch {
	case i >= 0 && flags&abi.XATTR_CREATE != 0:
		return syscall.EEXIST
	case i < 0 && flags&abi.XATTR_REPLACE != 0:
		return syscall.ENODATA
	}
	x := xattr{name, slices.Clone(value)}
	if i < 0 {
		n.xattrs = append(n.xattrs, x)
	} else {
		n.xattrs[i] = x
	}
	n.ctime = vfs.Now()
	return nil
}

// Listxattr implements vfs.Xattrs.
func (n *node) Listxattr() ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	names := make([]string, len(n.xattrs))
	for i, x := range n.xattrs {
		names[i] = x.name
	}
	return names, nil
}

// Removexattr implements vfs.Xattrs.
func (n *node) Removexattr(name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	i := n.findXattr(name)
	if i < 0 {
		return syscall.ENODATA
	}
	n.xattrs = slices.Delete(n.xattrs, i, i+1)
	n.ctime = vfs.Now()
	return nil
}

// link counts one more name. It fails if the file was freed, or never had a
// name and may not get one.
func (n *node) link(freed, linkable bool) error {
	if freed || n.nlink == 0 && !linkable {
		return syscall.ENOENT
	}
	n.nlink++
	n.ctime = vfs.Now()
	return nil
}

// special is a fifo, a socket or a device node.
type special struct {
	node
}

// symlink is a symbolic link.
type symlink struct {
	node
	target string
}

// Readlink implements vfs.Symlink.
func (l *symlink) Readlink() (string, error) {
	l.accessed()
	return l.target, nil
}

// Stat implements vfs.Inode.
func (l *symlink) Stat() (vfs.Stat, error) {
	st, err := l.node.Stat()
	st.Size = int64(len(l.target))
	return st, err
}
