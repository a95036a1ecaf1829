package linux

import "syscall"

// runtimePoll connects a poll descriptor of the runtime with the object behind a descriptor. tag tells
// the runtime whether pd still is the poll descriptor that was meant.
type runtimePoll struct {
	watch   watch
	fd      int
	pd, tag uintptr
}

// fire makes the poll descriptor ready, as the runtime's netpoll does for epoll's events.
func (r *runtimePoll) fire(events uint32) {
	mode := int32(0)
	if events&(readable|peerClosed|hungUp|failed) != 0 {
		mode += 'r'
	}
	if events&(writable|hungUp|failed) != 0 {
		mode += 'w'
	}
	if mode != 0 {
		pollReady(r.pd, r.tag, mode)
	}
}

// pollOpen makes the object behind fd fire the runtime's poll descriptor pd: once at each event, and
// at once if it is ready already. It returns 0 or an errno as epoll_ctl does: EPERM for what cannot be
// polled, EEXIST if fd is polled already.
func pollOpen(fd, pd, tag uintptr) int32 {
	f, err := process.files.get(int(int32(fd)))
	if err != 0 {
		return int32(err)
	}
	defer f.Close()
	o := objectOf(f)
	if o == nil {
		return int32(syscall.EPERM)
	}
	r := &runtimePoll{fd: int(int32(fd)), pd: pd, tag: tag}
	r.watch.sink = r
	r.watch.mask = readable | writable | peerClosed | always
	if !o.queue().addPoll(r) {
		return int32(syscall.EEXIST)
	}
	if events := o.ready() & r.watch.mask; events != 0 {
		r.fire(events)
	}
	return 0
}

// pollClose undoes pollOpen for descriptor fd.
func pollClose(fd, _ uintptr) int32 {
	f, err := process.files.get(int(int32(fd)))
	if err != 0 {
		return int32(err)
	}
	defer f.Close()
	if o := objectOf(f); o == nil || !o.queue().removePoll(int(int32(fd))) {
		return int32(syscall.ENOENT)
	}
	return 0
}

// poll returns the runtime's interest in descriptor fd, with the queue locked, or nil.
func (q *waitQueue) poll(fd int) *runtimePoll {
	for w := q.head; w != nil; w = w.next {
		if r, ok := w.sink.(*runtimePoll); ok && r.fd == fd {
			return r
		}
	}
	return nil
}

// addPoll adds r unless its descriptor is in the queue already.
func (q *waitQueue) addPoll(r *runtimePoll) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.poll(r.fd) != nil {
		return false
	}
	q.link(&r.watch)
	return true
}

// removePoll takes the runtime's interest in descriptor fd off the queue and reports whether it was
// there.
func (q *waitQueue) removePoll(fd int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.poll(fd)
	if r != nil {
		q.unlink(&r.watch)
	}
	return r != nil
}
