package ext4_test

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/block"
	"github.com/goshawk-os/goshawk/fs/ext4"
	"github.com/goshawk-os/goshawk/fs/iofs"
	"github.com/goshawk-os/goshawk/fs/pagecache"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// mountDevice mounts for writing. end unmounts.
func mountDevice(t testing.TB, dev block.Device) (mounted *ext4.FS, ns *vfs.Namespace, end func()) {
	t.Helper()
	pages := pagecache.New(pagecache.Options{Limit: 4096})
	mounted, err := ext4.Mount(dev, ext4.Options{Pages: pages, Log: func(s string) { t.Log(s) }})
	require.NoError(t, err)
	require.False(t, mounted.ReadOnly())
	return mounted, vfs.New(mounted), func() {
		t.Helper()
		require.NoError(t, mounted.Unmount())
		pages.Close()
	}
}

// check has e2fsck look at an image, which must be clean.
func check(t testing.TB, img []byte) {
	t.Helper()
	if out, err := fsck(t, img); err != nil {
		t.Fatalf("e2fsck: %v\n%s", err, out)
	}
}

func fsck(t testing.TB, img []byte, more ...string) (string, error) {
	f, err := os.CreateTemp("/dev/shm", "fsck")
	require.NoError(t, err)
	defer os.Remove(f.Name())
	_, err = f.Write(img)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	tool(t, "", "mke2fs", "-V")
	for _, m := range more {
		_, _ = exec.Command("/usr/sbin/e2fsck", "-y", "-E", m, f.Name()).CombinedOutput()
	}
	out, err := exec.Command("/usr/sbin/e2fsck", "-fn", f.Name()).CombinedOutput()
	return string(out), err
}

// A model is what a file system should hold, by path.
type model map[string]*modelFile

type modelFile struct {
	dir    bool
	target string
	data   []byte
}

