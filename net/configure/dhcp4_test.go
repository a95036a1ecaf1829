package configure

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/rfc1035label"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

const (
	serverMAC = tcpip.LinkAddress("\x02\x00\x00\x00\x00\x99")
	otherMAC  = tcpip.LinkAddress("\x02\x00\x00\x00\x00\x77")
)

var serverIP = netip.MustParseAddr("10.0.2.2")

// A dhcpServer is a DHCP server, which speaks with another implementation's voice.
type dhcpServer struct {
	t    *testing.T
	lab  *lab
	ip   netip.Addr
	give string // the address
	with []dhcpv4.Modifier
	// answer, if not nil, is called in place of the usual answer.
	answer  func(m *dhcpv4.DHCPv4) []*dhcpv4.DHCPv4
	silent  bool
	unicast bool // answers go to the address given, not to everyone
	heard   []message
}

type message struct {
	*dhcpv4.DHCPv4
	at       time.Duration
	from, to netip.AddrPort
	toMAC    tcpip.LinkAddress
}

func newServer(t *testing.T) *dhcpServer {
	return &dhcpServer{t: t, ip: serverIP, give: "10.0.2.15", with: []dhcpv4.Modifier{
		dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithLeaseTime(24 * 3600),
		dhcpv4.WithRouter(net.IPv4(10, 0, 2, 2)), dhcpv4.WithDNS(net.IPv4(10, 0, 2, 3)),
	}}
}

func (s *dhcpServer) node(frame []byte) [][]byte {
	d, ok := parseDatagram(s.t, frame)
	if !ok || d.to.Port() != dhcpServerPort || !d.to.Addr().Is4() ||
		d.toMAC != header.EthernetBroadcastAddress && d.to.Addr() != s.ip {
		return nil
	}
	m, err := dhcpv4.FromBytes(d.data)
	require.NoError(s.t, err)
	at := time.Duration(0)
	if s.lab != nil {
		at = s.lab.now()
	}
	s.heard = append(s.heard, message{m, at, d.from, d.to, d.toMAC})
	assert.EqualValues(s.t, dhcpClientPort, d.from.Port())
	assert.Equal(s.t, dhcpv4.OpcodeBootRequest, m.OpCode)
	assert.EqualValues(s.t, d.fromMAC, m.ClientHWAddr)
	assert.GreaterOrEqual(s.t, len(d.data), dhcpMinSize)
	if s.silent {
		return nil
	}
	var frames [][]byte
	for _, r := range s.answers(m) {
		frames = append(frames, s.frame(r, d))
	}
	return frames
}

func (s *dhcpServer) answers(m *dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 {
	if s.answer != nil {
		return s.answer(m)
	}
	switch m.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		return []*dhcpv4.DHCPv4{s.reply(m, dhcpv4.MessageTypeOffer)}
	case dhcpv4.MessageTypeRequest:
		return []*dhcpv4.DHCPv4{s.reply(m, dhcpv4.MessageTypeAck)}
	}
	return nil
}

// reply returns an answer of a type with what the server gives.
func (s *dhcpServer) reply(m *dhcpv4.DHCPv4, kind dhcpv4.MessageType, more ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	all := []dhcpv4.Modifier{dhcpv4.WithMessageType(kind), dhcpv4.WithServerIP(s.ip.AsSlice()), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(s.ip.AsSlice()))}
	if kind != dhcpv4.MessageTypeNak {
		all = append(append(all, dhcpv4.WithYourIP(netip.MustParseAddr(s.give).AsSlice())), s.with...)
	}
	r, err := dhcpv4.NewReplyFromRequest(m, append(all, more...)...)
	require.NoError(s.t, err)
	return r
}

