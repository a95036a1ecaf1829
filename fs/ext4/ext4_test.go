package ext4_test

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/block"
	"github.com/goshawk-os/goshawk/fs/ext4"
	"github.com/goshawk-os/goshawk/fs/iofs"
	"github.com/goshawk-os/goshawk/fs/pagecache"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// tool runs a program of e2fsprogs, which must succeed.
func tool(t testing.TB, input, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	require.NoError(t, err, "install the package e2fsprogs")
	cmd := exec.Command(path, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s %v: %s", name, args, out)
	return string(out)
}

// source makes the files that images are filled with.
func source(t testing.TB, many int) string {
	dir := t.TempDir()
	rnd := rand.New(rand.NewPCG(1, 2))
	write := func(name string, n int) {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(rnd.Uint32())
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), p, 0o640))
	}
	for _, n := range []int{0, 1, 59, 60, 61, 100, 150, 1023, 1024, 4096, 4097, 70000, 900000} {
		write(fmt.Sprint("size", n), n)
	}
	sparse, err := os.Create(filepath.Join(dir, "sparse"))
	require.NoError(t, err)
	for i := range 40 {
		_, err := sparse.WriteAt([]byte(fmt.Sprint("here ", i)), int64(i*i)*40960)
		require.NoError(t, err)
	}
	require.NoError(t, sparse.Truncate(80<<20))
	require.NoError(t, sparse.Close())
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "a/b/c"), 0o751))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "many"), 0o755))
	for i := range many {
		write(fmt.Sprintf("many/a file with the number %d", i), 3)
	}
	require.NoError(t, os.Symlink("../size100", filepath.Join(dir, "a/short")))
	require.NoError(t, os.Symlink(strings.Repeat("x/", 200)+"end", filepath.Join(dir, "a/long")))
	require.NoError(t, os.Symlink(strings.Repeat("y", 80), filepath.Join(dir, "a/middle")))
	require.NoError(t, os.Link(filepath.Join(dir, "size100"), filepath.Join(dir, "a/hard")))
	when := syscall.NsecToTimespec(5_000_000_000_123_456_789) // needs the epoch bits
	require.NoError(t, syscall.UtimesNano(filepath.Join(dir, "size61"), []syscall.Timespec{when, when}))
	return dir
}

// image makes a file system with what lies in dir and more by debugfs.
func image(t testing.TB, dir, size string, options ...string) []byte {
	t.Helper()
	shm, err := os.MkdirTemp("/dev/shm", "ext4")
	require.NoError(t, err)
	defer os.RemoveAll(shm)
	path := filepath.Join(shm, "img")
	tool(t, "", "mke2fs", append(append([]string{"-q", "-F", "-N", "6000", "-d", dir}, options...), path, size)...)
	value := filepath.Join(shm, "value")
	require.NoError(t, os.WriteFile(value, bytes.Repeat([]byte("v"), 700), 0o600))
	tool(t, "cd a\nmknod null c 1 3\nmknod disk b 8 700\nmknod fifo p\ncd /\n"+
		"ea_set size100 user.small tiny\nea_set -f "+value+" size100 user.large\nea_set a trusted.t dir\n", "debugfs", "-w", "-f", "-", path)
	p, err := os.ReadFile(path)
	require.NoError(t, err)
	return p
}

func mount(t testing.TB, img []byte, log func(string)) (*ext4.FS, *vfs.Namespace, error) {
	pages := pagecache.New(pagecache.Options{Limit: 4096})
	t.Cleanup(pages.Close)
	mounted, err := ext4.Mount(block.NewMemory(img, 512), ext4.Options{Pages: pages, Log: log, ReadOnly: true})
	if err != nil {
		return nil, nil, err
	}
	return mounted, vfs.New(mounted), nil
}

var variations = map[string][]string{
	"default":   {"-t", "ext4"},
	"1k":        {"-t", "ext4", "-b", "1024"},
	"2k":        {"-t", "ext4", "-b", "2048"},
	"4k":        {"-t", "ext4", "-b", "4096"},
	"ext2":      {"-t", "ext2", "-b", "1024"},
	"ext3":      {"-t", "ext3", "-b", "4096", "-I", "128"},
	"noextents": {"-t", "ext4", "-O", "^extents,^64bit", "-b", "1024"},
	"nocsum":    {"-t", "ext4", "-O", "^metadata_csum"},
	"uninit":    {"-t", "ext4", "-O", "^metadata_csum,uninit_bg"},
	"inline":    {"-t", "ext4", "-O", "inline_data"},
	"noindex":   {"-t", "ext4", "-O", "^dir_index"},
	"meta_bg":   {"-t", "ext4", "-O", "meta_bg,^resize_inode", "-b", "1024"},
	"bigalloc":  {"-t", "ext4", "-O", "bigalloc"},
	"csum_seed": {"-t", "ext4", "-O", "metadata_csum_seed", "-I", "512"},
	"nojournal": {"-t", "ext4", "-O", "^has_journal"},
	"sparse2":   {"-t", "ext4", "-O", "sparse_super2"},
	"nofiletyp": {"-t", "ext4", "-O", "^filetype"},
}

