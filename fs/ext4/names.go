package ext4

import (
	"strconv"
	"sync"
	"syscall"
	"weak"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/ext4/crc32c"
	"github.com/goshawk-os/goshawk/fs/ext4/disk"
	"github.com/goshawk-os/goshawk/fs/ext4/jbd2"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// An entry is a name that was looked up. FS.mu guards all but inode, which never changes.
type entry struct {
	inode  inode
	parent *entry // the root's is itself
	name   string
	linked bool
}

// Inode implements vfs.Entry.
func (e *entry) Inode() vfs.Inode { return e.inode }

// Where implements vfs.Entry.
func (e *entry) Where() (vfs.Entry, string, bool) {
	fs := e.inode.base().fs
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return e.parent, e.name, e.linked
}

// directory is a directory.
type directory struct {
	node
	self *entry // its place in the tree; set before anybody else has the directory

	// change orders those who look for names and those who change them.
	change  sync.RWMutex
	removed bool
}

type nameKey struct {
	dir  uint32
	name string
}

// Names and inodes are kept in memory by whoever uses them, and by the list of recent names;
// the tables forget the others.
const (
	recentNames = 4096
	minSweep    = 1024
)

// known returns the entry of a name if it is in memory.
func (fs *FS) known(dir uint32, name string) *entry {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.names[nameKey{dir, name}].Value()
}

// enter makes the entry of a name that a directory has on the disk. The caller holds d.change.
func (fs *FS) enter(d *directory, name string, i inode) (*entry, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if e := fs.names[nameKey{d.ino, name}].Value(); e != nil {
		return e, nil
	}
	e := &entry{i, d.self, name, true}
	if sub, ok := i.(*directory); ok {
		switch {
		case sub.self == nil:
			sub.self = e
		case sub.self.parent == d.self && sub.self.name == name:
			e = sub.self
		default:
			return nil, fs.damaged("directory", uint64(sub.ino), "it has two names")
		}
	}
	fs.remember(e)
	return e, nil
}

// remember puts an entry into the table. The caller holds mu.
func (fs *FS) remember(e *entry) {
	if len(fs.names) > fs.sweepNames {
		for k, p := range fs.names {
			if p.Value() == nil {
				delete(fs.names, k)
			}
		}
		fs.sweepNames = max(2*len(fs.names), minSweep)
	}
	fs.names[nameKey{e.parent.inode.base().ino, e.name}] = weak.Make(e)
	fs.recent[fs.hand%recentNames] = e
	fs.hand++
}

// forget takes an entry out of the table: the name is gone, or has moved. The caller holds mu.
func (fs *FS) forget(e *entry) {
	delete(fs.names, nameKey{e.parent.inode.base().ino, e.name})
}

// Lookup implements vfs.Directory.
func (d *directory) Lookup(name string) (vfs.Entry, error) {
	if e := d.fs.known(d.ino, name); e != nil {
		return e, nil
	}
	d.change.RLock()
	defer d.change.RUnlock()
	e, err := d.look(name)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// look is Lookup with change.
func (d *directory) look(name string) (*entry, error) {
	switch {
	case d.removed:
		return nil, syscall.ENOENT
	case len(name) > abi.NAME_MAX:
		return nil, syscall.ENAMETOOLONG
	}
	if e := d.fs.known(d.ino, name); e != nil {
		return e, nil
	}
	ino, err := d.find(name)
	if err != nil {
		return nil, err
	}
	i, err := d.fs.inode(ino)
	if err != nil {
		return nil, err
	}
	return d.fs.enter(d, name, i)
}

// vacant says whether a name can be added. The caller holds change.
func (d *directory) vacant(name string) error {
	switch _, err := d.look(name); err {
	case nil:
		return syscall.EEXIST
	case syscall.ENOENT:
		if d.removed {
			return err
		}
		return nil
	default:
		return err
	}
}

// ReadDir implements vfs.Directory.
func (d *directory) ReadDir(cursor int64, emit func(name string, ino uint64, typ uint32, next int64) bool) error {
	d.accessed()
	d.change.RLock()
	defer d.change.RUnlock()
	if d.removed {
		return syscall.ENOENT
	}
	return d.list(cursor, emit)
}

// retry does an operation again that found no space, when there is some after a commit.
func (fs *FS) retry(f func() error) error {
	err := f()
	if err == syscall.ENOSPC && fs.reclaim() {
		err = f()
	}
	return err
}

// Create implements vfs.MutableDirectory.
func (d *directory) Create(name string, nn vfs.NewNode) (vfs.Entry, error) {
	var e *entry
	err := d.fs.retry(func() (err error) {
		e, err = d.create(name, nn)
		return err
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

func (d *directory) create(name string, nn vfs.NewNode) (*entry, error) {
	d.change.Lock()
	defer d.change.Unlock()
	if err := d.vacant(name); err != nil {
		return nil, err
	}
	var made inode
	err := d.fs.change(nameCredits, func(h *jbd2.Handle) (err error) {
		if made, err = d.newNode(h, nn, 1); err != nil {
			return err
		}
		n := made.base()
		err = n.fill(h, d, nn.Target)
		if err == nil {
			err = d.insert(h, name, n.ino, fileType(n.typ))
		}
		if err != nil {
			return joinErrors(err, d.fs.unlink(h, n, true))
		}
		return d.changed(h, dirs(n))
	})
	if err != nil {
		if made != nil {
			d.fs.dead(made.base())
		}
		return nil, err
	}
	return d.fs.enter(d, name, made)
}

// dirs returns how many directories an inode is: what its name adds to the links of its parent.
func dirs(n *node) int {
	if n.typ == syscall.S_IFDIR {
		return 1
	}
	return 0
}

// fileType returns the type of an inode as directories have it.
func fileType(typ uint32) uint8 {
	for i, t := range fileTypes {
		if t == typ {
			return uint8(i)
		}
	}
	return 0
}

// changed notes that a directory has got or lost names, and so many directories. The caller holds change.
func (d *directory) changed(h *jbd2.Handle, subdirs int) error {
	now := vfs.Now()
	return d.update(h, func(r *disk.Inode) {
		d.setMtime(now)
		d.setCtime(now)
		if links := int(r.I_links_count) + subdirs; r.I_links_count > 1 { // 1: there are too many to count
			if r.I_links_count = uint16(links); links >= disk.LINK_MAX {
				r.I_links_count = 1
			}
		}
	})
}

// newNode makes an inode that inherits from the directory.
func (d *directory) newNode(h *jbd2.Handle, nn vfs.NewNode, links uint16) (inode, error) {
	fs := d.fs
	typ := nn.Mode & syscall.S_IFMT
	ino, fresh, err := fs.newInode(h, d.ino, typ == syscall.S_IFDIR)
	if err != nil {
		return nil, err
	}
	n := &node{fs: fs, ino: ino, typ: typ, used: fs.inodeLen}
	r := &n.raw
	if fs.inodeLen > disk.GOOD_OLD_INODE_SIZE {
		r.I_extra_isize = min(max(fs.super.S_want_extra_isize, disk.EXTRA_ISIZE), uint16(fs.inodeLen-disk.GOOD_OLD_INODE_SIZE))
		n.used = disk.GOOD_OLD_INODE_SIZE + int(r.I_extra_isize)
	}
	now := vfs.Now()
	r.I_generation = uint32(fs.generation.Add(1))
	if fs.csum {
		n.seed = crc32c.Update(crc32c.Update(fs.seed, raw4(ino)), raw4(r.I_generation))
	}
	d.mu.RLock()
	parentMode, gid := d.raw.I_mode, uint32(d.raw.I_gid)|uint32(d.raw.L_i_gid_high)<<16
	d.mu.RUnlock()
	r.I_mode, r.I_links_count = uint16(nn.Mode), links
	if parentMode&syscall.S_ISGID != 0 {
		n.setOwner(0, gid)
		if typ == syscall.S_IFDIR {
			r.I_mode |= syscall.S_ISGID
		}
	}
	n.setAtime(now)
	n.setMtime(now)
	n.setCtime(now)
	n.setTime(&r.I_crtime, &r.I_crtime_extra, now)
	switch typ {
	case syscall.S_IFREG, syscall.S_IFDIR:
		n.emptyTree()
	case syscall.S_IFCHR, syscall.S_IFBLK:
		n.setRdev(nn.Rdev)
	}
	var b *jbd2.Buffer
	block, off := fs.inodePlace(ino)
	if fresh {
		b, err = h.Create(block)
	} else {
		b, err = fs.cache.Get(block)
	}
	if err != nil {
		return nil, err
	}
	defer b.Release()
	if err := n.storeIn(h, b, off); err != nil {
		return nil, err
	}
	return fs.adopt(n)
}

// emptyTree makes the inode one with an extent tree.
func (n *node) emptyTree() {
	n.raw.I_flags |= disk.EXTENTS_FL
	*disk.At[disk.ExtentHeader](n.raw.I_block[:], 0) = disk.ExtentHeader{
		Eh_magic: disk.EXT_MAGIC, Eh_max: uint16(len(n.raw.I_block)/disk.EXT_ENTRY_SIZE - 1),
	}
}

// fill gives a new inode what its type demands: a directory its first block, a
// symbolic link its target.
func (n *node) fill(h *jbd2.Handle, parent *directory, target string) error {
	switch i := n.self.(type) {
	case *directory:
		b, _, err := i.grow(h)
		if err != nil {
			return err
		}
		defer b.Release()
		i.initialise(b, parent.ino)
		return n.update(h, func(r *disk.Inode) { r.I_links_count = 2 })
	case *symlink:
		n.mu.Lock()
		defer n.mu.Unlock()
		n.size = uint64(len(target))
		if len(target) < len(n.raw.I_block) {
			copy(n.raw.I_block[:], target)
			return n.store(h)
		}
		if len(target) >= n.fs.size {
			return syscall.ENAMETOOLONG
		}
		n.emptyTree()
		b, err := n.addBlock(h, 0)
		if err != nil {
			return err
		}
		defer b.Release()
		copy(b.Data, target)
		return n.store(h)
	}
	return nil
}

// addBlock gives block at, of a structure, a place. The caller holds mu and stores the inode.
func (n *node) addBlock(h *jbd2.Handle, at uint32) (*jbd2.Buffer, error) {
	start, _, err := n.fs.take(n.goal(uint64(at)), 1, forNames)
	if err != nil {
		return nil, err
	}
	b, err := h.Create(start)
	if err == nil {
		if err = n.add(h, extent{at, 1, start, false}); err != nil {
			b.Release()
		}
	}
	if err != nil {
		n.fs.drop(start, 1)
		return nil, err
	}
	return b, nil
}

// count returns how many blocks the directory has.
func (d *directory) count() uint32 {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return uint32(min(d.size/uint64(d.fs.size), 1<<32-1))
}

// get returns block at of the directory, whose checksum is not checked.
func (d *directory) get(at uint32) (*jbd2.Buffer, error) {
	d.mu.RLock()
	r, err := d.lookup(uint64(at))
	d.mu.RUnlock()
	if err != nil {
		return nil, err
	}
	if !r.data() {
		return nil, d.fs.damaged("directory", uint64(d.ino), "it has a hole")
	}
	return d.fs.cache.Get(r.phys)
}

// grow appends a block of zeroes.
func (d *directory) grow(h *jbd2.Handle) (*jbd2.Buffer, uint32, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.raw.I_flags&disk.EXTENTS_FL == 0 {
		return nil, 0, syscall.EOPNOTSUPP
	}
	at := uint32(d.size / uint64(d.fs.size))
	b, err := d.addBlock(h, at)
	if err != nil {
		return nil, 0, err
	}
	d.size += uint64(d.fs.size)
	if err := d.store(h); err != nil {
		b.Release()
		return nil, 0, err
	}
	return b, at, nil
}

// indexed reports whether the directory has an index.
func (d *directory) indexed() bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.raw.I_flags&disk.INDEX_FL != 0
}

// setIndexed notes that it has one now.
func (d *directory) setIndexed(h *jbd2.Handle) error {
	return d.update(h, func(r *disk.Inode) { r.I_flags |= disk.INDEX_FL })
}

// CreateTemp implements vfs.TempCreator.
func (d *directory) CreateTemp(mode uint32, linkable bool) (vfs.Entry, error) {
	var made inode
	err := d.fs.change(nameCredits, func(h *jbd2.Handle) (err error) {
		if made, err = d.newNode(h, vfs.NewNode{Mode: syscall.S_IFREG | mode}, 0); err != nil {
			return err
		}
		return d.fs.addOrphan(h, made.base())
	})
	if err != nil {
		return nil, err
	}
	n := made.base()
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	n.opens, n.nameless, n.linkable = 1, true, linkable
	return &entry{inode: made, parent: d.self, name: "#" + strconv.FormatUint(uint64(n.ino), 10)}, nil
}

// Link implements vfs.MutableDirectory.
func (d *directory) Link(name string, target vfs.Inode) error {
	t, ok := target.(inode)
	if !ok || t.base().fs != d.fs {
		return syscall.EXDEV
	}
	return d.fs.retry(func() error { return d.link(name, t) })
}

func (d *directory) link(name string, t inode) error {
	d.change.Lock()
	defer d.change.Unlock()
	if err := d.vacant(name); err != nil {
		return err
	}
	// A use keeps the inode from being deleted meanwhile.
	fs, n := d.fs, t.base()
	fs.mu.Lock()
	if n.freed || n.nameless && !n.linkable {
		fs.mu.Unlock()
		return syscall.ENOENT
	}
	n.opens++
	fs.mu.Unlock()
	defer n.Release()
	err := fs.change(nameCredits, func(h *jbd2.Handle) error {
		n.mu.RLock()
		links := n.raw.I_links_count
		n.mu.RUnlock()
		if links >= disk.LINK_MAX {
			return syscall.EMLINK
		}
		if err := d.insert(h, name, n.ino, fileType(n.typ)); err != nil {
			return err
		}
		now := vfs.Now()
		if err := n.update(h, func(r *disk.Inode) { r.I_links_count++; n.setCtime(now) }); err != nil {
			return err
		}
		if err := fs.removeOrphan(h, n, 0); err != nil {
			return err
		}
		return d.changed(h, 0)
	})
	if err != nil {
		return err
	}
	fs.mu.Lock()
	n.nameless, n.linkable = false, false
	fs.mu.Unlock()
	_, err = fs.enter(d, name, t)
	return err
}

// unlink takes a name away from an inode, or all; without one it becomes an orphan.
func (fs *FS) unlink(h *jbd2.Handle, n *node, all bool) error {
	now := vfs.Now()
	none := false
	err := n.update(h, func(r *disk.Inode) {
		if all || r.I_links_count == 0 {
			r.I_links_count = 0
		} else {
			r.I_links_count--
		}
		n.setCtime(now)
		none = r.I_links_count == 0
	})
	if err != nil || !none {
		return err
	}
	return fs.addOrphan(h, n)
}

// unnamed notes in memory that an entry was removed. The caller holds change of its directory.
func (fs *FS) unnamed(e *entry) {
	fs.mu.Lock()
	fs.forget(e)
	e.linked = false
	fs.mu.Unlock()
}

// ended deletes an inode that lost a name, if it has no other and is not in use.
func (fs *FS) ended(n *node) {
	n.mu.RLock()
	links := n.raw.I_links_count
	n.mu.RUnlock()
	if links == 0 {
		fs.dead(n)
	}
}

// Unlink implements vfs.MutableDirectory.
func (d *directory) Unlink(name string) error {
	return d.take(name, func(e *entry) error {
		if e.inode.Type() == syscall.S_IFDIR {
			return syscall.EISDIR
		}
		return d.removeOnDisk(e)
	})
}

// Rmdir implements vfs.MutableDirectory.
func (d *directory) Rmdir(name string) error {
	return d.take(name, func(e *entry) error {
		sub, ok := e.inode.(*directory)
		if !ok {
			return syscall.ENOTDIR
		}
		sub.change.Lock()
		defer sub.change.Unlock()
		if err := sub.mustBeEmpty(); err != nil {
			return err
		}
		err := d.removeOnDisk(e)
		sub.removed = err == nil
		return err
	})
}

// take looks a name up and removes it with f.
func (d *directory) take(name string, f func(e *entry) error) error {
	d.change.Lock()
	e, err := d.look(name)
	if err == nil {
		if err = f(e); err == nil {
			d.fs.unnamed(e)
		}
	}
	d.change.Unlock()
	if err == nil {
		d.fs.ended(e.inode.base())
	}
	return err
}

// removeOnDisk removes a name, and a directory with all its names.
func (d *directory) removeOnDisk(e *entry) error {
	n := e.inode.base()
	return d.fs.change(nameCredits, func(h *jbd2.Handle) error {
		if err := d.remove(h, e.name); err != nil {
			return err
		}
		if err := d.fs.unlink(h, n, n.typ == syscall.S_IFDIR); err != nil {
			return err
		}
		return d.changed(h, -dirs(n))
	})
}

func (d *directory) mustBeEmpty() error {
	empty, err := d.empty()
	if err == nil && !empty {
		return syscall.ENOTEMPTY
	}
	return err
}
