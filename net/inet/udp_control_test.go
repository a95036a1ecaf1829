package inet

import (
	"encoding/binary"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/goshawk-os/goshawk/net/socket"
)

func TestUDPControl(t *testing.T) { compare(t, udpControlScenarios) }

// controlMessage returns a struct cmsghdr with data.
func controlMessage(level, kind int, data []byte) []byte {
	m := socket.Message{Control: make([]byte, 0, 256)}
	m.AppendControl(level, kind, data)
	return m.Control
}

var udpControlScenarios = []scenario{
	{"what the IP header of a datagram said", func(s *script) {
		s.datagramPair(ip4, "127.0.0.1:0")
		for _, o := range []int{syscall.IP_PKTINFO, syscall.IP_RECVTTL, syscall.IP_RECVTOS, unix.IP_RECVORIGDSTADDR} {
			s.setInt("b", syscall.IPPROTO_IP, o, 1)
			s.get("b", syscall.IPPROTO_IP, o, 4)
		}
		s.write("a", "default")
		s.setInt("a", syscall.IPPROTO_IP, syscall.IP_TTL, 7)
		s.setInt("a", syscall.IPPROTO_IP, syscall.IP_TOS, 0x2e<<2|1)
		s.write("a", "set")
		s.wait("b", in)
		s.settle()
		for range 2 {
			m := message{data: make([]byte, 100), control: make([]byte, 256)}
			_, e := s.fds["b"].receive(&m, 0)
			s.say("%s", errorName(e))
			for b := m.control; ; {
				level, kind, data, rest, ok, _ := socket.NextControl(b)
				if !ok {
					break
				}
				if kind == unix.IP_RECVORIGDSTADDR {
					s.say("  %d %d: %s", level, kind, s.text("b", data))
				} else {
					s.say("  %d %d: %v", level, kind, data)
				}
				b = rest
			}
		}
	}},
	{"what the IPv6 header of a datagram said", func(s *script) {
		s.datagramPair(ip6, "[::1]:0")
		for _, o := range []int{unix.IPV6_RECVPKTINFO, unix.IPV6_RECVHOPLIMIT, unix.IPV6_RECVTCLASS} {
			s.setInt("b", syscall.IPPROTO_IPV6, o, 1)
			s.get("b", syscall.IPPROTO_IPV6, o, 4)
		}
		s.write("a", "default")
		s.setInt("a", syscall.IPPROTO_IPV6, syscall.IPV6_UNICAST_HOPS, 7)
		s.setInt("a", syscall.IPPROTO_IPV6, unix.IPV6_TCLASS, 0xb9)
		s.write("a", "set")
		s.wait("b", in)
		s.settle()
		s.receive("b", 100, 256, 0)
		s.receive("b", 100, 256, 0)
	}},
	{"and of an IPv4 datagram on a dual-stack socket", func(s *script) {
		s.socket("b", ip6, dgrams, 0)
		s.bind("b", "[::]:0")
		for _, o := range []int{unix.IPV6_RECVPKTINFO, unix.IPV6_RECVHOPLIMIT, unix.IPV6_RECVTCLASS} {
			s.setInt("b", syscall.IPPROTO_IPV6, o, 1)
		}
		s.socket("a", ip4, dgrams, 0)
		s.send("a", "127.0.0.1@b", "x", nil, 0)
		s.wait("b", in)
		s.receive("b", 100, 256, 0)
		s.setInt("b", syscall.IPPROTO_IP, syscall.IP_RECVTOS, 1)
		s.setInt("b", syscall.IPPROTO_IP, syscall.IP_PKTINFO, 1)
		s.send("a", "127.0.0.1@b", "x", nil, 0)
		s.wait("b", in)
		s.receive("b", 100, 256, 0)
	}},
	{"too little room for control messages", func(s *script) {
		s.datagramPair(ip4, "127.0.0.1:0")
		s.setInt("b", syscall.IPPROTO_IP, syscall.IP_PKTINFO, 1)
		s.setInt("b", syscall.IPPROTO_IP, syscall.IP_RECVTTL, 1)
		for _, room := range []int{0, 8, 16, 20, 28, 32, 40, 52, 56} {
			s.write("a", "x")
			s.wait("b", in)
			s.receive("b", 10, room, 0)
		}
	}},
	{"control messages choose source, hop limit and class of a datagram", func(s *script) {
		s.socket("b", ip4, dgrams, 0)
		s.bind("b", "0.0.0.0:0")
		for _, o := range []int{syscall.IP_PKTINFO, syscall.IP_RECVTTL, syscall.IP_RECVTOS} {
			s.setInt("b", syscall.IPPROTO_IP, o, 1)
		}
		s.socket("a", ip4, dgrams, 0)
		s.bind("a", "0.0.0.0:0")
		info := make([]byte, 12)
		copy(info[4:], []byte{127, 0, 0, 5})
		s.send("a", "127.0.0.1@b", "from another address", controlMessage(syscall.IPPROTO_IP, syscall.IP_PKTINFO, info), 0)
		s.wait("b", in)
		s.receive("b", 100, 256, 0)
		c := append(controlMessage(syscall.IPPROTO_IP, syscall.IP_TTL, cint(9)), controlMessage(syscall.IPPROTO_IP, syscall.IP_TOS, cint(0x41))...)
		s.send("a", "127.0.0.1@b", "ttl and tos", c, 0)
		s.wait("b", in)
		s.receive("b", 100, 256, 0)
		copy(info[4:], []byte{192, 0, 2, 1})
		s.send("a", "127.0.0.1@b", "not ours", controlMessage(syscall.IPPROTO_IP, syscall.IP_PKTINFO, info), 0)
		for _, v := range []int{0, -1, 256} {
			s.send("a", "127.0.0.1@b", "bad ttl", controlMessage(syscall.IPPROTO_IP, syscall.IP_TTL, cint(v)), 0)
		}
		s.send("a", "127.0.0.1@b", "bad kind", controlMessage(syscall.IPPROTO_IP, 99, cint(1)), 0)
		s.send("a", "127.0.0.1@b", "bad length", controlMessage(syscall.IPPROTO_IP, syscall.IP_PKTINFO, cint(1)), 0)
		broken := controlMessage(syscall.IPPROTO_IP, syscall.IP_TTL, cint(9))
		binary.NativeEndian.PutUint64(broken, 8)
		s.send("a", "127.0.0.1@b", "bad header", broken, 0)
		binary.NativeEndian.PutUint64(broken, 800)
		s.send("a", "127.0.0.1@b", "bad header", broken, 0)
		s.send("a", "127.0.0.1@b", "bad socket level", controlMessage(syscall.SOL_SOCKET, 99, cint(1)), 0)
		s.send("a", "127.0.0.1@b", "unknown level", controlMessage(77, 99, cint(1)), 0)
	}},
	{"control messages over IPv6", func(s *script) {
		s.socket("b", ip6, dgrams, 0)
		s.bind("b", "[::]:0")
		for _, o := range []int{unix.IPV6_RECVPKTINFO, unix.IPV6_RECVHOPLIMIT, unix.IPV6_RECVTCLASS} {
			s.setInt("b", syscall.IPPROTO_IPV6, o, 1)
		}
		s.socket("a", ip6, dgrams, 0)
		s.bind("a", "[::]:0")
		info := make([]byte, 20)
		info[15] = 1
		c := append(controlMessage(syscall.IPPROTO_IPV6, unix.IPV6_PKTINFO, info), controlMessage(syscall.IPPROTO_IPV6, unix.IPV6_HOPLIMIT, cint(9))...)
		s.send("a", "::1@b", "x", append(c, controlMessage(syscall.IPPROTO_IPV6, unix.IPV6_TCLASS, cint(0x41))...), 0)
		s.wait("b", in)
		s.receive("b", 100, 256, 0)
		info[16] = 1
		s.send("a", "::1@b", "with an interface", controlMessage(syscall.IPPROTO_IPV6, unix.IPV6_PKTINFO, info), 0)
		s.wait("b", in)
		s.receive("b", 100, 256, 0)
		mapped := make([]byte, 20)
		copy(mapped, []byte{10: 0xff, 11: 0xff, 12: 127, 13: 0, 14: 0, 15: 7})
		s.send("a", "::ffff:127.0.0.1@b", "mapped", controlMessage(syscall.IPPROTO_IPV6, unix.IPV6_PKTINFO, mapped), 0)
		s.wait("b", in)
		s.receive("b", 100, 256, 0)
		info[15] = 99
		s.send("a", "::1@b", "not ours", controlMessage(syscall.IPPROTO_IPV6, unix.IPV6_PKTINFO, info), 0)
		for _, v := range []int{-2, 256} {
			s.send("a", "::1@b", "bad hop limit", controlMessage(syscall.IPPROTO_IPV6, unix.IPV6_HOPLIMIT, cint(v)), 0)
			s.send("a", "::1@b", "bad class", controlMessage(syscall.IPPROTO_IPV6, unix.IPV6_TCLASS, cint(v)), 0)
		}
	}},
	{"a datagram in parts: MSG_MORE and UDP_CORK", func(s *script) {
		s.datagramPair(ip4, "127.0.0.1:0")
		s.send("a", "", "one ", nil, syscall.MSG_MORE)
		s.send("a", "", "two", nil, 0)
		s.wait("b", in)
		s.receive("b", 100, 0, 0)
		s.setInt("a", syscall.IPPROTO_UDP, unix.UDP_CORK, 1)
		s.get("a", syscall.IPPROTO_UDP, unix.UDP_CORK, 4)
		s.write("a", "three ")
		s.write("a", "four")
		s.poll("b")
		s.setInt("a", syscall.IPPROTO_UDP, unix.UDP_CORK, 0)
		s.wait("b", in)
		s.receive("b", 100, 0, 0)
		s.socket("c", ip4, dgrams, 0)
		s.send("c", "", "x", nil, syscall.MSG_MORE)
		s.send("c", "127.0.0.1@b", "five ", nil, syscall.MSG_MORE)
		s.send("c", "", "six", nil, 0)
		s.wait("b", in)
		s.receive("b", 100, 0, 0)
	}},
	{"one write of several datagrams: UDP_SEGMENT", func(s *script) {
		s.datagramPair(ip4, "127.0.0.1:0")
		s.get("a", syscall.IPPROTO_UDP, unix.UDP_SEGMENT, 4)
		s.send("a", "", "0123456789", controlMessage(syscall.IPPROTO_UDP, unix.UDP_SEGMENT, []byte{4, 0}), 0)
		s.wait("b", in)
		s.settle()
		for range 4 {
			s.receive("b", 100, 0, 0)
		}
		s.setInt("a", syscall.IPPROTO_UDP, unix.UDP_SEGMENT, 5)
		s.get("a", syscall.IPPROTO_UDP, unix.UDP_SEGMENT, 4)
		s.write("a", "0123456789ab")
		s.wait("b", in)
		s.settle()
		for range 4 {
			s.receive("b", 100, 0, 0)
		}
		s.setInt("a", syscall.IPPROTO_UDP, unix.UDP_SEGMENT, 70000)
		s.setInt("a", syscall.IPPROTO_UDP, unix.UDP_SEGMENT, -1)
		s.setInt("b", syscall.IPPROTO_UDP, unix.UDP_GRO, 1)
		s.get("b", syscall.IPPROTO_UDP, unix.UDP_GRO, 4)
		s.send("a", "", "x", controlMessage(syscall.IPPROTO_UDP, unix.UDP_SEGMENT, cint(4)), 0)
	}},
	{"when datagrams arrived", func(s *script) {
		s.datagramPair(ip4, "127.0.0.1:0")
		for _, o := range []int{syscall.SO_TIMESTAMP, syscall.SO_TIMESTAMPNS, unix.SO_TIMESTAMPING} {
			v := 1
			if o == unix.SO_TIMESTAMPING {
				v = unix.SOF_TIMESTAMPING_RX_SOFTWARE | unix.SOF_TIMESTAMPING_SOFTWARE
			}
			s.setInt("b", syscall.SOL_SOCKET, o, v)
			s.get("b", syscall.SOL_SOCKET, o, 4)
			s.settle() // Linux begins to take the time a little later
			s.write("a", "x")
			s.wait("b", in)
			m := message{data: make([]byte, 10), control: make([]byte, 256)}
			s.fds["b"].receive(&m, 0)
			for b := m.control; ; {
				level, kind, data, rest, ok, _ := socket.NextControl(b)
				if !ok {
					break
				}
				s.say("  %d %d of %d bytes, later than 2001: %v", level, kind, len(data), binary.NativeEndian.Uint64(data) > 1e9)
				b = rest
			}
			s.setInt("b", syscall.SOL_SOCKET, o, 0)
		}
	}},
	{"multicast to a group on the loopback", func(s *script) {
		s.socket("b", ip4, dgrams, 0)
		s.bind("b", "0.0.0.0:0")
		s.setInt("b", syscall.IPPROTO_IP, syscall.IP_PKTINFO, 1)
		req := []byte{224, 0, 0, 200, 0, 0, 0, 0, 1, 0, 0, 0}
		s.set("b", syscall.IPPROTO_IP, syscall.IP_DROP_MEMBERSHIP, req)
		s.set("b", syscall.IPPROTO_IP, syscall.IP_ADD_MEMBERSHIP, req)
		s.set("b", syscall.IPPROTO_IP, syscall.IP_ADD_MEMBERSHIP, req)
		s.socket("a", ip4, dgrams, 0)
		s.bind("a", "127.0.0.1:0")
		s.set("a", syscall.IPPROTO_IP, syscall.IP_MULTICAST_IF, req)
		s.send("a", "224.0.0.200@b", "hello", nil, 0)
		s.wait("b", in)
		s.receive("b", 100, 256, 0)
		s.set("b", syscall.IPPROTO_IP, syscall.IP_DROP_MEMBERSHIP, req)
		s.send("a", "224.0.0.200@b", "gone", nil, 0)
		s.poll("b")
		for _, bad := range [][]byte{{10, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0}, {224, 0, 0, 200, 0, 0, 0, 0, 99, 0, 0, 0}, {224, 0, 0, 200, 192, 0, 2, 1}, {224, 0, 0}} {
			s.set("b", syscall.IPPROTO_IP, syscall.IP_ADD_MEMBERSHIP, bad)
		}
	}},
	{"groups by the protocol-independent options, with sources", func(s *script) {
		s.socket("b", ip4, dgrams, 0)
		s.bind("b", "0.0.0.0:0")
		group := func(source string) []byte {
			v := make([]byte, 8+128)
			v[0] = 1
			copy(v[8:], sockaddr(ip4, "224.0.0.201:0"))
			if source != "" {
				v = append(v, make([]byte, 128)...)
				copy(v[136:], sockaddr(ip4, source+":0"))
			}
			return v
		}
		set := func(name string, option int, v []byte) {
			s.say("%s: %s", name, errorName(s.fds["b"].setOption(syscall.IPPROTO_IP, option, v)))
		}
		set("join a source", unix.MCAST_JOIN_SOURCE_GROUP, group("127.0.0.2"))
		set("again", unix.MCAST_JOIN_SOURCE_GROUP, group("127.0.0.2"))
		s.socket("a", ip4, dgrams, 0)
		s.bind("a", "127.0.0.1:0")
		s.set("a", syscall.IPPROTO_IP, syscall.IP_MULTICAST_IF, []byte{0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0})
		s.send("a", "224.0.0.201@b", "unwanted", nil, 0)
		s.settle()
		s.read("b", 100)
		set("join another", unix.MCAST_JOIN_SOURCE_GROUP, group("127.0.0.1"))
		s.send("a", "224.0.0.201@b", "wanted", nil, 0)
		s.wait("b", in)
		s.read("b", 100)
		set("leave the other", unix.MCAST_LEAVE_SOURCE_GROUP, group("127.0.0.1"))
		set("leave it again", unix.MCAST_LEAVE_SOURCE_GROUP, group("127.0.0.1"))
		set("leave the group", unix.MCAST_LEAVE_GROUP, group(""))
		set("leave again", unix.MCAST_LEAVE_GROUP, group(""))
		set("join", unix.MCAST_JOIN_GROUP, group(""))
		set("block", unix.MCAST_BLOCK_SOURCE, group("127.0.0.1"))
		set("block again", unix.MCAST_BLOCK_SOURCE, group("127.0.0.1"))
		s.send("a", "224.0.0.201@b", "blocked", nil, 0)
		s.settle()
		s.read("b", 100)
		set("unblock", unix.MCAST_UNBLOCK_SOURCE, group("127.0.0.1"))
		s.send("a", "224.0.0.201@b", "heard", nil, 0)
		s.wait("b", in)
		s.read("b", 100)
		set("too short", unix.MCAST_JOIN_GROUP, group("")[:20])
	}},
	{"IPv6 groups", func(s *script) {
		s.socket("b", ip6, dgrams, 0)
		s.bind("b", "[::]:0")
		req := append(append([]byte{0xff, 0x02}, make([]byte, 13)...), 0xcc, 1, 0, 0, 0)
		s.set("b", syscall.IPPROTO_IPV6, syscall.IPV6_LEAVE_GROUP, req)
		s.set("b", syscall.IPPROTO_IPV6, syscall.IPV6_JOIN_GROUP, req)
		s.set("b", syscall.IPPROTO_IPV6, syscall.IPV6_JOIN_GROUP, req)
		s.set("b", syscall.IPPROTO_IPV6, syscall.IPV6_LEAVE_GROUP, req)
		bad := append([]byte(nil), req...)
		bad[16] = 99
		s.set("b", syscall.IPPROTO_IPV6, syscall.IPV6_JOIN_GROUP, bad)
		bad[0] = 0x20
		bad[16] = 1
		s.set("b", syscall.IPPROTO_IPV6, syscall.IPV6_JOIN_GROUP, bad)
	}},
	{"bytes that wait, by ioctl", func(s *script) {
		s.datagramPair(ip4, "127.0.0.1:0")
		s.ioctl("b", unix.SIOCINQ)
		s.write("a", "0123")
		s.write("a", "012345")
		s.wait("b", in)
		s.settle()
		s.ioctl("b", unix.SIOCINQ)
		s.read("b", 1)
		s.ioctl("b", unix.SIOCINQ)
		s.ioctl("b", unix.SIOCOUTQ)
		s.pair(ip4, "127.0.0.1")
		s.ioctl("server", unix.SIOCINQ)
		s.write("client", "0123")
		s.wait("peer", in)
		s.ioctl("peer", unix.SIOCINQ)
		s.ioctl("peer", 0x8905)
		s.ioctl("peer", 0x5401)
	}},
}

// ioctl logs a request that answers an int.
func (s *script) ioctl(name string, request uint) {
	v := new(int32)
	e := s.fds[name].ioctl(request, pointerTo(v))
	s.say("ioctl %s %#x: %d %s", name, request, *v, errorName(e))
}
