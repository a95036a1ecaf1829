// Package abi defines the constants of Linux's file interface that package
// syscall lacks, in Linux's spelling and with the values of the 64-bit
// architectures (include/uapi/linux/{fcntl,fs,stat,xattr,magic,falloc}.h and
// include/uapi/asm-generic/fcntl.h, Linux 6.12).
package abi

// Flags of open (asm-generic/fcntl.h).
const (
	O_LARGEFILE = 0o100000
	O_PATH      = 0o10000000
	O_TMPFILE   = 0o20000000 | 0o200000 // __O_TMPFILE | O_DIRECTORY
)

// Directory descriptor and flags of the *at calls (linux/fcntl.h).
const (
	AT_FDCWD            = -100
	AT_SYMLINK_NOFOLLOW = 0x100
	AT_EACCESS          = 0x200
	AT_REMOVEDIR        = 0x200
	AT_SYMLINK_FOLLOW   = 0x400
	AT_NO_AUTOMOUNT     = 0x800
	AT_EMPTY_PATH       = 0x1000
)

// Flags of renameat2 (linux/fcntl.h, formerly linux/fs.h).
const (
	RENAME_NOREPLACE = 1
	RENAME_EXCHANGE  = 2
)

// Whence of lseek (linux/fs.h).
const (
	SEEK_SET  = 0
	SEEK_CUR  = 1
	SEEK_END  = 2
	SEEK_DATA = 3
	SEEK_HOLE = 4
)

// Modes of fallocate (linux/falloc.h).
const (
	FALLOC_FL_KEEP_SIZE  = 1
	FALLOC_FL_PUNCH_HOLE = 2
)

// Special nanosecond values of utimensat (linux/stat.h).
const (
	UTIME_NOW  = 1<<30 - 1
	UTIME_OMIT = 1<<30 - 2
)

// Modes of access (linux/fcntl.h, unistd.h).
const (
	F_OK = 0
	X_OK = 1
	W_OK = 2
	R_OK = 4
)

// Commands of fcntl for locks that belong to an open file description
// (asm-generic/fcntl.h).
const (
	F_OFD_GETLK  = 36
	F_OFD_SETLK  = 37
	F_OFD_SETLKW = 38
)

// Limits (linux/limits.h, linux/namei.h).
const (
	NAME_MAX       = 255
	PATH_MAX       = 4096 // with the terminating zero
	MAXSYMLINKS    = 40
	XATTR_NAME_MAX = 255
	XATTR_SIZE_MAX = 65536
	XATTR_LIST_MAX = 65536
)

// Flags of setxattr (linux/xattr.h).
const (
	XATTR_CREATE  = 1
	XATTR_REPLACE = 2
)

// Types of file systems in statfs (linux/magic.h).
const (
	TMPFS_MAGIC      = 0x01021994
	PROC_SUPER_MAGIC = 0x9fa0
	ANON_INODE_MAGIC = 0x09041934
)

// Mount flags in statfs (linux/statfs.h).
const (
	ST_RDONLY = 0x0001
	ST_VALID  = 0x0020
)

// Events of poll and epoll (asm-generic/poll.h, linux/eventpoll.h); the two
// interfaces share these values.
const (
	POLLIN    = 0x0001
	POLLPRI   = 0x0002
	POLLOUT   = 0x0004
	POLLERR   = 0x0008
	POLLHUP   = 0x0010
	POLLRDHUP = 0x2000
)