func TestRead(t *testing.T) {
	dir := source(t, 3000)
	for name, options := range variations {
		t.Run(name, func(t *testing.T) {
			img := image(t, dir, "64M", options...)
			before := bytes.Clone(img)
			mounted, ns, err := mount(t, img, func(s string) { t.Error(s) })
			require.NoError(t, err)
			compare(t, ns, dir)
			extras(t, ns)
			assert.True(t, bytes.Equal(before, img), "nothing was written")
			st, err := mounted.Statfs()
			require.NoError(t, err)
			assert.Greater(t, st.Blocks, st.Bfree)
			assert.EqualValues(t, 64<<20/st.Bsize, blockCount(before))
			for dir, expected := range map[string]string{"a/b": "c", "many": firstOf(t, ns, "many")} {
				sub, err := fs.Sub(iofs.FS{Namespace: ns}, dir)
				require.NoError(t, err)
				require.NoError(t, fstest.TestFS(sub, expected))
			}
		})
	}
}

// firstOf is the first name in a directory.
func firstOf(t *testing.T, ns *vfs.Namespace, dir string) string {
	list, err := fs.ReadDir(iofs.FS{Namespace: ns}, dir)
	require.NoError(t, err)
	require.NotEmpty(t, list)
	return list[0].Name()
}

// blockCount is s_blocks_count_lo.
func blockCount(img []byte) uint64 {
	return uint64(img[1028]) | uint64(img[1029])<<8 | uint64(img[1030])<<16 | uint64(img[1031])<<24
}

// compare goes through dir and finds each file of it in the namespace, and no others.
func compare(t *testing.T, ns *vfs.Namespace, dir string) {
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		require.NoError(t, err)
		name := "/" + strings.TrimPrefix(strings.TrimPrefix(path, dir), "/")
		var want syscall.Stat_t
		require.NoError(t, syscall.Lstat(path, &want))
		st, err := ns.Stat(nil, name, abi.AT_SYMLINK_NOFOLLOW)
		require.NoError(t, err, name)
		if name != "/" {
			require.Equal(t, want.Mode, st.Mode, name)
			require.Equal(t, want.Uid, st.Uid, name)
			require.Equal(t, want.Mtim.Sec&0xffffffff, st.Mtime.Sec&0xffffffff, name)
		}
		switch e.Type() {
		case 0:
			require.Equal(t, want.Nlink, st.Nlink, name)
			body, err := os.ReadFile(path)
			require.NoError(t, err)
			f, err := ns.Open(nil, name, 0, 0)
			require.NoError(t, err)
			got := make([]byte, len(body)+1)
			n, err := f.Pread(got, 0)
			require.NoError(t, err)
			got = got[:n]
			if name == "/sparse" {
				// With inline_data mke2fs -d cuts a hole at the end off.
				body, got = bytes.TrimRight(body, "\x00"), bytes.TrimRight(got, "\x00")
			}
			require.True(t, bytes.Equal(body, got), name)
			require.NoError(t, f.Close())
		case fs.ModeSymlink:
			target, err := os.Readlink(path)
			require.NoError(t, err)
			got, err := ns.Readlink(nil, name)
			require.NoError(t, err)
			require.Equal(t, target, got)
		case fs.ModeDir:
			host, err := os.ReadDir(path)
			require.NoError(t, err)
			extra := map[string]int{"/": 1, "/a": 3}[name] // lost+found, nodes
			list, err := fs.ReadDir(iofs.FS{Namespace: ns}, cmp.Or(strings.TrimPrefix(name, "/"), "."))
			require.NoError(t, err)
			require.Len(t, list, len(host)+extra, name)
		}
		return nil
	}))
	_, err := ns.Stat(nil, "/many/none", 0)
	assert.Equal(t, syscall.ENOENT, err)
	for _, at := range []int64{0, 40960 * 4, 40960*4 + 8192} {
		f, err := ns.Open(nil, "/sparse", 0, 0)
		require.NoError(t, err)
		hole, err := f.Seek(at, 4)
		require.NoError(t, err)
		p := make([]byte, 1)
		_, err = f.Pread(p, hole)
		require.NoError(t, err)
		assert.Zero(t, p[0])
		data, err := f.Seek(hole, 3)
		require.NoError(t, err)
		assert.Greater(t, data, hole)
		require.NoError(t, f.Close())
	}
}

// extras are what debugfs has added.
func extras(t *testing.T, ns *vfs.Namespace) {
	st, err := ns.Stat(nil, "/a/null", 0)
	require.NoError(t, err)
	assert.Equal(t, vfs.Dev(1, 3), st.Rdev)
	st, err = ns.Stat(nil, "/a/disk", 0)
	require.NoError(t, err)
	assert.Equal(t, vfs.Dev(8, 700), st.Rdev)
	e, err := ns.Stat(nil, "/a/fifo", 0)
	require.NoError(t, err)
	assert.EqualValues(t, syscall.S_IFIFO, e.Mode&syscall.S_IFMT)
	f, err := ns.Open(nil, "/size100", 0, 0)
	require.NoError(t, err)
	x := f.Inode().(vfs.Xattrs)
	names, err := x.Listxattr()
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{"user.small", "user.large"}, names)
	v, err := x.Getxattr("user.small")
	require.NoError(t, err)
	assert.Equal(t, "tiny", string(v))
	v, err = x.Getxattr("user.large")
	require.NoError(t, err)
	assert.Equal(t, strings.Repeat("v", 700), string(v))
	_, err = x.Getxattr("user.none")
	assert.Equal(t, syscall.ENODATA, err)
	assert.Equal(t, syscall.EROFS, x.Setxattr("user.small", nil, 0))
	require.NoError(t, f.Close())
}

// TestConcurrent lets goroutines look up and read the same files.
func TestConcurrent(t *testing.T) {
	img := image(t, source(t, 50), "64M", "-t", "ext4")
	_, ns, err := mount(t, img, func(s string) { t.Error(s) })
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { assert.False(t, readAll(ns)) })
	}
	wg.Wait()
}
