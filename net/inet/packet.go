package inet

import (
	"encoding/binary"
	"math/bits"
	"sync"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/goshawk-os/goshawk/net/socket"
)

// PacketSockets is told how many more packet sockets receive, +1 or -1: links need not deliver to them
// while there is none. It is set while the kernel starts.
var PacketSockets = func(change int) {}

// Promiscuous is told that packet sockets want the frames for others on an interface, or no longer. It
// is set while the kernel starts.
var Promiscuous = func(index int, on bool) syscall.Errno { return 0 }

type packetFamily struct {
	stack *stack.Stack

	mu          sync.Mutex
	promiscuous map[int]int // times that sockets asked for the frames for others, of each interface
}

// Socket implements socket.Family. The protocol is an EtherType in network byte order.
func (f *packetFamily) Socket(kind, protocol int) (socket.Socket, syscall.Errno) {
	if kind != syscall.SOCK_RAW && kind != syscall.SOCK_DGRAM {
		return nil, syscall.ESOCKTNOSUPPORT
	}
	p := &packetSocket{family: f, base: base{stack: f.stack, domain: syscall.AF_PACKET, kind: uint8(kind), protocol: uint16(protocol)}}
	p.ops = &p.options
	p.options.InitHandler(p, f.stack, tcpip.GetStackSendBufferLimits, tcpip.GetStackReceiveBufferLimits)
	var size tcpip.ReceiveBufferSizeOption
	f.stack.Option(&size)
	p.options.SetReceiveBufferSize(int64(size.Default), false)
	p.options.SetSendBufferSize(int64(size.Default), false)
	if err := p.attach(0, tcpip.NetworkProtocolNumber(bits.ReverseBytes16(uint16(protocol)))); err != 0 {
		return nil, err
	}
	return p, 0
}

// A packetSocket is a socket of AF_PACKET (packet(7)): of whole frames if its kind is SOCK_RAW, of
// packets without the link's header if it is SOCK_DGRAM. It is an endpoint of the stack itself.
type packetSocket struct {
	base
	tcpip.DefaultSocketOptionsHandler
	family  *packetFamily
	options tcpip.SocketOptions

	mu       sync.Mutex
	nic      tcpip.NICID // 0 is all
	ethernet tcpip.NetworkProtocolNumber
	attached bool
	queue    []capturedPacket
	used     int // bytes in the queue
	program  *program
	auxiliary, ignoreOutgoing, stamp, stampNano,
	drops bool
	received, dropped, lost uint32

	promiscuous map[int]int // the socket's part of the family's, whose lock guards it
}

// A capturedPacket is a frame or packet that waits to be read.
type capturedPacket struct {
	data     *buffer.View
	length   int // before it was cut
	header   int // of the link's header in data
	nic      tcpip.NICID
	ethernet tcpip.NetworkProtocolNumber
	kind     uint8
	source   [8]byte
	sourceLength,
	hardware int
	arrived time.Time
}

// HasNIC implements tcpip.SocketOptionsHandler.
func (p *packetSocket) HasNIC(id int32) bool { return p.stack.HasNIC(tcpip.NICID(id)) }

// attach registers the socket for an interface and a protocol, which may be 0 for none.
func (p *packetSocket) attach(nic tcpip.NICID, ethernet tcpip.NetworkProtocolNumber) syscall.Errno {
	p.mu.Lock()
	was, oldNIC, old := p.attached, p.nic, p.ethernet
	p.nic, p.ethernet, p.attached = nic, ethernet, ethernet != 0
	p.mu.Unlock()
	if was {
		p.stack.UnregisterPacketEndpoint(oldNIC, old, p)
		PacketSockets(-1)
	}
	if ethernet == 0 {
		return 0
	}
	PacketSockets(1)
	return errno(p.stack.RegisterPacketEndpoint(nic, ethernet, p))
}

// Kinds of packets in struct sockaddr_ll (linux/if_packet.h).
const (
	packetHost = iota
	packetBroadcast
	packetMulticast
	packetOtherHost
	packetOutgoing
)

func packetKind(t tcpip.PacketType) uint8 {
	switch t {
	case tcpip.PacketOtherHost:
		return packetOtherHost
	case tcpip.PacketOutgoing:
		return packetOutgoing
	case tcpip.PacketBroadcast:
		return packetBroadcast
	case tcpip.PacketMulticast:
		return packetMulticast
	}
	return packetHost
}

// HandlePacket implements stack.PacketEndpoint.
func (p *packetSocket) HandlePacket(nic tcpip.NICID, ethernet tcpip.NetworkProtocolNumber, pkt *stack.PacketBuffer) {
	c := capturedPacket{nic: nic, ethernet: ethernet, kind: packetKind(pkt.PktType), arrived: p.stack.Clock().Now()}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.attached || p.ignoreOutgoing && c.kind == packetOutgoing {
		return
	}
	c.data = pkt.ToView()
	c.header = len(pkt.LinkHeader().Slice())
	c.hardware = hardwareEthernet
	if c.header == 0 {
		// The loopback has no header of its own, but Linux's has one of zeros.
		c.hardware = hardwareLoopback
		c.sourceLength = header.EthernetAddressSize
		if p.kind == syscall.SOCK_RAW {
			c.data = withHeader(c.data, ethernet)
			c.header = header.EthernetMinimumSize
		}
	} else if c.header >= header.EthernetMinimumSize {
		c.sourceLength = copy(c.source[:], c.data.AsSlice()[6:12])
	}
	if p.kind == syscall.SOCK_DGRAM {
		c.data.TrimFront(c.header)
		c.header = 0
	}
	c.length = c.data.Size()
	if p.program != nil {
		n := p.program.run(c.data.AsSlice(), packetMeta{c.length, uint16(ethernet), c.kind, int(nic)})
		if n == 0 {
			c.data.Release()
			return
		}
		c.data.CapLength(min(int(n), c.length))
	}
	if p.used >= int(p.options.GetReceiveBufferSize()) {
		p.dropped++
		p.lost++
		c.data.Release()
		return
	}
	p.received++
	p.queue = append(p.queue, c)
	p.used += c.length + perPacket // a cut packet keeps all of its memory
	if p.watched {
		p.notify(socket.In | socket.RdNorm)
	}
}

