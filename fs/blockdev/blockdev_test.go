package blockdev_test

import (
	"bytes"
	"math/rand"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/fs/block"
	"github.com/goshawk-os/goshawk/fs/blockdev"
	"github.com/goshawk-os/goshawk/fs/devfs"
	"github.com/goshawk-os/goshawk/fs/tmpfs"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// device is a device with other properties, which counts flushes.
type device struct {
	block.Device
	change  func(*block.Info)
	mu      sync.Mutex
	flushes int
}

func (d *device) Info() block.Info {
	i := d.Device.Info()
	if d.change != nil {
		d.change(&i)
	}
	return i
}

func (d *device) Submit(r *block.Request) {
	if r.Op == block.FlushCache {
		d.mu.Lock()
		d.flushes++
		d.mu.Unlock()
	}
	d.Device.Submit(r)
}

// space is a name space with a disk at /dev/vda, found at the first look.
func space(t *testing.T, d block.Device) (ns *vfs.Namespace, looked *int) {
	looked = new(int)
	ns = vfs.New(tmpfs.New(tmpfs.Options{}))
	var dev *devfs.FS
	dev = devfs.New(func([]byte) {}, func() {
		*looked++
		require.NoError(t, dev.RegisterDisk("vda", 0o660, vfs.Dev(253, 0), blockdev.New(d).Open))
	})
	ns.OpenDevice = dev.OpenDevice
	require.NoError(t, ns.Mkdir(nil, "/dev", 0o755))
	require.NoError(t, ns.Mount("/dev", dev, "dev", false))
	return ns, looked
}

func open(t *testing.T, ns *vfs.Namespace, flags int) *vfs.File {
	f, err := ns.Open(nil, "/dev/vda", flags, 0)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, f.Close()) })
	return f
}

func TestDiscovery(t *testing.T) {
	disk := block.NewMemory(make([]byte, 8192), 512)
	for name, look := range map[string]func(ns *vfs.Namespace) error{
		"open": func(ns *vfs.Namespace) error { _, err := ns.Open(nil, "/dev/vda", syscall.O_RDWR, 0); return err },
		"list": func(ns *vfs.Namespace) error {
			f, err := ns.Open(nil, "/dev", syscall.O_RDONLY, 0)
			if err == nil {
				var n int
				p := make([]byte, 4096)
				n, err = f.ReadDir(p)
				assert.Contains(t, string(p[:n]), "vda")
			}
			return err
		},
		"a node elsewhere": func(ns *vfs.Namespace) error {
			if err := ns.Mknod(nil, "/disk", syscall.S_IFBLK|0o600, vfs.Dev(253, 0)); err != nil {
				return err
			}
			_, err := ns.Open(nil, "/disk", syscall.O_RDWR, 0)
			return err
		},
	} {
		ns, looked := space(t, disk)
		f, err := ns.Open(nil, "/dev/null", syscall.O_RDWR, 0)
		require.NoError(t, err)
		f.Close()
		assert.Zero(t, *looked, name)
		for range 2 {
			err := look(ns)
			if name != "a node elsewhere" || err != syscall.EEXIST {
				require.NoError(t, err, name)
			}
			assert.Equal(t, 1, *looked, name)
		}
	}
	ns, _ := space(t, disk)
	_, err := ns.Open(nil, "/dev/vdb", syscall.O_RDWR, 0)
	assert.Equal(t, syscall.ENOENT, err)
	require.NoError(t, ns.Mknod(nil, "/none", syscall.S_IFBLK|0o600, vfs.Dev(253, 16)))
	_, err = ns.Open(nil, "/none", syscall.O_RDWR, 0)
	assert.Equal(t, syscall.ENXIO, err)
}

func TestPositions(t *testing.T) {
	const size = 1 << 20
	for _, logical := range []int{512, 4096} {
		data := make([]byte, size)
		ns, _ := space(t, block.NewMemory(data, logical))
		f := open(t, ns, syscall.O_RDWR|syscall.O_TRUNC)
		want := make([]byte, size)
		random := rand.New(rand.NewSource(1))
		for range 500 {
			off, n := random.Intn(size), random.Intn(20000)
			if random.Intn(20) == 0 {
				n = 700_000
			}
			n = min(n, size-off)
			if random.Intn(2) == 0 {
				random.Read(want[off : off+n])
				k, err := f.Pwrite(want[off:off+n], int64(off))
				require.NoError(t, err)
				require.Equal(t, n, k)
			} else {
				p := make([]byte, n)
				k, err := f.Pread(p, int64(off))
				require.NoError(t, err)
				require.Equal(t, n, k)
				require.True(t, bytes.Equal(want[off:off+n], p))
			}
		}
		assert.True(t, bytes.Equal(want, data))

		pos, err := f.Seek(-100, 2)
		require.NoError(t, err)
		assert.Equal(t, int64(size-100), pos)
		n, err := f.Write(make([]byte, 300))
		require.NoError(t, err)
		assert.Equal(t, 100, n, "up to the end")
		_, err = f.Write([]byte{1})
		assert.Equal(t, syscall.ENOSPC, err)
		n, err = f.Read([]byte{1})
		assert.Zero(t, n)
		assert.NoError(t, err)
		n, err = f.Pread(make([]byte, 500), size-5)
		assert.Equal(t, 5, n)
		assert.NoError(t, err)
		assert.Equal(t, syscall.EINVAL, f.Truncate(0))
		assert.Equal(t, syscall.ENODEV, f.Fallocate(0, 0, 4096))
	}
}

