package vfs

import (
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
)

// A Namespace is mounts, a current directory, a umask, and the calls on paths.
// It is safe for concurrent use.
type Namespace struct {
	// OpenFifo opens a fifo node. key is the same value for the same fifo and
	// comparable; it is the node's Inode. flags are those of open, O_NONBLOCK
	// included; waiting for the other end is the hook's business. It has to be
	// set before the first Open; nil answers ENXIO.
	OpenFifo func(key any, flags int) (Handle, error)
	// OpenDevice opens a device node by type (S_IFCHR, S_IFBLK) and number: as
	// a Handle, or as a Content if it has positions, which may be an Ioctler
	// and a Syncer. It has to be set before the first Open; nil answers ENXIO.
	OpenDevice func(typ uint32, rdev uint64, flags int) (Handle, Content, error)

	mountMu sync.Mutex
	table   atomic.Pointer[mountTable]
	root    location
	cwd     atomic.Pointer[location]
	umask   *atomic.Uint32
}

// A location is an entry together with the mount through which it was reached.
type location struct {
	mount *mount
	entry Entry
}

func (l location) inode() Inode { return l.entry.Inode() }

func (l location) isDir() bool { return l.inode().Type() == syscall.S_IFDIR }

// writable returns EROFS if the location's mount is read-only.
func (l location) writable() error {
	if l.mount.readOnly {
		return syscall.EROFS
	}
	return nil
}

type mount struct {
	fs       FileSystem
	source   string
	readOnly bool
	root     Entry
	at       location // mount point; zero for the namespace's root
}

// A mountTable never changes.
type mountTable struct {
	at   map[location]*mount
	list []*mount
}

// MountInfo describes one mount, as /proc/mounts does.
type MountInfo struct {
	Source   string
	Path     string // mount point
	Type     string
	ReadOnly bool
	Dev      uint64 // device number of the mounted file system
}

// New returns a namespace with root mounted at /, umask 022, and / as current
// directory.
func New(root FileSystem) *Namespace {
	m := &mount{fs: root, source: root.Type(), root: root.Root()}
	ns := &Namespace{root: location{m, root.Root()}, umask: new(atomic.Uint32)}
	ns.table.Store(&mountTable{list: []*mount{m}})
	ns.cwd.Store(&ns.root)
	ns.umask.Store(0o022)
	return ns
}

// Mount mounts f over the directory at path, which must exist and is in use from
// then on (see Acquirer). source is what /proc/mounts shows in its first column.
func (ns *Namespace) Mount(path string, f FileSystem, source string, readOnly bool) error {
	ns.mountMu.Lock()
	defer ns.mountMu.Unlock()
	at, err := ns.resolve(nil, path, true)
	if err != nil {
		return err
	}
	if !at.isDir() {
		return syscall.ENOTDIR
	}
	if a, ok := at.inode().(Acquirer); ok && !a.Acquire() {
		return syscall.ENOENT
	}
	m := &mount{fs: f, source: source, readOnly: readOnly, root: f.Root(), at: at}
	old := ns.table.Load()
	next := &mountTable{at: make(map[location]*mount, len(old.at)+1)}
	for k, v := range old.at {
		next.at[k] = v
	}
	next.at[at] = m
	next.list = append(slices.Clone(old.list), m)
	ns.table.Store(next)
	return nil
}

// Mounts lists the mounts in the order in which they were made.
func (ns *Namespace) Mounts() []MountInfo {
	list := ns.table.Load().list
	infos := make([]MountInfo, 0, len(list))
	for _, m := range list {
		path, _ := ns.path(location{m, m.root})
		info := MountInfo{Source: m.source, Path: path, Type: m.fs.Type(), ReadOnly: m.readOnly}
		if st, err := m.root.Inode().Stat(); err == nil {
			info.Dev = st.Dev
		}
		infos = append(infos, info)
	}
	return infos
}

// enter returns the root of what is mounted at l, or l.
func (ns *Namespace) enter(l location) location {
	at := ns.table.Load().at
	if len(at) == 0 {
		return l
	}
	for {
		m := at[l]
		if m == nil {
			return l
		}
		l = location{m, m.root}
	}
}

// Chdir changes the current directory.
func (ns *Namespace) Chdir(path string) error {
	l, err := ns.resolve(nil, path, true)
	if err != nil {
		return err
	}
	return ns.chdir(l)
}

// Fchdir makes an open directory the current one.
func (ns *Namespace) Fchdir(f *File) error { return ns.chdir(f.loc) }

func (ns *Namespace) chdir(l location) error {
	if !l.isDir() {
		return syscall.ENOTDIR
	}
	ns.cwd.Store(&l)
	return nil
}

// Getcwd returns the path of the current directory, ENOENT if it was removed.
func (ns *Namespace) Getcwd() (string, error) {
	path, linked := ns.path(*ns.cwd.Load())
	if !linked {
		return "", syscall.ENOENT
	}
	return path, nil
}

// Umask sets the permission bits that new files do not get and returns the
// former ones.
func (ns *Namespace) Umask(mask uint32) uint32 {
	return ns.umask.Swap(mask & 0o777)
}

// ShareUmask moves the umask to word, which others may change too. It has to be
// called before the namespace is in use.
func (ns *Namespace) ShareUmask(word *atomic.Uint32) {
	word.Store(ns.umask.Load())
	ns.umask = word
}

// PathOf returns the path of an open file as of now. For a removed file it is
// the last path followed by " (deleted)", for a file without path its name.
func (ns *Namespace) PathOf(f *File) string {
	path, linked := ns.path(f.loc)
	if !linked {
		path += " (deleted)"
	}
	return path
}

// path returns the path of l and whether it still has one.
func (ns *Namespace) path(l location) (path string, linked bool) {
	if a, ok := l.entry.(*anonymous); ok {
		return a.path(), true
	}
	linked = true
	var names []string
	length := 0
	for l != ns.root {
		if l.entry == l.mount.root {
			if l.mount.at.mount == nil {
				break
			}
			l = l.mount.at
			continue
		}
		parent, name, ok := l.entry.Where()
		linked = linked && ok
		names = append(names, name)
		length += len(name) + 1
		l.entry = parent
	}
	if len(names) == 0 {
		return "/", linked
	}
	b := make([]byte, 0, length)
	for _, name := range slices.Backward(names) {
		b = append(b, '/')
		b = append(b, name...)
	}
	return string(b), linked
}
