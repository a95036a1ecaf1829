package tmpfs_test

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"sort"
	"strings"
	"syscall"
	"testing"

	"github.com/goshawk-os/goshawk/fs/abi"
)

var (
	seed  = flag.Uint64("seed", 1, "first seed of the comparison with Linux")
	seeds = flag.Int("seeds", 25, "how many seeds to compare")
	steps = flag.Int("steps", 2000, "calls for each seed")
)

// TestSameAsLinux makes the same random calls to Linux's tmpfs and to this
// one, and compares every result, then the trees that came of it.
func TestSameAsLinux(t *testing.T) {
	for i := range *seeds {
		s := *seed + uint64(i)
		t.Run(fmt.Sprintf("seed %d", s), func(t *testing.T) {
			c := &comparison{
				t: t, rnd: rand.New(rand.NewPCG(s, 0)), a: newLinux(t), b: newGoshawk(), inodes: map[uint64]uint64{},
				preallocates: s%2 == 0,
			}
			for range *steps {
				c.step()
				if t.Failed() {
					t.Logf("last calls:\n%s", strings.Join(c.log[max(0, len(c.log)-40):], "\n"))
					return
				}
			}
			c.compareTrees()
		})
	}
}

type comparison struct {
	t      *testing.T
	rnd    *rand.Rand
	a, b   system
	fds    [][2]int
	inodes map[uint64]uint64 // Linux's to ours
	log    []string
	// Either fallocate reserves space or SEEK_DATA and SEEK_HOLE are compared:
	// whether Linux takes reserved pages for data depends on their neighbours.
	preallocates bool
}

func (c *comparison) pick(list ...string) string { return list[c.rnd.IntN(len(list))] }

func (c *comparison) name() string {
	if c.rnd.IntN(60) == 0 {
		return c.pick("..", ".", strings.Repeat("n", 255), strings.Repeat("n", 256))
	}
	return c.pick("a", "b", "c", "d", "e")
}

func (c *comparison) path() string {
	if c.rnd.IntN(100) == 0 {
		return c.pick("", "/", "//", ".", "..", "./", "../", "/..", strings.Repeat("a/", 2047)+"a", strings.Repeat("a/", 2048),
			strings.Repeat("./", 2047)+"a")
	}
	p := c.name()
	for c.rnd.IntN(2) == 0 {
		p += c.pick("/", "/", "/", "//", "/./", "/../") + c.name()
	}
	if c.rnd.IntN(4) == 0 {
		p = "/" + p
	}
	if c.rnd.IntN(12) == 0 {
		p += c.pick("/", "//", "/.", "/..")
	}
	return p
}

// at is a directory and a path.
func (c *comparison) at() (dir [2]int, path string) {
	dir = [2]int{abi.AT_FDCWD, abi.AT_FDCWD}
	if len(c.fds) > 0 && c.rnd.IntN(4) == 0 {
		dir = c.fds[c.rnd.IntN(len(c.fds))]
	}
	return dir, c.path()
}

func (c *comparison) offset() int64 {
	switch c.rnd.IntN(40) {
	case 0:
		return -1
	case 1:
		return math.MaxInt64 - int64(c.rnd.IntN(3))
	case 2:
		return 1 << 40
	case 3, 4, 5, 6:
		return int64(c.rnd.IntN(60)) << 12
	case 7, 8:
		return int64(c.rnd.IntN(20)) << 16
	}
	return int64(c.rnd.IntN(300_000))
}

func (c *comparison) bytes() []byte {
	n := c.rnd.IntN(100)
	switch c.rnd.IntN(6) {
	case 0:
		n = c.rnd.IntN(200_000)
	case 1:
		n = c.rnd.IntN(20) << 12
	}
	p := make([]byte, n)
	fill := byte(c.rnd.Uint32()) | 1
	for i := range p {
		p[i] = fill + byte(i>>9)
	}
	return p
}

