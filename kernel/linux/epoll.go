package linux

import (
	"sync"
	"syscall"
	"unsafe"

	"github.com/goshawk-os/goshawk/fs/vfs"
)

const (
	epollOneShot   = 1 << 30
	epollEdge      = 1 << 31
	epollWakeUp    = 1 << 29
	epollExclusive = 1 << 28
	epollFlags     = epollOneShot | epollEdge | epollWakeUp | epollExclusive

	epollDepth = 5 // of epoll descriptors watching each other (epoll_ctl(2), ELOOP)
)

// epollEvent is struct epoll_event, packed on amd64.
type epollEvent struct {
	events uint32
	data   [8]byte
}

// epollKey is what an item is found by: an open file may be added by several of its descriptors.
type epollKey struct {
	fd     int
	object object
}

// epollItem is a file in the interest list. It holds no reference to the file: the file takes it out
// when it is closed.
type epollItem struct {
	watch watch
	epoll *epoll
	key   epollKey

	// Guarded by epoll.mu:
	event      epollEvent // what epoll_ctl asked for
	mask       uint32     // the events to report, 0 after a one-shot report
	fired      bool       // on the ready list
	gone       bool       // out of the interest list
	next, prev *epollItem // ready list
}

// epoll is an interest list and the part of it that may be ready.
type epoll struct {
	control sync.Mutex // serialises changes of the interest list; taken before all other locks
	items   map[epollKey]*epollItem

	mu          sync.Mutex // the ready list
	first, last *epollItem
	fired       int // length of the ready list
	watchers    waitQueue
}

func (e *epoll) queue() *waitQueue { return &e.watchers }

func (e *epoll) tryRead([]byte) (int, syscall.Errno)  { return 0, syscall.EINVAL }
func (e *epoll) tryWrite([]byte) (int, syscall.Errno) { return 0, syscall.EINVAL }

func (e *epoll) Read(p []byte, flags int) (int, error)  { return readWaiting(e, p, flags) }
func (e *epoll) Write(p []byte, flags int) (int, error) { return writeWaiting(e, p, flags) }

// Close takes every item off the queue it watches.
func (e *epoll) Close() error {
	forget(e)
	e.control.Lock()
	defer e.control.Unlock()
	for key, item := range e.items {
		e.remove(key, item)
	}
	return nil
}

// fire puts the item on the ready list if events are among those asked for.
func (item *epollItem) fire(events uint32) {
	e := item.epoll
	e.mu.Lock()
	arrived := item.mask&events != 0 && !item.fired && !item.gone
	if arrived {
		e.push(item)
	}
	e.mu.Unlock()
	if arrived {
		e.watchers.fire(readable)
	}
}

// push puts item at the end of the ready list, which is locked.
func (e *epoll) push(item *epollItem) {
	e.fired++
	item.fired = true
	item.next, item.prev = nil, e.last
	if e.last == nil {
		e.first = item
	} else {
		e.last.next = item
	}
	e.last = item
}

// pull takes item off the ready list, which is locked.
func (e *epoll) pull(item *epollItem) {
	if item.prev == nil {
		e.first = item.next
	} else {
		item.prev.next = item.next
	}
	if item.next == nil {
		e.last = item.prev
	} else {
		item.next.prev = item.prev
	}
	e.fired--
	item.fired, item.next, item.prev = false, nil, nil
}

// remove takes item out of the interest list, with control held.
func (e *epoll) remove(key epollKey, item *epollItem) {
	delete(e.items, key)
	key.object.queue().remove(&item.watch)
	e.mu.Lock()
	item.gone = true
	if item.fired {
		e.pull(item)
	}
	e.mu.Unlock()
}

// forget takes the item out of its interest list: its file is closed.
func (item *epollItem) forget() {
	e := item.epoll
	e.control.Lock()
	if e.items[item.key] == item {
		e.remove(item.key, item)
	}
	e.control.Unlock()
}

// ready tells those who watch the epoll descriptor itself whether an item is ready.
func (e *epoll) ready() uint32 {
	type candidate struct {
		object object
		mask   uint32
	}
	var list []candidate
	e.mu.Lock()
	for item := e.first; item != nil; item = item.next {
		list = append(list, candidate{item.key.object, item.mask})
	}
	e.mu.Unlock()
	for _, c := range list {
		if c.object.ready()&c.mask != 0 {
			return readable | readNorm
		}
	}
	return 0
}

// collect stores the events of ready items in out and returns their number. A level-triggered item
// stays on the ready list as long as it is found ready.
func (e *epoll) collect(out []epollEvent) int {
	n := 0
	e.mu.Lock()
	for left := e.fired; left > 0 && n < len(out) && e.first != nil; left-- {
		item := e.first
		e.pull(item)
		asked, mask := item.event, item.mask
		e.mu.Unlock()
		events := item.key.object.ready() & mask
		e.mu.Lock()
		if events == 0 || item.gone || item.event != asked || item.mask != mask {
			continue
		}
		out[n] = epollEvent{events, asked.data}
		n++
		switch {
		case asked.events&epollOneShot != 0:
			item.mask = 0
			if item.fired {
				e.pull(item)
			}
		case asked.events&epollEdge == 0 && !item.fired:
			e.push(item)
		}
	}
	e.mu.Unlock()
	return n
}

func sysEpollCreate(a args) (uintptr, syscall.Errno) {
	if a.int(0) <= 0 {
		return 0, syscall.EINVAL
	}
	return newEpoll(0)
}

