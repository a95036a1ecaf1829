//go:build !goshawk

package linux

import (
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/net/socket"
)

func TestSocketFull(t *testing.T) {
	k := goshawkKernel(t)
	a, b := k.socketpair(syscall.SOCK_STREAM)
	total := 0
	for {
		n, err := k.quiet(syscall.SYS_WRITE, a, make([]byte, 100000), 100000)
		if err != 0 {
			require.Equal(t, syscall.EAGAIN, err)
			break
		}
		total += n
	}
	assert.Equal(t, 212992, total)
	p := &pollFD{fd: int32(a), events: writable}
	ready := func() bool {
		n, _ := k.quiet(syscall.SYS_POLL, unsafe.Pointer(p), 1, 0)
		return n == 1
	}
	assert.False(t, ready())
	k.read(b, total/2)
	assert.False(t, ready(), "writable as soon as a quarter is used at most")
	k.read(b, total/4)
	assert.True(t, ready())
	n := new(int32)
	k.quiet(syscall.SYS_IOCTL, a, 0x5411, unsafe.Pointer(n))
	assert.Equal(t, int32(total/4), *n)
}

func TestSocketBlocking(t *testing.T) {
	k := goshawkKernel(t)
	a, b := k.socketpair(syscall.SOCK_STREAM)
	for _, fd := range []int{a, b} {
		k.quiet(syscall.SYS_IOCTL, fd, fioNBIO, unsafe.Pointer(new(int32)))
	}
	done := make(chan int)
	go func() {
		n, _ := k.quiet(syscall.SYS_WRITE, a, make([]byte, 1<<20), 1<<20)
		k.quiet(syscall.SYS_SHUTDOWN, a, syscall.SHUT_WR)
		done <- n
	}()
	total := 0
	for {
		n, err := k.quiet(syscall.SYS_READ, b, make([]byte, 5000), 5000)
		require.Zero(t, err)
		if n == 0 {
			break
		}
		total += n
	}
	assert.Equal(t, 1<<20, total)
	assert.Equal(t, 1<<20, <-done)

	go func() {
		for range 10 {
			k.quiet(syscall.SYS_WRITE, b, make([]byte, 100), 100)
		}
	}()
	n, err := k.quiet(syscall.SYS_RECVFROM, a, make([]byte, 1000), 1000, syscall.MSG_WAITALL, 0, 0)
	assert.Equal(t, []any{1000, syscall.Errno(0)}, []any{n, err})

	tv := &syscall.Timeval{Usec: 20000}
	k.quiet(syscall.SYS_SETSOCKOPT, a, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, unsafe.Pointer(tv), 16)
	_, err = k.quiet(syscall.SYS_READ, a, make([]byte, 10), 10)
	assert.Equal(t, syscall.EAGAIN, err)
	k.quiet(syscall.SYS_WRITE, b, []byte("xyz"), 3)
	n, err = k.quiet(syscall.SYS_RECVFROM, a, make([]byte, 10), 10, syscall.MSG_WAITALL, 0, 0)
	assert.Equal(t, []any{3, syscall.Errno(0)}, []any{n, err})
	k.quiet(syscall.SYS_SETSOCKOPT, b, syscall.SOL_SOCKET, syscall.SO_SNDTIMEO, unsafe.Pointer(tv), 16)
	n, err = k.quiet(syscall.SYS_WRITE, b, make([]byte, 1<<20), 1<<20)
	assert.Equal(t, []any{212992, syscall.Errno(0)}, []any{n, err})
	_, err = k.quiet(syscall.SYS_WRITE, b, make([]byte, 1<<20), 1<<20)
	assert.Equal(t, syscall.EAGAIN, err)

	go k.quiet(syscall.SYS_SHUTDOWN, b, syscall.SHUT_RDWR)
	k.quiet(syscall.SYS_RECVFROM, a, make([]byte, 1<<20), 1<<20, syscall.MSG_WAITALL, 0, 0)
	n, err = k.quiet(syscall.SYS_READ, a, make([]byte, 10), 10)
	assert.Equal(t, []any{0, syscall.Errno(0)}, []any{n, err})
}

