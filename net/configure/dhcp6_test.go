package configure

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/rfc1035label"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A dhcp6Server is a DHCPv6 server, which speaks with another implementation's voice.
type dhcp6Server struct {
	t      *testing.T
	lab    *lab
	with   []dhcpv6.Modifier
	silent bool
	heard  []dhcp6Message
}

type dhcp6Message struct {
	*dhcpv6.Message
	at       time.Duration
	from, to netip.AddrPort
}

func newServer6(t *testing.T) *dhcp6Server {
	return &dhcp6Server{t: t, with: []dhcpv6.Modifier{
		dhcpv6.WithServerID(&dhcpv6.DUIDEN{EnterpriseNumber: 1, EnterpriseIdentifier: []byte("server")}),
		dhcpv6.WithDNS(net.ParseIP("fd00:1::53"), net.ParseIP("fe80::53"), net.ParseIP("ff02::1"), net.ParseIP("::1")),
		dhcpv6.WithDomainSearchList("example.org", "b.example"),
		dhcpv6.WithOption(&dhcpv6.OptNTPServer{Suboptions: dhcpv6.Options{}}),
	}}
}

func (s *dhcp6Server) node(frame []byte) [][]byte {
	d, ok := parseDatagram(s.t, frame)
	if !ok || d.to.Port() != dhcp6ServerPort {
		return nil
	}
	m, err := dhcpv6.MessageFromBytes(d.data)
	require.NoError(s.t, err)
	s.heard = append(s.heard, dhcp6Message{m, s.lab.now(), d.from, d.to})
	if s.silent {
		return nil
	}
	r, err := dhcpv6.NewReplyFromMessage(m, s.with...)
	require.NoError(s.t, err)
	return [][]byte{s.frame(r.ToBytes(), d)}
}

func (s *dhcp6Server) frame(data []byte, d datagram) []byte {
	a := datagram{fromMAC: routerMAC, toMAC: d.fromMAC, from: netip.AddrPortFrom(routerIP, dhcp6ServerPort), to: d.from, data: data}
	return a.frame()
}

// bootDHCP6 boots a lab with this server beside a router which says that there is one.
func bootDHCP6(s *dhcp6Server) *lab {
	l := newLab(s.t, "dhcp")
	s.lab = l
	a := usual
	a.flags = 0x40
	_, n := router(a)
	l.wires[0].nodes = []node{n, s.node}
	return l.start("dhcp")
}

func TestDHCP6(t *testing.T) {
	s := newServer6(t)
	l := bootDHCP6(s)
	l.pass(4 * time.Second)
	assert.Equal(t, "nameserver fd00:1::53;nameserver fe80::53%eth0;search example.org b.example;", l.resolver())
	require.Len(t, s.heard, 1)
	m := s.heard[0]
	assert.Equal(t, dhcpv6.MessageTypeInformationRequest, m.MessageType)
	assert.Equal(t, "[fe80::ff:fe00:1]:546", m.from.String())
	assert.Equal(t, "[ff02::1:2]:547", m.to.String())
	assert.Equal(t, &dhcpv6.DUIDLL{HWType: 1, LinkLayerAddr: net.HardwareAddr(l.wires[0].mac)}, m.Options.ClientID())
	assert.NotNil(t, m.GetOneOption(dhcpv6.OptionElapsedTime))
	assert.True(t, m.IsOptionRequested(dhcpv6.OptionDNSRecursiveNameServer))
	assert.True(t, m.IsOptionRequested(dhcpv6.OptionInformationRefreshTime))

	l.pass(23 * time.Hour)
	assert.Len(t, s.heard, 1)
	l.pass(2 * time.Hour)
	assert.Len(t, s.heard, 2)
	l.quiet()
}

func TestDHCP6NotOffered(t *testing.T) {
	s := newServer6(t)
	l := newLab(t, "dhcp")
	s.lab = l
	_, n := router(usual)
	l.wires[0].nodes = []node{n, s.node}
	l.start("dhcp")
	l.pass(time.Hour)
	assert.Empty(t, s.heard)
}

func TestDHCP6RefreshTime(t *testing.T) {
	for name, c := range map[string]struct {
		seconds time.Duration
		asked   int // within two hours
	}{"half an hour": {30 * time.Minute, 5}, "too short": {time.Second, 13}, "for ever": {infiniteRefresh * time.Second, 1}} {
		t.Run(name, func(t *testing.T) {
			s := newServer6(t)
			s.with = append(s.with, dhcpv6.WithOption(dhcpv6.OptInformationRefreshTime(c.seconds)))
			l := bootDHCP6(s)
			l.pass(2*time.Hour + time.Minute)
			assert.InDelta(t, c.asked, len(s.heard), 1)
		})
	}
}

func TestDHCP6Retransmission(t *testing.T) {
	s := newServer6(t)
	s.silent = true
	l := bootDHCP6(s)
	l.pass(24 * time.Hour)
	gap := time.Second
	for i := 1; i < len(s.heard); i++ {
		waited := s.heard[i].at - s.heard[i-1].at
		assert.InDelta(t, gap.Seconds(), waited.Seconds(), gap.Seconds()/4+5)
		assert.Equal(t, s.heard[0].TransactionID, s.heard[i].TransactionID)
		gap = min(2*gap, time.Hour)
	}
	assert.InDelta(t, 12+23, len(s.heard), 6)
	s.silent = false
	l.pass(2 * time.Hour)
	assert.Contains(t, l.resolver(), "fd00:1::53")
}