func sysEpollCreate1(a args) (uintptr, syscall.Errno) { return newEpoll(a.int(0)) }

func newEpoll(flags int) (uintptr, syscall.Errno) {
	if flags&^syscall.O_CLOEXEC != 0 {
		return 0, syscall.EINVAL
	}
	e := &epoll{items: make(map[epollKey]*epollItem)}
	return process.installObject(e, flags, "anon_inode:[eventpoll]")
}

// epollFile returns the epoll behind descriptor fd, and its file with a reference.
func epollFile(fd int) (*epoll, *vfs.File, syscall.Errno) {
	f, err := process.files.get(fd)
	if err != 0 {
		return nil, nil, err
	}
	e, ok := f.Handle().(*epoll)
	if !ok {
		f.Close()
		return nil, nil, syscall.EINVAL
	}
	return e, f, 0
}

func sysEpollCtl(a args) (uintptr, syscall.Errno) {
	op, fd := a.int(1), a.int(2)
	var event epollEvent
	if op != syscall.EPOLL_CTL_DEL {
		if a.p[3] == nil {
			return 0, syscall.EFAULT
		}
		event = *(*epollEvent)(a.p[3])
	}
	own, err := process.files.get(a.int(0))
	if err != 0 {
		return 0, err
	}
	defer own.Close()
	f, err := process.files.get(fd)
	if err != 0 {
		return 0, err
	}
	defer f.Close()
	o := objectOf(f)
	if o == nil {
		return 0, syscall.EPERM
	}
	e, ok := own.Handle().(*epoll)
	if !ok || f == own {
		return 0, syscall.EINVAL
	}
	if inner, ok := o.(*epoll); ok && op == syscall.EPOLL_CTL_ADD && (inner.reaches(e, epollDepth) || inner.depth() >= epollDepth) {
		return 0, syscall.ELOOP
	}
	return 0, e.change(op, epollKey{fd, o}, event)
}

// reaches reports whether e watches target, over at most depth further epoll descriptors.
func (e *epoll) reaches(target *epoll, depth int) bool {
	if e == target {
		return true
	}
	e.control.Lock()
	defer e.control.Unlock()
	for key := range e.items {
		if inner, ok := key.object.(*epoll); ok && depth > 0 && inner.reaches(target, depth-1) {
			return true
		}
	}
	return false
}

// depth returns how many epoll descriptors stand behind each other at and below e.
func (e *epoll) depth() int {
	e.control.Lock()
	defer e.control.Unlock()
	deepest := 0
	for key := range e.items {
		if inner, ok := key.object.(*epoll); ok {
			deepest = max(deepest, inner.depth())
		}
	}
	return deepest + 1
}

// change carries out an operation of epoll_ctl.
func (e *epoll) change(op int, key epollKey, event epollEvent) syscall.Errno {
	e.control.Lock()
	defer e.control.Unlock()
	item := e.items[key]
	switch op {
	case syscall.EPOLL_CTL_ADD:
		if item != nil {
			return syscall.EEXIST
		}
		item = &epollItem{epoll: e, key: key}
		item.watch.sink = item
		item.watch.mask = ^uint32(opened)
		e.items[key] = item
		key.object.queue().add(&item.watch)
	case syscall.EPOLL_CTL_MOD:
		if item == nil {
			return syscall.ENOENT
		}
		if event.events&epollExclusive != 0 {
			return syscall.EINVAL
		}
	case syscall.EPOLL_CTL_DEL:
		if item == nil {
			return syscall.ENOENT
		}
		e.remove(key, item)
		return 0
	default:
		return syscall.EINVAL
	}
	mask := event.events&^epollFlags | always
	e.mu.Lock()
	item.event, item.mask = event, mask
	if item.fired {
		e.pull(item)
	}
	e.mu.Unlock()
	item.fire(key.object.ready())
	return 0
}

func sysEpollWait(a args) (uintptr, syscall.Errno) {
	return epollWait(&a, deadlineMillis(a.int(3)))
}

// sysEpollPwait is epoll_pwait. The signal mask has no meaning for a program in which every thread
// belongs to the Go runtime; it is not applied.
func sysEpollPwait(a args) (uintptr, syscall.Errno) {
	return epollWait(&a, deadlineMillis(a.int(3)))
}

func sysEpollPwait2(a args) (uintptr, syscall.Errno) {
	deadline, err := deadlineTimespec(a.p[3])
	if err != 0 {
		return 0, err
	}
	return epollWait(&a, deadline)
}

func epollWait(a *args, deadline int64) (uintptr, syscall.Errno) {
	limit := a.int(2)
	if limit <= 0 || limit > 1<<31/int(unsafe.Sizeof(epollEvent{})) {
		return 0, syscall.EINVAL
	}
	out, err := array[epollEvent](a.p[1], limit)
	if err != 0 {
		return 0, err
	}
	e, f, err := epollFile(a.int(0))
	if err != 0 {
		return 0, err
	}
	defer f.Close()
	if n := e.collect(out); n > 0 || deadline == 0 {
		return uintptr(n), 0
	}
	w := newWaiter()
	w.watch.mask = readable
	e.watchers.add(&w.watch)
	n := 0
	for {
		n = e.collect(out)
		if n > 0 || !w.park(deadline) {
			break
		}
	}
	e.watchers.remove(&w.watch)
	w.release()
	return uintptr(n), 0
}
