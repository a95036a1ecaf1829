package ext4_test

import (
	"bytes"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/iofs"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// TestReplay mounts a file system whose journal holds a new content of a block.
func TestReplay(t *testing.T) {
	path, content := filepath.Join(t.TempDir(), "img"), filepath.Join(t.TempDir(), "new")
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "f"), bytes.Repeat([]byte("old!"), 1024), 0o600))
	tool(t, "", "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-d", dir, path, "32M")
	number := strings.TrimSpace(tool(t, "", "debugfs", "-R", "blocks f", path))
	number = number[strings.LastIndexByte(number, '\n')+1:]
	want := bytes.Repeat([]byte("new!"), 1024)
	require.NoError(t, os.WriteFile(content, want, 0o600))
	tool(t, "jo -c -v 3\njw -b "+number+" "+content+"\njc\n", "debugfs", "-w", "-f", "-", path)
	img, err := os.ReadFile(path)
	require.NoError(t, err)
	for range 2 { // the second mount finds an empty log
		_, ns, err := mount(t, img, func(s string) { t.Error(s) })
		require.NoError(t, err)
		f, err := ns.Open(nil, "/f", 0, 0)
		require.NoError(t, err)
		got := make([]byte, 5000)
		n, err := f.Pread(got, 0)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(want, got[:n]))
		require.NoError(t, f.Close())
	}
}

func TestRefused(t *testing.T) {
	_, _, err := mount(t, make([]byte, 1<<20), nil)
	assert.ErrorContains(t, err, "no ext4 file system")
	_, _, err = mount(t, make([]byte, 1024), nil)
	assert.ErrorContains(t, err, "too small")
	img := image(t, source(t, 0), "64M", "-t", "ext4", "-O", "^metadata_csum")
	_, _, err = mount(t, img[:32<<20], nil)
	assert.ErrorContains(t, err, "smaller than the file system")
	for bit, name := range map[int]string{0x400: "ea_inode", 0x10000: "encrypt", 0x20000: "casefold", 0x40000: "0x40000"} {
		foreign := bytes.Clone(img)
		foreign[1024+0x60+1] |= byte(bit >> 8)
		foreign[1024+0x60+2] |= byte(bit >> 16)
		_, _, err = mount(t, foreign, nil)
		assert.ErrorContains(t, err, name)
	}
}

// TestFlips flips bits of blocks with metadata, seeded, with and without
// checksums. Everything is then read: whatever comes of it, it ends.
func TestFlips(t *testing.T) {
	dir := source(t, 60)
	for _, options := range [][]string{
		{"-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^has_journal"}, {"-t", "ext4", "-b", "1024", "-O", "^has_journal"},
		{"-t", "ext2", "-b", "1024"}, {"-t", "ext4", "-b", "1024", "-O", "inline_data,^has_journal,^metadata_csum"},
	} {
		img := image(t, dir, "8M", options...)
		rnd := rand.New(rand.NewPCG(7, uint64(len(options[3]))))
		var used []int // bytes not zero in blocks of metadata: those of files are random and have few zeros
		for at := 0; at < len(img); at += 1024 {
			if zeros := bytes.Count(img[at:at+1024], []byte{0}); zeros < 100 {
				continue
			}
			for i, b := range img[at : at+1024] {
				if b != 0 {
					used = append(used, at+i)
				}
			}
		}
		_, whole, err := mount(t, img, func(s string) { t.Error(s) })
		require.NoError(t, err)
		require.False(t, readAll(whole), "nothing is wrong without damage")
		failed := 0
		for seed := range 100 {
			at := make([]int, 1+rnd.IntN(8))
			for i := range at {
				at[i] = used[rnd.IntN(len(used))]
				if seed%3 == 0 {
					at[i] = 1024 + rnd.IntN(4096)
				}
			}
			// A copy: read-ahead may go on for a moment.
			bad := bytes.Clone(img)
			for _, a := range at {
				bad[a] ^= 1 << rnd.IntN(8)
			}
			t.Run(strconv.Itoa(seed), func(t *testing.T) {
				start := time.Now()
				if _, ns, err := mount(t, bad, func(string) {}); err != nil || readAll(ns) {
					failed++
				}
				assert.Less(t, time.Since(start), 20*time.Second, "%v %v", options, at)
			})
		}
		assert.Greater(t, failed, 5)
		t.Logf("%v: %d of 100 were noticed", options, failed)
	}
}

// readAll reads whatever can be read, of each file a part, and reports errors.
func readAll(ns *vfs.Namespace) (failed bool) {
	p := make([]byte, 64<<10)
	_ = fs.WalkDir(iofs.FS{Namespace: ns}, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			failed = true
			return nil
		}
		_, _ = ns.Readlink(nil, "/"+path)
		st, err := ns.Stat(nil, "/"+path, abi.AT_SYMLINK_NOFOLLOW)
		if err != nil {
			failed = true
			return nil
		}
		if typ := st.Mode & syscall.S_IFMT; typ != syscall.S_IFREG && typ != syscall.S_IFDIR {
			return nil
		}
		f, err := ns.Open(nil, "/"+path, syscall.O_NONBLOCK, 0)
		if err != nil {
			failed = true
			return nil
		}
		defer f.Close()
		if x, ok := f.Inode().(vfs.Xattrs); ok {
			names, err := x.Listxattr()
			failed = failed || err != nil
			for _, n := range names {
				_, err = x.Getxattr(n)
				failed = failed || err != nil
			}
		}
		if e.IsDir() {
			return nil
		}
		for off := int64(0); off < 1<<20; off += int64(len(p)) {
			if n, err := f.Pread(p, off); err != nil || n < len(p) {
				failed = failed || err != nil
				break
			}
		}
		_, _ = f.Seek(0, 3)
		_, _ = f.Seek(0, 4)
		return nil
	})
	return failed
}
