package vfs_test

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/devfs"
	"github.com/goshawk-os/goshawk/fs/iofs"
	"github.com/goshawk-os/goshawk/fs/procfs"
	"github.com/goshawk-os/goshawk/fs/tmpfs"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

func newSpace() *vfs.Namespace { return vfs.New(tmpfs.New(tmpfs.Options{})) }

func write(t *testing.T, ns *vfs.Namespace, path, content string) {
	t.Helper()
	f, err := ns.Open(nil, path, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_TRUNC, 0o644)
	require.NoError(t, err)
	n, err := f.Write([]byte(content))
	require.NoError(t, err)
	require.Equal(t, len(content), n)
	require.NoError(t, f.Close())
}

func read(t *testing.T, ns *vfs.Namespace, path string) string {
	t.Helper()
	f, err := ns.Open(nil, path, syscall.O_RDONLY, 0)
	require.NoError(t, err)
	defer f.Close()
	return readAll(t, f)
}

func readAll(t *testing.T, f *vfs.File) string {
	t.Helper()
	var all []byte
	buf := make([]byte, 100)
	for {
		n, err := f.Read(buf)
		require.NoError(t, err)
		if n == 0 {
			return string(all)
		}
		all = append(all, buf[:n]...)
	}
}

func open(t *testing.T, ns *vfs.Namespace, path string, flags int) *vfs.File {
	t.Helper()
	f, err := ns.Open(nil, path, flags, 0o644)
	require.NoError(t, err)
	return f
}

func list(t *testing.T, f *vfs.File, buf []byte) (names []string) {
	t.Helper()
	for {
		n, err := f.ReadDir(buf)
		require.NoError(t, err)
		if n == 0 {
			return names
		}
		for _, d := range parse(buf[:n]) {
			names = append(names, d.name)
		}
	}
}

type dirent struct {
	name string
	off  int64
}

// parse reads records of getdents64(2).
func parse(p []byte) (list []dirent) {
	for len(p) > 0 {
		size := binary.NativeEndian.Uint16(p[16:])
		name, _, _ := strings.Cut(string(p[19:size]), "\x00")
		list = append(list, dirent{name, int64(binary.NativeEndian.Uint64(p[8:]))})
		p = p[size:]
	}
	return list
}

func TestNamespaceIsAnIOFS(t *testing.T) {
	ns := newSpace()
	require.NoError(t, ns.Mkdir(nil, "/dir", 0o755))
	require.NoError(t, ns.Mkdir(nil, "/dir/sub", 0o755))
	write(t, ns, "/file", "content")
	write(t, ns, "/dir/sub/large", strings.Repeat("0123456789", 20_000))
	for i := range 40 {
		write(t, ns, fmt.Sprintf("/dir/f%d", i), "x")
	}
	assert.NoError(t, fstest.TestFS(iofs.FS{Namespace: ns}, "file", "dir/sub/large", "dir/f39"))
}

