package vfs

import (
	"syscall"

	"github.com/goshawk-os/goshawk/fs/abi"
)

// A walker resolves a path (path_resolution(7)). It stands at a location and
// moves from there.
type walker struct {
	ns    *Namespace
	at    location
	links int // symbolic links followed so far
}

// walker starts at dir, or the current directory if dir is nil.
func (ns *Namespace) walker(dir *File) walker {
	if dir != nil {
		return walker{ns: ns, at: dir.loc}
	}
	return walker{ns: ns, at: *ns.cwd.Load()}
}

// resolve finds the file at path. A symbolic link as the last component is
// followed if follow is set or a slash comes after it.
func (ns *Namespace) resolve(dir *File, path string, follow bool) (location, error) {
	w := ns.walker(dir)
	last, err := w.parent(path)
	if err == nil {
		err = w.final(last, follow)
	}
	return w.at, err
}

// resolveAt is resolve for calls with flags: AT_EMPTY_PATH with an empty path
// means dir itself.
func (ns *Namespace) resolveAt(dir *File, path string, flags int, follow bool) (location, error) {
	if path == "" && flags&abi.AT_EMPTY_PATH != 0 {
		return ns.walker(dir).at, nil
	}
	return ns.resolve(dir, path, follow)
}

// A component is the last one of a path.
type component struct {
	name  string // "" if the path consists of slashes only
	slash bool   // slashes come after the name
}

// isName reports whether c is an ordinary name, which can be created or
// removed, and not one of "/", "." and "..".
func (c component) isName() bool { return c.name != "" && c.name != "." && c.name != ".." }

// parent moves to the directory that holds the last component of path and
// returns that component. The walker then stands at a directory.
func (w *walker) parent(path string) (component, error) {
	if path == "" {
		return component{}, syscall.ENOENT
	}
	if len(path) >= abi.PATH_MAX {
		return component{}, syscall.ENAMETOOLONG
	}
	if path[0] == '/' {
		w.at = w.ns.enter(w.ns.root)
	}
	for {
		if !w.at.isDir() {
			return component{}, syscall.ENOTDIR
		}
		start := 0
		for start < len(path) && path[start] == '/' {
			start++
		}
		end := start
		for end < len(path) && path[end] != '/' {
			end++
		}
		rest := end
		for rest < len(path) && path[rest] == '/' {
			rest++
		}
		c := component{path[start:end], rest > end}
		if rest == len(path) {
			return c, nil
		}
		if err := w.final(c, true); err != nil {
			return component{}, err
		}
		path = path[rest:]
	}
}

// final moves to c, following symbolic links if follow or c.slash is set. With
// c.slash the result must be a directory.
func (w *walker) final(c component, follow bool) error {
	l, err := w.lookup(c.name)
	if err != nil {
		return err
	}
	typ := l.inode().Type()
	if typ == syscall.S_IFLNK && (follow || c.slash) {
		next, jumped, err := w.follow(l)
		if err != nil {
			return err
		}
		if !jumped {
			if err := w.final(next, true); err != nil {
				return err
			}
		}
		typ = w.at.inode().Type()
	} else {
		w.at = l
	}
	if c.slash && typ != syscall.S_IFDIR {
		return syscall.ENOTDIR
	}
	return nil
}

// lookup finds a component in the directory where the walker stands, across
// mounts, without moving.
func (w *walker) lookup(name string) (location, error) {
	l := w.at
	switch name {
	case "", ".":
		return l, nil
	case "..":
		for l != w.ns.root && l.entry == l.mount.root && l.mount.at.mount != nil {
			l = l.mount.at
		}
		if l != w.ns.root {
			l.entry, _, _ = l.entry.Where()
		}
		return w.ns.enter(l), nil
	}
	dir, ok := l.inode().(Directory)
	if !ok {
		return l, syscall.ENOTDIR
	}
	entry, err := dir.Lookup(name)
	if err != nil {
		return l, err
	}
	l.entry = entry
	if l.isDir() {
		l = w.ns.enter(l)
	}
	return l, nil
}

// lookupNew is lookup of a name that need not exist. In a removed directory
// there cannot be any: ENOENT.
func (w *walker) lookupNew(name string) (l location, exists bool, err error) {
	l, err = w.lookup(name)
	if err == syscall.ENOENT {
		if _, _, linked := w.at.entry.Where(); linked {
			err = nil
		}
		return l, false, err
	}
	return l, err == nil, err
}

// follow follows the symbolic link at l, which lies where the walker stands:
// up to the last component of its target, or, if jumped, to the file itself.
func (w *walker) follow(l location) (next component, jumped bool, err error) {
	w.links++
	if w.links > abi.MAXSYMLINKS {
		return component{}, false, syscall.ELOOP
	}
	if jumper, ok := l.inode().(Jumper); ok {
		f, err := jumper.Jump()
		if err != nil {
			return component{}, false, err
		}
		w.at = f.loc
		return component{}, true, f.Close()
	}
	link, ok := l.inode().(Symlink)
	if !ok {
		return component{}, false, syscall.EINVAL
	}
	target, err := link.Readlink()
	if err != nil {
		return component{}, false, err
	}
	next, err = w.parent(target)
	return next, false, err
}
