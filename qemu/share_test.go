package qemu_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/goos"
	"github.com/goshawk-os/goshawk/qemu"
)

// TestShare has a guest use folders of this machine, and looks at what is in them then.
func TestShare(t *testing.T) {
	image := filepath.Join(t.TempDir(), "share.elf")
	var messages bytes.Buffer
	_, err := goos.Build(t.Context(), goos.BuildOptions{Package: "./guest/share", Output: image, Stdout: &messages, Stderr: &messages})
	require.NoError(t, err, messages.String())

	for _, kind := range []qemu.Kind{qemu.Microvm, qemu.Q35} {
		for _, cpus := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s-%d", kind, cpus), func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "a,b")
				path := func(name string) string { return filepath.Join(dir, name) }
				require.NoError(t, os.MkdirAll(path("tree/a/b"), 0o755))
				require.NoError(t, os.WriteFile(path("tree/a/b/file"), []byte("text"), 0o644))
				require.NoError(t, os.WriteFile(path("tree/empty"), nil, 0o644))
				require.NoError(t, os.Symlink("b/file", path("tree/a/link")))
				require.NoError(t, os.WriteFile(path("answer"), nil, 0o644))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go answer(ctx, dir)

				r := qemu.Run(t, image, qemu.On(kind), qemu.CPUs(cpus), qemu.Shares(
					qemu.Share{Folder: dir, Mount: "/mnt/rw"}, qemu.Share{Folder: dir, Mount: "/mnt/ro", ReadOnly: true}))
				require.NoError(t, r.Err)
				assert.Equal(t, "done\n", strings.ReplaceAll(r.Console, "\r\n", "\n"))
				require.Zero(t, r.Status)

				got, err := os.ReadFile(path("large"))
				require.NoError(t, err)
				const extent = 1<<19 + 11
				require.Len(t, got, 8*extent)
				for i, b := range got {
					require.Equal(t, byte('a'+i/extent), b, "at %d", i)
				}
				for i := range 1000 {
					name := fmt.Sprintf("many/file%03d", i)
					switch i % 4 {
					case 1:
						name += "x"
					case 2:
						assert.NoFileExists(t, path(name))
						continue
					}
					content, err := os.ReadFile(path(name))
					require.NoError(t, err)
					require.Equal(t, fmt.Sprint("content ", i), string(content))
				}
				target, err := os.Readlink(path("many/link"))
				assert.NoError(t, err)
				assert.Equal(t, "../one", target)
				info, err := os.Stat(path("hard"))
				require.NoError(t, err)
				assert.Equal(t, os.FileMode(0o604), info.Mode())
				assert.True(t, info.ModTime().Equal(time.Unix(2000, 2)))
				list, err := os.ReadDir(dir)
				require.NoError(t, err)
				var names []string
				for _, e := range list {
					names = append(names, e.Name())
				}
				assert.Equal(t, []string{"answer", "hard", "large", "many", "one", "question", "tree"}, names)
			})
		}
	}
}

// answer changes the file answer whenever the guest asks another question.
func answer(ctx context.Context, dir string) {
	for last := ""; ctx.Err() == nil; time.Sleep(time.Millisecond) {
		if q, err := os.ReadFile(filepath.Join(dir, "question")); err == nil && string(q) != last {
			last = string(q)
			if err := os.WriteFile(filepath.Join(dir, "answer"), []byte("answer "+last), 0o644); err != nil {
				panic(err)
			}
		}
	}
}

func TestShareErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o666))
	check := func(shares ...qemu.Share) error { return qemu.New("hello.elf", qemu.Shares(shares...)).Check() }
	require.NoError(t, check(qemu.Share{Folder: dir, Mount: "/a"}, qemu.Share{Folder: dir, Mount: "/b"}))
	for want, share := range map[string]qemu.Share{
		"none does not exist":                  {Folder: filepath.Join(dir, "none"), Mount: "/a"},
		"file is not a directory":              {Folder: file, Mount: "/a"},
		`mount point "a/b" is not an absolute`: {Folder: dir, Mount: "a/b"},
		`mount point "" is not an absolute`:    {Folder: dir},
		"cannot be the guest's root directory": {Folder: dir, Mount: "/../"},
		"has a colon":                          {Folder: dir, Mount: "/a:ro"},
		"a share without a folder":             {Mount: "/a"},
	} {
		assert.ErrorContains(t, check(share), want)
	}
	assert.ErrorContains(t, check(qemu.Share{Folder: dir, Mount: "/a"}, qemu.Share{Folder: dir, Mount: "/a/"}), "have one mount point, /a")
	assert.ErrorContains(t, check(make([]qemu.Share, 5)...), "5 shares: choose at most 4")
}