func TestMountsAndDotDot(t *testing.T) {
	ns := newSpace()
	require.NoError(t, ns.Mkdir(nil, "/mnt", 0o755))
	require.NoError(t, ns.Mkdir(nil, "/mnt/m", 0o755))
	require.NoError(t, ns.Mount("/mnt/m", tmpfs.New(tmpfs.Options{}), "other", false))
	require.NoError(t, ns.Mkdir(nil, "/mnt/m/inner", 0o755))
	require.NoError(t, ns.Mkdir(nil, "/mnt/ro", 0o755))
	readOnly := tmpfs.New(tmpfs.Options{})
	filled := vfs.New(readOnly)
	write(t, filled, "/file", "fixed")
	require.NoError(t, filled.Mkdir(nil, "/dir", 0o755))
	require.NoError(t, ns.Mount("/mnt/ro", readOnly, "none", true))

	require.NoError(t, ns.Chdir("/mnt/m/inner"))
	cwd, err := ns.Getcwd()
	require.NoError(t, err)
	assert.Equal(t, "/mnt/m/inner", cwd)
	require.NoError(t, ns.Chdir("../.."))
	cwd, _ = ns.Getcwd()
	assert.Equal(t, "/mnt", cwd)

	inner, err := ns.Stat(nil, "m", 0)
	require.NoError(t, err)
	outer, err := ns.Stat(nil, ".", 0)
	require.NoError(t, err)
	assert.NotEqual(t, inner.Dev, outer.Dev)

	write(t, ns, "/mnt/plain", "x")
	tests := []struct {
		what string
		got  error
		want error
	}{
		{"rename across mounts", ns.Rename(nil, "plain", nil, "m/plain", 0), syscall.EXDEV},
		{"link across mounts", ns.Link(nil, "plain", nil, "m/plain", 0), syscall.EXDEV},
		{"rename a mount point", ns.Rename(nil, "m", nil, "n", 0), syscall.EBUSY},
		{"remove a mount point", ns.Unlink(nil, "m", abi.AT_REMOVEDIR), syscall.EBUSY},
		{"mount on a file", ns.Mount("/mnt/plain", tmpfs.New(tmpfs.Options{}), "", false), syscall.ENOTDIR},
		{"mount on nothing", ns.Mount("/none", tmpfs.New(tmpfs.Options{}), "", false), syscall.ENOENT},
		{"read-only: mkdir", ns.Mkdir(nil, "ro/new", 0o755), syscall.EROFS},
		{"read-only: mkdir of what exists", ns.Mkdir(nil, "ro/dir", 0o755), syscall.EEXIST},
		{"read-only: unlink", ns.Unlink(nil, "ro/file", 0), syscall.EROFS},
		{"read-only: rename", ns.Rename(nil, "ro/file", nil, "ro/other", 0), syscall.EROFS},
		{"read-only: chmod", ns.Chmod(nil, "ro/file", 0o600, 0), syscall.EROFS},
		{"read-only: truncate", ns.Truncate(nil, "ro/file", 0), syscall.EROFS},
		{"read-only: setxattr", ns.Setxattr(nil, "ro/file", "user.a", nil, 0, 0), syscall.EROFS},
		{"read-only: access for writing", ns.Access(nil, "ro/file", abi.W_OK, 0), syscall.EROFS},
		{"read-only: utimes", ns.Utimes(nil, "ro/file", [2]syscall.Timespec{}, 0), syscall.EROFS},
	}
	for _, tt := range tests {
		assert.Equal(t, tt.want, tt.got, tt.what)
	}
	_, err = ns.Open(nil, "ro/file", syscall.O_RDWR, 0)
	assert.Equal(t, syscall.EROFS, err)
	_, err = ns.Open(nil, "ro/new", syscall.O_RDWR|syscall.O_CREAT, 0)
	assert.Equal(t, syscall.EROFS, err)
	assert.Equal(t, "fixed", read(t, ns, "ro/file"))
	s, err := ns.Statfs(nil, "ro/file")
	require.NoError(t, err)
	assert.NotZero(t, s.Flags&abi.ST_RDONLY)

	var mounts []string
	for _, m := range ns.Mounts() {
		mounts = append(mounts, fmt.Sprint(m.Source, " ", m.Path, " ", m.Type, " ", m.ReadOnly))
	}
	assert.Equal(t, []string{"tmpfs / tmpfs false", "other /mnt/m tmpfs false", "none /mnt/ro tmpfs true"}, mounts)
}

func TestFortySymlinksAreFollowed(t *testing.T) {
	ns := newSpace()
	write(t, ns, "/l0", "end")
	for i := 1; i <= 41; i++ {
		require.NoError(t, ns.Symlink(fmt.Sprintf("l%d", i-1), nil, fmt.Sprintf("/l%d", i)))
	}
	assert.Equal(t, "end", read(t, ns, "/l40"))
	_, err := ns.Open(nil, "/l41", syscall.O_RDONLY, 0)
	assert.Equal(t, syscall.ELOOP, err)
	require.NoError(t, ns.Symlink("self", nil, "/self"))
	_, err = ns.Stat(nil, "/self/x", 0)
	assert.Equal(t, syscall.ELOOP, err)
}

