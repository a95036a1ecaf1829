package inet

import (
	"syscall"
	"testing"

	"github.com/goshawk-os/goshawk/net/socket"
)

func TestTCPPorts(t *testing.T) { compare(t, tcpPortScenarios) }

var tcpPortScenarios = []scenario{
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
			s.settle() // they are handed over in the order of their last segments
		}
		s.socket("c", ip4, streams, 0)
		s.connect("c", "127.0.0.1@server")
		s.poll("c")
		s.connect("c", "127.0.0.1@server")
		s.accept("server", "x")
		s.accept("server", "y")
	}},
}
