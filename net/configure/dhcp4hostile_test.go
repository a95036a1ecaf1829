package configure

import (
	"bytes"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gvisor.dev/gvisor/pkg/tcpip"
)

// TestDHCPUnfitAnswers shows that an answer with something wrong in it is as if there were none, and
// that the warning says what is wrong with it.
func TestDHCPUnfitAnswers(t *testing.T) {
	generic := func(code uint8, value ...byte) dhcpv4.Modifier {
		return dhcpv4.WithGeneric(dhcpv4.GenericOptionCode(code), value)
	}
	without := func(code uint8) dhcpv4.Modifier { return dhcpv4.WithoutOption(dhcpv4.GenericOptionCode(code)) }
	const unheard = "no DHCP answer"
	for name, c := range map[string]struct {
		with dhcpv4.Modifier
		warn string
	}{
		"other transaction":     {dhcpv4.WithTransactionID([4]byte{1, 2, 3, 4}), unheard},
		"other client":          {dhcpv4.WithHwAddr(net.HardwareAddr(otherMAC)), unheard},
		"long hardware address": {dhcpv4.WithHwAddr(make(net.HardwareAddr, 16)), unheard},
		"a request":             {func(d *dhcpv4.DHCPv4) { d.OpCode = dhcpv4.OpcodeBootRequest }, unheard},
		"no Ethernet":           {func(d *dhcpv4.DHCPv4) { d.HWType = 6 }, unheard},
		"no type":               {without(optMessageType), unheard},
		"unknown type":          {generic(optMessageType, 99), unheard},
		"long type":             {generic(optMessageType, 2, 2), unheard},
		"no server":             {without(optServerID), "it does not say which server"},
		"server is a group":     {generic(optServerID, 224, 0, 0, 1), "it does not say which server"},
		"server is everyone":    {generic(optServerID, 255, 255, 255, 255), "it does not say which server"},
		"short server":          {generic(optServerID, 10, 0, 2), "it does not say which server"},
		"no address":            {dhcpv4.WithYourIP(net.IPv4zero), "it gives 0.0.0.0, which is no host's address"},
		"group's address":       {dhcpv4.WithYourIP(net.IPv4(239, 1, 2, 3)), "which is no host's address"},
		"loopback's address":    {dhcpv4.WithYourIP(net.IPv4(127, 0, 0, 1)), "which is no host's address"},
		"broadcast address":     {dhcpv4.WithYourIP(net.IPv4(10, 0, 2, 255)), "which is no host's address in 10.0.2.0/24"},
		"subnet's address":      {dhcpv4.WithYourIP(net.IPv4(10, 0, 2, 0)), "which is no host's address in 10.0.2.0/24"},
		"no lease time":         {without(optLeaseTime), "its lease is shorter than 10s"},
		"lease of 0":            {generic(optLeaseTime, 0, 0, 0, 0), "its lease is shorter than 10s"},
		"short lease":           {generic(optLeaseTime, 0, 0, 0, 9), "its lease is shorter than 10s"},
		"long lease time":       {generic(optLeaseTime, 0, 0, 0, 0, 0), "its lease is shorter than 10s"},
		"mask with holes":       {generic(optSubnetMask, 255, 0, 255, 0), "its subnet mask is none"},
		"mask of all":           {generic(optSubnetMask, 0, 0, 0, 0), "its subnet mask is none"},
		"short mask":            {generic(optSubnetMask, 255, 255), "its subnet mask is none"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.answer = func(m *dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 {
				kind := dhcpv4.MessageTypeOffer
				if m.MessageType() == typeRequest {
					kind = dhcpv4.MessageTypeAck
				}
				return []*dhcpv4.DHCPv4{s.reply(m, kind, c.with)}
			}
			l := bootDHCP(s, "dhcp")
			l.pass(11 * time.Second)
			assert.Empty(t, l.addresses(2))
			l.warned("eth0: ", c.warn)

			s.answer = nil
			l.pass(2 * time.Minute)
			assert.Equal(t, []string{"10.0.2.15/24"}, l.addresses(2))
		})
	}
}