// same logs a call and compares what the two systems said.
func (c *comparison) same(call string, a, b any, aErr, bErr error) bool {
	x, y := errno(aErr), errno(bErr)
	if aErr == nil {
		x += fmt.Sprintf(" %v", a)
	}
	if bErr == nil {
		y += fmt.Sprintf(" %v", b)
	}
	if len(call) > 300 {
		call = call[:300] + "..."
	}
	c.log = append(c.log, call+" = "+x)
	if x != y {
		c.t.Errorf("%s\n  Linux:   %s\n  Goshawk: %s", call, x, y)
	}
	return x == y && aErr == nil
}

func (c *comparison) err(call string, do func(s system, i int) error) bool {
	return c.same(call, "", "", do(c.a, 0), do(c.b, 1))
}

// show returns what is compared of a stat: all but times and numbers of
// devices and inodes; the latter have to correspond.
func (c *comparison) show(st syscall.Stat_t) string {
	return fmt.Sprintf("mode %o nlink %d owner %d:%d rdev %x size %d blocks %d", st.Mode, st.Nlink, st.Uid, st.Gid, st.Rdev, st.Size, st.Blocks)
}

func (c *comparison) sameStat(call string, a, b syscall.Stat_t, aErr, bErr error) {
	if !c.same(call, c.show(a), c.show(b), aErr, bErr) {
		return
	}
	if ours, ok := c.inodes[a.Ino]; ok && ours != b.Ino {
		c.t.Errorf("%s: inode %d, had been %d", call, b.Ino, ours)
	}
	c.inodes[a.Ino] = b.Ino
}

func digest(p []byte) string { return fmt.Sprintf("%d bytes %08x", len(p), crc32.ChecksumIEEE(p)) }

func (c *comparison) step() {
	if len(c.fds) > 0 && c.rnd.IntN(2) == 0 {
		c.fileStep()
		return
	}
	d, p := c.at()
	switch c.rnd.IntN(24) {
	case 0, 1, 2, 3, 4:
		c.open(d, p)
	case 5, 6:
		mode := uint32(c.rnd.IntN(0o10000))
		c.err(fmt.Sprintf("mkdir(%d, %q, %o)", d[1], p, mode), func(s system, i int) error { return s.mkdir(d[i], p, mode) })
	case 7:
		mode := uint32(c.rnd.IntN(0o10000))
		dev := 0
		switch c.rnd.IntN(6) {
		case 0:
			mode |= syscall.S_IFSOCK
		case 1:
			mode |= syscall.S_IFCHR
			dev = 1<<8 | 3
		case 2:
			mode |= syscall.S_IFDIR
		case 3:
			mode |= syscall.S_IFLNK
		case 4:
			mode |= syscall.S_IFREG
		}
		c.err(fmt.Sprintf("mknod(%d, %q, %o)", d[1], p, mode), func(s system, i int) error { return s.mknod(d[i], p, mode, dev) })
	case 8, 9:
		flags := c.rnd.IntN(2) * abi.AT_REMOVEDIR
		c.err(fmt.Sprintf("unlink(%d, %q, %x)", d[1], p, flags), func(s system, i int) error { return s.unlink(d[i], p, flags) })
	case 10, 11, 12:
		flags := 0
		if c.rnd.IntN(3) == 0 {
			flags = c.rnd.IntN(4)
		}
		e, q := c.at()
		c.err(fmt.Sprintf("rename(%d, %q, %d, %q, %x)", d[1], p, e[1], q, flags), func(s system, i int) error {
			return s.rename(d[i], p, e[i], q, flags)
		})
	case 13:
		e, q := c.at()
		flags := []int{0, 0, abi.AT_SYMLINK_FOLLOW, abi.AT_EMPTY_PATH, 1}[c.rnd.IntN(5)]
		if flags == abi.AT_EMPTY_PATH {
			p = ""
		}
		c.err(fmt.Sprintf("link(%d, %q, %d, %q, %x)", d[1], p, e[1], q, flags), func(s system, i int) error {
			return s.link(d[i], p, e[i], q, flags)
		})
	case 14, 15:
		target := c.path()
		for 100 < len(target) && len(target) < 4096 {
			target = c.path() // from 128 bytes on Linux counts a page for it
		}
		c.err(fmt.Sprintf("symlink(%q, %d, %q)", target, d[1], p), func(s system, i int) error { return s.symlink(target, d[i], p) })
	case 16:
		a, aErr := c.a.readlink(d[0], p)
		b, bErr := c.b.readlink(d[1], p)
		c.same(fmt.Sprintf("readlink(%d, %q)", d[1], p), a, b, aErr, bErr)
	case 17:
		mode, flags := uint32(c.rnd.IntN(9)), []int{0, abi.AT_SYMLINK_NOFOLLOW, abi.AT_EACCESS}[c.rnd.IntN(3)]
		c.err(fmt.Sprintf("access(%d, %q, %o, %x)", d[1], p, mode, flags), func(s system, i int) error { return s.access(d[i], p, mode, flags) })
	case 18:
		c.attribute(d, p)
	case 19:
		size := c.offset()
		c.err(fmt.Sprintf("truncate(%q, %d)", p, size), func(s system, _ int) error { return s.truncate(p, size) })
	case 20:
		c.xattr(p)
	case 21:
		if c.rnd.IntN(3) == 0 {
			c.err(fmt.Sprintf("chdir(%q)", p), func(s system, _ int) error { return s.chdir(p) })
		}
		a, aErr := c.a.getcwd()
		b, bErr := c.b.getcwd()
		c.same("getcwd", a, b, aErr, bErr)
	case 22:
		mask := c.rnd.IntN(0o1000)
		c.same(fmt.Sprintf("umask(%o)", mask), c.a.umask(mask), c.b.umask(mask), nil, nil)
		a, aErr := c.a.statfs(p)
		b, bErr := c.b.statfs(p)
		c.same(fmt.Sprintf("statfs(%q)", p), fmt.Sprint(a.Type, a.Bsize, a.Frsize, a.Namelen, a.Blocks), fmt.Sprint(b.Type, b.Bsize, b.Frsize, b.Namelen, b.Blocks), aErr, bErr)
	default:
		flags := []int{0, abi.AT_SYMLINK_NOFOLLOW, abi.AT_EMPTY_PATH, 1}[c.rnd.IntN(4)]
		if flags == abi.AT_EMPTY_PATH {
			p = ""
		}
		a, aErr := c.a.stat(d[0], p, flags)
		b, bErr := c.b.stat(d[1], p, flags)
		c.sameStat(fmt.Sprintf("stat(%d, %q, %x)", d[1], p, flags), a, b, aErr, bErr)
	}
}

