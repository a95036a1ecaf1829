package stack

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// The packets of a TCP connection take a direct way between link and endpoint. What the IP layer would do
// with them it did when the connection was made; whatever is unusual takes the long way. There are no
// packet filters: the kernel lets nobody set any.

// A directEndpoint is a transport endpoint that can take packets directly.
type directEndpoint interface {
	TransportEndpoint
	// Direct reports whether the endpoint is one end of a connection with another host.
	Direct() bool
}

// DeliverDirect delivers a received packet to the TCP connection that it belongs to. It returns false if
// the packet must take the long way; then nothing has been done. The packet's data begins with the
// network header.
func (n *nic) DeliverDirect(pkt *PacketBuffer) bool {
	const least = header.IPv4MinimumSize + header.TCPMinimumSize
	at := pkt.dataOffset()
	p := pkt.buf.Front(at, least)
	if p == nil || !n.Enabled() {
		return false
	}
	var id TransportEndpointID
	var network, length int // of the network header, of the packet
	switch {
	case pkt.NetworkProtocolNumber == header.IPv4ProtocolNumber && p[0]>>4 == header.IPv4Version:
		network, length = header.IPv4MinimumSize, int(binary.BigEndian.Uint16(p[2:]))
		const fragment = 0x3fff // more fragments, or not the first
		if p[0] != 0x45 || p[9] != uint8(header.TCPProtocolNumber) || binary.BigEndian.Uint16(p[6:])&fragment != 0 ||
			!pkt.RXChecksumValidated && checksum.Checksum(p[:header.IPv4MinimumSize], 0) != 0xffff {
			return false
		}
		id.RemoteAddress, id.LocalAddress = tcpip.AddrFrom4([4]byte(p[12:])), tcpip.AddrFrom4([4]byte(p[16:]))
	case pkt.NetworkProtocolNumber == header.IPv6ProtocolNumber && p[0]>>4 == header.IPv6Version:
		network, length = header.IPv6MinimumSize, header.IPv6MinimumSize+int(binary.BigEndian.Uint16(p[4:]))
		if p[6] != uint8(header.TCPProtocolNumber) {
			return false
		}
		if p = pkt.buf.Front(at, header.IPv6MinimumSize+header.TCPMinimumSize); p == nil {
			return false
		}
		id.RemoteAddress, id.LocalAddress = tcpip.AddrFrom16([16]byte(p[8:])), tcpip.AddrFrom16([16]byte(p[24:]))
	default:
		return false
	}
	t := p[network:]
	transport := int(t[12] >> 4 * 4)
	const flags = uint8(header.TCPFlagSyn | header.TCPFlagRst)
	if t[13]&flags != 0 || transport < header.TCPMinimumSize || network+transport > length || length > pkt.Data().Size() ||
		pkt.buf.Front(at, network+transport) == nil {
		return false
	}
	id.RemotePort, id.LocalPort = binary.BigEndian.Uint16(t), binary.BigEndian.Uint16(t[2:])
	d := n.stack.demux
	ids := protocolIDs{pkt.NetworkProtocolNumber, header.TCPProtocolNumber}
	ep := d.protocol[ids].connection(id)
	if ep == nil {
		return false
	}

	pkt.buf.Truncate(int64(at + length)) // an Ethernet may have padded it
	pkt.headers[networkHeader] = headerInfo{pkt.consumed, network}
	pkt.headers[transportHeader] = headerInfo{pkt.consumed + network, transport}
	pkt.consumed += network + transport
	pkt.TransportProtocolNumber = header.TCPProtocolNumber
	pkt.NICID = n.id
	n.stack.stats.IP.PacketsReceived.Increment()
	n.stack.stats.IP.ValidPacketsReceived.Increment()
	n.stack.stats.IP.PacketsDelivered.Increment()
	d.queuedProtocols[ids].QueuePacket(ep, id, pkt)
	return true
}

