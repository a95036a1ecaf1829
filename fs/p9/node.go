package p9

import (
	"runtime"
	"sync"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/vfs"
)

// inode is what all inodes of this package have in common.
type inode interface {
	vfs.Inode
	base() *node
}

// node is a file of any type. What precedes opens never changes.
type node struct {
	fs   *FS
	key  key
	typ  uint32
	fids *fidSet

	// Guarded by FS.mu.
	opens  int       // users by Acquire
	names  int       // entries in children maps
	orphan *vfs.Stat // attributes of an open file when a name of it was removed here
}

// A fidSet is the fids of a file. It outlives the node, to be closed then.
type fidSet struct {
	mu    sync.Mutex
	path  *fid // not open
	read  *fid // open for reading; of a directory too
	write *fid // open for writing, perhaps the same
	tail  *fid // open for appending
	made  *fid // open for both, from the file's creation until it is first opened
}

// replace makes f the fid that is not open, and returns the former one.
func (s *fidSet) replace(f *fid) *fid {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.path
	s.path = f
	return old
}

// use returns a fid of the set, which field points to, for the caller to drop;
// nil if there is none.
func (s *fidSet) use(field **fid) *fid {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := *field
	if f != nil {
		f.refs.Add(1)
	}
	return f
}

// takeOpen takes the open fids out of the set.
func (s *fidSet) takeOpen() [4]*fid {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := [...]*fid{s.read, s.write, s.tail, s.made}
	s.read, s.write, s.tail, s.made = nil, nil, nil, nil
	return all
}

// close gives all fids up, without waiting for the server.
func (s *fidSet) close() {
	open := s.takeOpen()
	for _, f := range append(open[:], s.replace(nil)) {
		if f.release() {
			f.c.discard(f.id)
		}
	}
}

// newInode returns the inode of a file, by a fid which becomes its own; the fid
// is given up after an error.
func (fs *FS) newInode(q qid, f *fid) (i inode, err error) {
	n := node{fs: fs, key: q.key(), fids: &fidSet{path: f}}
	switch n.key.typ {
	case QTDIR:
		n.typ = syscall.S_IFDIR
	case QTSYMLINK:
		n.typ = syscall.S_IFLNK
	default:
		st, err := fs.client.getattr(f)
		if err != nil {
			f.drop()
			return nil, err
		}
		n.typ = st.Mode & syscall.S_IFMT
	}
	switch n.typ {
	case syscall.S_IFDIR:
		if n.key.typ != QTDIR {
			f.drop()
			fs.client.fail("a directory whose qid is not one")
			return nil, syscall.EIO
		}
		fs.mu.Lock()
		fs.lastDir++
		d := &directory{node: n, order: fs.lastDir}
		fs.mu.Unlock()
		i = d
	case syscall.S_IFREG:
		i = &file{node: n}
	case syscall.S_IFLNK:
		i = &symlink{n}
	default:
		i = &special{n}
	}
	runtime.AddCleanup(i.base(), (*fidSet).close, n.fids)
	return i, nil
}

func (n *node) base() *node { return n }

// use returns the fid that is not open, for the caller to drop.
func (n *node) use() *fid { return n.fids.use(&n.fids.path) }

// Type implements vfs.Inode.
func (n *node) Type() uint32 { return n.typ }

// Acquire implements vfs.Acquirer.
func (n *node) Acquire() bool {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	n.opens++
	return true
}

// Release implements vfs.Acquirer.
func (n *node) Release() {
	var unused [4]*fid
	n.fs.mu.Lock()
	if n.opens--; n.opens == 0 {
		unused = n.fids.takeOpen()
		n.fs.forgetInode(n)
	}
	n.fs.mu.Unlock()
	for _, f := range unused {
		f.drop()
	}
}

// Stat implements vfs.Inode.
func (n *node) Stat() (vfs.Stat, error) {
	f := n.use()
	st, err := n.fs.client.getattr(f)
	f.drop()
	if err == syscall.ENOENT {
		st, err = n.statOpen()
	}
	if err != nil {
		return vfs.Stat{}, err
	}
	if st.Mode&syscall.S_IFMT != n.typ {
		// Another file by now, with the number of this one: to be looked up again.
		n.fs.mu.Lock()
		if i := n.fs.inodes[n.key]; i != nil && i.base() == n {
			delete(n.fs.inodes, n.key)
		}
		n.fs.mu.Unlock()
		return vfs.Stat{}, syscall.EIO
	}
	st.Dev = n.fs.dev
	return st, nil
}

// statOpen is Stat for a file without a name.
func (n *node) statOpen() (vfs.Stat, error) {
	for _, field := range [...]**fid{&n.fids.read, &n.fids.write} {
		if f := n.fids.use(field); f != nil {
			st, err := n.fs.client.getattr(f)
			f.drop()
			if err == nil {
				return st, nil
			}
		}
	}
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if n.orphan == nil {
		return vfs.Stat{}, syscall.ENOENT
	}
	return *n.orphan, nil
}

// SetAttr implements vfs.Inode. The server applies Linux's side effects of
// chown.
func (n *node) SetAttr(a vfs.Attr) error {
	c := changes{uid: a.UID, gid: a.GID, mode: a.Mode, atime: a.Atime, mtime: a.Mtime}
	f := n.use()
	defer f.drop()
	if a.Set&vfs.SetOwner != 0 {
		if a.UID != vfs.NoID {
			c.valid |= P9_SETATTR_UID
		}
		if a.GID != vfs.NoID {
			c.valid |= P9_SETATTR_GID
		}
		if c.valid == 0 {
			c.valid = P9_SETATTR_CTIME // what servers take for chown(-1, -1)
		}
		if err := n.fs.client.setattr(f, c); err != nil {
			return err
		}
		c.valid = 0
	}
	if a.Set&vfs.SetMode != 0 {
		c.valid |= P9_SETATTR_MODE
	}
	if a.Set&vfs.SetAtime != 0 {
		c.valid |= P9_SETATTR_ATIME | P9_SETATTR_ATIME_SET
	}
	if a.Set&vfs.SetMtime != 0 {
		c.valid |= P9_SETATTR_MTIME | P9_SETATTR_MTIME_SET
	}
	if c.valid == 0 {
		return nil
	}
	return n.fs.client.setattr(f, c)
}

// special is a fifo, a socket or a device node.
type special struct{ node }

// symlink is a symbolic link.
type symlink struct{ node }

// Readlink implements vfs.Symlink.
func (l *symlink) Readlink() (string, error) {
	f := l.use()
	defer f.drop()
	return l.fs.client.readlink(f)
}
