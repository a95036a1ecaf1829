package configure

import (
	"bytes"
	"net/netip"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// maxDatagram is the length of the longest answer that is looked at.
const maxDatagram = 1500

// broadcast sends a datagram from a port to a port of everyone on the link. It builds the packet
// itself, since the stack sends nothing from a link without address; source is the unspecified
// address then.
func (l *link) broadcast(source netip.Addr, from, to uint16, data []byte) {
	const headers = header.IPv4MinimumSize + header.UDPMinimumSize
	v := buffer.NewViewSize(headers + len(data))
	b := v.AsSlice()
	copy(b[headers:], data)

	src, dst := toStack(source), header.IPv4Broadcast
	u := header.UDP(b[header.IPv4MinimumSize:])
	u.Encode(&header.UDPFields{SrcPort: from, DstPort: to, Length: uint16(len(u))})
	sum := header.PseudoHeaderChecksum(header.UDPProtocolNumber, src, dst, uint16(len(u)))
	sum = ^checksum.Checksum(u, sum)
	if sum == 0 {
		sum = 0xffff // 0 would say that there is none
	}
	u.SetChecksum(sum)

	ip := header.IPv4(b)
	ip.Encode(&header.IPv4Fields{
		TotalLength: uint16(len(b)),
		TTL:         64,
		Protocol:    uint8(header.UDPProtocolNumber),
		SrcAddr:     src,
		DstAddr:     dst,
	})
	ip.SetChecksum(^ip.CalculateChecksum())

	// A packet that cannot be sent is like one that is lost.
	_ = l.c.stack.WritePacketToRemote(l.nic, header.EthernetBroadcastAddress, header.IPv4ProtocolNumber, buffer.MakeWithView(v))
}

// A tap receives the datagrams that arrive at a link for a port of IPv4, whatever their destination
// address is: a link without address gets answers to an address that it does not have yet. The stack
// shows them to raw endpoints before it looks at the address.
type tap struct {
	link *link
	port uint16
	// receive is called on a goroutine of the stack, with data of its own.
	receive func(data []byte)
	open    bool
}

func (t *tap) start() {
	if !t.open {
		t.open = t.link.c.stack.RegisterRawTransportEndpoint(header.IPv4ProtocolNumber, header.UDPProtocolNumber, t) == nil
	}
}

func (t *tap) stop() {
	if t.open {
		t.open = false
		t.link.c.stack.UnregisterRawTransportEndpoint(header.IPv4ProtocolNumber, header.UDPProtocolNumber, t)
	}
}

// HandlePacket implements stack.RawTransportEndpoint.
func (t *tap) HandlePacket(p *stack.PacketBuffer) {
	if p.NICID != t.link.nic {
		return
	}
	b := stack.BufferSince(p.NetworkHeader())
	defer b.Release()
	ipLength := len(p.NetworkHeader().Slice())
	if int(b.Size()) < ipLength+header.UDPMinimumSize || int(b.Size()) > maxDatagram {
		return
	}
	all := b.Flatten()
	ip, u := header.IPv4(all), header.UDP(all[ipLength:])
	if u.DestinationPort() != t.port {
		return
	}
	length := int(u.Length())
	if length < header.UDPMinimumSize || length > len(u) {
		return
	}
	u = u[:length]
	payload := checksum.Checksum(u.Payload(), 0)
	if !p.RXChecksumValidated && u.Checksum() != 0 && !u.IsChecksumValid(ip.SourceAddress(), ip.DestinationAddress(), payload) {
		return
	}
	t.receive(u.Payload())
}

// A socket is a UDP endpoint. Its methods are called by jobs only.
type socket struct {
	endpoint tcpip.Endpoint
	queue    waiter.Queue
	entry    waiter.Entry
}

// openSocket returns a socket on a link, 0 for any, which is bound to an address of network, or to
// any address of it or any port if that is zero. receive is called by jobs for each datagram; if it
// is nil what arrives is lost.
func (c *Configuration) openSocket(nic tcpip.NICID, at tcpip.FullAddress, network tcpip.NetworkProtocolNumber, receive func(data []byte)) (*socket, tcpip.Error) {
	s := &socket{}
	e, err := c.stack.NewEndpoint(udp.ProtocolNumber, network, &s.queue)
	if err != nil {
		return nil, err
	}
	if network == header.IPv6ProtocolNumber {
		e.SocketOptions().SetV6Only(true)
	}
	if err := e.SocketOptions().SetBindToDevice(int32(nic)); err != nil {
		e.Close()
		return nil, err
	}
	if err := e.Bind(at); err != nil {
		e.Close()
		return nil, err
	}
	s.endpoint = e
	if receive != nil {
		s.entry = waiter.NewFunctionEntry(waiter.ReadableEvents, func(waiter.EventMask) {
			c.jobs.post(func() { s.read(receive) })
		})
		s.queue.EventRegister(&s.entry)
	}
	return s, nil
}

// read hands over the datagrams that have arrived.
func (s *socket) read(receive func(data []byte)) {
	for s.endpoint != nil {
		var b bytes.Buffer
		w := tcpip.LimitedWriter{W: &b, N: maxDatagram}
		switch _, err := s.endpoint.Read(&w, tcpip.ReadOptions{}); err.(type) {
		case nil:
			receive(b.Bytes())
		case *tcpip.ErrWouldBlock, *tcpip.ErrClosedForReceive:
			return
		default:
			// What an ICMP message has said of an earlier datagram; there may be more to read.
		}
	}
}

// send sends a datagram, to be lost if that is not possible.
func (s *socket) send(data []byte, to tcpip.FullAddress) {
	_, _ = s.endpoint.Write(bytes.NewReader(data), tcpip.WriteOptions{To: &to})
}

// close ends the socket. A nil one is closed.
func (s *socket) close() {
	if s != nil && s.endpoint != nil {
		s.queue.EventUnregister(&s.entry)
		s.endpoint.Close()
		s.endpoint = nil
	}
}
