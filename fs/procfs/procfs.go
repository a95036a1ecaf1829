// Package procfs is a file system of generated files, links and numbered
// directories, for /proc and /sys. Names are added by the kernel; programs can
// only read.
package procfs

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// FS is one such file system. The lock guards all directories.
type FS struct {
	typ   string
	dev   uint64
	since syscall.Timespec // time stamps of everything
	ino   atomic.Uint64
	mu    sync.RWMutex
	root  *directory
}

// A Node describes a generated file, symbolic link or directory: one of
// Content, Link and Files is set.
type Node struct {
	Mode    uint32                    // permissions of a file
	Content func() []byte             // called for each opening
	Link    func() string             // target
	Jump    func() (*vfs.File, error) // of a link to an open file: see vfs.Jumper; or nil
	Files   []NamedFile               // of a directory that AddDir's lookup returns
}

// A NamedFile is a file in a generated directory.
type NamedFile struct {
	Name    string
	Content func() []byte
}

// New returns an empty file system. typ is its name in /proc/mounts: proc,
// sysfs.
func New(typ string) *FS {
	fs := &FS{typ: typ, dev: vfs.NewDev(), since: vfs.Now()}
	fs.root = fs.newDirectory(nil, "")
	fs.root.parent = fs.root
	return fs
}

// Root implements vfs.FileSystem.
func (fs *FS) Root() vfs.Entry { return fs.root }

// Type implements vfs.FileSystem.
func (fs *FS) Type() string { return fs.typ }

// Statfs implements vfs.FileSystem.
func (fs *FS) Statfs() (syscall.Statfs_t, error) {
	return syscall.Statfs_t{Type: abi.PROC_SUPER_MAGIC, Bsize: 4096, Frsize: 4096, Namelen: abi.NAME_MAX}, nil
}

// AddFile adds a file whose content is generated at each opening. Missing
// directories of path are made. It is an error if the name is taken.
func (fs *FS) AddFile(path string, mode uint32, content func() []byte) error {
	return fs.Add(path, Node{Mode: mode, Content: content})
}

// AddLink adds a symbolic link whose target is generated.
func (fs *FS) AddLink(path string, target func() string) error {
	return fs.Add(path, Node{Link: target})
}

// Add adds a file or link.
func (fs *FS) Add(path string, n Node) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	dir, name, err := fs.place(path)
	if err != nil {
		return err
	}
	dir.add(&leaf{common: common{fs: fs, parent: dir, name: name, ino: fs.ino.Add(1)}, Node: n})
	return nil
}

// AddDir adds a directory of generated names, which are numbers from 0 on, like
// /proc/self/fd. list returns them in any order, lookup what is behind one.
// Both are called without locks of this package.
func (fs *FS) AddDir(path string, list func() []int, lookup func(number int) (Node, bool)) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	dir, name, err := fs.place(path)
	if err != nil {
		return err
	}
	d := fs.newDirectory(dir, name)
	d.list, d.lookup = list, lookup
	dir.add(d)
	return nil
}

// Extend has fill called before the first look at what is in the directory at path, to add names to it
// or below it. The directory is made if it is missing. It is an error if fill was not called yet of
// an earlier Extend.
func (fs *FS) Extend(path string, fill func()) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	dir, err := fs.reach(path, split(path))
	if err != nil {
		return err
	}
	if dir.lookup != nil || dir.extend != nil {
		return errors.New("procfs: cannot extend " + path + ": its names are generated")
	}
	dir.extend = sync.OnceFunc(func() { // by the first who looks; others wait
		fill()
		fs.mu.Lock()
		dir.extend = nil
		fs.mu.Unlock()
	})
	return nil
}

func split(path string) []string { return strings.Split(strings.Trim(path, "/"), "/") }

// place finds the directory for a new path, making what is missing.
func (fs *FS) place(path string) (*directory, string, error) {
	parts := split(path)
	last := len(parts) - 1
	dir, err := fs.reach(path, parts[:last])
	if err != nil {
		return nil, "", err
	}
	name := parts[last]
	if !valid(name) {
		return nil, "", badName(path, name)
	}
	if dir.lookup != nil {
		return nil, "", errors.New("procfs: cannot add " + path + ": the names of its directory are generated")
	}
	if dir.find(name) != nil {
		return nil, "", errors.New("procfs: cannot add " + path + ": it exists")
	}
	return dir, name, nil
}

