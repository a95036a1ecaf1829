//go:build !goshawk

package linux

import (
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func (k *kernel) epollCtl(ep, op, fd int, events uint32, data byte) {
	ev := &epollEvent{events, [8]byte{data}}
	k.do("epoll_ctl", syscall.SYS_EPOLL_CTL, ep, op, fd, unsafe.Pointer(ev))
}

func (k *kernel) epollWait(ep, limit, ms int) {
	out := make([]epollEvent, limit+1)
	n, _ := k.do("epoll_wait", syscall.SYS_EPOLL_WAIT, ep, unsafe.Pointer(&out[0]), limit, ms)
	for _, e := range out[:max(n, 0)] {
		k.logf("  %#x %d", e.events, e.data[0])
	}
}

func TestEpoll(t *testing.T) {
	const (
		add, del, mod = syscall.EPOLL_CTL_ADD, syscall.EPOLL_CTL_DEL, syscall.EPOLL_CTL_MOD
		in, out       = syscall.EPOLLIN, syscall.EPOLLOUT
	)
	both(t, func(k *kernel) {
		ep := k.fd("epoll_create1", syscall.SYS_EPOLL_CREATE1, syscall.O_CLOEXEC)
		r, w := k.pipe(syscall.O_NONBLOCK)

		// Level-triggered.
		k.epollCtl(ep, add, r, in, 1)
		k.epollCtl(ep, add, r, in, 1) // EEXIST
		k.epollWait(ep, 4, 0)
		k.write(w, "ab")
		k.epollWait(ep, 4, -1)
		k.epollWait(ep, 4, 0)
		k.read(r, 1)
		k.epollWait(ep, 4, 0)
		k.read(r, 1)
		k.epollWait(ep, 4, 0)
		k.epollWait(ep, 4, 5)

		// Edge-triggered.
		k.epollCtl(ep, mod, r, in|epollEdge, 2)
		k.write(w, "a")
		k.epollWait(ep, 4, 0)
		k.epollWait(ep, 4, 0)
		k.write(w, "b")
		k.epollWait(ep, 4, 0)
		k.read(r, 1)
		k.epollWait(ep, 4, 0)
		k.epollCtl(ep, mod, r, in|epollEdge, 3) // ready: reported again
		k.epollWait(ep, 4, 0)
		k.epollWait(ep, 4, 0)

		// One-shot.
		k.epollCtl(ep, mod, r, in|epollOneShot, 4)
		k.epollWait(ep, 4, 0)
		k.epollWait(ep, 4, 0)
		k.write(w, "c")
		k.epollWait(ep, 4, 0)
		k.epollCtl(ep, mod, r, in|epollOneShot, 5)
		k.epollWait(ep, 4, 0)

		// Both ends, limits, order.
		k.epollCtl(ep, mod, r, in, 6)
		k.epollCtl(ep, add, w, out, 7)
		k.epollWait(ep, 1, 0)
		k.epollWait(ep, 1, 0)
		k.epollWait(ep, 1, 0)
		k.epollWait(ep, 0, 0) // EINVAL
		k.epollWait(r, 1, 0)  // EINVAL
		k.epollWait(-1, 1, 0) // EBADF

		// The last descriptor closed ends the interest; a duplicate keeps it.
		dup := k.fd("dup", syscall.SYS_DUP, w)
		k.close(w)
		k.epollCtl(ep, mod, w, out, 7) // EBADF
		k.read(r, 10)
		k.epollWait(ep, 4, 0)
		k.close(dup)
		k.epollWait(ep, 4, 0) // HUP of the reader
		k.epollCtl(ep, del, r, 0, 0)
		k.epollCtl(ep, del, r, 0, 0) // ENOENT
		k.epollWait(ep, 4, 0)

		// What cannot be polled.
		f := k.fd("open", syscall.SYS_OPEN, k.dir+"/f", syscall.O_CREAT|syscall.O_RDWR, 0o600)
		k.epollCtl(ep, add, f, in, 0) // EPERM
		d := k.fd("open", syscall.SYS_OPEN, k.dir, 0, 0)
		k.epollCtl(ep, add, d, in, 0)  // EPERM
		k.epollCtl(ep, add, -1, in, 0) // EBADF
		k.epollCtl(ep, add, ep, in, 0) // EINVAL
		k.epollCtl(f, add, r, in, 0)   // EINVAL
		k.epollCtl(ep, 9, r, in, 0)    // EINVAL
		k.do("nil event", syscall.SYS_EPOLL_CTL, ep, add, r, nil)

		// An epoll descriptor is ready when what it watches is.
		outer := k.fd("epoll_create1", syscall.SYS_EPOLL_CREATE1, 0)
		k.epollCtl(outer, add, ep, in, 9)
		k.epollCtl(ep, add, outer, in, 9) // ELOOP
		k.epollWait(outer, 4, 0)
		k.epollCtl(ep, add, r, in, 8) // HUP
		k.epollWait(outer, 4, 0)
		k.epollWait(ep, 4, 0)
		k.close(r, ep, outer, f, d)
	})
}

// A blocked epoll_wait is woken by a write, by a file added while it waits, and by its timeout.
func TestEpollWaitWakes(t *testing.T) {
	k := goshawkKernel(t)
	ep := k.fd("epoll_create1", syscall.SYS_EPOLL_CREATE1, 0)
	r, w := k.pipe(0)
	var ready sync.WaitGroup
	results := make(chan int)
	wait := func() {
		out := make([]epollEvent, 4)
		n, err := k.quiet(syscall.SYS_EPOLL_WAIT, ep, unsafe.Pointer(&out[0]), 4, -1)
		assert.Zero(t, err)
		results <- n
	}
	ready.Wait()
	go wait()
	k.epollCtl(ep, syscall.EPOLL_CTL_ADD, r, syscall.EPOLLIN, 1)
	k.write(w, "x")
	assert.Equal(t, 1, <-results)
	k.read(r, 1)
	go wait()
	r2, w2 := k.pipe(0)
	k.write(w2, "x")
	k.epollCtl(ep, syscall.EPOLL_CTL_ADD, r2, syscall.EPOLLIN, 1)
	assert.Equal(t, 1, <-results)
	k.read(r2, 1)
	before := time.Now()
	k.epollWait(ep, 4, 30)
	assert.GreaterOrEqual(t, time.Since(before), 30*time.Millisecond)
	k.close(ep, r, w, r2, w2)
}

// Many goroutines share an edge-triggered and a level-triggered interest list.
func TestEpollConcurrent(t *testing.T) {
	k := goshawkKernel(t)
	ep := k.fd("epoll_create1", syscall.SYS_EPOLL_CREATE1, 0)
	const pipes, rounds = 8, 200
	var writers, readers sync.WaitGroup
	var fds [pipes][2]int
	for i := range fds {
		fds[i][0], fds[i][1] = k.pipe(syscall.O_NONBLOCK)
		events := uint32(syscall.EPOLLIN)
		if i%2 == 0 {
			events |= epollEdge
		}
		k.epollCtl(ep, syscall.EPOLL_CTL_ADD, fds[i][0], events, byte(i))
	}
	var mu sync.Mutex
	var got [pipes]int
	complete := make(chan struct{})
	for range 3 {
		readers.Go(func() {
			for {
				out := make([]epollEvent, 4)
				n, err := k.quiet(syscall.SYS_EPOLL_WAIT, ep, unsafe.Pointer(&out[0]), 4, 20)
				assert.Zero(t, err)
				for _, e := range out[:n] {
					for {
						b := make([]byte, 16)
						n, err := k.quiet(syscall.SYS_READ, fds[e.data[0]][0], b, 16)
						if err == syscall.EAGAIN {
							break
						}
						mu.Lock()
						got[e.data[0]] += n
						mu.Unlock()
					}
				}
				select {
				case <-complete:
					return
				default:
				}
			}
		})
	}
	for i := range fds {
		writers.Go(func() {
			for range rounds {
				n, err := k.quiet(syscall.SYS_WRITE, fds[i][1], []byte("x"), 1)
				assert.Equal(t, 1, n)
				assert.Zero(t, err)
			}
		})
	}
	writers.Wait()
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		for _, n := range got {
			if n != rounds {
				return false
			}
		}
		return true
	}, 5*time.Second, time.Millisecond)
	close(complete)
	readers.Wait()
}

