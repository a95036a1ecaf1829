package ext4

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/fs/block"
	"github.com/goshawk-os/goshawk/fs/ext4/disk"
	"github.com/goshawk-os/goshawk/fs/pagecache"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// e2fs runs a program of e2fsprogs.
func e2fs(t testing.TB, input, name string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	require.NoError(t, err, "install the package e2fsprogs")
	cmd := exec.Command(path, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestHash compares hashes with those of debugfs, which has the unsigned versions 3 numbers behind
// the others.
func TestHash(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	var script strings.Builder
	var want []uint32
	for n := range 1500 {
		name := make([]byte, 1+n%255)
		for i := range name {
			for name[i] <= '-' || name[i] == '/' || name[i] == '\\' || name[i] == 0x7f {
				name[i] = byte(rnd.Uint32())
			}
		}
		seed := [16]byte{}
		if n%5 > 0 {
			for i := range seed {
				seed[i] = byte(rnd.Uint32())
			}
		}
		fs := &FS{}
		for i := range fs.super.S_hash_seed {
			fs.super.S_hash_seed[i] = *disk.At[uint32](seed[:], 4*i)
		}
		version := uint8(n % 3)
		alg := int(version)
		if n%2 == 0 {
			fs.super.S_flags = disk.FLAGS_UNSIGNED_HASH
			alg += 3
		}
		s := fs.hasher(version)
		want = append(want, s.hash(name))
		fmt.Fprintf(&script, "dx_hash -h %d -s %x-%x-%x-%x-%x %s\n", alg, seed[:4], seed[4:6], seed[6:8], seed[8:10], seed[10:], name)
	}
	out, err := e2fs(t, script.String(), "debugfs", "-f", "-")
	require.NoError(t, err)
	at := 0
	for line := range strings.Lines(out) {
		_, after, ok := strings.Cut(line, " is 0x")
		if !ok || strings.HasPrefix(line, "debugfs: ") {
			continue
		}
		number, _, _ := strings.Cut(after, " ")
		got, err := strconv.ParseUint(number, 16, 32)
		require.NoError(t, err)
		require.Less(t, at, len(want))
		require.EqualValues(t, got, want[at], line)
		at++
	}
	assert.Equal(t, len(want), at)
}

// newImage makes an image with the directory /d and the file /f.
func newImage(t testing.TB, size string, options ...string) []byte {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "ext4")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "src/d"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "src/f"), nil, 0o600))
	path := filepath.Join(dir, "img")
	out, err := e2fs(t, "", "mke2fs", append(append([]string{"-q", "-F", "-t", "ext4", "-d", filepath.Join(dir, "src")}, options...), path, size)...)
	require.NoError(t, err, out)
	img, err := os.ReadFile(path)
	require.NoError(t, err)
	return img
}

// names is a mounted file system, its directory /d, and what names that has.
type names struct {
	fs   *FS
	d    *directory
	f    vfs.Inode
	has  map[string]bool
	all  []string // may have some that are gone
	logs []string
}

func openNames(t testing.TB, img []byte) *names {
	t.Helper()
	n := &names{has: make(map[string]bool)}
	pages := pagecache.New(pagecache.Options{Limit: 256})
	t.Cleanup(pages.Close)
	fs, err := Mount(block.NewMemory(img, 512), Options{Pages: pages, Log: func(s string) { n.logs = append(n.logs, s) }})
	require.NoError(t, err, n.logs)
	require.False(t, fs.ReadOnly(), n.logs)
	n.fs = fs
	root := fs.root.inode.(*directory)
	e, err := root.Lookup("d")
	require.NoError(t, err)
	n.d = e.Inode().(*directory)
	e, err = root.Lookup("f")
	require.NoError(t, err)
	n.f = e.Inode()
	return n
}

func (n *names) close(t testing.TB, img []byte) {
	t.Helper()
	require.NoError(t, n.fs.Unmount())
	path := filepath.Join(t.TempDir(), "img")
	require.NoError(t, os.WriteFile(path, img, 0o600))
	out, err := e2fs(t, "", "e2fsck", "-fn", path)
	require.NoError(t, err, out)
	require.Empty(t, n.logs)
}

