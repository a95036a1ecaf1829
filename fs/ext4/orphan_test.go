package ext4_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/fs/block"
)

// TestOrphans mounts file systems that a crash has left with inodes without a name: in the list, and in an
// orphan file, which other systems use.
func TestOrphans(t *testing.T) {
	for _, file := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "img")
		source := filepath.Join(t.TempDir(), "source")
		require.NoError(t, os.WriteFile(source, make([]byte, 300_000), 0o600))
		options := "^metadata_csum"
		if file {
			options += ",orphan_file"
		}
		tool(t, "", "mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-O", options, path, "16M")
		before := tool(t, "", "dumpe2fs", "-h", path)
		tool(t, "write "+source+" a\nwrite "+source+" b\nsif a links_count 0\nsif b links_count 0\nunlink a\nunlink b\n", "debugfs", "-w", "-f", "-", path)
		if file {
			tool(t, "feature orphan_present\n", "debugfs", "-w", "-f", "-", path)
			inode := fieldOf(before, "Orphan file inode")
			out := strings.Fields(tool(t, "", "debugfs", "-R", "bmap <"+inode+"> 0", path))
			number, err := strconv.Atoi(out[len(out)-1])
			require.NoError(t, err)
			img, err := os.ReadFile(path)
			require.NoError(t, err)
			binary.LittleEndian.PutUint32(img[number*1024+8:], 13)
			binary.LittleEndian.PutUint32(img[number*1024+16:], 14) // 12 is the orphan file
			require.NoError(t, os.WriteFile(path, img, 0o600))
		} else {
			tool(t, "ssv last_orphan 12\nsif <12> dtime 13\nsif <13> dtime 0\n", "debugfs", "-w", "-f", "-", path)
		}
		img, err := os.ReadFile(path)
		require.NoError(t, err)
		mounted, ns, end := mountDevice(t, block.NewMemory(img, 512))
		st, err := mounted.Statfs()
		require.NoError(t, err)
		assert.Equal(t, fieldOf(before, "Free inodes"), strconv.FormatUint(st.Ffree, 10))
		assert.Equal(t, fieldOf(before, "Free blocks"), strconv.FormatUint(st.Bfree, 10))
		// New ones are in the list all the same.
		f, err := ns.Open(nil, "/c", syscall.O_CREAT|syscall.O_RDWR, 0o600)
		require.NoError(t, err)
		require.NoError(t, ns.Unlink(nil, "/c", 0))
		require.NoError(t, f.Close())
		end()
		check(t, img)
	}
}

// fieldOf returns a field of what dumpe2fs writes.
func fieldOf(text, name string) string {
	_, rest, _ := strings.Cut(text, name+":")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}
