package p9

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/iofs"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

const (
	rdonly = syscall.O_RDONLY
	wronly = syscall.O_WRONLY
	rdwr   = syscall.O_RDWR
	creat  = syscall.O_CREAT
)

func open(t testing.TB, ns *vfs.Namespace, path string, flags int, mode uint32) *vfs.File {
	t.Helper()
	f, err := ns.Open(nil, path, flags, mode)
	require.NoError(t, err, path)
	return f
}

func write(t testing.TB, ns *vfs.Namespace, path, text string, flags int) {
	t.Helper()
	f := open(t, ns, path, flags, 0o644)
	n, err := f.Write([]byte(text))
	require.NoError(t, err)
	require.Equal(t, len(text), n)
	require.NoError(t, f.Close())
}

func read(t testing.TB, ns *vfs.Namespace, path string) string {
	t.Helper()
	f := open(t, ns, path, rdonly, 0)
	defer f.Close()
	p := make([]byte, 1<<20)
	n, err := f.Read(p)
	require.NoError(t, err)
	return string(p[:n])
}

func onHost(t testing.TB, path ...string) string {
	t.Helper()
	p, err := os.ReadFile(filepath.Join(path...))
	require.NoError(t, err)
	return string(p)
}

// balanced waits until the server has no fids but those that the inodes in
// memory have.
func balanced(t *testing.T, fs *FS, want int) {
	t.Helper()
	c := fs.client
	if !assert.Eventually(t, func() bool {
		runtime.GC()
		c.mu.Lock()
		defer c.mu.Unlock()
		return int(c.lastFid)-len(c.free) == want && len(c.dead) == 0
	}, 10*time.Second, 5*time.Millisecond) {
		c.mu.Lock()
		defer c.mu.Unlock()
		t.Logf("%d fids, %d wanted; %d names", int(c.lastFid)-len(c.free), want, fs.recent.length)
	}
}

func TestTree(t *testing.T) {
	dir, _, ns := share(t)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "a/b"), 0o755))
	for i := range 300 {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "a", fmt.Sprint("file", i)), bytes.Repeat([]byte("x"), i%40), 0o640))
	}
	require.NoError(t, os.Symlink("a/b", filepath.Join(dir, "link")))
	require.NoError(t, os.Symlink("a/file7", filepath.Join(dir, "file")))
	require.NoError(t, fstest.TestFS(iofs.FS{Namespace: ns}, "a/b", "a/file0", "a/file299", "link", "file"))
	st, err := ns.Stat(nil, "/a/file9", 0)
	require.NoError(t, err)
	var host syscall.Stat_t
	require.NoError(t, syscall.Stat(filepath.Join(dir, "a/file9"), &host))
	got := st.Sys()
	got.Dev = host.Dev
	assert.Equal(t, host, got)
	sf, err := ns.Statfs(nil, "/a")
	require.NoError(t, err)
	var hostFS syscall.Statfs_t
	require.NoError(t, syscall.Statfs(dir, &hostFS))
	assert.Equal(t, hostFS.Blocks, sf.Blocks)
	assert.Equal(t, "9p", ns.Mounts()[0].Type)
}

