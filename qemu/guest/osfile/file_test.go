package osfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func write(t *testing.T, name, content string) string {
	t.Helper()
	require.NoError(t, os.WriteFile(name, []byte(content), 0o644))
	return name
}

func content(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(b)
}

func TestWriteAndRead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	for _, size := range []int{0, 1, 511, 4096, 4097, 1 << 20, 3} {
		want := bytes.Repeat([]byte{byte(size), 7}, size)[:size]
		require.NoError(t, os.WriteFile(name, want, 0o600))
		got, err := os.ReadFile(name)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got), "%d bytes", size)
		info, err := os.Stat(name)
		require.NoError(t, err)
		assert.EqualValues(t, size, info.Size())
		assert.Equal(t, fs.FileMode(0o600), info.Mode())
		assert.Equal(t, "file", info.Name())
	}
}

func TestOpenFlags(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	open := func(flags int) (*os.File, error) { return os.OpenFile(name, flags, 0o644) }

	_, err := open(os.O_RDONLY)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	file, err := open(os.O_WRONLY | os.O_CREATE | os.O_EXCL)
	require.NoError(t, err)
	_, err = file.WriteString("one")
	require.NoError(t, err)
	_, err = file.Read(make([]byte, 1))
	assert.ErrorIs(t, err, syscall.EBADF, "opened to write only")
	require.NoError(t, file.Close())
	assert.ErrorIs(t, file.Close(), os.ErrClosed)

	_, err = open(os.O_WRONLY | os.O_CREATE | os.O_EXCL)
	assert.ErrorIs(t, err, fs.ErrExist)
	file, err = open(os.O_WRONLY | os.O_APPEND)
	require.NoError(t, err)
	_, err = file.WriteString("two")
	require.NoError(t, err)
	require.NoError(t, file.Close())
	assert.Equal(t, "onetwo", content(t, name))

	file, err = open(os.O_RDONLY)
	require.NoError(t, err)
	_, err = file.WriteString("x")
	assert.ErrorIs(t, err, syscall.EBADF, "opened to read only")
	assert.ErrorIs(t, file.SetDeadline(time.Now()), os.ErrNoDeadline)
	require.NoError(t, file.Close())
	file, err = open(os.O_RDWR | os.O_TRUNC)
	require.NoError(t, err)
	require.NoError(t, file.Close())
	assert.Empty(t, content(t, name))
}

func TestPositions(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	require.NoError(t, err)
	defer file.Close()
	_, err = file.WriteString("0123456789")
	require.NoError(t, err)

	at, err := file.Seek(-4, io.SeekEnd)
	require.NoError(t, err)
	assert.EqualValues(t, 6, at)
	rest, err := io.ReadAll(file)
	require.NoError(t, err)
	assert.Equal(t, "6789", string(rest))
	_, err = file.Seek(-1, io.SeekStart)
	assert.ErrorIs(t, err, syscall.EINVAL)

	_, err = file.WriteAt([]byte("AB"), 2)
	require.NoError(t, err)
	four := make([]byte, 4)
	n, err := file.ReadAt(four, 1)
	require.NoError(t, err)
	assert.Equal(t, "1AB4", string(four[:n]))
	n, err = file.ReadAt(four, 8)
	assert.Equal(t, io.EOF, err)
	assert.Equal(t, "89", string(four[:n]))
	at, err = file.Seek(0, io.SeekCurrent)
	require.NoError(t, err)
	assert.EqualValues(t, 10, at, "ReadAt and WriteAt do not move the position")

	// A hole reads as zeroes.
	_, err = file.WriteAt([]byte("end"), 1<<20)
	require.NoError(t, err)
	hole := make([]byte, 1<<20-10)
	_, err = file.ReadAt(hole, 10)
	require.NoError(t, err)
	assert.Equal(t, make([]byte, len(hole)), hole)

	require.NoError(t, file.Truncate(5))
	require.NoError(t, file.Truncate(8))
	require.NoError(t, file.Sync())
	assert.Equal(t, "01AB4\x00\x00\x00", content(t, file.Name()))
	assert.ErrorIs(t, file.Truncate(-1), syscall.EINVAL)
}

