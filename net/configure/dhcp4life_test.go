package configure

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

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

	// Without a reason nothing is asked.
	s.heard = nil
	l.c.LinkUp(2)
	l.pump()
	assert.Empty(t, s.heard)
	// In the same network the address stays, in another one it goes.
	l.c.LinkDown(2)
	l.c.LinkUp(2)
	l.pump()
	assert.Equal(t, []string{"10.0.2.15/24"}, l.addresses(2))
	assert.Equal(t, "10.0.2.15", s.heard[len(s.heard)-1].ClientIPAddr.String())
	s.give = "10.0.7.7"
	s.answer = func(m *dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 {
		s.answer = nil
		return []*dhcpv4.DHCPv4{s.reply(m, dhcpv4.MessageTypeNak)}
	}
	l.c.LinkDown(2)
	l.c.LinkUp(2)
	l.pump()
	assert.Equal(t, []string{"10.0.7.7/24"}, l.addresses(2))
	l.c.LinkUp(99)
	l.pump()
}