func (c *comparison) open(d [2]int, p string) {
	flags := []int{syscall.O_RDONLY, syscall.O_RDWR, syscall.O_RDWR, syscall.O_WRONLY}[c.rnd.IntN(4)] | syscall.O_NONBLOCK
	for _, f := range []int{syscall.O_CREAT, syscall.O_CREAT, syscall.O_CREAT, syscall.O_EXCL, syscall.O_TRUNC, syscall.O_APPEND,
		syscall.O_NOFOLLOW, syscall.O_DIRECTORY, abi.O_TMPFILE, abi.O_PATH} {
		if c.rnd.IntN(6) == 0 {
			flags |= f
		}
	}
	mode := uint32(c.rnd.IntN(0o10000))
	a, aErr := c.a.open(d[0], p, flags, mode)
	b, bErr := c.b.open(d[1], p, flags, mode)
	if c.same(fmt.Sprintf("open(%d, %q, %#x, %o) -> %d", d[1], p, flags, mode, b), "", "", aErr, bErr) {
		c.fds = append(c.fds, [2]int{a, b})
		if len(c.fds) > 8 {
			c.closeAny()
		}
	}
}

func (c *comparison) closeAny() {
	i := c.rnd.IntN(len(c.fds))
	fd := c.fds[i]
	c.fds = append(c.fds[:i], c.fds[i+1:]...)
	c.err(fmt.Sprintf("close(%d)", fd[1]), func(s system, i int) error { return s.close(fd[i]) })
}