func (s *dhcpServer) frame(r *dhcpv4.DHCPv4, d datagram) []byte {
	a := datagram{
		fromMAC: serverMAC, toMAC: header.EthernetBroadcastAddress,
		from: netip.AddrPortFrom(s.ip, dhcpServerPort), to: netip.MustParseAddrPort("255.255.255.255:68"), data: r.ToBytes(),
	}
	if s.unicast && !r.YourIPAddr.IsUnspecified() {
		yours, _ := netip.AddrFromSlice(r.YourIPAddr.To4())
		a.toMAC, a.to = d.fromMAC, netip.AddrPortFrom(yours, dhcpClientPort)
	}
	return a.frame()
}

// kinds returns the types of the messages heard.
func (s *dhcpServer) kinds() (list []dhcpv4.MessageType) {
	for _, m := range s.heard {
		list = append(list, m.MessageType())
	}
	return list
}

const (
	typeDiscover = dhcpv4.MessageTypeDiscover
	typeRequest  = dhcpv4.MessageTypeRequest
	typeDecline  = dhcpv4.MessageTypeDecline
)

// bootDHCP boots a lab with this server at its link.
func bootDHCP(s *dhcpServer, value string, nodes ...node) *lab {
	l := newLab(s.t, value)
	s.lab = l
	l.wires[0].nodes = append(nodes, s.node, arpHost(s.ip.String(), serverMAC))
	return l.start(value)
}

func TestDHCP(t *testing.T) {
	for name, unicast := range map[string]bool{"broadcast answers": false, "answers to the address to come": true} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.unicast = unicast
			l := bootDHCP(s, "dhcp")
			// No time has passed.
			assert.Zero(t, l.now())
			assert.Equal(t, []dhcpv4.MessageType{typeDiscover, typeRequest}, s.kinds())
			assert.Equal(t, []string{"10.0.2.15/24"}, l.addresses(2))
			assert.Equal(t, []string{"10.0.2.0/24 eth0", "0.0.0.0/0 via 10.0.2.2 eth0"}, l.routes())
			assert.Equal(t, "nameserver 10.0.2.3;", l.resolver())
			assert.Equal(t, "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n10.0.2.15 goshawk\n", l.files[hostsFile])
			assert.Equal(t, "goshawk", l.hostname)
			assert.True(t, l.configured())
			assert.False(t, l.c.Wait())

			discover, request := s.heard[0], s.heard[1]
			for _, m := range s.heard {
				assert.Equal(t, "0.0.0.0:68", m.from.String())
				assert.Equal(t, "255.255.255.255:67", m.to.String())
				assert.Equal(t, header.EthernetBroadcastAddress, m.toMAC)
				assert.True(t, m.ClientIPAddr.IsUnspecified())
				assert.False(t, m.IsBroadcast())
				assert.Nil(t, m.Options.Get(dhcpv4.OptionHostName))
			}
			assert.Equal(t, discover.TransactionID, request.TransactionID)
			assert.Equal(t, "10.0.2.15", request.RequestedIPAddress().String())
			assert.Equal(t, "10.0.2.2", request.ServerIdentifier().String())

			l.pass(time.Minute)
			assert.Len(t, s.heard, 2)
			l.quiet()
		})
	}
}

func TestDHCPOptions(t *testing.T) {
	s := newServer(t)
	s.with = append(s.with,
		dhcpv4.WithDNS(net.IPv4(10, 0, 2, 3), net.IPv4(10, 0, 2, 4), net.IPv4(10, 0, 2, 3), net.IPv4zero, net.IPv4bcast, net.IPv4(127, 0, 0, 53)),
		dhcpv4.WithOption(dhcpv4.OptDomainName("example.org")),
		dhcpv4.WithOption(dhcpv4.OptDomainSearch(&rfc1035label.Labels{Labels: []string{"a.example.org", "b.example.org"}})),
		dhcpv4.WithOption(dhcpv4.OptHostName("web")),
		dhcpv4.WithGeneric(dhcpv4.OptionInterfaceMTU, []byte{1400 >> 8, 1400 & 0xff}),
	)
	l := bootDHCP(s, "dhcp")
	assert.Equal(t, "nameserver 10.0.2.3;nameserver 10.0.2.4;search a.example.org b.example.org;", l.resolver())
	assert.Equal(t, "web", l.hostname)
	assert.Contains(t, l.files[hostsFile], "\n10.0.2.15 web.example.org web\n")
	assert.EqualValues(t, 1400, l.stack.NICInfo()[2].MTU)
	l.quiet()
}

