package inet

import (
	"encoding/binary"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"

	"github.com/goshawk-os/goshawk/net/socket"
)

// A membership is a group that a socket has joined on an interface, and the sources that it hears, or
// does not. The stack knows groups only; sources are told apart when messages are read.
type membership struct {
	group   tcpip.Address
	nic     tcpip.NICID
	include bool // only the sources, else all but them
	sources []tcpip.Address
}

// setMulticast4 carries out the options of level IPPROTO_IP that join groups or choose an interface.
func (d *datagram) setMulticast4(name int, value []byte) syscall.Errno {
	switch name {
	case syscall.IP_MULTICAST_IF:
		return d.setMulticastInterface(value)
	case syscall.IP_ADD_MEMBERSHIP, syscall.IP_DROP_MEMBERSHIP:
		// struct ip_mreq, or ip_mreqn, which has an index as well.
		if len(value) < 8 {
			return syscall.EINVAL
		}
		group, local := address4([4]byte(value)), address4([4]byte(value[4:8]))
		nic := tcpip.NICID(0)
		if len(value) >= 12 {
			nic = tcpip.NICID(binary.NativeEndian.Uint32(value[8:]))
		}
		if name == syscall.IP_ADD_MEMBERSHIP {
			return d.join(group, local, nic)
		}
		return d.leave(group, local, nic)
	case syscall.IP_ADD_SOURCE_MEMBERSHIP, syscall.IP_DROP_SOURCE_MEMBERSHIP, syscall.IP_BLOCK_SOURCE, syscall.IP_UNBLOCK_SOURCE:
		// struct ip_mreq_source: group, interface, source.
		if len(value) < 12 {
			return syscall.EINVAL
		}
		group, local, source := address4([4]byte(value)), address4([4]byte(value[4:8])), address4([4]byte(value[8:12]))
		nic, err := d.groupInterface(group, local, 0)
		if err != 0 {
			return err
		}
		return d.changeSource(name, group, nic, source)
	}
	return d.setGroupRequest(name, value, syscall.AF_INET)
}

// setMulticast6 does the same for level IPPROTO_IPV6.
func (d *datagram) setMulticast6(name int, value []byte) syscall.Errno {
	if name != syscall.IPV6_JOIN_GROUP && name != syscall.IPV6_LEAVE_GROUP {
		return d.setGroupRequest(name, value, syscall.AF_INET6)
	}
	if len(value) < sizeofMreq6 {
		return syscall.EINVAL
	}
	group, nic := address6([16]byte(value)), tcpip.NICID(binary.NativeEndian.Uint32(value[16:]))
	if name == syscall.IPV6_JOIN_GROUP {
		return d.join(group, tcpip.Address{}, nic)
	}
	return d.leave(group, tcpip.Address{}, nic)
}

// sizeofMreq6 is the size of struct ipv6_mreq.
const sizeofMreq6 = 20

// setGroupRequest carries out the options that take a struct group_req or group_source_req (RFC 3678,
// section 5.1): the index of an interface, and one or two addresses.
func (d *datagram) setGroupRequest(name int, value []byte, domain int) syscall.Errno {
	if len(value) < 8+socket.AddressSize {
		return syscall.EINVAL
	}
	nic := tcpip.NICID(binary.NativeEndian.Uint32(value))
	group, err := parse(domain, value[8:])
	if err != 0 {
		return syscall.EADDRNOTAVAIL
	}
	switch name {
	case unix.MCAST_JOIN_GROUP:
		return d.join(group.Addr, tcpip.Address{}, nic)
	case unix.MCAST_LEAVE_GROUP:
		return d.leave(group.Addr, tcpip.Address{}, nic)
	}
	if len(value) < 8+2*socket.AddressSize {
		return syscall.EINVAL
	}
	source, err := parse(domain, value[8+socket.AddressSize:])
	if err != 0 {
		return syscall.EADDRNOTAVAIL
	}
	if nic, err = d.groupInterface(group.Addr, tcpip.Address{}, nic); err != 0 {
		return err
	}
	return d.changeSource(name, group.Addr, nic, source.Addr)
}

// groupInterface returns the interface that is meant: by number, by an address of it, or the one that
// routes lead to the group by.
func (d *datagram) groupInterface(group, local tcpip.Address, nic tcpip.NICID) (tcpip.NICID, syscall.Errno) {
	version := ipv4.ProtocolNumber
	switch {
	case header.IsV4MulticastAddress(group):
	case header.IsV6MulticastAddress(group):
		version = ipv6.ProtocolNumber
	default:
		return 0, syscall.EINVAL
	}
	switch {
	case nic != 0:
		if !d.stack.HasNIC(nic) {
			return 0, syscall.ENODEV
		}
		return nic, 0
	case local.Len() != 0:
		nic = d.stack.CheckLocalAddress(0, version, local)
	default:
		if r, err := d.stack.FindRoute(0, tcpip.Address{}, group, version, false); err == nil {
			nic = r.NICID()
			r.Release()
		}
	}
	if nic == 0 {
		return 0, syscall.ENODEV
	}
	return nic, 0
}