func TestPathOf(t *testing.T) {
	ns := newSpace()
	require.NoError(t, ns.Mkdir(nil, "/a", 0o755))
	f := open(t, ns, "/a/f", syscall.O_RDWR|syscall.O_CREAT)
	assert.Equal(t, "/a/f", ns.PathOf(f))
	require.NoError(t, ns.Rename(nil, "/a", nil, "/b", 0))
	require.NoError(t, ns.Rename(nil, "/b/f", nil, "/g", 0))
	assert.Equal(t, "/g", ns.PathOf(f))
	require.NoError(t, ns.Unlink(nil, "/g", 0))
	assert.Equal(t, "/g (deleted)", ns.PathOf(f))
	require.NoError(t, ns.Chdir("/b"))
	require.NoError(t, ns.Unlink(nil, "/b", abi.AT_REMOVEDIR))
	_, err := ns.Getcwd()
	assert.Equal(t, syscall.ENOENT, err)
	assert.Equal(t, "/", ns.PathOf(open(t, ns, "/", syscall.O_RDONLY)))
}

func TestTmpfileIsNamedThroughProc(t *testing.T) {
	ns := newSpace()
	proc := procfs.New("proc")
	require.NoError(t, ns.Mkdir(nil, "/proc", 0o755))
	require.NoError(t, ns.Mount("/proc", proc, "proc", false))
	f := open(t, ns, "/", syscall.O_RDWR|abi.O_TMPFILE)
	_, err := f.Write([]byte("hidden"))
	require.NoError(t, err)
	require.NoError(t, proc.AddDir("self/fd", func() []int { return []int{3} }, func(n int) (procfs.Node, bool) {
		return procfs.Node{
			Link: func() string { return ns.PathOf(f) },
			Jump: func() (*vfs.File, error) { f.IncRef(); return f, nil },
		}, n == 3
	}))
	require.NoError(t, ns.Link(nil, "/proc/self/fd/3", nil, "/named", abi.AT_SYMLINK_FOLLOW))
	assert.Equal(t, "hidden", read(t, ns, "/named"))
	assert.Equal(t, "hidden", read(t, ns, "/proc/self/fd/3"))
	st, err := f.Stat()
	require.NoError(t, err)
	assert.EqualValues(t, 1, st.Nlink)
}

func TestRemovedFileStaysOpenAndFreesItsSpace(t *testing.T) {
	ns := vfs.New(tmpfs.New(tmpfs.Options{Limit: 1 << 20}))
	f := open(t, ns, "/f", syscall.O_RDWR|syscall.O_CREAT)
	n, err := f.Write(make([]byte, 2<<20))
	require.NoError(t, err)
	assert.Equal(t, 1<<20, n, "a short write up to the limit")
	_, err = f.Write([]byte{1})
	assert.Equal(t, syscall.ENOSPC, err)
	require.NoError(t, ns.Unlink(nil, "/f", 0))
	free := func() uint64 {
		s, err := ns.Statfs(nil, "/")
		require.NoError(t, err)
		return s.Bfree
	}
	assert.EqualValues(t, 0, free())
	got, err := f.Pread(make([]byte, 100), 5000)
	require.NoError(t, err)
	assert.Equal(t, 100, got)
	require.NoError(t, f.Close())
	assert.EqualValues(t, 256, free())
}