func TestChanges(t *testing.T) {
	dir, fs, ns := share(t)
	ns.Umask(0o022)
	write(t, ns, "/new", "hello", wronly|creat|syscall.O_EXCL)
	assert.Equal(t, "hello", onHost(t, dir, "new"))
	_, err := ns.Open(nil, "/new", wronly|creat|syscall.O_EXCL, 0o600)
	assert.Equal(t, syscall.EEXIST, err)
	_, err = ns.Open(nil, "/none", rdonly, 0)
	assert.Equal(t, syscall.ENOENT, err)
	_, err = ns.Open(nil, "/new/x", rdonly, 0)
	assert.Equal(t, syscall.ENOTDIR, err)
	_, err = ns.Open(nil, "/"+strings.Repeat("n", 256), rdonly|creat, 0)
	assert.Equal(t, syscall.ENAMETOOLONG, err)
	write(t, ns, "/new", ", world", wronly|syscall.O_APPEND)
	write(t, ns, "/new", "H", rdwr)
	assert.Equal(t, "Hello, world", onHost(t, dir, "new"))
	write(t, ns, "/new", "x", wronly|syscall.O_TRUNC)
	assert.Equal(t, "x", onHost(t, dir, "new"))
	require.NoError(t, ns.Truncate(nil, "/new", 3))
	assert.Equal(t, "x\x00\x00", onHost(t, dir, "new"))

	// Permissions of the file do not matter to who has made it.
	write(t, ns, "/readonly", "text", wronly|creat|syscall.O_EXCL)
	f := open(t, ns, "/locked", rdwr|creat|syscall.O_SYNC, 0o400)
	_, err = f.Write([]byte("text"))
	require.NoError(t, err)
	require.NoError(t, f.Sync())
	require.NoError(t, f.Close())
	info, err := os.Stat(filepath.Join(dir, "locked"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o400), info.Mode())

	require.NoError(t, ns.Mkdir(nil, "/d", 0o777))
	info, err = os.Stat(filepath.Join(dir, "d"))
	require.NoError(t, err)
	assert.Equal(t, os.ModeDir|0o755, info.Mode())
	assert.Equal(t, syscall.EEXIST, ns.Mkdir(nil, "/d", 0o777))
	require.NoError(t, ns.Symlink("../new", nil, "/d/link"))
	target, err := ns.Readlink(nil, "/d/link")
	require.NoError(t, err)
	assert.Equal(t, "../new", target)
	assert.Equal(t, "x\x00\x00", read(t, ns, "/d/link"))
	long := strings.Repeat("x/", 2047) + "y"
	require.NoError(t, ns.Symlink(long, nil, "/d/long"))
	target, err = ns.Readlink(nil, "/d/long")
	require.NoError(t, err)
	assert.Equal(t, long, target)
	require.NoError(t, ns.Link(nil, "/new", nil, "/d/hard", 0))
	st, err := ns.Stat(nil, "/d/hard", 0)
	require.NoError(t, err)
	assert.EqualValues(t, 2, st.Nlink)
	one, err := ns.Inode(nil, "/new", 0)
	require.NoError(t, err)
	two, err := ns.Inode(nil, "/d/hard", 0)
	require.NoError(t, err)
	assert.True(t, one == two, "a file is one inode")
	require.NoError(t, ns.Mknod(nil, "/fifo", syscall.S_IFIFO|0o600, 0))
	st, err = ns.Stat(nil, "/fifo", 0)
	require.NoError(t, err)
	assert.EqualValues(t, syscall.S_IFIFO|0o600, st.Mode)

	require.NoError(t, ns.Chmod(nil, "/new", 0o751, 0))
	times := [2]syscall.Timespec{{Sec: 1000, Nsec: 5}, {Sec: 2000, Nsec: 7}}
	require.NoError(t, ns.Utimes(nil, "/new", times, 0))
	require.NoError(t, ns.Chown(nil, "/new", vfs.NoID, vfs.NoID, 0))
	st, err = ns.Stat(nil, "/new", 0)
	require.NoError(t, err)
	assert.EqualValues(t, syscall.S_IFREG|0o751, st.Mode)
	assert.Equal(t, times, [2]syscall.Timespec{st.Atime, st.Mtime})

	require.NoError(t, ns.Rename(nil, "/new", nil, "/d/moved", 0))
	assert.NoFileExists(t, filepath.Join(dir, "new"))
	assert.FileExists(t, filepath.Join(dir, "d/moved"))
	assert.Equal(t, syscall.EINVAL, ns.Rename(nil, "/d/moved", nil, "/x", abi.RENAME_NOREPLACE))
	assert.Equal(t, syscall.EINVAL, ns.Rename(nil, "/d", nil, "/d/below", 0))
	assert.Equal(t, syscall.EISDIR, ns.Unlink(nil, "/d", 0))
	assert.Equal(t, syscall.ENOTEMPTY, ns.Unlink(nil, "/d", abi.AT_REMOVEDIR))
	assert.Equal(t, syscall.ENOTDIR, ns.Unlink(nil, "/d/moved", abi.AT_REMOVEDIR))
	for _, name := range []string{"link", "long", "hard", "moved"} {
		require.NoError(t, ns.Unlink(nil, "/d/"+name, 0))
	}
	require.NoError(t, ns.Unlink(nil, "/d", abi.AT_REMOVEDIR))
	assert.NoDirExists(t, filepath.Join(dir, "d"))
	one, two = nil, nil
	for _, name := range []string{"readonly", "locked", "fifo"} {
		require.NoError(t, ns.Unlink(nil, "/"+name, 0))
	}
	balanced(t, fs, 1) // the root
}

