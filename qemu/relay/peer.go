package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// PeerMAC is the Ethernet address of a Peer.
var PeerMAC = net.HardwareAddr{0x52, 0x54, 0x00, 0x99, 0x00, 0x01}

// peerNIC is the only link of a Peer.
const peerNIC = 1

// A Peer is a host with a TCP/IP stack of its own at one end of a wire: it reaches a machine without
// a privilege and without the kernel of this one.
type Peer struct {
	end   End
	stack *stack.Stack
	link  *channel.Endpoint
	stop  context.CancelFunc
	done  sync.WaitGroup

	mu  sync.Mutex
	err error
}

// NewPeer puts a host with these addresses at an end, which is the Peer's from then.
func NewPeer(e End, addresses ...netip.Prefix) (*Peer, error) {
	p := &Peer{
		end: e,
		stack: stack.New(stack.Options{
			NetworkProtocols:   []stack.NetworkProtocolFactory{arp.NewProtocol, ipv4.NewProtocol, ipv6.NewProtocol},
			TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
		}),
		link: channel.New(1024, 1500+header.EthernetMinimumSize, tcpip.LinkAddress(PeerMAC)),
	}
	if err := p.stack.CreateNIC(peerNIC, ethernet.New(p.link)); err != nil {
		return nil, errors.New(err.String())
	}
	var routes []tcpip.Route
	for _, a := range addresses {
		address := tcpip.ProtocolAddress{
			Protocol:          protocol(a.Addr()),
			AddressWithPrefix: tcpip.AddressWithPrefix{Address: tcpip.AddrFromSlice(a.Addr().AsSlice()), PrefixLen: a.Bits()},
		}
		if err := p.stack.AddProtocolAddress(peerNIC, address, stack.AddressProperties{}); err != nil {
			return nil, errors.New(err.String())
		}
		routes = append(routes, tcpip.Route{Destination: address.AddressWithPrefix.Subnet(), NIC: peerNIC})
	}
	p.stack.SetRouteTable(routes)
	sack := tcpip.TCPSACKEnabled(true)
	if err := p.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &sack); err != nil {
		return nil, errors.New(err.String())
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.done.Go(p.receive)
	p.done.Go(func() { p.send(ctx) })
	return p, nil
}

func (p *Peer) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !errors.Is(err, io.EOF) {
		p.err = errors.Join(p.err, err)
	}
}

func (p *Peer) receive() {
	frame := make([]byte, MaxFrame)
	for {
		n, err := p.end.ReadFrame(frame)
		if err != nil {
			p.fail(err)
			return
		}
		pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame[:n])})
		p.link.InjectInbound(0, pkt) // the Ethernet header says which protocol it is
		pkt.DecRef()
	}
}

func (p *Peer) send(ctx context.Context) {
	for {
		pkt := p.link.ReadContext(ctx)
		if pkt == nil {
			return
		}
		view := pkt.ToView()
		err := p.end.WriteFrame(view.AsSlice())
		view.Release()
		pkt.DecRef()
		if err != nil {
			p.fail(err)
			return
		}
	}
}

// Close ends the host and its end, and returns what went wrong on the wire.
func (p *Peer) Close() error {
	p.stop()
	p.end.Close()
	p.done.Wait()
	p.stack.Destroy()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func protocol(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

func full(a netip.AddrPort) (tcpip.FullAddress, tcpip.NetworkProtocolNumber) {
	return tcpip.FullAddress{NIC: peerNIC, Addr: tcpip.AddrFromSlice(a.Addr().AsSlice()), Port: a.Port()}, protocol(a.Addr())
}

// DialContext connects to an address by the network "tcp" or "udp", as net.Dialer does. The address is
// no name.
func (p *Peer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	to, number := full(a)
	switch network {
	case "tcp":
		return gonet.DialContextTCP(ctx, p.stack, to, number)
	case "udp":
		return gonet.DialUDP(p.stack, nil, &to, number)
	}
	return nil, fmt.Errorf("unknown network %q", network)
}

// Listen listens for TCP connections at an address of the host.
func (p *Peer) Listen(address netip.AddrPort) (net.Listener, error) {
	at, number := full(address)
	return gonet.ListenTCP(p.stack, at, number)
}

// ListenPacket takes UDP datagrams at an address of the host.
func (p *Peer) ListenPacket(address netip.AddrPort) (net.PacketConn, error) {
	at, number := full(address)
	return gonet.DialUDP(p.stack, &at, nil, number)
}
