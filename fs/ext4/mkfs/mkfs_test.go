package mkfs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/fs/block"
	"github.com/goshawk-os/goshawk/fs/ext4"
	"github.com/goshawk-os/goshawk/fs/pagecache"
)

type fileDisk struct {
	f    *os.File
	size int64
	lazy bool
	long bool // logical blocks of 4096 bytes
}

func (d *fileDisk) Info() block.Info {
	i := block.Info{Size: d.size, LogicalBlock: 512, PhysicalBlock: 4096}
	if !d.lazy {
		i.MaxWriteZeroes = 1 << 40
	}
	if d.long {
		i.LogicalBlock = 4096
	}
	return i
}

func (d *fileDisk) Submit(r *block.Request) {
	i := d.Info()
	err := i.Check(r)
	off := r.Off
	if err == nil && r.Op == block.WriteZeroes {
		err = syscall.Fallocate(int(d.f.Fd()), 3, r.Off, r.Length) // punch a hole, keep the size
	}
	for _, p := range r.Parts {
		if err != nil {
			break
		}
		if r.Op == block.Read {
			_, err = d.f.ReadAt(p, off)
		} else {
			_, err = d.f.WriteAt(p, off)
		}
		off += int64(len(p))
	}
	r.Done(r, err)
}

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command("/usr/sbin/"+name, args...).CombinedOutput()
	if !assert.NoError(t, err, "%s %v: %.1500s", name, args, out) {
		t.FailNow()
	}
	return string(out)
}

func field(out, name string) string {
	m := regexp.MustCompile(`(?m)^` + name + `:\s*(.*)$`).FindStringSubmatch(out)
	if m == nil {
		return ""
	}
	return m[1]
}

func TestFormat(t *testing.T) {
	const m, g = 1 << 20, 1 << 30
	zero := 0
	for _, c := range []struct {
		size int64
		o    Options
		args string
		lazy bool
	}{
		{size: m}, {size: 2 * m}, {size: 3 * m}, {size: 5*m + 512}, {size: 8 * m}, {size: 8*m + 100*1024}, {size: 33 * m}, {size: 64 * m}, {size: 100 * m, lazy: true},
		{size: 511 * m}, {size: 512 * m}, {size: g}, {size: 200 * m, o: Options{BlockSize: 4096}, args: "-b 4096"},
		{size: 300 * m, o: Options{BlockSize: 2048}, args: "-b 2048"}, {size: 3 * g, o: Options{BlockSize: 1024}, args: "-b 1024"},
		{size: 10 * g, lazy: true}, {size: 40 * g, o: Options{BlockSize: 1024}, args: "-b 1024"}, {size: 200 * g}, {size: 2 << 40}, {size: 5 << 40},
		{size: 64 * m, o: Options{NoJournal: true}, args: "-O ^has_journal"}, {size: 64 * m, o: Options{JournalSize: 16 * m}, args: "-J size=16"},
		{size: 64 * m, o: Options{InodeRatio: 65536}, args: "-i 65536"}, {size: 64 * m, o: Options{InodeRatio: 1024}, args: "-i 1024"}, {size: g, o: Options{Inodes: 1000}, args: "-N 1000"},
		{size: 64 * m, o: Options{Label: "sixteen bytes ok", Reserved: &zero}, args: "-m 0"},
	} {
		t.Run(fmt.Sprint(c.size, " ", c.args), func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "a")
			f, err := os.Create(name)
			require.NoError(t, err)
			defer f.Close()
			require.NoError(t, f.Truncate(c.size))
			if c.lazy { // old content must do no harm
				junk := []byte(strings.Repeat("junk", 1<<18))
				for off := int64(0); off < min(c.size, 200*m); off += m {
					f.WriteAt(junk, off)
				}
			}
			c.o.UUID, c.o.HashSeed, c.o.Time = [16]byte{1, 2, 3, 6: 0x40, 8: 0x80}, [16]byte{4, 5, 6, 6: 0x40, 8: 0x80}, time.Unix(1_700_000_000, 0)
			d := &fileDisk{f: f, size: c.size / 512 * 512, lazy: c.lazy}
			start := time.Now()
			r, err := Format(d, c.o)
			require.NoError(t, err)
			var st syscall.Stat_t
			syscall.Fstat(int(f.Fd()), &st)
			t.Logf("%v, %d KiB written, %+v", time.Since(start).Round(time.Millisecond), st.Blocks/2, *r)
			tool(t, "e2fsck", "-fn", name)
			ours := tool(t, "dumpe2fs", "-h", name)
			if c.o.Label != "" {
				assert.Equal(t, c.o.Label, field(ours, "Filesystem volume name"))
			}
			assert.Equal(t, "01020300-0000-4000-8000-000000000000", field(ours, "Filesystem UUID"))
			ref := filepath.Join(t.TempDir(), "b")
			require.NoError(t, os.WriteFile(ref, nil, 0o600))
			require.NoError(t, os.Truncate(ref, c.size))
			args := append([]string{"-q", "-F", "-t", "ext4", "-E", "nodiscard,lazy_journal_init=1,lazy_itable_init=1", "-O", "^resize_inode"}, strings.Fields(c.args)...)
			out, err := exec.Command("/usr/sbin/mke2fs", append(args, ref)...).CombinedOutput()
			require.NoError(t, err, "%s", out)
			theirs := tool(t, "dumpe2fs", "-h", ref)
			for _, n := range []string{"Filesystem features", "Filesystem flags", "Default mount options", "Filesystem state", "Inode count", "Block count", "Reserved block count", "First block", "Block size",
				"Blocks per group", "Inodes per group", "Inode blocks per group", "Flex block group size", "Group descriptor size", "First inode", "Inode size", "Required extra isize", "Desired extra isize",
				"Journal inode", "Default directory hash", "Checksum type", "Total journal blocks", "Free blocks", "Free inodes"} {
				assert.Equal(t, field(theirs, n), field(ours, n), n)
			}
			pages := pagecache.New(pagecache.Options{Limit: 64})
			defer pages.Close()
			_, err = ext4.Mount(d, ext4.Options{Pages: pages, Log: func(s string) { t.Error(s) }})
			assert.NoError(t, err)
			src := filepath.Join(t.TempDir(), "src")
			require.NoError(t, os.WriteFile(src, []byte(strings.Repeat("x", 100000)), 0o600))
			tool(t, "debugfs", "-w", "-R", "write "+src+" file", name)
			tool(t, "debugfs", "-w", "-R", "mkdir dir", name)
			tool(t, "e2fsck", "-fn", name)
		})
	}
}

