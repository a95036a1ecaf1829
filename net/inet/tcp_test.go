package inet

import (
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/goshawk-os/goshawk/net/socket"
)

const (
	in  = uint32(socket.In)
	out = uint32(socket.Out)
	hup = uint32(socket.Hup)
	rd  = syscall.SHUT_RD
	wr  = syscall.SHUT_WR
	rw  = syscall.SHUT_RDWR
)

func TestTCP(t *testing.T) { compare(t, tcpScenarios) }

var tcpScenarios = []scenario{
	{"a fresh socket is hung up, has no names and carries nothing", func(s *script) {
		for _, d := range []int{ip4, ip6} {
			s.socket("a", d, streams, 0)
			s.poll("a")
			s.names("a")
			s.read("a", 10)
			s.write("a", "x")
			s.shutdown("a", rw)
			s.accept("a", "b")
			s.soError("a")
			s.close("a")
		}
	}},
	{"kinds and protocols that there are not", func(s *script) {
		for _, d := range []int{ip4, ip6} {
			for _, c := range [][2]int{{streams, 6}, {streams, 17}, {streams, 1}, {dgrams, 6}, {dgrams, 17}, {7, 0}, {syscall.SOCK_SEQPACKET, 0}, {syscall.SOCK_RAW, 0},
				{syscall.SOCK_RAW, 255}, {streams, -1}, {streams, 5000}, {syscall.SOCK_RDM, 0}} {
				s.say("%d %d", c[0], c[1])
				s.socket("a", d, c[0], c[1])
			}
		}
	}},
	{"a connection carries data both ways until it is closed", func(s *script) {
		s.pair(ip4, "127.0.0.1")
		s.names("server")
		s.names("client")
		s.names("peer")
		s.poll("client")
		s.poll("peer")
		s.poll("server")
		s.accept("server", "none")
		s.read("peer", 10)
		s.write("client", "hello")
		s.wait("peer", in)
		s.read("peer", 3)
		s.poll("peer")
		s.read("peer", 10)
		s.poll("peer")
		s.read("peer", 10)
		s.write("peer", "world")
		s.wait("client", in)
		s.read("client", 10)
		s.close("client")
		s.wait("peer", socket.RdHup)
		s.read("peer", 10)
		s.read("peer", 10)
		s.names("peer")
		s.soError("peer")
		s.close("peer")
	}},
	{"over IPv6 as over IPv4", func(s *script) {
		s.pair(ip6, "::1")
		s.names("server")
		s.names("client")
		s.names("peer")
		s.write("peer", "x")
		s.wait("client", in)
		s.read("client", 2)
	}},
	{"a dual-stack server sees IPv4 clients by mapped addresses", func(s *script) {
		s.socket("server", ip6, streams, 0)
		s.bind("server", "[::]:0")
		s.listen("server", 5)
		s.names("server")
		s.socket("client", ip4, streams, 0)
		s.connect("client", "127.0.0.1@server")
		s.wait("server", in)
		s.accept("server", "peer")
		s.names("peer")
		s.names("client")
		s.socket("mapped", ip6, streams, 0)
		s.connect("mapped", "::ffff:127.0.0.1@server")
		s.wait("server", in)
		s.accept("server", "peer2")
		s.names("peer2")
		s.names("mapped")
	}},
	{"an IPv6-only server is not there for IPv4 and leaves its port to it", func(s *script) {
		s.socket("server", ip6, streams, 0)
		s.setInt("server", syscall.IPPROTO_IPV6, syscall.IPV6_V6ONLY, 1)
		s.bind("server", "[::]:0")
		s.setInt("server", syscall.IPPROTO_IPV6, syscall.IPV6_V6ONLY, 0)
		s.listen("server", 5)
		s.socket("client", ip4, streams, 0)
		s.connect("client", "127.0.0.1@server")
		s.wait("client", hup)
		s.soError("client")
		s.socket("four", ip4, streams, 0)
		s.bind("four", "0.0.0.0@server")
		s.listen("four", 1)
		s.socket("mapped", ip6, streams, 0)
		s.setInt("mapped", syscall.IPPROTO_IPV6, syscall.IPV6_V6ONLY, 1)
		s.connect("mapped", "::ffff:127.0.0.1@server")
		s.bind("mapped", "[::ffff:127.0.0.1]:0")
	}},
	{"a dual-stack server takes the port of IPv4 too", func(s *script) {
		s.socket("server", ip6, streams, 0)
		s.bind("server", "[::]:0")
		s.socket("four", ip4, streams, 0)
		s.bind("four", "0.0.0.0@server")
		s.bind("four", "127.0.0.1@server")
		s.socket("six", ip6, streams, 0)
		s.bind("six", "::1@server")
	}},
	{"connecting to a port without a server is refused", func(s *script) {
		s.socket("gone", ip4, streams, 0)
		s.bind("gone", "127.0.0.1:0")
		s.socket("a", ip4, streams, 0)
		s.connect("a", "127.0.0.1@gone")
		s.wait("a", hup)
		s.soError("a")
		s.soError("a")
		s.poll("a")
		s.read("a", 1)
		s.write("a", "x")
		s.connect("a", "127.0.0.1@gone")
		s.connect("a", "127.0.0.1@gone")
		s.wait("a", hup)
		s.connect("a", "127.0.0.1@gone")
		s.poll("a")
	}},
	{"the error of a refused connection is reported once: by read", func(s *script) {
		s.socket("gone", ip4, streams, 0)
		s.bind("gone", "127.0.0.1:0")
		s.socket("a", ip4, streams, 0)
		s.connect("a", "127.0.0.1@gone")
		s.wait("a", hup)
		s.read("a", 1)
		s.read("a", 1)
		s.soError("a")
		s.poll("a")
	}},
	{"the error of a refused connection is reported once: by write", func(s *script) {
		s.socket("gone", ip4, streams, 0)
		s.bind("gone", "127.0.0.1:0")
		s.socket("a", ip4, streams, 0)
		s.connect("a", "127.0.0.1@gone")
		s.wait("a", hup)
		s.write("a", "x")
		s.write("a", "x")
		s.soError("a")
	}},
	{"after a refusal the same socket connects", func(s *script) {
		s.socket("server", ip4, streams, 0)
		s.bind("server", "127.0.0.1:0")
		s.socket("a", ip4, streams, 0)
		s.setInt("a", syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
		s.connect("a", "127.0.0.1@server")
		s.wait("a", hup)
		s.connect("a", "127.0.0.1@server")
		s.listen("server", 1)
		s.connect("a", "127.0.0.1@server")
		s.wait("a", out)
		s.soError("a")
		s.get("a", syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 4)
		s.wait("server", in)
		s.accept("server", "b")
		s.write("b", "x")
		s.wait("a", in)
		s.read("a", 3)
	}},
	{"connecting again says how far it got", func(s *script) {
		s.socket("server", ip4, streams, 0)
		s.bind("server", "127.0.0.1:0")
		s.listen("server", 1)
		s.socket("a", ip4, streams, 0)
		s.connect("a", "127.0.0.1@server")
		s.wait("a", out)
		s.connect("a", "127.0.0.1@server")
		s.connect("a", "127.0.0.1@server")
		s.connect("server", "127.0.0.1@server")
		s.listen("a", 1)
		s.bind("a", "127.0.0.1:0")
		s.bind("server", "127.0.0.1:0")
		s.listen("server", 7)
	}},
	{"addresses that cannot be bound or connected to", func(s *script) {
		for _, to := range []string{"192.0.2.1:0", "255.255.255.255:0"} {
			s.socket("a", ip4, streams, 0)
			s.bind("a", to)
		}
		for _, to := range []string{"[2001:db8::1]:0", "[ff02::1]:0", "[fe80::1]:0", "[fe80::1%1]:0", "[fe80::1%99]:0", "[ff02::1%1]:0", "[::ffff:192.0.2.1]:0"} {
			s.socket("b", ip6, streams, 0)
			s.bind("b", to)
		}
		s.socket("c", ip4, streams, 0)
		for _, to := range []string{"224.0.0.1:9", "255.255.255.255:9"} {
			s.connect("c", to)
		}
		s.socket("d", ip6, streams, 0)
		for _, to := range []string{"[ff02::1]:9", "[fe80::1]:9", "[ff02::1%1]:9"} {
			s.connect("d", to)
		}
	}},
	{"struct sockaddr of a wrong length or family", func(s *script) {
		for _, d := range []int{ip4, ip6} {
			s.socket("a", d, streams, 0)
			a := sockaddr(d, map[int]string{ip4: "127.0.0.1:0", ip6: "[::1]:0"}[d])
			for _, n := range []int{0, 1, 2, 15, 16, 20, 23, 24, 27, 28} {
				if n <= len(a) && n < 16 || n < 24 && d == ip6 {
					s.say("bind %d: %s", n, errorName(s.fds["a"].bind(a[:n])))
					s.say("connect %d: %s", n, errorName(s.fds["a"].connect(a[:n])))
				}
			}
			for _, f := range []int{1, ip4, ip6, 99} {
				if f == d {
					continue
				}
				b := append([]byte(nil), a...)
				b = append(b, make([]byte, 16)...)
				b[0] = byte(f)
				s.say("bind family %d: %s", f, errorName(s.fds["a"].bind(b)))
				s.say("connect family %d: %s", f, errorName(s.fds["a"].connect(b)))
			}
		}
		s.socket("u", ip4, streams, 0)
		s.say("bind to the unspecified family: %s", errorName(s.fds["u"].bind(make([]byte, 16))))
		s.socket("v", ip4, streams, 0)
		s.say("and to an address of it: %s", errorName(s.fds["v"].bind([]byte{0, 0, 0, 0, 127, 0, 0, 1, 15: 0})))
	}},
	{"the unspecified address means the machine itself", func(s *script) {
		for _, c := range []struct {
			domain  int
			at, any string
		}{{ip4, "127.0.0.1:0", "0.0.0.0@server"}, {ip6, "[::1]:0", "::@server"}} {
			s.socket("server", c.domain, streams, 0)
			s.bind("server", c.at)
			s.listen("server", 3)
			s.socket("client", c.domain, streams, 0)
			s.connect("client", c.any)
			s.wait("client", out)
			s.names("client")
			s.close("client")
			s.close("server")
		}
	}},
	{"listening without an address chooses a port", func(s *script) {
		s.socket("a", ip4, streams, 0)
		s.listen("a", 1)
		s.names("a")
		s.poll("a")
		s.write("a", "x")
		s.read("a", 1)
		s.get("a", syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN, 4)
	}},
	{"a listening socket that is shut down listens again", func(s *script) {
		s.socket("a", ip4, streams, 0)
		s.bind("a", "127.0.0.1:0")
		s.listen("a", 1)
		s.shutdown("a", wr)
		s.poll("a")
		s.shutdown("a", rd)
		s.poll("a")
		s.accept("a", "x")
		s.names("a")
		s.listen("a", 1)
		s.socket("c", ip4, streams, 0)
		s.connect("c", "127.0.0.1@a")
		s.wait("c", out)
		s.wait("a", in)
		s.accept("a", "p")
	}},
	{"half-close: the peer reads the end and still writes", func(s *script) {
		s.pair(ip4, "127.0.0.1")
		s.write("client", "last words")
		s.shutdown("client", wr)
		s.write("client", "x")
		s.poll("client")
		s.wait("peer", socket.RdHup)
		s.read("peer", 100)
		s.read("peer", 100)
		s.poll("peer")
		s.write("peer", "answer")
		s.wait("client", in)
		s.read("client", 100)
		s.shutdown("client", wr)
		s.close("peer")
		s.wait("client", hup)
		s.read("client", 1)
		s.shutdown("client", wr)
		s.names("client")
	}},
	{"both sides shut down writing", func(s *script) {
		s.pair(ip4, "127.0.0.1")
		s.shutdown("client", wr)
		s.wait("peer", socket.RdHup)
		s.shutdown("peer", wr)
		s.wait("peer", hup)
		s.wait("client", hup)
		s.read("peer", 1)
		s.read("client", 1)
		s.soError("client")
	}},
	{"reading is shut down", func(s *script) {
		s.pair(ip4, "127.0.0.1")
		s.shutdown("client", rd)
		s.poll("client")
		s.read("client", 5)
		s.shutdown("client", wr)
		s.poll("client")
	}},
	{"shutdown of directions that there are not", func(s *script) {
		s.pair(ip4, "127.0.0.1")
		s.shutdown("client", 3)
		s.shutdown("client", -1)
	}},
	{"a reset by SO_LINGER: data that arrived are read before the error", func(s *script) {
		s.pair(ip4, "127.0.0.1")
		s.write("client", "x")
		s.wait("peer", in)
		s.set("client", syscall.SOL_SOCKET, syscall.SO_LINGER, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		s.close("client")
		s.wait("peer", hup)
		s.poll("peer")
		s.soError("peer")
		s.poll("peer")
		s.soError("peer")
		s.read("peer", 1)
		s.read("peer", 1)
		s.write("peer", "x")
	}},
	{"a reset is reported once: by read", func(s *script) {
		s.pair(ip4, "127.0.0.1")
		s.set("client", syscall.SOL_SOCKET, syscall.SO_LINGER, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		s.close("client")
		s.wait("peer", hup)
		s.read("peer", 1)
		s.read("peer", 1)
		s.soError("peer")
		s.names("peer")
	}},
	{"a reset is reported once: by write", func(s *script) {
		s.pair(ip4, "127.0.0.1")
		s.set("client", syscall.SOL_SOCKET, syscall.SO_LINGER, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		s.close("client")
		s.wait("peer", hup)
		s.write("peer", "x")
		s.write("peer", "x")
		s.read("peer", 1)
		s.shutdown("peer", rw)
		s.connect("peer", "127.0.0.1@server")
	}},
	{"closing with unread data resets", func(s *script) {
		s.pair(ip4, "127.0.0.1")
		s.write("client", "unread")
		s.wait("peer", in)
		s.close("peer")
		s.wait("client", hup)
		s.read("client", 1)
	}},
	{"writing to a peer that has closed", func(s *script) {
		s.pair(ip4, "127.0.0.1")
		s.close("peer")
		s.wait("client", socket.RdHup)
		s.write("client", "x")
		s.wait("client", hup)
		s.read("client", 1)
		s.write("client", "x")
		s.soError("client")
	}},
	{"closing a listening socket resets those that wait", func(s *script) {
		s.socket("server", ip4, streams, 0)
		s.bind("server", "127.0.0.1:0")
		s.listen("server", 5)
		s.socket("client", ip4, streams, 0)
		s.connect("client", "127.0.0.1@server")
		s.wait("client", out)
		s.wait("server", in)
		s.close("server")
		s.wait("client", hup)
		s.read("client", 1)
	}},
	{"what was sent before the peer closed a waiting connection", func(s *script) {
		s.socket("server", ip4, streams, 0)
		s.bind("server", "127.0.0.1:0")
		s.listen("server", 5)
		s.socket("client", ip4, streams, 0)
		s.connect("client", "127.0.0.1@server")
		s.wait("client", out)
		s.write("client", "early")
		s.close("client")
		s.settle()
		s.wait("server", in)
		s.accept("server", "peer")
		s.wait("peer", socket.RdHup)
		s.read("peer", 10)
		s.read("peer", 10)
	}},
	{"two servers on one port", func(s *script) {
		s.socket("a", ip4, streams, 0)
		s.bind("a", "127.0.0.1:0")
		s.socket("b", ip4, streams, 0)
		s.bind("b", "127.0.0.1@a")
		s.setInt("b", syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
		s.bind("b", "127.0.0.1@a")
	}},
	{"SO_REUSEADDR lets two bind but one listen", func(s *script) {
		s.socket("a", ip4, streams, 0)
		s.setInt("a", syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
		s.bind("a", "127.0.0.1:0")
		s.socket("b", ip4, streams, 0)
		s.setInt("b", syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
		s.bind("b", "127.0.0.1@a")
		s.listen("a", 1)
		s.listen("b", 1)
		s.socket("c", ip4, streams, 0)
		s.setInt("c", syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
		s.bind("c", "127.0.0.1@a")
		s.bind("c", "0.0.0.0@a")
		s.bind("c", "127.0.0.2@a")
	}},
	{"a server takes its port again while connections wait out", func(s *script) {
		s.socket("server", ip4, streams, 0)
		s.setInt("server", syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
		s.bind("server", "127.0.0.1:0")
		s.listen("server", 5)
		s.socket("client", ip4, streams, 0)
		s.connect("client", "127.0.0.1@server")
		s.wait("server", in)
		s.accept("server", "peer")
		s.shutdown("peer", wr)
		s.wait("client", socket.RdHup)
		s.shutdown("client", wr)
		s.wait("peer", hup)
		a, _ := s.fds["server"].local()
		s.close("peer")
		s.close("client")
		s.close("server")
		s.socket("plain", ip4, streams, 0)
		s.say("without SO_REUSEADDR: %s", errorName(s.fds["plain"].bind(a)))
		s.socket("again", ip4, streams, 0)
		s.setInt("again", syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
		s.say("with it: %s", errorName(s.fds["again"].bind(a)))
		s.listen("again", 5)
	}},
	{"a server takes its port again beside a connection that lasts", func(s *script) {
		s.socket("server", ip4, streams, 0)
		s.setInt("server", syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
		s.bind("server", "127.0.0.1:0")
		s.listen("server", 5)
		s.socket("client", ip4, streams, 0)
		s.connect("client", "127.0.0.1@server")
		s.wait("server", in)
		s.accept("server", "peer")
		a, _ := s.fds["server"].local()
		s.close("server")
		s.socket("again", ip4, streams, 0)
		s.setInt("again", syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
		s.say("bind: %s", errorName(s.fds["again"].bind(a)))
		s.listen("again", 5)
	}},
	{"SO_REUSEPORT shares a port among those that set it", func(s *script) {
		for _, name := range []string{"a", "b"} {
			s.socket(name, ip4, streams, 0)
			s.setInt(name, syscall.SOL_SOCKET, 15, 1)
		}
		s.bind("a", "127.0.0.1:0")
		s.bind("b", "127.0.0.1@a")
		s.listen("a", 10)
		s.listen("b", 10)
		s.socket("c", ip4, streams, 0)
		s.bind("c", "127.0.0.1@a")
		for range 10 {
			s.socket("client", ip4, streams, 0)
			s.connect("client", "127.0.0.1@a")
			s.wait("client", out)
		}
	}},
	{"a full queue of connections", func(s *script) {
		s.socket("server", ip4, streams, 0)
		s.bind("server", "127.0.0.1:0")
		s.listen("server", 1)
		for _, name := range []string{"a", "b"} {
			s.socket(name, ip4, streams, 0)
			s.connect(name, "127.0.0.1@server")
			s.wait(name, out)
		}
		s.socket("c", ip4, streams, 0)
		s.connect("c", "127.0.0.1@server")
		s.poll("c")
		s.connect("c", "127.0.0.1@server")
		s.accept("server", "x")
		s.accept("server", "y")
	}},
	{"connect to the unspecified family dissolves a connection", func(s *script) {
		s.pair(ip4, "127.0.0.1")
		s.say("disconnect: %s", errorName(s.fds["client"].connect(make([]byte, 16))))
		s.poll("client")
		s.soError("client")
		s.poll("client")
		s.wait("peer", hup)
		s.read("peer", 1)
		s.connect("client", "127.0.0.1@server")
		s.wait("client", out)
		s.wait("server", in)
	}},
	{"shutdown while connecting", func(s *script) {
		s.socket("full", ip4, streams, 0)
		s.bind("full", "127.0.0.1:0")
		s.listen("full", 0)
		s.socket("first", ip4, streams, 0)
		s.connect("first", "127.0.0.1@full")
		s.wait("first", out)
		s.socket("a", ip4, streams, 0)
		s.connect("a", "127.0.0.1@full")
		s.poll("a")
		s.read("a", 1)
		s.write("a", "x")
		s.shutdown("a", rw)
		s.poll("a")
		s.soError("a")
		s.poll("a")
	}},
	{"reading and writing nothing", func(s *script) {
		s.pair(ip4, "127.0.0.1")
		s.write("client", "")
		s.read("peer", 0)
		s.write("client", "x")
		s.wait("peer", in)
		s.read("peer", 0)
		s.read("peer", 1)
		s.shutdown("client", wr)
		s.write("client", "")
		s.settle()
		s.read("peer", 0)
	}},
	{"MSG_PEEK leaves data, MSG_TRUNC loses them", func(s *script) {
		s.pair(ip4, "127.0.0.1")
		s.write("client", "0123456789")
		s.wait("peer", in)
		s.receive("peer", 4, 0, syscall.MSG_PEEK)
		s.receive("peer", 100, 0, syscall.MSG_PEEK)
		s.receive("peer", 4, 64, 0)
		s.poll("peer")
		n, e := s.fds["peer"].receive(&message{data: make([]byte, 3)}, syscall.MSG_TRUNC)
		s.say("lost %d %s", n, errorName(e))
		s.receive("peer", 100, 0, 0)
		s.receive("peer", 100, 0, 0)
		s.receive("peer", 100, 0, syscall.MSG_OOB)
		s.receive("peer", 100, 0, syscall.MSG_ERRQUEUE)
		s.receive("peer", 100, 0, syscall.MSG_PEEK)
	}},
	{"sending with an address on a connection, and without one", func(s *script) {
		s.pair(ip4, "127.0.0.1")
		s.send("client", "127.0.0.1@server", "x", nil, 0)
		s.send("client", "", "y", nil, syscall.MSG_MORE)
		s.send("client", "", "z", nil, 0)
		s.settle()
		s.receive("peer", 10, 0, 0)
		s.socket("alone", ip4, streams, 0)
		s.send("alone", "127.0.0.1@server", "x", nil, 0)
	}},
	{"large writes fill the buffers, and reading makes room", func(s *script) {
		s.pair(ip4, "127.0.0.1")
		big := strings.Repeat("x", 1<<20)
		total := 0
		for i := 0; i < 100; i++ {
			n, e := s.fds["client"].write([]byte(big))
			total += n
			if e != 0 {
				s.say("full: %s", errorName(e))
				break
			}
		}
		p, got := make([]byte, 1<<20), 0
		eventually(func() bool {
			n, _ := s.fds["peer"].read(p)
			got += n
			return got == total
		})
		s.say("all arrived: %v", got == total)
		s.wait("client", out)
	}},
	{"many small writes are one stream", func(s *script) {
		s.pair(ip4, "127.0.0.1")
		for range 50 {
			s.fds["client"].write([]byte("0123456789"))
		}
		p, got := make([]byte, 100), ""
		eventually(func() bool {
			n, _ := s.fds["peer"].read(p)
			got += string(p[:n])
			return len(got) == 500
		})
		s.say("%q", got)
	}},
	{"a connection has its listener's options", func(s *script) {
		for _, d := range []int{ip4, ip6} {
			at := map[int]string{ip4: "127.0.0.1", ip6: "::1"}[d]
			s.socket("server", d, streams, 0)
			list := []struct{ level, name, value int }{
				{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1}, {syscall.SOL_SOCKET, syscall.SO_RCVBUF, 50000}, {syscall.SOL_SOCKET, syscall.SO_SNDBUF, 60000},
				{syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1}, {syscall.SOL_SOCKET, syscall.SO_PRIORITY, 3},
				{syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1}, {syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 17}, {syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 18},
				{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 19}, {syscall.IPPROTO_TCP, 18, 5000}, {syscall.IPPROTO_TCP, syscall.TCP_LINGER2, 20},
				{syscall.IPPROTO_TCP, 25, 1000},
			}
			if d == ip4 {
				list = append(list, []struct{ level, name, value int }{{syscall.IPPROTO_IP, syscall.IP_TOS, 0x20}, {syscall.IPPROTO_IP, syscall.IP_TTL, 33}}...)
			} else {
				list = append(list, []struct{ level, name, value int }{{syscall.IPPROTO_IPV6, syscall.IPV6_UNICAST_HOPS, 33}}...)
			}
			for _, o := range list {
				s.setInt("server", o.level, o.name, o.value)
			}
			s.set("server", syscall.SOL_SOCKET, syscall.SO_LINGER, []byte{1, 0, 0, 0, 7, 0, 0, 0})
			s.bind("server", netip.AddrPortFrom(netip.MustParseAddr(at), 0).String())
			s.listen("server", 5)
			s.socket("client", d, streams, 0)
			s.connect("client", at+"@server")
			s.wait("server", in)
			s.accept("server", "peer")
			for _, o := range list {
				s.get("peer", o.level, o.name, 4)
			}
			s.get("peer", syscall.SOL_SOCKET, syscall.SO_LINGER, 8)
			s.get("client", syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 4)
			s.get("client", syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 4)
		}
	}},
	{"options of a connection", func(s *script) {
		s.pair(ip4, "127.0.0.1")
		s.setInt("client", syscall.IPPROTO_TCP, syscall.TCP_WINDOW_CLAMP, 0)
		s.setInt("client", syscall.IPPROTO_TCP, 30, 1)
		s.setInt("client", syscall.IPPROTO_IPV6, syscall.IPV6_V6ONLY, 1)
		s.set("client", syscall.IPPROTO_TCP, syscall.TCP_CONGESTION, []byte("reno"))
		s.get("client", syscall.IPPROTO_TCP, syscall.TCP_CONGESTION, 16)
		s.get("client", syscall.IPPROTO_TCP, syscall.TCP_CONGESTION, 3)
		s.set("client", syscall.IPPROTO_TCP, syscall.TCP_CONGESTION, []byte("nonesuch"))
		s.set("client", syscall.IPPROTO_TCP, syscall.TCP_CONGESTION, nil)
		s.set("client", syscall.IPPROTO_TCP, 31, []byte("tls\x00"))
		s.get("client", syscall.IPPROTO_IP, 14, 4)
		v, e := s.fds["client"].getOption(syscall.IPPROTO_TCP, syscall.TCP_INFO, 104)
		s.say("struct tcp_info: %d bytes, state %d, %s", len(v), v[0], errorName(e))
		v, e = s.fds["server"].getOption(syscall.IPPROTO_TCP, syscall.TCP_INFO, 2)
		s.say("of a listener: %d bytes, state %d, %s", len(v), v[0], errorName(e))
		for _, n := range []int{0, 1, 2, 3} {
			s.get("client", syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, n)
			s.set("client", syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, make([]byte, n))
			s.set("client", syscall.IPPROTO_TCP, syscall.TCP_NODELAY, make([]byte, n))
			s.get("client", syscall.IPPROTO_TCP, syscall.TCP_NODELAY, n)
			s.set("client", syscall.IPPROTO_IP, syscall.IP_TTL, []byte{9, 0, 0, 0}[:n])
			s.get("client", syscall.IPPROTO_IP, syscall.IP_TTL, n)
		}
		s.get("client", syscall.SOL_SOCKET, syscall.SO_LINGER, 4)
		s.set("client", syscall.SOL_SOCKET, syscall.SO_LINGER, []byte{1, 0, 0, 0})
		for _, n := range []int{16, 2, 17} {
			v, e := s.fds["client"].getOption(syscall.SOL_SOCKET, unix.SO_PEERNAME, n)
			s.say("SO_PEERNAME of %d: %d bytes, %s", n, len(v), errorName(e))
		}
		s.set("client", syscall.SOL_SOCKET, syscall.SO_BINDTODEVICE, []byte("nonesuch\x00"))
		s.get("client", syscall.SOL_SOCKET, syscall.SO_BINDTODEVICE, 16)
		s.set("client", syscall.SOL_SOCKET, syscall.SO_BINDTODEVICE, []byte("lo"))
		s.get("client", syscall.SOL_SOCKET, syscall.SO_BINDTODEVICE, 16)
		s.get("client", syscall.SOL_SOCKET, syscall.SO_BINDTODEVICE, 15)
		s.set("client", syscall.SOL_SOCKET, syscall.SO_BINDTODEVICE, []byte{0})
		s.get("client", syscall.SOL_SOCKET, syscall.SO_BINDTODEVICE, 16)
		s.get("client", 12345, 1, 4)
		s.setInt("client", 12345, 1, 4)
	}},
	{"urgent data", func(s *script) {
		s.pair(ip4, "127.0.0.1")
		s.receive("client", 1, 0, syscall.MSG_OOB)
		s.ioctl("client", 0x8905)
	}},
}
