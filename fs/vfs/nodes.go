package vfs

import (
	"syscall"

	"github.com/goshawk-os/goshawk/fs/abi"
)

// Mkdir makes a directory, as mkdirat(2).
func (ns *Namespace) Mkdir(dir *File, path string, mode uint32) error {
	mode = syscall.S_IFDIR | mode&0o1777&^ns.umask.Load()
	return ns.make(dir, path, NewNode{Mode: mode})
}

// Mknod makes a regular file, fifo, socket or device node, as mknodat(2).
func (ns *Namespace) Mknod(dir *File, path string, mode uint32, dev uint64) error {
	typ := mode & syscall.S_IFMT
	switch typ {
	case 0:
		typ = syscall.S_IFREG
	case syscall.S_IFREG, syscall.S_IFIFO, syscall.S_IFSOCK, syscall.S_IFCHR, syscall.S_IFBLK:
	case syscall.S_IFDIR:
		return syscall.EPERM
	default:
		return syscall.EINVAL
	}
	n := NewNode{Mode: typ | mode&0o7777&^ns.umask.Load()}
	if typ == syscall.S_IFCHR || typ == syscall.S_IFBLK {
		n.Rdev = dev
	}
	return ns.make(dir, path, n)
}

// Symlink makes a symbolic link, as symlinkat(2).
func (ns *Namespace) Symlink(target string, dir *File, path string) error {
	if target == "" {
		return syscall.ENOENT
	}
	if len(target) >= abi.PATH_MAX {
		return syscall.ENAMETOOLONG
	}
	return ns.make(dir, path, NewNode{Mode: syscall.S_IFLNK | 0o777, Target: target})
}

func (ns *Namespace) make(dir *File, path string, n NewNode) error {
	at, name, err := ns.place(dir, path, n.Mode&syscall.S_IFMT == syscall.S_IFDIR)
	if err != nil {
		return err
	}
	d, ok := at.inode().(MutableDirectory)
	if !ok {
		return syscall.EPERM
	}
	entry, err := d.Create(name, n)
	if err != nil {
		return err
	}
	named(d, name, entry.Inode(), syscall.IN_CREATE)
	return nil
}

// place finds the directory and the name for something new.
func (ns *Namespace) place(dir *File, path string, forDir bool) (location, string, error) {
	w := ns.walker(dir)
	last, err := w.parent(path)
	if err != nil {
		return location{}, "", err
	}
	if !last.isName() {
		return location{}, "", syscall.EEXIST
	}
	switch _, exists, err := w.lookupNew(last.name); {
	case err != nil:
		return location{}, "", err
	case exists:
		return location{}, "", syscall.EEXIST
	}
	if last.slash && !forDir {
		return location{}, "", syscall.ENOENT
	}
	return w.at, last.name, w.at.writable()
}

// Unlink removes a name, as unlinkat(2); with AT_REMOVEDIR an empty directory.
func (ns *Namespace) Unlink(dir *File, path string, flags int) error {
	if flags&^abi.AT_REMOVEDIR != 0 {
		return syscall.EINVAL
	}
	rmdir := flags&abi.AT_REMOVEDIR != 0
	w := ns.walker(dir)
	last, err := w.parent(path)
	if err != nil {
		return err
	}
	switch {
	case last.isName():
	case !rmdir:
		return syscall.EISDIR
	case last.name == "":
		return syscall.EBUSY
	case last.name == ".":
		return syscall.EINVAL
	default:
		return syscall.ENOTEMPTY
	}
	if err := w.at.writable(); err != nil {
		return err
	}
	victim, err := w.lookup(last.name)
	if err != nil {
		return err
	}
	if last.slash && !rmdir {
		if victim.isDir() {
			return syscall.EISDIR
		}
		return syscall.ENOTDIR
	}
	d, ok := w.at.inode().(MutableDirectory)
	if !ok {
		return syscall.EPERM
	}
	if rmdir && victim.mount != w.at.mount {
		return syscall.EBUSY
	}
	if rmdir {
		err = d.Rmdir(last.name)
	} else {
		err = d.Unlink(last.name)
	}
	if err != nil {
		return err
	}
	inode := victim.inode()
	if !rmdir {
		linksChanged(inode)
	}
	removed(inode)
	named(d, last.name, inode, syscall.IN_DELETE)
	return nil
}

