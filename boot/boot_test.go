//go:build !goshawk

package boot

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/fs/devfs"
	"github.com/goshawk-os/goshawk/fs/vfs"
	"github.com/goshawk-os/goshawk/kernel/cmdline"
	"github.com/goshawk-os/goshawk/kernel/linux"
)

func TestReadOptions(t *testing.T) {
	line, err := cmdline.Encode([]string{"console=framed", "env=A=B", "cwd=/a b", "argv0=/bin/x", "tar=/data", "share=x:/a b:ro", "share=y:/c", "cosnole=x y"}, []string{"-v", ""})
	require.NoError(t, err)
	assert.Equal(t, options{
		framed: true, cwd: "/a b", tar: "/data", shares: []string{"x:/a b:ro", "y:/c"}, args: []string{"/bin/x", "-v", ""}, unknown: []string{"cosnole=x y"},
	}, readOptions(line+" virtio_mmio.device=512@0xfeb00000:5"))
	assert.Equal(t, options{args: []string{program}}, readOptions(""))
}

func TestParseShare(t *testing.T) {
	for option, want := range map[string]share{
		"x:/a b": {"x", "/a b", false}, "share0:/mnt:ro": {"share0", "/mnt", true}, "x:/mnt:rw": {"x", "/mnt:rw", false},
	} {
		s, ok := parseShare(option)
		assert.True(t, ok, option)
		assert.Equal(t, want, s)
	}
	for _, option := range []string{"", "x", ":/mnt", "x:", "x:mnt", "x:ro"} {
		_, ok := parseShare(option)
		assert.False(t, ok, option)
	}
}

// archive returns a tar with these files.
func archive(t *testing.T, files map[string]string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range files {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o640, Size: int64(len(text)), Typeflag: tar.TypeReg}))
		_, err := w.Write([]byte(text))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

func read(t *testing.T, space *vfs.Namespace, path string) string {
	f, err := space.Open(nil, path, syscall.O_RDONLY, 0)
	require.NoError(t, err, path)
	defer f.Close()
	b := make([]byte, 1<<16)
	n, err := f.Read(b)
	require.NoError(t, err, path)
	return string(b[:n])
}

func TestRoot(t *testing.T) {
	space, err := newRoot(archive(t, map[string]string{"etc/hosts": "mine\n", "data/x": "xyz"}), 1<<20)
	require.NoError(t, err)
	assert.Equal(t, "mine\n", read(t, space, "/etc/hosts"), "the image's file stays")
	assert.Contains(t, read(t, space, "/etc/passwd"), "root:x:0:0:")
	assert.Equal(t, "xyz", read(t, space, "/data/x"))
	st, err := space.Stat(nil, "/tmp", 0)
	require.NoError(t, err)
	assert.Equal(t, uint32(syscall.S_IFDIR|0o1777), st.Mode)
	assert.Equal(t, uint32(0o22), space.Umask(0o22))
	sf, err := space.Statfs(nil, "/")
	require.NoError(t, err)
	assert.Equal(t, uint64(1<<20), sf.Blocks*uint64(sf.Bsize))

	_, err = newRoot([]byte("no tar at all, and longer than nothing"), 1<<20)
	assert.ErrorContains(t, err, "the files of the image")
}

func TestProgram(t *testing.T) {
	space, err := newRoot(nil, 1<<20)
	require.NoError(t, err)
	require.NoError(t, addProgram(space, "bin/prog", []byte("image")))
	assert.Equal(t, "image", read(t, space, "/bin/prog"))
	require.NoError(t, addProgram(space, "/bin/prog", []byte("other")))
	assert.Equal(t, "image", read(t, space, "/bin/prog"), "a file that is there stays")
	assert.ErrorContains(t, addProgram(space, "/bin/prog/x", nil), "/bin/prog/x")
}