func (n *names) add(t testing.TB, name string) {
	t.Helper()
	want := error(nil)
	if n.has[name] {
		want = syscall.EEXIST
	}
	require.Equal(t, want, n.d.Link(name, n.f), name)
	if want == nil {
		n.has[name] = true
		n.all = append(n.all, name)
	}
}

func (n *names) drop(t testing.TB, rnd *rand.Rand) (name string) {
	t.Helper()
	i := rnd.IntN(len(n.all))
	name = n.all[i]
	n.all[i] = n.all[len(n.all)-1]
	n.all = n.all[:len(n.all)-1]
	require.NoError(t, n.d.Unlink(name), name)
	delete(n.has, name)
	return name
}

// A listing goes on a few names at a time while the directory changes.
type listing struct {
	cursor int64
	seen   map[string]int
	stays  map[string]bool // there since the listing began
	end    bool
}

func (n *names) begin() *listing {
	l := &listing{seen: make(map[string]int), stays: make(map[string]bool)}
	for name := range n.has {
		l.stays[name] = true
	}
	return l
}

func (l *listing) step(t testing.TB, n *names, count int) {
	t.Helper()
	l.end = true
	require.NoError(t, n.d.ReadDir(l.cursor, func(name string, ino uint64, typ uint32, next int64) bool {
		if count--; count < 0 {
			l.end = false
			return false
		}
		require.EqualValues(t, n.f.(inode).base().ino, ino)
		require.EqualValues(t, syscall.S_IFREG, typ)
		require.Greater(t, next, l.cursor)
		require.True(t, n.has[name], "%s is not there", name)
		l.seen[name]++
		l.cursor = next
		return true
	}))
	if !l.end {
		return
	}
	for name := range l.stays {
		require.Equal(t, 1, l.seen[name], name)
	}
}

func randomName(rnd *rand.Rand, long int) string {
	p := make([]byte, 1+rnd.IntN(long))
	for i := range p {
		for p[i] == 0 || p[i] == '/' {
			p[i] = byte(rnd.Uint32())
		}
	}
	if s := string(p); s != "." && s != ".." {
		return s
	}
	return "dots"
}

// TestListing changes a directory at random while listings go on: a name that stays is seen once.
func TestListing(t *testing.T) {
	for name, options := range map[string][]string{
		"1k": {"-b", "1024"}, "4k": {"-b", "4096"}, "nocsum": {"-b", "1024", "-O", "^metadata_csum"},
		"linear": {"-b", "1024", "-O", "^dir_index"}, "largedir": {"-b", "1024", "-O", "large_dir"},
	} {
		t.Run(name, func(t *testing.T) {
			img := newImage(t, "64M", options...)
			rnd := rand.New(rand.NewPCG(3, uint64(len(name))))
			n := openNames(t, img)
			most := 2000
			if name == "linear" {
				most = 400
			}
			var listings []*listing
			for len(n.has) < most {
				if rnd.IntN(4) > 0 || len(n.all) == 0 {
					n.add(t, randomName(rnd, 1+rnd.IntN(255)))
				} else {
					gone := n.drop(t, rnd)
					for _, l := range listings {
						delete(l.stays, gone)
					}
				}
				if rnd.IntN(20) == 0 {
					listings = append(listings, n.begin())
				}
				for i := 0; i < len(listings); i++ {
					if listings[i].step(t, n, rnd.IntN(100)); listings[i].end {
						listings = append(listings[:i], listings[i+1:]...)
					}
				}
				if len(listings) > 3 {
					listings = listings[1:]
				}
			}
			for name := range n.has {
				ino, err := n.d.find(name)
				require.NoError(t, err)
				require.EqualValues(t, n.f.(inode).base().ino, ino)
			}
			for len(n.all) > most/10 {
				n.drop(t, rnd)
			}
			whole := n.begin()
			whole.step(t, n, most)
			require.True(t, whole.end)
			empty, err := n.d.empty()
			require.NoError(t, err)
			require.False(t, empty)
			n.close(t, img)
			for len(n.all) > 0 {
				n = reopen(t, n, img)
				for range min(len(n.all), most/20) {
					n.drop(t, rnd)
				}
				n.close(t, img)
			}
			n = reopen(t, n, img)
			empty, err = n.d.empty()
			require.NoError(t, err)
			require.True(t, empty)
			n.close(t, img)
		})
	}
}

