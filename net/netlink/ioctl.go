package netlink

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/goshawk-os/goshawk/net/netlink/inventory"
	"github.com/goshawk-os/goshawk/net/netstack"
)

// ifreq is struct ifreq (netdevice(7)).
type ifreq struct {
	name [unix.IFNAMSIZ]byte
	data [24]byte
}

// ifconf is struct ifconf.
type ifconf struct {
	size int32
	list unsafe.Pointer // *ifreq, or nil
}

// rtentry is struct rtentry of linux/route.h.
type rtentry struct {
	_                             uint64
	destination, gateway, netmask unix.RawSockaddrInet4
	flags                         uint16
	_                             [6]byte
	_, _                          uint64
	metric                        int16
	_                             [6]byte
	device                        *byte
	mtu, window                   uint64
	_                             uint16
}

// Requests that package unix lacks (linux/sockios.h).
const siocGIFMAP = 0x8970

// Ioctl carries out a request of netdevice(7). handled is false if it is none.
func (f *Family) Ioctl(req uint, arg unsafe.Pointer) (err syscall.Errno, handled bool) {
	switch req {
	case unix.SIOCGIFCONF, unix.SIOCADDRT, unix.SIOCDELRT, unix.SIOCGIFNAME, unix.SIOCGIFINDEX, unix.SIOCGIFFLAGS, unix.SIOCGIFADDR,
		unix.SIOCGIFNETMASK, unix.SIOCGIFBRDADDR, unix.SIOCGIFDSTADDR, unix.SIOCGIFHWADDR, unix.SIOCGIFMTU, unix.SIOCGIFMETRIC,
		unix.SIOCGIFTXQLEN, siocGIFMAP, unix.SIOCSIFFLAGS, unix.SIOCSIFADDR, unix.SIOCSIFNETMASK, unix.SIOCSIFMTU, unix.SIOCETHTOOL:
	default:
		return 0, false
	}
	if arg == nil {
		return syscall.EFAULT, true
	}
	switch req {
	case unix.SIOCGIFCONF:
		return f.listIPv4((*ifconf)(arg)), true
	case unix.SIOCADDRT, unix.SIOCDELRT:
		return f.ioctlRoute(req, (*rtentry)(arg)), true
	}
	r := (*ifreq)(arg)
	if req == unix.SIOCGIFNAME {
		l := f.stack.Link(int(*(*int32)(unsafe.Pointer(&r.data))))
		if l == nil {
			return syscall.ENODEV, true
		}
		setName(r, l.Name())
		return 0, true
	}
	l := f.stack.LinkByName(text(r.name[:]))
	if l == nil {
		return syscall.ENODEV, true
	}
	switch req {
	case unix.SIOCSIFFLAGS, unix.SIOCSIFADDR, unix.SIOCSIFNETMASK, unix.SIOCSIFMTU:
		f.changes.Lock()
		defer f.changes.Unlock()
		if err = f.setByIoctl(req, l, r); err == 0 {
			f.publish(nil)
		}
		return err, true
	}
	return f.getByIoctl(req, l, r), true
}

func setName(r *ifreq, name string) {
	r.name = [unix.IFNAMSIZ]byte{}
	copy(r.name[:unix.IFNAMSIZ-1], name)
}

// as gives a value its place in an ifreq.
func as[T any](r *ifreq) *T { return (*T)(unsafe.Pointer(&r.data)) }

func sockaddr(a tcpip.Address) unix.RawSockaddrInet4 {
	return unix.RawSockaddrInet4{Family: syscall.AF_INET, Addr: [4]byte(a.AsSlice())}
}

// mask4 returns the address whose first bits are ones.
func mask4(bits int) tcpip.Address { return tcpip.AddrFrom4Slice(netmask(bits)) }

func netmask(bits int) []byte {
	m := ^uint32(0) << (32 - bits)
	return []byte{byte(m >> 24), byte(m >> 16), byte(m >> 8), byte(m)}
}

// first returns the first IPv4 address of a link, nil if it has none.
func (f *Family) first(l *netstack.Link) *AddressInfo {
	for _, a := range f.Addresses(l) {
		if a.Prefix.Address.Len() == header.IPv4AddressSize {
			return &a
		}
	}
	return nil
}

// listIPv4 lists the links that have an IPv4 address, as many as there is room for.
func (f *Family) listIPv4(c *ifconf) syscall.Errno {
	const size = int32(unsafe.Sizeof(ifreq{}))
	n := int32(0)
	for _, l := range f.stack.Links() {
		for _, a := range f.Addresses(l) {
			if a.Prefix.Address.Len() != header.IPv4AddressSize {
				continue
			}
			if c.list != nil {
				if c.size-n < size {
					c.size = n
					return 0
				}
				r := (*ifreq)(unsafe.Add(c.list, n))
				*r = ifreq{}
				setName(r, l.Name())
				*as[unix.RawSockaddrInet4](r) = sockaddr(a.Prefix.Address)
			}
			n += size
		}
	}
	c.size = n
	return 0
}

