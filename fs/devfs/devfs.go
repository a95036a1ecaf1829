// Package devfs is /dev: a tmpfs with the usual nodes, and the table of the
// devices that device nodes lead to.
package devfs

import (
	"sync"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/tmpfs"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// FS is the file system for /dev.
type FS struct {
	*tmpfs.FS
	mu      sync.RWMutex
	devices map[device]func(flags int) (vfs.Handle, error)
}

type device struct {
	typ  uint32
	rdev uint64
}

// New returns a file system with null, zero, full, random, urandom, the
// directory shm and the links fd, stdin, stdout and stderr, which lead to
// /proc/self/fd. entropy fills its argument with random bytes.
//
// The numbers are those of Linux (Documentation/admin-guide/devices.txt).
func New(entropy func(p []byte)) *FS {
	d := &FS{
		FS:      tmpfs.New(tmpfs.Options{Type: "devtmpfs"}),
		devices: make(map[device]func(int) (vfs.Handle, error)),
	}
	for _, m := range []struct {
		name   string
		minor  uint32
		handle vfs.Handle
	}{
		{"null", 3, null{}}, {"zero", 5, zero{}}, {"full", 7, full{}},
		{"random", 8, random{fill: entropy}}, {"urandom", 9, random{fill: entropy}},
	} {
		open := func(int) (vfs.Handle, error) { return m.handle, nil }
		d.mustCreate(d.Register(m.name, syscall.S_IFCHR|0o666, vfs.Dev(1, m.minor), open))
	}
	for _, l := range [][2]string{
		{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"},
		{"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"},
	} {
		d.mustCreate(d.create(l[0], vfs.NewNode{Mode: syscall.S_IFLNK | 0o777, Target: l[1]}))
	}
	d.mustCreate(d.create("shm", vfs.NewNode{Mode: syscall.S_IFDIR | 0o1777}))
	return d
}

// mustCreate asserts that a node of an empty file system could be made.
func (d *FS) mustCreate(err error) {
	if err != nil {
		panic("devfs: cannot create a standard node: " + err.Error())
	}
}

func (d *FS) create(name string, n vfs.NewNode) error {
	_, err := d.Root().Inode().(vfs.MutableDirectory).Create(name, n)
	return err
}

// Register makes the node /dev/name and the device behind it. mode is its type
// (S_IFCHR or S_IFBLK) and permissions. open is called for each opening of a
// node with this type and number, wherever it lies. EEXIST if the name is
// taken.
func (d *FS) Register(name string, mode uint32, rdev uint64, open func(flags int) (vfs.Handle, error)) error {
	d.mu.Lock()
	d.devices[device{mode & syscall.S_IFMT, rdev}] = open
	d.mu.Unlock()
	return d.create(name, vfs.NewNode{Mode: mode, Rdev: rdev})
}

// OpenDevice opens a device: what vfs.Namespace.OpenDevice is to be set to.
// ENXIO if there is none with this type and number.
func (d *FS) OpenDevice(typ uint32, rdev uint64, flags int) (vfs.Handle, error) {
	d.mu.RLock()
	open := d.devices[device{typ, rdev}]
	d.mu.RUnlock()
	if open == nil {
		return nil, syscall.ENXIO
	}
	return open(flags)
}

// memory is what the devices of major 1 have in common (mem(4)): they take
// everything written, and their position is always 0.
type memory struct{}

func (memory) Write(p []byte, _ int) (int, error) { return len(p), nil }
func (memory) Seek(int64, int) (int64, error)     { return 0, nil }
func (memory) Close() error                       { return nil }

type null struct{ memory }

func (null) Read([]byte, int) (int, error) { return 0, nil }

type zero struct{ memory }

func (zero) Read(p []byte, _ int) (int, error) {
	clear(p)
	return len(p), nil
}

type full struct{ zero }

func (full) Write(p []byte, _ int) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return 0, syscall.ENOSPC
}

type random struct {
	memory
	fill func(p []byte)
}

func (r random) Read(p []byte, _ int) (int, error) {
	r.fill(p)
	return len(p), nil
}

// Poll implements vfs.Poller: always ready.
func (random) Poll() uint32 { return abi.POLLIN | abi.POLLOUT }

// Notify implements vfs.Poller; nothing ever changes.
func (random) Notify(func(uint32)) (cancel func()) { return func() {} }
