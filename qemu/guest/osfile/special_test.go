package osfile

import (
	"debug/elf"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNull(t *testing.T) {
	file, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	require.NoError(t, err)
	defer file.Close()
	n, err := file.Write(make([]byte, 5000))
	require.NoError(t, err)
	assert.Equal(t, 5000, n)
	_, err = file.Read(make([]byte, 1))
	assert.Equal(t, io.EOF, err)
	info, err := file.Stat()
	require.NoError(t, err)
	assert.Equal(t, fs.ModeDevice|fs.ModeCharDevice, info.Mode().Type())
}

func TestZero(t *testing.T) {
	file, err := os.Open("/dev/zero")
	require.NoError(t, err)
	defer file.Close()
	b := make([]byte, 70_000)
	for i := range b {
		b[i] = 1
	}
	_, err = io.ReadFull(file, b)
	require.NoError(t, err)
	assert.Equal(t, make([]byte, len(b)), b)
}

func TestRandomDevices(t *testing.T) {
	for _, name := range []string{"/dev/urandom", "/dev/random"} {
		file, err := os.Open(name)
		require.NoError(t, err)
		defer file.Close()
		var counts [256]int
		b := make([]byte, 1<<16)
		_, err = io.ReadFull(file, b)
		require.NoError(t, err)
		for _, x := range b {
			counts[x]++
		}
		// The counts are 256 on average with a deviation of 16: 10 deviations do not occur.
		for x, n := range counts {
			assert.InDelta(t, 256, n, 160, "%s: byte %d", name, x)
		}
	}
}

func TestExecutable(t *testing.T) {
	name, err := os.Executable()
	require.NoError(t, err)
	assert.True(t, filepath.IsAbs(name), name)
	target, err := os.Readlink("/proc/self/exe")
	require.NoError(t, err)
	assert.Equal(t, name, target)

	file, err := elf.Open("/proc/self/exe")
	require.NoError(t, err)
	defer file.Close()
	assert.Equal(t, elf.EM_X86_64, file.Machine)
	info, ok := debug.ReadBuildInfo()
	require.True(t, ok)
	assert.Contains(t, info.Path, "osfile")
}

func TestStandardFiles(t *testing.T) {
	for _, f := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		_, err := f.Stat()
		assert.NoError(t, err, f.Name())
	}
	var stat syscall.Statfs_t
	require.NoError(t, syscall.Statfs(t.TempDir(), &stat))
	assert.Positive(t, stat.Bsize)
	assert.Positive(t, stat.Namelen)
}

func TestDuplicatesShareThePosition(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	require.NoError(t, err)
	defer file.Close()
	fd, err := syscall.Dup(int(file.Fd()))
	require.NoError(t, err)
	_, err = file.WriteString("12345")
	require.NoError(t, err)
	at, err := syscall.Seek(fd, 0, io.SeekCurrent)
	require.NoError(t, err)
	assert.EqualValues(t, 5, at)
	require.NoError(t, syscall.Close(fd))
	_, err = file.WriteString("6")
	assert.NoError(t, err)
	assert.Equal(t, "123456", content(t, file.Name()))
}

// TestDescriptorsAreReused: the lowest free number is taken.
func TestDescriptorsAreReused(t *testing.T) {
	name := write(t, filepath.Join(t.TempDir(), "file"), "x")
	open := func() int {
		fd, err := syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		require.NoError(t, err)
		return fd
	}
	a, b := open(), open()
	require.NoError(t, syscall.Close(a))
	c := open()
	assert.Equal(t, a, c)
	require.NoError(t, syscall.Close(b))
	require.NoError(t, syscall.Close(c))
}