func TestConcurrentAppends(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	const writers, lines = 8, 200
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			file, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
			if !assert.NoError(t, err) {
				return
			}
			defer file.Close()
			for l := range lines {
				_, err := fmt.Fprintf(file, "%d %d\n", w, l)
				assert.NoError(t, err)
			}
		})
	}
	group.Wait()
	var next [writers]int
	for line := range bytes.Lines([]byte(content(t, name))) {
		var w, l int
		_, err := fmt.Sscanf(string(line), "%d %d\n", &w, &l)
		require.NoError(t, err, "%q", line)
		require.Equal(t, next[w], l)
		next[w]++
	}
	for w := range writers {
		assert.Equal(t, lines, next[w])
	}
}

func TestRename(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	write(t, in("a"), "from a")
	write(t, in("b"), "from b")
	require.NoError(t, os.Rename(in("a"), in("b")))
	assert.Equal(t, "from a", content(t, in("b")))
	assert.NoFileExists(t, in("a"))
	assert.ErrorIs(t, os.Rename(in("a"), in("c")), fs.ErrNotExist)

	require.NoError(t, os.MkdirAll(in("d/e"), 0o755))
	write(t, in("d/e/f"), "f")
	require.NoError(t, os.Rename(in("d/e"), in("g")))
	assert.Equal(t, "f", content(t, in("g/f")))

	require.NoError(t, os.Mkdir(in("empty"), 0o755))
	assert.ErrorIs(t, os.Rename(in("g"), in("empty")), fs.ErrExist, "package os refuses any folder")
	require.NoError(t, syscall.Rename(in("g"), in("empty")), "over an empty folder")
	assert.Equal(t, "f", content(t, in("empty/f")))
	assert.Equal(t, syscall.ENOTEMPTY, syscall.Rename(in("d"), in("empty")))
	assert.Equal(t, syscall.EISDIR, syscall.Rename(in("b"), in("d")), "a file over a folder")
	assert.Equal(t, syscall.ENOTDIR, syscall.Rename(in("d"), in("b")), "a folder over a file")
	assert.ErrorIs(t, os.Rename(in("d"), in("d/inside")), syscall.EINVAL, "a folder into itself")
}

func TestLinks(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	write(t, in("file"), "content")

	require.NoError(t, os.Symlink("file", in("link")))
	assert.Equal(t, "content", content(t, in("link")))
	target, err := os.Readlink(in("link"))
	require.NoError(t, err)
	assert.Equal(t, "file", target)
	info, err := os.Lstat(in("link"))
	require.NoError(t, err)
	assert.Equal(t, fs.ModeSymlink, info.Mode().Type())
	assert.EqualValues(t, len("file"), info.Size())
	_, err = os.Readlink(in("file"))
	assert.ErrorIs(t, err, syscall.EINVAL)
	assert.ErrorIs(t, os.Symlink("x", in("link")), fs.ErrExist)

	require.NoError(t, os.Symlink(dir, in("up")))
	assert.Equal(t, "content", content(t, in("up/up/up/file")))
	resolved, err := filepath.EvalSymlinks(in("up/up/link"))
	require.NoError(t, err)
	real, err := filepath.EvalSymlinks(in("file"))
	require.NoError(t, err)
	assert.Equal(t, real, resolved)

	require.NoError(t, os.Symlink("loop", in("loop")))
	_, err = os.Open(in("loop"))
	assert.ErrorIs(t, err, syscall.ELOOP)
	require.NoError(t, os.Symlink("nothing", in("dangling")))
	_, err = os.Stat(in("dangling"))
	assert.ErrorIs(t, err, fs.ErrNotExist)
	write(t, in("dangling"), "made through the link")
	assert.Equal(t, "made through the link", content(t, in("nothing")))

	require.NoError(t, os.Link(in("file"), in("hard")))
	a, err := os.Stat(in("file"))
	require.NoError(t, err)
	b, err := os.Stat(in("hard"))
	require.NoError(t, err)
	assert.True(t, os.SameFile(a, b))
	assert.EqualValues(t, 2, b.Sys().(*syscall.Stat_t).Nlink)
	require.NoError(t, os.Remove(in("file")))
	assert.Equal(t, "content", content(t, in("hard")))
	assert.ErrorIs(t, os.Link(dir, in("dirlink")), fs.ErrPermission)
}

