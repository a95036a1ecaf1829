package inet

import (
	"syscall"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// inet6Level is level IPPROTO_IPV6 (ipv6(7)) of a socket.
type inet6Level struct {
	*base
	e tcpip.Endpoint
	d *datagram // nil for a stream
}

// wants6 returns the control message that an option of the level asks for, 0 for none.
func wants6(name int) uint32 {
	switch name {
	case unix.IPV6_RECVPKTINFO:
		return wantPktinfo6
	case unix.IPV6_RECVHOPLIMIT:
		return wantHopLimit
	case unix.IPV6_RECVTCLASS:
		return wantClass
	case unix.IPV6_RECVORIGDSTADDR:
		return wantOriginal6
	}
	return 0
}

// get carries out getsockopt.
func (l inet6Level) get(name int, value []byte) (int, syscall.Errno) {
	if want := wants6(name); want != 0 && l.d != nil {
		return putBool(value, l.d.wanted.Load()&want != 0), 0
	}
	switch name {
	case syscall.IPV6_V6ONLY:
		return putBool(value, l.ops.GetV6Only()), 0
	case syscall.IPV6_UNICAST_HOPS:
		v, err := l.e.GetSockOptInt(tcpip.IPv6HopLimitOption)
		if v == tcpip.UseDefaultIPv6HopLimit && err == nil {
			v = l.defaultTTL(ipv6.ProtocolNumber)
		}
		return putInt(value, v), errno(err)
	case unix.IPV6_TCLASS:
		return getEndpointInt(l.e, tcpip.IPv6TrafficClassOption, value)
	case syscall.IPV6_MTU_DISCOVER:
		return putInt(value, l.getDiscovery()), 0
	case syscall.IPV6_MTU:
		v, err := l.mtu(l.e)
		if err != 0 {
			return 0, err
		}
		return putInt(value, v), 0
	case syscall.IPV6_RECVERR:
		return putBool(value, l.ops.GetIPv6RecvError()), 0
	case syscall.IPV6_MULTICAST_HOPS:
		if l.d == nil {
			return putInt(value, 1), 0
		}
		return getEndpointInt(l.e, tcpip.MulticastTTLOption, value)
	case syscall.IPV6_MULTICAST_LOOP:
		return putBool(value, l.ops.GetMulticastLoop()), 0
	case syscall.IPV6_MULTICAST_IF:
		if l.d == nil {
			return putInt(value, 0), 0
		}
		return getEndpointInt(l.e, tcpip.IPv6MulticastInterfaceOption, value)
	case unix.IPV6_HDRINCL:
		if l.kind != syscall.SOCK_RAW {
			return 0, syscall.ENOPROTOOPT
		}
		return putBool(value, l.ops.GetHeaderIncluded()), 0
	case syscall.IPV6_CHECKSUM:
		if l.kind != syscall.SOCK_RAW {
			return 0, syscall.ENOPROTOOPT
		}
		return getEndpointInt(l.e, tcpip.IPv6Checksum, value)
	case unix.IPV6_HOPOPTS, unix.IPV6_RTHDR, unix.IPV6_RTHDRDSTOPTS, unix.IPV6_DSTOPTS:
		return 0, 0
	case unix.IPV6_UNICAST_IF, unix.IPV6_ADDR_PREFERENCES:
		return putInt(value, l.remembered(level6, name, 0)), 0
	}
	return l.getKept(level6, name, value)
}

// set carries out setsockopt.
func (l inet6Level) set(name int, value []byte) syscall.Errno {
	switch name {
	case syscall.IPV6_JOIN_GROUP, syscall.IPV6_LEAVE_GROUP, unix.MCAST_JOIN_GROUP, unix.MCAST_LEAVE_GROUP, unix.MCAST_JOIN_SOURCE_GROUP,
		unix.MCAST_LEAVE_SOURCE_GROUP, unix.MCAST_BLOCK_SOURCE, unix.MCAST_UNBLOCK_SOURCE:
		if l.d == nil {
			if len(value) >= sizeofMreq6 && (name == syscall.IPV6_JOIN_GROUP || name == syscall.IPV6_LEAVE_GROUP) {
				return syscall.EPROTO
			}
			return syscall.EINVAL
		}
		return l.d.setMulticast6(name, value)
	}
	v, err := getInt(value)
	if err != 0 {
		return err
	}
	on := v != 0
	if want := wants6(name); want != 0 && l.d != nil {
		l.d.want(want, on)
		return 0
	}
	switch name {
	case syscall.IPV6_V6ONLY:
		if l.bound() {
			return syscall.EINVAL
		}
		l.ops.SetV6Only(on)
	case syscall.IPV6_UNICAST_HOPS:
		if v < -1 || v > 255 {
			return syscall.EINVAL
		}
		return setEndpointInt(l.e, tcpip.IPv6HopLimitOption, v)
	case unix.IPV6_TCLASS:
		if v < -1 || v > 255 {
			return syscall.EINVAL
		}
		return setEndpointInt(l.e, tcpip.IPv6TrafficClassOption, max(v, 0))
	case syscall.IPV6_MTU_DISCOVER:
		return l.setDiscovery(l.e, v)
	case syscall.IPV6_RECVERR:
		l.ops.SetIPv6RecvError(on)
	case syscall.IPV6_MULTICAST_HOPS:
		if l.d == nil {
			return syscall.ENOPROTOOPT
		}
		if v < -1 || v > 255 {
			return syscall.EINVAL
		}
		if v == -1 {
			v = 1
		}
		return setEndpointInt(l.e, tcpip.MulticastTTLOption, v)
	case syscall.IPV6_MULTICAST_LOOP:
		if v != 0 && v != 1 {
			return syscall.EINVAL
		}
		l.ops.SetMulticastLoop(on)
	case syscall.IPV6_MULTICAST_IF:
		if l.d == nil {
			return syscall.ENOPROTOOPT
		}
		return setEndpointInt(l.e, tcpip.IPv6MulticastInterfaceOption, v)
	case unix.IPV6_HDRINCL:
		if l.kind != syscall.SOCK_RAW {
			return syscall.ENOPROTOOPT
		}
		l.ops.SetHeaderIncluded(on)
	case syscall.IPV6_CHECKSUM:
		if l.kind != syscall.SOCK_RAW {
			return syscall.ENOPROTOOPT
		}
		return setEndpointInt(l.e, tcpip.IPv6Checksum, v)
	case unix.IPV6_MTU:
		if v != 0 && v < 1280 {
			return syscall.EINVAL
		}
		l.remember(level6, name, v)
	case unix.IPV6_UNICAST_IF:
		return l.setUnicastInterface(level6, name, v)
	case unix.IPV6_ADDR_PREFERENCES:
		l.remember(level6, name, v)
	case unix.IPV6_HOPOPTS, unix.IPV6_RTHDR, unix.IPV6_RTHDRDSTOPTS, unix.IPV6_DSTOPTS:
		return syscall.EINVAL // no packet leaves with extension headers
	default:
		return l.setKept(level6, name, v)
	}
	return 0
}

// bound reports whether the socket has a port already.
func (l inet6Level) bound() bool {
	if l.d != nil {
		return transport.DatagramEndpointState(l.e.State()) != transport.DatagramEndpointStateInitial
	}
	return tcp.EndpointState(l.e.State()) != tcp.StateInitial
}
