package netstack

import (
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// Flags of a link (netdevice(7)).
const (
	IFF_UP        = 0x1
	IFF_BROADCAST = 0x2
	IFF_LOOPBACK  = 0x8
	IFF_RUNNING   = 0x40
	IFF_PROMISC   = 0x100
	IFF_MULTICAST = 0x1000
	IFF_LOWER_UP  = 0x10000
)

// A Link is a network interface: the loopback, or a device.
type Link struct {
	stack    *Stack
	index    int
	name     string
	loopback bool
	endpoint linkEndpoint

	up      atomic.Bool // as set by the administrator
	carrier atomic.Bool
	promisc atomic.Bool
}

// linkEndpoint is what gVisor's stack knows of a link.
type linkEndpoint interface {
	stack.LinkEndpoint
	// WritePacket makes the endpoint the NIC's queueing discipline too. gVisor's own makes a list
	// for each packet.
	WritePacket(*stack.PacketBuffer) tcpip.Error
	largestMTU() int
	statistics() Statistics
	setPromiscuous(on bool) error
}

// create makes l a NIC of gVisor's stack and registers it. The link is up, but lo is to be enabled when it is
// configured.
func (s *Stack) create(l *Link, e linkEndpoint) tcpip.Error {
	l.endpoint = e
	l.up.Store(true)
	err := s.CreateNICWithOptions(tcpip.NICID(l.index), e, stack.NICOptions{Name: l.name, QDisc: e, Disabled: l.loopback})
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.links = append(s.links, l)
	s.mu.Unlock()
	return nil
}

// Index returns the link's index, which is gVisor's NICID.
func (l *Link) Index() int { return l.index }

// Name returns the link's name, like eth0.
func (l *Link) Name() string { return l.name }

// MTU returns the longest IP packet in bytes.
func (l *Link) MTU() int { return int(l.endpoint.MTU()) }

// MaxMTU returns the largest MTU that the device can do.
func (l *Link) MaxMTU() int { return l.endpoint.largestMTU() }

// SetMTU changes the longest IP packet in bytes, which is at least 68 (RFC 791) and no more than the
// device can do.
func (l *Link) SetMTU(mtu int) tcpip.Error {
	if mtu < minMTU || mtu > l.MaxMTU() {
		return &tcpip.ErrInvalidOptionValue{}
	}
	if err := l.stack.SetNICMTU(l.id(), uint32(mtu)); err != nil {
		return err
	}
	l.stack.linkChanged(l)
	return nil
}

// MAC returns the Ethernet address of 6 bytes, "" for the loopback.
func (l *Link) MAC() tcpip.LinkAddress { return l.endpoint.LinkAddress() }

// Up reports whether the administrator wants the link to be used.
func (l *Link) Up() bool { return l.up.Load() }

// SetUp takes the link into use or out of it. Down it loses its neighbours, and IPv6 starts anew
// when it goes up.
func (l *Link) SetUp(up bool) tcpip.Error {
	if l.up.Swap(up) == up {
		return nil
	}
	set := l.stack.DisableNIC
	if up {
		set = l.stack.EnableNIC
	}
	if err := set(l.id()); err != nil {
		return err
	}
	l.stack.linkChanged(l)
	return nil
}

// Carrier reports whether the device has a link.
func (l *Link) Carrier() bool { return l.carrier.Load() }

// SetPromiscuous chooses whether frames for others are received.
func (l *Link) SetPromiscuous(on bool) error {
	if err := l.endpoint.setPromiscuous(on); err != nil {
		return err
	}
	l.promisc.Store(on)
	l.stack.linkChanged(l)
	return nil
}

// Loopback reports whether this is the link lo.
func (l *Link) Loopback() bool { return l.loopback }

// Flags returns the IFF_ flags.
func (l *Link) Flags() uint32 {
	f := uint32(IFF_BROADCAST | IFF_MULTICAST)
	if l.loopback {
		f = IFF_LOOPBACK
	}
	if l.Up() {
		f |= IFF_UP
		if l.Carrier() {
			f |= IFF_RUNNING | IFF_LOWER_UP
		}
	}
	if l.promisc.Load() {
		f |= IFF_PROMISC
	}
	return f
}

// Statistics returns what the link has carried.
func (l *Link) Statistics() Statistics { return l.endpoint.statistics() }

func (l *Link) id() tcpip.NICID { return tcpip.NICID(l.index) }