func TestDHCPOptionsGiven(t *testing.T) {
	s := newServer(t)
	s.with = append(s.with, dhcpv4.WithOption(dhcpv4.OptHostName("web")), dhcpv4.WithOption(dhcpv4.OptDomainName("example.org")))
	l := newLab(t).with(Options{Hostname: "mine"}, "")
	s.lab, l.wires[0].nodes = l, []node{s.node}
	l.start("dhcp,dns=1.1.1.1,gw=10.0.2.9,domain=x.example,search=y.example,mtu=1300,addr=10.9.0.1/24")
	assert.Equal(t, "nameserver 1.1.1.1;search x.example y.example;", l.resolver())
	assert.Equal(t, []string{"10.0.2.15/24", "10.9.0.1/24"}, l.addresses(2))
	assert.Equal(t, []string{"10.9.0.0/24 eth0", "10.0.2.0/24 eth0", "0.0.0.0/0 via 10.0.2.9 eth0"}, l.routes())
	assert.Equal(t, "mine", l.hostname)
	assert.Equal(t, "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n10.0.2.15 mine.x.example mine\n10.9.0.1 mine.x.example mine\n", l.files[hostsFile])
	assert.EqualValues(t, 1300, l.stack.NICInfo()[2].MTU)
	for _, m := range s.heard {
		assert.Equal(t, "mine", m.HostName())
	}
	l.quiet()
}

func TestDHCPRoutes(t *testing.T) {
	ip := func(s string) net.IP { return net.ParseIP(s).To4() }
	route := func(to, via string) *dhcpv4.Route {
		_, dest, err := net.ParseCIDR(to)
		require.NoError(t, err)
		return &dhcpv4.Route{Dest: dest, Router: ip(via)}
	}
	for name, c := range map[string]struct {
		with []dhcpv4.Modifier
		give string
		want []string
	}{
		"classless routes replace the router": {
			with: []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptClasslessStaticRoute(
				route("192.168.0.0/16", "10.0.2.7"), route("192.168.128.0/20", "10.0.2.8"), route("0.0.0.0/0", "10.0.2.9")))},
			want: []string{"10.0.2.0/24 eth0", "192.168.128.0/20 via 10.0.2.8 eth0", "192.168.0.0/16 via 10.0.2.7 eth0", "0.0.0.0/0 via 10.0.2.9 eth0"},
		},
		"a network where each host is alone": {
			give: "10.128.0.5",
			with: []dhcpv4.Modifier{
				dhcpv4.WithNetmask(net.CIDRMask(32, 32)),
				dhcpv4.WithOption(dhcpv4.OptClasslessStaticRoute(route("10.128.0.1/32", "0.0.0.0"), route("0.0.0.0/0", "10.128.0.1"))),
			},
			want: []string{"10.128.0.5/32 eth0", "10.128.0.1/32 eth0", "0.0.0.0/0 via 10.128.0.1 eth0"},
		},
		"routes to nowhere": {
			with: []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptClasslessStaticRoute(
				route("127.0.0.0/8", "10.0.2.7"), route("224.0.0.0/4", "10.0.2.7"), route("10.1.0.0/16", "10.0.2.15"), route("10.2.0.0/16", "255.255.255.255")))},
			want: []string{"10.0.2.0/24 eth0"},
		},
		"damaged routes do not count": {
			with: []dhcpv4.Modifier{dhcpv4.WithGeneric(dhcpv4.OptionClasslessStaticRoute, []byte{33, 1, 2, 3, 4, 5, 6, 7, 8, 9})},
			want: []string{"10.0.2.0/24 eth0", "0.0.0.0/0 via 10.0.2.2 eth0"},
		},
		"no router": {
			with: []dhcpv4.Modifier{dhcpv4.WithRouter(net.IPv4(224, 0, 0, 1), net.IPv4zero)},
			want: []string{"10.0.2.0/24 eth0"},
		},
		"no mask": {
			with: []dhcpv4.Modifier{dhcpv4.WithoutOption(dhcpv4.OptionSubnetMask)},
			want: []string{"10.0.0.0/8 eth0", "0.0.0.0/0 via 10.0.2.2 eth0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.with = append(s.with, c.with...)
			if c.give != "" {
				s.give = c.give
			}
			l := bootDHCP(s, "dhcp")
			assert.Equal(t, c.want, l.routes())
			l.quiet()
		})
	}
}

