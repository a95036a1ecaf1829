package inet

import (
	"syscall"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
)

// wantsSocket returns the control message that an option of level SOL_SOCKET asks for, 0 for none.
func wantsSocket(name int) uint32 {
	switch name {
	case unix.SO_TIMESTAMP_OLD, unix.SO_TIMESTAMP_NEW:
		return wantStamp
	case unix.SO_TIMESTAMPNS_OLD, unix.SO_TIMESTAMPNS_NEW:
		return wantStampNano
	case unix.SO_RXQ_OVFL:
		return wantDrops
	}
	return 0
}

// GetOption implements socket.Socket.
func (d *datagram) GetOption(level, name int, value []byte) (int, syscall.Errno) {
	switch level {
	case syscall.SOL_SOCKET:
		if want := wantsSocket(name); want != 0 {
			return putBool(value, d.wanted.Load()&want != 0), 0
		}
		if name == unix.SO_PEERNAME {
			a, err := d.endpoint.GetRemoteAddress()
			if err != nil {
				return 0, errno(err)
			}
			return putAddress(value, int(d.domain), &a)
		}
		if name == syscall.SO_ERROR {
			return putInt(value, int(errno(d.endpoint.LastError()))), 0
		}
		return d.getSocketOption(name, value)
	case syscall.IPPROTO_IP:
		return inet4Level{&d.base, d.endpoint, d}.get(name, value)
	case syscall.IPPROTO_IPV6:
		if d.domain == syscall.AF_INET6 {
			return inet6Level{&d.base, d.endpoint, d}.get(name, value)
		}
	case syscall.IPPROTO_UDP:
		if d.udp() {
			return d.getUDP(name, value)
		}
	case solRaw:
		if name == icmpFilter && d.raw() && d.protocol == syscall.IPPROTO_ICMP {
			return putInt(value, int(int32(d.filters.icmp.Load()))), 0
		}
	case syscall.IPPROTO_ICMPV6:
		if name == syscall.ICMPV6_FILTER && d.raw() {
			var o tcpip.ICMPv6Filter
			if err := d.endpoint.GetSockOpt(&o); err != nil {
				return 0, errno(err)
			}
			b := filterBytes(&o)
			return copy(value, b[:]), 0
		}
	}
	return 0, d.noLevel()
}

// SetOption implements socket.Socket.
func (d *datagram) SetOption(level, name int, value []byte) syscall.Errno {
	switch level {
	case syscall.SOL_SOCKET:
		switch name {
		case unix.SO_ATTACH_FILTER:
			return d.attachFilter(value)
		case unix.SO_DETACH_FILTER:
			return d.detachFilter()
		}
		err := d.setSocketOption(name, value)
		if err != 0 {
			return err
		}
		v, _ := getInt(value)
		if want := wantsSocket(name); want != 0 {
			if v != 0 && want&(wantStamp|wantStampNano) != 0 {
				d.wanted.And(^uint32(wantStamp | wantStampNano)) // they exclude each other
			}
			d.want(want, v != 0)
		}
		if name == unix.SO_TIMESTAMPING_OLD || name == unix.SO_TIMESTAMPING_NEW {
			const software = unix.SOF_TIMESTAMPING_RX_SOFTWARE | unix.SOF_TIMESTAMPING_SOFTWARE
			d.want(wantStamping, v&software == software)
		}
		return 0
	case syscall.IPPROTO_IP:
		return inet4Level{&d.base, d.endpoint, d}.set(name, value)
	case syscall.IPPROTO_IPV6:
		if d.domain == syscall.AF_INET6 {
			return inet6Level{&d.base, d.endpoint, d}.set(name, value)
		}
	case syscall.IPPROTO_UDP:
		if d.udp() {
			return d.setUDP(name, value)
		}
	case solRaw:
		if name == icmpFilter && d.raw() && d.protocol == syscall.IPPROTO_ICMP {
			v, err := getInt(value)
			if err == 0 {
				d.filters.icmp.Store(uint32(v))
				d.updateFilters()
			}
			return err
		}
	case syscall.IPPROTO_ICMPV6:
		if name == syscall.ICMPV6_FILTER && d.raw() {
			return errno(d.endpoint.SetSockOpt(newICMPv6Filter(value)))
		}
	}
	return syscall.ENOPROTOOPT
}

// getUDP carries out getsockopt for level IPPROTO_UDP (udp(7)).
func (d *datagram) getUDP(name int, value []byte) (int, syscall.Errno) {
	switch name {
	case unix.UDP_CORK:
		d.mu.Lock()
		defer d.mu.Unlock()
		return putBool(value, d.cork.set), 0
	case unix.UDP_SEGMENT:
		return putInt(value, int(d.segment.Load())), 0
	}
	return d.getKept(syscall.IPPROTO_UDP, name, value)
}

// setUDP carries out setsockopt for level IPPROTO_UDP. UDP_GRO permits the stack to merge datagrams,
// which it never does.
func (d *datagram) setUDP(name int, value []byte) syscall.Errno {
	v, err := getInt(value)
	if err != 0 {
		return err
	}
	switch name {
	case unix.UDP_CORK:
		return d.setCork(v != 0)
	case unix.UDP_SEGMENT:
		if v < 0 || v > maxSegmentSize {
			return syscall.EINVAL
		}
		d.segment.Store(int32(v))
	default:
		return d.setKept(syscall.IPPROTO_UDP, name, v)
	}
	return 0
}