func TestReadDirWhileNamesChange(t *testing.T) {
	ns := newSpace()
	require.NoError(t, ns.Mkdir(nil, "/d", 0o755))
	for i := range 500 {
		write(t, ns, fmt.Sprintf("/d/%03d", i), "")
	}
	d := open(t, ns, "/d", syscall.O_RDONLY)
	buf := make([]byte, 200)
	seen := map[string]int{}
	removed := 0
	for {
		n, err := d.ReadDir(buf)
		require.NoError(t, err)
		if n == 0 {
			break
		}
		for _, e := range parse(buf[:n]) {
			seen[e.name]++
			if e.name[0] != '.' && removed < 400 {
				require.NoError(t, ns.Unlink(nil, "/d/"+e.name, 0))
				removed++
			}
		}
	}
	for i := range 500 {
		assert.Equal(t, 1, seen[fmt.Sprintf("%03d", i)], i)
	}
	// Rewinding starts again; a position of before leads to the same place.
	_, err := d.Seek(0, abi.SEEK_SET)
	require.NoError(t, err)
	n, err := d.ReadDir(buf)
	require.NoError(t, err)
	second := parse(buf[:n])[1]
	rest := list(t, d, buf)
	assert.Len(t, rest, 102-len(parse(buf[:n])), "names behind the first buffer")
	_, err = d.Seek(second.off, abi.SEEK_SET)
	require.NoError(t, err)
	assert.Len(t, list(t, d, buf), 100)
	_, err = d.ReadDir(make([]byte, 10))
	assert.NoError(t, err, "at the end even a tiny buffer will do")
	_, err = d.Seek(0, abi.SEEK_SET)
	require.NoError(t, err)
	_, err = d.ReadDir(make([]byte, 10))
	assert.Equal(t, syscall.EINVAL, err)
}

func TestTimes(t *testing.T) {
	ns := newSpace()
	stat := func(path string) vfs.Stat {
		st, err := ns.Stat(nil, path, abi.AT_SYMLINK_NOFOLLOW)
		require.NoError(t, err)
		return st
	}
	write(t, ns, "/f", "x")
	require.NoError(t, ns.Symlink("f", nil, "/l"))
	old := syscall.Timespec{Sec: 1000, Nsec: 123456789}
	set := func(path string) {
		require.NoError(t, ns.Utimes(nil, path, [2]syscall.Timespec{old, old}, abi.AT_SYMLINK_NOFOLLOW))
	}
	later := func(a syscall.Timespec) bool { return a.Sec > old.Sec }

	set("/f")
	assert.Equal(t, old, stat("/f").Mtime)
	assert.True(t, later(stat("/f").Ctime), "ctime is when the times were set")
	require.NoError(t, ns.Utimes(nil, "/f", [2]syscall.Timespec{{Nsec: abi.UTIME_NOW}, {Nsec: abi.UTIME_OMIT}}, 0))
	assert.Equal(t, old, stat("/f").Mtime)
	assert.True(t, later(stat("/f").Atime))

	for _, tt := range []struct {
		what string
		do   func() error
		dir  bool // changes the directory's mtime
		file bool // changes /f's mtime
	}{
		{"write", func() error { f := open(t, ns, "/f", syscall.O_WRONLY); _, err := f.Write([]byte("y")); return err }, false, true},
		{"truncate", func() error { return ns.Truncate(nil, "/f", 0) }, false, true},
		{"chmod", func() error { return ns.Chmod(nil, "/f", 0o600, 0) }, false, false},
		{"link", func() error { return ns.Link(nil, "/f", nil, "/f2", 0) }, true, false},
		{"rename", func() error { return ns.Rename(nil, "/f2", nil, "/f3", 0) }, true, false},
		{"unlink", func() error { return ns.Unlink(nil, "/f3", 0) }, true, false},
		{"mkdir", func() error { return ns.Mkdir(nil, "/d", 0o755) }, true, false},
		{"rmdir", func() error { return ns.Unlink(nil, "/d", abi.AT_REMOVEDIR) }, true, false},
		{"symlink", func() error { return ns.Symlink("x", nil, "/s") }, true, false},
		{"create", func() error { write(t, ns, "/new", ""); return nil }, true, false},
		{"open what exists", func() error { write(t, ns, "/new", ""); return nil }, false, false},
	} {
		set("/f")
		set("/")
		require.NoError(t, tt.do(), tt.what)
		assert.Equal(t, tt.dir, later(stat("/").Mtime), "%s: directory", tt.what)
		assert.Equal(t, tt.file, later(stat("/f").Mtime), "%s: file", tt.what)
	}
	set("/l")
	assert.Equal(t, old, stat("/l").Mtime)
	set("/f")
	read(t, ns, "/f")
	write(t, ns, "/f", "z")
	set("/f")
	read(t, ns, "/f")
	assert.True(t, later(stat("/f").Atime), "relatime: read after a change")
}

func TestFlockBlocksUntilUnlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ns := newSpace()
		a := open(t, ns, "/f", syscall.O_RDWR|syscall.O_CREAT)
		b := open(t, ns, "/f", syscall.O_RDWR)
		require.NoError(t, a.Flock(syscall.LOCK_EX))
		assert.Equal(t, syscall.EAGAIN, b.Flock(syscall.LOCK_SH|syscall.LOCK_NB))
		got := make(chan error, 1)
		go func() { got <- b.Flock(syscall.LOCK_EX) }()
		synctest.Wait()
		assert.Empty(t, got)
		require.NoError(t, a.Close())
		require.NoError(t, <-got, "closing the file drops its lock")
		require.NoError(t, b.Flock(syscall.LOCK_SH))
		c := open(t, ns, "/f", syscall.O_RDONLY)
		require.NoError(t, c.Flock(syscall.LOCK_SH|syscall.LOCK_NB))
		assert.Equal(t, syscall.EAGAIN, b.Flock(syscall.LOCK_EX|syscall.LOCK_NB))
	})
}

func TestRecordLocksBlockUntilReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ns := newSpace()
		a := open(t, ns, "/f", syscall.O_RDWR|syscall.O_CREAT)
		b := open(t, ns, "/f", syscall.O_RDWR)
		lock := func(typ int16, start, length int64) *syscall.Flock_t {
			return &syscall.Flock_t{Type: typ, Start: start, Len: length}
		}
		require.NoError(t, a.Lock(syscall.F_SETLK, lock(syscall.F_WRLCK, 10, 20), 1))
		require.NoError(t, b.Lock(syscall.F_SETLK, lock(syscall.F_WRLCK, 15, 1), 1), "the same process")
		require.NoError(t, b.Lock(abi.F_OFD_SETLK, lock(syscall.F_WRLCK, 30, 10), 1), "a neighbour")
		got := make(chan error, 1)
		go func() { got <- b.Lock(abi.F_OFD_SETLKW, lock(syscall.F_RDLCK, 0, 0), 1) }()
		synctest.Wait()
		assert.Empty(t, got)
		require.NoError(t, a.Lock(syscall.F_SETLK, lock(syscall.F_UNLCK, 10, 10), 1))
		synctest.Wait()
		assert.Empty(t, got, "bytes 20 to 29 are still locked")
		b.ReleaseRecordLocks(1) // as any close does
		require.NoError(t, <-got)
		held := lock(syscall.F_WRLCK, 0, 0)
		require.NoError(t, a.Lock(syscall.F_GETLK, held, 1))
		assert.Equal(t, syscall.Flock_t{Type: syscall.F_RDLCK, Pid: -1}, *held)
	})
}

// pipe is a Handle to look at what a File does with it.
type pipe struct {
	vfs.Watchers
	closed bool
}

func (p *pipe) Read(b []byte, flags int) (int, error) {
	if flags&syscall.O_NONBLOCK != 0 {
		return 0, syscall.EAGAIN
	}
	return copy(b, "data"), nil
}
func (p *pipe) Write(b []byte, flags int) (int, error) { return len(b), nil }
func (p *pipe) Close() error                           { p.closed = true; return nil }

