package inet

import (
	"encoding/binary"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/link/nested"
	"gvisor.dev/gvisor/pkg/tcpip/link/pipe"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/goshawk-os/goshawk/net/socket"
)

// A cable joins two machines. Cut, it loses what is sent.
type cable struct {
	nested.Endpoint
	cut *atomic.Bool
}

func (c *cable) WritePackets(list stack.PacketBufferList) (int, tcpip.Error) {
	if c.cut.Load() {
		return list.Len(), nil
	}
	return c.Endpoint.WritePackets(list)
}

// twoMachines returns stacks whose links "eth0", index 2, are joined: 10.0.0.1 and 10.0.0.2, fe80::1 and
// fe80::2, with an MTU of 1500.
func twoMachines(t *testing.T) (a, b ours, cut *atomic.Bool) {
	cut = new(atomic.Bool)
	left, right := pipe.New("\x02\x00\x00\x00\x00\x01", "\x02\x00\x00\x00\x00\x02", 1514)
	join := func(n byte, e stack.LinkEndpoint) ours {
		s := newStack(t)
		c := &cable{cut: cut}
		c.Endpoint.Init(e, c)
		require.Nil(t, s.CreateNICWithOptions(2, ethernet.New(c), stack.NICOptions{Name: "eth0"}))
		six := [16]byte{0: 0xfe, 1: 0x80, 15: n}
		for _, p := range []tcpip.ProtocolAddress{
			{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4([4]byte{10, 0, 0, n}), PrefixLen: 24}},
			{Protocol: ipv6.ProtocolNumber, AddressWithPrefix: tcpip.AddressWithPrefix{Address: tcpip.AddrFrom16(six), PrefixLen: 64}},
		} {
			require.Nil(t, s.AddProtocolAddress(2, p, stack.AddressProperties{}))
			s.AddRoute(tcpip.Route{Destination: p.AddressWithPrefix.Subnet(), NIC: 2})
		}
		return ours{s}
	}
	return join(1, left), join(2, right), cut
}

func bound(t *testing.T, m machine, domain, kind int, at string) (fd, uint16) {
	f := open(t, m, domain, kind, 0)
	require.Zero(t, f.bind(sockaddr(domain, at)), at)
	a, _ := f.local()
	return f, port(a)
}

// at returns an address with another port.
func at(domain int, text string, port uint16) []byte {
	a := sockaddr(domain, text)
	binary.BigEndian.PutUint16(a[2:], port)
	return a
}

func TestNetworksThatCannotBeReached(t *testing.T) {
	a, _, _ := twoMachines(t)
	s := open(t, a, ip4, streams, 0)
	assert.Equal(t, syscall.ENETUNREACH, s.connect(sockaddr(ip4, "192.0.2.1:80")))
	assert.Equal(t, socket.Out|hup, s.poll(), "the socket is as it was")
	u := open(t, a, ip4, dgrams, 0)
	assert.Equal(t, syscall.ENETUNREACH, u.connect(sockaddr(ip4, "192.0.2.1:80")))
	_, e := u.send(&message{data: []byte("x"), name: sockaddr(ip4, "192.0.2.1:80")}, 0)
	assert.Equal(t, syscall.ENETUNREACH, e)
	_, e = u.send(&message{data: []byte("in"), name: sockaddr(ip4, "192.0.2.1:80")}, syscall.MSG_MORE)
	require.Zero(t, e)
	n, e := u.send(&message{data: []byte("parts")}, 0)
	assert.Equal(t, syscall.ENETUNREACH, e)
	assert.Zero(t, n, "a count would hide the error")
	s6 := open(t, a, ip6, streams, 0)
	assert.Equal(t, syscall.ENETUNREACH, s6.connect(sockaddr(ip6, "[2001:db8::1]:80")))
	assert.Equal(t, syscall.ENETUNREACH, s6.connect(sockaddr(ip6, "[::ffff:192.0.2.1]:80")))
}

func TestHostThatDoesNotAnswer(t *testing.T) {
	a, _, _ := twoMachines(t)
	c := stack.DefaultNUDConfigurations()
	c.RetransmitTimer = 20e6
	require.Nil(t, a.stack.SetNUDConfigurations(2, ipv4.ProtocolNumber, c))
	s := open(t, a, ip4, streams, 0)
	require.Equal(t, syscall.EINPROGRESS, s.connect(sockaddr(ip4, "10.0.0.9:80")))
	require.True(t, eventually(func() bool { return s.poll()&hup != 0 }))
	v, e := s.getOption(syscall.SOL_SOCKET, syscall.SO_ERROR, 4)
	require.Zero(t, e)
	assert.Equal(t, cint(int(syscall.EHOSTUNREACH)), v)
}

