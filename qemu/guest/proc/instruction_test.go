package proc

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestSystemCallInstructions makes calls that golang.org/x/sys makes by SYSCALL instructions of its
// own, and others: they know the same process.
func TestSystemCallInstructions(t *testing.T) {
	assert.Equal(t, os.Getpid(), unix.Getpid())
	assert.Equal(t, os.Getuid(), unix.Getuid())
	assert.Equal(t, os.Getegid(), unix.Getegid())

	old := unix.Umask(0o077)
	defer unix.Umask(old)
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "x"), os.O_CREATE|os.O_WRONLY, 0o666)
	require.NoError(t, err)
	defer f.Close()
	info, err := f.Stat()
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode())
	assert.Equal(t, 0o077, syscall.Umask(0o022))
	assert.Equal(t, 0o022, unix.Umask(old))
}
