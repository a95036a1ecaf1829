// Package vfs resolves Linux paths over mounted file systems and holds what
// all of them share: open file descriptions, locks on files, the current
// directory, the umask.
//
// # For callers (the Linux personality)
//
// A Namespace is what a Linux process sees of files. Its calls are the *at
// calls of Linux: dir is the open directory that a relative path starts from,
// nil means the current directory. A File is an open file description; what a
// descriptor table adds to it (number, close-on-exec) is the caller's. Every
// error is a syscall.Errno, the one Linux returns to the superuser: there are
// no permission checks beyond those that the superuser meets.
//
// Differences to what one may expect, and additions:
//   - A Handle's Read and Write take the current status flags, so that
//     O_NONBLOCK, which fcntl changes at any time, needs no second place.
//   - Flock has no owner argument: the open file description is the owner.
//   - Lock takes the fcntl command (F_SETLK, F_OFD_SETLKW, ...), the flock
//     structure and the owner of POSIX locks. Each close(2) of a descriptor
//     calls ReleaseRecordLocks, since Linux drops a process's POSIX locks
//     then, before it calls Close.
//   - NewFile makes a File of a Handle without a path: pipe, socket, eventfd.
//   - Fifos and devices are opened by the hooks Namespace.OpenFifo and
//     Namespace.OpenDevice. For a socket node, Namespace.Inode gives the key
//     under which its listener can be found.
//   - A Watch reports what happens to a file (inotify(7)).
//   - CopyFileRange is a function on two Files.
//   - PathOf of a file without a path is the name given to NewFile.
//
// # For file systems
//
// A file system implements FileSystem, Entry and Inode, and beyond these what
// it is able to do: Directory, MutableDirectory, TempCreator, Content,
// Allocator, Sparse, Viewer, Lender, Symlink, Jumper, Xattrs, ContentOpener,
// HandleOpener, Acquirer, Syncer. Package vfs checks flags, types, names and
// read-only mounts before it calls; what only the file system can decide
// atomically (existing names, empty directories, ancestors in Rename) is its
// own duty, with Linux's errors.
//
// # Locks, outermost first
//
//	File.mu (offset and directory position)
//	  locks inside file systems
//	Namespace.mountMu (serialises Mount)
//	  locks inside file systems
//	lockTable.mu (leaf)
//	Watchers.mu, watchTable.mu (leaves; callbacks run without them)
//
// The mount table is replaced as a whole and read without a lock. No lock of
// this package is held while a Handle reads, writes or opens.
package vfs

import (
	"sync/atomic"
	"syscall"
)

// A FileSystem can be mounted.
type FileSystem interface {
	// Root returns the entry of the root directory, always the same one.
	Root() Entry
	// Statfs describes the file system; Flags is filled in by package vfs.
	Statfs() (syscall.Statfs_t, error)
	// Type is the name of the file system type in /proc/mounts.
	Type() string
}

// An Entry is a name in a directory. It stays the same (==) while the name
// is renamed, and keeps its inode after the name has been removed. Generated
// names that cannot be renamed, mounted on or locked may be a new Entry and
// Inode at each look-up.
type Entry interface {
	Inode() Inode
	// Where returns the directory that holds the entry and the name in it. A
	// root directory returns itself and "". linked is false when the name was
	// removed; parent and name are then what they last were.
	Where() (parent Entry, name string, linked bool)
}

// An Inode is a file of any type. Inodes are comparable: the same file is the
// same Inode for as long as anyone holds it.
type Inode interface {
	// Type returns the S_IFMT bits; they never change.
	Type() uint32
	Stat() (Stat, error)
	// SetAttr changes what a.Set names, and the change time. It applies
	// Linux's side effects of chown on the set-user-ID and set-group-ID bits,
	// before it sets a mode.
	SetAttr(a Attr) error
}

// AttrSet says which fields of an Attr count.
type AttrSet uint8

// The members of an AttrSet. SetOwner means a chown, even if neither UID nor
// GID changes.
const (
	SetMode AttrSet = 1 << iota
	SetOwner
	SetAtime
	SetMtime
)

// NoID as a user or group in an Attr leaves it as it is.
const NoID = ^uint32(0)

// Attr is a change of attributes.
type Attr struct {
	Set          AttrSet
	Mode         uint32 // permission bits, 07777
	UID, GID     uint32 // NoID: unchanged
	Atime, Mtime syscall.Timespec
}

// A Directory is an inode of type S_IFDIR.
type Directory interface {
	Inode
	// Lookup finds a name: ENOENT, ENAMETOOLONG. It is not asked for "." and
	// "..".
	Lookup(name string) (Entry, error)
	// ReadDir calls emit for each name at or behind cursor, until emit returns
	// false; that name has then not been taken. The first cursor is 0, next is
	// the cursor behind the name. Cursors stay valid while names come and go:
	// a name that is there all the time is seen exactly once. "." and ".." are
	// not emitted. A directory that was removed returns ENOENT.
	ReadDir(cursor int64, emit func(name string, ino uint64, typ uint32, next int64) bool) error
}

// NewNode describes a file to be created.
type NewNode struct {
	Mode   uint32 // type and permissions
	Rdev   uint64 // of a device
	Target string // of a symbolic link
}

