package configure

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
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

type dhcpMessage = dhcpv4.DHCPv4

func optNTPServers(list ...string) dhcpv4.Option {
	var ips []net.IP
	for _, a := range list {
		ips = append(ips, net.ParseIP(a).To4())
	}
	return dhcpv4.OptNTPServers(ips...)
}