func reopen(t testing.TB, old *names, img []byte) *names {
	n := openNames(t, img)
	n.has, n.all = old.has, old.all
	return n
}

// TestIndexFull adds names until the index has no room.
func TestIndexFull(t *testing.T) {
	for _, large := range []bool{false, true} {
		t.Run(strconv.FormatBool(large), func(t *testing.T) {
			options := []string{"-b", "1024"}
			if large {
				options = append(options, "-O", "large_dir")
			}
			img := newImage(t, "96M", options...)
			n := openNames(t, img)
			tail := strings.Repeat("t", 240)
			count, err := 0, error(nil)
			for ; count < 64000; count++ {
				if err = n.d.Link(fmt.Sprintf("%09d%s", count, tail), n.f); err != nil {
					break
				}
			}
			t.Log(count, "names,", n.d.count(), "blocks", err)
			p, _, e := n.d.root()
			require.NoError(t, e)
			levels := p.rootInfo().Indirect_levels
			p.release()
			if large {
				assert.Equal(t, 64000, count)
				assert.EqualValues(t, 2, levels)
			} else {
				assert.Equal(t, syscall.ENOSPC, err)
				assert.EqualValues(t, 1, levels)
				blocks := n.d.count()
				assert.Equal(t, syscall.ENOSPC, n.d.Link(fmt.Sprintf("%09d%s", count, tail), n.f))
				assert.Equal(t, blocks, n.d.count(), "a directory that is full does not change")
			}
			seen := 0
			require.NoError(t, n.d.ReadDir(0, func(string, uint64, uint32, int64) bool { seen++; return true }))
			assert.Equal(t, count, seen)
			n.close(t, img)
		})
	}
}

// TestNoBlocks adds names until the disk has no room, at different steps of a change of the index.
func TestNoBlocks(t *testing.T) {
	for size := range 12 {
		img := newImage(t, strconv.Itoa(4096+size)+"k", "-b", "1024", "-O", "large_dir")
		n := openNames(t, img)
		rnd := rand.New(rand.NewPCG(9, uint64(size)))
		for {
			name := randomName(rnd, 255)
			if n.has[name] {
				continue
			}
			if err := n.d.Link(name, n.f); err != nil {
				require.Equal(t, syscall.ENOSPC, err)
				break
			}
			n.has[name] = true
			n.all = append(n.all, name)
		}
		require.Greater(t, len(n.all), 1000)
		l := n.begin()
		l.step(t, n, len(n.all))
		require.True(t, l.end)
		for range 500 {
			n.drop(t, rnd)
		}
		n.close(t, img)
	}
}

// TestForeignHash has directories that other hash functions order.
func TestForeignHash(t *testing.T) {
	for _, alg := range []string{"legacy", "half_md4", "tea"} {
		for _, unsigned := range []byte{1, 2} {
			t.Run(fmt.Sprint(alg, unsigned), func(t *testing.T) {
				img := newImage(t, "32M", "-b", "1024", "-O", "^metadata_csum")
				path := filepath.Join(t.TempDir(), "img")
				require.NoError(t, os.WriteFile(path, img, 0o600))
				out, err := e2fs(t, "", "tune2fs", "-E", "hash_alg="+alg, path)
				require.NoError(t, err, out)
				img, err = os.ReadFile(path)
				require.NoError(t, err)
				disk.At[disk.SuperBlock](img, disk.SUPER_OFFSET).S_flags = uint32(unsigned)
				n := openNames(t, img)
				rnd := rand.New(rand.NewPCG(5, 5))
				for len(n.has) < 1000 {
					n.add(t, randomName(rnd, 30))
				}
				for range 300 {
					n.drop(t, rnd)
				}
				l := n.begin()
				for !l.end {
					l.step(t, n, 37)
				}
				n.close(t, img)
			})
		}
	}
}