// reach finds the directory that is parts below the root, making what is missing. path is what is to
// be added.
func (fs *FS) reach(path string, parts []string) (*directory, error) {
	dir := fs.root
	for _, name := range parts {
		if !valid(name) {
			return nil, badName(path, name)
		}
		if dir.lookup != nil {
			return nil, errors.New("procfs: cannot add " + path + ": the names of its directory are generated")
		}
		old := dir.find(name)
		if old == nil {
			old = fs.newDirectory(dir, name)
			dir.add(old)
		}
		next, ok := old.(*directory)
		if !ok {
			return nil, errors.New("procfs: cannot add " + path + ": " + name + " is no directory")
		}
		dir = next
	}
	return dir, nil
}

func valid(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= abi.NAME_MAX
}

func badName(path, name string) error {
	return errors.New("procfs: cannot add " + path + ": bad name " + strconv.Quote(name))
}

// common is entry and inode of everything here.
type common struct {
	fs     *FS
	parent *directory
	name   string
	ino    uint64
}

// node is a directory or a leaf.
type node interface {
	vfs.Entry
	vfs.Inode
	base() *common
}

func (c *common) base() *common { return c }

// Where implements vfs.Entry.
func (c *common) Where() (vfs.Entry, string, bool) { return c.parent, c.name, true }

func (c *common) stat(mode uint32, nlink uint64) (vfs.Stat, error) {
	t := c.fs.since
	return vfs.Stat{Dev: c.fs.dev, Ino: c.ino, Mode: mode, Nlink: nlink, Blksize: 1024, Atime: t, Mtime: t, Ctime: t, Btime: t}, nil
}

// SetAttr implements vfs.Inode: attributes are fixed.
func (c *common) SetAttr(vfs.Attr) error { return syscall.EPERM }

// directory has either names that were added, or generated ones.
type directory struct {
	common
	children []node // by time of adding
	list     func() []int
	lookup   func(number int) (Node, bool)
	extend   func() // adds the names that are still missing, or nil
}

// look locks the directory for reading, when it has all its names.
func (d *directory) look() {
	d.fs.mu.RLock()
	for d.extend != nil {
		extend := d.extend
		d.fs.mu.RUnlock()
		extend()
		d.fs.mu.RLock()
	}
}

func (fs *FS) newDirectory(parent *directory, name string) *directory {
	return &directory{common: common{fs: fs, parent: parent, name: name, ino: fs.ino.Add(1)}}
}

func (d *directory) add(n node) { d.children = append(d.children, n) }

func (d *directory) find(name string) node {
	for _, c := range d.children {
		if c.base().name == name {
			return c
		}
	}
	return nil
}

// Inode implements vfs.Entry.
func (d *directory) Inode() vfs.Inode { return d }

// Type implements vfs.Inode.
func (d *directory) Type() uint32 { return syscall.S_IFDIR }

// Stat implements vfs.Inode.
func (d *directory) Stat() (vfs.Stat, error) {
	nlink := uint64(2)
	d.look()
	for _, c := range d.children {
		if c.Type() == syscall.S_IFDIR {
			nlink++
		}
	}
	d.fs.mu.RUnlock()
	return d.stat(syscall.S_IFDIR|0o555, nlink)
}

// Lookup implements vfs.Directory.
func (d *directory) Lookup(name string) (vfs.Entry, error) {
	if len(name) > abi.NAME_MAX {
		return nil, syscall.ENAMETOOLONG
	}
	if d.lookup != nil {
		number, err := strconv.Atoi(name)
		if err != nil || number < 0 || strconv.Itoa(number) != name {
			return nil, syscall.ENOENT
		}
		n, ok := d.lookup(number)
		if !ok {
			return nil, syscall.ENOENT
		}
		ino := d.numbered(number)
		if n.Files != nil {
			return d.generated(name, ino, n.Files), nil
		}
		return &leaf{common: common{fs: d.fs, parent: d, name: name, ino: ino}, Node: n}, nil
	}
	d.look()
	defer d.fs.mu.RUnlock()
	if n := d.find(name); n != nil {
		return n, nil
	}
	return nil, syscall.ENOENT
}

