package p9

import (
	"math"
	"strings"
	"sync"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// directory is a directory.
type directory struct {
	node
	order uint64 // in which directories were first seen

	// changing keeps names from changing between the server's answer and its
	// entry: look-ups share it.
	changing sync.RWMutex

	// Guarded by FS.mu.
	self     *entry // set before anyone sees the directory
	children map[string]*entry
}

const (
	// entriesSize is how much of a directory is asked for at once, in bytes. An
	// entry takes as much as in the 8 KiB that package os reads at once.
	entriesSize = 8192
	// lastCursor stands for the server's largest offsets, which file systems
	// give the end of a directory: package vfs adds to it.
	lastCursor = math.MaxInt64 - 8
)

var entryBuffers = sync.Pool{New: func() any { return new([entriesSize]byte) }}

// Lookup implements vfs.Directory.
func (d *directory) Lookup(name string) (vfs.Entry, error) {
	d.changing.RLock()
	defer d.changing.RUnlock()
	e, err := d.lookup(name)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// lookup is Lookup for those who hold d.changing.
func (d *directory) lookup(name string) (*entry, error) {
	if len(name) > abi.NAME_MAX {
		return nil, syscall.ENAMETOOLONG
	}
	path := d.use()
	f, q, err := d.fs.client.walk(path, name)
	path.drop()
	if err == syscall.ENOENT {
		d.fs.gone(d, name)
	}
	if err != nil {
		return nil, err
	}
	return d.fs.enter(d, name, q, f)
}

// ReadDir implements vfs.Directory. Cursors are the server's offsets.
func (d *directory) ReadDir(cursor int64, emit func(name string, ino uint64, typ uint32, next int64) bool) error {
	d.fs.mu.Lock()
	removed := d.orphan != nil
	d.fs.mu.Unlock()
	if removed {
		return syscall.ENOENT
	}
	if cursor >= lastCursor {
		return nil
	}
	f, err := d.opened()
	if err != nil {
		return err
	}
	defer f.drop()
	p := entryBuffers.Get().(*[entriesSize]byte)
	defer entryBuffers.Put(p)
	c := d.fs.client
	off := uint64(cursor)
	for idle := 0; ; idle++ {
		n, err := c.readdir(f, p[:min(entriesSize, c.payload)], off)
		if n == 0 || err != nil {
			return err
		}
		r := reply{p: p[:n]}
		for len(r.p) > 0 {
			q := r.getQid()
			next, typ, name := r.get64(), r.get8(), r.getText()
			if r.short || name == "" || len(name) > abi.NAME_MAX || strings.ContainsAny(name, "/\x00") || idle > 2 {
				c.fail("a directory has an entry that cannot be")
				return syscall.EIO
			}
			if next > math.MaxInt64 {
				return syscall.EOVERFLOW
			}
			off = next
			if name == "." || name == ".." {
				continue
			}
			idle = 0
			if !emit(name, q.path, uint32(typ)<<12&syscall.S_IFMT, min(int64(next), lastCursor)) {
				return nil
			}
		}
	}
}

// opened returns the directory's open fid, for the caller to drop.
func (d *directory) opened() (*fid, error) {
	if f := d.fids.use(&d.fids.read); f != nil {
		return f, nil
	}
	f, err := d.open(P9_DOTL_RDONLY | P9_DOTL_DIRECTORY)
	if err != nil {
		return nil, err
	}
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	d.fids.mu.Lock()
	defer d.fids.mu.Unlock()
	if d.opens > 0 && d.fids.read == nil {
		d.fids.read = f
		f.refs.Add(1)
	}
	return f, nil
}

// Sync implements vfs.Syncer.
func (d *directory) Sync() error {
	f, err := d.opened()
	if err != nil {
		return err
	}
	defer f.drop()
	return d.fs.client.fsync(f)
}

// Create implements vfs.MutableDirectory.
func (d *directory) Create(name string, n vfs.NewNode) (vfs.Entry, error) {
	if len(name) > abi.NAME_MAX {
		return nil, syscall.ENAMETOOLONG
	}
	d.changing.Lock()
	defer d.changing.Unlock()
	path := d.use()
	defer path.drop()
	// The server's user owns what is made here: nothing says who else.
	const gid = NONUNAME
	c := d.fs.client
	mode := n.Mode & 0o7777
	var made *fid
	var q qid
	var err error
	switch typ := n.Mode & syscall.S_IFMT; typ {
	case syscall.S_IFREG:
		if made, err = c.clone(path); err == nil {
			q, err = c.create(made, name, P9_DOTL_RDWR|P9_DOTL_CREATE|P9_DOTL_EXCL, mode, gid)
		}
	case syscall.S_IFDIR:
		var parent vfs.Stat
		if parent, err = c.getattr(path); err == nil {
			err = c.mkdir(path, name, mode|parent.Mode&syscall.S_ISGID, gid)
		}
	case syscall.S_IFLNK:
		err = c.symlink(path, name, n.Target, gid)
	default:
		err = c.mknod(path, name, typ|mode, major(n.Rdev), minor(n.Rdev), gid)
	}
	var e *entry
	if err == nil {
		e, err = d.lookup(name)
	}
	if err != nil {
		made.drop()
		return nil, err
	}
	if f, ok := e.inode.(*file); ok && made != nil && f.key == q.key() {
		f.fids.mu.Lock()
		f.fids.made, made = made, f.fids.made
		f.fids.mu.Unlock()
	}
	made.drop()
	return e, nil
}

// major and minor are the parts of a device number (see vfs.Dev).
func major(dev uint64) uint32 { return uint32(dev>>8&0xfff | dev>>32&^0xfff) }
func minor(dev uint64) uint32 { return uint32(dev&0xff | dev>>12&^0xff) }