func TestRemovedFileStaysOpen(t *testing.T) {
	name := write(t, filepath.Join(t.TempDir(), "file"), "still there")
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	require.NoError(t, err)
	defer file.Close()
	require.NoError(t, os.Remove(name))
	assert.NoFileExists(t, name)
	b, err := io.ReadAll(file)
	require.NoError(t, err)
	assert.Equal(t, "still there", string(b))
	_, err = file.WriteString(", and more")
	require.NoError(t, err)
	info, err := file.Stat()
	require.NoError(t, err)
	assert.EqualValues(t, 21, info.Size())
	assert.Zero(t, info.Sys().(*syscall.Stat_t).Nlink)
}

func TestModes(t *testing.T) {
	dir := t.TempDir()
	name := write(t, filepath.Join(dir, "file"), "")
	for _, mode := range []fs.FileMode{0o600, 0o755, 0o000, 0o644 | fs.ModeSetuid} {
		require.NoError(t, os.Chmod(name, mode))
		info, err := os.Stat(name)
		require.NoError(t, err)
		assert.Equal(t, mode, info.Mode())
	}
	require.NoError(t, os.Chmod(dir, 0o700|fs.ModeSticky))
	info, err := os.Stat(dir)
	require.NoError(t, err)
	assert.Equal(t, 0o700|fs.ModeSticky|fs.ModeDir, info.Mode())

	defer syscall.Umask(syscall.Umask(0o027))
	name = filepath.Join(dir, "masked")
	require.NoError(t, os.WriteFile(name, nil, 0o666))
	info, err = os.Stat(name)
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o640), info.Mode())
}

func TestTimes(t *testing.T) {
	// The kernel may stamp files with a coarser clock than time.Now.
	const grain = 20 * time.Millisecond
	before := time.Now().Add(-grain)
	name := write(t, filepath.Join(t.TempDir(), "file"), "x")
	modified := func() time.Time {
		info, err := os.Stat(name)
		require.NoError(t, err)
		return info.ModTime()
	}
	assert.False(t, modified().Before(before))
	assert.False(t, modified().After(time.Now().Add(grain)))

	accessed := time.Date(2001, 2, 3, 4, 5, 6, 123456789, time.UTC)
	changed := time.Date(1999, 12, 31, 23, 59, 59, 987654321, time.UTC)
	require.NoError(t, os.Chtimes(name, accessed, changed))
	info, err := os.Stat(name)
	require.NoError(t, err)
	assert.True(t, info.ModTime().Equal(changed), info.ModTime())
	atime := info.Sys().(*syscall.Stat_t).Atim
	assert.Equal(t, accessed.UnixNano(), atime.Nano())

	require.NoError(t, os.Chtimes(name, time.Time{}, accessed))
	assert.True(t, modified().Equal(accessed))
	write(t, name, "y")
	assert.False(t, modified().Before(before), "writing sets the time")
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "file"), "x")

	_, err := os.Open(filepath.Join(dir, "none"))
	var pathError *fs.PathError
	require.True(t, errors.As(err, &pathError))
	assert.Equal(t, "open", pathError.Op)
	assert.Equal(t, syscall.ENOENT, pathError.Err)

	_, err = os.ReadFile(dir)
	assert.ErrorIs(t, err, syscall.EISDIR)
	assert.ErrorIs(t, os.WriteFile(dir, nil, 0o644), syscall.EISDIR)
	_, err = os.Open(filepath.Join(file, "below"))
	assert.ErrorIs(t, err, syscall.ENOTDIR)
	_, err = os.ReadDir(file)
	assert.ErrorIs(t, err, syscall.ENOTDIR)
	assert.ErrorIs(t, os.Mkdir(file, 0o755), fs.ErrExist)
	assert.ErrorIs(t, os.Remove(filepath.Join(dir, "none")), fs.ErrNotExist)
	assert.ErrorIs(t, syscall.Rmdir(dir), syscall.ENOTEMPTY)
	assert.ErrorIs(t, syscall.Unlink(dir), syscall.EISDIR)
	assert.ErrorIs(t, syscall.Rmdir(file), syscall.ENOTDIR)
	_, err = os.Stat(filepath.Join(dir, string(bytes.Repeat([]byte{'n'}, 256))))
	assert.ErrorIs(t, err, syscall.ENAMETOOLONG)
	_, err = os.Open("")
	assert.ErrorIs(t, err, fs.ErrNotExist)
	_, err = os.Open("nul\x00byte")
	assert.ErrorIs(t, err, syscall.EINVAL)
	assert.Equal(t, syscall.EBADF, syscall.Close(9999))
}