func TestRefusedOverALink(t *testing.T) {
	a, _, _ := twoMachines(t)
	s := open(t, a, ip4, streams, 0)
	require.Equal(t, syscall.EINPROGRESS, s.connect(sockaddr(ip4, "10.0.0.2:80")))
	require.True(t, eventually(func() bool { return s.poll()&hup != 0 }))
	_, e := s.read(make([]byte, 1))
	assert.Equal(t, syscall.ECONNREFUSED, e)
	u := open(t, a, ip4, dgrams, 0)
	require.Zero(t, u.connect(sockaddr(ip4, "10.0.0.2:80")))
	_, e = u.write([]byte("x"))
	require.Zero(t, e)
	require.True(t, eventually(func() bool { return u.poll()&socket.Err != 0 }))
	_, e = u.read(make([]byte, 1))
	assert.Equal(t, syscall.ECONNREFUSED, e)
}

func TestNamesOverALink(t *testing.T) {
	a, b, _ := twoMachines(t)
	l, p := bound(t, b, ip4, streams, "0.0.0.0:0")
	require.Zero(t, l.listen(1))
	s := open(t, a, ip4, streams, 0)
	require.Equal(t, syscall.EINPROGRESS, s.connect(at(ip4, "10.0.0.2:0", p)))
	require.True(t, eventually(func() bool { return s.poll()&out != 0 }))
	local, _ := s.local()
	assert.Equal(t, []byte{10, 0, 0, 1}, local[4:8])
	v, e := s.getOption(syscall.IPPROTO_IP, syscall.IP_MTU, 4)
	require.Zero(t, e)
	assert.Equal(t, cint(1500), v)
	require.True(t, eventually(func() bool { return l.poll()&in != 0 }))
	c, from, e := l.accept()
	require.Zero(t, e)
	defer c.close()
	assert.Equal(t, local, from)
	at, _ := c.local()
	assert.Equal(t, []byte{10, 0, 0, 2}, at[4:8])
}

func TestBroadcast(t *testing.T) {
	a, b, _ := twoMachines(t)
	heard, p := bound(t, b, ip4, dgrams, "0.0.0.0:0")
	for _, to := range []string{"10.0.0.255:0", "255.255.255.255:0"} {
		u := open(t, a, ip4, dgrams, 0)
		if strings.HasPrefix(to, "255") {
			require.Zero(t, u.setOption(syscall.SOL_SOCKET, syscall.SO_BINDTODEVICE, []byte("eth0")))
		}
		_, e := u.send(&message{data: []byte("x"), name: at(ip4, to, p)}, 0)
		assert.Equal(t, syscall.EACCES, e, to)
		require.Zero(t, u.setOption(syscall.SOL_SOCKET, syscall.SO_BROADCAST, cint(1)))
		_, e = u.send(&message{data: []byte("all"), name: at(ip4, to, p)}, 0)
		require.Zero(t, e, to)
		assert.Equal(t, "all", string(until(t, heard, func(*message) bool { return true }).data))
	}
}

