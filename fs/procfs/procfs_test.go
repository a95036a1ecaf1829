package procfs

import (
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/fs/vfs"
)

func text1() []byte { return []byte("1\n") }

// lookUp walks down from the root.
func lookUp(t *testing.T, fs *FS, names ...string) (vfs.Entry, error) {
	t.Helper()
	e := fs.Root()
	for _, name := range names {
		d, ok := e.Inode().(vfs.Directory)
		require.True(t, ok, name)
		var err error
		if e, err = d.Lookup(name); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// TestExtend: the names of an extended directory come with the first look at them, once, also if many
// look at the same time.
func TestExtend(t *testing.T) {
	fs := New("proc")
	require.NoError(t, fs.AddFile("sys/net/core/somaxconn", 0o444, text1))
	calls := 0
	fill := func() {
		calls++
		assert.NoError(t, fs.AddFile("sys/net/ipv4/ip_forward", 0o444, text1))
		assert.NoError(t, fs.AddFile("sys/net/ipv4/conf/all/forwarding", 0o444, text1))
	}
	require.NoError(t, fs.Extend("sys/net/ipv4", fill))
	assert.Error(t, fs.Extend("sys/net/ipv4", fill), "twice")
	assert.Error(t, fs.Extend("sys/net/core/somaxconn", fill), "a file")
	_, err := lookUp(t, fs, "sys", "net", "ipv4")
	require.NoError(t, err)
	assert.Zero(t, calls, "nobody has looked into it")

	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			_, err := lookUp(t, fs, "sys", "net", "ipv4", "conf", "all", "forwarding")
			assert.NoError(t, err)
		})
	}
	all.Wait()
	assert.Equal(t, 1, calls)
	_, err = lookUp(t, fs, "sys", "net", "ipv4", "ip_forwarding")
	assert.Equal(t, syscall.ENOENT, err)

	require.NoError(t, fs.Extend("sys/net/ipv6", func() {
		assert.NoError(t, fs.AddFile("sys/net/ipv6/bindv6only", 0o444, text1))
	}))
	e, err := lookUp(t, fs, "sys", "net", "ipv6")
	require.NoError(t, err)
	var names []string
	require.NoError(t, e.Inode().(vfs.Directory).ReadDir(0, func(name string, _ uint64, _ uint32, _ int64) bool {
		names = append(names, name)
		return true
	}))
	assert.Equal(t, []string{"bindv6only"}, names)
}