// TestLarge shows that transfers are split, and that several are under way.
func TestLarge(t *testing.T) {
	dir := t.TempDir()
	p := serve(dir, 16<<10)
	fs, err := Mount(p, func(s string) { t.Error(s) })
	require.NoError(t, err)
	ns := vfs.New(fs)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 1))
			data := make([]byte, 1<<20+i*1111)
			for j := range data {
				data[j] = byte(random.Uint32())
			}
			name := fmt.Sprint("/large", i)
			write(t, ns, name, string(data), wronly|creat)
			assert.Equal(t, sha256.Sum256(data), sha256.Sum256([]byte(onHost(t, dir, name))))
			f := open(t, ns, name, rdonly, 0)
			defer f.Close()
			got := make([]byte, 2<<20)
			n, err := f.Pread(got, 4321)
			assert.NoError(t, err)
			assert.True(t, bytes.Equal(data[4321:], got[:n]))
		})
	}
	group.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	assert.Greater(t, p.most, 1)
	assert.GreaterOrEqual(t, p.counts[Twrite], 8*(1<<20)/(16<<10))
}

// TestHostChanges: what the host does to the files is seen at once.
func TestHostChanges(t *testing.T) {
	dir, fs, ns := share(t)
	host := func(path string) string { return filepath.Join(dir, path) }
	require.NoError(t, os.MkdirAll(host("a/b"), 0o755))
	write(t, ns, "/a/file", "one", wronly|creat)
	held := open(t, ns, "/a/file", rdonly, 0)

	// A file that is renamed is the same one.
	require.NoError(t, os.Rename(host("a/file"), host("a/b/other")))
	_, err := ns.Stat(nil, "/a/file", 0)
	assert.Equal(t, syscall.ENOENT, err)
	again, err := ns.Inode(nil, "/a/b/other", 0)
	require.NoError(t, err)
	assert.True(t, held.Inode() == again)
	assert.Equal(t, "/a/b/other", ns.PathOf(open(t, ns, "/a/b/other", rdonly, 0)))
	require.NoError(t, held.Close())
	assert.Equal(t, "one", read(t, ns, "/a/b/other"))

	// So is a directory, and it knows where it is.
	require.NoError(t, ns.Chdir("/a/b"))
	require.NoError(t, os.Rename(host("a/b"), host("c")))
	_, err = ns.Stat(nil, "/c", 0)
	require.NoError(t, err)
	cwd, err := ns.Getcwd()
	require.NoError(t, err)
	assert.Equal(t, "/c", cwd)
	assert.Equal(t, "one", read(t, ns, "other"))

	// Another file by the same name is another one.
	f := open(t, ns, "/c/other", rdwr, 0)
	require.NoError(t, os.WriteFile(host("temporary"), []byte("two"), 0o600))
	require.NoError(t, os.Rename(host("temporary"), host("c/other")))
	assert.Equal(t, "two", read(t, ns, "/c/other"))
	p := make([]byte, 10)
	n, err := f.Read(p)
	require.NoError(t, err)
	assert.Equal(t, "one", string(p[:n]), "what is open stays")
	require.NoError(t, f.Close())

	// The tree is turned round.
	require.NoError(t, os.MkdirAll(host("x/y"), 0o755))
	_, err = ns.Stat(nil, "/x/y", 0)
	require.NoError(t, err)
	require.NoError(t, ns.Chdir("/x/y"))
	require.NoError(t, os.Rename(host("x/y"), host("y")))
	require.NoError(t, os.Rename(host("x"), host("y/x")))
	_, err = ns.Stat(nil, "/y/x", 0)
	require.NoError(t, err)
	cwd, err = ns.Getcwd()
	require.NoError(t, err)
	assert.Equal(t, "/y", cwd)

	// A file becomes one of another type.
	require.NoError(t, os.Remove(host("c/other")))
	require.NoError(t, os.Mkdir(host("c/other"), 0o755))
	st, err := ns.Stat(nil, "/c/other", 0)
	require.NoError(t, err)
	assert.EqualValues(t, syscall.S_IFDIR, st.Mode&syscall.S_IFMT)
	require.NoError(t, ns.Chdir("/"))
	_ = fs
}

