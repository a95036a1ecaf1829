package inventory

import (
	"bytes"
	"sort"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/goshawk-os/goshawk/net/socket"
)

// Sockets calls yield for each socket that a descriptor of the program leads to, with the number of
// its inode, until yield returns false.
type Sockets func(yield func(inode uint64, s socket.Socket) bool)

// An endpointer is a socket over an endpoint of the stack.
type endpointer interface{ Endpoint() tcpip.Endpoint }

// A Member is a socket that joins multicast groups.
type Member interface {
	// Memberships calls yield for each group that the socket has joined, until yield returns false.
	Memberships(yield func(nic tcpip.NICID, group tcpip.Address) bool)
}

// States of a socket (net/tcp_states.h). Those of datagram sockets are the same numbers.
const (
	Established = 1
	TimeWait    = 6
	Closed      = 7
	Listening   = 10
)

// A Socket is a socket of AF_INET or AF_INET6.
type Socket struct {
	Domain, Kind, Protocol int
	State                  uint8
	Local, Remote          Address
	Device                 int // index of the link that it is bound to, or 0
	RxQueue, TxQueue       uint32
	Inode                  uint64 // 0 if no descriptor leads to it
	Dropped                uint64 // datagrams for which there was no room
}

// An Address is one end of a connection. The IP address has 4 bytes in AF_INET and 16 in AF_INET6.
type Address struct {
	IP   [16]byte
	Port uint16
}

// owner is what the program's socket says of its endpoint.
type owner struct {
	inode                  uint64
	domain, kind, protocol int
}

// List returns the sockets of a protocol of AF_INET or AF_INET6, which is 0 for raw sockets of any.
// program may be nil: then there are no raw sockets, and inodes are 0.
func List(s *stack.Stack, program Sockets, domain, protocol int) []Socket {
	owners := make(map[tcpip.Endpoint]owner)
	if program != nil {
		program(func(inode uint64, sock socket.Socket) bool {
			if e, ok := sock.(endpointer); ok {
				if ep := e.Endpoint(); ep != nil {
					o := owner{inode: inode}
					o.domain, o.kind, o.protocol = sock.Kind()
					owners[ep] = o
				}
			}
			return true
		})
	}
	var list []Socket
	add := func(ep tcpip.Endpoint, o owner) {
		if o.domain == domain && (o.kind == syscall.SOCK_RAW) == (protocol == 0) && (protocol == 0 || o.protocol == protocol) {
			list = append(list, describe(ep, o))
		}
	}
	for ep, o := range owners {
		add(ep, o)
	}
	if protocol != 0 {
		for _, t := range s.RegisteredEndpoints() { // a socket for both families is there twice
			ep, ok := t.(tcpip.Endpoint)
			if !ok {
				continue
			}
			if _, ok := owners[ep]; !ok {
				o := unowned(ep)
				owners[ep] = o
				add(ep, o)
			}
		}
	}
	sort.Slice(list, func(i, j int) bool { return before(&list[i], &list[j]) })
	return list
}

// before puts listening sockets first, and then goes by ports.
func before(a, b *Socket) bool {
	switch {
	case (a.State == Listening) != (b.State == Listening):
		return a.State == Listening
	case a.Local.Port != b.Local.Port:
		return a.Local.Port < b.Local.Port
	case a.Remote.Port != b.Remote.Port:
		return a.Remote.Port < b.Remote.Port
	case a.Remote.IP != b.Remote.IP:
		return bytes.Compare(a.Remote.IP[:], b.Remote.IP[:]) < 0
	}
	return a.Inode < b.Inode
}

// unowned says what an endpoint without a socket of the program is: a connection that was not
// accepted yet, or was closed.
func unowned(ep tcpip.Endpoint) owner {
	o := owner{domain: syscall.AF_INET, kind: syscall.SOCK_DGRAM}
	info, ok := ep.Info().(*stack.TransportEndpointInfo)
	if !ok {
		return owner{}
	}
	if info.NetProto == header.IPv6ProtocolNumber {
		o.domain = syscall.AF_INET6
	}
	if o.protocol = int(info.TransProto); info.TransProto == tcp.ProtocolNumber {
		o.kind = syscall.SOCK_STREAM
	}
	return o
}

func describe(ep tcpip.Endpoint, o owner) Socket {
	s := Socket{Domain: o.domain, Kind: o.kind, Protocol: o.protocol, Inode: o.inode}
	if info, ok := ep.Info().(*stack.TransportEndpointInfo); ok {
		s.Local = address(o.domain, info.ID.LocalAddress, info.ID.LocalPort)
		s.Remote = address(o.domain, info.ID.RemoteAddress, info.ID.RemotePort)
		s.Device = int(info.BindNICID)
	}
	if local, err := ep.GetLocalAddress(); err == nil {
		s.Local = address(o.domain, local.Addr, local.Port)
	}
	s.State = state(ep)
	if n, err := ep.GetSockOptInt(tcpip.ReceiveQueueSizeOption); err == nil && s.State != Listening {
		s.RxQueue = uint32(n)
	}
	if n, err := ep.GetSockOptInt(tcpip.SendQueueSizeOption); err == nil && s.State != Listening {
		s.TxQueue = uint32(n)
	}
	if stats, ok := ep.Stats().(*tcpip.TransportEndpointStats); ok {
		s.Dropped = stats.ReceiveErrors.ReceiveBufferOverflow.Value()
	}
	if o.kind == syscall.SOCK_RAW {
		s.Local.Port = uint16(o.protocol) // as Linux has it
	}
	return s
}

// state returns Linux's number of an endpoint's state.
func state(ep tcpip.Endpoint) uint8 {
	if _, ok := ep.(*tcp.Endpoint); ok {
		switch st := tcp.EndpointState(ep.State()); st {
		case tcp.StateInitial, tcp.StateBound, tcp.StateError:
			return Closed
		case tcp.StateConnecting:
			return uint8(tcp.StateSynSent)
		default:
			return uint8(st) // the same numbers
		}
	}
	if transport.DatagramEndpointState(ep.State()) == transport.DatagramEndpointStateConnected {
		return Established
	}
	return Closed
}

// address returns one end of a connection as sockets of that family show it.
func address(domain int, a tcpip.Address, port uint16) Address {
	at := Address{Port: port}
	if b := a.AsSlice(); domain == syscall.AF_INET6 && len(b) == header.IPv4AddressSize {
		at.IP[10], at.IP[11] = 0xff, 0xff // mapped (RFC 4291, section 2.5.5.2)
		copy(at.IP[12:], b)
	} else {
		copy(at.IP[:], b)
	}
	return at
}
