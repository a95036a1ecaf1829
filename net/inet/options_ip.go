package inet

import (
	"encoding/binary"
	"math"
	"math/bits"
	"syscall"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
)

// inet4Level is level IPPROTO_IP (ip(7)) of a socket.
type inet4Level struct {
	*base
	e tcpip.Endpoint
	d *datagram // nil for a stream
}

// wants4 returns the control message that an option of the level asks for, 0 for none.
func wants4(name int) uint32 {
	switch name {
	case syscall.IP_PKTINFO:
		return wantPktinfo4
	case syscall.IP_RECVTTL:
		return wantTTL
	case syscall.IP_RECVTOS:
		return wantTOS
	case unix.IP_RECVORIGDSTADDR:
		return wantOriginal4
	}
	return 0
}

// Kinds of path MTU discovery (linux/in.h); IPv6's have the same numbers.
const (
	discoveryDont = iota
	discoveryWant
	discoveryDo
	discoveryProbe
	discoveryInterface
	discoveryOmit
)

// setDiscovery sets IP_MTU_DISCOVER or IPV6_MTU_DISCOVER.
func (b *base) setDiscovery(e tcpip.Endpoint, v int) syscall.Errno {
	var s tcpip.PMTUDStrategy
	switch v {
	case discoveryDont, discoveryInterface, discoveryOmit:
		s = tcpip.PMTUDiscoveryDont
	case discoveryWant:
		s = tcpip.PMTUDiscoveryWant
	case discoveryDo:
		s = tcpip.PMTUDiscoveryDo
	case discoveryProbe:
		s = tcpip.PMTUDiscoveryProbe
	default:
		return syscall.EINVAL
	}
	b.remember(levelIP, syscall.IP_MTU_DISCOVER, v)
	return setEndpointInt(e, tcpip.MTUDiscoverOption, int(s))
}

// getDiscovery returns what setDiscovery has set.
func (b *base) getDiscovery() int {
	return b.remembered(levelIP, syscall.IP_MTU_DISCOVER, discoveryWant)
}

// setUnicastInterface sets IP_UNICAST_IF or IPV6_UNICAST_IF, an index in network byte order.
func (b *base) setUnicastInterface(level, name, v int) syscall.Errno {
	index := tcpip.NICID(bits.ReverseBytes32(uint32(v)))
	if index != 0 && !b.stack.HasNIC(index) {
		return syscall.EADDRNOTAVAIL
	}
	b.remember(level, name, v)
	return 0
}

// get carries out getsockopt. A number that fits is written as a char if there is no room for an int.
func (l inet4Level) get(name int, value []byte) (int, syscall.Errno) {
	if n := len(value); n == 0 || n >= 4 || name == syscall.IP_MULTICAST_IF {
		return l.getInt(name, value)
	}
	var b [4]byte
	n, err := l.getInt(name, b[:])
	if err == 0 && n == 4 && b[1]|b[2]|b[3] == 0 {
		value[0] = b[0]
		return 1, 0
	}
	return copy(value, b[:n]), err
}

func (l inet4Level) getInt(name int, value []byte) (int, syscall.Errno) {
	if want := wants4(name); want != 0 && l.d != nil {
		return putBool(value, l.d.wanted.Load()&want != 0), 0
	}
	switch name {
	case syscall.IP_TOS:
		return getEndpointInt(l.e, tcpip.IPv4TOSOption, value)
	case syscall.IP_TTL:
		v, err := l.e.GetSockOptInt(tcpip.IPv4TTLOption)
		if v == tcpip.UseDefaultIPv4TTL && err == nil {
			v = l.defaultTTL(ipv4.ProtocolNumber)
		}
		return putInt(value, v), errno(err)
	case syscall.IP_MTU_DISCOVER:
		return putInt(value, l.getDiscovery()), 0
	case syscall.IP_MTU:
		v, err := l.mtu(l.e)
		if err != 0 {
			return 0, err
		}
		return putInt(value, v), 0
	case syscall.IP_RECVERR:
		return putBool(value, l.ops.GetIPv4RecvError()), 0
	case syscall.IP_HDRINCL:
		return putBool(value, l.ops.GetHeaderIncluded()), 0
	case syscall.IP_MULTICAST_TTL:
		return getEndpointInt(l.e, tcpip.MulticastTTLOption, value)
	case syscall.IP_MULTICAST_LOOP:
		return putBool(value, l.ops.GetMulticastLoop()), 0
	case syscall.IP_MULTICAST_IF:
		if l.d == nil {
			return copy(value, make([]byte, 4)), 0
		}
		return l.d.getMulticastInterface(value)
	case syscall.IP_OPTIONS:
		return 0, 0
	case syscall.IP_PKTOPTIONS:
		if l.d == nil {
			return 0, 0
		}
	case unix.IP_UNICAST_IF:
		return putInt(value, l.remembered(levelIP, name, 0)), 0
	}
	return l.getKept(levelIP, name, value)
}