func TestDHCP6TimeServers(t *testing.T) {
	addr := dhcpv6.NTPSuboptionSrvAddr(net.ParseIP("fd00:1::123"))
	group := dhcpv6.NTPSuboptionMCAddr(net.ParseIP("ff05::101"))
	s := newServer6(t)
	s.with = append(s.with, dhcpv6.WithOption(&dhcpv6.OptNTPServer{Suboptions: dhcpv6.Options{&addr, &group}}))
	l := bootDHCP6(s)
	l.pass(4 * time.Second)
	assert.Equal(t, []netip.Addr{netip.MustParseAddr("fd00:1::123")}, l.c.ntp.servers)

	s = newServer6(t)
	s.with = append(s.with, dhcpv6.WithOption(&dhcpv6.OptionGeneric{OptionCode: opt6SNTP, OptionData: net.ParseIP("fd00:1::99")}))
	l = bootDHCP6(s)
	l.pass(4 * time.Second)
	assert.Equal(t, []netip.Addr{netip.MustParseAddr("fd00:1::99")}, l.c.ntp.servers)
}

// TestDHCP6UnfitAnswers shows that an answer with something wrong in it is as if there were none.
func TestDHCP6UnfitAnswers(t *testing.T) {
	for name, damage := range map[string]func(m *dhcpv6.Message) []byte{
		"other transaction": func(m *dhcpv6.Message) []byte { m.TransactionID[0]++; return m.ToBytes() },
		"other type":        func(m *dhcpv6.Message) []byte { m.MessageType = dhcpv6.MessageTypeAdvertise; return m.ToBytes() },
		"no server":         func(m *dhcpv6.Message) []byte { m.Options.Del(dhcpv6.OptionServerID); return m.ToBytes() },
		"no client":         func(m *dhcpv6.Message) []byte { m.Options.Del(dhcpv6.OptionClientID); return m.ToBytes() },
		"other client": func(m *dhcpv6.Message) []byte {
			m.UpdateOption(dhcpv6.OptClientID(&dhcpv6.DUIDLL{HWType: 1, LinkLayerAddr: net.HardwareAddr(otherMAC)}))
			return m.ToBytes()
		},
		"empty":             func(*dhcpv6.Message) []byte { return nil },
		"three bytes":       func(m *dhcpv6.Message) []byte { return m.ToBytes()[:3] },
		"half an option":    func(m *dhcpv6.Message) []byte { return append(m.ToBytes(), 0, 23, 0) },
		"option beyond end": func(m *dhcpv6.Message) []byte { return append(m.ToBytes(), 0, 23, 0, 16, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer6(t)
			l := newLab(t, "dhcp")
			s.lab = l
			a := usual
			a.flags = 0x80
			_, n := router(a)
			l.wires[0].nodes = []node{n, func(frame []byte) [][]byte {
				var damaged [][]byte
				for _, answer := range s.node(frame) {
					d, _ := parseDatagram(t, answer)
					m, err := dhcpv6.MessageFromBytes(d.data)
					require.NoError(t, err)
					d.data = damage(m)
					damaged = append(damaged, d.frame())
				}
				return damaged
			}}
			l.start("dhcp")
			l.pass(10 * time.Second)
			assert.Greater(t, len(s.heard), 1)
			assert.Equal(t, "", l.resolver())
			l.wires[0].nodes[1] = s.node
			l.pass(10 * time.Second)
			assert.NotEqual(t, "", l.resolver())
		})
	}
}

func TestDHCP6HostileOptions(t *testing.T) {
	s := newServer6(t)
	s.with = append(s.with, func(m dhcpv6.DHCPv6) {
		for i := range 50 {
			m.AddOption(dhcpv6.OptDNS(net.IP{0: 0xfd, 15: byte(i)}))
		}
		m.AddOption(&dhcpv6.OptionGeneric{OptionCode: opt6Domains, OptionData: []byte("\x03a\nb\x00\xc0\x00")})
		m.AddOption(dhcpv6.OptDomainSearchList(&rfc1035label.Labels{Labels: []string{"good.example"}}))
	})
	l := bootDHCP6(s)
	l.pass(4 * time.Second)
	i := l.c.links[0].info.information
	assert.LessOrEqual(t, len(i.dns), maxServers)
	assert.Equal(t, []string{"example.org", "b.example", "good.example"}, i.search)
}

func FuzzDHCP6(f *testing.F) {
	f.Add([]byte{0, 2, 0, 1, 1, 0, 23, 0, 16, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, options []byte) {
		l := newLab(t, "none").start("none")
		d := l.c.links[0].info
		d.xid = 7
		data := binary.BigEndian.AppendUint32(nil, dhcp6Reply<<24|7)
		data = append(append(data, 0, opt6ClientID, 0, 10), d.identifier()...)
		d.receive(append(data, options...))
		for _, a := range append(d.dns, d.ntp...) {
			assert.True(t, server(a))
		}
	})
}
