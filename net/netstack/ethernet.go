package netstack

import (
	"encoding/binary"
	"math"
	"strconv"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	minMTU         = 68 // RFC 791
	ethernetHeader = header.EthernetMinimumSize
)

// ethernet is the link of a device.
type ethernet struct {
	link     *Link
	device   Device
	offloads Offloads
	gso      stack.SupportedGSO
	maxMTU   uint32
	mtu      atomic.Uint32
	address  atomic.Pointer[address]
	pairs    []*pair

	dispatcher atomic.Pointer[stack.NetworkDispatcher]
	direct     direct                // nil if gVisor's NIC has no direct way
	ip4, ip6   stack.NetworkEndpoint // gVisor's, set before frames arrive

	failed sync.Once
}

// address is an Ethernet address in its two forms.
type address struct {
	link tcpip.LinkAddress
	bits uint64 // as linkBits returns
}

// linkBits returns the six bytes of an Ethernet address as a number.
func linkBits(p []byte) uint64 {
	return uint64(binary.BigEndian.Uint32(p))<<16 | uint64(binary.BigEndian.Uint16(p[4:]))
}

const (
	broadcastBits = 1<<48 - 1
	groupBit      = 1 << 40 // of group addresses, broadcast included (IEEE 802, 8.2.2)
	localBit      = 2 << 40 // of addresses not given by a vendor
)

// AddLink takes a device into service as a link of that name, which is up.
func (s *Stack) AddLink(name string, d Device) (*Link, error) {
	if d.MTU() < minMTU {
		return nil, deviceError("device has an MTU of " + strconv.Itoa(d.MTU()) + ", less than " + strconv.Itoa(minMTU))
	}
	s.adding.Lock()
	defer s.adding.Unlock()
	l := &Link{stack: s, index: len(s.Links()) + 1, name: name}
	e := &ethernet{link: l, device: d, offloads: d.Offloads(), maxMTU: uint32(min(d.MTU(), math.MaxUint16)), gso: stack.GVisorGSOSupported}
	e.mtu.Store(e.maxMTU)
	if e.offloads.SendTSO4 && e.offloads.SendTSO6 {
		e.gso = stack.HostGSOSupported
	}
	e.address.Store(s.chooseAddress(d))
	pairs := d.Pairs()
	for _, p := range pairs {
		e.pairs = append(e.pairs, newPair(e, p, len(pairs)))
	}
	l.carrier.Store(d.Carrier())
	if err := s.create(l, e); err != nil {
		return nil, deviceError(err.String())
	}
	id := l.id()
	var err tcpip.Error
	e.ip4, err = s.GetNetworkEndpoint(id, header.IPv4ProtocolNumber)
	must(err)
	e.ip6, err = s.GetNetworkEndpoint(id, header.IPv6ProtocolNumber)
	must(err)
	e.direct, _ = (*e.dispatcher.Load()).(direct)
	d.Watch(e.carrierChanged)
	for _, p := range e.pairs {
		p.start()
	}
	go func() {
		<-d.Done()
		e.fail()
	}()
	s.linkChanged(l)
	return l, nil
}

// chooseAddress returns the device's address, or a random one of those that nobody owns.
func (s *Stack) chooseAddress(d Device) *address {
	mac, ok := d.MAC()
	if bits := linkBits(mac[:]); !ok || bits&groupBit != 0 || bits == 0 {
		rng := s.SecureRNG()
		binary.BigEndian.PutUint16(mac[:], rng.Uint16())
		binary.BigEndian.PutUint32(mac[2:], rng.Uint32())
		mac[0] = mac[0]&^1 | 2
	}
	return &address{tcpip.LinkAddress(mac[:]), linkBits(mac[:])}
}

func (e *ethernet) carrierChanged() {
	up := e.device.Carrier()
	if e.link.carrier.Swap(up) != up {
		e.link.stack.linkChanged(e.link)
	}
}

// fail takes the link of a device that is out of service down.
func (e *ethernet) fail() {
	e.failed.Do(func() {
		l := e.link
		for _, p := range e.pairs {
			p.close()
		}
		l.carrier.Store(false)
		if err := e.device.Err(); err != nil {
			l.stack.warn(l.name + ": " + err.Error())
		}
		// What waits for neighbours on it is told.
		if err := l.stack.DisableNIC(l.id()); err == nil {
			l.up.Store(false)
		}
		l.stack.linkChanged(l)
	})
}

func (e *ethernet) MTU() uint32                  { return e.mtu.Load() }
func (e *ethernet) SetMTU(mtu uint32)            { e.mtu.Store(min(mtu, e.maxMTU)) }
func (*ethernet) MaxHeaderLength() uint16        { return ethernetHeader }
func (*ethernet) Wait()                          {}
func (*ethernet) Close()                         {}
func (*ethernet) SetOnCloseAction(func())        {}
func (e *ethernet) GSOMaxSize() uint32           { return math.MaxUint16 }
func (e *ethernet) IsAttached() bool             { return e.dispatcher.Load() != nil }
func (e *ethernet) setPromiscuous(on bool) error { return e.device.SetReceive(on, on) }

func (e *ethernet) SupportedGSO() stack.SupportedGSO      { return e.gso }
func (*ethernet) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareEther }
func (e *ethernet) LinkAddress() tcpip.LinkAddress        { return e.address.Load().link }

// SetLinkAddress is called with an address of six bytes that is not one of a group.
func (e *ethernet) SetLinkAddress(a tcpip.LinkAddress) {
	e.address.Store(&address{a, linkBits([]byte(a))})
}

// Capabilities leaves checksums to gVisor but where segmentation is the device's: then TCP asks for
// a partial checksum in each packet's GSOOptions. Received packets carry what is known of theirs.
func (*ethernet) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityResolutionRequired
}

func (e *ethernet) Attach(d stack.NetworkDispatcher) {
	if d == nil {
		e.dispatcher.Store(nil)
		return
	}
	e.dispatcher.Store(&d)
}

// AddHeader puts the Ethernet header before a packet.
func (e *ethernet) AddHeader(pkt *stack.PacketBuffer) {
	h := pkt.LinkHeader().Push(ethernetHeader)
	copy(h[0:6], pkt.EgressRoute.RemoteLinkAddress)
	copy(h[6:12], pkt.EgressRoute.LocalLinkAddress)
	binary.BigEndian.PutUint16(h[12:], uint16(pkt.NetworkProtocolNumber))
}

// ParseHeader finds the Ethernet header of a packet that a program has made.
func (*ethernet) ParseHeader(pkt *stack.PacketBuffer) bool {
	_, ok := pkt.LinkHeader().Consume(ethernetHeader)
	return ok
}

func (e *ethernet) largestMTU() int { return int(e.maxMTU) }

func (e *ethernet) statistics() Statistics {
	var sum Statistics
	for _, p := range e.pairs {
		p.addStatistics(&sum)
	}
	return sum
}
