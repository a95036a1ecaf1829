package vfs

import (
	"syscall"

	"github.com/goshawk-os/goshawk/fs/abi"
)

// tmpfileBit is __O_TMPFILE, O_TMPFILE without O_DIRECTORY.
const tmpfileBit = abi.O_TMPFILE &^ syscall.O_DIRECTORY

// Open opens or creates a file, as openat(2). The File has one reference.
func (ns *Namespace) Open(dir *File, path string, flags int, mode uint32) (*File, error) {
	switch {
	case flags&abi.O_PATH != 0:
		flags &= abi.O_PATH | syscall.O_DIRECTORY | syscall.O_NOFOLLOW
	case flags&tmpfileBit != 0:
		if flags&(abi.O_TMPFILE|syscall.O_CREAT) != abi.O_TMPFILE || flags&syscall.O_ACCMODE == syscall.O_RDONLY {
			return nil, syscall.EINVAL
		}
	case flags&(syscall.O_CREAT|syscall.O_DIRECTORY) == syscall.O_CREAT|syscall.O_DIRECTORY:
		return nil, syscall.EINVAL
	}
	for {
		f, err := ns.open(dir, path, flags, mode&0o7777)
		if err != errFreed {
			return f, err
		}
		// The file was removed between look-up and opening: look again.
	}
}

// errFreed says that an inode was freed before it could be acquired.
const errFreed = syscall.ESTALE

func (ns *Namespace) open(dir *File, path string, flags int, mode uint32) (*File, error) {
	w := ns.walker(dir)
	last, err := w.parent(path)
	if err != nil {
		return nil, err
	}
	create := flags&syscall.O_CREAT != 0
	for {
		if create && last.slash && last.isName() {
			return nil, syscall.EISDIR
		}
		l, err := w.lookup(last.name)
		if err == syscall.ENOENT && create && last.isName() {
			f, err := ns.create(w.at, last.name, flags, mode)
			if err == syscall.EEXIST && flags&syscall.O_EXCL == 0 {
				continue
			}
			return f, err
		}
		if err != nil {
			return nil, err
		}
		if create && flags&syscall.O_EXCL != 0 {
			return nil, syscall.EEXIST
		}
		typ := l.inode().Type()
		if typ == syscall.S_IFLNK && (last.slash || flags&syscall.O_NOFOLLOW == 0) {
			next, jumped, err := w.follow(l)
			if err != nil {
				return nil, err
			}
			if !jumped {
				next.slash = next.slash || last.slash
				last = next
				continue
			}
			l = w.at
			typ = l.inode().Type()
		}
		switch {
		case create && typ == syscall.S_IFDIR:
			return nil, syscall.EISDIR
		case (last.slash || flags&syscall.O_DIRECTORY != 0) && typ != syscall.S_IFDIR:
			return nil, syscall.ENOTDIR
		case flags&tmpfileBit != 0:
			return openTemp(l, flags, mode&^ns.umask.Load())
		}
		return ns.openLocation(l, flags, false)
	}
}

func (ns *Namespace) create(at location, name string, flags int, mode uint32) (*File, error) {
	if err := at.writable(); err != nil {
		return nil, err
	}
	dir, ok := at.inode().(MutableDirectory)
	if !ok {
		return nil, syscall.EACCES
	}
	entry, err := dir.Create(name, NewNode{Mode: syscall.S_IFREG | mode&^ns.umask.Load()})
	if err != nil {
		return nil, err
	}
	named(dir, name, entry.Inode(), syscall.IN_CREATE)
	return ns.openLocation(location{at.mount, entry}, flags, true)
}

func openTemp(at location, flags int, mode uint32) (*File, error) {
	if err := at.writable(); err != nil {
		return nil, err
	}
	dir, ok := at.inode().(TempCreator)
	if !ok {
		return nil, syscall.EOPNOTSUPP
	}
	entry, err := dir.CreateTemp(mode, flags&syscall.O_EXCL == 0)
	if err != nil {
		return nil, err
	}
	f := newFile(location{at.mount, entry}, flags)
	f.content, _ = entry.Inode().(Content)
	happened(f.loc, syscall.IN_OPEN)
	return f, nil
}

// openLocation opens what was found at l. created says that it was just made,
// for then neither a read-only mount nor O_TRUNC matter.
func (ns *Namespace) openLocation(l location, flags int, created bool) (*File, error) {
	inode := l.inode()
	typ := inode.Type()
	f := newFile(l, flags)
	if flags&abi.O_PATH == 0 {
		writes := flags&syscall.O_ACCMODE != syscall.O_RDONLY || flags&syscall.O_TRUNC != 0
		switch typ {
		case syscall.S_IFLNK:
			return nil, syscall.ELOOP
		case syscall.S_IFDIR:
			if writes {
				return nil, syscall.EISDIR
			}
		case syscall.S_IFREG:
			if writes && l.mount.readOnly {
				return nil, syscall.EROFS
			}
		}
	}
	if a, ok := inode.(Acquirer); ok {
		if !a.Acquire() {
			return nil, errFreed
		}
	}
	if flags&abi.O_PATH != 0 {
		return f, nil
	}
	if err := ns.attach(f, inode, typ, flags); err != nil {
		if a, ok := inode.(Acquirer); ok {
			a.Release()
		}
		return nil, err
	}
	happened(l, syscall.IN_OPEN)
	if flags&syscall.O_TRUNC != 0 && f.content != nil && !created && typ == syscall.S_IFREG {
		if err := f.truncate(0); err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

// attach gives f the content or the handle of its inode.
func (ns *Namespace) attach(f *File, inode Inode, typ uint32, flags int) (err error) {
	if o, ok := inode.(HandleOpener); ok {
		f.handle, err = o.OpenHandle(flags)
		return err
	}
	switch typ {
	case syscall.S_IFREG:
		if o, ok := inode.(ContentOpener); ok {
			f.content, err = o.OpenContent(flags)
			return err
		}
		f.content, _ = inode.(Content)
		if f.content == nil {
			return syscall.EIO
		}
	case syscall.S_IFIFO:
		if ns.OpenFifo == nil {
			return syscall.ENXIO
		}
		f.handle, err = ns.OpenFifo(inode, flags)
	case syscall.S_IFCHR, syscall.S_IFBLK:
		st, err := inode.Stat()
		if err != nil {
			return err
		}
		if ns.OpenDevice == nil {
			return syscall.ENXIO
		}
		f.handle, f.content, err = ns.OpenDevice(typ, st.Rdev, flags)
		return err
	case syscall.S_IFSOCK:
		return syscall.ENXIO
	}
	return err
}
