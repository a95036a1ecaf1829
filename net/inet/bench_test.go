package inet

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/net/socket"
)

// connection returns the two ends of a TCP connection.
func connection(t testing.TB, m machine, domain int, at string) (a, b fd) {
	l, e := m.socket(domain, syscall.SOCK_STREAM, 0)
	require.Zero(t, e)
	require.Zero(t, l.bind(sockaddr(domain, at)))
	require.Zero(t, l.listen(1))
	to, e := l.local()
	require.Zero(t, e)
	a, e = m.socket(domain, syscall.SOCK_STREAM, 0)
	require.Zero(t, e)
	require.Equal(t, syscall.EINPROGRESS, a.connect(to))
	require.True(t, eventually(func() bool { return l.poll()&socket.In != 0 && a.poll()&socket.Out != 0 }))
	b, _, e = l.accept()
	require.Zero(t, e)
	l.close()
	t.Cleanup(func() { a.close(); b.close() })
	return a, b
}

// BenchmarkReadNothing is a read of a connection on which nothing has arrived.
func BenchmarkReadNothing(b *testing.B) {
	c, _ := connection(b, ours{newStack(b)}, syscall.AF_INET, "127.0.0.1:0")
	s := c.(*ourFD).Socket
	p := make([]byte, 4096)
	s.Read(p)
	b.ReportAllocs()
	for b.Loop() {
		if _, e := s.Read(p); e != syscall.EAGAIN {
			b.Fatal(e)
		}
	}
}

// BenchmarkReady is the question what a connection is ready for.
func BenchmarkReady(b *testing.B) {
	c, _ := connection(b, ours{newStack(b)}, syscall.AF_INET, "127.0.0.1:0")
	s := c.(*ourFD).Socket
	b.ReportAllocs()
	for b.Loop() {
		s.Ready()
	}
}

// waiting is a socket whose reader waits for its notification, as a goroutine in the guest does.
type waiting struct {
	socket.Socket
	woken chan struct{}
}

func wait(f fd) *waiting {
	w := &waiting{f.(*ourFD).Socket, make(chan struct{}, 1)}
	notify := func(events uint32) {
		if events&socket.In == 0 {
			return
		}
		select {
		case w.woken <- struct{}{}:
		default:
		}
	}
	w.Socket.(*stream).notify = notify
	return w
}

func (w *waiting) read(p []byte) int {
	for {
		n, e := w.Read(p)
		if e == 0 {
			return n
		}
		if e != syscall.EAGAIN {
			panic(e)
		}
		<-w.woken
	}
}

// benchmarkEcho is a round trip of size bytes.
func benchmarkEcho(b *testing.B, size int) {
	c, s := connection(b, ours{newStack(b)}, syscall.AF_INET, "127.0.0.1:0")
	client, server := wait(c), wait(s)
	client.SetOption(syscall.IPPROTO_TCP, syscall.TCP_NODELAY, []byte{1, 0, 0, 0})
	server.SetOption(syscall.IPPROTO_TCP, syscall.TCP_NODELAY, []byte{1, 0, 0, 0})
	go func() {
		p := make([]byte, size)
		for {
			n := server.read(p)
			if n == 0 {
				return
			}
			server.Write(p[:n])
		}
	}()
	p := make([]byte, size)
	b.ReportAllocs()
	for b.Loop() {
		client.Write(p)
		for n := 0; n < size; {
			n += client.read(p)
		}
	}
	client.Shutdown(syscall.SHUT_RDWR)
}

func BenchmarkEcho1(b *testing.B)    { benchmarkEcho(b, 1) }
func BenchmarkEcho1024(b *testing.B) { benchmarkEcho(b, 1024) }

// BenchmarkStream is a transfer in writes of 64 KiB.
func BenchmarkStream(b *testing.B) {
	c, s := connection(b, ours{newStack(b)}, syscall.AF_INET, "127.0.0.1:0")
	client, server := wait(c), wait(s)
	const size = 64 << 10
	done := make(chan int)
	go func() {
		p, total := make([]byte, size), 0
		for {
			n := server.read(p)
			if n == 0 {
				break
			}
			total += n
		}
		done <- total
	}()
	out := make(chan struct{}, 1)
	client.Socket.(*stream).notify = func(events uint32) {
		if events&socket.Out != 0 {
			select {
			case out <- struct{}{}:
			default:
			}
		}
	}
	p := make([]byte, size)
	b.SetBytes(size)
	b.ReportAllocs()
	total := 0
	for b.Loop() {
		for n := 0; n < size; {
			w, e := client.Write(p[n:])
			if e == syscall.EAGAIN {
				<-out
				continue
			}
			n += w
		}
		total += size
	}
	client.Shutdown(syscall.SHUT_WR)
	require.Equal(b, total, <-done)
}

// BenchmarkDatagram is a UDP datagram of 100 bytes sent and received.
func BenchmarkDatagram(b *testing.B) {
	m := ours{newStack(b)}
	f, _ := m.socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	require.Zero(b, f.bind(sockaddr(syscall.AF_INET, "127.0.0.1:0")))
	a, _ := f.local()
	require.Zero(b, f.connect(a))
	s := f.(*ourFD).Socket
	p := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		s.Write(p)
		s.Read(p)
	}
}

// BenchmarkDatagramTo is one with an address and a message, as ReadFrom and WriteTo use them.
func BenchmarkDatagramTo(b *testing.B) {
	m := ours{newStack(b)}
	f, _ := m.socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	require.Zero(b, f.bind(sockaddr(syscall.AF_INET, "127.0.0.1:0")))
	a, _ := f.local()
	s := f.(*ourFD).Socket
	p := make([]byte, 100)
	out, in := &socket.Message{Parts: [][]byte{p}}, &socket.Message{Parts: [][]byte{p}, WantName: true}
	out.Name.Set(a)
	b.ReportAllocs()
	for b.Loop() {
		s.Send(out, 0)
		s.Receive(in, 0)
	}
}
