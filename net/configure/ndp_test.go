package configure

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

const routerMAC = tcpip.LinkAddress("\x02\x00\x00\x00\x00\x55")

var (
	routerIP  = netip.MustParseAddr("fe80::55")
	serverIP6 = netip.MustParseAddr("fd00::9")
	allNodes  = netip.MustParseAddr("ff02::1")
)

// An advert is a router advertisement (RFC 4861, section 4.2).
type advert struct {
	from     netip.Addr
	flags    byte // M 0x80, O 0x40, preference 0x18
	lifetime uint16
	options  []byte
}

func (a advert) with(option []byte) advert {
	a.options = append(a.options[:len(a.options):len(a.options)], option...)
	return a
}

func (a advert) frame() []byte {
	b := []byte{byte(header.ICMPv6RouterAdvert), 0, 0, 0, 64, a.flags}
	b = binary.BigEndian.AppendUint16(b, a.lifetime)
	b = append(append(b, make([]byte, 8)...), a.options...)
	icmp := header.ICMPv6(b)
	icmp.SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: icmp, Src: toStack(a.from), Dst: toStack(allNodes)}))
	return ipFrame(routerMAC, header.EthernetAddressFromMulticastIPv6Address(toStack(allNodes)), a.from, allNodes, header.ICMPv6ProtocolNumber, 255, b)
}

// prefix is an option that says that a prefix is on the link and for addresses.
func prefix(p string, valid, preferred uint32) []byte {
	n := netip.MustParsePrefix(p)
	b := []byte{3, 4, byte(n.Bits()), 0xc0}
	b = binary.BigEndian.AppendUint32(b, valid)
	b = binary.BigEndian.AppendUint32(b, preferred)
	return append(append(b, 0, 0, 0, 0), n.Addr().AsSlice()...)
}

func rdnss(lifetime uint32, addrs ...string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{25, byte(1 + 2*len(addrs)), 0, 0}, lifetime)
	for _, a := range addrs {
		b = append(b, netip.MustParseAddr(a).AsSlice()...)
	}
	return b
}

func dnssl(lifetime uint32, names ...string) []byte {
	var text []byte
	for _, name := range names {
		for label := range strings.SplitSeq(name, ".") {
			text = append(append(text, byte(len(label))), label...)
		}
		text = append(text, 0)
	}
	text = append(text, make([]byte, (8-len(text)%8)%8)...)
	return append(binary.BigEndian.AppendUint32([]byte{31, byte(1 + len(text)/8), 0, 0}, lifetime), text...)
}

// router answers solicitations.
func router(a advert) (*recorder, node) {
	r, n := record(func(frame []byte) string {
		if header.Ethernet(frame).Type() != header.IPv6ProtocolNumber {
			return ""
		}
		ip := header.IPv6(frame[etherSize:])
		if ip.NextHeader() == uint8(header.ICMPv6ProtocolNumber) && header.ICMPv6(ip.Payload()).Type() == header.ICMPv6RouterSolicit {
			return "solicitation"
		}
		return ""
	})
	return r, func(frame []byte) [][]byte {
		before := r.seen["solicitation"]
		n(frame)
		if r.seen["solicitation"] == before {
			return nil
		}
		return [][]byte{a.frame()}
	}
}

var usual = advert{from: routerIP, lifetime: 1800}.with(prefix("fd00:1::/64", 7200, 3600))

const slaacAddress = "fd00:1::ff:fe00:1/64" // of 02:00:00:00:00:01