func TestEdges(t *testing.T) {
	const m = 1 << 20
	format := func(size int64, long bool, o Options) (string, *Result, error) {
		name := filepath.Join(t.TempDir(), "a")
		f, err := os.Create(name)
		require.NoError(t, err)
		defer f.Close()
		require.NoError(t, f.Truncate(size))
		r, err := Format(&fileDisk{f: f, size: size, long: long}, o)
		return name, r, err
	}
	late := time.Date(2040, 2, 3, 4, 5, 6, 0, time.UTC)
	name, r, err := format(64*m, true, Options{Time: late})
	require.NoError(t, err)
	assert.Equal(t, 4096, r.BlockSize, "no less than a logical block")
	assert.Contains(t, tool(t, "debugfs", "-R", "stat lost+found", name), fmt.Sprintf("crtime: 0x%08x:00000001", uint32(late.Unix())))
	tool(t, "e2fsck", "-fn", name)
	for want, o := range map[string]Options{
		"the minimum is 1 MiB":                 {},
		"logical blocks of 4096 bytes":         {BlockSize: 1024},
		"blocks have 1024, 2048 or 4096 bytes": {BlockSize: 8192},
		"takes more than half of the device":   {JournalSize: 60 * m},
		"inodes are too many":                  {Inodes: 1 << 31},
		"a label has at most 16 bytes":         {Label: "seventeen letters"},
		"the time is not from 1970 to 2106":    {Time: time.Unix(1<<32, 0)},
	} {
		size := int64(64 * m)
		if o == (Options{}) {
			size = m - 4096
		}
		if o.Time.IsZero() {
			o.Time = late
		}
		_, _, err := format(size, true, o)
		assert.ErrorContains(t, err, want)
	}
}