// slowSocket is a socket whose Connect takes its time. It has no other methods.
type slowSocket struct {
	socket.Socket
	notify func(uint32)
	events uint32
	result syscall.Errno
}

func (*slowSocket) Kind() (int, int, int)          { return 40, syscall.SOCK_STREAM, 0 }
func (s *slowSocket) Watch(n func(uint32))         { s.notify = n }
func (s *slowSocket) Ready() uint32                { return s.events }
func (s *slowSocket) Connect([]byte) syscall.Errno { return syscall.EINPROGRESS }
func (s *slowSocket) Close()                       {}
func (s *slowSocket) GetOption(_, _ int, v []byte) (int, syscall.Errno) {
	return putInt(v, int(s.result)), 0
}

// byteSocket is a stream of another family than AF_UNIX, of bytes that a test appends.
type byteSocket struct {
	slowSocket
	mu   sync.Mutex
	data []byte
}

func (s *byteSocket) Receive(m *socket.Message, flags int) (int, syscall.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.data) == 0 {
		return 0, syscall.EAGAIN
	}
	n := 0
	for _, p := range m.Parts {
		n += copy(p, s.data[n:])
	}
	if flags&syscall.MSG_PEEK == 0 {
		s.data = s.data[n:]
	}
	return n, 0
}

func (s *byteSocket) arrive(text string) {
	s.mu.Lock()
	s.data = append(s.data, text...)
	s.mu.Unlock()
	s.notify(readable)
}

type byteFamily struct{ *byteSocket }

func (f byteFamily) Socket(int, int) (socket.Socket, syscall.Errno) { return f.byteSocket, 0 }

// TestSocketWaitsForAll: MSG_WAITALL fills all parts, also with MSG_PEEK.
func TestSocketWaitsForAll(t *testing.T) {
	k := goshawkKernel(t)
	s := &byteSocket{}
	socket.Register(40, byteFamily{s})
	defer socket.Register(40, nil)
	fd, err := k.quiet(syscall.SYS_SOCKET, 40, syscall.SOCK_STREAM, 0)
	require.Zero(t, err)
	for _, flags := range []int{syscall.MSG_WAITALL | syscall.MSG_PEEK, syscall.MSG_WAITALL} {
		if flags&syscall.MSG_PEEK != 0 {
			go func() {
				for range 5 {
					s.arrive("ab")
					time.Sleep(time.Millisecond)
				}
			}()
		}
		one, two := make([]byte, 3), make([]byte, 7)
		list := []iovec{{&one[0], 3}, {&two[0], 7}}
		h := &messageHeader{vector: &list[0], vectorLength: 2}
		n, err := k.quiet(syscall.SYS_RECVMSG, fd, unsafe.Pointer(h), flags)
		assert.Equal(t, []any{10, syscall.Errno(0)}, []any{n, err})
		assert.Equal(t, "ababababab", string(one)+string(two))
	}
	assert.Empty(t, s.data)
}

type slowFamily struct{ *slowSocket }

func (f slowFamily) Socket(int, int) (socket.Socket, syscall.Errno) { return f.slowSocket, 0 }

func TestSocketConnectWaits(t *testing.T) {
	k := goshawkKernel(t)
	s := &slowSocket{result: syscall.ECONNREFUSED}
	socket.Register(40, slowFamily{s})
	defer socket.Register(40, nil)
	fd, err := k.quiet(syscall.SYS_SOCKET, 40, syscall.SOCK_STREAM, 0)
	require.Zero(t, err)
	tv := &syscall.Timeval{Usec: 1000}
	k.quiet(syscall.SYS_SETSOCKOPT, fd, syscall.SOL_SOCKET, syscall.SO_SNDTIMEO, unsafe.Pointer(tv), 16)
	_, err = k.quiet(syscall.SYS_CONNECT, fd, make([]byte, 16), 16)
	assert.Equal(t, syscall.EINPROGRESS, err)
	*tv = syscall.Timeval{}
	k.quiet(syscall.SYS_SETSOCKOPT, fd, syscall.SOL_SOCKET, syscall.SO_SNDTIMEO, unsafe.Pointer(tv), 16)
	s.events = writable
	_, err = k.quiet(syscall.SYS_CONNECT, fd, make([]byte, 16), 16)
	assert.Equal(t, syscall.ECONNREFUSED, err)
	_, err = k.quiet(syscall.SYS_SOCKETPAIR, 40, syscall.SOCK_STREAM, 0, make([]byte, 8))
	assert.Equal(t, syscall.EOPNOTSUPP, err)
}

