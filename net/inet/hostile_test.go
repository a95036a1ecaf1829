package inet

import (
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/net/socket"
)

// Whatever a program passes, no call panics or waits.
func TestNonsense(t *testing.T) {
	st := newStack(t)
	r := rand.New(rand.NewPCG(1, 2))
	bytes := func(n int) []byte {
		b := make([]byte, r.IntN(n+1))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		if r.IntN(2) == 0 {
			for i := range b {
				b[i] &= byte(r.IntN(4))
			}
		}
		return b
	}
	addr := func() []byte {
		b := bytes(40)
		if len(b) > 1 && r.IntN(4) > 0 {
			b[0], b[1] = []byte{0, 2, 10, 17}[r.IntN(4)], 0
		}
		return b
	}
	kinds := [][3]int{{ip4, streams, 0}, {ip6, streams, 0}, {ip4, dgrams, 0}, {ip6, dgrams, 0}, {ip4, dgrams, 1}, {ip6, dgrams, 58},
		{ip4, syscall.SOCK_RAW, 1}, {ip4, syscall.SOCK_RAW, 255}, {ip6, syscall.SOCK_RAW, 58}, {syscall.AF_PACKET, syscall.SOCK_RAW, 0x300}, {syscall.AF_PACKET, dgrams, 0}}
	levels := []int{0, 1, 6, 17, 41, 58, 255, 263, r.Int()}
	rounds := 3000
	if raceDetector {
		rounds = 100
	}
	for range rounds {
		k := kinds[r.IntN(len(kinds))]
		f, e := ours{st}.socket(k[0], k[1], k[2])
		require.Zero(t, e, "%v", k)
		o := f.(*ourFD)
		for range 60 {
			switch r.IntN(14) {
			case 0:
				o.Bind(addr())
			case 1:
				o.Connect(addr())
			case 2:
				o.Listen(r.IntN(10) - 2)
			case 3:
				if c, e := o.Accept(nil); e == 0 {
					c.Close()
				}
			case 4:
				o.Shutdown(r.IntN(5) - 1)
			case 5:
				var a socket.Address
				o.LocalAddress(&a)
				o.PeerAddress(&a)
			case 6:
				o.Read(make([]byte, r.IntN(100)))
			case 7:
				o.Write(bytes(3000))
			case 8:
				m := socket.Message{Parts: [][]byte{make([]byte, r.IntN(10)), make([]byte, r.IntN(100))}, WantName: r.IntN(2) == 0, Control: make([]byte, 0, r.IntN(200))}
				o.Receive(&m, []int{0, 2, 0x20, 0x2000, 1, 0x22}[r.IntN(6)])
			case 9:
				m := socket.Message{Parts: [][]byte{bytes(100), bytes(2000)}, Control: bytes(200)}
				if len(m.Control) > 16 && r.IntN(3) > 0 {
					m.Control = controlMessage([]int{0, 1, 17, 41}[r.IntN(4)], r.IntN(110), bytes(40))
				}
				m.Name.Set(addr())
				o.Send(&m, []int{0, 0x8000, 1, 0x20000000}[r.IntN(4)])
			case 10, 11:
				o.SetOption(levels[r.IntN(len(levels))], r.IntN(110), optionValue(r, bytes))
			case 12:
				o.GetOption(levels[r.IntN(len(levels))], r.IntN(110), make([]byte, r.IntN(300)))
			case 13:
				o.Ready()
			}
		}
		o.Close()
	}
}

// optionValue returns a value of setsockopt that is no struct sock_fprog, whose pointer must be valid.
func optionValue(r *rand.Rand, bytes func(int) []byte) []byte {
	b := bytes(300)
	if r.IntN(2) == 0 {
		return cint(r.IntN(5) - 1)
	}
	if len(b) == 16 {
		return b[:15]
	}
	return b
}

// Several goroutines use one socket at once, and shut it down.
func TestConcurrentUse(t *testing.T) {
	st := newStack(t)
	for range 20 {
		a, b := connection(t, ours{st}, ip4, "127.0.0.1:0")
		x, y := a.(*ourFD).Socket, b.(*ourFD).Socket
		var all sync.WaitGroup
		for _, s := range []socket.Socket{x, y, x, y} {
			all.Add(2)
			go func() {
				defer all.Done()
				p := make([]byte, 5000)
				for range 50 {
					s.Write(p)
					s.Ready()
					s.SetOption(syscall.IPPROTO_TCP, syscall.TCP_NODELAY, cint(1))
				}
				s.Shutdown(syscall.SHUT_WR)
			}()
			go func() {
				defer all.Done()
				p := make([]byte, 5000)
				for range 50 {
					s.Read(p)
					s.GetOption(syscall.SOL_SOCKET, syscall.SO_ERROR, p)
					s.GetOption(syscall.IPPROTO_TCP, syscall.TCP_INFO, p)
				}
			}()
		}
		all.Wait()
	}
}

// A thousand connections at once and two thousand after each other leave nothing behind.
func TestManyConnections(t *testing.T) {
	st := newStack(t)
	m := ours{st}
	l := open(t, m, ip4, streams, 0)
	require.Zero(t, l.bind(sockaddr(ip4, "127.0.0.1:0")))
	require.Zero(t, l.listen(4096))
	to, _ := l.local()
	one := func() (fd, fd) {
		c, e := m.socket(ip4, streams, 0)
		require.Zero(t, e)
		require.Equal(t, syscall.EINPROGRESS, c.connect(to))
		var s fd
		require.True(t, eventually(func() bool { s, _, e = l.accept(); return e == 0 }))
		return c, s
	}
	var open []fd
	for range 1000 {
		c, s := one()
		open = append(open, c, s)
	}
	for _, f := range open {
		f.close()
	}
	for range 2000 {
		c, s := one()
		s.(*ourFD).SetOption(syscall.SOL_SOCKET, syscall.SO_LINGER, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		s.close()
		c.close()
	}
	require.True(t, eventually(func() bool { return st.Stats().TCP.CurrentEstablished.Value() == 0 }))
}
