package linux

import (
	"sync"
	"syscall"
	"unsafe"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

const (
	inMaskCreate = 1 << 28 // IN_MASK_CREATE, which package syscall lacks

	// inotifyFlags are what inotify_add_watch takes besides events.
	inotifyFlags = syscall.IN_ONLYDIR | syscall.IN_DONT_FOLLOW | syscall.IN_EXCL_UNLINK |
		inMaskCreate | syscall.IN_MASK_ADD | syscall.IN_ISDIR | syscall.IN_ONESHOT

	// inotifyQueue is how many events wait for a reader before they are lost
	// (/proc/sys/fs/inotify/max_queued_events).
	inotifyQueue = 16384
)

// inotify is an inotify instance: watches, and the events that they have seen.
type inotify struct {
	mu       sync.Mutex
	watches  map[int32]*inotifyWatch
	of       map[vfs.Inode]*inotifyWatch
	last     int32 // watch descriptor given out last
	events   []inotifyEvent
	watchers waitQueue
}

// inotifyWatch is one file watched. inotify.mu guards mask.
type inotifyWatch struct {
	inotify    *inotify
	descriptor int32
	mask       uint32 // events, IN_EXCL_UNLINK and IN_ONESHOT
	inode      vfs.Inode
	watch      *vfs.Watch
}

// inotifyEvent is an event that has not been read.
type inotifyEvent struct {
	descriptor   int32
	mask, cookie uint32
	name         string
}

// size returns the length of the event's struct inotify_event with its name, which is padded with
// zero bytes, of which there is at least one.
func (e *inotifyEvent) size() int {
	const header = syscall.SizeofInotifyEvent
	if e.name == "" {
		return header
	}
	return header + (len(e.name)+header)&^(header-1)
}

// store writes the event to p, which has room for it.
func (e *inotifyEvent) store(p []byte) {
	const header = syscall.SizeofInotifyEvent
	size := e.size()
	*(*syscall.InotifyEvent)(unsafe.Pointer(&p[0])) = syscall.InotifyEvent{
		Wd: e.descriptor, Mask: e.mask, Cookie: e.cookie, Len: uint32(size - header),
	}
	clear(p[header+copy(p[header:], e.name) : size])
}

func (n *inotify) queue() *waitQueue { return &n.watchers }

func (n *inotify) Read(p []byte, flags int) (int, error)  { return readWaiting(n, p, flags) }
func (n *inotify) Write(p []byte, flags int) (int, error) { return writeWaiting(n, p, flags) }
func (n *inotify) tryWrite(p []byte) (int, syscall.Errno) { return 0, syscall.EBADF }

func (n *inotify) Close() error {
	forget(n)
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, w := range n.watches {
		w.watch.Close()
	}
	n.watches, n.of, n.events = nil, nil, nil
	return nil
}

func (n *inotify) ready() uint32 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.events) > 0 {
		return readable | readNorm
	}
	return 0
}

// tryRead reads as many events as p has room for, EINVAL if not even one.
func (n *inotify) tryRead(p []byte) (int, syscall.Errno) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.events) == 0 {
		return 0, syscall.EAGAIN
	}
	done := 0
	for len(n.events) > 0 && n.events[0].size() <= len(p)-done {
		n.events[0].store(p[done:])
		done += n.events[0].size()
		n.events = n.events[1:]
	}
	if done == 0 {
		return 0, syscall.EINVAL
	}
	return done, 0
}

// pending returns the number of bytes that can be read (FIONREAD).
func (n *inotify) pending() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	size := 0
	for i := range n.events {
		size += n.events[i].size()
	}
	return size
}

// append queues an event, with n locked, unless it is the same as the last one, which has not been
// read. It reports whether there is something new to read.
func (n *inotify) append(e inotifyEvent) bool {
	if len(n.events) > 0 && n.events[len(n.events)-1] == e {
		return false
	}
	if len(n.events) == inotifyQueue {
		e = inotifyEvent{descriptor: -1, mask: syscall.IN_Q_OVERFLOW}
	} else if len(n.events) > inotifyQueue {
		return false
	}
	n.events = append(n.events, e)
	return true
}

// remove ends a watch, with n locked, and says so.
func (n *inotify) remove(w *inotifyWatch) {
	w.watch.Close()
	delete(n.watches, w.descriptor)
	delete(n.of, w.inode)
	n.append(inotifyEvent{descriptor: w.descriptor, mask: syscall.IN_IGNORED})
}