func TestModule(t *testing.T) {
	space, err := newRoot(nil, 1<<20)
	require.NoError(t, err)
	require.NoError(t, mountModule(space, "", nil, 1<<20))
	assert.ErrorContains(t, mountModule(space, "/a", nil, 1<<20), "-initrd")
	require.NoError(t, mountModule(space, "/a/b", archive(t, map[string]string{"f": "text"}), 1<<20))
	assert.Equal(t, "text", read(t, space, "/a/b/f"))
	require.NoError(t, changeDirectory(space, "/a/b"))
	assert.ErrorContains(t, changeDirectory(space, "/nope"), "cwd=/nope")
}

// started returns the name space of a guest that has booted.
func started(t testing.TB) *vfs.Namespace {
	space, err := newRoot(nil, 1<<20)
	require.NoError(t, err)
	require.NoError(t, mountDevices(space, func(p []byte) { rand.Read(p) }, func(*devfs.FS) {}))
	require.NoError(t, mountProc(space, []string{"prog", "arg"}))
	linux.Start(space, true)
	return space
}

func TestDevices(t *testing.T) {
	space := started(t)
	assert.Empty(t, read(t, space, "/dev/null"))
	f, err := space.Open(nil, "/dev/console", syscall.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	n, err := f.Write([]byte("x"))
	assert.NoError(t, err)
	assert.Equal(t, 1, n)
	f, err = space.Open(nil, "/dev/stdout", syscall.O_WRONLY, 0)
	require.NoError(t, err, "through /proc/self/fd")
	f.Close()
}

func TestProc(t *testing.T) {
	space := started(t)
	for path, want := range map[string]string{
		"/proc/self/cmdline": "prog\x00arg\x00", "/proc/self/comm": "main\n", "/proc/1/status": "Pid:\t1\n", "/proc/self/task/7/status": "Tgid:\t1\nNgid:\t0\nPid:\t7\n", "/proc/self/task/1/comm": "main\n",
		"/proc/self/maps": " r-xp 00000000 00:00 0 /prog\n", "/proc/mounts": "proc /proc proc rw",
		"/proc/self/stat": "1 (main) R 0 1 1 0 -1 ", "/proc/self/limits": "Max open files            1024                 1048576              files",
		"/proc/meminfo": "MemTotal: ", "/proc/stat": "btime 1", "/proc/version": "Linux version ", "/proc/cpuinfo": "processor\t: 0\n",
		"/proc/sys/kernel/osrelease": linux.OSRelease + "\n", "/proc/sys/net/core/somaxconn": "4096\n", "/proc/sys/fs/nr_open": strconv.Itoa(linux.MaxFiles) + "\n",
		"/proc/self/statm": " 0 0 0 0 0\n", "/proc/loadavg": "0.00 ", "/proc/uptime": ".",
	} {
		assert.Contains(t, read(t, space, path), want, path)
	}
	assert.Len(t, strings.Fields(read(t, space, "/proc/self/stat")), 52)
	assert.Contains(t, read(t, space, "/proc/1/status"), "\nUmask:\t0022\n")
	assert.Contains(t, read(t, space, "/proc/1/status"), "\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n")
	assert.Contains(t, read(t, space, "/proc/1/status"), "\nGroups:\t \n")
	assert.Contains(t, read(t, space, "/proc/1/status"), "\nCapEff:\t000001ffffffffff\n")
	_, err := space.Stat(nil, "/proc/self/task/3", 0)
	assert.Equal(t, syscall.ENOENT, err, "no such thread")
	const uuid = "/proc/sys/kernel/random/uuid"
	assert.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\n$`, read(t, space, uuid))
	assert.NotEqual(t, read(t, space, uuid), read(t, space, uuid))
	const boot = "/proc/sys/kernel/random/boot_id"
	assert.Equal(t, read(t, space, boot), read(t, space, boot))
	for path, want := range map[string]string{"/proc/self/exe": "/prog", "/proc/self/cwd": "/", "/proc/self/fd/1": "/dev/console"} {
		target, err := space.Readlink(nil, path)
		require.NoError(t, err, path)
		assert.Equal(t, want, target, path)
	}
	_, err = space.Stat(nil, "/proc/self/fd/77", 0)
	assert.Equal(t, syscall.ENOENT, err)
}

// BenchmarkBoot is what every program pays before its main.
func BenchmarkBoot(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		started(b)
	}
}
