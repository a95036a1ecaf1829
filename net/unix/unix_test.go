package unix

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/fs/tmpfs"
	"github.com/goshawk-os/goshawk/fs/vfs"
	"github.com/goshawk-os/goshawk/net/socket"
)

// What the calls answer is tested against Linux, in kernel/linux. Here is what these tests do not
// reach: who is told what and when, many at once, and what is left behind.

// start makes the family new.
func start(t testing.TB) {
	t.Helper()
	unix = family{}
	credentials := Credentials{PID: 1}
	Start(Process{
		Space:       vfs.New(tmpfs.New(tmpfs.Options{})),
		Credentials: func() (Credentials, Credentials) { return credentials, credentials },
		MayClaim:    func(Credentials) syscall.Errno { return 0 },
	})
}

// watched is a socket and what it has told.
type watched struct {
	*Socket
	events  atomic.Uint32
	in, out chan struct{} // have a token after events
}

func watch(s socket.Socket) *watched {
	w := &watched{Socket: s.(*Socket), in: make(chan struct{}, 1), out: make(chan struct{}, 1)}
	s.Watch(func(events uint32) {
		w.events.Or(events)
		for _, c := range []chan struct{}{w.in, w.out} {
			select {
			case c <- struct{}{}:
			default:
			}
		}
	})
	return w
}

// take returns the events told since the last call.
func (w *watched) take() uint32 { return w.events.Swap(0) }

func pair(t testing.TB, kind int) (a, b *watched) {
	t.Helper()
	s, u, err := unix.Pair(kind, 0)
	require.Zero(t, err)
	return watch(s), watch(u)
}

func newSocket(t testing.TB, kind int) *watched {
	t.Helper()
	s, err := unix.Socket(kind, 0)
	require.Zero(t, err)
	return watch(s)
}

func address(name string) []byte { return append([]byte{syscall.AF_UNIX, 0}, name...) }

func TestReadinessIsTold(t *testing.T) {
	start(t)
	for _, kind := range []int{syscall.SOCK_STREAM, syscall.SOCK_SEQPACKET, syscall.SOCK_DGRAM} {
		a, b := pair(t, kind)
		for range 2 { // of more data too
			n, err := a.Write([]byte("x"))
			require.Equal(t, []any{1, syscall.Errno(0)}, []any{n, err})
			assert.Equal(t, uint32(readable), b.take())
			assert.Zero(t, a.take())
		}
		for range 2 {
			_, err := b.Read(make([]byte, 1))
			require.Zero(t, err)
		}
		assert.Zero(t, a.take(), "there was room all the time")

		block := make([]byte, 8000)
		err := syscall.Errno(0)
		for err == 0 {
			_, err = a.Write(block)
		}
		require.Equal(t, syscall.EAGAIN, err)
		assert.Zero(t, a.Ready()&socket.Out)
		b.take()
		for a.Ready()&socket.Out == 0 {
			assert.Zero(t, a.take())
			_, err := b.Read(block)
			require.Zero(t, err)
		}
		assert.Equal(t, uint32(writable), a.take())

		a.Close()
		if kind != syscall.SOCK_DGRAM {
			assert.NotZero(t, b.take()&socket.Hup)
		}
		b.Close()
	}
}

func TestShutdownIsTold(t *testing.T) {
	start(t)
	a, b := pair(t, syscall.SOCK_STREAM)
	a.Shutdown(syscall.SHUT_WR)
	assert.Equal(t, uint32(socket.In|socket.RdHup), b.take()&(socket.In|socket.RdHup|socket.Hup))
	b.Shutdown(syscall.SHUT_WR)
	assert.Equal(t, uint32(socket.In|socket.RdHup|socket.Hup), a.take()&(socket.In|socket.RdHup|socket.Hup))
	assert.Equal(t, uint32(socket.Hup), b.take()&socket.Hup)
}

// TestWaitForBacklog: who found the queue of connections full is told when there is a place, and when
// there never will be one.
func TestWaitForBacklog(t *testing.T) {
	start(t)
	l := newSocket(t, syscall.SOCK_STREAM)
	require.Zero(t, l.Bind(address("/l")))
	require.Zero(t, l.Listen(0))
	first, second := newSocket(t, syscall.SOCK_STREAM), newSocket(t, syscall.SOCK_STREAM)
	require.Zero(t, first.Connect(address("/l")))
	assert.Equal(t, uint32(readable), l.take())
	require.Equal(t, syscall.EAGAIN, second.Connect(address("/l")))
	require.Equal(t, syscall.EAGAIN, second.Connect(address("/l")))
	assert.Len(t, l.waiting, 1)
	_, err := l.Accept(nil)
	require.Zero(t, err)
	assert.Equal(t, uint32(writable), second.take())
	require.Zero(t, second.Connect(address("/l")))
	third := newSocket(t, syscall.SOCK_STREAM)
	require.Equal(t, syscall.EAGAIN, third.Connect(address("/l")))
	second.take()
	l.Close()
	assert.Equal(t, uint32(writable), third.take())
	assert.Equal(t, syscall.ECONNREFUSED, third.Connect(address("/l")))
	assert.NotZero(t, second.take()&socket.Err)
	_, err = second.Read(make([]byte, 1))
	assert.Equal(t, syscall.ECONNRESET, err)
}

