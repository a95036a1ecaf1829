package qemu_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/goos"
	"github.com/goshawk-os/goshawk/qemu"
)

// e2fs runs a program of e2fsprogs.
func e2fs(t *testing.T, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path = "/usr/sbin/" + name
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	require.NoError(t, err, "%s %v (of the package e2fsprogs): %s", name, args, out)
	return string(out)
}

// TestMount has a guest use the file system of a disk, and other programs look at it then.
func TestMount(t *testing.T) {
	dir := t.TempDir()
	image := filepath.Join(dir, "mount.elf")
	var messages bytes.Buffer
	_, err := goos.Build(t.Context(), goos.BuildOptions{Package: "./guest/mount", Output: image, Stdout: &messages, Stderr: &messages})
	require.NoError(t, err, messages.String())
	tree := filepath.Join(dir, "tree")
	require.NoError(t, os.Mkdir(tree, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(tree, "hello"), []byte("hello\n"), 0o644))
	lines := func(r qemu.Result) string { return strings.ReplaceAll(r.Console, "\r\n", "\n") }

	for _, kind := range []qemu.Kind{qemu.Microvm, qemu.Q35} {
		for _, cpus := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s-%d", kind, cpus), func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "disk.img")
				e2fs(t, "mke2fs", "-q", "-t", "ext4", "-d", tree, file, "64M")
				r := qemu.Run(t, image, qemu.On(kind), qemu.CPUs(cpus), qemu.Disks(qemu.Disk{File: file, Mount: "/data", ReadOnly: true}), qemu.Args("read"))
				require.NoError(t, r.Err)
				assert.Equal(t, "/dev/vda /data ext4 ro,relatime 0 0\nhello\nhello\ntrue\n", lines(r))

				r = qemu.Run(t, image, qemu.On(kind), qemu.CPUs(cpus), qemu.Disks(qemu.Disk{File: file, Mount: "/data"}), qemu.Args("write"))
				require.NoError(t, r.Err)
				assert.Equal(t, "/dev/vda /data ext4 rw,relatime 0 0\n800\ntrue\n61267 true\n", lines(r))
				require.Zero(t, r.Status)
				e2fs(t, "e2fsck", "-fn", file)
				assert.Equal(t, "words", e2fs(t, "debugfs", "-R", "cat /last", file)[len("debugfs 1.47.0 (5-Feb-2023)\n"):])
				out := filepath.Join(t.TempDir(), "out")
				for w := range 8 {
					e2fs(t, "debugfs", "-R", fmt.Sprintf("dump /dir/file%d %s", w, out), file)
					got, err := os.ReadFile(out)
					require.NoError(t, err)
					want := bytes.Repeat([]byte(fmt.Sprintf("worker %d\n", w)), 50_000)
					if w == 5 {
						want = want[:12345]
					}
					assert.True(t, bytes.Equal(want, got), "file%d", w)
				}
			})
		}
	}
	t.Run("errors", func(t *testing.T) {
		empty := filepath.Join(dir, "empty.img")
		require.NoError(t, os.WriteFile(empty, make([]byte, 4<<20), 0o666))
		r := qemu.Run(t, image, qemu.Disks(qemu.Disk{File: empty, Mount: "/data"}))
		assert.Equal(t, 125, r.Status)
		assert.Contains(t, r.Console, "goshawk: mount of vda at /data: no ext4 file system is on the disk; goshawk fs mkfs makes one")
	})
}