func TestStat(t *testing.T) {
	ns, _ := space(t, block.NewMemory(make([]byte, 8192), 512))
	st, err := open(t, ns, syscall.O_RDONLY).Stat()
	require.NoError(t, err)
	assert.Equal(t, uint32(syscall.S_IFBLK|0o660), st.Mode)
	assert.Equal(t, vfs.Dev(253, 0), st.Rdev)
	assert.Equal(t, int64(0), st.Size)
	assert.Equal(t, int64(4096), st.Blksize)
}

// TestUnaligned has goroutines write to different parts of the same blocks.
func TestUnaligned(t *testing.T) {
	const writers, each = 8, 100
	data := make([]byte, 4096*each)
	ns, _ := space(t, block.NewMemory(data, 4096))
	f := open(t, ns, syscall.O_RDWR)
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range each {
				_, err := f.Pwrite(bytes.Repeat([]byte{byte(w + 1)}, 512), int64(i*4096+w*512))
				assert.NoError(t, err)
			}
		})
	}
	group.Wait()
	for i := range data {
		if data[i] != byte(i%4096/512+1) {
			require.Fail(t, "a write was lost", "at %d: %d", i, data[i])
		}
	}
}

func TestSync(t *testing.T) {
	d := &device{Device: block.NewMemory(make([]byte, 8192), 512)}
	ns, _ := space(t, d)
	f := open(t, ns, syscall.O_RDWR)
	_, err := f.Write([]byte("x"))
	require.NoError(t, err)
	assert.Equal(t, 0, d.flushes)
	require.NoError(t, f.Sync())
	assert.Equal(t, 1, d.flushes)
	_, err = open(t, ns, syscall.O_RDWR|syscall.O_SYNC).Write([]byte("y"))
	require.NoError(t, err)
	assert.Equal(t, 2, d.flushes)
	_, err = open(t, ns, syscall.O_RDWR|syscall.O_DSYNC).Write([]byte("y"))
	require.NoError(t, err)
	assert.Equal(t, 3, d.flushes)
}

func TestDirect(t *testing.T) {
	ns, _ := space(t, block.NewMemory(make([]byte, 8192), 512))
	f := open(t, ns, syscall.O_RDWR|syscall.O_DIRECT)
	for _, c := range []struct{ off, n int }{{1, 512}, {0, 100}} {
		_, err := f.Pwrite(make([]byte, c.n), int64(c.off))
		assert.Equal(t, syscall.EINVAL, err)
		_, err = f.Pread(make([]byte, c.n), int64(c.off))
		assert.Equal(t, syscall.EINVAL, err)
	}
	n, err := f.Pwrite(make([]byte, 1024), 512)
	assert.Equal(t, 1024, n)
	assert.NoError(t, err)
}

func TestReadOnly(t *testing.T) {
	d := &device{Device: block.NewMemory(make([]byte, 8192), 512), change: func(i *block.Info) { i.ReadOnly = true }}
	ns, _ := space(t, d)
	f := open(t, ns, syscall.O_RDWR)
	_, err := f.Write([]byte("x"))
	assert.Equal(t, syscall.EPERM, err)
	r := [2]uint64{0, 512}
	assert.Equal(t, syscall.EPERM, f.Ioctl(blockdev.BLKZEROOUT, unsafe.Pointer(&r)))
	var n int32
	require.NoError(t, f.Ioctl(blockdev.BLKROGET, unsafe.Pointer(&n)))
	assert.Equal(t, int32(1), n)
}

func TestIoctl(t *testing.T) {
	data := bytes.Repeat([]byte{1}, 1<<20)
	d := &device{Device: block.NewMemory(data, 512)}
	ns, _ := space(t, d)
	f := open(t, ns, syscall.O_RDWR)
	get := func(cmd uint) int64 {
		v := int64(0)
		require.NoError(t, f.Ioctl(cmd, unsafe.Pointer(&v)))
		return v
	}
	assert.Equal(t, int64(1<<20), get(blockdev.BLKGETSIZE64))
	assert.Equal(t, int64(1<<11), get(blockdev.BLKGETSIZE))
	assert.Equal(t, int64(512), get(blockdev.BLKSSZGET))
	assert.Equal(t, int64(4096), get(blockdev.BLKPBSZGET))
	assert.Equal(t, int64(0), get(blockdev.BLKROGET))
	require.NoError(t, f.Ioctl(blockdev.BLKFLSBUF, nil))
	assert.Equal(t, 1, d.flushes)
	assert.Equal(t, syscall.ENOTTY, f.Ioctl(syscall.TCGETS, unsafe.Pointer(&data[0])))
	assert.Equal(t, syscall.EFAULT, f.Ioctl(blockdev.BLKGETSIZE64, nil))

	clearRange := func(f *vfs.File, cmd uint, start, length uint64) error {
		return f.Ioctl(cmd, unsafe.Pointer(&[2]uint64{start, length}))
	}
	for _, cmd := range []uint{blockdev.BLKDISCARD, blockdev.BLKZEROOUT} {
		require.NoError(t, clearRange(f, cmd, 4096, 8192))
		assert.Equal(t, make([]byte, 8192), data[4096:3*4096])
		assert.Equal(t, byte(1), data[4095]&data[3*4096])
		assert.Equal(t, syscall.EINVAL, clearRange(f, cmd, 1, 512))
		assert.Equal(t, syscall.EINVAL, clearRange(f, cmd, 0, 100))
		assert.Equal(t, syscall.EINVAL, clearRange(f, cmd, 1<<20, 512))
		assert.Equal(t, syscall.EINVAL, clearRange(f, cmd, 512, 1<<64-512))
		assert.Equal(t, syscall.EBADF, clearRange(open(t, ns, syscall.O_RDONLY), cmd, 0, 512))
	}
	d.change = func(i *block.Info) { i.MaxDiscard = 0 }
	assert.Equal(t, syscall.EOPNOTSUPP, clearRange(f, blockdev.BLKDISCARD, 0, 512))
}