// TestWaitForReceiver: a sender of datagrams that are not for a connected peer is told when the
// receiver's queue has room, and when it is closed.
func TestWaitForReceiver(t *testing.T) {
	start(t)
	r, s := newSocket(t, syscall.SOCK_DGRAM), newSocket(t, syscall.SOCK_DGRAM)
	require.Zero(t, r.Bind(address("/r")))
	require.Zero(t, s.Connect(address("/r")))
	s.SetOption(syscall.SOL_SOCKET, soSendBufferForce, []byte{0, 0, 0, 8})
	fill := func() {
		err := syscall.Errno(0)
		for err == 0 {
			_, err = s.Write([]byte("x"))
		}
		require.Equal(t, syscall.EAGAIN, err)
	}
	fill()
	assert.Equal(t, maxQueue+1, r.Socket.in.messages)
	assert.Zero(t, s.Ready()&socket.Out)
	s.take()
	_, err := r.Read(make([]byte, 1))
	require.Zero(t, err)
	assert.Equal(t, uint32(writable), s.take())
	assert.NotZero(t, s.Ready()&socket.Out)
	fill()
	r.Close()
	assert.Equal(t, uint32(writable), s.take())
	_, err = s.Write([]byte("x"))
	assert.Equal(t, syscall.ECONNREFUSED, err)
	assert.Zero(t, s.queued.Load())
}

// TestClosedDoNotWait: who is closed while it waits for room that never comes is not kept.
func TestClosedDoNotWait(t *testing.T) {
	start(t)
	r, l := newSocket(t, syscall.SOCK_DGRAM), newSocket(t, syscall.SOCK_STREAM)
	require.Zero(t, r.Bind(address("/r")))
	require.Zero(t, l.Bind(address("/l")))
	require.Zero(t, l.Listen(0))
	require.Zero(t, newSocket(t, syscall.SOCK_STREAM).Connect(address("/l")))
	fill := newSocket(t, syscall.SOCK_DGRAM)
	require.Zero(t, fill.Connect(address("/r")))
	fill.SetOption(syscall.SOL_SOCKET, soSendBufferForce, []byte{0, 0, 0, 8})
	for range maxQueue + 1 {
		_, err := fill.Write([]byte("x"))
		require.Zero(t, err)
	}
	for range 100 {
		s, c := newSocket(t, syscall.SOCK_DGRAM), newSocket(t, syscall.SOCK_STREAM)
		require.Zero(t, s.Connect(address("/r")))
		_, err := s.Write([]byte("x"))
		require.Equal(t, syscall.EAGAIN, err)
		require.Equal(t, syscall.EAGAIN, c.Connect(address("/l")))
		require.Equal(t, 1, len(r.Socket.in.senders))
		require.Equal(t, 1, len(l.waiting))
		s.Close()
		c.Close()
	}
}

// TestManyAtOnce has connections made, used and closed from all sides at the same time, and nothing
// left of them.
func TestManyAtOnce(t *testing.T) {
	start(t)
	l := newSocket(t, syscall.SOCK_STREAM)
	require.Zero(t, l.Bind(address("\x00l")))
	require.Zero(t, l.Listen(4))
	const clients, rounds = 8, 300
	var group sync.WaitGroup
	transfer := func(s *watched) {
		written := make(chan struct{})
		go func() {
			defer close(written)
			for left := 12000; left > 0; {
				n, err := s.Write(make([]byte, min(left, 3000)))
				if err == syscall.EAGAIN {
					<-s.out
				} else if err != 0 {
					t.Error(err)
					return
				}
				left -= n
			}
			s.Shutdown(syscall.SHUT_WR)
		}()
		total := 0
		for {
			n, err := s.Read(make([]byte, 1000))
			if err == syscall.EAGAIN {
				<-s.in
				continue
			}
			if n == 0 {
				break
			}
			total += n
		}
		if total != 12000 {
			t.Errorf("%d bytes received", total)
		}
		<-written
		s.Close()
	}
	for range clients {
		group.Go(func() {
			for range rounds {
				u, _ := unix.Socket(syscall.SOCK_STREAM, 0)
				c := watch(u)
				for c.Connect(address("\x00l")) == syscall.EAGAIN {
					<-c.out
				}
				transfer(c)
			}
		})
	}
	var servers sync.WaitGroup
	for range 2 {
		servers.Go(func() {
			for {
				c, err := l.Accept(nil)
				switch err {
				case 0:
					servers.Go(func() { transfer(watch(c)) })
				case syscall.EAGAIN:
					select {
					case <-l.in:
					case <-time.After(time.Millisecond):
					}
				default:
					return
				}
			}
		})
	}
	group.Wait()
	l.Close()
	servers.Wait()
	assert.Eventually(t, func() bool {
		unix.mu.Lock()
		defer unix.mu.Unlock()
		return unix.first == nil && len(unix.abstract) == 0
	}, 5*time.Second, time.Millisecond)
}

