package p9

import (
	"syscall"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// Link implements vfs.MutableDirectory.
func (d *directory) Link(name string, target vfs.Inode) error {
	t, ok := target.(inode)
	if !ok || t.base().fs != d.fs {
		return syscall.EXDEV
	}
	if len(name) > abi.NAME_MAX {
		return syscall.ENAMETOOLONG
	}
	d.changing.Lock()
	defer d.changing.Unlock()
	path, f := d.use(), t.base().use()
	defer path.drop()
	defer f.drop()
	return d.fs.client.link(path, f, name)
}

// Unlink implements vfs.MutableDirectory.
func (d *directory) Unlink(name string) error { return d.remove(name, 0) }

// Rmdir implements vfs.MutableDirectory.
func (d *directory) Rmdir(name string) error { return d.remove(name, P9_DOTL_AT_REMOVEDIR) }

func (d *directory) remove(name string, flags uint32) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	victim := d.fs.known(d, name)
	last := d.fs.lastSight(victim)
	path := d.use()
	defer path.drop()
	err := d.fs.client.unlink(path, name, flags)
	if err == nil || err == syscall.ENOENT {
		d.fs.gone(d, name)
	}
	if err == nil {
		d.fs.orphaned(victim, last)
	}
	return err
}

// lastSight returns the attributes of an inode, which may be nil, if somebody
// has it open and the server may not find it any more when its name is gone.
func (fs *FS) lastSight(i inode) *vfs.Stat {
	if i == nil {
		return nil
	}
	fs.mu.Lock()
	opens := i.base().opens
	fs.mu.Unlock()
	if opens == 0 {
		return nil
	}
	st, err := i.Stat()
	if err != nil {
		return nil
	}
	return &st
}

// orphaned says that an inode lost a name; last are its attributes before.
func (fs *FS) orphaned(i inode, last *vfs.Stat) {
	if last == nil {
		return
	}
	last.Nlink--
	if i.Type() == syscall.S_IFDIR {
		last.Nlink = 0
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	i.base().orphan = last
}

// Rename implements vfs.MutableDirectory. The protocol has no flags: EINVAL, as
// on Linux.
func (d *directory) Rename(name string, newDir vfs.MutableDirectory, newName string, flags int) error {
	to, ok := newDir.(*directory)
	if !ok || to.fs != d.fs {
		return syscall.EXDEV
	}
	if flags != 0 {
		return syscall.EINVAL
	}
	if len(newName) > abi.NAME_MAX {
		return syscall.ENAMETOOLONG
	}
	first, second := d, to
	if to.order < d.order {
		first, second = to, d
	}
	first.changing.Lock()
	defer first.changing.Unlock()
	if second != first {
		second.changing.Lock()
		defer second.changing.Unlock()
	}
	source, target := d.fs.known(d, name), d.fs.known(to, newName)
	same := source != nil && source == target
	var last *vfs.Stat
	if !same {
		last = d.fs.lastSight(target)
	}
	from, into := d.use(), to.use()
	defer from.drop()
	defer into.drop()
	if err := d.fs.client.rename(from, name, into, newName); err != nil || same {
		return err
	}
	d.fs.moved(d, name, to, newName)
	d.fs.orphaned(target, last)
	return nil
}

// moved says that a name has become another one.
func (fs *FS) moved(d *directory, name string, to *directory, newName string) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if e := to.children[newName]; e != nil {
		fs.unlink(e)
	}
	e := d.children[name]
	if e == nil {
		return
	}
	if dir, ok := e.inode.(*directory); ok && dir.contains(to) {
		fs.unlink(e) // only if the host has moved directories meanwhile
		return
	}
	fs.place(e, to, newName)
}
