// Package inet has the sockets of AF_INET, AF_INET6 and AF_PACKET: what Linux programs see of a gVisor
// stack.
//
// A Socket carries out one call at a time on an endpoint of the stack and translates: addresses,
// options, control messages, errors and readiness. What the stack does not know about a socket, as
// options without an effect there, the Socket remembers.
//
// The index of an interface is its NICID.
package inet

import (
	"syscall"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/goshawk-os/goshawk/net/socket"
)

// Register makes the stack s answer for AF_INET, AF_INET6 and AF_PACKET.
func Register(s *stack.Stack) {
	for _, domain := range []int{syscall.AF_INET, syscall.AF_INET6, syscall.AF_PACKET} {
		socket.Register(domain, New(s, domain))
	}
}

// New returns the family of that number over s: AF_INET, AF_INET6 or AF_PACKET.
func New(s *stack.Stack, domain int) socket.Family {
	if domain == syscall.AF_PACKET {
		return &packetFamily{stack: s}
	}
	return &inetFamily{stack: s, domain: domain}
}

type inetFamily struct {
	stack  *stack.Stack
	domain int
}

// network returns the number of the IP version of a domain.
func network(domain int) tcpip.NetworkProtocolNumber {
	if domain == syscall.AF_INET {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

// Socket implements socket.Family.
func (f *inetFamily) Socket(kind, protocol int) (socket.Socket, syscall.Errno) {
	if protocol < 0 || protocol > 255 && protocol != unix.IPPROTO_MPTCP {
		return nil, syscall.EINVAL
	}
	switch kind {
	case syscall.SOCK_STREAM:
		if protocol != 0 && protocol != syscall.IPPROTO_TCP {
			return nil, syscall.EPROTONOSUPPORT
		}
		return newStream(f.stack, f.domain)
	case syscall.SOCK_DGRAM:
		switch {
		case protocol == 0 || protocol == syscall.IPPROTO_UDP:
			return f.datagram(kind, syscall.IPPROTO_UDP, udp.ProtocolNumber)
		case protocol == syscall.IPPROTO_ICMP && f.domain == syscall.AF_INET:
			return f.datagram(kind, protocol, icmp.ProtocolNumber4)
		case protocol == syscall.IPPROTO_ICMPV6 && f.domain == syscall.AF_INET6:
			return f.datagram(kind, protocol, icmp.ProtocolNumber6)
		}
		return nil, syscall.EPROTONOSUPPORT
	case syscall.SOCK_RAW:
		if protocol == 0 {
			return nil, syscall.EPROTONOSUPPORT
		}
		return f.datagram(kind, protocol, tcpip.TransportProtocolNumber(protocol))
	}
	return nil, syscall.ESOCKTNOSUPPORT
}

// datagram returns a socket of messages. A raw socket of IPPROTO_RAW only sends.
func (f *inetFamily) datagram(kind, protocol int, transport tcpip.TransportProtocolNumber) (socket.Socket, syscall.Errno) {
	d := &datagram{base: base{stack: f.stack, domain: uint8(f.domain), kind: uint8(kind), protocol: uint16(protocol)}}
	var err tcpip.Error
	if kind == syscall.SOCK_RAW {
		d.endpoint, err = f.stack.NewRawEndpoint(transport, network(f.domain), &d.queue, protocol != syscall.IPPROTO_RAW)
	} else {
		d.endpoint, err = f.stack.NewEndpoint(transport, network(f.domain), &d.queue)
	}
	switch err.(type) {
	case nil:
	case *tcpip.ErrNotSupported, *tcpip.ErrUnknownProtocol:
		return nil, syscall.EPROTONOSUPPORT
	default:
		return nil, errno(err)
	}
	d.ops = d.endpoint.SocketOptions()
	return d, 0
}

// events are all that an endpoint notifies of.
const events = waiter.EventIn | waiter.EventPri | waiter.EventOut | waiter.EventErr | waiter.EventHUp |
	waiter.EventRdNorm | waiter.EventWrNorm | waiter.EventRdHUp
