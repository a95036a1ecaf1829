package inet

import (
	"encoding/binary"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/goshawk-os/goshawk/net/socket"
)

// appendInt appends a control message of one C int.
func appendInt(m *socket.Message, level, kind int, v int32) {
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], uint32(v))
	m.AppendControl(level, kind, b[:])
}

// appendTime appends a struct timeval, or timespec if nano is set, of t.
func appendTime(m *socket.Message, kind int, t time.Time, nano bool) {
	var b [16]byte
	putTime(b[:], t, nano)
	m.AppendControl(syscall.SOL_SOCKET, kind, b[:])
}

// putTime makes b the struct timeval, or timespec if nano is set, of t.
func putTime(b []byte, t time.Time, nano bool) {
	fraction := t.Nanosecond()
	if !nano {
		fraction /= 1000
	}
	binary.NativeEndian.PutUint64(b, uint64(t.Unix()))
	binary.NativeEndian.PutUint64(b[8:], uint64(fraction))
}

// sendable is what control messages say about sending a message.
type sendable struct {
	tcpip.SendableControlMessages
	// has4 says that source4 and nic4 were given with IP_PKTINFO.
	has4    bool
	source4 tcpip.Address
	nic4    tcpip.NICID
	// segment is the size of UDP_SEGMENT, 0 for none.
	segment int
	hasTOS  bool
	tos     uint8
}

// parseControl reads the control messages of sendmsg(2).
func parseControl(b []byte, domain uint8) (c sendable, err syscall.Errno) {
	for {
		level, kind, data, rest, more, err := socket.NextControl(b)
		if err != 0 || !more {
			return c, err
		}
		switch level {
		case syscall.SOL_SOCKET:
			if kind != unix.SO_MARK && kind != unix.SO_TIMESTAMPING && kind != unix.SO_PRIORITY && kind != unix.SCM_RIGHTS && kind != unix.SCM_CREDENTIALS {
				return c, syscall.EINVAL
			}
		case syscall.IPPROTO_IP:
			err = c.ip(kind, data)
		case syscall.IPPROTO_IPV6:
			if domain != syscall.AF_INET6 {
				break
			}
			err = c.ipv6(kind, data)
		case syscall.IPPROTO_UDP:
			if kind != unix.UDP_SEGMENT || len(data) != 2 {
				return c, syscall.EINVAL
			}
			c.segment = int(binary.NativeEndian.Uint16(data))
		}
		if err != 0 {
			return c, err
		}
		b = rest
	}
}

// ip reads a control message of level IPPROTO_IP.
func (c *sendable) ip(kind int, data []byte) syscall.Errno {
	switch kind {
	case syscall.IP_PKTINFO:
		if len(data) != sizeofPktinfo4 {
			return syscall.EINVAL
		}
		c.has4 = true
		c.nic4 = tcpip.NICID(binary.NativeEndian.Uint32(data))
		c.source4 = address4([4]byte(data[4:8]))
	case syscall.IP_TTL:
		if len(data) != 4 {
			return syscall.EINVAL
		}
		v := int32(binary.NativeEndian.Uint32(data))
		if v < 1 || v > 255 {
			return syscall.EINVAL
		}
		c.HasTTL, c.TTL = true, uint8(v)
	case syscall.IP_TOS:
		switch len(data) {
		case 1:
			c.tos = data[0]
		case 4:
			v := int32(binary.NativeEndian.Uint32(data))
			if v < 0 || v > 255 {
				return syscall.EINVAL
			}
			c.tos = uint8(v)
		default:
			return syscall.EINVAL
		}
		c.hasTOS = true
	default:
		return syscall.EINVAL
	}
	return 0
}

// ipv6 reads a control message of level IPPROTO_IPV6.
func (c *sendable) ipv6(kind int, data []byte) syscall.Errno {
	switch kind {
	case unix.IPV6_PKTINFO:
		if len(data) < sizeofPktinfo6 {
			return syscall.EINVAL
		}
		a := address6([16]byte(data[:16]))
		nic := tcpip.NICID(binary.NativeEndian.Uint32(data[16:]))
		if a.Len() == header.IPv6AddressSize && header.IsV4MappedAddress(a) {
			c.has4, c.source4, c.nic4 = true, unmapped(a), nic
			return 0
		}
		c.HasIPv6PacketInfo = true
		c.IPv6PacketInfo = tcpip.IPv6PacketInfo{Addr: a, NIC: nic}
	case unix.IPV6_HOPLIMIT:
		if len(data) != 4 {
			return syscall.EINVAL
		}
		v := int32(binary.NativeEndian.Uint32(data))
		if v < -1 || v > 255 {
			return syscall.EINVAL
		}
		if v >= 0 {
			c.HasHopLimit, c.HopLimit = true, uint8(v)
		}
	case unix.IPV6_TCLASS:
		if len(data) != 4 {
			return syscall.EINVAL
		}
		v := int32(binary.NativeEndian.Uint32(data))
		if v < -1 || v > 255 {
			return syscall.EINVAL
		}
		if v >= 0 {
			c.hasTOS, c.tos = true, uint8(v)
		}
	case unix.IPV6_DONTFRAG:
	default:
		return syscall.EINVAL
	}
	return 0
}

// Sizes of struct in_pktinfo and in6_pktinfo (linux/in.h, linux/ipv6.h).
const (
	sizeofPktinfo4 = 12
	sizeofPktinfo6 = 20
)
