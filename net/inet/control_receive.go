package inet

import (
	"encoding/binary"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"

	"github.com/goshawk-os/goshawk/net/socket"
)

// The control messages that a program asked for with an option: bits of datagram.wanted.
const (
	wantStamp = 1 << iota
	wantStampNano
	wantStamping
	wantDrops
	wantPktinfo4
	wantTTL
	wantTOS
	wantOriginal4
	wantPktinfo6
	wantHopLimit
	wantClass
	wantOriginal6
)

// control appends the control messages that the program asked for of the message r.
func (d *datagram) control(m *socket.Message, r *tcpip.ReadResult) {
	c := &r.ControlMessages
	d.settings.stamp.Store(c.Timestamp.UnixNano())
	wanted := d.wanted.Load()
	if wanted == 0 {
		return
	}
	if wanted&(wantStamp|wantStampNano|wantStamping) != 0 {
		d.controlTime(m, wanted, c.Timestamp)
	}
	if wanted&wantDrops != 0 {
		if n := drops(d.endpoint); n != 0 {
			appendInt(m, syscall.SOL_SOCKET, unix.SO_RXQ_OVFL, int32(n))
		}
	}
	d.control6(m, wanted, c)
	d.control4(m, wanted, c)
}

// controlTime appends when a message arrived.
func (d *datagram) controlTime(m *socket.Message, wanted uint32, t time.Time) {
	switch {
	case wanted&wantStampNano != 0:
		appendTime(m, unix.SO_TIMESTAMPNS, t, true)
	case wanted&wantStamp != 0:
		appendTime(m, unix.SO_TIMESTAMP, t, false)
	}
	if wanted&wantStamping != 0 {
		var b [48]byte // struct scm_timestamping: software, unused, hardware
		putTime(b[:], t, true)
		m.AppendControl(syscall.SOL_SOCKET, unix.SO_TIMESTAMPING, b[:])
	}
}

// control4 appends the messages of level IPPROTO_IP, which an IPv6 socket may ask for as well.
func (d *datagram) control4(m *socket.Message, wanted uint32, c *tcpip.ReceivableControlMessages) {
	if wanted&wantPktinfo4 != 0 && c.HasIPPacketInfo {
		var b [sizeofPktinfo4]byte
		binary.NativeEndian.PutUint32(b[:], uint32(c.PacketInfo.NIC))
		local := c.PacketInfo.LocalAddr
		if multicast(local) || local == header.IPv4Broadcast || d.stack.IsSubnetBroadcast(c.PacketInfo.NIC, ipv4.ProtocolNumber, local) {
			main, _ := d.stack.GetMainNICAddress(c.PacketInfo.NIC, ipv4.ProtocolNumber)
			local = main.Address
		}
		copy(b[4:8], local.AsSlice())
		copy(b[8:], c.PacketInfo.DestinationAddr.AsSlice())
		m.AppendControl(syscall.IPPROTO_IP, syscall.IP_PKTINFO, b[:])
	}
	if wanted&wantTTL != 0 && c.HasTTL {
		appendInt(m, syscall.IPPROTO_IP, syscall.IP_TTL, int32(c.TTL))
	}
	if wanted&wantTOS != 0 && c.HasTOS {
		b := [1]byte{c.TOS}
		m.AppendControl(syscall.IPPROTO_IP, syscall.IP_TOS, b[:])
	}
	if wanted&wantOriginal4 != 0 && c.HasOriginalDstAddress && unmapped(c.OriginalDstAddress.Addr).Len() == header.IPv4AddressSize {
		var a socket.Address
		to := c.OriginalDstAddress
		to.Addr = unmapped(to.Addr)
		setAddress(&a, syscall.AF_INET, &to)
		m.AppendControl(syscall.IPPROTO_IP, unix.IP_ORIGDSTADDR, a.Bytes())
	}
}

// control6 appends the messages of level IPPROTO_IPV6.
func (d *datagram) control6(m *socket.Message, wanted uint32, c *tcpip.ReceivableControlMessages) {
	if wanted&wantPktinfo6 != 0 && (c.HasIPv6PacketInfo || c.HasIPPacketInfo) {
		var b [sizeofPktinfo6]byte
		addr, nic := c.IPv6PacketInfo.Addr, c.IPv6PacketInfo.NIC
		if !c.HasIPv6PacketInfo {
			addr, nic = mapped(c.PacketInfo.DestinationAddr), c.PacketInfo.NIC
		}
		copy(b[:16], addr.AsSlice())
		binary.NativeEndian.PutUint32(b[16:], uint32(nic))
		m.AppendControl(syscall.IPPROTO_IPV6, unix.IPV6_PKTINFO, b[:])
	}
	if wanted&wantHopLimit != 0 && c.HasHopLimit {
		appendInt(m, syscall.IPPROTO_IPV6, unix.IPV6_HOPLIMIT, int32(c.HopLimit))
	}
	if wanted&wantClass != 0 && c.HasTClass {
		appendInt(m, syscall.IPPROTO_IPV6, unix.IPV6_TCLASS, int32(c.TClass))
	}
	if wanted&wantOriginal6 != 0 && c.HasOriginalDstAddress {
		var a socket.Address
		setAddress(&a, syscall.AF_INET6, &c.OriginalDstAddress)
		m.AppendControl(syscall.IPPROTO_IPV6, unix.IPV6_ORIGDSTADDR, a.Bytes())
	}
}

// want notes that the program asks for control messages, or no longer, and tells the endpoint what to
// note down of each message.
func (d *datagram) want(bits uint32, on bool) {
	if on {
		d.wanted.Or(bits)
	} else {
		d.wanted.And(^bits)
	}
	d.observeHeaders()
}

// observeHeaders tells the endpoint what to note down of each message.
func (d *datagram) observeHeaders() {
	w := d.wanted.Load()
	filtering := d.filters.active.Load()
	d.ops.SetReceivePacketInfo(w&(wantPktinfo4|wantPktinfo6) != 0 || filtering)
	d.ops.SetIPv6ReceivePacketInfo(w&wantPktinfo6 != 0 || filtering)
	d.ops.SetReceiveTTL(w&wantTTL != 0)
	d.ops.SetReceiveTOS(w&wantTOS != 0)
	d.ops.SetReceiveHopLimit(w&wantHopLimit != 0)
	d.ops.SetReceiveTClass(w&wantClass != 0)
	d.ops.SetReceiveOriginalDstAddress(w&(wantOriginal4|wantOriginal6) != 0)
}

// drops returns how many messages were lost because the endpoint's buffer was full.
func drops(e tcpip.Endpoint) uint64 {
	if s, ok := e.Stats().(*tcpip.TransportEndpointStats); ok {
		return s.ReceiveErrors.ReceiveBufferOverflow.Value()
	}
	return 0
}