// directoryBlocks are the numbers of the blocks of /d.
func (n *names) directoryBlocks(t testing.TB) (blocks []uint64) {
	for at := range n.d.count() {
		b, err := n.d.get(at)
		require.NoError(t, err)
		blocks = append(blocks, b.Block)
		b.Release()
	}
	return blocks
}

// TestDirectoryFlips damages an indexed directory. Whatever is done with it then, it ends.
func TestDirectoryFlips(t *testing.T) {
	for _, options := range [][]string{{"-b", "1024", "-O", "^metadata_csum"}, {"-b", "1024", "-O", "^metadata_csum,large_dir,^dir_index"}, {"-b", "1024"}} {
		img := newImage(t, "16M", options...)
		rnd := rand.New(rand.NewPCG(7, uint64(len(options))))
		n := openNames(t, img)
		for len(n.has) < 1200 {
			n.add(t, randomName(rnd, 60))
		}
		blocks := n.directoryBlocks(t)
		n.close(t, img)
		noticed := 0
		for range 120 {
			bad := bytes.Clone(img)
			for range 1 + rnd.IntN(3) {
				block := blocks[0]
				if rnd.IntN(2) == 0 {
					block = blocks[rnd.IntN(len(blocks))]
				}
				at := int(block) * 1024
				if rnd.IntN(2) == 0 {
					at += rnd.IntN(64)
				} else {
					at += rnd.IntN(1024)
				}
				bad[at] ^= 1 << rnd.IntN(8)
			}
			n := openNames(t, bad)
			for range 4 {
				// As a program does it that has room for so many names.
				cursor, calls := int64(0), 0
				for more := true; more; calls++ {
					require.Less(t, calls, 100, "the listing does not end")
					left := 37
					more = false
					err := n.d.ReadDir(cursor, func(_ string, _ uint64, _ uint32, next int64) bool {
						if left--; left < 0 {
							more = true
							return false
						}
						cursor = next
						return true
					})
					if err != nil {
						require.Equal(t, syscall.EUCLEAN, err)
						break
					}
				}
				for range 30 {
					_ = n.d.Link(randomName(rnd, 60), n.f)
					_ = n.d.Unlink(randomName(rnd, 1))
				}
			}
			_, _ = n.d.empty()
			if len(n.logs) > 0 {
				noticed++
			}
			_ = n.fs.Unmount()
		}
		t.Log(options, noticed, "of 120 were noticed")
	}
}

// TestIndexWithoutFeature changes a directory with an index on a file system that has none any more.
func TestIndexWithoutFeature(t *testing.T) {
	for _, options := range [][]string{{"-b", "1024", "-O", "^metadata_csum"}, {"-b", "1024"}} {
		img := newImage(t, "16M", options...)
		n := openNames(t, img)
		rnd := rand.New(rand.NewPCG(7, 7))
		for len(n.has) < 500 {
			n.add(t, randomName(rnd, 60))
		}
		n.close(t, img)
		whole := bytes.Clone(img)
		path := filepath.Join(t.TempDir(), "img")
		require.NoError(t, os.WriteFile(path, img, 0o600))
		out, err := e2fs(t, "", "tune2fs", "-O", "^dir_index", path)
		require.NoError(t, err, out)
		img, err = os.ReadFile(path)
		require.NoError(t, err)
		n = reopen(t, n, img)
		for len(n.has) < 1000 {
			n.add(t, randomName(rnd, 60))
		}
		l := n.begin()
		l.step(t, n, 1000)
		require.True(t, l.end)
		assert.False(t, n.d.indexed())
		n.close(t, img)
		if !n.fs.csum {
			continue
		}
		// Indexes that tune2fs would not have left.
		n = openNames(t, whole)
		n.fs.super.S_feature_compat &^= disk.COMPAT_DIR_INDEX
		assert.Equal(t, syscall.EUCLEAN, n.d.Link("new", n.f))
		_ = n.fs.Unmount()
	}
}