func (f *Family) getByIoctl(req uint, l *netstack.Link, r *ifreq) syscall.Errno {
	d := inventory.Describe(l)
	switch req {
	case unix.SIOCGIFINDEX:
		*as[int32](r) = int32(d.Index)
	case unix.SIOCGIFFLAGS:
		*as[uint16](r) = uint16(d.Flags)
	case unix.SIOCGIFMTU:
		*as[int32](r) = int32(d.MTU)
	case unix.SIOCGIFMETRIC:
		*as[int32](r) = 0
	case unix.SIOCGIFTXQLEN:
		*as[int32](r) = inventory.SendQueue
	case siocGIFMAP:
		*as[[24]byte](r) = [24]byte{} // struct ifmap: the card is on no ISA bus
	case unix.SIOCGIFHWADDR:
		*as[[16]byte](r) = [16]byte{}
		*as[uint16](r) = d.Type
		copy(r.data[2:], d.Address)
	case unix.SIOCETHTOOL:
		return syscall.EOPNOTSUPP
	default:
		a := f.first(l)
		if a == nil {
			return syscall.EADDRNOTAVAIL
		}
		switch at := as[unix.RawSockaddrInet4](r); req {
		case unix.SIOCGIFADDR, unix.SIOCGIFDSTADDR:
			*at = sockaddr(a.Prefix.Address)
		case unix.SIOCGIFNETMASK:
			*at = sockaddr(mask4(a.Prefix.PrefixLen))
		case unix.SIOCGIFBRDADDR:
			*at = sockaddr(header.IPv4Any)
			if b, ok := Broadcast(a.Prefix); ok {
				*at = sockaddr(b)
			}
		}
	}
	return 0
}

// setByIoctl changes a link or its first IPv4 address. The caller holds f.changes.
func (f *Family) setByIoctl(req uint, l *netstack.Link, r *ifreq) syscall.Errno {
	switch req {
	case unix.SIOCSIFFLAGS:
		return setFlags(l, uint32(*as[uint16](r)))
	case unix.SIOCSIFMTU:
		return errno(l.SetMTU(int(*as[int32](r))))
	}
	given := *as[unix.RawSockaddrInet4](r)
	if given.Family != syscall.AF_INET {
		return syscall.EINVAL
	}
	address := tcpip.AddrFrom4(given.Addr)
	old := f.first(l)
	var p tcpip.AddressWithPrefix
	if req == unix.SIOCSIFADDR {
		p = tcpip.AddressWithPrefix{Address: address, PrefixLen: classPrefix(given.Addr[0])}
		if address == header.IPv4Any { // takes the address away
			if old == nil {
				return 0
			}
			return f.removeAddress(addressKey{l.Index(), old.Prefix.Address}, old.Prefix.PrefixLen)
		}
	} else {
		if old == nil {
			return syscall.EADDRNOTAVAIL
		}
		mask := tcpip.MaskFromBytes(given.Addr[:])
		p = tcpip.AddressWithPrefix{Address: old.Prefix.Address, PrefixLen: mask.Prefix()}
		if mask4(p.PrefixLen) != address {
			return syscall.EINVAL
		}
	}
	if old != nil {
		if err := f.removeAddress(addressKey{l.Index(), old.Prefix.Address}, old.Prefix.PrefixLen); err != 0 {
			return err
		}
	}
	return f.addAddress(l.Index(), p, stack.AddressLifetimes{}, true)
}

// classPrefix returns the length of the network part of an address by its class (RFC 791, section
// 3.2), which SIOCSIFADDR implies until SIOCSIFNETMASK says otherwise.
func classPrefix(first byte) int {
	switch {
	case first < 128:
		return 8
	case first < 192:
		return 16
	case first < 224:
		return 24
	}
	return 32
}

// ioctlRoute adds or deletes a route (route(8)).
func (f *Family) ioctlRoute(req uint, e *rtentry) syscall.Errno {
	if e.destination.Family != syscall.AF_INET {
		return syscall.EAFNOSUPPORT
	}
	mask := tcpip.MaskFromBytes(e.netmask.Addr[:])
	if e.flags&unix.RTF_HOST != 0 {
		mask = tcpip.MaskFromBytes(netmask(32))
	}
	bits := mask.Prefix()
	if string(netmask(bits)) != string(mask.AsSlice()) {
		return syscall.EINVAL
	}
	p := tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4(e.destination.Addr), PrefixLen: bits}
	d := Route{Destination: p.Subnet(), Protocol: unix.RTPROT_BOOT, Type: unix.RTN_UNICAST, Metric: uint32(max(0, e.metric-1))}
	if d.Destination.ID() != p.Address {
		return syscall.EINVAL
	}
	if e.flags&unix.RTF_GATEWAY != 0 {
		d.Gateway = tcpip.AddrFrom4(e.gateway.Addr)
	}
	if e.flags&unix.RTF_MTU != 0 {
		d.MTU = uint32(e.mtu)
	}
	if e.device != nil {
		var name []byte
		for p := e.device; *p != 0 && len(name) < unix.IFNAMSIZ; p = (*byte)(unsafe.Add(unsafe.Pointer(p), 1)) {
			name = append(name, *p)
		}
		l := f.stack.LinkByName(string(name))
		if l == nil {
			return syscall.ENODEV
		}
		d.Link = l.Index()
	}
	f.changes.Lock()
	defer f.changes.Unlock()
	var r request
	err := syscall.ESRCH
	if req == unix.SIOCADDRT {
		if err = f.resolve(&r, &d, false); err == 0 {
			err = f.addRoute(&r, d, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
		}
	} else {
		d.Protocol, d.Scope = unix.RTPROT_UNSPEC, unix.RT_SCOPE_NOWHERE
		err = f.deleteRoute(d, false)
	}
	if err == 0 {
		f.publish(nil)
	}
	return err
}
