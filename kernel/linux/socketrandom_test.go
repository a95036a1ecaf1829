//go:build !goshawk

package linux

import (
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// TestSocketsAtRandom has random calls on a few sockets answered as Linux answers them. What is sent is
// little: how much fits differs.
func TestSocketsAtRandom(t *testing.T) {
	for _, kind := range []int{syscall.SOCK_STREAM, syscall.SOCK_DGRAM, syscall.SOCK_SEQPACKET} {
		for seed := range uint64(150) {
			both(t, func(k *kernel) { k.randomSockets(rand.New(rand.NewPCG(seed, 1)), kind, 60) })
		}
	}
}

// randomSockets makes steps calls on up to four sockets, of which 0 has a name and listens if it can.
func (k *kernel) randomSockets(r *rand.Rand, kind, steps int) {
	var fds []int
	add := func(fd int) {
		if fd >= 0 && len(fds) < 6 {
			fds = append(fds, fd)
		} else if fd >= 0 {
			k.quiet(syscall.SYS_CLOSE, fd)
		}
	}
	first := k.socket(kind)
	k.bind(first, k.abstract("0"))
	if kind != syscall.SOCK_DGRAM {
		k.listen(first, 2)
	}
	add(first)
	a, b := k.socketpair(kind)
	add(a)
	add(b)
	text := func() string { return strings.Repeat(string(rune('a'+r.IntN(26))), r.IntN(12)) }
	control := func(fd int) []byte {
		switch r.IntN(3) {
		case 0:
			return rights(fd)
		case 1:
			return ucred(syscall.Getpid(), r.IntN(2), 0)
		}
		return nil
	}
	pipe, end := k.pipe(0)
	for step := range steps {
		if kind == syscall.SOCK_DGRAM && step%10 == 0 {
			for _, fd := range fds { // before a queue is full
				for n, err := 0, syscall.Errno(0); n >= 0 && err == 0; {
					n, err = k.do("drain", syscall.SYS_RECVFROM, fd, make([]byte, 1), 1, syscall.MSG_DONTWAIT, nil, nil)
				}
			}
		}
		i := r.IntN(len(fds))
		fd := fds[i]
		k.logf("socket %d", i)
		switch r.IntN(17) {
		case 0:
			add(k.socket(kind))
		case 1:
			k.connect(fd, k.abstract("0"))
		case 2:
			if kind != syscall.SOCK_DGRAM {
				add(k.accept(first))
			}
		case 3, 4:
			k.write(fd, text())
		case 5:
			k.sendto(fd, text(), []string{"", k.abstract("0")}[r.IntN(2)])
		case 6, 7:
			c := control(pipe)
			if len(c) > 24 { // credentials carry the real process ID
				c = append([]byte(nil), c...)
				*(*int32)(unsafe.Pointer(&c[16])) = int32(k.processID())
			}
			k.sendmsg(fd, message{parts: []string{text(), text()}, control: c}, syscall.MSG_NOSIGNAL)
		case 8, 9, 10:
			flags := []int{0, syscall.MSG_TRUNC, syscall.MSG_CMSG_CLOEXEC, syscall.MSG_PEEK}[r.IntN(4)]
			if kind == syscall.SOCK_STREAM {
				flags &^= syscall.MSG_PEEK // Linux then also hands over files of bytes that are out of reach
			}
			for _, got := range k.recvmsg(fd, []int{0, 16, 24, 100}[r.IntN(4)], flags, r.IntN(10), r.IntN(10)) {
				k.quiet(syscall.SYS_CLOSE, got)
			}
		case 11:
			k.read(fd, r.IntN(10))
		case 12:
			k.poll(fd)
			if kind == syscall.SOCK_STREAM {
				k.queues(fd)
			}
		case 13:
			k.names(fd)
		case 14:
			k.setOption(fd, syscall.SOL_SOCKET, syscall.SO_PASSCRED, int32(r.IntN(2)))
		case 15:
			if r.IntN(3) == 0 {
				k.do("shutdown", syscall.SYS_SHUTDOWN, fd, r.IntN(3))
			}
		case 16:
			if i > 0 && len(fds) > 2 && r.IntN(2) == 0 {
				k.close(fd)
				fds = append(fds[:i], fds[i+1:]...)
			} else {
				k.option(fd, syscall.SOL_SOCKET, syscall.SO_ERROR, 4)
			}
		}
	}
	for _, fd := range append(fds, pipe, end) {
		k.quiet(syscall.SYS_CLOSE, fd)
	}
}

// processID returns the process ID as the kernel sees it.
func (k *kernel) processID() int {
	n, _ := k.quiet(syscall.SYS_GETPID)
	return n
}