func TestRuntimePoll(t *testing.T) {
	k := goshawkKernel(t)
	r, w := k.pipe(syscall.O_NONBLOCK)
	require.Zero(t, pollOpen(uintptr(r), 100, 1))
	require.Zero(t, pollOpen(uintptr(w), 200, 2))
	assert.Equal(t, []hostPoll{{200, 2, 'w'}}, takePolls(), "writable at once")
	k.write(w, "x")
	assert.Contains(t, takePolls(), hostPoll{100, 1, 'r'})
	k.write(w, "x")
	assert.Contains(t, takePolls(), hostPoll{100, 1, 'r'}, "new data is a new event")
	assert.Equal(t, int32(syscall.EEXIST), pollOpen(uintptr(r), 300, 3))
	require.Zero(t, pollClose(uintptr(r), 100))
	assert.Equal(t, int32(syscall.ENOENT), pollClose(uintptr(r), 100))
	k.write(w, "x")
	assert.NotContains(t, takePolls(), hostPoll{100, 1, 'r'})
	k.close(r)
	assert.Contains(t, takePolls(), hostPoll{200, 2, 'r' + 'w'}, "no reader: an error")
	f := k.fd("open", syscall.SYS_OPEN, k.dir+"/f", syscall.O_CREAT|syscall.O_RDWR, 0o600)
	assert.Equal(t, int32(syscall.EPERM), pollOpen(uintptr(f), 300, 3))
	assert.Equal(t, int32(syscall.EBADF), pollOpen(999, 300, 3))
}

func takePolls() []hostPoll {
	host.mu.Lock()
	defer host.mu.Unlock()
	p := host.polls
	host.polls = nil
	return p
}
