package linux

import (
	"syscall"
	"unsafe"

	"github.com/goshawk-os/goshawk/fs/vfs"
)

// pollFD is struct pollfd.
type pollFD struct {
	fd              int32
	events, revents int16
}

// pollWaiter waits for several files at once.
type pollWaiter struct {
	waiter  *waiter
	watches []watch
	files   []*vfs.File
}

// add makes the waiter watch f, whose reference it takes over, for the events of mask.
func (w *pollWaiter) add(f *vfs.File, mask uint32) {
	w.files = append(w.files, f)
	if o := objectOf(f); o != nil {
		w.watches = append(w.watches, watch{sink: w.waiter, mask: mask})
		o.queue().add(&w.watches[len(w.watches)-1])
	}
}

func (w *pollWaiter) release() {
	for i := range w.watches {
		w.watches[i].queue.remove(&w.watches[i])
	}
	for _, f := range w.files {
		f.Close()
	}
	w.waiter.release()
}

func newPollWaiter(n int) pollWaiter {
	return pollWaiter{newWaiter(), make([]watch, 0, n), make([]*vfs.File, 0, n)}
}

func sysPoll(a args) (uintptr, syscall.Errno) {
	return poll(a.p[0], a.n[1], deadlineMillis(a.int(2)))
}

// sysPpoll is ppoll; the signal mask is not applied, see sysEpollPwait.
func sysPpoll(a args) (uintptr, syscall.Errno) {
	deadline, err := deadlineTimespec(a.p[2])
	if err != 0 {
		return 0, err
	}
	n, err := poll(a.p[0], a.n[1], deadline)
	storeTimeLeft(a.p[2], deadline)
	return n, err
}

func poll(p unsafe.Pointer, n uintptr, deadline int64) (uintptr, syscall.Errno) {
	if limit, _ := process.limit(syscall.RLIMIT_NOFILE); uint64(n) > limit.Cur {
		return 0, syscall.EINVAL
	}
	list, err := array[pollFD](p, int(n))
	if err != 0 {
		return 0, err
	}
	w := newPollWaiter(len(list))
	files := make([]*vfs.File, len(list)) // nil: not open, or not asked for
	for i := range list {
		if list[i].fd < 0 {
			continue
		}
		f, err := process.files.get(int(list[i].fd))
		if err != 0 {
			continue
		}
		files[i] = f
		w.add(f, uint32(uint16(list[i].events))|always)
	}
	count := uintptr(0)
	for {
		count = 0
		for i := range list {
			list[i].revents = 0
			switch {
			case files[i] != nil:
				list[i].revents = int16(readiness(files[i]) & (uint32(uint16(list[i].events)) | always))
			case list[i].fd >= 0:
				list[i].revents = invalid
			}
			if list[i].revents != 0 {
				count++
			}
		}
		if count > 0 || deadline == 0 || !w.waiter.park(deadline) {
			break
		}
	}
	w.release()
	return count, 0
}

// selectMax is FD_SETSIZE.
const selectMax = 1024

// fdSet is fd_set.
type fdSet [selectMax / 64]uint64

func (s *fdSet) has(fd int) bool { return s[fd/64]&(1<<(fd%64)) != 0 }
func (s *fdSet) add(fd int)      { s[fd/64] |= 1 << (fd % 64) }

// selectEvents are the events that make a descriptor ready in each of the three sets (select(2)).
var selectEvents = [3]uint32{
	readable | readNorm | hungUp | failed,
	writable | writeNorm | failed,
	priority,
}

func sysSelect(a args) (uintptr, syscall.Errno) {
	deadline := int64(never)
	if a.p[4] != nil {
		tv := *(*syscall.Timeval)(a.p[4])
		if tv.Sec < 0 || tv.Usec < 0 {
			return 0, syscall.EINVAL
		}
		deadline = deadlineNano(tv.Sec, tv.Usec*1000)
	}
	n, err := selectFiles(&a, deadline)
	if a.p[4] != nil && deadline != never {
		*(*syscall.Timeval)(a.p[4]) = syscall.NsecToTimeval(timeLeft(deadline))
	}
	return n, err
}

// sysPselect6 is pselect6; the signal mask is not applied, see sysEpollPwait.
func sysPselect6(a args) (uintptr, syscall.Errno) {
	deadline, err := deadlineTimespec(a.p[4])
	if err != 0 {
		return 0, err
	}
	n, err := selectFiles(&a, deadline)
	storeTimeLeft(a.p[4], deadline)
	return n, err
}

// selectFiles carries out select with the sets of a.
func selectFiles(a *args, deadline int64) (uintptr, syscall.Errno) {
	if a.int(0) < 0 {
		return 0, syscall.EINVAL
	}
	n := min(a.int(0), selectMax)
	words := (n + 63) / 64 // the caller's sets may be as short as this
	var asked, result [3]fdSet
	for s := range asked {
		if set := a.p[1+s]; set != nil {
			copy(asked[s][:], unsafe.Slice((*uint64)(set), words))
		}
	}
	w := newPollWaiter(n)
	fds := make([]int, 0, n)
	for fd := range n {
		mask := uint32(0)
		for s := range asked {
			if asked[s].has(fd) {
				mask |= selectEvents[s]
			}
		}
		if mask == 0 {
			continue
		}
		f, err := process.files.get(fd)
		if err != 0 {
			w.release()
			return 0, err
		}
		fds = append(fds, fd)
		w.add(f, mask)
	}
	count := uintptr(0)
	for {
		for i, fd := range fds {
			ready := readiness(w.files[i])
			for s := range asked {
				if asked[s].has(fd) && ready&selectEvents[s] != 0 {
					result[s].add(fd)
					count++
				}
			}
		}
		if count > 0 || deadline == 0 || !w.waiter.park(deadline) {
			break
		}
	}
	w.release()
	for s := range result {
		if set := a.p[1+s]; set != nil {
			copy(unsafe.Slice((*uint64)(set), words), result[s][:])
		}
	}
	return count, 0
}
