// Package p9 is a file system whose files are a server's, reached by 9P2000.L
// over a Transport: a folder of the host.
//
// The server's other users change the files too, so nothing of them is kept:
// each look-up, each Stat and each read asks the server. What was written has
// reached it when the write returns. Kept are only names that were looked up
// lately, with the inodes they led to, so that a name is the same Entry and a
// file the same Inode again: in any case while the file is open or something is
// mounted on it. A look-up that finds another file by a name makes another
// Entry. A file is known by the path of its qid, which is its st_ino.
//
// A file has one fid of the server for each way in which it is open (reading,
// writing, appending), however often that is. Fids are clunked at the last
// close, or when the inode is collected as garbage.
//
// What the protocol lacks: O_TMPFILE, the flags of renameat2, fallocate, holes.
// Locks are known to this machine only. An extended attribute cannot have an
// empty value. With a server that finds open files by their path (QEMU 7.2 does)
// a file that was removed while open can be read and written but not truncated,
// and its Stat is what it was when it was removed. QEMU 7.2 makes no fifos and
// sockets (ENXIO).
//
// A server that breaks the protocol is given up: everything is EIO from then on.
//
// # Locks, outermost first
//
//	directory.changing  names of one directory; of two, the one made earlier
//	file.opening, file.appending
//	  FS.mu             entries, inodes, who uses them
//	    fidSet.mu
//	      client.mu     (leaf)
//
// FS.mu and those below it are not held while the server is asked.
package p9

import (
	"sync"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/vfs"
)

// maxNames is how many names are kept at least.
const maxNames = 1024

// FS is a tree of a server's files. It implements vfs.FileSystem.
type FS struct {
	client *client
	dev    uint64
	root   *directory

	mu      sync.Mutex
	inodes  map[key]inode // those with an entry in a children map, and open ones
	recent  list          // all entries in children maps
	lastDir uint64
}

// key is what the server knows a file by.
type key struct {
	path uint64
	typ  uint8 // QTDIR, QTSYMLINK or 0
}

func (q qid) key() key { return key{q.path, q.typ & (QTDIR | QTSYMLINK)} }

// Mount attaches to the server behind t. log, unless nil, is told in one
// sentence when the server has to be given up. The errors are EPROTO if the
// server speaks another protocol, EIO if it breaks it, or what it answers.
func Mount(t Transport, log func(string)) (*FS, error) {
	c := newClient(t, log)
	if err := c.version(); err != nil {
		return nil, err
	}
	f, q, err := c.attach()
	if err != nil {
		return nil, err
	}
	fs := &FS{client: c, dev: vfs.NewDev(), inodes: make(map[key]inode)}
	root, err := fs.newInode(q, f)
	if err != nil {
		return nil, err
	}
	d, ok := root.(*directory)
	if !ok {
		return nil, syscall.ENOTDIR
	}
	d.self = &entry{inode: d, linked: true}
	fs.root = d
	fs.inodes[q.key()] = d
	return fs, nil
}

// Root implements vfs.FileSystem.
func (fs *FS) Root() vfs.Entry { return fs.root.self }

// Type implements vfs.FileSystem.
func (fs *FS) Type() string { return "9p" }

// Statfs implements vfs.FileSystem: it is the server's file system that is
// described, its type included.
func (fs *FS) Statfs() (syscall.Statfs_t, error) {
	f := fs.root.use()
	defer f.drop()
	return fs.client.statfs(f)
}