func (m model) pick(rnd *rand.Rand, want func(*modelFile) bool) string {
	var all []string
	for p, f := range m {
		if want(f) {
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		return ""
	}
	slices.Sort(all)
	return all[rnd.IntN(len(all))]
}

func isFile(f *modelFile) bool { return !f.dir && f.target == "" }

// step does one random operation to both.
func (m model) step(t *testing.T, rnd *rand.Rand, ns *vfs.Namespace) {
	dir := m.pick(rnd, func(f *modelFile) bool { return f.dir })
	fresh := path.Join(dir, fmt.Sprintf("%d%s", rnd.IntN(1000), strings.Repeat("n", rnd.IntN(60))))
	if m[fresh] != nil {
		return
	}
	name := m.pick(rnd, isFile)
	open := func(name string, flags int) *vfs.File {
		f, err := ns.Open(nil, name, flags, 0o644)
		require.NoError(t, err, name)
		return f
	}
	switch op := rnd.IntN(16); {
	case op < 3 || name == "" && op < 12:
		f := open(fresh, syscall.O_CREAT|syscall.O_EXCL|syscall.O_WRONLY)
		require.NoError(t, f.Close())
		m[fresh] = &modelFile{}
	case op < 6:
		file := m[name]
		p := make([]byte, rnd.IntN(20000))
		for i := range p {
			p[i] = byte(rnd.Uint32())
		}
		off := rnd.IntN(60000)
		if rnd.IntN(2) == 0 {
			off = len(file.data)
		}
		f := open(name, syscall.O_RDWR)
		n, err := f.Pwrite(p, int64(off))
		require.NoError(t, err)
		require.Equal(t, len(p), n)
		if len(p) > 0 {
			if grow := off + len(p) - len(file.data); grow > 0 {
				file.data = append(file.data, make([]byte, grow)...)
			}
			copy(file.data[off:], p)
		}
		if rnd.IntN(3) == 0 {
			require.NoError(t, f.Sync())
		}
		require.NoError(t, f.Close())
	case op < 7:
		size := rnd.IntN(80000)
		f := open(name, syscall.O_RDWR)
		require.NoError(t, f.Truncate(int64(size)))
		require.NoError(t, f.Close())
		if size <= len(m[name].data) {
			m[name].data = m[name].data[:size:size]
		} else {
			m[name].data = append(m[name].data, make([]byte, size-len(m[name].data))...)
		}
	case op < 8:
		off, n := rnd.IntN(50000), 1+rnd.IntN(40000)
		f := open(name, syscall.O_RDWR)
		if rnd.IntN(2) == 0 {
			require.NoError(t, f.Fallocate(abi.FALLOC_FL_PUNCH_HOLE|abi.FALLOC_FL_KEEP_SIZE, int64(off), int64(n)))
			if off < len(m[name].data) {
				clear(m[name].data[off:min(off+n, len(m[name].data))])
			}
		} else {
			require.NoError(t, f.Fallocate(0, int64(off), int64(n)))
			if grow := off + n - len(m[name].data); grow > 0 {
				m[name].data = append(m[name].data, make([]byte, grow)...)
			}
		}
		require.NoError(t, f.Close())
	case op < 9:
		require.NoError(t, ns.Mkdir(nil, fresh, 0o755))
		m[fresh] = &modelFile{dir: true}
	case op < 10:
		require.NoError(t, ns.Unlink(nil, name, 0))
		delete(m, name)
	case op < 11:
		target := strings.Repeat("t", 1+rnd.IntN(200))
		require.NoError(t, ns.Symlink(target, nil, fresh))
		m[fresh] = &modelFile{target: target}
	case op < 12:
		err := ns.Link(nil, name, nil, fresh, 0)
		require.NoError(t, err)
		m[fresh] = m[name]
	case op < 14:
		from := m.pick(rnd, func(*modelFile) bool { return true })
		to := fresh
		if rnd.IntN(2) == 0 {
			to = m.pick(rnd, func(*modelFile) bool { return true })
		}
		if from == "/" || to == "/" || m[from] == m[to] {
			return
		}
		switch err := ns.Rename(nil, from, nil, to, 0); err {
		case nil:
			m.move(from, to)
		case syscall.EINVAL, syscall.ENOTEMPTY, syscall.EISDIR, syscall.ENOTDIR:
		default:
			require.NoError(t, err, "%s to %s", from, to)
		}
	case op < 15:
		err := ns.Unlink(nil, dir, abi.AT_REMOVEDIR)
		empty := true
		for p := range m {
			empty = empty && (p == dir || !strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/"))
		}
		switch {
		case dir == "/":
			require.Equal(t, syscall.EBUSY, err)
		case empty:
			require.NoError(t, err)
			delete(m, dir)
		default:
			require.Equal(t, syscall.ENOTEMPTY, err)
		}
	default:
		// A file that is open without a name.
		f := open(name, syscall.O_RDWR)
		require.NoError(t, ns.Unlink(nil, name, 0))
		file := m[name]
		p := make([]byte, len(file.data)+1)
		n, err := f.Pread(p, 0)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(file.data, p[:n]))
		const gap = 10000
		_, err = f.Pwrite(p, int64(len(file.data)+gap))
		require.NoError(t, err)
		require.NoError(t, f.Close())
		file.data = append(append(file.data, make([]byte, gap)...), p...) // it may have another name
		delete(m, name)
	}
}

func (m model) move(from, to string) {
	for p, f := range m {
		if rest, ok := strings.CutPrefix(p, from); ok && (rest == "" || rest[0] == '/') {
			delete(m, p)
			m[to+rest] = f
		}
	}
}

// compare finds the same in a file system.
func (m model) compare(t *testing.T, ns *vfs.Namespace) {
	t.Helper()
	for p, f := range m {
		st, err := ns.Stat(nil, p, abi.AT_SYMLINK_NOFOLLOW)
		require.NoError(t, err, p)
		switch {
		case f.dir:
			list, err := fs.ReadDir(iofs.FS{Namespace: ns}, cmp.Or(strings.TrimPrefix(p, "/"), "."))
			require.NoError(t, err)
			names := 0
			for _, e := range list {
				if e.Name() != "lost+found" {
					names++
					require.NotNil(t, m[path.Join(p, e.Name())], path.Join(p, e.Name()))
				}
			}
			for q := range m {
				if q != p && path.Dir(q) == p {
					names--
				}
			}
			require.Zero(t, names, p)
		case f.target != "":
			got, err := ns.Readlink(nil, p)
			require.NoError(t, err)
			require.Equal(t, f.target, got)
		default:
			require.EqualValues(t, len(f.data), st.Size, p)
			h, err := ns.Open(nil, p, 0, 0)
			require.NoError(t, err)
			got := make([]byte, len(f.data)+1)
			n, err := h.Pread(got, 0)
			require.NoError(t, err)
			if !bytes.Equal(f.data, got[:n]) {
				i := 0
				for i < n && i < len(f.data) && f.data[i] == got[i] {
					i++
				}
				t.Fatalf("%s differs from byte %d on (of %d, got %d)", p, i, len(f.data), n)
			}
			require.NoError(t, h.Close())
		}
	}
}

// writable are the variations that can be changed.
var writable = []string{"default", "1k", "2k", "4k", "nocsum", "uninit", "noindex", "meta_bg", "csum_seed", "nojournal", "sparse2"}

// emptyImage makes a file system without files.
func emptyImage(t testing.TB, size string, options ...string) []byte {
	p := filepath.Join(t.TempDir(), "img")
	tool(t, "", "mke2fs", append(append([]string{"-q", "-F"}, options...), p, size)...)
	img, err := os.ReadFile(p)
	require.NoError(t, err)
	return img
}

// TestRandom does random operations, with remounts, and has e2fsck look at the result.
func TestRandom(t *testing.T) {
	for _, name := range writable {
		t.Run(name, func(t *testing.T) {
			img := emptyImage(t, "64M", variations[name]...)
			rnd := rand.New(rand.NewPCG(1, uint64(len(name))))
			m := model{"/": {dir: true}}
			for range 4 {
				_, ns, end := mountDevice(t, block.NewMemory(img, 512))
				for range 600 {
					m.step(t, rnd, ns)
					if t.Failed() {
						return
					}
				}
				m.compare(t, ns)
				end()
				check(t, img)
				_, ns, end = mountDevice(t, block.NewMemory(img, 512))
				m.compare(t, ns)
				end()
			}
		})
	}
}

// TestManyNames fills directories, so that indexes get levels, and empties them.
func TestManyNames(t *testing.T) {
	for _, name := range []string{"1k", "4k", "noindex", "nocsum"} {
		t.Run(name, func(t *testing.T) {
			count := 12000
			if name == "noindex" {
				count = 1500
			}
			img := emptyImage(t, "128M", append([]string{"-N", "20000"}, variations[name]...)...)
			_, ns, end := mountDevice(t, block.NewMemory(img, 512))
			require.NoError(t, ns.Mkdir(nil, "/d", 0o755))
			path := func(i int) string { return fmt.Sprintf("/d/%s %d", strings.Repeat("long", i%40), i) }
			for i := range count {
				f, err := ns.Open(nil, path(i), syscall.O_CREAT|syscall.O_EXCL, 0o600)
				require.NoError(t, err)
				require.NoError(t, f.Close())
			}
			end()
			check(t, img)
			_, ns, end = mountDevice(t, block.NewMemory(img, 512))
			for i := 0; i < count; i += 2 {
				require.NoError(t, ns.Unlink(nil, path(i), 0))
			}
			list, err := fs.ReadDir(iofs.FS{Namespace: ns}, "d")
			require.NoError(t, err)
			assert.Len(t, list, count/2)
			for i := range count {
				_, err := ns.Stat(nil, path(i), 0)
				if i%2 == 0 {
					require.Equal(t, syscall.ENOENT, err)
				} else {
					require.NoError(t, err)
				}
			}
			end()
			check(t, img)
		})
	}
}

// TestFull fills a file system with data and with files.
func TestFull(t *testing.T) {
	img := emptyImage(t, "16M", "-t", "ext4", "-b", "1024")
	mounted, ns, end := mountDevice(t, block.NewMemory(img, 512))
	before, err := mounted.Statfs()
	require.NoError(t, err)
	for range 3 {
		f, err := ns.Open(nil, "/big", syscall.O_CREAT|syscall.O_RDWR, 0o600)
		require.NoError(t, err)
		p := make([]byte, 64<<10)
		total := 0
		for {
			n, err := f.Write(p)
			total += n
			if err != nil {
				assert.Equal(t, syscall.ENOSPC, err)
				break
			}
		}
		assert.Greater(t, total, 9<<20)
		require.NoError(t, f.Sync())
		require.NoError(t, f.Close())
		require.NoError(t, ns.Unlink(nil, "/big", 0))
	}
	var files int
	for ; ; files++ {
		f, err := ns.Open(nil, fmt.Sprint("/file", files), syscall.O_CREAT|syscall.O_RDWR, 0o600)
		if err != nil {
			assert.Equal(t, syscall.ENOSPC, err)
			break
		}
		require.NoError(t, f.Close())
	}
	assert.EqualValues(t, before.Ffree, files)
	for i := range files {
		require.NoError(t, ns.Unlink(nil, fmt.Sprint("/file", i), 0))
	}
	require.NoError(t, mounted.Sync())
	after, err := mounted.Statfs()
	require.NoError(t, err)
	assert.Equal(t, before.Ffree, after.Ffree)
	end()
	check(t, img)
}
