package configure

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/faketime"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/goshawk-os/goshawk/net/configure/options"
)

// A lab is a stack with links whose wires end in the test, in a time that the test moves on.
type lab struct {
	t     *testing.T
	clock *faketime.ManualClock
	stack *stack.Stack
	wires []*wire
	c     *Configuration

	files    map[string]string
	hostname string
	warnings []string
	// written are the names of the files in the order in which they were written.
	written []string
	wall    wallClock
}

// A wire is the network at one link. It takes no time.
type wire struct {
	*channel.Endpoint
	lab   *lab
	mac   tcpip.LinkAddress
	mu    sync.Mutex
	nodes []node
}

// A node is a host on a wire: it takes an Ethernet frame and returns those that it sends thereupon.
type node func(frame []byte) [][]byte

func newLab(t *testing.T, links ...string) *lab {
	l := &lab{t: t, clock: faketime.NewManualClock(), files: make(map[string]string)}
	l.wall.lab = l
	return l.with(Options{}, links...)
}

// with makes the lab's stack and configuration, with one link for each value of net=.
func (l *lab) with(o Options, links ...string) *lab {
	o.Host, o.Warn = l, func(text string) { l.warnings = append(l.warnings, text) }
	o.Clock = &l.wall
	l.c = New(o)
	l.stack = stack.New(stack.Options{
		NetworkProtocols: []stack.NetworkProtocolFactory{
			arp.NewProtocol, ipv4.NewProtocol,
			ipv6.NewProtocolWithOptions(ipv6.Options{
				NDPConfigs: ipv6.DefaultNDPConfigurations(), AutoGenLinkLocal: true,
				DADConfigs: stack.DefaultDADConfigurations(), NDPDisp: l.c.NDP(),
			}),
		},
		TransportProtocols: []stack.TransportProtocolFactory{udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
		Clock:              l.clock,
		HandleLocal:        true,
	})
	l.t.Cleanup(l.stack.Destroy)
	for i := range links {
		w := &wire{lab: l, mac: tcpip.LinkAddress([]byte{2, 0, 0, 0, 0, byte(i + 1)})}
		w.Endpoint = channel.New(1, 1500+etherSize, w.mac)
		require.Nil(l.t, l.stack.CreateNIC(tcpip.NICID(i+2), card{ethernet.New(w)}))
		l.wires = append(l.wires, w)
	}
	l.pump() // what the stack does by itself when a link comes
	return l
}

// A card is an Ethernet whose MTU is always that of IP.
type card struct{ *ethernet.Endpoint }

func (c card) SetMTU(mtu uint32) { c.Endpoint.SetMTU(mtu + etherSize) }

// start starts the configuration of the links.
func (l *lab) start(links ...string) *lab {
	var all []Link
	for i, value := range links {
		o, err := options.Parse(value)
		require.NoError(l.t, err)
		all = append(all, Link{NIC: tcpip.NICID(i + 2), Name: "eth" + string(rune('0'+i)), Options: o})
	}
	l.c.Start(l.stack, all)
	l.pump()
	return l
}

// boot is a lab with one link with these nodes, just started.
func boot(t *testing.T, value string, nodes ...node) *lab {
	l := newLab(t, value)
	l.wires[0].nodes = nodes
	return l.start(value)
}

// WritePackets carries frames to the nodes, and their answers back once the stack is done with it.
func (w *wire) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range pkts.AsSlice() {
		frame := p.ToView().ToSlice()
		for _, n := range w.nodes {
			for _, answer := range n(slices.Clone(frame)) {
				w.lab.clock.AfterFunc(0, func() { w.inject(answer) })
			}
		}
	}
	return pkts.Len(), nil
}

// inject has a frame arrive.
func (w *wire) inject(frame []byte) {
	p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)})
	w.InjectInbound(0, p)
	p.DecRef()
}

// pump lets everything happen that happens now.
func (l *lab) pump() { l.clock.Advance(0) }

// pass lets time pass.
func (l *lab) pass(d time.Duration) { l.clock.Advance(d) }

func (l *lab) now() time.Duration { return l.clock.Now().Sub(time.Unix(0, 0)) }

// The lab is the Host.

