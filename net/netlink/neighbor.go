package netlink

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// ticks is how many of clock_t make a second, in which ages are told (USER_HZ).
const ticks = 100

// neighborState returns Linux's NUD_ number of a state (linux/neighbour.h).
func neighborState(s stack.NeighborState) uint16 {
	switch s {
	case stack.Incomplete:
		return unix.NUD_INCOMPLETE
	case stack.Reachable:
		return unix.NUD_REACHABLE
	case stack.Stale:
		return unix.NUD_STALE
	case stack.Delay:
		return unix.NUD_DELAY
	case stack.Probe:
		return unix.NUD_PROBE
	case stack.Static:
		return unix.NUD_PERMANENT
	case stack.Unreachable:
		return unix.NUD_FAILED
	}
	return unix.NUD_NONE
}

// Neighbors returns what is known of the neighbours in a family on a link.
func (f *Family) Neighbors(link int, domain uint8) []stack.NeighborEntry {
	list, err := f.stack.Neighbors(tcpip.NICID(link), protocolOf(domain))
	if err != nil {
		return nil // the link has none, like loopback
	}
	return list
}

// putNeighbor appends a struct ndmsg and its attributes.
func (f *Family) putNeighbor(m *builder, link int, n stack.NeighborEntry) {
	put(m, unix.NdMsg{Family: domainOf(n.Addr), Ifindex: int32(link), State: neighborState(n.State), Type: unix.RTN_UNICAST})
	m.attr(unix.NDA_DST, n.Addr.AsSlice())
	if n.LinkAddr != "" {
		m.attr(unix.NDA_LLADDR, []byte(n.LinkAddr))
	}
	age := uint32(f.stack.Clock().NowMonotonic().Sub(n.UpdatedAt) / (time.Second / ticks))
	value(m, unix.NDA_CACHEINFO, [4]uint32{age, age, age, 0}) // struct nda_cacheinfo: confirmed, used, updated, references
}

func (f *Family) listNeighbors(l *lister) syscall.Errno {
	ask, ok := get[unix.NdMsg](l.r.payload)
	if l.r.strict() && (!ok || ask.Ifindex != 0 || ask.State != 0 || ask.Type != 0) {
		return l.r.fail(syscall.EINVAL, "Invalid values in header for neighbor dump request")
	}
	a := parse(l.r.payload[min(unix.SizeofNdMsg, len(l.r.payload)):])
	want, _ := a.u32(unix.NDA_IFINDEX)
	if master, _ := a.u32(unix.NDA_MASTER); master != 0 {
		l.filtered()
		return 0
	}
	if want != 0 {
		l.filtered()
	}
	if ok && ask.Flags&unix.NTF_PROXY != 0 {
		return 0 // nobody answers for others
	}
	for _, domain := range domains(l.r.payload[0]) {
		for _, link := range f.stack.Links() {
			if want != 0 && int(want) != link.Index() {
				continue
			}
			for _, n := range f.Neighbors(link.Index(), domain) {
				l.next(unix.RTM_NEWNEIGH)
				f.putNeighbor(&l.builder, link.Index(), n)
				l.end()
			}
		}
	}
	return 0
}

// requestedNeighbor reads the neighbour that a request means. old is what is known of it, or nil.
func (f *Family) requestedNeighbor(r *request) (ask unix.NdMsg, a *attrs, address tcpip.Address, old *stack.NeighborEntry, err syscall.Errno) {
	ask, ok := get[unix.NdMsg](r.payload)
	if !ok {
		return ask, a, address, nil, syscall.EINVAL
	}
	if ask.Family != syscall.AF_INET && ask.Family != syscall.AF_INET6 || ask.Flags&unix.NTF_PROXY != 0 {
		return ask, a, address, nil, syscall.EOPNOTSUPP
	}
	a = parse(r.payload[unix.SizeofNdMsg:])
	if address, err = addressOf(a[unix.NDA_DST], ask.Family); err != 0 {
		return ask, a, address, nil, r.fail(err, "Network address not specified")
	}
	if f.stack.Link(int(ask.Ifindex)) == nil {
		return ask, a, address, nil, syscall.ENODEV
	}
	for _, n := range f.Neighbors(int(ask.Ifindex), ask.Family) {
		if n.Addr == address {
			return ask, a, address, &n, 0
		}
	}
	return ask, a, address, nil, 0
}

func (f *Family) getNeighbor(r *request) syscall.Errno {
	ask, _, _, n, err := f.requestedNeighbor(r)
	if err != 0 {
		return err
	}
	if n == nil {
		return syscall.ENOENT
	}
	r.reply(unix.RTM_NEWNEIGH, func(m *builder) { f.putNeighbor(m, int(ask.Ifindex), *n) })
	return 0
}

// newNeighbor tells the stack the link address of a neighbour for good.
func (f *Family) newNeighbor(r *request) syscall.Errno {
	ask, a, address, old, err := f.requestedNeighbor(r)
	switch {
	case err != 0:
		return err
	case len(a[unix.NDA_LLADDR]) != header.EthernetAddressSize:
		return r.fail(syscall.EINVAL, "Link address not specified, or not of 6 bytes")
	case ask.State&(unix.NUD_PERMANENT|unix.NUD_NOARP) == 0:
		return r.fail(syscall.EOPNOTSUPP, "only permanent neighbours can be made")
	case old != nil && r.is(unix.NLM_F_EXCL):
		return syscall.EEXIST
	case old != nil && !r.is(unix.NLM_F_REPLACE) && string(old.LinkAddr) != string(a[unix.NDA_LLADDR]):
		return syscall.EEXIST
	case old == nil && !r.is(unix.NLM_F_CREATE):
		return syscall.ENOENT
	}
	link := tcpip.LinkAddress(a[unix.NDA_LLADDR])
	if err := errno(f.stack.AddStaticNeighbor(tcpip.NICID(ask.Ifindex), protocolOf(ask.Family), address, link)); err != 0 {
		return err
	}
	n := stack.NeighborEntry{Addr: address, LinkAddr: link, State: stack.Static, UpdatedAt: f.stack.Clock().NowMonotonic()}
	f.notify(r, unix.RTNLGRP_NEIGH, unix.RTM_NEWNEIGH, func(m *builder) { f.putNeighbor(m, int(ask.Ifindex), n) })
	return 0
}

func (f *Family) delNeighbor(r *request) syscall.Errno {
	ask, _, address, old, err := f.requestedNeighbor(r)
	if err != 0 {
		return err
	}
	if old == nil {
		return syscall.ENOENT
	}
	if err := errno(f.stack.RemoveNeighbor(tcpip.NICID(ask.Ifindex), protocolOf(ask.Family), address)); err != 0 {
		return err
	}
	old.State, old.LinkAddr = stack.Unreachable, ""
	f.notify(r, unix.RTNLGRP_NEIGH, unix.RTM_DELNEIGH, func(m *builder) { f.putNeighbor(m, int(ask.Ifindex), *old) })
	return 0
}
