// Package tarfs makes a file system of a tar archive that lies in memory. The
// contents of files are served from the archive's bytes, not copied; a file
// that is written to is copied then, piece by piece. Whether writing is
// allowed is up to the mount.
//
// Understood are the formats ustar and pax (POSIX.1-2017, pax, sections "ustar
// Interchange Format" and "pax Interchange Format") and GNU tar's long names
// and binary numbers (GNU tar manual, "Basic Tar Format"), but no sparse
// files. The archive may be hostile: it can lead to an error, or to a tree
// that it describes, and to nothing else.
package tarfs

import (
	"errors"
	"strconv"
	"strings"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/tmpfs"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// New returns a file system with what is in the archive, which must never
// change afterwards. Directories that the archive does not mention are made
// with permissions 0755; of files that it mentions twice the later one counts.
func New(archive []byte, o tmpfs.Options) (*tmpfs.FS, error) {
	if o.Type == "" {
		o.Type = "tarfs"
	}
	fs := tmpfs.New(o)
	p := parser{rest: archive}
	t := tree{root: fs.Root()}
	for {
		e, err := p.next()
		if err == nil && e == nil {
			err = t.finish()
		}
		if err == nil && e != nil {
			err = t.add(e)
		}
		if err != nil {
			return nil, errors.New("tar archive, entry at byte " + strconv.Itoa(p.start) + ": " + err.Error())
		}
		if e == nil {
			return fs, nil
		}
	}
}

// tree is the file system being built.
type tree struct {
	root vfs.Entry
	dirs []attributes // to be set when all names exist
}

type attributes struct {
	inode vfs.Inode
	attr  vfs.Attr
}

func (t *tree) finish() error {
	for _, d := range t.dirs {
		if err := d.inode.SetAttr(d.attr); err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) add(e *entry) error {
	names, err := splitPath(e.name)
	if err != nil {
		return err
	}
	attr := vfs.Attr{
		Set: vfs.SetMode | vfs.SetOwner | vfs.SetAtime | vfs.SetMtime, Mode: e.mode & 0o7777,
		UID: e.uid, GID: e.gid, Atime: e.mtime, Mtime: e.mtime,
	}
	if e.typ == syscall.S_IFDIR {
		dir, err := t.directory(names)
		if err != nil {
			return err
		}
		t.dirs = append(t.dirs, attributes{dir, attr})
		return nil
	}
	if len(names) == 0 {
		return errors.New("the root is no directory")
	}
	last := len(names) - 1
	dir, err := t.directory(names[:last])
	if err != nil {
		return err
	}
	if e.hardLink {
		return t.link(dir, names[last], e)
	}
	if err := unlink(dir, names[last]); err != nil {
		return describe(err, e.name)
	}
	made, err := dir.Create(names[last], vfs.NewNode{Mode: e.typ | e.mode&0o7777, Rdev: e.rdev, Target: e.link})
	if err != nil {
		return describe(err, e.name)
	}
	if e.typ == syscall.S_IFREG {
		if err := tmpfs.Refer(made.Inode(), e.content); err != nil {
			return describe(err, e.name)
		}
	}
	if e.typ == syscall.S_IFLNK {
		attr.Set &^= vfs.SetMode
	}
	return made.Inode().SetAttr(attr)
}

func (t *tree) link(dir vfs.MutableDirectory, name string, e *entry) error {
	target, err := t.find(e.link)
	if err != nil {
		return describe(err, "target of "+e.name)
	}
	if old, err := dir.Lookup(name); err == nil && old.Inode() == target {
		return nil
	}
	if target.Type() == syscall.S_IFDIR {
		return describe(syscall.EISDIR, "target of "+e.name)
	}
	if err := unlink(dir, name); err != nil {
		return describe(err, e.name)
	}
	if err := dir.Link(name, target); err != nil {
		return describe(err, e.name)
	}
	return nil
}

// unlink removes a name that may be there and is no directory.
func unlink(dir vfs.MutableDirectory, name string) error {
	if err := dir.Unlink(name); err != syscall.ENOENT {
		return err
	}
	return nil
}

func (t *tree) find(path string) (vfs.Inode, error) {
	names, err := splitPath(path)
	if err != nil {
		return nil, err
	}
	at := t.root
	for _, name := range names {
		dir, ok := at.Inode().(vfs.Directory)
		if !ok {
			return nil, syscall.ENOTDIR
		}
		if at, err = dir.Lookup(name); err != nil {
			return nil, err
		}
	}
	return at.Inode(), nil
}

// directory returns the directory at a path, making what is missing.
func (t *tree) directory(names []string) (vfs.MutableDirectory, error) {
	at := t.root.Inode().(vfs.MutableDirectory)
	for i, name := range names {
		e, err := at.Lookup(name)
		if err == syscall.ENOENT {
			e, err = at.Create(name, vfs.NewNode{Mode: syscall.S_IFDIR | 0o755})
		}
		if err != nil {
			return nil, describe(err, strings.Join(names[:i+1], "/"))
		}
		next, ok := e.Inode().(vfs.MutableDirectory)
		if !ok {
			return nil, describe(syscall.ENOTDIR, strings.Join(names[:i+1], "/"))
		}
		at = next
	}
	return at, nil
}

func describe(err error, path string) error { return errors.New(path + ": " + err.Error()) }

// splitPath returns the names in a path of the archive, which is always
// relative to its root.
func splitPath(path string) ([]string, error) {
	if len(path) >= abi.PATH_MAX {
		return nil, errors.New("a path has " + strconv.Itoa(len(path)) + " bytes, 4095 are allowed")
	}
	var names []string
	for name := range strings.SplitSeq(path, "/") {
		switch {
		case name == "" || name == ".":
		case name == "..":
			return nil, errors.New("path " + strconv.Quote(path) + " contains ..")
		case strings.IndexByte(name, 0) >= 0:
			return nil, errors.New("path " + strconv.Quote(path) + " contains a zero byte")
		default:
			names = append(names, name)
		}
	}
	return names, nil
}