// perPacket is what a packet costs in the queue besides its data.
const perPacket = 256

// Hardware types of struct sockaddr_ll (linux/if_arp.h).
const (
	hardwareEthernet = 1
	hardwareLoopback = 772
)

// withHeader returns v behind an Ethernet header without addresses, and releases v.
func withHeader(v *buffer.View, ethernet tcpip.NetworkProtocolNumber) *buffer.View {
	n := buffer.NewViewSize(header.EthernetMinimumSize + v.Size())
	b := n.AsSlice()
	clear(b[:12])
	binary.BigEndian.PutUint16(b[12:], uint16(ethernet))
	copy(b[header.EthernetMinimumSize:], v.AsSlice())
	v.Release()
	return n
}

// sizeofSockaddrLink is the size of struct sockaddr_ll, linkAddress the offset of its address.
const (
	sizeofSockaddrLink = 20
	linkAddress        = 12
)

// A linkName is a struct sockaddr_ll.
type linkName struct {
	ethernet tcpip.NetworkProtocolNumber
	nic      tcpip.NICID
	hardware int
	kind     uint8
	length   int
	address  [8]byte
}

func (n *linkName) put(b *[sizeofSockaddrLink]byte) {
	binary.NativeEndian.PutUint16(b[:], syscall.AF_PACKET)
	binary.BigEndian.PutUint16(b[2:], uint16(n.ethernet))
	binary.NativeEndian.PutUint32(b[4:], uint32(n.nic))
	binary.NativeEndian.PutUint16(b[8:], uint16(n.hardware))
	b[10], b[11] = n.kind, uint8(n.length)
	copy(b[linkAddress:], n.address[:])
}

// parseLinkName reads a struct sockaddr_ll.
func parseLinkName(b []byte) (n linkName, err syscall.Errno) {
	if len(b) < sizeofSockaddrLink {
		return n, syscall.EINVAL
	}
	if f, _ := family(b); f != syscall.AF_PACKET {
		return n, syscall.EINVAL
	}
	n.ethernet = tcpip.NetworkProtocolNumber(binary.BigEndian.Uint16(b[2:]))
	n.nic = tcpip.NICID(int32(binary.NativeEndian.Uint32(b[4:])))
	n.length = int(b[11])
	copy(n.address[:], b[linkAddress:])
	return n, 0
}

// Bind implements socket.Socket.
func (p *packetSocket) Bind(addr []byte) syscall.Errno {
	n, err := parseLinkName(addr)
	if err != 0 {
		return err
	}
	if n.nic != 0 && !p.stack.HasNIC(n.nic) {
		return syscall.ENODEV
	}
	if n.ethernet == 0 {
		p.mu.Lock()
		n.ethernet = p.ethernet
		p.mu.Unlock()
	}
	return p.attach(n.nic, n.ethernet)
}

// LocalAddress implements socket.Socket.
func (p *packetSocket) LocalAddress(to *socket.Address) syscall.Errno {
	p.mu.Lock()
	n := linkName{ethernet: p.ethernet, nic: p.nic}
	p.mu.Unlock()
	if info, ok := p.stack.SingleNICInfo(n.nic); ok && n.nic != 0 {
		n.hardware, n.length = hardwareEthernet, copy(n.address[:], info.LinkAddress)
		if info.Flags.Loopback {
			n.hardware, n.length = hardwareLoopback, header.EthernetAddressSize
		}
	}
	var b [sizeofSockaddrLink]byte
	n.put(&b)
	to.Set(b[:linkAddress+n.length])
	return 0
}

// Listen implements socket.Socket.
func (*packetSocket) Listen(int) syscall.Errno { return syscall.EOPNOTSUPP }

// Accept implements socket.Socket.
func (*packetSocket) Accept(*socket.Address) (socket.Socket, syscall.Errno) {
	return nil, syscall.EOPNOTSUPP
}

// Connect implements socket.Socket.
func (*packetSocket) Connect([]byte) syscall.Errno { return syscall.EOPNOTSUPP }

// Shutdown implements socket.Socket.
func (*packetSocket) Shutdown(int) syscall.Errno { return syscall.EOPNOTSUPP }

// PeerAddress implements socket.Socket.
func (*packetSocket) PeerAddress(*socket.Address) syscall.Errno { return syscall.EOPNOTSUPP }

// Watch implements socket.Socket.
func (p *packetSocket) Watch(notify func(events uint32)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.notify, p.watched = notify, true
}

// Ready implements socket.Socket.
func (p *packetSocket) Ready() uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) > 0 {
		return socket.Out | socket.WrNorm | socket.In | socket.RdNorm
	}
	return socket.Out | socket.WrNorm
}

// Close implements socket.Socket.
func (p *packetSocket) Close() {
	p.mu.Lock()
	p.watched = false
	p.mu.Unlock()
	_ = p.attach(0, 0) // registers nothing
	p.mu.Lock()
	for _, c := range p.queue {
		c.data.Release()
	}
	p.queue, p.used = nil, 0
	p.mu.Unlock()
	p.family.mu.Lock()
	defer p.family.mu.Unlock()
	for index, n := range p.promiscuous {
		_ = p.family.wantAll(index, -n)
	}
	p.promiscuous = nil
}