// generated returns a directory in d that exists for one look-up.
func (d *directory) generated(name string, ino uint64, files []NamedFile) *directory {
	g := &directory{common: common{fs: d.fs, parent: d, name: name, ino: ino}}
	for i, f := range files {
		g.add(&leaf{
			common: common{fs: d.fs, parent: g, name: f.Name, ino: ino | uint64(i+1)<<24},
			Node:   Node{Mode: 0o444, Content: f.Content},
		})
	}
	return g
}

// numbered returns the inode number of a generated name: always the same for
// the same number, and different from all that are counted.
func (d *directory) numbered(number int) uint64 { return 1<<63 | d.ino<<32 | uint64(uint32(number)) }

// ReadDir implements vfs.Directory. A cursor is an index of children, or a
// number plus one.
func (d *directory) ReadDir(cursor int64, emit func(name string, ino uint64, typ uint32, next int64) bool) error {
	if d.list != nil {
		d.readNumbers(cursor, emit)
		return nil
	}
	d.look()
	children := d.children
	d.fs.mu.RUnlock()
	for i := cursor; i < int64(len(children)); i++ {
		c := children[i]
		if !emit(c.base().name, c.base().ino, c.Type(), i+1) {
			break
		}
	}
	return nil
}

func (d *directory) readNumbers(cursor int64, emit func(name string, ino uint64, typ uint32, next int64) bool) {
	numbers := slices.Clone(d.list())
	slices.Sort(numbers)
	for _, number := range numbers {
		if int64(number) < cursor {
			continue
		}
		n, ok := d.lookup(number)
		if !ok {
			continue // gone since
		}
		if !emit(strconv.Itoa(number), d.numbered(number), n.typ(), int64(number)+1) {
			return
		}
	}
}

func (n *Node) typ() uint32 {
	switch {
	case n.Link != nil:
		return syscall.S_IFLNK
	case n.Files != nil:
		return syscall.S_IFDIR
	}
	return syscall.S_IFREG
}

// leaf is a file or a link.
type leaf struct {
	common
	Node
}

// Inode implements vfs.Entry. The types have different abilities.
func (l *leaf) Inode() vfs.Inode {
	switch {
	case l.Jump != nil:
		return jumper{link{l}}
	case l.Link != nil:
		return link{l}
	}
	return file{l}
}

// Type implements vfs.Inode.
func (l *leaf) Type() uint32 { return l.typ() }

// Stat implements vfs.Inode.
func (l *leaf) Stat() (vfs.Stat, error) {
	if l.Node.Link != nil {
		return l.stat(syscall.S_IFLNK|0o777, 1)
	}
	return l.stat(syscall.S_IFREG|l.Mode, 1)
}

type link struct{ *leaf }

// Readlink implements vfs.Symlink.
func (l link) Readlink() (string, error) { return l.Node.Link(), nil }

type jumper struct{ link }

// Jump implements vfs.Jumper.
func (j jumper) Jump() (*vfs.File, error) { return j.Node.Jump() }

type file struct{ *leaf }

// OpenContent implements vfs.ContentOpener.
func (f file) OpenContent(int) (vfs.Content, error) { return text(f.Content()), nil }

// text is a generated content; it is what it was when the file was opened.
type text string

// Size implements vfs.Content.
func (t text) Size() int64 { return int64(len(t)) }

// ReadAt implements vfs.Content.
func (t text) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(t)) {
		return 0, nil
	}
	return copy(p, t[off:]), nil
}

// WriteAt implements vfs.Content.
func (t text) WriteAt([]byte, int64) (int, int64, error) { return 0, 0, syscall.EIO }

// Truncate implements vfs.Content: O_TRUNC has no effect, as on Linux.
func (t text) Truncate(int64) error { return nil }
