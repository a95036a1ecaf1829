package inet

import (
	"encoding/binary"
	"net/netip"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/goshawk-os/goshawk/net/socket"
)

// Sizes of struct sockaddr_in and sockaddr_in6 (linux/in.h, linux/in6.h), and of the latter without
// the scope identifier (RFC 2133), which Linux takes too.
const (
	sizeofSockaddr4      = 16
	sizeofSockaddr6      = 28
	sizeofSockaddr6Short = 24
)

// family returns the address family of a struct sockaddr.
func family(addr []byte) (int, syscall.Errno) {
	if len(addr) < 2 {
		return 0, syscall.EINVAL
	}
	return int(binary.NativeEndian.Uint16(addr)), 0
}

// parse reads a struct sockaddr of the socket's domain. The stack's form of the unspecified address is
// the empty one; IPv4 in IPv6 stays mapped.
func parse(domain int, addr []byte) (tcpip.FullAddress, syscall.Errno) {
	if domain == syscall.AF_INET {
		return parse4(addr)
	}
	return parse6(addr)
}

func parse4(addr []byte) (a tcpip.FullAddress, err syscall.Errno) {
	if len(addr) < sizeofSockaddr4 {
		return a, syscall.EINVAL
	}
	if f, _ := family(addr); f != syscall.AF_INET {
		return a, syscall.EAFNOSUPPORT
	}
	a.Port = binary.BigEndian.Uint16(addr[2:])
	a.Addr = address4([4]byte(addr[4:8]))
	return a, 0
}

func parse6(addr []byte) (a tcpip.FullAddress, err syscall.Errno) {
	if len(addr) < sizeofSockaddr6Short {
		return a, syscall.EINVAL
	}
	if f, _ := family(addr); f != syscall.AF_INET6 {
		return a, syscall.EAFNOSUPPORT
	}
	a.Port = binary.BigEndian.Uint16(addr[2:])
	a.Addr = address6([16]byte(addr[8:24]))
	if linkLocal(a.Addr) && len(addr) >= sizeofSockaddr6 {
		a.NIC = tcpip.NICID(binary.NativeEndian.Uint32(addr[24:]))
	}
	return a, 0
}

// address4 returns the stack's form of an IPv4 address.
func address4(b [4]byte) tcpip.Address {
	if b == [4]byte{} {
		return tcpip.Address{}
	}
	return tcpip.AddrFrom4(b)
}

// address6 returns the stack's form of an IPv6 address.
func address6(b [16]byte) tcpip.Address {
	if b == [16]byte{} {
		return tcpip.Address{}
	}
	return tcpip.AddrFrom16(b)
}

// linkLocal reports whether an address needs an interface to be complete.
func linkLocal(a tcpip.Address) bool {
	if a.Len() != header.IPv6AddressSize {
		return false
	}
	// The scope of a multicast address is in its second byte: 1 is the interface, 2 the link (RFC 4291,
	// section 2.7).
	b := a.AsSlice()
	return header.IsV6LinkLocalUnicastAddress(a) || b[0] == 0xff && (b[1]&0xf == 1 || b[1]&0xf == 2)
}

// multicast reports whether a is a multicast address, of IPv4 also in its mapped form.
func multicast(a tcpip.Address) bool {
	a = unmapped(a)
	return header.IsV4MulticastAddress(a) || header.IsV6MulticastAddress(a)
}

// mapped returns an IPv4 address in IPv6 form (RFC 4291, section 2.5.5.2), and others as they are.
func mapped(a tcpip.Address) tcpip.Address {
	if a.Len() != header.IPv4AddressSize {
		return a
	}
	b := [16]byte{10: 0xff, 11: 0xff}
	copy(b[12:], a.AsSlice())
	return tcpip.AddrFrom16(b)
}

// unmapped returns an IPv4 address in its own form if a is one in IPv6 form, else a.
func unmapped(a tcpip.Address) tcpip.Address {
	if a.Len() != header.IPv6AddressSize || !header.IsV4MappedAddress(a) {
		return a
	}
	return tcpip.AddrFrom4Slice(a.AsSlice()[12:])
}

// setAddress makes to the struct sockaddr of a for a socket of the domain.
func setAddress(to *socket.Address, domain int, a *tcpip.FullAddress) {
	b := to.Data[:sizeofSockaddr6]
	clear(b)
	binary.NativeEndian.PutUint16(b, uint16(domain))
	binary.BigEndian.PutUint16(b[2:], a.Port)
	if domain == syscall.AF_INET {
		copy(b[4:8], a.Addr.AsSlice())
		to.Length = sizeofSockaddr4
		return
	}
	to.Length = sizeofSockaddr6
	if a.Addr.Len() == header.IPv4AddressSize {
		b[18], b[19] = 0xff, 0xff
		copy(b[20:], a.Addr.AsSlice())
		return
	}
	copy(b[8:24], a.Addr.AsSlice())
	if linkLocal(a.Addr) {
		binary.NativeEndian.PutUint32(b[24:], uint32(a.NIC))
	}
}

// addrPort returns a as text has it: IPv4 unmapped, the unspecified address in the form of the domain.
func addrPort(domain int, a tcpip.FullAddress) netip.AddrPort {
	addr, ok := netip.AddrFromSlice(a.Addr.AsSlice())
	switch {
	case ok:
		addr = addr.Unmap()
	case domain == syscall.AF_INET:
		addr = netip.IPv4Unspecified()
	default:
		addr = netip.IPv6Unspecified()
	}
	return netip.AddrPortFrom(addr, a.Port)
}

// isLoopback reports whether only the machine itself can reach a.
func isLoopback(a tcpip.Address) bool {
	a = unmapped(a)
	return header.IsV4LoopbackAddress(a) || header.IsV6LoopbackAddress(a)
}

// putAddress writes the struct sockaddr of a to value, which may be shorter but not longer: SO_PEERNAME.
func putAddress(value []byte, domain int, a *tcpip.FullAddress) (int, syscall.Errno) {
	var to socket.Address
	setAddress(&to, domain, a)
	if len(value) > to.Length {
		return 0, syscall.EINVAL
	}
	return copy(value, to.Bytes()), 0
}
