package netstack

import (
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// loopbackMTU is Linux's: the longest IP packet and a byte.
const loopbackMTU = 65536

// loopback is the link that hands out what it is given. It delivers on the sender's goroutine: TCP
// queues segments to other goroutines and datagrams end in a socket's queue, so a packet causes at
// most an answer by ICMP or RST, which causes none.
type loopback struct {
	noHeader
	link       *Link
	dispatcher atomic.Pointer[stack.NetworkDispatcher]
	mtu        atomic.Uint32
	counts     counts
}

func newLoopback(l *Link) *loopback {
	e := &loopback{link: l}
	e.mtu.Store(loopbackMTU)
	l.carrier.Store(true)
	return e
}

func (e *loopback) MTU() uint32       { return e.mtu.Load() }
func (e *loopback) SetMTU(mtu uint32) { e.mtu.Store(mtu) }

// Capabilities: checksums are neither computed nor looked at.
func (*loopback) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityRXChecksumOffload | stack.CapabilityTXChecksumOffload | stack.CapabilityLoopback
}

func (e *loopback) Attach(d stack.NetworkDispatcher) {
	if d == nil {
		e.dispatcher.Store(nil)
		return
	}
	e.dispatcher.Store(&d)
}

func (e *loopback) IsAttached() bool { return e.dispatcher.Load() != nil }

// WritePackets is as WritePacket.
func (e *loopback) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	return writeEach(e, pkts)
}

// WritePacket delivers a copy of a packet, which shares its data, as a received one.
func (e *loopback) WritePacket(p *stack.PacketBuffer) tcpip.Error {
	d := e.dispatcher.Load()
	if d == nil {
		return &tcpip.ErrClosedForSend{}
	}
	s := e.link.stack
	received := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: p.ToBuffer()})
	n := uint64(p.Size())
	e.counts.tx(n)
	e.counts.rx(n)
	if c := s.capture.Load(); c != nil {
		c.sent(e.link, p)
	}
	if s.packetSockets.Load() > 0 {
		(*d).DeliverLinkPacket(p.NetworkProtocolNumber, p)
		(*d).DeliverLinkPacket(p.NetworkProtocolNumber, received)
	}
	(*d).DeliverNetworkPacket(p.NetworkProtocolNumber, received)
	received.DecRef()
	return nil
}

func (e *loopback) statistics() (s Statistics) {
	e.counts.addTo(&s)
	return s
}

func (*loopback) largestMTU() int { return loopbackMTU }

// setPromiscuous has nothing to do: nothing is for others.
func (*loopback) setPromiscuous(bool) error { return nil }

// noHeader is the part of a link without addresses and headers of its own.
type noHeader struct{}

func (noHeader) MaxHeaderLength() uint16                 { return 0 }
func (noHeader) LinkAddress() tcpip.LinkAddress          { return "" }
func (noHeader) SetLinkAddress(tcpip.LinkAddress)        {}
func (noHeader) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareLoopback }
func (noHeader) AddHeader(*stack.PacketBuffer)           {}
func (noHeader) ParseHeader(*stack.PacketBuffer) bool    { return true }
func (noHeader) Wait()                                   {}
func (noHeader) Close()                                  {}
func (noHeader) SetOnCloseAction(func())                 {}
