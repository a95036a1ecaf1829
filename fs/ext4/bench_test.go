package ext4_test

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/fs/block"
)

// BenchmarkNames creates, renames and removes a file, in a directory of 1,000.
func BenchmarkNames(b *testing.B) {
	_, ns, end := mountDevice(b, block.NewMemory(emptyImage(b, "256M", "-t", "ext4", "-b", "4096"), 512))
	defer end()
	for i := range 1000 {
		require.NoError(b, ns.Mknod(nil, fmt.Sprint("/file", i), syscall.S_IFREG, 0))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		name := fmt.Sprint("/new", i)
		require.NoError(b, ns.Mknod(nil, name, syscall.S_IFREG, 0))
		require.NoError(b, ns.Rename(nil, name, nil, name+"x", 0))
		require.NoError(b, ns.Unlink(nil, name+"x", 0))
	}
}

// BenchmarkWarmRead reads 4 KiB of a file in memory.
func BenchmarkWarmRead(b *testing.B) {
	_, ns, end := mountDevice(b, block.NewMemory(emptyImage(b, "64M", "-t", "ext4", "-b", "4096"), 512))
	defer end()
	f, err := ns.Open(nil, "/file", syscall.O_CREAT|syscall.O_RDWR, 0o600)
	require.NoError(b, err)
	_, err = f.Write(make([]byte, 1<<20))
	require.NoError(b, err)
	p := make([]byte, 4096)
	b.SetBytes(4096)
	b.ReportAllocs()
	for i := int64(0); b.Loop(); i++ {
		if _, err := f.Pread(p, i%256<<12); err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, f.Close())
}
