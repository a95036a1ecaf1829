package netlink

import (
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"

	"github.com/goshawk-os/goshawk/net/netlink/inventory"
	"github.com/goshawk-os/goshawk/net/netstack"
)

// A state is all of which subscribers are told when it changes.
type state struct {
	links     map[int]linkState
	addresses map[addressKey]AddressInfo
	routes    map[Route]struct{}
}

// linkState is of a link what subscribers are told when it changes.
type linkState struct {
	flags, mtu uint32
	oper       uint8
	name       string
	mac        tcpip.LinkAddress
}

// Changed tells subscribers of links, addresses and routes what has changed. Who changes any of them
// by the stack's own functions calls it afterwards; it does not wait, and may be called with locks
// of the stack held.
func (f *Family) Changed() {
	if !f.buses[unix.NETLINK_ROUTE].watched() || f.pending.Swap(true) {
		return
	}
	go func() {
		f.pending.Store(false)
		f.changes.Lock()
		defer f.changes.Unlock()
		f.publish(nil)
	}()
}

// watched begins or ends to keep what subscribers know. It is called after one came or left.
func (f *Family) watched() {
	f.changes.Lock()
	defer f.changes.Unlock()
	switch watched := f.buses[unix.NETLINK_ROUTE].watched(); {
	case watched && f.known == nil:
		f.known = f.look()
	case !watched:
		f.known = nil
	}
}

// look returns how things are now. The caller holds f.changes.
func (f *Family) look() *state {
	s := &state{links: make(map[int]linkState), addresses: make(map[addressKey]AddressInfo), routes: make(map[Route]struct{})}
	for _, l := range f.stack.Links() {
		s.links[l.Index()] = lookLink(l)
		for _, a := range f.Addresses(l) {
			s.addresses[addressKey{l.Index(), a.Prefix.Address}] = a
		}
	}
	for _, domain := range domains(unix.AF_UNSPEC) {
		for _, r := range f.routes(domain) {
			s.routes[r] = struct{}{}
		}
	}
	return s
}

func lookLink(l *netstack.Link) linkState {
	d := inventory.Describe(l)
	return linkState{flags: d.Flags, mtu: d.MTU, oper: d.OperState, name: d.Name, mac: l.MAC()}
}

// publish tells subscribers what has changed since the last time: what is gone first, and of what is
// new first what the rest depends on. r is the request that has changed it, or nil. The caller holds
// f.changes.
func (f *Family) publish(r *request) {
	if f.known == nil {
		return
	}
	old, now := f.known, f.look()
	f.known = now
	for route := range old.routes {
		if _, ok := now.routes[route]; !ok {
			f.notifyRoute(r, unix.RTM_DELROUTE, route)
		}
	}
	for key, a := range old.addresses {
		if _, ok := now.addresses[key]; !ok {
			f.notifyAddress(r, unix.RTM_DELADDR, a)
		}
	}
	for _, l := range f.stack.Links() {
		is := now.links[l.Index()]
		was, ok := old.links[l.Index()]
		if ok && is == was {
			continue
		}
		change := is.flags ^ was.flags
		if !ok {
			change = ^uint32(0)
		}
		f.notify(r, unix.RTNLGRP_LINK, unix.RTM_NEWLINK, func(m *builder) { putLink(m, l, 0, change) })
	}
	for key, a := range now.addresses {
		if was, ok := old.addresses[key]; !ok || a != was {
			f.notifyAddress(r, unix.RTM_NEWADDR, a)
		}
	}
	for route := range now.routes {
		if _, ok := old.routes[route]; !ok {
			f.notifyRoute(r, unix.RTM_NEWROUTE, route)
		}
	}
}

func (f *Family) notifyAddress(r *request, typ uint16, a AddressInfo) {
	group := unix.RTNLGRP_IPV4_IFADDR
	if domainOf(a.Prefix.Address) == unix.AF_INET6 {
		group = unix.RTNLGRP_IPV6_IFADDR
	}
	f.notify(r, group, typ, func(m *builder) { f.putAddress(m, &a) })
}

func (f *Family) notifyRoute(r *request, typ uint16, route Route) {
	group := unix.RTNLGRP_IPV4_ROUTE
	if route.domain() == unix.AF_INET6 {
		group = unix.RTNLGRP_IPV6_ROUTE
	}
	f.notify(r, group, typ, func(m *builder) { putRoute(m, &route, 0) })
}

// notify sends a message to a group. One of what r asked for says whose request it was, and goes to
// that sender, too, if it wants so (NLM_F_ECHO); what follows from that does not.
func (f *Family) notify(r *request, group int, typ uint16, build func(m *builder)) {
	b := f.buses[unix.NETLINK_ROUTE]
	if r != nil && r.header.Type&^3 != typ&^3 {
		r = nil
	}
	echo := r != nil && r.is(unix.NLM_F_ECHO)
	if !b.heard(group) && !echo {
		return
	}
	seq, port := uint32(0), uint32(0)
	if r != nil {
		seq, port = r.header.Seq, r.c.portID()
	}
	var m builder
	m.begin(typ, 0, seq, port)
	build(&m)
	m.end()
	var except *conn
	if echo {
		except = r.c
		r.c.deliver(datagram{data: m.b})
	}
	b.multicast(datagram{data: m.b, group: uint32(group)}, except)
}