func (c *comparison) attribute(d [2]int, p string) {
	flags := []int{0, 0, abi.AT_SYMLINK_NOFOLLOW}[c.rnd.IntN(3)]
	switch c.rnd.IntN(3) {
	case 0:
		mode := uint32(c.rnd.IntN(0o10000))
		c.err(fmt.Sprintf("chmod(%d, %q, %o, %x)", d[1], p, mode, flags), func(s system, i int) error { return s.chmod(d[i], p, mode, flags) })
	case 1:
		// Another user's files in a sticky directory would meet Linux's
		// fs.protected_regular, which depends on the machine's configuration.
		uid, gid := c.rnd.IntN(2)-1, c.rnd.IntN(3)-1
		c.err(fmt.Sprintf("chown(%d, %q, %d, %d, %x)", d[1], p, uid, gid, flags), func(s system, i int) error {
			return s.chown(d[i], p, uid, gid, flags)
		})
	case 2:
		times := [2]syscall.Timespec{{Sec: int64(c.rnd.Int32()), Nsec: int64(c.rnd.IntN(1e9))}, {Sec: -5, Nsec: 1}}
		switch c.rnd.IntN(4) {
		case 0:
			times[0].Nsec = abi.UTIME_OMIT
		case 1:
			times[0].Nsec = 1e9
		}
		if !c.err(fmt.Sprintf("utimes(%d, %q, %v, %x)", d[1], p, times, flags), func(s system, i int) error {
			return s.utimes(d[i], p, times, flags)
		}) {
			return
		}
		a, aErr := c.a.stat(d[0], p, flags)
		b, bErr := c.b.stat(d[1], p, flags)
		if a.Atim != times[0] && b.Atim != times[0] {
			// Omitted, or a link that the path of stat leads through and
			// whose following counts as access: the present, of two clocks.
			a.Atim, b.Atim = times[0], times[0]
		}
		c.same("times", fmt.Sprint(a.Atim, a.Mtim), fmt.Sprint(b.Atim, b.Mtim), aErr, bErr)
	}
}

func (c *comparison) xattr(p string) {
	name := c.pick("user.a", "user.b", "user.", "trusted.a", "security.a", "system.a", "a", "", "user."+strings.Repeat("x", 251))
	switch c.rnd.IntN(4) {
	case 0, 1:
		value := make([]byte, c.rnd.IntN(20))
		how := c.rnd.IntN(4)
		if c.rnd.IntN(2) == 0 {
			how = 0
		}
		c.err(fmt.Sprintf("setxattr(%q, %.40q, %d, %d)", p, name, len(value), how), func(s system, _ int) error {
			return s.setxattr(p, name, value, how)
		})
	case 2:
		n := c.rnd.IntN(30)
		a, aErr := c.a.getxattr(p, name, n)
		b, bErr := c.b.getxattr(p, name, n)
		c.same(fmt.Sprintf("getxattr(%q, %.40q, %d)", p, name, n), a, b, aErr, bErr)
	case 3:
		c.err(fmt.Sprintf("removexattr(%q, %.40q)", p, name), func(s system, _ int) error { return s.removexattr(p, name) })
	}
	a, aErr := c.a.listxattr(p)
	b, bErr := c.b.listxattr(p)
	c.same(fmt.Sprintf("listxattr(%q)", p), a, b, aErr, bErr)
}