func TestRouterAdvertisement(t *testing.T) {
	r, n := router(usual.with(rdnss(600, "fd00:1::53", "fe80::53")).with(dnssl(600, "example.org", "b.example")))
	l := boot(t, "dhcp", n)
	for r.seen["solicitation"] == 0 && l.now() < 2*time.Second {
		l.pass(10 * time.Millisecond)
	}
	assert.LessOrEqual(t, l.now(), time.Second)
	// A second until the address is known to be nobody else's, and one that IPv4 gets.
	l.pass(1900 * time.Millisecond)
	assert.False(t, l.configured())
	l.pass(200 * time.Millisecond)
	assert.True(t, l.configured())
	l.pass(3 * time.Second)
	assert.Equal(t, []string{slaacAddress}, l.addresses(2))
	assert.Equal(t, []string{"fd00:1::/64 eth0", "::/0 via fe80::55 eth0"}, l.routes())
	assert.Equal(t, "nameserver fd00:1::53;nameserver fe80::53%eth0;search example.org b.example;", l.resolver())

	// No solicitations beyond the three, and no complaint about DHCP where IPv6 works.
	l.pass(5 * time.Minute)
	assert.Equal(t, 3, r.seen["solicitation"])
	l.quiet()

	// The name servers' life ends, then the router's, then the prefix's.
	l.pass(6 * time.Minute)
	assert.Equal(t, "", l.resolver())
	assert.Equal(t, []string{"fd00:1::/64 eth0", "::/0 via fe80::55 eth0"}, l.routes())
	l.pass(20 * time.Minute)
	assert.Equal(t, []string{"fd00:1::/64 eth0"}, l.routes())
	l.pass(100 * time.Minute)
	assert.Empty(t, l.routes())
	assert.Empty(t, l.addresses(2))
}

func TestRouterAdvertisementChanges(t *testing.T) {
	_, n := router(usual.with(rdnss(600, "fd00:1::53")))
	l := boot(t, "dhcp", n)
	w := l.wires[0]
	l.pass(3 * time.Second)

	other := netip.MustParseAddr("fe80::66")
	w.inject(advert{from: other, lifetime: 1800, flags: 0x08}.frame()) // high preference
	l.pump()
	assert.Equal(t, []string{"fd00:1::/64 eth0", "::/0 via fe80::66 eth0", "::/0 via fe80::55 eth0"}, l.routes())
	w.inject(advert{from: other, lifetime: 1800, flags: 0x18}.frame()) // low
	l.pump()
	assert.Equal(t, []string{"fd00:1::/64 eth0", "::/0 via fe80::55 eth0", "::/0 via fe80::66 eth0"}, l.routes())
	w.inject(advert{from: routerIP}.frame()) // is no router any more
	l.pump()
	assert.Equal(t, []string{"fd00:1::/64 eth0", "::/0 via fe80::66 eth0"}, l.routes())

	w.inject(advert{from: routerIP}.with(rdnss(0, "fd00:1::53")).with(rdnss(0xffffffff, "fd00:1::54")).frame())
	l.pump()
	assert.Equal(t, "nameserver fd00:1::54;", l.resolver())
	l.pass(30 * time.Hour)
	assert.Equal(t, "nameserver fd00:1::54;", l.resolver())
}

// TestRouterHostileOptions shows that bad name servers and domains do not get into resolv.conf.
func TestRouterHostileOptions(t *testing.T) {
	l := boot(t, "dhcp")
	l.pass(3 * time.Second)
	for _, option := range [][]byte{
		rdnss(600, "ff02::1"), rdnss(600, "::"), rdnss(600, "::1"), rdnss(600, "::ffff:10.0.0.1"), rdnss(600), rdnss(600, "fd00::53")[:12],
		dnssl(600, "a b.example"), dnssl(600, "a\nnameserver.example"), dnssl(600, ""), dnssl(600, strings.Repeat("a", 64)),
	} {
		l.wires[0].inject(advert{from: routerIP, lifetime: 1800}.with(option).frame())
		l.pump()
	}
	assert.Equal(t, "", l.resolver())
	l.wires[0].inject(advert{from: serverIP6, lifetime: 1800}.with(rdnss(600, "fd00::53")).frame())
	l.pump()
	assert.Equal(t, "", l.resolver(), "a router has a link-local address")
}

// TestManagedAddresses has a router say that addresses come from DHCPv6, which gives the machine none.
func TestManagedAddresses(t *testing.T) {
	_, n := router(advert{from: routerIP, lifetime: 1800, flags: 0x80}.with(rdnss(600, "fd00:1::53")))
	l := boot(t, "dhcp", n)
	l.pass(9 * time.Second)
	assert.False(t, l.configured())
	l.pass(2 * time.Second)
	l.warned("eth0: no DHCP answer, and IPv6 addresses are from DHCPv6 alone")
	assert.True(t, l.configured())
}