func TestMulticastOverALink(t *testing.T) {
	a, b, _ := twoMachines(t)
	heard, p := bound(t, b, ip4, dgrams, "0.0.0.0:0")
	require.Zero(t, heard.setOption(syscall.IPPROTO_IP, syscall.IP_ADD_MEMBERSHIP, []byte{224, 0, 0, 99, 10, 0, 0, 2}))
	require.Zero(t, heard.setOption(syscall.IPPROTO_IP, syscall.IP_PKTINFO, cint(1)))
	require.Zero(t, heard.setOption(syscall.IPPROTO_IP, syscall.IP_RECVTTL, cint(1)))
	own, _ := bound(t, a, ip4, dgrams, "0.0.0.0:0")
	u := open(t, a, ip4, dgrams, 0)
	require.Zero(t, u.setOption(syscall.IPPROTO_IP, syscall.IP_MULTICAST_IF, []byte{10, 0, 0, 1}))
	v, e := u.getOption(syscall.IPPROTO_IP, syscall.IP_MULTICAST_IF, 4)
	require.Zero(t, e)
	assert.Equal(t, []byte{10, 0, 0, 1}, v)
	require.Zero(t, u.setOption(syscall.IPPROTO_IP, syscall.IP_MULTICAST_TTL, []byte{5}))
	_, e = u.send(&message{data: []byte("group"), name: at(ip4, "224.0.0.99:0", p)}, 0)
	require.Zero(t, e)
	m := until(t, heard, func(*message) bool { return true })
	level, kind, data, rest, _, _ := socket.NextControl(m.control)
	assert.Equal(t, []int{0, syscall.IP_PKTINFO}, []int{level, kind})
	assert.Equal(t, append(cint(2), 10, 0, 0, 2, 224, 0, 0, 99), data, "the interface, its address, the group")
	_, _, data, _, _, _ = socket.NextControl(rest)
	assert.Equal(t, cint(5), data)
	_, e = own.read(make([]byte, 10))
	assert.Equal(t, syscall.EAGAIN, e)

	six, p6 := bound(t, b, ip6, dgrams, "[::]:0")
	group := append(append([]byte{0xff, 0x02}, make([]byte, 13)...), 0x77, 2, 0, 0, 0)
	require.Zero(t, six.setOption(syscall.IPPROTO_IPV6, syscall.IPV6_JOIN_GROUP, group))
	u6 := open(t, a, ip6, dgrams, 0)
	_, e = u6.send(&message{data: []byte("six"), name: at(ip6, "[ff02::77%2]:0", p6)}, 0)
	require.Zero(t, e)
	m = until(t, six, func(*message) bool { return true })
	assert.Equal(t, "six", string(m.data))
	assert.Equal(t, uint32(2), binary.NativeEndian.Uint32(m.name[24:]), "a link-local sender comes with its interface")
	require.Zero(t, u6.setOption(syscall.IPPROTO_IPV6, syscall.IPV6_MULTICAST_IF, cint(2)))
	_, e = u6.send(&message{data: []byte("by option"), name: at(ip6, "[ff02::77]:0", p6)}, 0)
	require.Zero(t, e)
	assert.Equal(t, "by option", string(until(t, six, func(*message) bool { return true }).data))
	assert.Equal(t, syscall.ENODEV, u6.setOption(syscall.IPPROTO_IPV6, syscall.IPV6_MULTICAST_IF, cint(9)))
}

func TestLinkLocal(t *testing.T) {
	a, b, _ := twoMachines(t)
	l, p := bound(t, b, ip6, streams, "[fe80::2%2]:0")
	name, _ := l.local()
	assert.Equal(t, uint32(2), binary.NativeEndian.Uint32(name[24:]))
	require.Zero(t, l.listen(1))
	s := open(t, a, ip6, streams, 0)
	assert.Equal(t, syscall.EINVAL, s.connect(at(ip6, "[fe80::2]:0", p)), "without an interface")
	require.Equal(t, syscall.EINPROGRESS, s.connect(at(ip6, "[fe80::2%2]:0", p)))
	require.True(t, eventually(func() bool { return s.poll()&out != 0 && l.poll()&in != 0 }))
	local, _ := s.local()
	peer, _ := s.peer()
	assert.Equal(t, uint32(2), binary.NativeEndian.Uint32(local[24:]))
	assert.Equal(t, at(ip6, "[fe80::2%2]:0", p), peer)
	c, from, e := l.accept()
	require.Zero(t, e)
	defer c.close()
	assert.Equal(t, local, from)

	d := open(t, a, ip6, streams, 0)
	require.Zero(t, d.setOption(syscall.SOL_SOCKET, syscall.SO_BINDTODEVICE, []byte("eth0")))
	assert.Equal(t, syscall.EINPROGRESS, d.connect(at(ip6, "[fe80::2]:0", p)), "the device is the interface")
	u := open(t, a, ip6, dgrams, 0)
	require.Zero(t, u.connect(at(ip6, "[fe80::2%2]:0", p)))
}