// fileStep makes a call on an open file.
func (c *comparison) fileStep() {
	fd := c.fds[c.rnd.IntN(len(c.fds))]
	switch c.rnd.IntN(20) {
	case 0:
		c.closeAny()
	case 1, 2, 3:
		p := c.bytes()
		a, aErr := c.a.write(fd[0], p)
		b, bErr := c.b.write(fd[1], p)
		c.same(fmt.Sprintf("write(%d, %d bytes)", fd[1], len(p)), a, b, aErr, bErr)
	case 4, 5:
		p, off := c.bytes(), c.offset()
		a, aErr := c.a.pwrite(fd[0], p, off)
		b, bErr := c.b.pwrite(fd[1], p, off)
		c.same(fmt.Sprintf("pwrite(%d, %d bytes, %d)", fd[1], len(p), off), a, b, aErr, bErr)
	case 6, 7:
		n := c.rnd.IntN(200_000)
		a, aErr := c.a.read(fd[0], n)
		b, bErr := c.b.read(fd[1], n)
		c.same(fmt.Sprintf("read(%d, %d)", fd[1], n), digest(a), digest(b), aErr, bErr)
	case 8, 9:
		n, off := c.rnd.IntN(200_000), c.offset()
		a, aErr := c.a.pread(fd[0], n, off)
		b, bErr := c.b.pread(fd[1], n, off)
		c.same(fmt.Sprintf("pread(%d, %d, %d)", fd[1], n, off), digest(a), digest(b), aErr, bErr)
	case 10, 11:
		c.seek(fd)
	case 12:
		size := c.offset()
		c.err(fmt.Sprintf("ftruncate(%d, %d)", fd[1], size), func(s system, i int) error { return s.ftruncate(fd[i], size) })
	case 13:
		mode, off, n := uint32(c.rnd.IntN(5)), c.offset(), int64(c.rnd.IntN(100_000))
		if !c.preallocates && mode < 2 || c.rnd.IntN(2) == 0 {
			mode = abi.FALLOC_FL_PUNCH_HOLE | abi.FALLOC_FL_KEEP_SIZE
		}
		c.err(fmt.Sprintf("fallocate(%d, %d, %d, %d)", fd[1], mode, off, n), func(s system, i int) error { return s.fallocate(fd[i], mode, off, n) })
	case 14:
		in, inOff, outOff, n := c.fds[c.rnd.IntN(len(c.fds))], c.offset(), c.offset(), c.rnd.IntN(100_000)
		a, aErr := c.a.copyRange(in[0], inOff, fd[0], outOff, n)
		b, bErr := c.b.copyRange(in[1], inOff, fd[1], outOff, n)
		c.same(fmt.Sprintf("copy_file_range(%d, %d, %d, %d, %d)", in[1], inOff, fd[1], outOff, n), a, b, aErr, bErr)
	case 15:
		op := []int{syscall.LOCK_SH, syscall.LOCK_EX, syscall.LOCK_UN, 0}[c.rnd.IntN(4)] | syscall.LOCK_NB
		c.err(fmt.Sprintf("flock(%d, %d)", fd[1], op), func(s system, i int) error { return s.flock(fd[i], op) })
	case 16, 17:
		c.lock(fd)
	case 18:
		if c.rnd.IntN(4) == 0 {
			c.err(fmt.Sprintf("fchdir(%d)", fd[1]), func(s system, i int) error { return s.fchdir(fd[i]) })
		}
		mode := uint32(c.rnd.IntN(0o10000))
		c.err(fmt.Sprintf("fchmod(%d, %o)", fd[1], mode), func(s system, i int) error { return s.fchmod(fd[i], mode) })
		a, aErr := c.a.flags(fd[0])
		b, bErr := c.b.flags(fd[1])
		c.same(fmt.Sprintf("flags(%d)", fd[1]), a&^(abi.O_LARGEFILE), b, aErr, bErr)
	case 19:
		a, aErr := c.a.fstat(fd[0])
		b, bErr := c.b.fstat(fd[1])
		c.sameStat(fmt.Sprintf("fstat(%d)", fd[1]), a, b, aErr, bErr)
		c.readDir(fd)
	}
}

func (c *comparison) seek(fd [2]int) {
	st, err := c.b.fstat(fd[1])
	if err == nil && st.Mode&syscall.S_IFMT == syscall.S_IFDIR {
		return // positions in a directory are the file system's own business
	}
	off, whence := c.offset(), c.rnd.IntN(6)
	if whence > abi.SEEK_END {
		// Near the largest offset Linux 6.18 overflows, and returns a negative one.
		off &= 1<<60 - 1
		if c.preallocates {
			return
		}
	}
	a, aErr := c.a.seek(fd[0], off, whence)
	b, bErr := c.b.seek(fd[1], off, whence)
	c.same(fmt.Sprintf("lseek(%d, %d, %d)", fd[1], off, whence), a, b, aErr, bErr)
}

