package inet

import (
	"encoding/binary"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// bindAddress reads the address of bind(2). An IPv4 socket takes the unspecified address with
// AF_UNSPEC too, as old programs pass it.
func bindAddress(domain int, addr []byte) (tcpip.FullAddress, syscall.Errno) {
	if domain == syscall.AF_INET && len(addr) >= sizeofSockaddr4 {
		if f, _ := family(addr); f == syscall.AF_UNSPEC && binary.NativeEndian.Uint32(addr[4:]) == 0 {
			return tcpip.FullAddress{Port: binary.BigEndian.Uint16(addr[2:])}, 0
		}
	}
	return parse(domain, addr)
}

// checkScope completes a link-local address with the interface that the socket is bound to, and fails
// if that contradicts it or there is none.
func (b *base) checkScope(a *tcpip.FullAddress) syscall.Errno {
	if !linkLocal(a.Addr) {
		return 0
	}
	device := tcpip.NICID(b.ops.GetBindToDevice())
	switch {
	case a.NIC == 0:
		a.NIC = device
	case device != 0 && device != a.NIC:
		return syscall.EINVAL
	}
	return 0
}

// checkBind finds what Linux refuses to bind to and the stack would not, or with another error.
func (b *base) checkBind(a tcpip.FullAddress) syscall.Errno {
	if b.domain == syscall.AF_INET6 {
		if header.IsV4MappedAddress(a.Addr) && a.Addr.Len() == header.IPv6AddressSize && b.ops.GetV6Only() {
			return syscall.EINVAL
		}
		if linkLocal(a.Addr) {
			if err := b.checkScope(&a); err != 0 {
				return err
			}
			if a.NIC == 0 {
				return syscall.EINVAL
			}
			if !b.stack.HasNIC(a.NIC) {
				return syscall.ENODEV
			}
		}
	}
	if b.kind == syscall.SOCK_STREAM && multicast(a.Addr) {
		if a.Addr.Len() == header.IPv6AddressSize {
			return syscall.EINVAL
		}
		return syscall.EADDRNOTAVAIL
	}
	return 0
}

// checkConnect does the same for the peer of a stream.
func (b *base) checkConnect(a *tcpip.FullAddress) syscall.Errno {
	if multicast(a.Addr) || unmapped(a.Addr) == header.IPv4Broadcast {
		return syscall.ENETUNREACH
	}
	if err := b.checkScope(a); err != 0 {
		return err
	}
	if linkLocal(a.Addr) && a.NIC == 0 {
		return syscall.EINVAL
	}
	if a.Addr.Len() == header.IPv6AddressSize && header.IsV4MappedAddress(a.Addr) && b.ops.GetV6Only() {
		return syscall.ENETUNREACH
	}
	return 0
}