func TestDHCPRapidCommit(t *testing.T) {
	s := newServer(t)
	s.answer = func(m *dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 {
		require.True(t, m.Options.Has(dhcpv4.GenericOptionCode(optRapidCommit)))
		return []*dhcpv4.DHCPv4{s.reply(m, dhcpv4.MessageTypeAck, dhcpv4.WithGeneric(dhcpv4.GenericOptionCode(optRapidCommit), nil))}
	}
	l := bootDHCP(s, "dhcp")
	assert.Equal(t, []dhcpv4.MessageType{typeDiscover}, s.kinds())
	assert.Equal(t, []string{"10.0.2.15/24"}, l.addresses(2))

	// An ACK that nobody asked for is not one.
	s = newServer(t)
	s.answer = func(m *dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 {
		return []*dhcpv4.DHCPv4{s.reply(m, dhcpv4.MessageTypeAck)}
	}
	l = bootDHCP(s, "dhcp")
	assert.Empty(t, l.addresses(2))
}

func TestDHCPRetransmission(t *testing.T) {
	s := newServer(t)
	s.silent = true
	l := bootDHCP(s, "dhcp")
	assert.False(t, l.configured())
	l.pass(9 * time.Second)
	l.quiet()
	assert.False(t, l.configured())
	l.pass(2 * time.Second)
	l.warned("eth0: no DHCP answer; still asking", "net=addr=")
	assert.True(t, l.configured())
	assert.Equal(t, "", l.resolver())
	assert.Contains(t, l.files[hostsFile], "\n127.0.1.1 goshawk\n")
	l.pass(time.Hour)
	l.quiet()

	gap := time.Second
	for i := 1; i < len(s.heard); i++ {
		waited := s.heard[i].at - s.heard[i-1].at
		assert.InDelta(t, gap.Seconds(), waited.Seconds(), gap.Seconds()/4+1)
		assert.Equal(t, s.heard[0].TransactionID, s.heard[i].TransactionID)
		assert.InDelta(t, s.heard[i].at.Seconds(), float64(s.heard[i].NumSeconds), 1.1)
		gap = min(2*gap, 64*time.Second)
	}
	assert.InDelta(t, 60, len(s.heard), 10)

	s.silent = false
	l.pass(2 * time.Minute)
	assert.Equal(t, []string{"10.0.2.15/24"}, l.addresses(2))
	assert.Equal(t, "nameserver 10.0.2.3;", l.resolver())
}

func TestDHCPLostRequests(t *testing.T) {
	s := newServer(t)
	s.answer = func(m *dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 {
		if m.MessageType() == typeDiscover {
			return []*dhcpv4.DHCPv4{s.reply(m, dhcpv4.MessageTypeOffer)}
		}
		return nil
	}
	l := bootDHCP(s, "dhcp")
	l.pass(25 * time.Second)
	require.GreaterOrEqual(t, len(s.heard), 6)
	assert.Equal(t, []dhcpv4.MessageType{typeDiscover, typeRequest, typeRequest, typeRequest, typeRequest, typeDiscover}, s.kinds()[:6])
	assert.NotEqual(t, s.heard[0].TransactionID, s.heard[5].TransactionID)
	s.answer = nil
	l.pass(20 * time.Second)
	assert.Equal(t, []string{"10.0.2.15/24"}, l.addresses(2))
}

func TestDHCPRenewal(t *testing.T) {
	s := newServer(t)
	s.with = append(s.with, dhcpv4.WithLeaseTime(3600))
	l := bootDHCP(s, "dhcp")
	s.heard = nil
	l.pass(29 * time.Minute)
	assert.Empty(t, s.heard)
	unreachable, n := record(icmpErrors)
	l.wires[0].nodes = append(l.wires[0].nodes, n)
	s.unicast = true
	s.with = append(s.with, dhcpv4.WithDNS(net.IPv4(10, 0, 2, 4)), dhcpv4.WithRouter(net.IPv4(10, 0, 2, 9)))
	l.pass(90 * time.Second)
	require.Len(t, s.heard, 1)
	m := s.heard[0]
	assert.Equal(t, typeRequest, m.MessageType())
	assert.Equal(t, "10.0.2.15:68", m.from.String())
	assert.Equal(t, "10.0.2.2:67", m.to.String())
	assert.Equal(t, serverMAC, m.toMAC)
	assert.Equal(t, "10.0.2.15", m.ClientIPAddr.String())
	assert.Nil(t, m.Options.Get(dhcpv4.OptionRequestedIPAddress))
	assert.Nil(t, m.Options.Get(dhcpv4.OptionServerIdentifier))
	assert.InDelta(t, 1800, m.at.Seconds(), 1)
	assert.Equal(t, "nameserver 10.0.2.4;", l.resolver())
	assert.Equal(t, []string{"10.0.2.0/24 eth0", "0.0.0.0/0 via 10.0.2.9 eth0"}, l.routes())
	assert.Empty(t, unreachable.seen)

	// Renewed for days, it asks once for each half of the lease.
	s.heard = nil
	l.pass(48 * time.Hour)
	assert.InDelta(t, 96, len(s.heard), 1)
	assert.Equal(t, []string{"10.0.2.15/24"}, l.addresses(2))
	l.quiet()
}

// icmpErrors is a kind of recorder: of destinations unreachable.
func icmpErrors(frame []byte) string {
	if header.Ethernet(frame).Type() == header.IPv4ProtocolNumber {
		ip := header.IPv4(frame[etherSize:])
		if ip.TransportProtocol() == header.ICMPv4ProtocolNumber && header.ICMPv4(ip.Payload()).Type() == header.ICMPv4DstUnreachable {
			return "unreachable"
		}
	}
	return ""
}

func TestDHCPTimesOfServer(t *testing.T) {
	s := newServer(t)
	s.with = append(s.with, dhcpv4.WithLeaseTime(3600),
		dhcpv4.WithGeneric(dhcpv4.OptionRenewTimeValue, []byte{0, 0, 0, 60}), dhcpv4.WithGeneric(dhcpv4.OptionRebindingTimeValue, []byte{0, 0, 0, 120}))
	l := bootDHCP(s, "dhcp")
	s.heard, s.silent = nil, true
	l.pass(3 * time.Minute)
	require.GreaterOrEqual(t, len(s.heard), 2)
	assert.InDelta(t, 60, s.heard[0].at.Seconds(), 1)
	assert.Equal(t, "10.0.2.2:67", s.heard[0].to.String())
	assert.InDelta(t, 120, s.heard[1].at.Seconds(), 1)
	assert.Equal(t, "255.255.255.255:67", s.heard[1].to.String())
	assert.Equal(t, "10.0.2.15:68", s.heard[1].from.String())
	l.quiet()
}

func TestDHCPExpiry(t *testing.T) {
	s := newServer(t)
	s.with = append(s.with, dhcpv4.WithLeaseTime(3600))
	l := bootDHCP(s, "dhcp")
	s.heard, s.silent = nil, true
	l.pass(59 * time.Minute)
	assert.Equal(t, []string{"10.0.2.15/24"}, l.addresses(2))
	l.quiet()
	// 1800 s: half of the time to 3150 s each, then half of that to 3600 s, none within a minute.
	var unicast, broadcast []int
	for _, m := range s.heard {
		if m.to.Addr() == serverIP {
			unicast = append(unicast, int(m.at.Seconds()))
		} else {
			broadcast = append(broadcast, int(m.at.Seconds()))
		}
	}
	assert.Equal(t, []int{1800, 2475, 2812, 2981, 3065, 3125}, unicast)
	assert.Equal(t, []int{3150, 3375, 3487}, broadcast[:3])
	l.pass(2 * time.Minute)
	assert.Empty(t, l.addresses(2))
	assert.Empty(t, l.routes())
	assert.Equal(t, "", l.resolver())
	l.warned("eth0: no DHCP server has renewed the address 10.0.2.15", "10.0.2.2")
	assert.Equal(t, typeDiscover, s.heard[len(s.heard)-1].MessageType())
	s.silent, s.give = false, "10.0.2.77"
	l.pass(2 * time.Minute)
	assert.Equal(t, []string{"10.0.2.77/24"}, l.addresses(2))
	l.quiet()
}

func TestDHCPRebindingAtOtherServer(t *testing.T) {
	s := newServer(t)
	s.with = append(s.with, dhcpv4.WithLeaseTime(3600))
	l := bootDHCP(s, "dhcp")
	s.silent = true
	l.pass(50 * time.Minute)
	second := newServer(t)
	second.ip = netip.MustParseAddr("10.0.2.8")
	second.lab = l
	l.wires[0].nodes = []node{second.node, arpHost("10.0.2.8", serverMAC)}
	l.pass(24 * time.Hour)
	assert.Equal(t, []string{"10.0.2.15/24"}, l.addresses(2))
	assert.Equal(t, "255.255.255.255:67", second.heard[0].to.String())
	assert.Equal(t, "10.0.2.8:67", second.heard[1].to.String())
	l.quiet()
}

func TestDHCPInfiniteLease(t *testing.T) {
	s := newServer(t)
	s.with = append(s.with, dhcpv4.WithLeaseTime(0xffffffff))
	l := bootDHCP(s, "dhcp")
	s.heard = nil
	l.pass(30 * 24 * time.Hour)
	assert.Empty(t, s.heard)
	assert.Equal(t, []string{"10.0.2.15/24"}, l.addresses(2))
}

func TestDHCPNak(t *testing.T) {
	s := newServer(t)
	naks := 0
	s.answer = func(m *dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 {
		if m.MessageType() == typeDiscover {
			return []*dhcpv4.DHCPv4{s.reply(m, dhcpv4.MessageTypeOffer)}
		}
		naks++
		return []*dhcpv4.DHCPv4{s.reply(m, dhcpv4.MessageTypeNak)}
	}
	l := bootDHCP(s, "dhcp")
	assert.Equal(t, 2, naks, "a first NAK has it try again at once")
	l.pass(time.Hour)
	assert.InDelta(t, 65, naks, 15)
	assert.Len(t, l.warnings, maxWarnings)
	assert.Contains(t, l.warnings[0], "eth0: DHCP server 10.0.2.2 refuses the address 10.0.2.15")
	assert.Contains(t, l.warnings[maxWarnings-1], "last warning")
	assert.Empty(t, l.addresses(2))
}

func TestDHCPNakOfRenewal(t *testing.T) {
	s := newServer(t)
	l := bootDHCP(s, "dhcp")
	s.answer = func(m *dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 {
		s.answer, s.give = nil, "10.0.2.99"
		return []*dhcpv4.DHCPv4{s.reply(m, dhcpv4.MessageTypeNak)}
	}
	l.pass(13 * time.Hour)
	l.warned("eth0: DHCP server 10.0.2.2 takes back the address 10.0.2.15")
	assert.Equal(t, []string{"10.0.2.99/24"}, l.addresses(2))
	assert.Equal(t, []string{"10.0.2.0/24 eth0", "0.0.0.0/0 via 10.0.2.2 eth0"}, l.routes())
}

func TestDHCPAddressInUse(t *testing.T) {
	s := newServer(t)
	duplicate := true
	holder := arpHost("10.0.2.15", otherMAC)
	l := bootDHCP(s, "dhcp", func(frame []byte) [][]byte {
		if !duplicate {
			return nil
		}
		return holder(frame)
	})
	// It serves at once, and finds out later.
	assert.Equal(t, []string{"10.0.2.15/24"}, l.addresses(2))
	s.give = "10.0.2.16"
	l.pass(1500 * time.Millisecond)
	l.warned("eth0: address 10.0.2.15 from DHCP server 10.0.2.2 is used by 02:00:00:00:00:77")
	assert.Empty(t, l.addresses(2))
	require.Equal(t, []dhcpv4.MessageType{typeDiscover, typeRequest, typeDecline}, s.kinds())
	d := s.heard[2]
	assert.Equal(t, "10.0.2.15", d.RequestedIPAddress().String())
	assert.Equal(t, "10.0.2.2", d.ServerIdentifier().String())
	assert.True(t, d.ClientIPAddr.IsUnspecified())
	duplicate = false
	l.pass(15 * time.Second)
	assert.Equal(t, []string{"10.0.2.16/24"}, l.addresses(2))
	assert.GreaterOrEqual(t, s.heard[3].at-d.at, declinePause)
	l.quiet()
}

func TestProbesAndAnnouncements(t *testing.T) {
	r, n := record(func(frame []byte) string {
		if header.Ethernet(frame).Type() != header.ARPProtocolNumber {
			return ""
		}
		a := header.ARP(frame[etherSize:])
		sender, target := netip.AddrFrom4([4]byte(a.ProtocolAddressSender())), netip.AddrFrom4([4]byte(a.ProtocolAddressTarget()))
		return sender.String() + " asks for " + target.String()
	})
	l := bootDHCP(newServer(t), "dhcp", n)
	l.pass(10 * time.Second)
	assert.Equal(t, map[string]int{"0.0.0.0 asks for 10.0.2.15": 3, "10.0.2.15 asks for 10.0.2.15": 2}, r.seen)
	l.quiet()
}

func TestLinkUp(t *testing.T) {
	s := newServer(t)
	s.silent = true
	l := bootDHCP(s, "dhcp")
	l.pass(10 * time.Minute)
	l.warnings, s.silent = nil, false
	l.c.LinkUp(2)
	l.pump()
	assert.Equal(t, []string{"10.0.2.15/24"}, l.addresses(2))

	// In the same network the address stays, in another one it goes.
	l.c.LinkUp(2)
	l.pump()
	assert.Equal(t, []string{"10.0.2.15/24"}, l.addresses(2))
	assert.Equal(t, "10.0.2.15", s.heard[len(s.heard)-1].ClientIPAddr.String())
	s.give = "10.0.7.7"
	s.answer = func(m *dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 {
		s.answer = nil
		return []*dhcpv4.DHCPv4{s.reply(m, dhcpv4.MessageTypeNak)}
	}
	l.c.LinkUp(2)
	l.pump()
	assert.Equal(t, []string{"10.0.7.7/24"}, l.addresses(2))
	l.c.LinkUp(99)
	l.pump()
}

type dhcpMessage = dhcpv4.DHCPv4

func optNTPServers(list ...string) dhcpv4.Option {
	var ips []net.IP
	for _, a := range list {
		ips = append(ips, net.ParseIP(a).To4())
	}
	return dhcpv4.OptNTPServers(ips...)
}