// TestUnknownHash makes directories where the superblock names a hash that nobody knows.
func TestUnknownHash(t *testing.T) {
	img := newImage(t, "16M", "-b", "1024", "-O", "^metadata_csum")
	disk.At[disk.SuperBlock](img, disk.SUPER_OFFSET).S_def_hash_version = 9
	n := openNames(t, img)
	rnd := rand.New(rand.NewPCG(7, 7))
	for len(n.has) < 200 {
		n.add(t, randomName(rnd, 60))
	}
	require.NoError(t, n.fs.Unmount())
	n = reopen(t, n, img)
	whole := n.begin()
	whole.step(t, n, 1000)
	require.NoError(t, n.fs.Unmount())
}

// TestWrongOrder lists and changes a directory whose names lie where their hashes do not belong.
func TestWrongOrder(t *testing.T) {
	img := newImage(t, "16M", "-b", "1024", "-O", "^metadata_csum")
	n := openNames(t, img)
	rnd := rand.New(rand.NewPCG(7, 7))
	for len(n.has) < 1000 {
		n.add(t, randomName(rnd, 60))
	}
	n.close(t, img)
	disk.At[disk.SuperBlock](img, disk.SUPER_OFFSET).S_hash_seed[0]++
	n = openNames(t, img)
	cursor := int64(0)
	var err error
	for calls := 0; ; calls++ {
		require.Less(t, calls, 2000, "the listing does not end")
		left := 25
		err = n.d.ReadDir(cursor, func(_ string, _ uint64, _ uint32, next int64) bool {
			if left--; left < 0 {
				return false
			}
			cursor = next
			return true
		})
		if err != nil || left >= 0 {
			break
		}
	}
	require.NoError(t, err)
	for range 500 {
		_ = n.d.Link(randomName(rnd, 60), n.f)
	}
	_ = n.fs.Unmount()
}

// TestSameLeaf looks for a name in an index all of whose entries lead to the same block.
func TestSameLeaf(t *testing.T) {
	img := newImage(t, "64M", "-b", "1024", "-O", "^metadata_csum,large_dir")
	n := openNames(t, img)
	rnd := rand.New(rand.NewPCG(7, 7))
	for n.d.count() < 8 {
		n.add(t, randomName(rnd, 60))
	}
	blocks := n.directoryBlocks(t)
	n.close(t, img)
	block := func(i int) []byte { return img[blocks[i]*1024:][:1024] }
	fill := func(b []byte, off int, to uint32) {
		limit := (1024 - off) / disk.DX_ENTRY_SIZE
		for i := range limit {
			*disk.At[disk.DxEntry](b, off+i*disk.DX_ENTRY_SIZE) = disk.DxEntry{Hash: 1, Block: to}
		}
		*disk.At[disk.DxCountLimit](b, off) = disk.DxCountLimit{Limit: uint16(limit), Count: uint16(limit)}
	}
	disk.At[disk.DxRootInfo](block(0), disk.DX_ROOT_INFO).Indirect_levels = 2
	fill(block(0), disk.DX_ROOT_ENTRIES, 1)
	for i := 1; i < 3; i++ {
		clear(block(i))
		putEntry(block(i), 0, 1024, "", 0, 0)
		fill(block(i), disk.DX_NODE_ENTRIES, uint32(i+1))
	}
	s := n.fs.hasher(n.fs.super.S_def_hash_version)
	name := ""
	for i := 0; ; i++ { // a name whose hash is 0, as far as the index knows
		if name = strconv.Itoa(i); s.hash([]byte(name)) < 1<<12 {
			break
		}
	}
	for k := range disk.At[disk.DxCountLimit](block(0), disk.DX_ROOT_ENTRIES).Count {
		if k > 0 {
			disk.At[disk.DxEntry](block(0), disk.DX_ROOT_ENTRIES+int(k)*8).Hash = s.hash([]byte(name)) | 1
		}
	}
	for i := 1; i < 3; i++ {
		for k := 1; k < 127; k++ {
			disk.At[disk.DxEntry](block(i), disk.DX_NODE_ENTRIES+k*8).Hash = s.hash([]byte(name)) | 1
		}
	}
	n = openNames(t, img)
	start := time.Now()
	_, err := n.d.find(name)
	assert.Equal(t, syscall.EUCLEAN, err)
	assert.Less(t, time.Since(start), time.Second)
	_ = n.fs.Unmount()
}