func TestSourceOfDatagrams(t *testing.T) {
	a, b, _ := twoMachines(t)
	require.Nil(t, a.stack.AddProtocolAddress(2, tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber,
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4([4]byte{10, 0, 0, 77}), PrefixLen: 24}}, stack.AddressProperties{}))
	heard, p := bound(t, b, ip4, dgrams, "0.0.0.0:0")
	for _, domain := range []int{ip4, ip6} {
		u := open(t, a, domain, dgrams, 0)
		to, control := at(ip4, "10.0.0.2:0", p), controlMessage(syscall.IPPROTO_IP, syscall.IP_PKTINFO, append(cint(0), 10, 0, 0, 77, 0, 0, 0, 0))
		if domain == ip6 {
			to = at(ip6, "[::ffff:10.0.0.2]:0", p)
			control = controlMessage(syscall.IPPROTO_IPV6, unix.IPV6_PKTINFO, append(append(make([]byte, 10), 0xff, 0xff, 10, 0, 0, 77), cint(0)...))
		}
		_, e := u.send(&message{data: []byte("x"), name: to, control: control}, 0)
		require.Zero(t, e)
		m := until(t, heard, func(*message) bool { return true })
		assert.Equal(t, []byte{10, 0, 0, 77}, m.name[4:8])
		_, e = u.send(&message{data: []byte("x"), name: to}, 0)
		require.Zero(t, e)
		m = until(t, heard, func(*message) bool { return true })
		assert.Equal(t, []byte{10, 0, 0, 1}, m.name[4:8])
	}
}

func TestFragments(t *testing.T) {
	a, b, _ := twoMachines(t)
	big := make([]byte, 20000)
	for i := range big {
		big[i] = byte(i * 7)
	}
	for _, domain := range []int{ip4, ip6} {
		text := map[int]string{ip4: "10.0.0.2:0", ip6: "[fe80::2%2]:0"}[domain]
		heard, p := bound(t, b, domain, dgrams, text)
		u := open(t, a, domain, dgrams, 0)
		_, e := u.send(&message{data: big, name: at(domain, text, p)}, 0)
		require.Zero(t, e)
		var got []byte
		require.True(t, eventually(func() bool {
			p := make([]byte, 30000)
			n, e := heard.read(p)
			got = p[:n]
			return e == 0
		}))
		assert.Equal(t, big, got)
	}
}

func TestPeerThatVanishes(t *testing.T) {
	a, b, cut := twoMachines(t)
	l, p := bound(t, b, ip4, streams, "10.0.0.2:0")
	require.Zero(t, l.listen(5))
	connect := func() fd {
		s := open(t, a, ip4, streams, 0)
		require.Equal(t, syscall.EINPROGRESS, s.connect(at(ip4, "10.0.0.2:0", p)))
		require.True(t, eventually(func() bool { return s.poll()&out != 0 }))
		return s
	}
	sending, idle := connect(), connect()
	require.Zero(t, sending.setOption(syscall.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, cint(300)))
	for o, v := range map[int]int{syscall.TCP_KEEPIDLE: 1, syscall.TCP_KEEPINTVL: 1, syscall.TCP_KEEPCNT: 1} {
		require.Zero(t, idle.setOption(syscall.IPPROTO_TCP, o, cint(v)))
	}
	require.Zero(t, idle.setOption(syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, cint(1)))
	cut.Store(true)
	_, e := sending.write([]byte("into the void"))
	require.Zero(t, e)
	for name, s := range map[string]fd{"TCP_USER_TIMEOUT": sending, "keep-alive": idle} {
		require.True(t, eventually(func() bool { return s.poll()&hup != 0 }), name)
		assert.NotZero(t, s.poll()&socket.Err, name)
		_, e = s.read(make([]byte, 1))
		assert.Equal(t, syscall.ETIMEDOUT, e, name)
		n, e := s.read(make([]byte, 1))
		assert.Zero(t, e, name)
		assert.Zero(t, n, name)
	}
}

func TestBoundToADevice(t *testing.T) {
	a, b, _ := twoMachines(t)
	heard, p := bound(t, b, ip4, dgrams, "0.0.0.0:0")
	require.Zero(t, heard.setOption(syscall.SOL_SOCKET, unix.SO_BINDTOIFINDEX, cint(2)))
	lo := open(t, a, ip4, dgrams, 0)
	require.Zero(t, lo.setOption(syscall.SOL_SOCKET, syscall.SO_BINDTODEVICE, []byte("lo")))
	_, e := lo.send(&message{data: []byte("x"), name: at(ip4, "10.0.0.2:0", p)}, 0)
	assert.Equal(t, syscall.ENETUNREACH, e)
	eth := open(t, a, ip4, dgrams, 0)
	require.Zero(t, eth.setOption(syscall.SOL_SOCKET, syscall.SO_BINDTODEVICE, []byte("eth0\x00")))
	_, e = eth.send(&message{data: []byte("x"), name: at(ip4, "10.0.0.2:0", p)}, 0)
	require.Zero(t, e)
	until(t, heard, func(*message) bool { return true })
}
