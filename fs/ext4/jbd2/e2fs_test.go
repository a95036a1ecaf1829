package jbd2

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tool runs a program of e2fsprogs, which must succeed, and returns what it wrote.
func tool(t testing.TB, input, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	require.NoError(t, err, "install the package e2fsprogs")
	cmd := exec.Command(path, args...)
	cmd.Stdin = strings.NewReader(input)
	cmd.Env = append(os.Environ(), "DEBUGFS_PAGER=cat", "PAGER=cat")
	out, err := cmd.CombinedOutput()
	if e, ok := err.(*exec.ExitError); ok && name == "e2fsck" && e.ExitCode() == 1 {
		err = nil // errors were corrected: that is the replay
	}
	require.NoError(t, err, "%s %v: %s", name, args, out)
	return string(out)
}

// image is a file system made by mke2fs.
type image struct {
	path   string
	size   int // of a block
	blocks uint64
	runs   []Run
	free   []uint64
}

var number = regexp.MustCompile(`\d+`)

func numbers(t testing.TB, s string) (all []uint64) {
	for _, w := range number.FindAllString(s, -1) {
		n, err := strconv.ParseUint(w, 10, 64)
		require.NoError(t, err)
		all = append(all, n)
	}
	return all
}

func mkfs(t testing.TB, size int, options ...string) image {
	im := image{path: filepath.Join(tempDir(t), "img"), size: size, blocks: 8192}
	tool(t, "", "mke2fs", append(append([]string{"-q", "-F", "-t", "ext4", "-b", strconv.Itoa(size), "-J", "size=" + strconv.Itoa(max(1, size>>10)),
		"-E", "nodiscard"}, options...), im.path, strconv.FormatUint(im.blocks, 10))...)
	for _, n := range numbers(t, lines(tool(t, "", "debugfs", "-R", "blocks <8>", im.path))) {
		if k := len(im.runs); k > 0 && im.runs[k-1].Start+im.runs[k-1].Count == n {
			im.runs[k-1].Count++
		} else {
			im.runs = append(im.runs, Run{n, 1})
		}
	}
	_, list, ok := strings.Cut(tool(t, "", "debugfs", "-R", "ffb 200", im.path), "found:")
	require.True(t, ok)
	im.free = numbers(t, list)
	return im
}

// lines is what debugfs wrote without the line with its version.
func lines(s string) string {
	var out []string
	for l := range strings.Lines(s) {
		if !strings.HasPrefix(l, "debugfs ") {
			out = append(out, l)
		}
	}
	return strings.Join(out, "")
}

// tempDir is a directory in memory.
func tempDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "jbd2")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (im image) area() Area { return Area{BlockSize: im.size, Runs: im.runs} }

func (im image) read(t testing.TB) []byte {
	p, err := os.ReadFile(im.path)
	require.NoError(t, err)
	return p
}

// sameRecovery compares what Recover and e2fsck make of a state of the image.
func (im image) sameRecovery(t testing.TB, state []byte) Recovery {
	t.Helper()
	require.NoError(t, os.WriteFile(im.path, state, 0o600))
	tool(t, "", "debugfs", "-w", "-R", "feature needs_recovery", im.path)
	out := tool(t, "", "e2fsck", "-y", "-E", "journal_only", im.path)
	theirs := im.read(t)
	ours := bytes.Clone(state)
	r, err := recoverState(ours, im.area())
	require.NoError(t, err, "%+v; e2fsck: %s", r, out)
	superblock := uint64(1024 / im.size)
	for n := range im.blocks {
		if n == superblock {
			continue // has the time of the check
		}
		off := n * uint64(im.size)
		a, b := ours[off:off+uint64(im.size)], theirs[off:off+uint64(im.size)]
		if n == im.runs[0].Start {
			a, b = bytes.Clone(a), bytes.Clone(b)
			assert.Equal(t, be32(b[superStart:]), be32(a[superStart:]), "s_start")
			assert.Equal(t, be32(b[superSequence:]), be32(a[superSequence:]), "s_sequence")
			continue
		}
		require.True(t, bytes.Equal(a, b), "block %d differs; ours: %+v; e2fsck: %s", n, r, out)
	}
	return r
}

var formats = []struct {
	name           string
	options        []string
	checksum, wide bool
}{
	{"default", nil, true, true},
	{"without checksums", []string{"-O", "^metadata_csum"}, false, true},
	{"32 bits", []string{"-O", "^metadata_csum,^64bit"}, false, false},
	{"32 bits with checksums", []string{"-O", "^64bit"}, true, false},
}

