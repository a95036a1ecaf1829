package inet

import (
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTCPData(t *testing.T) { compare(t, tcpDataScenarios) }

var tcpDataScenarios = []scenario{
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