// notify takes in what happened to the watched file.
func (w *inotifyWatch) notify(e vfs.Event) {
	n := w.inotify
	n.mu.Lock()
	event := e.Mask &^ syscall.IN_ISDIR
	wanted := w.mask&event != 0 && !(e.Unlinked && w.mask&syscall.IN_EXCL_UNLINK != 0)
	// A file that is gone cannot be watched, whether anyone wants to know or not.
	gone := e.Name == "" && event == syscall.IN_DELETE_SELF
	if n.watches[w.descriptor] != w || !wanted && !gone {
		n.mu.Unlock()
		return
	}
	if wanted {
		mask := e.Mask
		if event == syscall.IN_DELETE_SELF || event == syscall.IN_MOVE_SELF {
			mask = event // never with IN_ISDIR
		}
		wanted = n.append(inotifyEvent{w.descriptor, mask, e.Cookie, e.Name})
	}
	if gone || w.mask&syscall.IN_ONESHOT != 0 {
		n.remove(w)
		wanted = true
	}
	n.mu.Unlock()
	if wanted {
		n.watchers.fire(readable | readNorm)
	}
}

// add watches inode for the events of mask, or changes what it is watched for.
func (n *inotify) add(inode vfs.Inode, mask uint32) (int32, syscall.Errno) {
	n.mu.Lock()
	defer n.mu.Unlock()
	keep := mask & (syscall.IN_ALL_EVENTS | syscall.IN_EXCL_UNLINK | syscall.IN_ONESHOT)
	if w := n.of[inode]; w != nil {
		switch {
		case mask&inMaskCreate != 0:
			return 0, syscall.EEXIST
		case mask&syscall.IN_MASK_ADD != 0:
			w.mask |= keep
		default:
			w.mask = keep
		}
		return w.descriptor, 0
	}
	for {
		n.last = max(1, n.last+1) // also when it overflows
		if n.watches[n.last] == nil {
			break
		}
	}
	w := &inotifyWatch{inotify: n, descriptor: n.last, mask: keep, inode: inode}
	n.watches[w.descriptor], n.of[inode] = w, w
	w.watch = vfs.NewWatch(inode, w.notify)
	return w.descriptor, 0
}

func sysInotifyInit(args) (uintptr, syscall.Errno) { return newInotify(0) }

func sysInotifyInit1(a args) (uintptr, syscall.Errno) { return newInotify(a.int(0)) }

func newInotify(flags int) (uintptr, syscall.Errno) {
	if flags&^(syscall.IN_CLOEXEC|syscall.IN_NONBLOCK) != 0 {
		return 0, syscall.EINVAL
	}
	n := &inotify{watches: make(map[int32]*inotifyWatch), of: make(map[vfs.Inode]*inotifyWatch)}
	f := vfs.NewFile(n, syscall.O_RDONLY|flags&syscall.O_NONBLOCK, 0o600, "anon_inode:inotify")
	return process.install(f, flags)
}

// inotifyFile returns the inotify instance behind descriptor fd, and its file with a reference.
func inotifyFile(fd int) (*inotify, *vfs.File, syscall.Errno) {
	f, err := process.files.get(fd)
	if err != 0 {
		return nil, nil, err
	}
	n, ok := f.Handle().(*inotify)
	if !ok {
		f.Close()
		return nil, nil, syscall.EINVAL
	}
	return n, f, 0
}

func sysInotifyAddWatch(a args) (uintptr, syscall.Errno) {
	mask := a.uint32(2)
	if mask&(syscall.IN_ALL_EVENTS|syscall.IN_UNMOUNT|syscall.IN_Q_OVERFLOW|syscall.IN_IGNORED|inotifyFlags) == 0 {
		return 0, syscall.EINVAL
	}
	n, f, err := inotifyFile(a.int(0))
	if err != 0 {
		return 0, err
	}
	defer f.Close()
	if mask&syscall.IN_MASK_ADD != 0 && mask&inMaskCreate != 0 {
		return 0, syscall.EINVAL
	}
	path, err := a.path(1)
	if err != 0 {
		return 0, err
	}
	flags := 0
	if mask&syscall.IN_DONT_FOLLOW != 0 {
		flags = abi.AT_SYMLINK_NOFOLLOW
	}
	inode, e := space().Inode(nil, path, flags)
	if e != nil {
		return 0, errno(e)
	}
	if mask&syscall.IN_ONLYDIR != 0 && inode.Type() != syscall.S_IFDIR {
		return 0, syscall.ENOTDIR
	}
	descriptor, err := n.add(inode, mask)
	return uintptr(descriptor), err
}

func sysInotifyRmWatch(a args) (uintptr, syscall.Errno) {
	n, f, err := inotifyFile(a.int(0))
	if err != 0 {
		return 0, err
	}
	defer f.Close()
	n.mu.Lock()
	w := n.watches[int32(a.int(1))]
	if w != nil {
		n.remove(w)
	}
	n.mu.Unlock()
	if w == nil {
		return 0, syscall.EINVAL
	}
	n.watchers.fire(readable | readNorm)
	return 0, 0
}
