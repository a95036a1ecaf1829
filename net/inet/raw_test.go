package inet

import (
	"bytes"
	"encoding/binary"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/goshawk-os/goshawk/net/socket"
)

// bothMachines runs f on Linux, if the test may use it so, and on ours.
func bothMachines(t *testing.T, f func(t *testing.T, m machine)) {
	t.Run("linux", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("raw sockets need root on Linux")
		}
		f(t, linux{})
	})
	t.Run("ours", func(t *testing.T) { f(t, ours{newStack(t)}) })
}

// open opens a socket that must be there.
func open(t *testing.T, m machine, domain, kind, protocol int) fd {
	f, e := m.socket(domain, kind, protocol)
	require.Zero(t, e)
	t.Cleanup(f.close)
	return f
}

// echo4 returns an ICMP echo request with its checksum.
func echo4(id uint16, data string) []byte {
	h := append(make([]byte, header.ICMPv4MinimumSize), data...)
	icmp := header.ICMPv4(h)
	icmp.SetType(header.ICMPv4Echo)
	icmp.SetIdent(id)
	icmp.SetSequence(1)
	icmp.SetChecksum(^checksum.Checksum(h, 0))
	return h
}

// until reads messages until one satisfies is, and returns it.
func until(t *testing.T, f fd, is func(m *message) bool) *message {
	var found *message
	require.True(t, eventually(func() bool {
		for {
			m := &message{data: make([]byte, 2000), name: make([]byte, 128), control: make([]byte, 256)}
			n, e := f.receive(m, 0)
			if e != 0 {
				return false
			}
			m.data = m.data[:n]
			if is(m) {
				found = m
				return true
			}
		}
	}))
	return found
}

func TestRawICMP(t *testing.T) {
	bothMachines(t, func(t *testing.T, m machine) {
		f := open(t, m, ip4, syscall.SOCK_RAW, syscall.IPPROTO_ICMP)
		a, e := f.local()
		require.Zero(t, e)
		assert.Equal(t, []byte{2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, a, "the protocol stands for the port")
		n, e := f.send(&message{data: echo4(77, "raw"), name: sockaddr(ip4, "127.0.0.1:0")}, 0)
		require.Zero(t, e)
		assert.Equal(t, 11, n)
		reply := until(t, f, func(m *message) bool {
			return len(m.data) == 31 && m.data[20] == byte(header.ICMPv4EchoReply) && string(m.data[28:]) == "raw"
		})
		assert.Equal(t, byte(0x45), reply.data[0], "an IPv4 header comes first")
		assert.Equal(t, sockaddr(ip4, "127.0.0.1:0"), reply.name)

		// ICMP_FILTER hides echo replies.
		require.Zero(t, f.setOption(solRaw, icmpFilter, cint(1<<header.ICMPv4EchoReply)))
		_, e = f.send(&message{data: echo4(77, "hidden"), name: sockaddr(ip4, "127.0.0.1:0")}, 0)
		require.Zero(t, e)
		until(t, f, func(m *message) bool {
			require.NotEqual(t, byte(header.ICMPv4EchoReply), m.data[20])
			return string(m.data[28:]) == "hidden"
		})
	})
}

func TestRawHeaderIncluded(t *testing.T) {
	bothMachines(t, func(t *testing.T, m machine) {
		in := open(t, m, ip4, syscall.SOCK_RAW, syscall.IPPROTO_ICMP)
		out := open(t, m, ip4, syscall.SOCK_RAW, syscall.IPPROTO_RAW)
		v, e := out.getOption(syscall.IPPROTO_IP, syscall.IP_HDRINCL, 4)
		require.Zero(t, e)
		assert.Equal(t, cint(1), v)
		packet := append(make([]byte, header.IPv4MinimumSize), echo4(78, "header included")...)
		h := header.IPv4(packet)
		h.Encode(&header.IPv4Fields{TotalLength: uint16(len(packet)), TTL: 17, Protocol: syscall.IPPROTO_ICMP,
			SrcAddr: header.IPv4Loopback, DstAddr: header.IPv4Loopback})
		h.SetChecksum(^h.CalculateChecksum())
		_, e = out.send(&message{data: packet, name: sockaddr(ip4, "127.0.0.1:0")}, 0)
		require.Zero(t, e)
		got := until(t, in, func(m *message) bool {
			return m.data[20] == byte(header.ICMPv4Echo) && string(m.data[28:]) == "header included"
		})
		assert.Equal(t, byte(17), got.data[8])
		until(t, in, func(m *message) bool {
			return m.data[20] == byte(header.ICMPv4EchoReply) && string(m.data[28:]) == "header included"
		})
	})
}

func TestRawICMPv6(t *testing.T) {
	bothMachines(t, func(t *testing.T, m machine) {
		f := open(t, m, ip6, syscall.SOCK_RAW, syscall.IPPROTO_ICMPV6)
		var only [32]byte // all types but echo replies are blocked
		for i := range only {
			only[i] = 0xff
		}
		only[header.ICMPv6EchoReply/8] &^= 1 << (header.ICMPv6EchoReply % 8)
		require.Zero(t, f.setOption(syscall.IPPROTO_ICMPV6, syscall.ICMPV6_FILTER, only[:]))
		v, e := f.getOption(syscall.IPPROTO_ICMPV6, syscall.ICMPV6_FILTER, 32)
		require.Zero(t, e)
		assert.Equal(t, only[:], v)
		request := append([]byte{byte(header.ICMPv6EchoRequest), 0, 0, 0, 0, 79, 0, 1}, "six"...)
		_, e = f.send(&message{data: request, name: sockaddr(ip6, "[::1]:0")}, 0)
		require.Zero(t, e)
		got := until(t, f, func(m *message) bool { return bytes.HasSuffix(m.data, []byte("six")) })
		assert.Equal(t, byte(header.ICMPv6EchoReply), got.data[0], "the kernel has made the checksum, and there is no IPv6 header")
		assert.Equal(t, sockaddr(ip6, "[::1]:0"), got.name)
	})
}

func TestPing(t *testing.T) {
	run := func(t *testing.T, m machine, domain, protocol int, to string, request []byte, reply byte) {
		f := open(t, m, domain, dgrams, protocol)
		assert.Equal(t, uint32(socket.Out), f.poll())
		n, e := f.send(&message{data: request, name: sockaddr(domain, to)}, 0)
		require.Zero(t, e)
		assert.Equal(t, len(request), n)
		got := until(t, f, func(*message) bool { return true })
		assert.Equal(t, reply, got.data[0])
		assert.Equal(t, request[8:], got.data[8:])
		a, e := f.local()
		require.Zero(t, e)
		assert.Equal(t, port(a), binary.BigEndian.Uint16(got.data[4:]), "the identifier is the socket's")
		assert.Zero(t, port(got.name))
		_, e = f.send(&message{data: request[:7], name: sockaddr(domain, to)}, 0)
		assert.Equal(t, syscall.EINVAL, e, "too short")
		bad := append([]byte(nil), request...)
		bad[0] = 3
		_, e = f.send(&message{data: bad, name: sockaddr(domain, to)}, 0)
		assert.Equal(t, syscall.EINVAL, e, "not an echo request")
		require.Zero(t, f.connect(sockaddr(domain, to)))
		_, e = f.write(request)
		require.Zero(t, e)
		until(t, f, func(*message) bool { return true })
	}
	for name, m := range map[string]machine{"linux": linux{}, "ours": ours{newStack(t)}} {
		t.Run(name, func(t *testing.T) {
			if f, e := m.socket(ip4, dgrams, syscall.IPPROTO_ICMP); e == syscall.EACCES {
				t.Skip("net.ipv4.ping_group_range does not permit ping sockets")
			} else {
				f.close()
			}
			run(t, m, ip4, syscall.IPPROTO_ICMP, "127.0.0.1:0", echo4(0, "ping"), byte(header.ICMPv4EchoReply))
			run(t, m, ip6, syscall.IPPROTO_ICMPV6, "[::1]:0", append([]byte{byte(header.ICMPv6EchoRequest), 0, 0, 0, 0, 0, 0, 1}, "ping"...), byte(header.ICMPv6EchoReply))
		})
	}
}

// filterFor returns a program that lets datagrams pass whose first data byte is b, of n bytes at most; front bytes come before
// the data.
func filterFor(front int, b byte, n uint32) []byte {
	code := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: uint32(front)},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: uint32(b)},
		{Code: unix.BPF_RET | unix.BPF_K, K: n},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
	return programBytes(code)
}