// TestMemoryComesBack: a stream that was full once does not keep its memory.
func TestMemoryComesBack(t *testing.T) {
	start(t)
	a, b := pair(t, syscall.SOCK_STREAM)
	n, err := a.Write(make([]byte, 1<<20))
	require.Zero(t, err)
	_, err = b.Read(make([]byte, n))
	require.Zero(t, err)
	assert.Nil(t, b.Socket.in.ring)
	a.Write(make([]byte, 1000))
	b.Read(make([]byte, 1000))
	assert.Len(t, b.Socket.in.ring, minRing)
}

func TestProcNet(t *testing.T) {
	start(t)
	l := newSocket(t, syscall.SOCK_STREAM)
	l.SetInode(7)
	require.Zero(t, l.Bind(address("/l")))
	require.Zero(t, l.Listen(1))
	c := newSocket(t, syscall.SOCK_STREAM)
	c.SetInode(123456)
	require.Zero(t, c.Connect(address("/l")))
	d := newSocket(t, syscall.SOCK_DGRAM)
	d.SetInode(9)
	require.Zero(t, d.Bind(address("\x00a\x00b")))
	assert.Equal(t, `Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00000000 0002 01     9 @a@b
0000000000000000: 00000003 00000000 00000000 0001 02     0 /l
0000000000000000: 00000003 00000000 00000000 0001 03 123456
0000000000000000: 00000002 00000000 00010000 0001 01     7 /l
`, string(ProcNet()))
}

func TestAutobindFindsFreeNames(t *testing.T) {
	start(t)
	taken := newSocket(t, syscall.SOCK_DGRAM)
	require.Zero(t, taken.Bind(address("\x0000002")))
	var names []string
	for range 3 {
		s := newSocket(t, syscall.SOCK_DGRAM)
		require.Zero(t, s.Bind(address("")))
		names = append(names, *s.name.Load())
	}
	assert.Equal(t, []string{"\x0000001", "\x0000003", "\x0000004"}, names)
}

func TestTransferDoesNotAllocate(t *testing.T) {
	start(t)
	for _, kind := range []int{syscall.SOCK_STREAM, syscall.SOCK_SEQPACKET, syscall.SOCK_DGRAM} {
		a, b := pair(t, kind)
		buf := make([]byte, 100)
		assert.Zero(t, testing.AllocsPerRun(1000, func() {
			a.Write(buf)
			b.Read(buf)
		}), "kind %d", kind)
	}
}

func BenchmarkTransfer(b *testing.B) {
	start(b)
	for _, kind := range []int{syscall.SOCK_STREAM, syscall.SOCK_SEQPACKET} {
		for _, size := range []int{1, 4096, 65536} {
			b.Run(fmt.Sprintf("%d/%d", kind, size), func(b *testing.B) {
				s, u, _ := unix.Pair(kind, 0)
				s.Watch(func(uint32) {})
				u.Watch(func(uint32) {})
				buf := make([]byte, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					s.Write(buf)
					u.Read(buf)
				}
			})
		}
	}
}

// TestLongNames: an address may fill struct sockaddr_un without a zero byte.
func TestLongNames(t *testing.T) {
	start(t)
	s := newSocket(t, syscall.SOCK_DGRAM)
	name := strings.Repeat("n", maxName)
	require.Zero(t, s.Bind(address(name)))
	var a socket.Address
	require.Zero(t, s.LocalAddress(&a))
	assert.Equal(t, addressSize+1, a.Length)
	assert.Equal(t, name+"\x00", string(a.Bytes()[nameOffset:]))
}
