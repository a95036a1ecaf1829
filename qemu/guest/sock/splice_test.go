package sock

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestSplice(t *testing.T) {
	a, b := socketpair(t, unix.SOCK_STREAM)
	c, d := socketpair(t, unix.SOCK_STREAM)
	var p [2]int
	require.NoError(t, unix.Pipe2(p[:], unix.O_CLOEXEC))
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	unix.Write(a, []byte("spliced"))
	n, err := unix.Splice(b, nil, p[1], nil, 100, 0)
	require.NoError(t, err)
	assert.Equal(t, int64(7), n)
	m, err := unix.Tee(p[0], p[1], 3, 0)
	assert.Error(t, err) // the same pipe
	assert.Zero(t, max(0, m))
	n, err = unix.Splice(p[0], nil, c, nil, 4, 0)
	require.NoError(t, err)
	assert.Equal(t, int64(4), n)
	n, err = unix.Splice(p[0], nil, c, nil, 100, 0)
	require.NoError(t, err)
	assert.Equal(t, int64(3), n)
	buf := make([]byte, 20)
	k, err := unix.Read(d, buf)
	require.NoError(t, err)
	assert.Equal(t, "spliced", string(buf[:k]))
	_, err = unix.Splice(b, nil, p[1], nil, 100, unix.SPLICE_F_NONBLOCK)
	assert.Equal(t, unix.EAGAIN, err)

	// vmsplice goes from memory to a pipe, and back.
	one, two := []byte("one "), []byte("two")
	k, err = unix.Vmsplice(p[1], []unix.Iovec{{Base: &one[0], Len: 4}, {Base: &two[0], Len: 3}}, 0)
	require.NoError(t, err)
	assert.Equal(t, 7, k)
	k, err = unix.Vmsplice(p[0], []unix.Iovec{{Base: &buf[0], Len: 5}}, 0)
	require.NoError(t, err)
	assert.Equal(t, "one t", string(buf[:k]))
	_, err = unix.Vmsplice(a, []unix.Iovec{{Base: &buf[0], Len: 5}}, 0)
	assert.Equal(t, unix.EBADF, err)

	file, err := os.Create(filepath.Join(t.TempDir(), "f"))
	require.NoError(t, err)
	defer file.Close()
	file.WriteString(strings.Repeat("content ", 1000))
	at := int64(8)
	sent, err := unix.Sendfile(a, int(file.Fd()), &at, 16)
	require.NoError(t, err)
	assert.Equal(t, 16, sent)
	assert.Equal(t, int64(24), at)
	k, err = unix.Read(b, buf)
	require.NoError(t, err)
	assert.Equal(t, "content content ", string(buf[:k]))
	_, err = unix.Sendfile(a, b, nil, 16)
	assert.Equal(t, unix.EINVAL, err)
}
