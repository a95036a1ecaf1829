// Package ext4 reads and writes ext4 file systems (Documentation/filesystems/ext4
// of Linux 6.12).
//
// # Life cycle
//
// Mount reads the superblock, refuses features by name that it does not
// understand, replays the journal, deletes what a crash has left without a name, and
// starts the journal. What has features that changes would have to keep up, and
// this package does not, is mounted read-only. Inodes are read
// when a name leads to them. Metadata blocks are kept in a jbd2.Cache, the contents of
// files in a pagecache.Cache that the caller provides. Unmount leaves a file system that is clean.
//
// # Data
//
// The page cache decides when data is written (delayed allocation): a write only
// makes sure that there will be room. When pages are written, their blocks are taken from
// the free ones as few long runs, written, and then put into the file by a transaction. So
// a file never shows what was on the disk before, and commits do not wait for data.
//
// # Damage
//
// Anything on disk may be wrong. A structure that contradicts itself or its
// checksum gives EUCLEAN and a sentence through Options.Log, and sets the error state of the
// superblock. All loops end: the depth of an extent tree falls at each step, a directory has no more blocks
// than the file system, and a directory has one place in the tree. An operation that
// fails half way, as when a block cannot be read, aborts the journal: nothing is written from then on.
//
// # Locks, outermost first
//
//	FS.renameMu        renames between two directories, one at a time
//	  directory.change names of a directory; of one within another after that
//	    locks of a pagecache.Mapping
//	      a handle of the journal
//	        FS.superMu the superblock, the list of orphans
//	          node.mu  attributes and extents of an inode
//	            group.mu bitmaps and descriptor of a group
//	            file.promiseMu
//	            FS.mu  the tables of inodes and names (a leaf, as the one above)
package ext4

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"weak"

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
	// ReadOnly answers all changes with EROFS.
	ReadOnly bool
	// Metadata is how many bytes of metadata are kept; 0: 8 MiB.
	Metadata int64
	// Dev is the st_dev of the files; 0: a new one.
	Dev uint64
	// Log is told in one sentence what is wrong with the file system; nil: nobody is.
	Log func(string)
}

// FS is a mounted file system. It implements vfs.FileSystem.
type FS struct {
	dev      block.Device
	o        Options
	cache    *jbd2.Cache
	journal  *jbd2.Journal   // nil: readOnly since it was mounted
	super    disk.SuperBlock // as it was at mount
	seed     uint32          // of the checksums; csum: they exist
	csum     bool
	size     int // of a block, bytes
	blocks   uint64
	inodeLen int // size of an inode on disk
	descLen  int // of a group descriptor
	groups   []*group
	root     *entry

	readOnly   atomic.Bool
	wrong      atomic.Bool   // something was found to be damaged
	generation atomic.Uint32 // of the last new inode

	// Blocks that can be had, those of them that were promised to files, and those that can
	// be had after a commit.
	free, promised, freeing atomic.Int64

	renameMu sync.Mutex

	superMu sync.Mutex
	orphans *node

	mu                      sync.Mutex
	inodes                  map[uint32]weak.Pointer[node]
	names                   map[nameKey]weak.Pointer[entry]
	sweepInodes, sweepNames int // sizes at which the tables are cleaned
	recent                  [recentNames]*entry
	hand                    uint // where the next entry goes in recent
	stale                   map[*node]struct{}
}

// mountError is an error that exists before packages are initialised, when a guest may already mount.
type mountError string

func (e mountError) Error() string { return string(e) }

// ErrNone is the error of Mount for a device without a file system of this kind.
const ErrNone = mountError("ext4: no ext4 file system is on the device")

// Mount opens the file system on a device. The error says what is wrong: no
// ext4, damage, a feature that is not supported, or what the device answered.
func Mount(dev block.Device, o Options) (*FS, error) {
	if o.Metadata == 0 {
		o.Metadata = 8 << 20
	}
	if o.Dev == 0 {
		o.Dev = vfs.NewDev()
	}
	fs := &FS{
		dev: dev, o: o, inodes: make(map[uint32]weak.Pointer[node]), names: make(map[nameKey]weak.Pointer[entry]),
		stale: make(map[*node]struct{}), sweepInodes: minSweep, sweepNames: minSweep,
	}
	fs.readOnly.Store(true)
	if err := fs.readSuper(); err != nil {
		return nil, err
	}
	fs.cache = jbd2.NewCache(dev, fs.size, fs.blocks, o.Metadata)
	if err := fs.readGroups(); err != nil {
		return nil, err
	}
	writable := !o.ReadOnly && !dev.Info().ReadOnly && fs.writable()
	log, err := fs.loadLog(writable)
	if err != nil {
		return nil, err
	}
	if writable {
		if err := fs.open(log); err != nil {
			return nil, errors.New("ext4: the file system cannot be opened for writing: " + err.Error())
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
	fs.root = &entry{inode: d, linked: true}
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
	for _, g := range fs.groups {
		g.mu.Lock()
		st.Ffree += uint64(g.freeInodes)
		g.mu.Unlock()
	}
	cluster := max(s.S_log_cluster_size, s.S_log_block_size) - s.S_log_block_size
	free := min(fs.freeBlocks()<<cluster, fs.blocks)
	free -= min(free, uint64(max(fs.promised.Load(), 0)))
	reserved := min(uint64(s.S_r_blocks_count_lo)|uint64(s.S_r_blocks_count_hi)<<32, free)
	overhead := min(uint64(s.S_overhead_clusters)<<cluster, fs.blocks-free)
	st.Blocks, st.Bfree, st.Bavail, st.Files = fs.blocks-overhead, free, free-reserved, uint64(s.S_inodes_count)
	return st, nil
}

// valid reports whether count blocks from start on may hold data.
func (fs *FS) valid(start, count uint64) bool {
	return start > uint64(fs.super.S_first_data_block) && start < fs.blocks && count <= fs.blocks-start
}
