// Package ext4 reads ext4 file systems (Documentation/filesystems/ext4 of Linux
// 6.12). It does not write them, except that Mount replays a journal that was
// left with transactions in it.
//
// # Life cycle
//
// Mount reads the superblock, refuses features by name that it does not
// understand, replays the journal, and checks the group descriptors. Inodes are read
// when a name leads to them, checked, and kept from then on: they never change,
// so they need no lock. Metadata blocks are kept in a jbd2.Cache, the contents of
// files in a pagecache.Cache that the caller provides.
//
// # Damage
//
// Anything on disk may be wrong. A structure that contradicts itself or its
// checksum gives EUCLEAN and a sentence through Options.Log. All loops end: the
// depth of an extent tree falls at each step, a directory has no more blocks
// than the file system, and a directory has one place in the tree.
//
// # Locks
//
//	FS.mu   the tables of inodes and names (a leaf)
package ext4

import (
	"errors"
	"strconv"
	"sync"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/block"
	"github.com/goshawk-os/goshawk/fs/ext4/disk"
	"github.com/goshawk-os/goshawk/fs/ext4/jbd2"
	"github.com/goshawk-os/goshawk/fs/pagecache"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// Options of a mount.
type Options struct {
	// Pages keeps contents of files; not nil.
	Pages *pagecache.Cache
	// Metadata is how many bytes of metadata are kept; 0: 8 MiB.
	Metadata int64
	// Dev is the st_dev of the files; 0: a new one.
	Dev uint64
	// Log is told in one sentence what is wrong with the file system; nil: nobody is.
	Log func(string)
}

// FS is a mounted file system. It implements vfs.FileSystem; it must be mounted
// read-only there, and answers changes with EROFS.
type FS struct {
	dev      block.Device
	o        Options
	cache    *jbd2.Cache
	super    disk.SuperBlock
	seed     uint32 // of the checksums; csum: they exist
	csum     bool
	size     int // of a block, bytes
	blocks   uint64
	inodeLen int // size of an inode on disk
	descLen  int // of a group descriptor
	groups   []group
	root     *entry

	mu     sync.Mutex
	inodes map[uint32]inode
	names  map[nameKey]*entry
}

type nameKey struct {
	dir  uint32
	name string
}

// An entry is a name that was looked up. It never changes.
type entry struct {
	parent *entry // the root's is itself
	name   string
	inode  inode
}

// Inode implements vfs.Entry.
func (e *entry) Inode() vfs.Inode { return e.inode }

// Where implements vfs.Entry.
func (e *entry) Where() (vfs.Entry, string, bool) { return e.parent, e.name, true }

// Mount opens the file system on a device. The error says what is wrong: no
// ext4, damage, a feature that is not supported, or what the device answered.
func Mount(dev block.Device, o Options) (*FS, error) {
	if o.Metadata == 0 {
		o.Metadata = 8 << 20
	}
	if o.Dev == 0 {
		o.Dev = vfs.NewDev()
	}
	fs := &FS{dev: dev, o: o, inodes: make(map[uint32]inode), names: make(map[nameKey]*entry)}
	if err := fs.readSuper(); err != nil {
		return nil, err
	}
	fs.cache = jbd2.NewCache(dev, fs.size, fs.blocks, o.Metadata)
	if err := fs.readGroups(); err != nil {
		return nil, err
	}
	if fs.super.S_feature_incompat&disk.INCOMPAT_RECOVER != 0 {
		if err := fs.recover(); err != nil {
			return nil, err
		}
	}
	root, err := fs.inode(disk.ROOT_INO)
	if err != nil {
		return nil, errors.New("ext4: the root directory cannot be read: " + err.Error())
	}
	d, ok := root.(*directory)
	if !ok {
		return nil, errors.New("ext4: the root is not a directory")
	}
	fs.root = &entry{inode: d}
	fs.root.parent, d.self = fs.root, fs.root
	return fs, nil
}

// Root implements vfs.FileSystem.
func (fs *FS) Root() vfs.Entry { return fs.root }

// Type implements vfs.FileSystem.
func (fs *FS) Type() string { return "ext4" }

// Statfs implements vfs.FileSystem. A file system that does not say how many
// blocks its own structures take (s_overhead_clusters) counts them as usable.
func (fs *FS) Statfs() (syscall.Statfs_t, error) {
	s := &fs.super
	var st syscall.Statfs_t
	st.Type, st.Bsize, st.Frsize, st.Namelen = 0xef53, int64(fs.size), int64(fs.size), 255
	var free uint64
	for _, g := range fs.groups {
		free += uint64(g.freeBlocks)
		st.Ffree += uint64(g.freeInodes)
	}
	cluster := max(s.S_log_cluster_size, s.S_log_block_size) - s.S_log_block_size
	free = min(free<<cluster, fs.blocks)
	reserved := min(uint64(s.S_r_blocks_count_lo)|uint64(s.S_r_blocks_count_hi)<<32, free)
	overhead := min(uint64(s.S_overhead_clusters)<<cluster, fs.blocks-free)
	st.Blocks, st.Bfree, st.Bavail, st.Files = fs.blocks-overhead, free, free-reserved, uint64(s.S_inodes_count)
	return st, nil
}

// damaged logs what is wrong and returns EUCLEAN.
func (fs *FS) damaged(what string, number uint64, why string) error {
	if fs.o.Log != nil {
		fs.o.Log("ext4: " + what + " " + strconv.FormatUint(number, 10) + " is damaged: " + why)
	}
	return syscall.EUCLEAN
}

// valid reports whether count blocks from start on may hold data.
func (fs *FS) valid(start, count uint64) bool {
	return start > uint64(fs.super.S_first_data_block) && start < fs.blocks && count <= fs.blocks-start
}
