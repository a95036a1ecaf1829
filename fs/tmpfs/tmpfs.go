// Package tmpfs is a file system in memory, with all types of files, extended
// attributes, holes, and a limit on its size.
//
// A file's content may start out as a reference to bytes that lie elsewhere in
// memory (Refer): those are served in place, and copied piece by piece when
// they are first written to.
//
// Locks, outermost first:
//
//	FS.tree      names: every dirent, and the directories' maps and lists
//	  file.data  content and size of one file
//	    node.mu  attributes of one inode
package tmpfs

import (
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// DefaultLimit is the size of a file system for which no limit was given,
// bytes. It is more than there is memory.
const DefaultLimit = 1 << 40

// Options of a file system.
type Options struct {
	Limit int64  // most bytes that all files may take; 0: DefaultLimit
	Mode  uint32 // permissions of the root directory; 0: 0755
	Type  string // name of the file system type; "": tmpfs
	// Look, unless nil, is called before a name in the root directory is
	// looked up, and with "" before its names are read. It may add some.
	Look func(name string)
}

// FS is one file system in memory.
type FS struct {
	typ   string
	dev   uint64
	limit int64 // pages
	used  atomic.Int64
	ino   atomic.Uint64
	tree  sync.RWMutex
	root  *dirent
	look  func(name string)
}

// New returns an empty file system.
func New(o Options) *FS {
	if o.Limit == 0 {
		o.Limit = DefaultLimit
	}
	if o.Mode == 0 {
		o.Mode = 0o755
	}
	if o.Type == "" {
		o.Type = "tmpfs"
	}
	fs := &FS{typ: o.Type, dev: vfs.NewDev(), limit: o.Limit >> pageBits, look: o.Look}
	root := &directory{}
	fs.initNode(&root.node, syscall.S_IFDIR|o.Mode)
	root.nlink = 2
	fs.root = &dirent{inode: root, linked: true}
	fs.root.parent = fs.root
	root.self = fs.root
	return fs
}

// Root implements vfs.FileSystem.
func (fs *FS) Root() vfs.Entry { return fs.root }

// Type implements vfs.FileSystem.
func (fs *FS) Type() string { return fs.typ }

// Statfs implements vfs.FileSystem. Inodes are not limited; as many are
// reported as there are blocks.
func (fs *FS) Statfs() (syscall.Statfs_t, error) {
	free := max(0, fs.limit-fs.used.Load())
	s := syscall.Statfs_t{
		Type: abi.TMPFS_MAGIC, Bsize: pageSize, Frsize: pageSize, Namelen: abi.NAME_MAX,
		Blocks: uint64(fs.limit), Bfree: uint64(free), Bavail: uint64(free),
		Files: uint64(fs.limit), Ffree: uint64(fs.limit) - min(uint64(fs.limit), fs.ino.Load()),
	}
	s.Fsid.X__val[0] = int32(fs.dev)
	return s, nil
}

// reserve takes up to n pages from the limit and returns how many it got.
func (fs *FS) reserve(n int) int {
	for {
		used := fs.used.Load()
		got := min(int64(n), max(0, fs.limit-used))
		if fs.used.CompareAndSwap(used, used+got) {
			return int(got)
		}
	}
}

// release gives n pages back.
func (fs *FS) release(n int) { fs.used.Add(int64(-n)) }