// find returns the membership in a group on an interface. d.mu is held.
func (d *datagram) find(group tcpip.Address, nic tcpip.NICID) *membership {
	for _, m := range d.memberships {
		if m.group == group && m.nic == nic {
			return m
		}
	}
	return nil
}

// join joins a group, hearing all sources.
func (d *datagram) join(group, local tcpip.Address, nic tcpip.NICID) syscall.Errno {
	nic, err := d.groupInterface(group, local, nic)
	if err != 0 {
		return err
	}
	return d.joinFor(&membership{group: group, nic: nic})
}

func (d *datagram) joinFor(m *membership) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.find(m.group, m.nic) != nil {
		return syscall.EADDRINUSE
	}
	if err := errno(d.endpoint.SetSockOpt(&tcpip.AddMembershipOption{NIC: m.nic, MulticastAddr: m.group})); err != 0 {
		return err
	}
	d.memberships = append(d.memberships, m)
	d.updateFiltersLocked()
	return 0
}

// leave leaves a group.
func (d *datagram) leave(group, local tcpip.Address, nic tcpip.NICID) syscall.Errno {
	nic, err := d.groupInterface(group, local, nic)
	if err != 0 {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.find(group, nic)
	if m == nil {
		return syscall.EADDRNOTAVAIL
	}
	return d.leaveLocked(m)
}

func (d *datagram) leaveLocked(m *membership) syscall.Errno {
	d.memberships = slices.DeleteFunc(d.memberships, func(o *membership) bool { return o == m })
	d.updateFiltersLocked()
	return errno(d.endpoint.SetSockOpt(&tcpip.RemoveMembershipOption{NIC: m.nic, MulticastAddr: m.group}))
}

// changeSource carries out what an option says of one source of a group (RFC 3678, section 4.1.2).
func (d *datagram) changeSource(name int, group tcpip.Address, nic tcpip.NICID, source tcpip.Address) syscall.Errno {
	d.mu.Lock()
	m := d.find(group, nic)
	d.mu.Unlock()
	join := name == syscall.IP_ADD_SOURCE_MEMBERSHIP || name == unix.MCAST_JOIN_SOURCE_GROUP
	if m == nil {
		if !join {
			return syscall.EINVAL
		}
		return d.joinFor(&membership{group: group, nic: nic, include: true, sources: []tcpip.Address{source}})
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	has := slices.Contains(m.sources, source)
	remove := func() {
		m.sources = slices.DeleteFunc(m.sources, func(a tcpip.Address) bool { return a == source })
	}
	add := func() { m.sources = append(m.sources, source) }
	switch name {
	case syscall.IP_ADD_SOURCE_MEMBERSHIP, unix.MCAST_JOIN_SOURCE_GROUP:
		switch {
		case !m.include:
			return syscall.EINVAL
		case has:
			return syscall.EADDRNOTAVAIL
		}
		add()
	case syscall.IP_DROP_SOURCE_MEMBERSHIP, unix.MCAST_LEAVE_SOURCE_GROUP:
		switch {
		case !m.include:
			return syscall.EINVAL
		case !has:
			return syscall.EADDRNOTAVAIL
		}
		remove()
		if len(m.sources) == 0 {
			return d.leaveLocked(m)
		}
	case syscall.IP_BLOCK_SOURCE, unix.MCAST_BLOCK_SOURCE:
		switch {
		case m.include:
			return syscall.EINVAL
		case has:
			return syscall.EADDRNOTAVAIL
		}
		add()
	default: // IP_UNBLOCK_SOURCE, MCAST_UNBLOCK_SOURCE
		switch {
		case m.include:
			return syscall.EINVAL
		case !has:
			return syscall.EADDRNOTAVAIL
		}
		remove()
	}
	d.updateFiltersLocked()
	return 0
}

// hears reports whether the socket's memberships let a message from a source to a group pass. Groups
// that others have joined are heard as well, as on Linux (IP_MULTICAST_ALL).
func (d *datagram) hears(group tcpip.Address, nic tcpip.NICID, source tcpip.Address) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.find(group, nic)
	if m == nil {
		return true
	}
	return slices.Contains(m.sources, source) == m.include
}
