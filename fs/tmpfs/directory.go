package tmpfs

import (
	"cmp"
	"slices"
	"strconv"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// direntSize is what a name adds to the size of a directory; Linux's tmpfs
// reports the same.
const direntSize = 20

// A dirent is a name of an inode. FS.tree guards all but inode, which never
// changes.
type dirent struct {
	inode  inode
	parent *dirent // of a directory; the root's is itself
	name   string
	seq    int64 // place in the directory's order
	linked bool
}

// Inode implements vfs.Entry.
func (e *dirent) Inode() vfs.Inode { return e.inode }

// Where implements vfs.Entry.
func (e *dirent) Where() (vfs.Entry, string, bool) {
	fs := e.inode.base().fs
	fs.tree.RLock()
	defer fs.tree.RUnlock()
	return e.parent, e.name, e.linked
}

// directory is a directory. Its names are in a map for look-up and in a list
// by ascending seq, the order in which they came, for reading. A name that
// went away leaves a gap in the list; when more than half are gaps they are
// closed.
type directory struct {
	node
	self *dirent

	// Guarded by FS.tree.
	names   map[string]*dirent
	order   []slot
	lastSeq int64
	removed bool
}

// slot is a place in the order; entry is nil in a gap.
type slot struct {
	seq   int64
	entry *dirent
}

// Stat implements vfs.Inode.
func (d *directory) Stat() (vfs.Stat, error) {
	d.fs.tree.RLock()
	names := len(d.names)
	d.fs.tree.RUnlock()
	st, err := d.node.Stat()
	st.Size = int64(2+names) * direntSize
	return st, err
}

// look tells whoever wants to know that somebody looks for a name.
func (d *directory) look(name string) {
	if d.fs.look != nil && d.self == d.fs.root {
		d.fs.look(name)
	}
}

// Lookup implements vfs.Directory.
func (d *directory) Lookup(name string) (vfs.Entry, error) {
	d.look(name)
	d.fs.tree.RLock()
	defer d.fs.tree.RUnlock()
	if len(name) > abi.NAME_MAX && !d.removed {
		return nil, syscall.ENAMETOOLONG
	}
	e := d.names[name]
	if e == nil {
		return nil, syscall.ENOENT
	}
	return e, nil
}

// ReadDir implements vfs.Directory. A cursor is a seq.
func (d *directory) ReadDir(cursor int64, emit func(name string, ino uint64, typ uint32, next int64) bool) error {
	d.accessed()
	d.look("")
	d.fs.tree.RLock()
	defer d.fs.tree.RUnlock()
	if d.removed {
		return syscall.ENOENT
	}
	for _, s := range d.order[d.place(cursor+1):] {
		if s.entry == nil {
			continue
		}
		n := s.entry.inode.base()
		if !emit(s.entry.name, n.ino, n.typ, s.seq) {
			break
		}
	}
	return nil
}

// place returns the index of the first slot whose seq is at least seq.
func (d *directory) place(seq int64) int {
	i, _ := slices.BinarySearchFunc(d.order, seq, func(s slot, seq int64) int { return cmp.Compare(s.seq, seq) })
	return i
}

// add makes e an entry called name. The caller holds FS.tree.
func (d *directory) add(e *dirent, name string) {
	d.lastSeq++
	e.parent, e.name, e.seq, e.linked = d.self, name, d.lastSeq, true
	if d.names == nil {
		d.names = make(map[string]*dirent)
	}
	d.names[name] = e
	d.order = append(d.order, slot{e.seq, e})
	if e.inode.Type() == syscall.S_IFDIR {
		d.addLinks(1)
	}
}

// remove takes e away. The caller holds FS.tree.
func (d *directory) remove(e *dirent) {
	delete(d.names, e.name)
	d.order[d.place(e.seq)].entry = nil
	e.linked = false
	if len(d.order) >= 32 && len(d.order) > 2*len(d.names) {
		d.order = slices.DeleteFunc(d.order, func(s slot) bool { return s.entry == nil })
	}
	if e.inode.Type() == syscall.S_IFDIR {
		d.addLinks(-1)
	}
}

func (d *directory) addLinks(n int) {
	d.mu.Lock()
	d.nlink += n
	d.mu.Unlock()
}

// Create implements vfs.MutableDirectory.
func (d *directory) Create(name string, n vfs.NewNode) (vfs.Entry, error) {
	d.fs.tree.Lock()
	defer d.fs.tree.Unlock()
	if err := d.checkNew(name); err != nil {
		return nil, err
	}
	e := d.newEntry(n)
	e.inode.base().nlink = 1
	if dir, ok := e.inode.(*directory); ok {
		dir.nlink = 2
		dir.self = e
	}
	d.add(e, name)
	d.changed(true)
	return e, nil
}

// checkNew says whether a name can be added. The caller holds FS.tree.
func (d *directory) checkNew(name string) error {
	switch {
	case d.removed:
		return syscall.ENOENT
	case len(name) > abi.NAME_MAX:
		return syscall.ENAMETOOLONG
	case d.names[name] != nil:
		return syscall.EEXIST
	}
	return nil
}

// newEntry makes an inode that inherits from d, and an entry without a name.
func (d *directory) newEntry(n vfs.NewNode) *dirent {
	e := &dirent{}
	switch n.Mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		e.inode = &directory{}
	case syscall.S_IFREG:
		e.inode = &file{}
	case syscall.S_IFLNK:
		e.inode = &symlink{target: n.Target}
	default:
		e.inode = &special{}
	}
	base := e.inode.base()
	d.fs.initNode(base, n.Mode)
	base.rdev = n.Rdev
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.perm&syscall.S_ISGID != 0 {
		base.gid = d.gid
		if base.typ == syscall.S_IFDIR {
			base.perm |= syscall.S_ISGID
		}
	}
	return e
}

