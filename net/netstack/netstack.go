// Package netstack is the TCP/IP engine: gVisor's stack with the options of a server, over links.
//
// A Stack has the link "lo", index 1, from the start; AddLink makes further ones of devices. The
// index of a link is gVisor's NICID. Addresses, routes and neighbours are set through gVisor's own
// API, which Stack embeds.
package netstack

import (
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// Loopback is the index of the link "lo".
const Loopback = 1

// Options are the machine's properties and the kernel's services.
type Options struct {
	// Memory is the size of main memory in bytes, which bounds buffers; 0 means plenty.
	Memory uint64
	// CPUs is how many goroutines may process TCP at once; 0 means GOMAXPROCS.
	CPUs int
	// Random yields random bytes fit for keys; nil means crypto/rand.
	Random io.Reader
	// Nanotime reads a clock that never goes back, in nanoseconds; nil means package time's.
	Nanotime func() int64
	// NDP is told of what neighbour discovery finds out (RFC 4861, RFC 4862): routers, prefixes,
	// addresses, name servers. It is called with locks of gVisor's stack held, and must not call the
	// stack back on the same goroutine but for routes. nil: IPv6 configures addresses, but no routes.
	NDP ipv6.NDPDispatcher
	// Warn writes a line about what went wrong to the console; nil discards it. It does not wait.
	Warn func(text string)
}

// A Stack is a TCP/IP stack and its links.
type Stack struct {
	*stack.Stack
	options Options

	tcp     inline // nil on the host, where gVisor is as it comes
	capture atomic.Pointer[capture]
	// packetSockets is how many sockets want link packets: without any, none are delivered.
	packetSockets atomic.Int32

	adding   sync.Mutex // held while a link is added
	mu       sync.Mutex
	links    []*Link // by index, from 1; never shrinks
	watchers []func(*Link)
}

// New returns a stack that has only the loopback link, which is up with 127.0.0.1/8 and ::1/128.
func New(o Options) *Stack {
	s := &Stack{options: o}
	s.Stack = newStack(s)
	if s.tcp, _ = s.TransportProtocolInstance(tcp.ProtocolNumber).(inline); s.tcp != nil {
		s.tcp.LimitTimeWait(timeWaitLimit(o.Memory))
	}
	s.addLoopback()
	return s
}

// inline is what the guest's TCP can do besides (goos/_modules): process the segments that a
// goroutine delivers between Defer and Process on that goroutine, rather than wake another.
type inline interface {
	Defer()
	Process()
	// LimitTimeWait sets how many connections may be in TIME-WAIT at once.
	LimitTimeWait(n int)
}

// direct is what the NICs of the guest's gVisor can do besides (goos/_modules): deliver the packets of
// TCP connections without a detour through the IP layer. It returns false if a packet must take that.
type direct interface {
	DeliverDirect(*stack.PacketBuffer) bool
}

// Links returns all links in the order of their indexes.
func (s *Stack) Links() []*Link {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.links)
}

// Link returns the link of that index, nil if there is none.
func (s *Stack) Link(index int) *Link {
	s.mu.Lock()
	defer s.mu.Unlock()
	if index < 1 || index > len(s.links) {
		return nil
	}
	return s.links[index-1]
}

// LinkByName returns the link of that name, nil if there is none.
func (s *Stack) LinkByName(name string) *Link {
	for _, l := range s.Links() {
		if l.Name() == name {
			return l
		}
	}
	return nil
}

// WatchLinks has f called after a link came, went up or down, or changed its MTU or address. f may
// be called by any goroutine, without locks of this package held; it does not wait.
func (s *Stack) WatchLinks(f func(*Link)) {
	s.mu.Lock()
	s.watchers = append(s.watchers, f)
	s.mu.Unlock()
}

// WantPackets is called with 1 for each packet endpoint that is opened (Stack.NewPacketEndpoint) and
// with -1 when it is closed. gVisor's packet endpoints see packets only meanwhile.
func (s *Stack) WantPackets(change int) { s.packetSockets.Add(int32(change)) }

func (s *Stack) linkChanged(l *Link) {
	s.mu.Lock()
	watchers := s.watchers
	s.mu.Unlock()
	for _, f := range watchers {
		f(l)
	}
}

func (s *Stack) warn(text string) {
	if s.options.Warn != nil {
		s.options.Warn(text)
	}
}

// addLoopback makes the link lo.
func (s *Stack) addLoopback() {
	l := &Link{stack: s, index: Loopback, name: "lo", loopback: true}
	must(s.create(l, newLoopback(l)))
	ip6, err := s.GetNetworkEndpoint(Loopback, header.IPv6ProtocolNumber)
	must(err)
	// Nobody else is there: no duplicates, no routers.
	ip6.(stack.DuplicateAddressDetector).SetDADConfigurations(stack.DADConfigurations{})
	ndp := ip6.(ipv6.NDPEndpoint)
	alone := ndp.NDPConfigurations()
	alone.HandleRAs, alone.MaxRtrSolicitations = ipv6.HandlingRAsDisabled, 0
	ndp.SetNDPConfigurations(alone)
	must(s.EnableNIC(Loopback))
	for _, a := range []tcpip.ProtocolAddress{
		{Protocol: header.IPv4ProtocolNumber, AddressWithPrefix: tcpip.AddressWithPrefix{Address: header.IPv4Loopback, PrefixLen: 8}},
		{Protocol: header.IPv6ProtocolNumber, AddressWithPrefix: tcpip.AddressWithPrefix{Address: header.IPv6Loopback, PrefixLen: 128}},
	} {
		must(s.AddProtocolAddress(Loopback, a, stack.AddressProperties{}))
		s.AddRoute(tcpip.Route{Destination: a.AddressWithPrefix.Subnet(), NIC: Loopback})
	}
}

// must is for calls of gVisor's stack that fail only if this package is wrong.
func must(err tcpip.Error) {
	if err != nil {
		panic("netstack: " + err.String())
	}
}