func TestSendfileToSocket(t *testing.T) {
	both(t, func(k *kernel) {
		f := k.open(k.dir+"/f", syscall.O_CREAT|syscall.O_RDWR, 0o600)
		data := make([]byte, 200_000)
		for i := range data {
			data[i] = byte(i * 7)
		}
		k.do("write", syscall.SYS_WRITE, f, data, len(data))
		k.do("lseek", syscall.SYS_LSEEK, f, 300_000, 0)
		k.write(f, "behind a hole")
		for _, kind := range []int{syscall.SOCK_STREAM, syscall.SOCK_SEQPACKET} {
			a, b := k.socketpair(kind)
			offset := new(int64)
			receive := func() {
				buf := make([]byte, 100_000)
				n, _ := k.do("read", syscall.SYS_READ, b, buf, len(buf))
				sum := 0
				for i, c := range buf[:max(0, n)] {
					sum += i * int(c)
				}
				k.logf("  %d", sum)
			}
			for _, at := range []int64{0, 65_000, 190_000, 299_990, 300_010, 300_013, 400_000} {
				*offset = at
				k.do("sendfile", syscall.SYS_SENDFILE, a, f, unsafe.Pointer(offset), 30_000)
				k.logf("  %d", *offset-at)
				receive()
			}
			k.do("sendfile from a socket", syscall.SYS_SENDFILE, f, a, nil, 10)
			k.do("lseek", syscall.SYS_LSEEK, f, 300_000, 0)
			k.do("sendfile", syscall.SYS_SENDFILE, a, f, nil, 6)
			k.do("lseek", syscall.SYS_LSEEK, f, 0, 1)
			receive()
			k.close(b)
			k.do("sendfile", syscall.SYS_SENDFILE, a, f, nil, 6)
			k.close(a)
		}
	})

	k := goshawkKernel(t)
	a, b := k.socketpair(syscall.SOCK_STREAM)
	k.quiet(syscall.SYS_IOCTL, a, fioNBIO, unsafe.Pointer(new(int32)))
	k.quiet(syscall.SYS_IOCTL, b, fioNBIO, unsafe.Pointer(new(int32)))
	f := k.open("/tmp/f", syscall.O_CREAT|syscall.O_RDWR, 0o600)
	data := []byte(strings.Repeat("0123456789", 500_000))
	k.quiet(syscall.SYS_WRITE, f, data, len(data))
	got := make(chan []byte)
	go func() {
		all := make([]byte, len(data))
		k.quiet(syscall.SYS_RECVFROM, b, all, len(all), syscall.MSG_WAITALL, nil, nil)
		got <- all
	}()
	n, err := k.quiet(syscall.SYS_SENDFILE, a, f, unsafe.Pointer(new(int64)), len(data))
	assert.Equal(t, []any{len(data), syscall.Errno(0)}, []any{n, err})
	assert.Equal(t, string(data), string(<-got))
}

// TestSendfileIsAccess: sendfile reads as inotify sees it, but not at the end.
func TestSendfileIsAccess(t *testing.T) {
	both(t, func(k *kernel) {
		f := k.open(k.dir+"/f", syscall.O_CREAT|syscall.O_RDWR, 0o600)
		k.write(f, "0123456789")
		in := k.inotify()
		k.watch(in, k.dir+"/f", syscall.IN_ACCESS)
		a, b := k.socketpair(syscall.SOCK_STREAM)
		for _, at := range []int64{10, 20, 5} {
			offset := new(int64)
			*offset = at
			k.do("sendfile", syscall.SYS_SENDFILE, a, f, unsafe.Pointer(offset), 5)
			k.logEvents(in)
		}
		k.close(a, b, f, in)
	})
}