func (l *lab) ReadFile(name string) ([]byte, error) {
	if text, ok := l.files[name]; ok {
		return []byte(text), nil
	}
	return nil, errors.New("no such file")
}

func (l *lab) WriteFile(name string, data []byte) error {
	l.files[name] = string(data)
	l.written = append(l.written, name)
	return nil
}

func (l *lab) SetHostname(name string) { l.hostname = name }

// nameservers returns what resolv.conf says.
func (l *lab) resolver() string {
	_, rest, _ := strings.Cut(l.files[resolvConf], "\n")
	return strings.ReplaceAll(rest, "\n", ";")
}

// addresses returns the addresses of a link, without link-local ones.
func (l *lab) addresses(nic tcpip.NICID) []string {
	var list []string
	for _, a := range l.stack.AllAddresses()[nic] {
		n := fromStack(a.AddressWithPrefix.Address)
		if n.IsLinkLocalUnicast() || n == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
			continue
		}
		list = append(list, netip.PrefixFrom(n, a.AddressWithPrefix.PrefixLen).String())
	}
	slices.Sort(list)
	return list
}

// routes returns the routing table in its order, without those of IPv6's link-local addresses.
func (l *lab) routes() []string {
	var list []string
	for _, r := range l.stack.GetRouteTable() {
		id := r.Destination.ID()
		to := netip.PrefixFrom(fromStack(id), r.Destination.Prefix())
		if to.Addr().IsLinkLocalUnicast() {
			continue
		}
		text := to.String()
		if r.Gateway.BitLen() > 0 {
			text += " via " + fromStack(r.Gateway).String()
		}
		list = append(list, text+" eth"+string(rune('0'+r.NIC-2)))
	}
	return list
}

func (l *lab) configured() bool {
	select {
	case <-l.c.Configured():
		return true
	default:
		return false
	}
}

// quiet asserts that there was no warning.
func (l *lab) quiet() { assert.Empty(l.t, l.warnings) }

// warned asserts that there was one warning, with all these texts, and forgets it.
func (l *lab) warned(texts ...string) {
	l.t.Helper()
	if assert.Len(l.t, l.warnings, 1) {
		for _, text := range texts {
			assert.Contains(l.t, l.warnings[0], text)
		}
	}
	l.warnings = nil
}

// A wallClock counts what is done to it.
type wallClock struct {
	lab    *lab
	offset time.Duration   // of the clock to the lab's
	steps  []time.Duration // adjustments beyond stepThreshold
	slews  []time.Duration // the others
}

var epoch = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func (w *wallClock) Now() time.Time { return epoch.Add(w.lab.now() + w.offset) }

func (w *wallClock) Adjust(d time.Duration) {
	w.offset += d
	if d.Abs() > stepThreshold {
		w.steps = append(w.steps, d)
	} else {
		w.slews = append(w.slews, d)
	}
}

// Frames.

const etherSize = header.EthernetMinimumSize

// ether returns a frame.
func ether(from, to tcpip.LinkAddress, protocol tcpip.NetworkProtocolNumber, payload []byte) []byte {
	b := make([]byte, etherSize, etherSize+len(payload))
	header.Ethernet(b).Encode(&header.EthernetFields{SrcAddr: from, DstAddr: to, Type: protocol})
	return append(b, payload...)
}

// A datagram is a UDP datagram in a frame.
type datagram struct {
	fromMAC, toMAC tcpip.LinkAddress
	from, to       netip.AddrPort
	data           []byte
}

