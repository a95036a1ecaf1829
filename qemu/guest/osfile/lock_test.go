package osfile

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func openTwice(t *testing.T) (a, b *os.File) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "lock")
	for _, file := range []**os.File{&a, &b} {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
		require.NoError(t, err)
		t.Cleanup(func() { f.Close() })
		*file = f
	}
	return a, b
}

func TestFlock(t *testing.T) {
	a, b := openTwice(t)
	flock := func(f *os.File, how int) error { return syscall.Flock(int(f.Fd()), how) }
	require.NoError(t, flock(a, syscall.LOCK_EX))
	require.NoError(t, flock(a, syscall.LOCK_EX), "again by the same file")
	assert.Equal(t, syscall.EWOULDBLOCK, flock(b, syscall.LOCK_EX|syscall.LOCK_NB))
	assert.Equal(t, syscall.EWOULDBLOCK, flock(b, syscall.LOCK_SH|syscall.LOCK_NB))

	// One who waits gets the lock when it is given up.
	got := make(chan error)
	go func() { got <- flock(b, syscall.LOCK_EX) }()
	require.NoError(t, flock(a, syscall.LOCK_UN))
	require.NoError(t, <-got)
	require.NoError(t, flock(b, syscall.LOCK_SH), "turned into a shared lock")
	require.NoError(t, flock(a, syscall.LOCK_SH|syscall.LOCK_NB))
	assert.Equal(t, syscall.EWOULDBLOCK, flock(a, syscall.LOCK_EX|syscall.LOCK_NB))

	require.NoError(t, b.Close(), "closing gives it up")
	require.NoError(t, flock(a, syscall.LOCK_EX|syscall.LOCK_NB))
	assert.Equal(t, syscall.EINVAL, flock(a, 0))
}

// Commands of fcntl that package syscall does not name (Linux, include/uapi/asm-generic/fcntl.h).
const (
	getOwnLock = 36 // F_OFD_GETLK
	setOwnLock = 37 // F_OFD_SETLK
)

func record(f *os.File, command int, kind int16, start, length int64) (syscall.Flock_t, error) {
	lock := syscall.Flock_t{Type: kind, Whence: io.SeekStart, Start: start, Len: length}
	err := syscall.FcntlFlock(f.Fd(), command, &lock)
	return lock, err
}

// TestProcessLocks: the locks of fcntl belong to the process, so that it never meets its own.
func TestProcessLocks(t *testing.T) {
	a, b := openTwice(t)
	for _, f := range []*os.File{a, b} {
		_, err := record(f, syscall.F_SETLK, syscall.F_WRLCK, 0, 0)
		require.NoError(t, err)
	}
	seen, err := record(b, syscall.F_GETLK, syscall.F_WRLCK, 0, 0)
	require.NoError(t, err)
	assert.EqualValues(t, syscall.F_UNLCK, seen.Type)
	_, err = record(b, syscall.F_SETLKW, syscall.F_RDLCK, 10, 10)
	require.NoError(t, err)
	_, err = record(a, syscall.F_SETLK, syscall.F_UNLCK, 0, 0)
	require.NoError(t, err)
	_, err = record(a, syscall.F_SETLK, 77, 0, 0)
	assert.Equal(t, syscall.EINVAL, err)
}

// TestFileLocks: open file description locks belong to the open file.
func TestFileLocks(t *testing.T) {
	a, b := openTwice(t)
	_, err := record(a, setOwnLock, syscall.F_WRLCK, 10, 20)
	require.NoError(t, err)
	for _, test := range []struct {
		start, length int64
		want          error
	}{
		{0, 10, nil}, {0, 11, syscall.EAGAIN}, {15, 1, syscall.EAGAIN}, {29, 1, syscall.EAGAIN},
		{30, 5, nil}, {0, 0, syscall.EAGAIN}, {30, 0, nil},
	} {
		_, err := record(b, setOwnLock, syscall.F_RDLCK, test.start, test.length)
		if test.want == nil {
			require.NoError(t, err, test)
			_, err = record(b, setOwnLock, syscall.F_UNLCK, test.start, test.length)
			require.NoError(t, err)
		} else {
			require.Equal(t, test.want, err, test)
		}
	}
	seen, err := record(b, getOwnLock, syscall.F_RDLCK, 0, 0)
	require.NoError(t, err)
	assert.EqualValues(t, syscall.F_WRLCK, seen.Type)
	assert.EqualValues(t, 10, seen.Start)
	assert.EqualValues(t, 20, seen.Len)
	assert.EqualValues(t, -1, seen.Pid)

	// A hole in the middle splits the lock.
	_, err = record(a, setOwnLock, syscall.F_UNLCK, 15, 5)
	require.NoError(t, err)
	_, err = record(b, setOwnLock, syscall.F_WRLCK, 15, 5)
	require.NoError(t, err)
	_, err = record(b, setOwnLock, syscall.F_WRLCK, 20, 1)
	assert.Equal(t, syscall.EAGAIN, err)
	require.NoError(t, a.Close(), "closing gives them up")
	_, err = record(b, setOwnLock, syscall.F_WRLCK, 0, 0)
	assert.NoError(t, err)
}
