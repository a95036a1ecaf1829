package p9

import (
	"syscall"

	"github.com/goshawk-os/goshawk/fs/vfs"
)

// An entry is a name of an inode. It is in its parent's children map until the
// name is known to be gone, or others were of more interest.
type entry struct {
	inode inode

	// Guarded by FS.mu.
	parent     *directory // nil: the root
	name       string
	linked     bool
	prev, next *entry // in FS.recent
}

// Inode implements vfs.Entry.
func (e *entry) Inode() vfs.Inode { return e.inode }

// Where implements vfs.Entry.
func (e *entry) Where() (vfs.Entry, string, bool) {
	fs := e.inode.base().fs
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if e.parent == nil {
		return e, "", true
	}
	return e.parent.self, e.name, e.linked
}

// list is a list of entries, the one looked up last first.
type list struct {
	first, last *entry
	length      int
}

func (l *list) push(e *entry) {
	e.prev, e.next = nil, l.first
	if l.first == nil {
		l.last = e
	} else {
		l.first.prev = e
	}
	l.first = e
	l.length++
}

func (l *list) remove(e *entry) {
	if e.prev == nil {
		l.first = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		l.last = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.prev, e.next = nil, nil
	l.length--
}

// enter returns the entry of a name that has just led to q, by the fid f,
// which becomes the inode's.
func (fs *FS) enter(d *directory, name string, q qid, f *fid) (*entry, error) {
	fs.mu.Lock()
	i := fs.inodes[q.key()]
	if i == nil {
		fs.mu.Unlock()
		fresh, err := fs.newInode(q, f)
		if err != nil {
			return nil, err
		}
		fs.mu.Lock()
		if i = fs.inodes[q.key()]; i == nil {
			i = fresh
			fs.inodes[q.key()] = i
		}
		f = fresh.base().fids.replace(nil)
	}
	e, err := fs.bind(d, name, i)
	if err == nil {
		// The older fid may stand for a path that is no longer the file's.
		f = i.base().fids.replace(f)
	}
	fs.mu.Unlock()
	f.drop()
	return e, err
}

// bind makes i the inode of a name, and returns the entry. FS.mu is held.
func (fs *FS) bind(d *directory, name string, i inode) (*entry, error) {
	e := d.children[name]
	if e != nil && e.inode == i {
		fs.recent.remove(e)
		fs.recent.push(e)
		return e, nil
	}
	if e != nil {
		fs.unlink(e)
	}
	e = &entry{inode: i}
	if dir, ok := i.(*directory); ok {
		if dir.contains(d) {
			// The host has turned the tree round while we looked, or lies.
			return nil, syscall.EIO
		}
		if dir.self == nil {
			dir.self = e
		}
		e = dir.self
	}
	fs.place(e, d, name)
	fs.trim()
	return e, nil
}

// contains reports whether below is d or lies beneath it. FS.mu is held.
func (d *directory) contains(below *directory) bool {
	for below != nil && below != d {
		below = below.self.parent
	}
	return below != nil
}

// place puts an entry, wherever it is now, where no other one is. FS.mu is held.
func (fs *FS) place(e *entry, d *directory, name string) {
	fs.forget(e)
	e.parent, e.name, e.linked = d, name, true
	if d.children == nil {
		d.children = make(map[string]*entry)
	}
	d.children[name] = e
	fs.recent.push(e)
	e.inode.base().names++
	fs.inodes[e.inode.base().key] = e.inode
}

// forget takes an entry out of its directory's map, if it is there. FS.mu is held.
func (fs *FS) forget(e *entry) {
	if e.parent == nil || e.parent.children[e.name] != e {
		return
	}
	delete(e.parent.children, e.name)
	fs.recent.remove(e)
	n := e.inode.base()
	n.names--
	fs.forgetInode(n)
}

// forgetInode takes an inode out of the table if nothing needs it there. FS.mu
// is held.
func (fs *FS) forgetInode(n *node) {
	if i := fs.inodes[n.key]; n.names == 0 && n.opens == 0 && n != fs.root.base() && i != nil && i.base() == n {
		delete(fs.inodes, n.key)
	}
}

// unlink is forget for a name that is gone. FS.mu is held.
func (fs *FS) unlink(e *entry) {
	fs.forget(e)
	e.linked = false
}

// trim forgets names that were not looked up lately and that nobody is known
// to need. FS.mu is held.
func (fs *FS) trim() {
	for looked := 0; fs.recent.length > maxNames && looked < 8; looked++ {
		e := fs.recent.last
		d, isDir := e.inode.(*directory)
		if e.inode.base().opens > 0 || isDir && len(d.children) > 0 {
			fs.recent.remove(e)
			fs.recent.push(e)
			continue
		}
		fs.forget(e)
	}
}

// gone says that there is no file by a name any more.
func (fs *FS) gone(d *directory, name string) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if e := d.children[name]; e != nil {
		fs.unlink(e)
	}
}

// known returns the inode that a name has led to, or nil.
func (fs *FS) known(d *directory, name string) inode {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if e := d.children[name]; e != nil {
		return e.inode
	}
	return nil
}