// A MutableDirectory allows changes. A removed directory answers ENOENT.
type MutableDirectory interface {
	Directory
	// Create adds a new file of any type: EEXIST, ENAMETOOLONG, ENOSPC. The
	// set-group-ID bit of the directory is inherited as on Linux.
	Create(name string, n NewNode) (Entry, error)
	// Link adds a name for a file of the same file system that is no
	// directory: EEXIST, and ENOENT if the file has no name left and may not
	// get one (see TempCreator).
	Link(name string, target Inode) error
	// Unlink removes a name that is no directory: ENOENT, EISDIR.
	Unlink(name string) error
	// Rmdir removes an empty directory: ENOENT, ENOTDIR, ENOTEMPTY.
	Rmdir(name string) error
	// Rename moves a name to newDir, a directory of the same file system.
	// flags is 0, RENAME_NOREPLACE or RENAME_EXCHANGE. Errors are those of
	// renameat2: ENOENT, EEXIST, EINVAL (into itself), ENOTDIR, EISDIR,
	// ENOTEMPTY.
	Rename(name string, newDir MutableDirectory, newName string, flags int) error
}

// A TempCreator makes files without a name (O_TMPFILE).
type TempCreator interface {
	// CreateTemp returns an entry that is not linked, of a regular file that is
	// already acquired (see Acquirer). Link may name it if linkable.
	CreateTemp(mode uint32, linkable bool) (Entry, error)
}

// AppendOffset as the offset of Content.WriteAt is the end of the file.
const AppendOffset = -1

// Content is a sequence of bytes with random access.
type Content interface {
	// ReadAt returns fewer bytes than asked only at the end of the file, and
	// there 0, nil.
	ReadAt(p []byte, off int64) (int, error)
	// WriteAt returns the bytes written and the offset behind them. A short
	// write has an error.
	WriteAt(p []byte, off int64) (n int, end int64, err error)
	Truncate(size int64) error
	Size() int64
}

// An Allocator is a Content that reserves and frees space. mode is 0,
// FALLOC_FL_KEEP_SIZE, or FALLOC_FL_PUNCH_HOLE with FALLOC_FL_KEEP_SIZE.
type Allocator interface {
	Allocate(mode uint32, off, n int64) error
}

// Sparse is a Content that knows its holes. Offsets lie within the file. Both
// methods return ENXIO if there is nothing to be found; the end of the file
// counts as a hole.
type Sparse interface {
	SeekData(off int64) (int64, error)
	SeekHole(off int64) (int64, error)
}

// A Viewer is a Content whose bytes can be used in place. They stay unchanged
// even if the file changes, and must not be written to.
type Viewer interface {
	Bytes(off int64, n int) ([]byte, bool)
}

// A Lender is a Content whose bytes can be used in place for a moment.
type Lender interface {
	// Lend calls use, once, with up to n bytes from off on, in parts; with none at or behind the end.
	// The content cannot change meanwhile: use neither waits nor uses a file, and keeps nothing. Lend
	// returns how many bytes these were.
	Lend(off int64, n int, use func(parts [][]byte)) int
}

// A Mapper is a Content that can have its home in the memory of a program
// (mmap(2), MAP_SHARED).
type Mapper interface {
	// Map makes memory, whole pages, the place of the bytes from off on, which is a multiple of the page size:
	// what is read and written meets the program's own loads and, with write, stores. unmap ends that. EBUSY: bytes are
	// mapped already.
	Map(off int64, memory []byte, write bool) (unmap func(), err error)
}

// A Syncer is an inode, a content or a file system that has something to write
// back. Sync makes all of it lasting.
type Syncer interface {
	Sync() error
}

// A DataSyncer is a Syncer that tells what is needed to read the data from the
// rest (fdatasync(2)).
type DataSyncer interface {
	DataSync() error
}

// A RangeSyncer is a Content whose bytes can be written out, all n from off on,
// without becoming lasting (sync_file_range(2)).
type RangeSyncer interface {
	SyncRange(off, n int64) error
}

// An Unmounter is a FileSystem that has to be left in order. Unmount makes
// everything lasting; the file system can only be read afterwards.
type Unmounter interface {
	Unmount() error
}

// A Symlink is an inode of type S_IFLNK.
type Symlink interface {
	Readlink() (string, error)
}

// A Jumper is a Symlink that leads to an open file, whatever its text says
// (/proc/self/fd/N). Jump returns that file with a reference for the caller.
type Jumper interface {
	Symlink
	Jump() (*File, error)
}

// Xattrs are extended attributes. Names have been checked for length and a
// known prefix, values for their length.
type Xattrs interface {
	// Getxattr returns the value: ENODATA. The caller does not change it.
	Getxattr(name string) ([]byte, error)
	// Setxattr keeps a copy of value. flags are XATTR_CREATE, XATTR_REPLACE.
	Setxattr(name string, value []byte, flags int) error
	// Listxattr returns the names.
	Listxattr() ([]string, error)
	Removexattr(name string) error
}

// A ContentOpener has a Content for each opening (generated files).
type ContentOpener interface {
	OpenContent(flags int) (Content, error)
}

// A HandleOpener is a special file that opens itself.
type HandleOpener interface {
	OpenHandle(flags int) (Handle, error)
}

// An Acquirer wants to know how many Files and mounts use it: a file without a
// name is freed when the last one is closed.
type Acquirer interface {
	// Acquire returns false if the file was freed already.
	Acquire() bool
	Release()
}

var lastMinor atomic.Uint32

// NewDev returns a device number for a file system that lies on no device,
// as st_dev: major 0 and a minor not used yet.
func NewDev() uint64 { return Dev(0, lastMinor.Add(1)) }

// Dev returns the device number that major and minor make (makedev(3)).
func Dev(major, minor uint32) uint64 {
	ma, mi := uint64(major), uint64(minor)
	return mi&0xff | ma&0xfff<<8 | mi&^0xff<<12 | ma&^0xfff<<32
}
