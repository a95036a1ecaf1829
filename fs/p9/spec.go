package p9

// References are to 9P2000.L as diod's protocol.md and Linux 6.12's
// include/net/9p/9p.h define it, and to section 5 of the Plan 9 manual
// (version, attach, walk, read, write, clunk). This file keeps their spelling.

// version9P2000L names the dialect in Tversion.
const version9P2000L = "9P2000.L"

// Types of requests; the reply's type is one more.
const (
	Rlerror      = 7
	Tstatfs      = 8
	Tlopen       = 12
	Tlcreate     = 14
	Tsymlink     = 16
	Tmknod       = 18
	Treadlink    = 22
	Tgetattr     = 24
	Tsetattr     = 26
	Txattrwalk   = 30
	Txattrcreate = 32
	Treaddir     = 40
	Tfsync       = 50
	Tlink        = 70
	Tmkdir       = 72
	Trenameat    = 74
	Tunlinkat    = 76
	Tversion     = 100
	Tattach      = 104
	Twalk        = 110
	Tread        = 116
	Twrite       = 118
	Tclunk       = 120
)

// Values that stand for none.
const (
	NOTAG    = 0xffff
	NOFID    = 0xffffffff
	NONUNAME = 0xffffffff // P9_NONUNAME, as a user or group
)

// Types of a qid.
const (
	QTDIR     = 0x80
	QTSYMLINK = 0x02
)

// Lengths in bytes: of size, type and tag; of those and a count; of a qid; of
// the longest header before the data of Twrite or Rread (P9_IOHDRSZ); of an
// entry of Rreaddir without its name.
const (
	headerSize     = 7
	countHeader    = headerSize + 4
	qidSize        = 13
	ioHeader       = 24
	directoryEntry = qidSize + 8 + 1 + 2
)

// request_mask and valid of getattr.
const (
	P9_GETATTR_MODE  = 0x001
	P9_GETATTR_BASIC = 0x7ff
	P9_GETATTR_BTIME = 0x800
)

// valid of setattr.
const (
	P9_SETATTR_MODE      = 0x001
	P9_SETATTR_UID       = 0x002
	P9_SETATTR_GID       = 0x004
	P9_SETATTR_SIZE      = 0x008
	P9_SETATTR_ATIME     = 0x010
	P9_SETATTR_MTIME     = 0x020
	P9_SETATTR_CTIME     = 0x040
	P9_SETATTR_ATIME_SET = 0x080
	P9_SETATTR_MTIME_SET = 0x100
)

// Flags of lopen and lcreate, P9_DOTL_*: those of asm-generic/fcntl.h.
const (
	P9_DOTL_RDONLY    = 0
	P9_DOTL_WRONLY    = 1
	P9_DOTL_RDWR      = 2
	P9_DOTL_CREATE    = 0o100
	P9_DOTL_EXCL      = 0o200
	P9_DOTL_APPEND    = 0o2000
	P9_DOTL_DIRECTORY = 0o200000
)

// P9_DOTL_AT_REMOVEDIR is the flag of unlinkat for directories.
const P9_DOTL_AT_REMOVEDIR = 0x200