// TestOpenFiles: renamed and removed files that are open.
func TestOpenFiles(t *testing.T) {
	dir, fs, ns := share(t)
	f := open(t, ns, "/file", rdwr|creat, 0o600)
	n, err := f.Write([]byte("content"))
	require.NoError(t, err)
	require.Equal(t, 7, n)
	require.NoError(t, ns.Mkdir(nil, "/d", 0o755))
	require.NoError(t, ns.Rename(nil, "/file", nil, "/d/renamed", 0))
	assert.Equal(t, "/d/renamed", ns.PathOf(f))
	require.NoError(t, ns.Rename(nil, "/d", nil, "/e", 0))
	assert.Equal(t, "/e/renamed", ns.PathOf(f))
	st, err := f.Stat()
	require.NoError(t, err)
	assert.EqualValues(t, 7, st.Size)
	require.NoError(t, ns.Unlink(nil, "/e/renamed", 0))
	assert.Equal(t, "/e/renamed (deleted)", ns.PathOf(f))
	_, err = f.Pwrite([]byte(" and more"), 7)
	require.NoError(t, err)
	p := make([]byte, 100)
	n, err = f.Pread(p, 0)
	require.NoError(t, err)
	assert.Equal(t, "content and more", string(p[:n]))
	st, err = f.Stat()
	require.NoError(t, err)
	assert.EqualValues(t, 16, st.Size)
	assert.Zero(t, st.Nlink)
	f.SetFlags(syscall.O_APPEND)
	_, err = f.Write([]byte("!"))
	require.NoError(t, err)
	require.NoError(t, f.Close())

	// One that is renamed over another.
	write(t, ns, "/over", "over", wronly|creat)
	write(t, ns, "/under", "under", wronly|creat)
	f = open(t, ns, "/under", rdonly, 0)
	require.NoError(t, ns.Rename(nil, "/over", nil, "/under", 0))
	n, err = f.Read(p)
	require.NoError(t, err)
	assert.Equal(t, "under", string(p[:n]))
	assert.Equal(t, "over", read(t, ns, "/under"))
	require.NoError(t, f.Close())

	// A directory.
	d := open(t, ns, "/e", rdonly, 0)
	require.NoError(t, ns.Unlink(nil, "/e", abi.AT_REMOVEDIR))
	_, err = d.ReadDir(make([]byte, 1000))
	for err == nil { // "." and ".." are there
		_, err = d.ReadDir(make([]byte, 1000))
	}
	assert.Equal(t, syscall.ENOENT, err)
	require.NoError(t, d.Close())
	require.NoError(t, ns.Unlink(nil, "/under", 0))
	list, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, list)
	f, d = nil, nil
	balanced(t, fs, 1)
}

func TestXattrs(t *testing.T) {
	dir, fs, ns := share(t)
	write(t, ns, "/file", "x", wronly|creat)
	if err := syscall.Setxattr(filepath.Join(dir, "file"), "user.try", []byte("1"), 0); err != nil {
		require.NoError(t, err, "the temporary directory's file system has no extended attributes: set TMPDIR")
	}
	value := bytes.Repeat([]byte("value"), 300)
	require.NoError(t, ns.Setxattr(nil, "/file", "user.name", value, abi.XATTR_CREATE, 0))
	assert.Equal(t, syscall.EEXIST, ns.Setxattr(nil, "/file", "user.name", value, abi.XATTR_CREATE, 0))
	got := make([]byte, 5000)
	n, err := ns.Getxattr(nil, "/file", "user.name", got, 0)
	require.NoError(t, err)
	assert.Equal(t, value, got[:n])
	n, err = ns.Listxattr(nil, "/file", got, 0)
	require.NoError(t, err)
	assert.Contains(t, "\x00"+string(got[:n]), "\x00user.name\x00")
	require.NoError(t, ns.Removexattr(nil, "/file", "user.name", 0))
	_, err = ns.Getxattr(nil, "/file", "user.name", nil, 0)
	assert.Equal(t, syscall.ENODATA, err)
	assert.Equal(t, syscall.ENODATA, ns.Removexattr(nil, "/file", "user.name", 0))
	assert.Equal(t, syscall.EOPNOTSUPP, ns.Setxattr(nil, "/file", "user.empty", nil, 0, 0))
	balanced(t, fs, 2)
}