// TestDHCPUnfitOptions shows that what is wrong with less important options costs only those.
func TestDHCPUnfitOptions(t *testing.T) {
	s := newServer(t)
	for code, value := range map[uint8]string{
		optDNS: "\x0a\x00\x02", optRouter: "\x00", optNTP: "", optInterfaceMTU: "\x00\x44", optRenewal: "\xff\xff\xff\xff",
		optHostName: "a b\nnameserver 6.6.6.6", optDomainName: "x\nnameserver 6.6.6.6", optDomainSearch: "\x04a\nb \x00\x01", optStaticRoutes: "\xff",
	} {
		s.with = append(s.with, dhcpv4.WithGeneric(dhcpv4.GenericOptionCode(code), []byte(value)))
	}
	l := bootDHCP(s, "dhcp")
	assert.Equal(t, []string{"10.0.2.15/24"}, l.addresses(2))
	assert.Equal(t, []string{"10.0.2.0/24 eth0"}, l.routes())
	assert.Equal(t, "", l.resolver())
	assert.Equal(t, "goshawk", l.hostname)
	assert.EqualValues(t, 1500, l.stack.NICInfo()[2].MTU)
	s.heard = nil
	l.pass(13 * time.Hour)
	assert.Len(t, s.heard, 1)
	l.quiet()
}

func TestDHCPMTUBeyondDevice(t *testing.T) {
	s := newServer(t)
	s.with = append(s.with, dhcpv4.WithGeneric(dhcpv4.OptionInterfaceMTU, []byte{0xff, 0xff}))
	l := bootDHCP(s, "dhcp")
	assert.EqualValues(t, 1500, l.stack.NICInfo()[2].MTU)
}

// TestDHCPDamagedDatagrams has datagrams of wrong form arrive, each in place of a good one.
func TestDHCPDamagedDatagrams(t *testing.T) {
	cut := func(n int) func(*datagram) { return func(d *datagram) { d.data = d.data[:n] } }
	for name, damage := range map[string]func(d *datagram){
		"empty":                cut(0),
		"header only":          cut(dhcpHeaderSize),
		"half a cookie":        cut(dhcpHeaderSize + 2),
		"no options":           cut(dhcpHeaderSize + 4),
		"half an option":       cut(dhcpHeaderSize + 5),
		"option beyond end":    func(d *datagram) { d.data = append(d.data[:dhcpHeaderSize+4], optMessageType, 200, 2) },
		"other cookie":         func(d *datagram) { d.data[dhcpHeaderSize]++ },
		"other port":           func(d *datagram) { d.to = netip.AddrPortFrom(d.to.Addr(), 69) },
		"longer than a packet": func(d *datagram) { d.data = append(d.data, make([]byte, maxDatagram)...) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			l := newLab(t, "dhcp")
			l.wires[0].nodes = []node{func(frame []byte) [][]byte {
				var damaged [][]byte
				for _, answer := range s.node(frame) {
					d, ok := parseDatagram(t, answer)
					require.True(t, ok)
					damage(&d)
					damaged = append(damaged, d.frame())
				}
				return damaged
			}}
			l.start("dhcp")
			l.pass(5 * time.Second)
			assert.Empty(t, l.addresses(2))
			assert.NotContains(t, s.kinds(), typeRequest)
		})
	}

	t.Run("wrong checksum", func(t *testing.T) {
		s := newServer(t)
		l := newLab(t, "dhcp")
		l.wires[0].nodes = []node{func(frame []byte) [][]byte {
			answers := s.node(frame)
			for _, a := range answers {
				a[len(a)-1] ^= 1
			}
			return answers
		}}
		l.start("dhcp")
		assert.Empty(t, l.addresses(2))
	})
}

