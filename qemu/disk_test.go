package qemu_test

import (
	"bytes"
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
	"github.com/goshawk-os/goshawk/qemu/internal/stub"
)

// TestDisk has a guest fill a disk from many goroutines, and looks from outside at what is on it.
func TestDisk(t *testing.T) {
	const size = 48 * qemu.MiB
	dir := t.TempDir()
	image := filepath.Join(dir, "disk.elf")
	var messages bytes.Buffer
	_, err := goos.Build(t.Context(), goos.BuildOptions{Package: "./guest/disk", Output: image, Stdout: &messages, Stderr: &messages})
	require.NoError(t, err, messages.String())
	second := filepath.Join(dir, "a,b")
	require.NoError(t, os.WriteFile(second, bytes.Repeat([]byte("second"), 512), 0o666))
	want := make([]byte, size)
	for i := range want {
		want[i] = byte(i) ^ byte(i>>9)*31
	}
	clear(want[size-2*qemu.MiB : size-qemu.MiB])

	for _, kind := range qemu.Kinds {
		for _, cpus := range []int{1, 2, 4} {
			t.Run(fmt.Sprintf("%s-%d", kind, cpus), func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "disk.img")
				r := qemu.Run(t, image, qemu.On(kind), qemu.CPUs(cpus), qemu.Timeout(2*time.Minute),
					qemu.Disks(qemu.Disk{File: file, Size: size}, qemu.Disk{File: second, ReadOnly: true}))
				require.NoError(t, r.Err)
				assert.Equal(t, fmt.Sprintf("found vda D---------\nfound vdb D---------\n"+
					"vda: Drw-rw---- rdev 0xfd00, size %d, ioctls %d %d 512 512 0\n"+
					"vdb: 3072 bytes, begin with \"second\", read-only 1\nvdb: write /dev/vdb: operation not permitted\ndone\n",
					size, size, size/512), strings.ReplaceAll(r.Console, "\r\n", "\n"))
				require.Zero(t, r.Status)
				got, err := os.ReadFile(file)
				require.NoError(t, err)
				assert.True(t, bytes.Equal(want, got), "the image is not what the guest wrote")
			})
		}
	}
}

func TestDiskErrors(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, size int) string {
		name = filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(name, make([]byte, size), 0o666))
		return name
	}
	check := func(disks ...qemu.Disk) error { return qemu.New("hello.elf", qemu.Disks(disks...)).Check() }
	good, missing := file("good", 1<<20), filepath.Join(dir, "missing")
	require.NoError(t, check(qemu.Disk{File: good}, qemu.Disk{File: missing, Size: qemu.MiB}))
	assert.NoFileExists(t, missing, "a check makes nothing")
	for want, disk := range map[string]qemu.Disk{
		"missing does not exist; with a size it is made: " + missing + ",size=1G": {File: missing},
		"is a directory":                     {File: dir},
		"odd has 1000 bytes, which is not a": {File: file("odd", 1000)},
		"empty is empty":                     {File: file("empty", 0)},
		"no such file or directory":          {File: filepath.Join(dir, "no", "where"), Size: qemu.MiB},
		"not a multiple of 512":              {File: missing, Size: 1000},
	} {
		assert.ErrorContains(t, check(disk), want)
	}
	assert.ErrorContains(t, check(qemu.Disk{}), "a disk without a file")
	assert.ErrorContains(t, check(qemu.Disk{File: missing, Size: qemu.MiB, ReadOnly: true}), "would stay empty")
	assert.ErrorContains(t, check(make([]qemu.Disk, 9)...), "9 disks: choose at most 8")

	start := func(d qemu.Disk) *qemu.Process {
		p, err := qemu.New(stub.Write(t, stub.Hang), qemu.Using(qemu.TCG), qemu.Disks(d)).Start(t.Context())
		require.NoError(t, err)
		t.Cleanup(func() {
			p.Kill()
			p.Wait()
		})
		return p
	}
	soon := func(d qemu.Disk) {
		require.Eventually(t, func() bool {
			err := check(d)
			return err != nil && strings.Contains(err.Error(), "is in use by another machine")
		}, 20*time.Second, 20*time.Millisecond)
	}
	p := start(qemu.Disk{File: good})
	soon(qemu.Disk{File: good})
	soon(qemu.Disk{File: good, ReadOnly: true})
	p.Kill()
	p.Wait()
	start(qemu.Disk{File: good, ReadOnly: true})
	soon(qemu.Disk{File: good})
	assert.NoError(t, check(qemu.Disk{File: good, ReadOnly: true}), "many may read")
	if os.Geteuid() != 0 {
		require.NoError(t, os.Chmod(good, 0o444))
		assert.ErrorContains(t, check(qemu.Disk{File: good}), "if reading is enough: "+good+",ro")
	}
}