// CreateTemp implements vfs.TempCreator. As on Linux it works in a removed
// directory too.
func (d *directory) CreateTemp(mode uint32, linkable bool) (vfs.Entry, error) {
	e := d.newEntry(vfs.NewNode{Mode: syscall.S_IFREG | mode})
	f := e.inode.(*file)
	f.opens, f.linkable = 1, linkable
	e.parent, e.name = d.self, "#"+strconv.FormatUint(f.ino, 10)
	return e, nil
}

// Link implements vfs.MutableDirectory.
func (d *directory) Link(name string, target vfs.Inode) error {
	t, ok := target.(inode)
	if !ok || t.base().fs != d.fs {
		return syscall.EXDEV
	}
	d.fs.tree.Lock()
	defer d.fs.tree.Unlock()
	if err := d.checkNew(name); err != nil {
		return err
	}
	if err := addName(t); err != nil {
		return err
	}
	d.add(&dirent{inode: t}, name)
	d.changed(true)
	return nil
}

// addName counts another name of an inode.
func addName(i inode) error {
	n := i.base()
	n.mu.Lock()
	defer n.mu.Unlock()
	f, ok := i.(*file)
	if !ok {
		return n.link(false, false)
	}
	err := n.link(f.freed, f.linkable)
	f.linkable = false
	return err
}

// Unlink implements vfs.MutableDirectory.
func (d *directory) Unlink(name string) error {
	d.fs.tree.Lock()
	defer d.fs.tree.Unlock()
	e := d.names[name]
	if e == nil {
		return syscall.ENOENT
	}
	if e.inode.Type() == syscall.S_IFDIR {
		return syscall.EISDIR
	}
	d.remove(e)
	d.changed(true)
	dropName(e.inode)
	return nil
}