func TestFifoAndHandles(t *testing.T) {
	ns := newSpace()
	require.NoError(t, ns.Mknod(nil, "/fifo", syscall.S_IFIFO|0o644, 0))
	_, err := ns.Open(nil, "/fifo", syscall.O_RDONLY, 0)
	assert.Equal(t, syscall.ENXIO, err, "without a hook")
	var keys []any
	p := &pipe{}
	ns.OpenFifo = func(key any, flags int) (vfs.Handle, error) {
		keys = append(keys, key)
		return p, nil
	}
	require.NoError(t, ns.Link(nil, "/fifo", nil, "/other", 0))
	f, g := open(t, ns, "/fifo", syscall.O_RDWR|syscall.O_TRUNC), open(t, ns, "/other", syscall.O_RDWR)
	assert.Equal(t, keys[0], keys[1], "two names of one fifo")
	assert.Same(t, p, f.Handle())
	n, err := f.Read(make([]byte, 10))
	require.NoError(t, err)
	assert.Equal(t, 4, n)
	f.SetFlags(syscall.O_NONBLOCK)
	_, err = f.Read(make([]byte, 10))
	assert.Equal(t, syscall.EAGAIN, err)
	assert.Equal(t, syscall.O_RDWR|syscall.O_NONBLOCK, f.Flags())
	for what, err := range map[string]error{
		"seek":     second(f.Seek(0, 0)),
		"pread":    second(f.Pread(make([]byte, 1), 0)),
		"pwrite":   second(f.Pwrite(make([]byte, 1), 0)),
		"allocate": f.Fallocate(0, 0, 1),
	} {
		assert.Equal(t, syscall.ESPIPE, err, what)
	}
	assert.Equal(t, syscall.EINVAL, f.Truncate(0))
	assert.Equal(t, syscall.ENOTTY, f.Ioctl(1, nil))
	f.IncRef()
	require.NoError(t, f.Close())
	assert.False(t, p.closed)
	require.NoError(t, f.Close())
	assert.True(t, p.closed)
	require.NoError(t, g.Close())

	a, b := vfs.NewFilePair(&pipe{}, &pipe{}, syscall.O_RDONLY, syscall.O_WRONLY, syscall.S_IFIFO|0o600, "pipe:")
	sa, _ := a.Stat()
	sb, _ := b.Stat()
	assert.Equal(t, sa, sb)
	assert.Equal(t, fmt.Sprintf("pipe:[%d]", sa.Ino), ns.PathOf(a))
	assert.Equal(t, syscall.EBADF, second(a.Write([]byte{1})))

	fired := uint32(0)
	cancel := p.Notify(func(events uint32) { fired |= events })
	p.Fire(abi.POLLIN)
	cancel()
	p.Fire(abi.POLLOUT)
	assert.EqualValues(t, abi.POLLIN, fired)
}

func second[T any](_ T, err error) error { return err }

func TestDevices(t *testing.T) {
	ns := newSpace()
	dev := devfs.New(func(p []byte) {
		for i := range p {
			p[i] = byte(rand.Uint32())
		}
	}, nil)
	ns.OpenDevice = dev.OpenDevice
	require.NoError(t, ns.Mkdir(nil, "/dev", 0o755))
	require.NoError(t, ns.Mount("/dev", dev, "dev", false))
	assert.Empty(t, read(t, ns, "/dev/null"))
	buf := []byte("xxxx")
	n, err := open(t, ns, "/dev/zero", syscall.O_RDWR).Pread(buf, 10)
	require.NoError(t, err)
	assert.Equal(t, "\x00\x00\x00\x00", string(buf[:n]))
	_, err = open(t, ns, "/dev/full", syscall.O_RDWR).Write(buf)
	assert.Equal(t, syscall.ENOSPC, err)
	a, b := make([]byte, 32), make([]byte, 32)
	f := open(t, ns, "/dev/urandom", syscall.O_RDONLY)
	_, err = f.Read(a)
	require.NoError(t, err)
	_, err = f.Read(b)
	require.NoError(t, err)
	assert.NotEqual(t, a, b)
	st, err := ns.Stat(nil, "/dev/null", 0)
	require.NoError(t, err)
	assert.EqualValues(t, 0x103, st.Rdev)
	assert.EqualValues(t, syscall.S_IFCHR|0o666, st.Mode)
	link, err := ns.Readlink(nil, "/dev/stdout")
	require.NoError(t, err)
	assert.Equal(t, "/proc/self/fd/1", link)
	write(t, ns, "/dev/shm/x", "y")
	require.NoError(t, dev.Register("tty", 0o666, vfs.Dev(5, 0), func(int) (vfs.Handle, error) { return &pipe{}, nil }))
	assert.IsType(t, &pipe{}, open(t, ns, "/dev/tty", syscall.O_RDWR).Handle())
	assert.Equal(t, syscall.EEXIST, dev.Register("tty", 0, vfs.Dev(5, 0), nil))
	require.NoError(t, ns.Mknod(nil, "/unknown", syscall.S_IFCHR, vfs.Dev(200, 1)))
	_, err = ns.Open(nil, "/unknown", syscall.O_RDONLY, 0)
	assert.Equal(t, syscall.ENXIO, err)
	require.NoError(t, ns.Mknod(nil, "/socket", syscall.S_IFSOCK, 0))
	_, err = ns.Open(nil, "/socket", syscall.O_RDWR, 0)
	assert.Equal(t, syscall.ENXIO, err)
}

