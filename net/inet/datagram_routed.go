package inet

import (
	"syscall"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// sendRouted sends a UDP datagram with an IPv4 source or a type of service of its own, which the
// stack's endpoint cannot: along a route that is looked up here.
func (d *datagram) sendRouted(s *source, c sendable, named bool) (int, syscall.Errno) {
	if s.n > maxPayload {
		return 0, syscall.EMSGSIZE
	}
	if d.state() == transport.DatagramEndpointStateInitial {
		// Whoever is first binds.
		if err := errno(d.endpoint.Bind(tcpip.FullAddress{})); err != 0 && d.state() == transport.DatagramEndpointStateInitial {
			return 0, err
		}
	}
	local, terr := d.endpoint.GetLocalAddress()
	if terr != nil {
		return 0, errno(terr)
	}
	to := s.to
	if !named {
		if to, terr = d.endpoint.GetRemoteAddress(); terr != nil {
			return 0, syscall.EDESTADDRREQ
		}
	}
	r, err := d.route(c, unmapped(local.Addr), to)
	if err != 0 {
		return 0, err
	}
	defer r.Release()
	return d.writeRoute(r, s, c, local.Port, to.Port)
}

// route finds the way to a destination.
func (d *datagram) route(c sendable, from tcpip.Address, to tcpip.FullAddress) (*stack.Route, syscall.Errno) {
	dest, version := unmapped(to.Addr), ipv6.ProtocolNumber
	if dest.Len() == header.IPv4AddressSize || dest.Len() == 0 && d.domain == syscall.AF_INET {
		version = ipv4.ProtocolNumber
	}
	if dest.Len() == 0 {
		dest = header.IPv6Loopback
		if version == ipv4.ProtocolNumber {
			dest = header.IPv4Loopback
		}
	}
	nic := to.NIC
	if nic == 0 {
		nic = tcpip.NICID(d.ops.GetBindToDevice())
	}
	if multicast(from) || d.stack.IsSubnetBroadcast(nic, version, from) || from == header.IPv4Broadcast {
		from = tcpip.Address{}
	}
	wanted, wantedNIC := c.source4, c.nic4
	if version == ipv6.ProtocolNumber {
		wanted, wantedNIC = c.IPv6PacketInfo.Addr, c.IPv6PacketInfo.NIC
	}
	if wantedNIC != 0 {
		nic = wantedNIC
	}
	if wanted.Len() != 0 {
		if d.stack.CheckLocalAddress(nic, version, wanted) == 0 {
			if version == ipv6.ProtocolNumber {
				return nil, syscall.EINVAL
			}
			return nil, syscall.ENETUNREACH
		}
		from = wanted
	}
	if multicast(dest) && nic == 0 && from.Len() == 0 {
		nic, from = d.multicastSource(version)
	}
	r, err := d.stack.FindRoute(nic, from, dest, version, d.ops.GetMulticastLoop())
	if err != nil {
		return nil, errno(err)
	}
	if r.IsOutboundBroadcast() && !d.ops.GetBroadcast() {
		r.Release()
		return nil, syscall.EACCES
	}
	return r, 0
}

// multicastSource returns the interface and address that multicast leaves from by the socket's options.
func (d *datagram) multicastSource(version tcpip.NetworkProtocolNumber) (tcpip.NICID, tcpip.Address) {
	if version == ipv6.ProtocolNumber {
		nic, _ := d.endpoint.GetSockOptInt(tcpip.IPv6MulticastInterfaceOption)
		return tcpip.NICID(max(nic, 0)), tcpip.Address{}
	}
	var o tcpip.MulticastInterfaceOption
	if d.endpoint.GetSockOpt(&o) != nil {
		return 0, tcpip.Address{}
	}
	return o.NIC, o.InterfaceAddr
}

// writeRoute sends what s holds along r.
func (d *datagram) writeRoute(r *stack.Route, s *source, c sendable, from, to uint16) (int, syscall.Errno) {
	n := s.n
	var data buffer.Buffer
	if _, err := data.WriteFromReader(s, int64(n)); err != nil {
		data.Release()
		return 0, syscall.EFAULT
	}
	p := stack.NewPacketBuffer(stack.PacketBufferOptions{
		ReserveHeaderBytes: header.UDPMinimumSize + int(r.MaxHeaderLength()),
		Payload:            data,
		Mark:               d.ops.GetMark(),
	})
	defer p.DecRef()
	h := header.UDP(p.TransportHeader().Push(header.UDPMinimumSize))
	p.TransportProtocolNumber = udp.ProtocolNumber
	size := uint16(p.Size())
	h.Encode(&header.UDPFields{SrcPort: from, DstPort: to, Length: size})
	if r.RequiresTXTransportChecksum() && (!d.ops.GetNoChecksum() || r.NetProto() == ipv6.ProtocolNumber) {
		sum := header.PseudoHeaderChecksum(udp.ProtocolNumber, r.LocalAddress(), r.RemoteAddress(), size)
		sum = h.CalculateChecksum(checksum.Combine(sum, p.Data().Checksum()))
		if sum != 0xffff {
			sum = ^sum // a sum of zero is sent as ones (RFC 768)
		}
		h.SetChecksum(sum)
	}
	params := d.headerParams(r, c)
	if err := errno(r.WritePacket(params, p)); err != 0 {
		return 0, err
	}
	d.stack.Stats().UDP.PacketsSent.Increment()
	return n, 0
}

// headerParams returns what a packet's IP header says by options and control messages.
func (d *datagram) headerParams(r *stack.Route, c sendable) stack.NetworkHeaderParams {
	ttl, tos := tcpip.IPv4TTLOption, tcpip.IPv4TOSOption
	has, value := c.HasTTL, c.TTL
	if r.NetProto() == ipv6.ProtocolNumber {
		ttl, tos = tcpip.IPv6HopLimitOption, tcpip.IPv6TrafficClassOption
		has, value = c.HasHopLimit, c.HopLimit
	}
	if !has {
		if multicast(r.RemoteAddress()) {
			ttl = tcpip.MulticastTTLOption
		}
		v, _ := d.endpoint.GetSockOptInt(ttl)
		value = uint8(max(v, 0))
		if ttl != tcpip.MulticastTTLOption && (v == tcpip.UseDefaultIPv6HopLimit || r.NetProto() == ipv4.ProtocolNumber && v == tcpip.UseDefaultIPv4TTL) {
			value = r.DefaultTTL()
		}
	}
	class := c.tos
	if !c.hasTOS {
		v, _ := d.endpoint.GetSockOptInt(tos)
		class = uint8(v)
	}
	discovery, _ := d.endpoint.GetSockOptInt(tcpip.MTUDiscoverOption)
	return stack.NetworkHeaderParams{
		Protocol: udp.ProtocolNumber, TTL: value, TOS: class,
		DF: tcpip.PMTUDStrategy(discovery) != tcpip.PMTUDiscoveryDont,
	}
}
