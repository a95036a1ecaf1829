package ext4

import (
	"syscall"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/ext4/disk"
	"github.com/goshawk-os/goshawk/fs/ext4/jbd2"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// Rename implements vfs.MutableDirectory.
func (d *directory) Rename(name string, newDir vfs.MutableDirectory, newName string, flags int) error {
	to, ok := newDir.(*directory)
	if !ok || to.fs != d.fs {
		return syscall.EXDEV
	}
	return d.fs.retry(func() error { return d.rename(name, to, newName, flags) })
}

func (d *directory) rename(name string, to *directory, newName string, flags int) error {
	target, err := d.renameLocked(name, to, newName, flags)
	if target != nil {
		d.fs.ended(target.inode.base())
	}
	return err
}

// renameLocked is rename, and returns an entry whose name went to another file.
func (d *directory) renameLocked(name string, to *directory, newName string, flags int) (victim *entry, err error) {
	unlock := d.fs.lockTwo(d, to)
	defer unlock()
	source, err := d.look(name)
	if err != nil {
		return nil, err
	}
	if to.removed {
		return nil, syscall.ENOENT
	}
	target, err := to.look(newName)
	if err != nil && err != syscall.ENOENT {
		return nil, err
	}
	if err := checkRename(d, source, to, target, flags); err != nil {
		return nil, err
	}
	if target != nil && target.inode == source.inode {
		return nil, nil
	}
	exchange := flags&abi.RENAME_EXCHANGE != 0
	if target != nil && !exchange {
		if over, ok := target.inode.(*directory); ok {
			over.change.Lock()
			defer over.change.Unlock()
			if err := over.mustBeEmpty(); err != nil {
				return nil, err
			}
			defer func() { over.removed = err == nil }()
		}
	}
	err = d.fs.change(2*nameCredits, func(h *jbd2.Handle) error {
		if exchange {
			return d.exchangeOnDisk(h, source, to, target)
		}
		return d.renameOnDisk(h, source, to, target, newName)
	})
	if err != nil {
		return nil, err
	}
	fs := d.fs
	fs.mu.Lock()
	fs.forget(source)
	if exchange {
		fs.forget(target)
		source.parent, target.parent = target.parent, source.parent
		source.name, target.name = target.name, source.name
		fs.remember(target)
	} else {
		if target != nil {
			fs.forget(target)
			target.linked = false
		}
		source.parent, source.name = to.self, newName
	}
	fs.remember(source)
	fs.mu.Unlock()
	if exchange {
		target = nil
	}
	return target, nil
}

// lockTwo locks two directories, which may be the same. Another rename between two directories
// waits, so parents do not change; whoever locks one directory within another begins above.
func (fs *FS) lockTwo(a, b *directory) (unlock func()) {
	if a == b {
		a.change.Lock()
		return a.change.Unlock
	}
	fs.renameMu.Lock()
	first, second := a, b
	fs.mu.Lock()
	if b.self.contains(a.self) || !a.self.contains(b.self) && b.ino < a.ino {
		first, second = b, a
	}
	fs.mu.Unlock()
	first.change.Lock()
	second.change.Lock()
	return func() {
		second.change.Unlock()
		first.change.Unlock()
		fs.renameMu.Unlock()
	}
}

// contains reports whether below is e or lies beneath it. The caller holds FS.mu.
func (e *entry) contains(below *entry) bool {
	for below != e {
		if below == below.parent {
			return false
		}
		below = below.parent
	}
	return true
}

func checkRename(d *directory, source *entry, to *directory, target *entry, flags int) error {
	exchange := flags&abi.RENAME_EXCHANGE != 0
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	switch {
	case exchange && target == nil:
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
	from, over := source.inode.Type() == syscall.S_IFDIR, target.inode.Type() == syscall.S_IFDIR
	switch {
	case from && !over:
		return syscall.ENOTDIR
	case !from && over:
		return syscall.EISDIR
	}
	return nil
}

// renameOnDisk gives source its new name, which target may have had.
func (d *directory) renameOnDisk(h *jbd2.Handle, source *entry, to *directory, target *entry, newName string) error {
	n := source.inode.base()
	var err error
	if target != nil {
		err = to.replace(h, newName, n.ino, fileType(n.typ))
	} else {
		err = to.insert(h, newName, n.ino, fileType(n.typ))
	}
	if err != nil {
		return err
	}
	if err := d.remove(h, source.name); err != nil {
		return graver(err)
	}
	subdirs := dirs(n)
	if target != nil {
		t := target.inode.base()
		if err := d.fs.unlink(h, t, t.typ == syscall.S_IFDIR); err != nil {
			return graver(err)
		}
		subdirs -= dirs(t)
	}
	return moved(h, d, to, n, -dirs(n), subdirs)
}

// exchangeOnDisk lets two names change their inodes.
func (d *directory) exchangeOnDisk(h *jbd2.Handle, source *entry, to *directory, target *entry) error {
	a, b := source.inode.base(), target.inode.base()
	if err := d.replace(h, source.name, b.ino, fileType(b.typ)); err != nil {
		return err
	}
	if err := to.replace(h, target.name, a.ino, fileType(a.typ)); err != nil {
		return graver(err)
	}
	if err := moved(h, d, to, a, dirs(b)-dirs(a), dirs(a)-dirs(b)); err != nil {
		return graver(err)
	}
	return graver(moved(h, to, d, b, 0, 0))
}

// moved completes the move of an inode from one directory to another, whose numbers of
// subdirectories change.
func moved(h *jbd2.Handle, from, to *directory, n *node, fromDirs, toDirs int) error {
	now := vfs.Now()
	if err := n.update(h, func(*disk.Inode) { n.setCtime(now) }); err != nil {
		return graver(err)
	}
	if sub, ok := n.self.(*directory); ok && from != to {
		if err := sub.setParent(h, to.ino); err != nil {
			return graver(err)
		}
	}
	if from == to {
		return graver(to.changed(h, fromDirs+toDirs))
	}
	if err := from.changed(h, fromDirs); err != nil {
		return graver(err)
	}
	return graver(to.changed(h, toDirs))
}

// graver turns an error after which an operation is half done into one that aborts the journal.
func graver(err error) error {
	if err != nil {
		return syscall.EIO
	}
	return nil
}