// Rename moves a name, as renameat2(2) with flags 0, RENAME_NOREPLACE or
// RENAME_EXCHANGE.
func (ns *Namespace) Rename(oldDir *File, oldPath string, newDir *File, newPath string, flags int) error {
	if flags != 0 && flags != abi.RENAME_NOREPLACE && flags != abi.RENAME_EXCHANGE {
		return syscall.EINVAL
	}
	from, to := ns.walker(oldDir), ns.walker(newDir)
	oldLast, err := from.parent(oldPath)
	if err != nil {
		return err
	}
	newLast, err := to.parent(newPath)
	if err != nil {
		return err
	}
	switch {
	case from.at.mount != to.at.mount:
		return syscall.EXDEV
	case !oldLast.isName():
		return syscall.EBUSY
	case !newLast.isName():
		if flags&abi.RENAME_NOREPLACE != 0 {
			return syscall.EEXIST
		}
		return syscall.EBUSY
	}
	if err := from.at.writable(); err != nil {
		return err
	}
	source, err := from.lookup(oldLast.name)
	if err != nil {
		return err
	}
	target, exists, err := to.lookupNew(newLast.name)
	switch {
	case err != nil:
		return err
	case exists && flags&abi.RENAME_NOREPLACE != 0:
		return syscall.EEXIST
	case !exists && flags&abi.RENAME_EXCHANGE != 0:
		return syscall.ENOENT
	case flags&abi.RENAME_EXCHANGE != 0 && newLast.slash && !target.isDir(),
		!source.isDir() && oldLast.slash,
		!source.isDir() && newLast.slash && flags&abi.RENAME_EXCHANGE == 0:
		return syscall.ENOTDIR
	case source.mount != from.at.mount, exists && target.mount != to.at.mount:
		return syscall.EBUSY
	}
	d, ok := from.at.inode().(MutableDirectory)
	e, ok2 := to.at.inode().(MutableDirectory)
	if !ok || !ok2 {
		return syscall.EPERM
	}
	if err := d.Rename(oldLast.name, e, newLast.name, flags); err != nil {
		return err
	}
	switch {
	case !exists:
		moved(d, oldLast.name, e, newLast.name, source.inode(), nil)
	case source.inode() == target.inode():
		// Two names of one file: nothing has happened.
	case flags&abi.RENAME_EXCHANGE != 0:
		moved(d, oldLast.name, e, newLast.name, source.inode(), nil)
		moved(e, newLast.name, d, oldLast.name, target.inode(), nil)
	default:
		moved(d, oldLast.name, e, newLast.name, source.inode(), target.inode())
		removed(target.inode())
	}
	return nil
}

// Link makes another name for a file, as linkat(2).
func (ns *Namespace) Link(oldDir *File, oldPath string, newDir *File, newPath string, flags int) error {
	if flags&^(abi.AT_SYMLINK_FOLLOW|abi.AT_EMPTY_PATH) != 0 {
		return syscall.EINVAL
	}
	source, err := ns.resolveAt(oldDir, oldPath, flags, flags&abi.AT_SYMLINK_FOLLOW != 0)
	if err != nil {
		return err
	}
	at, name, err := ns.place(newDir, newPath, false)
	if err != nil {
		return err
	}
	if source.mount != at.mount {
		return syscall.EXDEV
	}
	d, ok := at.inode().(MutableDirectory)
	if !ok || source.isDir() {
		return syscall.EPERM
	}
	if err := d.Link(name, source.inode()); err != nil {
		return err
	}
	linksChanged(source.inode())
	named(d, name, source.inode(), syscall.IN_CREATE)
	return nil
}

// Readlink returns the target of a symbolic link, as readlinkat(2): with an
// empty path that of dir, a link opened with O_PATH and O_NOFOLLOW.
func (ns *Namespace) Readlink(dir *File, path string) (string, error) {
	empty := path == "" && dir != nil
	flags := 0
	if empty {
		flags = abi.AT_EMPTY_PATH
	}
	l, err := ns.resolveAt(dir, path, flags, false)
	if err != nil {
		return "", err
	}
	link, ok := l.inode().(Symlink)
	if !ok || l.inode().Type() != syscall.S_IFLNK {
		if empty {
			return "", syscall.ENOENT
		}
		return "", syscall.EINVAL
	}
	return link.Readlink()
}