// dropName counts a name less of an inode that has been removed from its
// directory, and frees a file that nobody can reach any more.
func dropName(i inode) {
	if dir, ok := i.(*directory); ok {
		dir.removed = true
		dir.addLinks(-dir.nlink)
		dir.changed(false)
		return
	}
	n := i.base()
	n.mu.Lock()
	n.nlink--
	n.ctime = vfs.Now()
	f, ok := i.(*file)
	free := ok && f.unreachable()
	n.mu.Unlock()
	if free {
		f.free()
	}
}

// Rmdir implements vfs.MutableDirectory.
func (d *directory) Rmdir(name string) error {
	d.fs.tree.Lock()
	defer d.fs.tree.Unlock()
	e := d.names[name]
	if e == nil {
		return syscall.ENOENT
	}
	dir, ok := e.inode.(*directory)
	if !ok {
		return syscall.ENOTDIR
	}
	if len(dir.names) != 0 {
		return syscall.ENOTEMPTY
	}
	d.remove(e)
	d.changed(true)
	dropName(dir)
	return nil
}

// Rename implements vfs.MutableDirectory.
func (d *directory) Rename(name string, newDir vfs.MutableDirectory, newName string, flags int) error {
	to, ok := newDir.(*directory)
	if !ok || to.fs != d.fs {
		return syscall.EXDEV
	}
	d.fs.tree.Lock()
	defer d.fs.tree.Unlock()
	source, target := d.names[name], to.names[newName]
	if err := d.checkRename(source, to, target, flags); err != nil {
		return err
	}
	if len(newName) > abi.NAME_MAX {
		return syscall.ENAMETOOLONG
	}
	if target != nil && target.inode == source.inode {
		return nil
	}
	switch {
	case flags&abi.RENAME_EXCHANGE != 0:
		exchange(d, source, to, target)
		target.inode.base().changed(false)
	default:
		if target != nil {
			to.remove(target)
			dropName(target.inode)
		}
		d.remove(source)
		to.add(source, newName)
	}
	source.inode.base().changed(false)
	d.changed(true)
	if to != d {
		to.changed(true)
	}
	return nil
}

func (d *directory) checkRename(source *dirent, to *directory, target *dirent, flags int) error {
	exchange := flags&abi.RENAME_EXCHANGE != 0
	switch {
	case source == nil, exchange && target == nil, to.removed:
		return syscall.ENOENT
	case target != nil && flags&abi.RENAME_NOREPLACE != 0:
		return syscall.EEXIST
	case source.contains(to.self):
		return syscall.EINVAL
	case target == nil:
		return nil
	case target.contains(d.self):
		if exchange {
			return syscall.EINVAL
		}
		return syscall.ENOTEMPTY
	case exchange || target.inode == source.inode:
		return nil
	}
	dir, ok := target.inode.(*directory)
	switch isDir := source.inode.Type() == syscall.S_IFDIR; {
	case isDir && !ok:
		return syscall.ENOTDIR
	case !isDir && ok:
		return syscall.EISDIR
	case ok && len(dir.names) != 0:
		return syscall.ENOTEMPTY
	}
	return nil
}

// contains reports whether below is e or lies beneath it.
func (e *dirent) contains(below *dirent) bool {
	for below != e {
		if below == below.parent {
			return false
		}
		below = below.parent
	}
	return true
}

// exchange lets two entries change places.
func exchange(a *directory, x *dirent, b *directory, y *dirent) {
	i, j := a.place(x.seq), b.place(y.seq)
	a.order[i].entry, b.order[j].entry = y, x
	a.names[x.name], b.names[y.name] = y, x
	x.parent, y.parent = y.parent, x.parent
	x.name, y.name = y.name, x.name
	x.seq, y.seq = y.seq, x.seq
	xDir, yDir := x.inode.Type() == syscall.S_IFDIR, y.inode.Type() == syscall.S_IFDIR
	if xDir && !yDir {
		a.addLinks(-1)
		b.addLinks(1)
	}
	if yDir && !xDir {
		a.addLinks(1)
		b.addLinks(-1)
	}
}