func TestDatagramFilter(t *testing.T) {
	bothMachines(t, func(t *testing.T, m machine) {
		b := open(t, m, ip4, dgrams, 0)
		require.Zero(t, b.bind(sockaddr(ip4, "127.0.0.1:0")))
		to, _ := b.local()
		a := open(t, m, ip4, dgrams, 0)
		require.Zero(t, a.connect(to))
		require.Zero(t, b.setOption(syscall.SOL_SOCKET, unix.SO_ATTACH_FILTER, filterFor(8, 'y', 12)))
		for _, s := range []string{"no", "yes, cut", "never", "y"} {
			_, e := a.write([]byte(s))
			require.Zero(t, e)
		}
		assert.Equal(t, "yes,", string(until(t, b, func(*message) bool { return true }).data), "8 bytes of header and 4 of data pass")
		assert.Equal(t, "y", string(until(t, b, func(*message) bool { return true }).data))
		behind := []unix.SockFilter{ // an index register of 9, and an offset of -1
			{Code: unix.BPF_LDX | unix.BPF_IMM, K: 9},
			{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_IND, K: 0xffffffff},
			{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: 'z'},
			{Code: unix.BPF_RET | unix.BPF_K, K: 100},
			{Code: unix.BPF_RET | unix.BPF_K},
		}
		require.Zero(t, b.setOption(syscall.SOL_SOCKET, unix.SO_ATTACH_FILTER, programBytes(behind)))
		for _, s := range []string{"no", "zero"} {
			_, e := a.write([]byte(s))
			require.Zero(t, e)
		}
		assert.Equal(t, "zero", string(until(t, b, func(*message) bool { return true }).data))
		require.Zero(t, b.setOption(syscall.SOL_SOCKET, unix.SO_DETACH_FILTER, cint(0)))
		assert.Equal(t, syscall.ENOENT, b.setOption(syscall.SOL_SOCKET, unix.SO_DETACH_FILTER, cint(0)))
		for name, code := range map[string][]unix.SockFilter{
			"without an end":         {{Code: unix.BPF_LD | unix.BPF_IMM, K: 1}},
			"jumps past the end":     {{Code: unix.BPF_JMP | unix.BPF_JA, K: 9}, {Code: unix.BPF_RET}},
			"divides by zero":        {{Code: unix.BPF_ALU | unix.BPF_DIV | unix.BPF_K}, {Code: unix.BPF_RET}},
			"stores outside scratch": {{Code: unix.BPF_ST, K: 16}, {Code: unix.BPF_RET}},
			"unknown instruction":    {{Code: 0xffff}, {Code: unix.BPF_RET}},
		} {
			assert.Equal(t, syscall.EINVAL, b.setOption(syscall.SOL_SOCKET, unix.SO_ATTACH_FILTER, programBytes(code)), name)
		}
	})
}
