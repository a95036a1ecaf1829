package inet

import (
	"syscall"
	"testing"

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

func TestTCPConnections(t *testing.T) { compare(t, tcpConnectionScenarios) }

var tcpConnectionScenarios = []scenario{
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
}
