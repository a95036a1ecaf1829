// Package devfs is /dev: a tmpfs with the usual nodes, and the table of the
// devices that device nodes lead to.
package devfs

import (
	"strings"
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
	devices map[uint64]func(flags int) (vfs.Handle, error) // of characters, by number
	disks   map[uint64]func(flags int) (vfs.Content, error)

	look     sync.Once
	populate func()
}

// New returns a file system with null, zero, full, random, urandom, the
// directory shm and the links fd, stdin, stdout and stderr, which lead to
// /proc/self/fd. entropy fills its argument with random bytes.
//
// populate registers the disks. It is called once, when somebody first lists
// the directory, looks for a name that a disk may have (vd...), or opens a
// block device by a node elsewhere; it may be nil.
//
// The numbers are those of Linux (Documentation/admin-guide/devices.txt).
func New(entropy func(p []byte), populate func()) *FS {
	d := &FS{devices: make(map[uint64]func(int) (vfs.Handle, error)), populate: populate}
	d.FS = tmpfs.New(tmpfs.Options{Type: "devtmpfs", Look: d.lookFor})
	for _, m := range []struct {
		name   string
		minor  uint32
		handle vfs.Handle
	}{
		{"null", 3, null{}}, {"zero", 5, zero{}}, {"full", 7, full{}},
		{"random", 8, random{fill: entropy}}, {"urandom", 9, random{fill: entropy}},
	} {
		open := func(int) (vfs.Handle, error) { return m.handle, nil }
		d.mustCreate(d.Register(m.name, 0o666, vfs.Dev(1, m.minor), open))
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

// lookFor is told of names before they are looked up, and of "" before all are
// listed.
func (d *FS) lookFor(name string) {
	if d.populate != nil && (name == "" || strings.HasPrefix(name, "vd")) {
		d.look.Do(d.populate)
	}
}

// Register makes the node /dev/name and the character device behind it. open is
// called for each opening of a node with this number, wherever it lies. EEXIST
// if the name is taken.
func (d *FS) Register(name string, perm uint32, rdev uint64, open func(flags int) (vfs.Handle, error)) error {
	d.mu.Lock()
	d.devices[rdev] = open
	d.mu.Unlock()
	return d.create(name, vfs.NewNode{Mode: syscall.S_IFCHR | perm, Rdev: rdev})
}

// RegisterDisk is Register for a block device.
func (d *FS) RegisterDisk(name string, perm uint32, rdev uint64, open func(flags int) (vfs.Content, error)) error {
	d.mu.Lock()
	if d.disks == nil {
		d.disks = make(map[uint64]func(int) (vfs.Content, error))
	}
	d.disks[rdev] = open
	d.mu.Unlock()
	return d.create(name, vfs.NewNode{Mode: syscall.S_IFBLK | perm, Rdev: rdev})
}

// OpenDevice opens a device: what vfs.Namespace.OpenDevice is to be set to.
// ENXIO if there is none with this type and number.
func (d *FS) OpenDevice(typ uint32, rdev uint64, flags int) (h vfs.Handle, c vfs.Content, err error) {
	if typ == syscall.S_IFBLK {
		d.lookFor("")
	}
	d.mu.RLock()
	device, disk := d.devices[rdev], d.disks[rdev]
	d.mu.RUnlock()
	switch {
	case typ == syscall.S_IFBLK && disk != nil:
		c, err = disk(flags)
	case typ == syscall.S_IFCHR && device != nil:
		h, err = device(flags)
	default:
		err = syscall.ENXIO
	}
	return h, c, err
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
