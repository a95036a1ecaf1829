// Package inventory says what a stack has, in Linux's terms: its links and their counters, and the
// program's sockets. Netlink messages and the files of /proc/net are made from it.
package inventory

import (
	"unsafe"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/goshawk-os/goshawk/net/netstack"
)

// Operational states of a link (RFC 2863, section 3.1.14; linux/if.h).
const (
	OperUnknown = 0
	OperDown    = 2
	OperUp      = 6
)

// SendQueue is the length that Linux gives the send queues of links.
const SendQueue = 1000

// A Link is what Linux shows of a network interface.
type Link struct {
	Index              int
	Name               string
	Type               uint16 // ARPHRD_
	Flags              uint32 // IFF_
	OperState          uint8
	MTU                uint32
	MinMTU, MaxMTU     int64
	Address, Broadcast []byte // zeros for loopback, as on Linux
	Statistics         Statistics
}

// Describe returns what Linux shows of l.
func Describe(l *netstack.Link) Link {
	d := Link{
		Index: l.Index(), Name: l.Name(), Type: unix.ARPHRD_ETHER, Flags: l.Flags(), OperState: OperDown,
		MTU: uint32(l.MTU()), MinMTU: 68, MaxMTU: 65535, Statistics: statistics(l.Statistics()),
	}
	switch {
	case l.Loopback():
		d.Type, d.OperState = unix.ARPHRD_LOOPBACK, OperUnknown
		d.MinMTU, d.MaxMTU = 0, 0 // no limits
		d.Address, d.Broadcast = make([]byte, header.EthernetAddressSize), make([]byte, header.EthernetAddressSize)
		return d
	case d.Flags&unix.IFF_RUNNING != 0:
		d.OperState = OperUp
	}
	d.Address = []byte(l.MAC())
	d.Broadcast = []byte(header.EthernetBroadcastAddress)
	return d
}

// Statistics is struct rtnl_link_stats64 of linux/if_link.h.
type Statistics struct {
	RxPackets, TxPackets, RxBytes, TxBytes, RxErrors, TxErrors, RxDropped, TxDropped, Multicast, Collisions       uint64
	RxLengthErrors, RxOverErrors, RxCRCErrors, RxFrameErrors, RxFIFOErrors, RxMissedErrors                        uint64
	TxAbortedErrors, TxCarrierErrors, TxFIFOErrors, TxHeartbeatErrors, TxWindowErrors, RxCompressed, TxCompressed uint64
	RxNoHandler, RxOtherHostDropped                                                                               uint64
}

// Short returns the first 24 counters as struct rtnl_link_stats, whose counters wrap.
func (s *Statistics) Short() (short [24]uint32) {
	for i := range short {
		short[i] = uint32((*[24]uint64)(unsafe.Pointer(s))[i])
	}
	return short
}

func statistics(s netstack.Statistics) Statistics {
	return Statistics{
		RxPackets: s.RxPackets, TxPackets: s.TxPackets, RxBytes: s.RxBytes, TxBytes: s.TxBytes, RxErrors: s.RxErrors, TxErrors: s.TxErrors,
		RxDropped: s.RxDropped, TxDropped: s.TxDropped, Multicast: s.Multicast,
	}
}