func (c *comparison) lock(fd [2]int) {
	cmd := []int{syscall.F_GETLK, syscall.F_SETLK, abi.F_OFD_GETLK, abi.F_OFD_SETLK, abi.F_OFD_SETLK}[c.rnd.IntN(5)]
	lk := syscall.Flock_t{
		Type: int16(c.rnd.IntN(4)), Whence: int16(c.rnd.IntN(3)), Start: int64(c.rnd.IntN(20)), Len: int64(c.rnd.IntN(20) - 5),
	}
	if c.rnd.IntN(50) == 0 {
		lk.Start, lk.Len = math.MaxInt64-int64(c.rnd.IntN(3)), int64(c.rnd.IntN(3))
	}
	if st, err := c.b.fstat(fd[1]); err != nil || st.Mode&syscall.S_IFMT != syscall.S_IFREG {
		lk.Whence = 0
	}
	x, y := lk, lk
	aErr, bErr := c.a.lock(fd[0], cmd, &x), c.b.lock(fd[1], cmd, &y)
	call := fmt.Sprintf("lock(%d, %d, %+v)", fd[1], cmd, lk)
	if x.Pid > 0 {
		x.Pid = 1 // the only process
	}
	// Which of several conflicting locks F_GETLK reports is open.
	if x.Type != syscall.F_UNLCK && y.Type != syscall.F_UNLCK && (cmd == syscall.F_GETLK || cmd == abi.F_OFD_GETLK) {
		x, y = lk, lk
	}
	c.same(call, fmt.Sprintf("%+v", x), fmt.Sprintf("%+v", y), aErr, bErr)
}

// readDir compares the names in an open directory.
func (c *comparison) readDir(fd [2]int) {
	var list [2]string
	var errs [2]error
	for i, s := range []system{c.a, c.b} {
		if _, err := s.seek(fd[i], 0, 0); err != nil {
			return
		}
		var names []string
		for errs[i] == nil {
			var p []byte
			if p, errs[i] = s.getdents(fd[i], 600); len(p) == 0 {
				break
			}
			names = append(names, parseDirents(p)...)
		}
		sort.Strings(names)
		list[i] = strings.Join(names, " ")
	}
	c.same(fmt.Sprintf("getdents(%d)", fd[1]), list[0], list[1], errs[0], errs[1])
}

// parseDirents returns names and types.
func parseDirents(p []byte) []string {
	var names []string
	for len(p) > 0 {
		size := binary.NativeEndian.Uint16(p[16:])
		name, _, _ := bytes.Cut(p[19:size], []byte{0})
		names = append(names, fmt.Sprintf("%s:%d", name, p[18]))
		p = p[size:]
	}
	return names
}

// compareTrees compares all files by name, attributes and content.
func (c *comparison) compareTrees() {
	for len(c.fds) > 0 {
		c.closeAny()
	}
	a, b := c.tree(c.a, "/"), c.tree(c.b, "/")
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			c.t.Errorf("trees differ\n  Linux:   %s\n  Goshawk: %s", strings.Join(a[min(i, len(a)):], " | "), strings.Join(b[min(i, len(b)):], " | "))
			break
		}
	}
	x, _ := c.a.statfs("/")
	y, _ := c.b.statfs("/")
	c.same("free blocks", x.Bfree, y.Bfree, nil, nil)
}

func (c *comparison) tree(s system, path string) (lines []string) {
	st, err := s.stat(abi.AT_FDCWD, path, abi.AT_SYMLINK_NOFOLLOW)
	line := path + " " + errno(err) + " " + c.show(st)
	switch st.Mode & syscall.S_IFMT {
	case syscall.S_IFLNK:
		target, err := s.readlink(abi.AT_FDCWD, path)
		return []string{line + " -> " + target + errno(err)}
	case syscall.S_IFREG:
		fd, err := s.open(abi.AT_FDCWD, path, syscall.O_RDONLY, 0)
		if err == nil {
			content, err := s.read(fd, 1<<20)
			line += digest(content) + errno(err)
			s.close(fd)
		}
		return []string{line + errno(err)}
	case syscall.S_IFDIR:
		lines = []string{line}
		fd, err := s.open(abi.AT_FDCWD, path, syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
		if err != nil {
			return []string{line + errno(err)}
		}
		p, _ := s.getdents(fd, 1<<16)
		s.close(fd)
		names := parseDirents(p)
		sort.Strings(names)
		for _, name := range names {
			name, _, _ = strings.Cut(name, ":")
			if name != "." && name != ".." {
				lines = append(lines, c.tree(s, strings.TrimSuffix(path, "/")+"/"+name)...)
			}
		}
		return lines
	}
	return []string{line}
}