// connection returns the end of a connection that packets with this id go to, and to nobody else; nil if
// there is none.
func (eps *transportEndpoints) connection(id TransportEndpointID) TransportEndpoint {
	eps.mu.RLock()
	byNIC := eps.endpoints[id]
	shared := len(eps.rawEndpoints) > 0
	eps.mu.RUnlock()
	if byNIC == nil || shared {
		return nil
	}
	byNIC.mu.RLock()
	m := byNIC.endpoints[0]
	byNIC.mu.RUnlock()
	if m == nil {
		return nil
	}
	m.mu.RLock()
	var ep TransportEndpoint
	if len(m.endpoints) == 1 {
		ep = m.endpoints[0]
	}
	m.mu.RUnlock()
	if c, ok := ep.(directEndpoint); !ok || !c.Direct() {
		return nil
	}
	return ep
}

// Counters returns the stack's counters.
func (s *Stack) Counters() *tcpip.Stats { return &s.stats }

// Counters returns the counters of the route's stack.
func (r *Route) Counters() *tcpip.Stats { return &r.outgoingNIC.stack.stats }

// A packetWriter is a link endpoint that takes a packet without a list around it.
type packetWriter interface {
	WritePacket(*PacketBuffer) tcpip.Error
}

// Outside reports whether the route leads to another host.
func (r *Route) Outside() bool { return r.routeInfo.Loop == PacketOut && !r.outgoingNIC.IsLoopback() }

// writeDirect writes a packet to the link. It returns false if the packet must take the long way; then
// nothing has been done. The route is valid.
func (r *Route) writeDirect(p *NetworkHeaderParams, pkt *PacketBuffer) (written bool, err tcpip.Error) {
	n := r.outgoingNIC
	if !p.DF || p.ExperimentOptionValue != 0 || r.routeInfo.Loop != PacketOut || r.localAddressNIC != n || n.deliverLinkPackets {
		return false, nil
	}
	w, ok := n.NetworkLinkEndpoint.(packetWriter)
	entry := r.getCachedNeighborEntry()
	if !ok || entry == nil {
		return false, nil
	}
	remote, ok := entry.getRemoteLinkAddress()
	if !ok {
		return false, nil
	}
	size := header.IPv4MinimumSize
	if r.routeInfo.NetProto == header.IPv6ProtocolNumber {
		size = header.IPv6MinimumSize
	}
	length := pkt.Size() + size
	if length > int(n.MTU()) && pkt.GSOOptions.Type == GSONone || length > 0xffff {
		return false, nil
	}
	if h := pkt.NetworkHeader().Push(size); size == header.IPv4MinimumSize {
		header.IPv4(h).Encode(&header.IPv4Fields{
			TOS:         p.TOS,
			TotalLength: uint16(length),
			Flags:       header.IPv4FlagDontFragment,
			TTL:         p.TTL,
			Protocol:    uint8(p.Protocol),
			SrcAddr:     r.routeInfo.LocalAddress,
			DstAddr:     r.routeInfo.RemoteAddress,
		})
		binary.BigEndian.PutUint16(h[10:], ^checksum.Checksum(h, 0))
	} else {
		header.IPv6(h).Encode(&header.IPv6Fields{
			PayloadLength:     uint16(length - size),
			TransportProtocol: p.Protocol,
			HopLimit:          p.TTL,
			TrafficClass:      p.TOS,
			SrcAddr:           r.routeInfo.LocalAddress,
			DstAddr:           r.routeInfo.RemoteAddress,
		})
	}
	pkt.NetworkProtocolNumber = r.routeInfo.NetProto
	pkt.EgressRoute.routeInfo = r.routeInfo
	pkt.EgressRoute.RemoteLinkAddress = remote
	pkt.PktType = tcpip.PacketOutgoing
	n.NetworkLinkEndpoint.AddHeader(pkt)
	if err := w.WritePacket(pkt); err != nil {
		n.stack.stats.IP.OutgoingPacketErrors.Increment()
		return true, err
	}
	n.stack.stats.IP.PacketsSent.Increment()
	return true, nil
}