func TestProc(t *testing.T) {
	ns := newSpace()
	proc := procfs.New("proc")
	require.NoError(t, ns.Mkdir(nil, "/proc", 0o755))
	require.NoError(t, ns.Mount("/proc", proc, "proc", false))
	value := "one\n"
	require.NoError(t, proc.AddFile("/sys/kernel/value", 0o644, func() []byte { return []byte(value) }))
	require.NoError(t, proc.AddLink("/self/exe", func() string { return "/bin/prog" }))
	fds := []int{0, 2, 10, 9}
	require.NoError(t, proc.AddDir("/self/fd", func() []int { return fds }, func(n int) (procfs.Node, bool) {
		return procfs.Node{Link: func() string { return fmt.Sprint("/file", n) }}, n < 11
	}))
	for what, err := range map[string]error{
		"twice":           proc.AddFile("/self/exe", 0o444, nil),
		"below a file":    proc.AddFile("/self/exe/x", 0o444, nil),
		"below generated": proc.AddFile("/self/fd/x", 0o444, nil),
		"bad name":        proc.AddFile("/a/../b", 0o444, nil),
	} {
		assert.Error(t, err, what)
	}
	f := open(t, ns, "/proc/sys/kernel/value", syscall.O_RDWR|syscall.O_TRUNC)
	value = "two\n"
	assert.Equal(t, "one\n", readAll(t, f), "as it was when opened")
	_, err := f.Write([]byte("x"))
	assert.Equal(t, syscall.EIO, err)
	assert.Equal(t, "two\n", read(t, ns, "/proc/sys/kernel/value"))
	exe, err := ns.Readlink(nil, "/proc/self/exe")
	require.NoError(t, err)
	assert.Equal(t, "/bin/prog", exe)

	d := open(t, ns, "/proc/self/fd", syscall.O_RDONLY)
	buf := make([]byte, 24*4)
	n, err := d.ReadDir(buf)
	require.NoError(t, err)
	assert.Len(t, parse(buf[:n]), 4) // . .. 0 2
	fds = []int{10, 9, 3}
	assert.Equal(t, []string{"3", "9", "10"}, list(t, d, buf), "what was closed meanwhile moves nothing")
	st, err := ns.Stat(nil, "/proc/self/fd/9", abi.AT_SYMLINK_NOFOLLOW)
	require.NoError(t, err)
	again, _ := ns.Stat(nil, "/proc/self/fd/9", abi.AT_SYMLINK_NOFOLLOW)
	assert.Equal(t, st, again)
	for path, want := range map[string]error{
		"/proc/self/fd/11": syscall.ENOENT, "/proc/self/fd/09": syscall.ENOENT, "/proc/self/fd/-1": syscall.ENOENT,
	} {
		_, err := ns.Readlink(nil, path)
		assert.Equal(t, want, err, path)
	}
	assert.Equal(t, syscall.EPERM, ns.Mkdir(nil, "/proc/new", 0o755))
	assert.Equal(t, syscall.EPERM, ns.Unlink(nil, "/proc/self/exe", 0))
	_, err = ns.Open(nil, "/proc/new", syscall.O_CREAT|syscall.O_RDWR, 0o644)
	assert.Equal(t, syscall.EACCES, err)
	sys, err := fs.Sub(iofs.FS{Namespace: ns}, "proc/sys")
	require.NoError(t, err)
	assert.NoError(t, fstest.TestFS(sys, "kernel/value"))
}

