package qemu

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"syscall"
)

// User is QEMU's user networking: a network of the machine's own with a DHCP and a DNS server, behind
// address translation to what this process can reach. It needs no privilege. IPv6 works outwards.
type User struct {
	// Forwards are the ports of the guest that are reached from outside.
	Forwards []Forward
	// Guest is the guest's address with the length of its network's prefix, to which the ports are
	// forwarded and that DHCP gives. The default is 10.0.2.15/24.
	Guest netip.Prefix
	// Gateway and DNS are the addresses on which QEMU itself answers. The default are two addresses
	// of the network that are free.
	Gateway, DNS netip.Addr
	// Guest6 is the guest's IPv6 address with the length of the prefix that QEMU announces. The
	// default is an address below fec0::/64.
	Guest6 netip.Prefix
	// Isolated keeps the guest from reaching anything but QEMU's own servers, and from being reached
	// but through Forwards.
	Isolated bool
}

// A Forward leads from a port of this machine to a port of the guest.
type Forward struct {
	UDP   bool           // else TCP
	Host  netip.AddrPort // on this machine, IPv4; FreePort finds one
	Guest uint16         // port of the guest
}

// Network returns "tcp" or "udp".
func (f Forward) Network() string {
	if f.UDP {
		return "udp"
	}
	return "tcp"
}

func (f Forward) String() string {
	return fmt.Sprintf("%s %v to the guest's port %d", f.Network(), f.Host, f.Guest)
}

// FreePort returns an address with a port that no other program uses now.
func FreePort(network string, addr netip.Addr) (netip.AddrPort, error) {
	c, err := occupy(network, netip.AddrPortFrom(addr, 0))
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer c.Close()
	text := ""
	switch c := c.(type) {
	case net.Listener:
		text = c.Addr().String()
	case net.PacketConn:
		text = c.LocalAddr().String()
	}
	return netip.ParseAddrPort(text)
}

// occupy takes an address as long as the result is open.
func occupy(network string, a netip.AddrPort) (io.Closer, error) {
	if network == "udp" {
		return net.ListenPacket("udp4", a.String())
	}
	return net.Listen("tcp4", a.String())
}

// take occupies the port on this machine as long as the result is open.
func (f Forward) take() (io.Closer, error) {
	if !f.Host.Addr().Is4() {
		return nil, fmt.Errorf("%v: QEMU forwards ports of IPv4 addresses only", f)
	}
	c, err := occupy(f.Network(), f.Host)
	if err != nil {
		return nil, &PortError{f, err}
	}
	return c, nil
}

// Free returns nil if the port on this machine can be had now, else a *PortError.
func (f Forward) Free() error {
	c, err := f.take()
	if err == nil {
		c.Close()
	}
	return err
}

// takeForwards finds out whether all forwarded ports are free, as long as the result is not called.
func (u User) takeForwards() (release func(), err error) {
	var held []io.Closer
	release = func() {
		for _, c := range held {
			c.Close()
		}
	}
	for _, f := range u.Forwards {
		c, err := f.take()
		if err != nil {
			release()
			return nil, err
		}
		held = append(held, c)
	}
	return release, nil
}

// A PortError says that a port of this machine cannot be forwarded.
type PortError struct {
	Forward Forward
	Err     error // why this process cannot have the port
}

func (e *PortError) Error() string {
	port, addr := e.Forward.Host.Port(), e.Forward.Host.Addr()
	switch {
	case errors.Is(e.Err, syscall.EADDRINUSE):
		return fmt.Sprintf("%s port %d of %v is in use by another program", e.Forward.Network(), port, addr)
	case errors.Is(e.Err, syscall.EACCES):
		return fmt.Sprintf("%s port %d of %v is not for this user's programs", e.Forward.Network(), port, addr)
	case errors.Is(e.Err, syscall.EADDRNOTAVAIL):
		return fmt.Sprintf("this machine has no address %v", addr)
	}
	return fmt.Sprintf("%s port %d of %v: %v", e.Forward.Network(), port, addr, e.Err)
}

func (e *PortError) Unwrap() error { return e.Err }

func (u User) queues(int) int        { return 1 }
func (u User) mac() net.HardwareAddr { return nil }

// userGuest is where QEMU forwards ports to by itself.
var userGuest = netip.MustParsePrefix("10.0.2.15/24")

func (u User) netdev(int) (string, error) {
	s := "user"
	guest := userGuest.Addr()
	if u.Guest.IsValid() {
		guest = u.Guest.Addr()
		host, dns, err := u.servers()
		if err != nil {
			return "", err
		}
		s += fmt.Sprintf(",net=%v,host=%v,dns=%v,dhcpstart=%v", u.Guest.Masked(), host, dns, guest)
	}
	if u.Guest6.IsValid() {
		free := freeAddresses(u.Guest6, u.Guest6.Addr())
		if len(free) < 2 {
			return "", fmt.Errorf("user networking: %v has no room for the guest, a gateway and a DNS server", u.Guest6.Masked())
		}
		s += fmt.Sprintf(",ipv6-net=%v,ipv6-host=%v,ipv6-dns=%v", u.Guest6.Masked(), free[0], free[1])
	}
	if u.Isolated {
		s += ",restrict=on"
	}
	for _, f := range u.Forwards {
		s += fmt.Sprintf(",hostfwd=%s:%v-%v:%d", f.Network(), f.Host, guest, f.Guest)
	}
	return s, nil
}

// servers returns the addresses of QEMU's gateway and DNS server for a guest's own network.
func (u User) servers() (gateway, dns netip.Addr, err error) {
	gateway, dns = u.Gateway, u.DNS
	for _, a := range []netip.Addr{gateway, dns} {
		if a.IsValid() && (!u.Guest.Contains(a) || a == u.Guest.Addr()) {
			return gateway, dns, fmt.Errorf("user networking: %v is not an address of %v beside the guest's", a, u.Guest.Masked())
		}
	}
	if gateway.IsValid() && gateway == dns {
		return gateway, dns, fmt.Errorf("user networking: gateway and DNS server cannot both be %v", dns)
	}
	free := freeAddresses(u.Guest, u.Guest.Addr(), gateway, dns)
	for _, a := range []*netip.Addr{&gateway, &dns} {
		if a.IsValid() {
			continue
		}
		if len(free) == 0 {
			return gateway, dns, fmt.Errorf("user networking: %v has no room for the guest, a gateway and a DNS server", u.Guest.Masked())
		}
		*a, free = free[0], free[1:]
	}
	return gateway, dns, nil
}

// freeAddresses returns the first two addresses of a network that are not taken, nor its own or its
// broadcast address.
func freeAddresses(network netip.Prefix, taken ...netip.Addr) (free []netip.Addr) {
	network = network.Masked()
	for a := network.Addr().Next(); network.Contains(a) && len(free) < 2; a = a.Next() {
		broadcast := a.Is4() && !network.Contains(a.Next())
		if !broadcast && !slices.Contains(taken, a) {
			free = append(free, a)
		}
	}
	return free
}
