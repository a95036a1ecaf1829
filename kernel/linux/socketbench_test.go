//go:build !goshawk

package linux

import (
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/net/socket"
)

// idleSocket is a socket that does nothing, so that what the personality does around it is left.
type idleSocket struct {
	socket.Socket
	kind int
	err  syscall.Errno
}

func (s *idleSocket) Kind() (int, int, int) { return 41, s.kind, 0 }
func (s *idleSocket) Watch(func(uint32))    {}
func (s *idleSocket) Close()                {}

// result is that of a call about n bytes.
func (s *idleSocket) result(n int) (int, syscall.Errno) {
	if s.err != 0 {
		return 0, s.err
	}
	return n, 0
}

func (s *idleSocket) Read(p []byte) (int, syscall.Errno)                 { return s.result(len(p)) }
func (s *idleSocket) Write(p []byte) (int, syscall.Errno)                { return s.result(len(p)) }
func (s *idleSocket) Send(m *socket.Message, _ int) (int, syscall.Errno) { return s.result(m.Size()) }

func (s *idleSocket) Receive(m *socket.Message, _ int) (int, syscall.Errno) {
	m.Name.Length = 16
	return s.result(m.Size())
}

type idleFamily struct{ *idleSocket }

func (f idleFamily) Socket(kind, _ int) (socket.Socket, syscall.Errno) {
	f.kind = kind
	return f.idleSocket, 0
}

// idle returns a descriptor of an idle socket.
func idle(t testing.TB, kind int) (int, *idleSocket) {
	resetProcess()
	s := &idleSocket{}
	socket.Register(41, idleFamily{s})
	t.Cleanup(func() { socket.Register(41, nil) })
	fd, _, err := dispatch(syscall.SYS_SOCKET, 41, uintptr(kind|sockCalls), 0, 0, 0, 0)
	require.Zero(t, err)
	return int(fd), s
}

// quickCalls are the calls of a server's every request.
func quickCalls(t testing.TB, fd int) []struct {
	name string
	call func() (r1, r2, err uintptr)
} {
	buf := make([]byte, 100)
	p, n, d := uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), uintptr(fd)
	name, length := new([28]byte), new(int32)
	*length = 28
	list := []iovec{{&buf[0], 10}, {&buf[10], 90}}
	h := &messageHeader{vector: &list[0], vectorLength: 2, name: &name[0], nameLength: 16}
	a := uintptr(unsafe.Pointer(name))
	keep([]any{buf, name, length, list, h})
	return []struct {
		name string
		call func() (r1, r2, err uintptr)
	}{
		{"read", func() (r1, r2, err uintptr) { return dispatch(syscall.SYS_READ, d, p, n, 0, 0, 0) }},
		{"write", func() (r1, r2, err uintptr) { return dispatch(syscall.SYS_WRITE, d, p, n, 0, 0, 0) }},
		{"writev", func() (r1, r2, err uintptr) {
			return dispatch(syscall.SYS_WRITEV, d, uintptr(unsafe.Pointer(&list[0])), 2, 0, 0, 0)
		}},
		{"sendto", func() (r1, r2, err uintptr) { return dispatch(syscall.SYS_SENDTO, d, p, n, 0, a, 16) }},
		{"recvfrom", func() (r1, r2, err uintptr) {
			*length = 28
			return dispatch(syscall.SYS_RECVFROM, d, p, n, 0, a, uintptr(unsafe.Pointer(length)))
		}},
		{"sendmsg", func() (r1, r2, err uintptr) {
			return dispatch(syscall.SYS_SENDMSG, d, uintptr(unsafe.Pointer(h)), 0, 0, 0, 0)
		}},
		{"recvmsg", func() (r1, r2, err uintptr) {
			h.nameLength = 16
			return dispatch(syscall.SYS_RECVMSG, d, uintptr(unsafe.Pointer(h)), 0, 0, 0, 0)
		}},
	}
}

func TestSocketCallsDoNotAllocate(t *testing.T) {
	for _, kind := range []int{syscall.SOCK_STREAM, syscall.SOCK_DGRAM} {
		fd, s := idle(t, kind)
		for _, s.err = range []syscall.Errno{0, syscall.EAGAIN} {
			for _, c := range quickCalls(t, fd) {
				assert.Zero(t, testing.AllocsPerRun(100, func() {
					if _, _, err := c.call(); syscall.Errno(err) != s.err {
						panic(err)
					}
				}), "%s, kind %d, %v", c.name, kind, s.err)
			}
		}
	}
}

func BenchmarkSocketCalls(b *testing.B) {
	fd, _ := idle(b, syscall.SOCK_STREAM)
	for _, c := range quickCalls(b, fd) {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.call()
			}
		})
	}
}