// TestRouterFlood has a hostile host pretend to be many routers with many name servers.
func TestRouterFlood(t *testing.T) {
	l := boot(t, "dhcp")
	l.pass(3 * time.Second)
	for i := range 1000 {
		from := netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 13: byte(i >> 8), 14: byte(i), 15: 1})
		dns := netip.AddrFrom16([16]byte{0: 0xfd, 13: byte(i >> 8), 14: byte(i), 15: 1}).String()
		l.wires[0].inject(advert{from: from, lifetime: 1800}.with(rdnss(600, dns)).with(dnssl(600, "d"+strings.Repeat("x", i%50)+".example")).frame())
		l.pump()
	}
	assert.LessOrEqual(t, len(l.routes()), 10)
	assert.Equal(t, maxServers, len(l.c.links[0].ndp.dns))
	assert.Equal(t, maxDomains, len(l.c.links[0].ndp.search))
	assert.Equal(t, 3, strings.Count(l.resolver(), "nameserver"))
}

// TestRouterFlap has a hostile router come and go with its prefixes faster than anybody can follow.
func TestRouterFlap(t *testing.T) {
	l := boot(t, "dhcp")
	l.pass(3 * time.Second)
	slow := make(chan struct{})
	l.c.jobs.post(func() { <-slow })
	for i := range 1000 {
		p := netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 6: byte(i >> 8), 7: byte(i)}), 64).String()
		l.wires[0].inject(advert{from: routerIP, lifetime: 1800}.with(prefix(p, 7, 7)).frame())
		l.wires[0].inject(advert{from: routerIP}.with(prefix(p, 0, 0)).frame())
	}
	l.c.jobs.mu.Lock()
	assert.NotEmpty(t, l.c.jobs.queue)
	assert.Less(t, len(l.c.jobs.queue), 2*maxJobs)
	l.c.jobs.mu.Unlock()
	close(slow)
	l.wires[0].inject(advert{from: routerIP, lifetime: 1800}.with(prefix("fd01::/64", 600, 600)).frame())
	l.pass(10 * time.Second)
	assert.ElementsMatch(t, []string{"::/0 via fe80::55 eth0", "fd01::/64 eth0"}, l.routes())
	assert.Empty(t, l.c.links[0].ndp.checked, "nobody asks for them")
}

func TestIPv6AddressInUse(t *testing.T) {
	// Another host answers for every address that is asked for.
	answer := func(frame []byte) [][]byte {
		if header.Ethernet(frame).Type() != header.IPv6ProtocolNumber {
			return nil
		}
		ip := header.IPv6(frame[etherSize:])
		if ip.NextHeader() != uint8(header.ICMPv6ProtocolNumber) || header.ICMPv6(ip.Payload()).Type() != header.ICMPv6NeighborSolicit {
			return nil
		}
		target := header.NDPNeighborSolicit(header.ICMPv6(ip.Payload()).MessageBody()).TargetAddress()
		b := header.ICMPv6(make([]byte, header.ICMPv6NeighborAdvertMinimumSize+8))
		b.SetType(header.ICMPv6NeighborAdvert)
		na := header.NDPNeighborAdvert(b.MessageBody())
		na.SetTargetAddress(target)
		na.SetOverrideFlag(true)
		na.Options().Serialize(header.NDPOptionsSerializer{header.NDPTargetLinkLayerAddressOption(otherMAC)})
		b.SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: b, Src: target, Dst: toStack(allNodes)}))
		return [][]byte{ipFrame(otherMAC, header.EthernetAddressFromMulticastIPv6Address(toStack(allNodes)), fromStack(target), allNodes, header.ICMPv6ProtocolNumber, 255, b)}
	}
	l := boot(t, "addr=fd00::2/64", answer)
	l.pass(3 * time.Second)
	assert.Empty(t, l.addresses(2))
	assert.True(t, l.configured())
	if assert.Len(t, l.warnings, 2) {
		assert.Contains(t, l.warnings[0]+l.warnings[1], "eth0: address fd00::2 is used by 02:00:00:00:00:77 too; this machine does without it")
		assert.Contains(t, l.warnings[0]+l.warnings[1], "eth0: address fe80::ff:fe00:1 is used by 02:00:00:00:00:77 too")
	}
}