// parseDatagram checks all checksums of a frame with UDP.
func parseDatagram(t *testing.T, frame []byte) (d datagram, ok bool) {
	e := header.Ethernet(frame)
	rest := frame[etherSize:]
	var src, dst tcpip.Address
	switch e.Type() {
	case header.IPv4ProtocolNumber:
		ip := header.IPv4(rest)
		require.True(t, ip.IsValid(len(rest)))
		require.True(t, ip.IsChecksumValid())
		if ip.TransportProtocol() != header.UDPProtocolNumber {
			return d, false
		}
		src, dst, rest = ip.SourceAddress(), ip.DestinationAddress(), ip.Payload()
	case header.IPv6ProtocolNumber:
		ip := header.IPv6(rest)
		require.True(t, ip.IsValid(len(rest)))
		if ip.NextHeader() != uint8(header.UDPProtocolNumber) {
			return d, false
		}
		src, dst, rest = ip.SourceAddress(), ip.DestinationAddress(), ip.Payload()
	default:
		return d, false
	}
	u := header.UDP(rest)
	require.True(t, u.IsChecksumValid(src, dst, checksum.Checksum(u.Payload(), 0)))
	return datagram{
		fromMAC: e.SourceAddress(), toMAC: e.DestinationAddress(),
		from: netip.AddrPortFrom(fromStack(src), u.SourcePort()), to: netip.AddrPortFrom(fromStack(dst), u.DestinationPort()),
		data: slices.Clone(u.Payload()),
	}, true
}

func (d *datagram) frame() []byte {
	src, dst := toStack(d.from.Addr()), toStack(d.to.Addr())
	u := make(header.UDP, header.UDPMinimumSize+len(d.data))
	u.Encode(&header.UDPFields{SrcPort: d.from.Port(), DstPort: d.to.Port(), Length: uint16(len(u))})
	copy(u.Payload(), d.data)
	u.SetChecksum(^checksum.Checksum(u, header.PseudoHeaderChecksum(header.UDPProtocolNumber, src, dst, uint16(len(u)))))
	return ipFrame(d.fromMAC, d.toMAC, d.from.Addr(), d.to.Addr(), header.UDPProtocolNumber, 64, u)
}

// ipFrame returns a frame with an IP packet.
func ipFrame(fromMAC, toMAC tcpip.LinkAddress, from, to netip.Addr, protocol tcpip.TransportProtocolNumber, ttl uint8, payload []byte) []byte {
	if from.Is4() {
		ip := make(header.IPv4, header.IPv4MinimumSize)
		ip.Encode(&header.IPv4Fields{TotalLength: uint16(len(ip) + len(payload)), TTL: ttl, Protocol: uint8(protocol), SrcAddr: toStack(from), DstAddr: toStack(to)})
		ip.SetChecksum(^ip.CalculateChecksum())
		return ether(fromMAC, toMAC, header.IPv4ProtocolNumber, append(ip, payload...))
	}
	ip := make(header.IPv6, header.IPv6MinimumSize)
	ip.Encode(&header.IPv6Fields{PayloadLength: uint16(len(payload)), TransportProtocol: protocol, HopLimit: ttl, SrcAddr: toStack(from), DstAddr: toStack(to)})
	return ether(fromMAC, toMAC, header.IPv6ProtocolNumber, append(ip, payload...))
}

// arpHost answers ARP requests for an address.
func arpHost(address string, mac tcpip.LinkAddress) node {
	a := netip.MustParseAddr(address)
	return func(frame []byte) [][]byte {
		if header.Ethernet(frame).Type() != header.ARPProtocolNumber {
			return nil
		}
		q := header.ARP(frame[etherSize:])
		if q.Op() != header.ARPRequest || !slices.Equal(q.ProtocolAddressTarget(), a.AsSlice()) {
			return nil
		}
		r := make(header.ARP, header.ARPSize)
		r.SetIPv4OverEthernet()
		r.SetOp(header.ARPReply)
		copy(r.HardwareAddressSender(), mac)
		copy(r.ProtocolAddressSender(), a.AsSlice())
		copy(r.HardwareAddressTarget(), q.HardwareAddressSender())
		copy(r.ProtocolAddressTarget(), q.ProtocolAddressSender())
		return [][]byte{ether(mac, tcpip.LinkAddress(q.HardwareAddressSender()), header.ARPProtocolNumber, r)}
	}
}

// A recorder is a node that counts frames by what kind says of them, "" for nothing.
type recorder struct {
	kind func(frame []byte) string
	seen map[string]int
}

func record(kind func(frame []byte) string) (*recorder, node) {
	r := &recorder{kind: kind, seen: make(map[string]int)}
	return r, func(frame []byte) [][]byte {
		if k := r.kind(frame); k != "" {
			r.seen[k]++
		}
		return nil
	}
}