// set carries out setsockopt.
func (l inet4Level) set(name int, value []byte) syscall.Errno {
	switch name {
	case syscall.IP_ADD_MEMBERSHIP, syscall.IP_DROP_MEMBERSHIP, syscall.IP_ADD_SOURCE_MEMBERSHIP, syscall.IP_DROP_SOURCE_MEMBERSHIP,
		syscall.IP_BLOCK_SOURCE, syscall.IP_UNBLOCK_SOURCE, unix.MCAST_JOIN_GROUP, unix.MCAST_LEAVE_GROUP, unix.MCAST_JOIN_SOURCE_GROUP,
		unix.MCAST_LEAVE_SOURCE_GROUP, unix.MCAST_BLOCK_SOURCE, unix.MCAST_UNBLOCK_SOURCE, syscall.IP_MULTICAST_IF:
		if l.d == nil {
			if name == syscall.IP_ADD_MEMBERSHIP || name == syscall.IP_DROP_MEMBERSHIP {
				return syscall.EPROTO
			}
			return syscall.EINVAL
		}
		return l.d.setMulticast4(name, value)
	case syscall.IP_OPTIONS:
		if len(value) > 0 {
			return syscall.ENOPROTOOPT // no packet leaves with options
		}
		return 0
	}
	v, err := getIntOrByte(value)
	if err != 0 {
		return err
	}
	on := v != 0
	if want := wants4(name); want != 0 && l.d != nil {
		l.d.want(want, on)
		return 0
	}
	switch name {
	case syscall.IP_TOS:
		if l.d == nil {
			v &^= 3 // the two bits of congestion notification are TCP's own
		}
		return setEndpointInt(l.e, tcpip.IPv4TOSOption, v&0xff)
	case syscall.IP_TTL:
		if v == -1 {
			v = tcpip.UseDefaultIPv4TTL
		} else if v < 1 || v > 255 {
			return syscall.EINVAL
		}
		return setEndpointInt(l.e, tcpip.IPv4TTLOption, v)
	case syscall.IP_MTU_DISCOVER:
		return l.setDiscovery(l.e, v)
	case syscall.IP_RECVERR:
		l.ops.SetIPv4RecvError(on)
	case syscall.IP_HDRINCL:
		if l.kind != syscall.SOCK_RAW {
			return syscall.ENOPROTOOPT
		}
		l.ops.SetHeaderIncluded(on)
	case syscall.IP_MULTICAST_TTL:
		if l.d == nil || v < -1 || v > 255 {
			return syscall.EINVAL
		}
		if v == -1 {
			v = 1
		}
		return setEndpointInt(l.e, tcpip.MulticastTTLOption, v)
	case syscall.IP_MULTICAST_LOOP:
		l.ops.SetMulticastLoop(on)
	case unix.IP_UNICAST_IF:
		return l.setUnicastInterface(levelIP, name, v)
	default:
		return l.setKept(levelIP, name, v)
	}
	return 0
}

// defaultTTL returns the stack's default hop limit for an IP version.
func (b *base) defaultTTL(version tcpip.NetworkProtocolNumber) int {
	var ttl tcpip.DefaultTTLOption
	b.stack.NetworkProtocolOption(version, &ttl)
	return int(ttl)
}

// mtu returns the MTU on the way to the peer: IP_MTU and IPV6_MTU.
func (b *base) mtu(e tcpip.Endpoint) (int, syscall.Errno) {
	to, err := e.GetRemoteAddress()
	if err != nil {
		return 0, syscall.ENOTCONN
	}
	from, _ := e.GetLocalAddress()
	version := ipv6.ProtocolNumber
	if unmapped(to.Addr).Len() == header.IPv4AddressSize {
		version = ipv4.ProtocolNumber
	}
	r, err := b.stack.FindRoute(to.NIC, unmapped(from.Addr), unmapped(to.Addr), version, false)
	if err != nil {
		return 0, errno(err)
	}
	defer r.Release()
	nic, ok := b.stack.SingleNICInfo(r.NICID())
	if !ok {
		return 0, syscall.ENODEV
	}
	mtu := int(nic.MTU)
	if version == ipv4.ProtocolNumber {
		mtu = min(mtu, math.MaxUint16)
	}
	return mtu, 0
}

// getMulticastInterface writes the address that multicast leaves from (IP_MULTICAST_IF).
func (d *datagram) getMulticastInterface(value []byte) (int, syscall.Errno) {
	var o tcpip.MulticastInterfaceOption
	if err := d.endpoint.GetSockOpt(&o); err != nil {
		return 0, errno(err)
	}
	var b [4]byte
	copy(b[:], o.InterfaceAddr.AsSlice())
	return copy(value, b[:]), 0
}

// setMulticastInterface sets IP_MULTICAST_IF from a struct in_addr, ip_mreq or ip_mreqn.
func (d *datagram) setMulticastInterface(value []byte) syscall.Errno {
	var o tcpip.MulticastInterfaceOption
	switch {
	case len(value) >= 12:
		o.InterfaceAddr = address4([4]byte(value[4:8]))
		o.NIC = tcpip.NICID(binary.NativeEndian.Uint32(value[8:]))
	case len(value) >= 8:
		o.InterfaceAddr = address4([4]byte(value[4:8]))
	case len(value) >= 4:
		o.InterfaceAddr = address4([4]byte(value))
	default:
		return syscall.EINVAL
	}
	if o.InterfaceAddr == header.IPv4Broadcast {
		return syscall.EADDRNOTAVAIL
	}
	return errno(d.endpoint.SetSockOpt(&o))
}