// TestWrittenJournal lets e2fsck replay journals that we have written, and
// compares with our own recovery.
func TestWrittenJournal(t *testing.T) {
	for i, f := range formats {
		for _, size := range []int{1024, 4096} {
			t.Run(fmt.Sprint(f.name, " ", size), func(t *testing.T) {
				im := mkfs(t, size, f.options...)
				d := newDisk(0)
				d.data = im.read(t)
				area := im.area()
				area.Device = d
				j := start(t, d, im.blocks, area, Options{Checksum: f.checksum, Wide: f.wide})
				d.record()
				toy := newToy(j, d, size, im.free, 4)
				rnd := rand.New(rand.NewPCG(3, uint64(i)))
				// The log wraps around.
				for n := 0; j.Stats().Blocks < 2*area.length(); n++ {
					tid, err := toy.change(rnd)
					require.NoError(t, err)
					if n%10 == 0 {
						require.NoError(t, j.CommitAndWait(tid))
					}
				}
				require.NoError(t, j.Sync())
				t.Logf("%+v", j.Stats())
				rec := d.recorded()
				total := Recovery{}
				for k := range 12 {
					n := len(rec.events) - k*len(rec.events)/12
					state, _ := rec.crash(n, rnd, false)
					r := im.sameRecovery(t, state)
					total.Transactions += r.Transactions
					total.Blocks += r.Blocks
					total.Revoked += r.Revoked
				}
				t.Logf("%+v", total)
				assert.NotZero(t, total.Blocks)
				assert.NotZero(t, total.Revoked)
				require.NoError(t, j.Close())
				assert.Contains(t, tool(t, "", "e2fsck", "-f", "-n", func() string {
					require.NoError(t, os.WriteFile(im.path, d.data, 0o600))
					return im.path
				}()), "8192 blocks")
			})
		}
	}
}

// TestForeignJournal recovers journals made by debugfs.
func TestForeignJournal(t *testing.T) {
	for i, f := range []struct {
		name, open string
		options    []string
	}{
		{"without checksums", "jo", nil},
		{"v3", "jo -c", nil},
		{"v2", "jo -c -v 2", nil},
		{"v2, 32 bits", "jo -c -v 2", []string{"-O", "^64bit"}},
		{"v3, 32 bits", "jo -c", []string{"-O", "^64bit"}},
	} {
		for _, size := range []int{1024, 4096} {
			t.Run(fmt.Sprint(f.name, " ", size), func(t *testing.T) {
				im := mkfs(t, size, f.options...)
				rnd := rand.New(rand.NewPCG(5, uint64(i)))
				var script strings.Builder
				fmt.Fprintln(&script, f.open)
				for n := range 30 {
					perm := rnd.Perm(40)[:1+rnd.IntN(12)]
					content := make([]byte, len(perm)*size)
					var blocks, revoked []string
					for k, b := range perm {
						fill(content[k*size:][:size], im.free[b], uint64(n))
						blocks = append(blocks, fmt.Sprint(im.free[b]))
					}
					for _, b := range rnd.Perm(40)[:rnd.IntN(5)+1] {
						revoked = append(revoked, fmt.Sprint(im.free[40+b]))
					}
					revoked = append(revoked, fmt.Sprint(im.free[rnd.IntN(40)]))
					file := fmt.Sprint(im.path, n)
					require.NoError(t, os.WriteFile(file, content, 0o600))
					switch {
					case n == 29:
						fmt.Fprintf(&script, "jw -b %s -c %s\n", strings.Join(blocks, ","), file)
					case n%4 == 3:
						fmt.Fprintf(&script, "jw -r %s\n", strings.Join(revoked, ","))
					default: // debugfs 1.47 loses the commit block of a transaction with both that is not the last
						fmt.Fprintf(&script, "jw -b %s %s\n", strings.Join(blocks, ","), file)
					}
				}
				fmt.Fprintln(&script, "jc")
				out := tool(t, script.String(), "debugfs", "-w", im.path)
				r := im.sameRecovery(t, im.read(t))
				t.Logf("%+v", r)
				assert.Equal(t, 29, r.Transactions, "%s", out)
				assert.NotZero(t, r.Revoked, "%s", out)
			})
		}
	}
}