func TestDHCPOverload(t *testing.T) {
	s := newServer(t)
	l := newLab(t, "dhcp")
	l.wires[0].nodes = []node{func(frame []byte) [][]byte {
		var changed [][]byte
		for _, answer := range s.node(frame) {
			d, _ := parseDatagram(t, answer)
			// The mask is in file, the DNS server in sname, in two parts.
			copy(d.data[108:], []byte{optSubnetMask, 4, 255, 255, 0, 0, optDNS, 2, 10, 0, optEnd})
			copy(d.data[44:], []byte{optPad, optDNS, 2, 2, 77, optEnd})
			rest := bytes.Clone(d.data[dhcpHeaderSize+4:])
			rest = bytes.Replace(rest, []byte{optSubnetMask, 4, 255, 255, 255, 0}, []byte{optOverload, 1, 3, 0, 0, 0}, 1)
			rest = bytes.Replace(rest, []byte{optDNS, 4, 10, 0, 2, 3}, make([]byte, 6), 1)
			d.data = append(d.data[:dhcpHeaderSize+4], rest...)
			changed = append(changed, d.frame())
		}
		return changed
	}}
	l.start("dhcp")
	assert.Equal(t, []string{"10.0.2.15/16"}, l.addresses(2))
	assert.Equal(t, "nameserver 10.0.2.77;", l.resolver())
}

// TestDHCPFlood shows that answers in any number cost no more than bounded memory.
func TestDHCPFlood(t *testing.T) {
	s := newServer(t)
	l := newLab(t, "dhcp")
	s.lab = l
	l.c.stack = l.stack
	d := newDHCP4(newLink(l.c, Link{NIC: 2, Name: "eth0"}))
	d.tap.start()
	m, err := dhcpv4.NewDiscovery(net.HardwareAddr(d.link.mac))
	require.NoError(t, err)
	for range 10000 {
		l.wires[0].inject(s.frame(s.reply(m, dhcpv4.MessageTypeOffer), datagram{}))
	}
	assert.Len(t, l.c.jobs.queue, maxJobs)
}

func FuzzReply4(f *testing.F) {
	m, err := dhcpv4.NewDiscovery(net.HardwareAddr("\x02\x00\x00\x00\x00\x01"))
	require.NoError(f, err)
	s := newServer(nil)
	r, err := dhcpv4.NewReplyFromRequest(m, append([]dhcpv4.Modifier{
		dhcpv4.WithMessageType(dhcpv4.MessageTypeOffer), dhcpv4.WithYourIP(net.IPv4(10, 0, 2, 15)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 0, 2, 2))),
		dhcpv4.WithGeneric(dhcpv4.OptionClasslessStaticRoute, []byte{0, 10, 0, 2, 2}),
		dhcpv4.WithGeneric(dhcpv4.OptionDNSDomainSearchList, []byte("\x01a\x00\x01b\xc0\x00")),
	}, s.with...)...)
	require.NoError(f, err)
	mac := tcpip.LinkAddress("\x02\x00\x00\x00\x00\x01")
	f.Add(r.ToBytes()[dhcpHeaderSize+4:])
	f.Fuzz(func(t *testing.T, options []byte) {
		data := append(r.ToBytes()[:dhcpHeaderSize+4], options...)
		p, ok := parseReply4(data, mac)
		if !ok {
			return
		}
		l, reason := newLease(&p)
		if reason != "" {
			assert.Nil(t, l)
			return
		}
		assert.True(t, l.prefix.Addr().Is4() && l.prefix.Bits() > 0)
		assert.GreaterOrEqual(t, l.lifetime, minLease)
		if l.lifetime != infinite {
			assert.True(t, 0 < l.renew && l.renew < l.rebind && l.rebind < l.lifetime, "%v %v %v", l.renew, l.rebind, l.lifetime)
		}
		assert.LessOrEqual(t, len(l.routes), maxRoutes+1)
		for _, text := range append(l.search, l.domain, l.hostname) {
			assert.False(t, strings.ContainsAny(text, " \n\t;#"), "%q", text)
		}
		for _, a := range append(append([]netip.Addr{l.server}, l.dns...), l.ntp...) {
			assert.True(t, server(a))
		}
	})
}
