package inet

import (
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/goshawk-os/goshawk/net/socket"
)

func TestUDP(t *testing.T) { compare(t, udpScenarios) }

// datagramPair makes "a", connected to the bound "b".
func (s *script) datagramPair(domain int, at string) {
	s.socket("b", domain, dgrams, 0)
	s.bind("b", at)
	s.socket("a", domain, dgrams, 0)
	s.connect("a", strings.Trim(strings.TrimSuffix(at, ":0"), "[]")+"@b")
}

var udpScenarios = []scenario{
	{"a fresh socket is writable, and has neither names nor a destination", func(s *script) {
		for _, d := range []int{ip4, ip6} {
			s.socket("a", d, dgrams, 0)
			s.poll("a")
			s.names("a")
			s.write("a", "x")
			s.read("a", 10)
			s.shutdown("a", rd)
			s.listen("a", 1)
			s.accept("a", "b")
			s.soError("a")
		}
	}},
	{"datagrams keep their borders and say where they are from", func(s *script) {
		s.datagramPair(ip4, "127.0.0.1:0")
		s.names("a")
		s.names("b")
		s.write("a", "one")
		s.write("a", "")
		s.write("a", "three")
		s.wait("b", in)
		s.receive("b", 100, 0, 0)
		s.receive("b", 100, 0, 0)
		s.receive("b", 2, 0, 0)
		s.receive("b", 100, 0, 0)
		s.poll("b")
		s.write("b", "x")
		s.send("b", "127.0.0.1@a", "answer", nil, 0)
		s.wait("a", in)
		s.read("a", 100)
		s.read("a", 100)
	}},
	{"over IPv6", func(s *script) {
		s.datagramPair(ip6, "[::1]:0")
		s.names("a")
		s.write("a", "one")
		s.wait("b", in)
		s.receive("b", 100, 0, 0)
	}},
	{"a dual-stack socket hears IPv4 and answers it", func(s *script) {
		s.socket("b", ip6, dgrams, 0)
		s.bind("b", "[::]:0")
		s.socket("a", ip4, dgrams, 0)
		s.bind("a", "127.0.0.1:0")
		s.send("a", "127.0.0.1@b", "hello", nil, 0)
		s.wait("b", in)
		s.receive("b", 100, 0, 0)
		s.send("b", "::ffff:127.0.0.1@a", "six", nil, 0)
		s.wait("a", in)
		s.receive("a", 100, 0, 0)
		m := message{data: []byte("four"), name: s.resolve(ip4, "127.0.0.1@a")}
		n, e := s.fds["b"].send(&m, 0)
		s.say("plain IPv4 destination: %d %s", n, errorName(e))
		s.setInt("b", syscall.IPPROTO_IPV6, syscall.IPV6_V6ONLY, 1)
		s.socket("c", ip6, dgrams, 0)
		s.setInt("c", syscall.IPPROTO_IPV6, syscall.IPV6_V6ONLY, 1)
		s.send("c", "::ffff:127.0.0.1@a", "x", nil, 0)
		s.connect("c", "::ffff:127.0.0.1@a")
	}},
	{"cut datagrams, and how long they were", func(s *script) {
		s.datagramPair(ip4, "127.0.0.1:0")
		for range 3 {
			s.write("a", "0123456789")
		}
		s.wait("b", in)
		s.settle()
		s.receive("b", 4, 0, syscall.MSG_PEEK)
		s.receive("b", 4, 0, syscall.MSG_TRUNC|syscall.MSG_PEEK)
		s.receive("b", 4, 0, syscall.MSG_TRUNC)
		s.read("b", 4)
		s.read("b", 0)
		s.receive("b", 0, 0, 0)
		s.poll("b")
		s.receive("b", 10, 0, syscall.MSG_OOB)
	}},
	{"a port without a socket: the error comes back once", func(s *script) {
		s.socket("gone", ip4, dgrams, 0)
		s.bind("gone", "127.0.0.1:0")
		s.socket("a", ip4, dgrams, 0)
		s.connect("a", "127.0.0.1@gone")
		s.close("gone")
		s.write("a", "x")
		s.wait("a", socket.Err)
		s.poll("a")
		s.soError("a")
		s.poll("a")
		s.write("a", "x")
		s.settle()
		s.read("a", 1)
		s.read("a", 1)
		s.write("a", "x")
		s.settle()
		s.write("a", "x")
		s.settle()
		s.soError("a")
	}},
	{"over IPv6 too", func(s *script) {
		s.socket("gone", ip6, dgrams, 0)
		s.bind("gone", "[::1]:0")
		s.socket("a", ip6, dgrams, 0)
		s.connect("a", "::1@gone")
		s.close("gone")
		s.write("a", "x")
		s.wait("a", socket.Err)
		s.read("a", 1)
		s.read("a", 1)
	}},
	{"an unconnected socket does not hear of such errors", func(s *script) {
		s.socket("gone", ip4, dgrams, 0)
		s.bind("gone", "127.0.0.1:0")
		s.socket("a", ip4, dgrams, 0)
		a := s.resolve(ip4, "127.0.0.1@gone")
		s.close("gone")
		m := message{data: []byte("x"), name: a}
		_, e := s.fds["a"].send(&m, 0)
		s.say("send: %s", errorName(e))
		s.poll("a")
		s.soError("a")
		s.read("a", 1)
	}},
	{"the error queue of a connected socket", func(s *script) {
		s.socket("gone", ip4, dgrams, 0)
		s.bind("gone", "127.0.0.1:0")
		s.socket("a", ip4, dgrams, 0)
		s.setInt("a", syscall.IPPROTO_IP, syscall.IP_RECVERR, 1)
		s.get("a", syscall.IPPROTO_IP, syscall.IP_RECVERR, 4)
		s.connect("a", "127.0.0.1@gone")
		a, _ := s.fds["gone"].local()
		s.ports = append(s.ports, namedPort{port(a), false, "gone"})
		s.close("gone")
		s.receive("a", 100, 256, syscall.MSG_ERRQUEUE)
		s.write("a", "lost")
		s.wait("a", socket.Err)
		s.receive("a", 100, 256, syscall.MSG_ERRQUEUE)
		s.soError("a")
		s.receive("a", 100, 256, syscall.MSG_ERRQUEUE)
		s.poll("a")
	}},
	{"the error queue over IPv6", func(s *script) {
		s.socket("gone", ip6, dgrams, 0)
		s.bind("gone", "[::1]:0")
		s.socket("a", ip6, dgrams, 0)
		s.setInt("a", syscall.IPPROTO_IPV6, syscall.IPV6_RECVERR, 1)
		s.connect("a", "::1@gone")
		a, _ := s.fds["gone"].local()
		s.ports = append(s.ports, namedPort{port(a), false, "gone"})
		s.close("gone")
		s.write("a", "lost")
		s.wait("a", socket.Err)
		s.receive("a", 100, 256, syscall.MSG_ERRQUEUE)
		s.receive("a", 100, 256, syscall.MSG_ERRQUEUE)
	}},
	{"a connected socket hears only its peer", func(s *script) {
		s.datagramPair(ip4, "127.0.0.1:0")
		s.socket("c", ip4, dgrams, 0)
		s.send("c", "127.0.0.1@a", "stranger", nil, 0)
		s.send("b", "127.0.0.1@a", "friend", nil, 0)
		s.wait("a", in)
		s.read("a", 100)
		s.read("a", 100)
	}},
	{"connecting elsewhere, and to nobody", func(s *script) {
		s.datagramPair(ip4, "127.0.0.1:0")
		s.socket("c", ip4, dgrams, 0)
		s.bind("c", "127.0.0.1:0")
		s.connect("a", "127.0.0.1@c")
		s.names("a")
		s.write("a", "x")
		s.wait("c", in)
		s.read("c", 5)
		s.say("disconnect: %s", errorName(s.fds["a"].connect(make([]byte, 16))))
		s.write("a", "x")
		s.say("disconnect: %s", errorName(s.fds["a"].connect(make([]byte, 16))))
		s.connect("b", "127.0.0.1@c")
		s.say("disconnect: %s", errorName(s.fds["b"].connect(make([]byte, 16))))
	}},
	{"destinations that cannot be", func(s *script) {
		s.socket("a", ip4, dgrams, 0)
		s.send("a", "127.0.0.1:0", "x", nil, 0)
		s.socket("b", ip6, dgrams, 0)
		s.send("b", "[::1]:0", "x", nil, 0)
		s.connect("b", "[fe80::1]:9")
		s.connect("b", "[ff02::1]:9")
	}},
	{"addresses to bind to", func(s *script) {
		for _, to := range []string{"192.0.2.1:0", "224.0.0.251:0", "127.0.0.2:0", "0.0.0.0:0"} {
			s.socket("a", ip4, dgrams, 0)
			s.bind("a", to)
			s.names("a")
			s.bind("a", "127.0.0.1:0")
		}
		for _, to := range []string{"[2001:db8::1]:0", "[ff02::fb%1]:0", "[ff02::fb]:0", "[fe80::1]:0", "[::ffff:127.0.0.1]:0", "[::]:0"} {
			s.socket("a", ip6, dgrams, 0)
			s.bind("a", to)
			s.names("a")
		}
	}},
	{"struct sockaddr of a wrong length or family", func(s *script) {
		for _, d := range []int{ip4, ip6} {
			s.socket("a", d, dgrams, 0)
			full := sockaddr(d, map[int]string{ip4: "127.0.0.1:9", ip6: "[::1]:9"}[d])
			for _, n := range []int{1, 2, 8, 15, 16, 23, 24} {
				m := message{data: []byte("x"), name: full[:min(n, len(full))]}
				_, e := s.fds["a"].send(&m, 0)
				s.say("send with %d: %s", n, errorName(e))
				if n < 16 || d == ip6 && n < 24 {
					s.say("connect with %d: %s", n, errorName(s.fds["a"].connect(full[:n])))
				}
			}
			for _, f := range []byte{1, 77} {
				b := append(append([]byte(nil), full...), make([]byte, 12)...)
				b[0] = f
				m := message{data: []byte("x"), name: b}
				_, e := s.fds["a"].send(&m, 0)
				s.say("send to family %d: %s, connect: %s", f, errorName(e), errorName(s.fds["a"].connect(b)))
			}
		}
	}},
	{"the largest datagram, and larger ones", func(s *script) {
		s.datagramPair(ip4, "127.0.0.1:0")
		for _, n := range []int{65507, 65508, 70000} {
			got, e := s.fds["a"].write(make([]byte, n))
			s.say("%d: %d %s", n, got, errorName(e))
		}
		s.wait("b", in)
		n, e := s.fds["b"].read(make([]byte, 100000))
		s.say("read: %d %s", n, errorName(e))
		s.datagramPair(ip6, "[::1]:0")
		for _, n := range []int{65527, 65528} {
			got, e := s.fds["a"].write(make([]byte, n))
			s.say("%d: %d %s", n, got, errorName(e))
		}
	}},
	{"sharing a port", func(s *script) {
		s.socket("a", ip4, dgrams, 0)
		s.bind("a", "127.0.0.1:0")
		s.socket("b", ip4, dgrams, 0)
		s.bind("b", "127.0.0.1@a")
		s.bind("b", "127.0.0.2@a")
		for _, option := range []int{syscall.SO_REUSEADDR, unix.SO_REUSEPORT} {
			s.socket("c", ip4, dgrams, 0)
			s.setInt("c", syscall.SOL_SOCKET, option, 1)
			s.bind("c", "127.0.0.1:0")
			s.socket("d", ip4, dgrams, 0)
			s.bind("d", "127.0.0.1@c")
			s.setInt("d", syscall.SOL_SOCKET, option, 1)
			s.bind("d", "127.0.0.1@c")
		}
	}},
	{"nothing is sent once writing was shut down", func(s *script) {
		s.datagramPair(ip4, "127.0.0.1:0")
		tos := controlMessage(syscall.IPPROTO_IP, syscall.IP_TOS, cint(8))
		s.shutdown("a", wr)
		s.send("a", "", "x", tos, 0)
		s.send("a", "", "x", nil, syscall.MSG_MORE)
		s.send("a", "", "x", nil, 0)
		s.socket("c", ip4, dgrams, 0)
		s.shutdown("c", wr)
		s.send("c", "127.0.0.1@b", "x", nil, 0)
		s.send("c", "127.0.0.1@b", "x", tos, 0)
		s.poll("b")
	}},
	{"shutting down a connected socket", func(s *script) {
		s.datagramPair(ip4, "127.0.0.1:0")
		s.shutdown("a", wr)
		s.write("a", "x")
		s.poll("a")
		s.shutdown("a", rd)
		s.poll("a")
		s.shutdown("b", rw)
		s.poll("b")
	}},
}
