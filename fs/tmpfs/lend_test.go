package tmpfs_test

import (
	"bytes"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/fs/tmpfs"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// TestLend: what is lent is what is read, over chunks and holes, of files written and referred to.
func TestLend(t *testing.T) {
	space := vfs.New(tmpfs.New(tmpfs.Options{}))
	data := make([]byte, 300_000)
	for i := range data {
		data[i] = byte(i * 7)
	}
	written, err := space.Open(nil, "/written", syscall.O_CREAT|syscall.O_RDWR, 0o600)
	require.NoError(t, err)
	_, err = written.Write(data)
	require.NoError(t, err)
	_, err = written.Pwrite([]byte("end"), 2_000_000)
	require.NoError(t, err)
	referred, err := space.Open(nil, "/referred", syscall.O_CREAT|syscall.O_RDWR, 0o600)
	require.NoError(t, err)
	require.NoError(t, tmpfs.Refer(referred.Inode(), data))
	for _, f := range []*vfs.File{written, referred} {
		for _, off := range []int64{0, 1, 65535, 65536, 100_000, 299_999, 300_000, 1_999_999, 2_000_002, 2_000_003, 5_000_000} {
			for _, n := range []int{0, 1, 10, 65536, 65537, 3_000_000} {
				var got []byte
				calls := 0
				require.True(t, f.Lend(off, n, func(parts [][]byte) {
					calls++
					got = bytes.Join(parts, nil)
				}))
				want := make([]byte, n)
				k, err := f.Pread(want, off)
				require.NoError(t, err)
				require.Equal(t, 1, calls)
				if len(got) < k { // as many parts as are lent at once
					require.GreaterOrEqual(t, len(got), 60_000)
					k = len(got)
				}
				require.True(t, bytes.Equal(want[:k], got), "%d bytes at %d", n, off)
			}
		}
	}
	assert.False(t, written.Lend(-1, 1, nil))
}
