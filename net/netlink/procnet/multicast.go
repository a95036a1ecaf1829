package procnet

import (
	"bytes"
	"fmt"
	"slices"
	"sort"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/goshawk-os/goshawk/net/netlink/inventory"
	"github.com/goshawk-os/goshawk/net/netstack"
	"github.com/goshawk-os/goshawk/net/socket"
)

// A group is a multicast group that a link is in.
type group struct {
	address tcpip.Address
	users   int
}

// groups returns the multicast groups of a family that a link is in. The stack cannot list them: they
// are those that it joins itself and those that the program's sockets have joined, as far as the
// link is in them now.
func (p *source) groups(l *netstack.Link, domain int) []group {
	var all []group
	add := func(a tcpip.Address) {
		i := slices.IndexFunc(all, func(g group) bool { return g.address == a })
		if i >= 0 {
			all[i].users++
			return
		}
		if in, err := p.stack.IsInGroup(tcpip.NICID(l.Index()), a); err == nil && in {
			all = append(all, group{a, 1})
		}
	}
	size := header.IPv4AddressSize
	if domain == unix.AF_INET6 {
		size = header.IPv6AddressSize
		for _, a := range p.family.Addresses(l) {
			if l.Loopback() {
				break // where the stack joins groups of its own that Linux does not
			}
			if a.Prefix.Address.Len() == size {
				add(header.SolicitedNodeAddr(a.Prefix.Address))
			}
		}
		add(header.IPv6AllNodesMulticastAddress)
	} else {
		add(header.IPv4AllSystems)
	}
	joined := func(_ uint64, s socket.Socket) {
		if m, ok := s.(inventory.Member); ok {
			m.Memberships(func(nic tcpip.NICID, a tcpip.Address) bool {
				if int(nic) == l.Index() && a.Len() == size {
					add(a)
				}
				return true
			})
		}
	}
	p.each(unix.AF_INET, joined)
	p.each(unix.AF_INET6, joined)
	sort.Slice(all, func(i, j int) bool { return bytes.Compare(all[i].address.AsSlice(), all[j].address.AsSlice()) < 0 })
	return all
}

// igmp is igmp_mc_seq_show of net/ipv4/igmp.c.
func (p *source) igmp() []byte {
	b := []byte("Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n")
	for _, l := range p.stack.Links() {
		list := p.groups(l, unix.AF_INET)
		if len(list) == 0 {
			continue
		}
		b = fmt.Appendf(b, "%d\t%-10s: %5d %7s\n", l.Index(), l.Name(), len(list), "V3")
		for _, g := range list {
			b = fmt.Appendf(b, "\t\t\t\t%08X %5d %d:%08X\t\t%d\n", word(g.address), g.users, 0, 0, 0)
		}
	}
	return b
}

// igmp6 is igmp6_mc_seq_show of net/ipv6/mcast.c.
func (p *source) igmp6() []byte {
	const loaded, noReport = 0x04, 0x08 // MAF_LOADED, MAF_NOREPORT of net/if_inet6.h
	var b []byte
	for _, l := range p.stack.Links() {
		for _, g := range p.groups(l, unix.AF_INET6) {
			flags := loaded
			if g.address == header.IPv6AllNodesMulticastAddress {
				flags |= noReport
			}
			b = fmt.Appendf(b, "%-4d %-15s %x %5d %08X %d\n", l.Index(), l.Name(), bytes16(g.address), g.users, flags, 0)
		}
	}
	return b
}