// TestForgotten: names are forgotten, what is in use is not.
func TestForgotten(t *testing.T) {
	dir, fs, ns := share(t)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "d/mnt"), 0o755))
	for i := range 3 * maxNames {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "d", fmt.Sprint(i)), nil, 0o600))
	}
	_, other, _ := share(t)
	require.NoError(t, ns.Mount("/d/mnt", other, "other", false))
	f := open(t, ns, "/d/0", rdwr, 0)
	for i := range 3 * maxNames {
		_, err := ns.Stat(nil, fmt.Sprint("/d/", i), 0)
		require.NoError(t, err)
	}
	fs.mu.Lock()
	assert.LessOrEqual(t, fs.recent.length, maxNames+8)
	assert.LessOrEqual(t, len(fs.inodes), maxNames+9)
	fs.mu.Unlock()
	inode, err := ns.Inode(nil, "/d/0", 0)
	require.NoError(t, err)
	assert.True(t, inode == f.Inode())
	st, err := ns.Stat(nil, "/d/mnt", 0)
	require.NoError(t, err)
	root, err := other.Root().Inode().Stat()
	require.NoError(t, err)
	assert.Equal(t, root.Dev, st.Dev, "the mount is still there")
	require.NoError(t, f.Close())
	balanced(t, fs, fs.recent.length+1)
}

// TestMany has goroutines make, rename and remove in one tree.
func TestMany(t *testing.T) {
	dir, fs, ns := share(t)
	require.NoError(t, ns.Mkdir(nil, "/a", 0o755))
	require.NoError(t, ns.Mkdir(nil, "/b", 0o755))
	var group sync.WaitGroup
	for w := range 8 {
		group.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 2))
			for i := range 100 {
				path := func() string { return fmt.Sprintf("/%c/%d", 'a'+random.IntN(2), random.IntN(6)) }
				var err error
				switch random.IntN(7) {
				case 0, 1:
					var f *vfs.File
					if f, err = ns.Open(nil, path(), rdwr|creat, 0o600); err == nil {
						_, err = f.Write([]byte(fmt.Sprint(w, i)))
						assert.NoError(t, err)
						assert.NoError(t, f.Close())
					}
				case 2:
					err = ns.Rename(nil, path(), nil, path(), 0)
				case 3:
					err = ns.Unlink(nil, path(), 0)
				case 4:
					err = ns.Link(nil, path(), nil, path(), 0)
				case 5:
					_, err = ns.Stat(nil, path(), 0)
				default:
					d := open(t, ns, "/a", rdonly, 0)
					_, err = d.ReadDir(make([]byte, 4096))
					d.Close()
				}
				if err != nil {
					// EINVAL is this server's answer for a file removed meanwhile.
					assert.Contains(t, []error{syscall.ENOENT, syscall.EEXIST, syscall.EINVAL}, err)
				}
			}
		})
	}
	group.Wait()
	for _, d := range []string{"a", "b"} {
		list, err := os.ReadDir(filepath.Join(dir, d))
		require.NoError(t, err)
		for _, n := range list {
			assert.Equal(t, onHost(t, dir, d, n.Name()), read(t, ns, "/"+d+"/"+n.Name()))
			require.NoError(t, ns.Unlink(nil, "/"+d+"/"+n.Name(), 0))
		}
		require.NoError(t, ns.Unlink(nil, "/"+d, abi.AT_REMOVEDIR))
	}
	balanced(t, fs, 1)
}