// TestConcurrentUse is for the race detector, and against deadlocks.
func TestConcurrentUse(t *testing.T) {
	ns := newSpace()
	for _, d := range []string{"/a", "/b", "/a/c"} {
		require.NoError(t, ns.Mkdir(nil, d, 0o755))
	}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(worker), 1))
			name := func() string {
				return []string{"/a/", "/b/", "/a/c/", "/"}[rnd.IntN(4)] + string(rune('p'+rnd.IntN(4)))
			}
			buf := make([]byte, 4096)
			for range 1500 {
				switch rnd.IntN(9) {
				case 0, 1, 2:
					f, err := ns.Open(nil, name(), syscall.O_RDWR|syscall.O_CREAT, 0o644)
					if err != nil {
						continue
					}
					f.Pwrite(buf[:rnd.IntN(len(buf))], int64(rnd.IntN(100_000)))
					f.Read(buf)
					f.Flock(syscall.LOCK_EX | syscall.LOCK_NB)
					ns.PathOf(f)
					f.Close()
				case 3:
					ns.Rename(nil, name(), nil, name(), rnd.IntN(3))
				case 4:
					ns.Link(nil, name(), nil, name(), 0)
				case 5:
					ns.Unlink(nil, name(), 0)
				case 6:
					ns.Mkdir(nil, name(), 0o755)
					ns.Unlink(nil, name(), abi.AT_REMOVEDIR)
				case 7:
					if f, err := ns.Open(nil, "/a", syscall.O_RDONLY, 0); err == nil {
						for n := 1; n > 0; {
							n, _ = f.ReadDir(buf)
						}
						f.Close()
					}
				case 8:
					ns.Chdir("/a")
					ns.Getcwd()
					ns.Stat(nil, name(), 0)
					ns.Truncate(nil, name(), int64(rnd.IntN(50_000)))
				}
			}
		})
	}
	wg.Wait()
	// All that was counted is there, and nothing else.
	require.NoError(t, ns.Chdir("/"))
	removeAll(t, ns, "/")
	s, err := ns.Statfs(nil, "/")
	require.NoError(t, err)
	assert.Equal(t, s.Blocks, s.Bfree)
}

func removeAll(t *testing.T, ns *vfs.Namespace, path string) {
	f := open(t, ns, path, syscall.O_RDONLY)
	defer f.Close()
	for _, name := range list(t, f, make([]byte, 4096)) {
		if name == "." || name == ".." {
			continue
		}
		child := path + name
		if err := ns.Unlink(nil, child, 0); err == syscall.EISDIR {
			removeAll(t, ns, child+"/")
			require.NoError(t, ns.Unlink(nil, child, abi.AT_REMOVEDIR))
		} else {
			require.NoError(t, err)
		}
	}
}

func BenchmarkStat(b *testing.B) {
	ns := newSpace()
	ns.Mkdir(nil, "/a", 0o755)
	ns.Mkdir(nil, "/a/b", 0o755)
	ns.Mknod(nil, "/a/b/f", syscall.S_IFREG|0o644, 0)
	for b.Loop() {
		ns.Stat(nil, "/a/b/f", 0)
	}
}

func BenchmarkCreateAndUnlink(b *testing.B) {
	ns := newSpace()
	for b.Loop() {
		f, _ := ns.Open(nil, "/f", syscall.O_RDWR|syscall.O_CREAT, 0o644)
		f.Close()
		ns.Unlink(nil, "/f", 0)
	}
}

func BenchmarkWrite(b *testing.B) {
	ns := newSpace()
	buf := make([]byte, 32<<10)
	b.SetBytes(16 << 20)
	for b.Loop() {
		f, _ := ns.Open(nil, "/f", syscall.O_RDWR|syscall.O_CREAT|syscall.O_TRUNC, 0o644)
		for range 16 << 20 / len(buf) {
			f.Write(buf)
		}
		f.Close()
	}
}

func BenchmarkRead(b *testing.B) {
	ns := newSpace()
	f, _ := ns.Open(nil, "/f", syscall.O_RDWR|syscall.O_CREAT, 0o644)
	f.Write(make([]byte, 16<<20))
	buf := make([]byte, 32<<10)
	b.SetBytes(16 << 20)
	for b.Loop() {
		for off := int64(0); off < 16<<20; off += int64(len(buf)) {
			f.Pread(buf, off)
		}
	}
}
