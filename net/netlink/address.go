package netlink

import (
	"bytes"
	"slices"
	"sort"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/goshawk-os/goshawk/net/netstack"
)

// forever is a lifetime without an end.
const forever = 0xffffffff

// An addressKey is what tells one address from another.
type addressKey struct {
	link    int
	address tcpip.Address
}

// An AddressInfo is an address of a link.
type AddressInfo struct {
	Link   int // index
	Prefix tcpip.AddressWithPrefix
	Flags  uint32 // IFA_F_
	// preferred and valid are when the address ends to be used for new connections, and at all; zero
	// is never.
	preferred, valid tcpip.MonotonicTime
}

// Addresses returns the addresses of l in the order in which they are chosen, those of IPv4 first.
func (f *Family) Addresses(l *netstack.Link) []AddressInfo {
	var list []AddressInfo
	for _, protocol := range []tcpip.NetworkProtocolNumber{ipv4.ProtocolNumber, ipv6.ProtocolNumber} {
		n, err := f.stack.GetNetworkEndpoint(tcpip.NICID(l.Index()), protocol)
		if err != nil {
			continue
		}
		e, ok := n.(stack.AddressableEndpoint)
		if !ok {
			continue
		}
		all := e.PrimaryAddresses()
		usable := len(all)
		for _, p := range e.PermanentAddresses() { // in no order
			if !slices.Contains(all[:usable], p) && p.Address != header.IPv4Broadcast { // which every link has
				all = append(all, p)
			}
		}
		rest := all[usable:]
		sort.Slice(rest, func(i, j int) bool {
			return bytes.Compare(rest[i].Address.AsSlice(), rest[j].Address.AsSlice()) < 0
		})
		for _, p := range all {
			list = append(list, describeAddress(l, p, e.AcquireAssignedAddress(p.Address, false, stack.CanBePrimaryEndpoint, true)))
		}
	}
	return list
}

// describeAddress says what the stack knows of an address: e is nil while it is not assigned.
func describeAddress(l *netstack.Link, p tcpip.AddressWithPrefix, e stack.AddressEndpoint) AddressInfo {
	a := AddressInfo{Link: l.Index(), Prefix: p, Flags: unix.IFA_F_PERMANENT}
	if e == nil {
		if l.Up() {
			a.Flags |= unix.IFA_F_TENTATIVE
		}
		return a
	}
	t := e.Lifetimes()
	a.preferred, a.valid = t.PreferredUntil, t.ValidUntil
	if e.Deprecated() {
		a.Flags |= unix.IFA_F_DEPRECATED
	}
	if e.Temporary() {
		a.Flags |= unix.IFA_F_TEMPORARY
	}
	if ends(a.valid) {
		a.Flags &^= unix.IFA_F_PERMANENT
	}
	return a
}

// ends reports whether t is a time, and not never.
func ends(t tcpip.MonotonicTime) bool {
	return t != tcpip.MonotonicTime{} && t != tcpip.MonotonicTimeInfinite()
}

// Scope returns how far an address reaches: RT_SCOPE_ of linux/rtnetlink.h.
func Scope(a tcpip.Address) uint8 {
	switch b := a.AsSlice(); {
	case len(b) == header.IPv4AddressSize && b[0] == 127, a == header.IPv6Loopback:
		return unix.RT_SCOPE_HOST
	case len(b) == header.IPv4AddressSize && b[0] == 169 && b[1] == 254, header.IsV6LinkLocalUnicastAddress(a):
		return unix.RT_SCOPE_LINK
	case len(b) == header.IPv6AddressSize && b[0] == 0xfe && b[1]&0xc0 == 0xc0: // fec0::/10 (RFC 3879)
		return unix.RT_SCOPE_SITE
	}
	return unix.RT_SCOPE_UNIVERSE
}

// domainOf returns the family of an address.
func domainOf(a tcpip.Address) uint8 {
	if a.Len() == header.IPv4AddressSize {
		return syscall.AF_INET
	}
	return syscall.AF_INET6
}

// Broadcast returns the broadcast address of an address's network. ok is false if it has none.
func Broadcast(a tcpip.AddressWithPrefix) (b tcpip.Address, ok bool) {
	if a.Address.Len() != header.IPv4AddressSize || a.PrefixLen > 30 || Scope(a.Address) == unix.RT_SCOPE_HOST {
		return tcpip.Address{}, false
	}
	n := a.Subnet()
	return n.Broadcast(), true
}

// putAddress appends a struct ifaddrmsg and its attributes.
func (f *Family) putAddress(m *builder, a *AddressInfo) {
	domain := domainOf(a.Prefix.Address)
	put(m, unix.IfAddrmsg{
		Family: domain, Prefixlen: uint8(a.Prefix.PrefixLen), Flags: uint8(a.Flags), Scope: Scope(a.Prefix.Address), Index: uint32(a.Link),
	})
	m.attr(unix.IFA_ADDRESS, a.Prefix.Address.AsSlice())
	if domain == syscall.AF_INET {
		m.attr(unix.IFA_LOCAL, a.Prefix.Address.AsSlice())
		if b, ok := Broadcast(a.Prefix); ok {
			m.attr(unix.IFA_BROADCAST, b.AsSlice())
		}
		if l := f.stack.Link(a.Link); l != nil {
			m.text(unix.IFA_LABEL, l.Name())
		}
	}
	m.u32(unix.IFA_FLAGS, a.Flags)
	value(m, unix.IFA_CACHEINFO, unix.IfaCacheinfo{Prefered: f.remaining(a.preferred), Valid: f.remaining(a.valid)})
}

// remaining returns the seconds until t.
func (f *Family) remaining(t tcpip.MonotonicTime) uint32 {
	if !ends(t) {
		return forever
	}
	return uint32(max(0, min(t.Sub(f.stack.Clock().NowMonotonic())/time.Second, forever-1)))
}

func (f *Family) listAddresses(l *lister) syscall.Errno {
	ask, ok := get[unix.IfAddrmsg](l.r.payload)
	index := uint32(0)
	if l.r.strict() {
		if !ok || ask.Prefixlen != 0 || ask.Flags != 0 || ask.Scope != 0 {
			return l.r.fail(syscall.EINVAL, "Invalid values in header for address dump request")
		}
		if index = ask.Index; index != 0 {
			l.filtered()
			if f.stack.Link(int(index)) == nil {
				return syscall.ENODEV
			}
		}
	}
	for _, domain := range domains(l.r.payload[0]) {
		for _, link := range f.stack.Links() {
			if index != 0 && int(index) != link.Index() {
				continue
			}
			for _, a := range f.Addresses(link) {
				if domainOf(a.Prefix.Address) == domain {
					l.next(unix.RTM_NEWADDR)
					f.putAddress(&l.builder, &a)
					l.end()
				}
			}
		}
	}
	return 0
}

// domains returns which families a request for a list means. One without handlers means all of them
// on Linux.
func domains(family byte) []uint8 {
	if family == syscall.AF_INET || family == syscall.AF_INET6 {
		return []uint8{family}
	}
	return []uint8{syscall.AF_INET, syscall.AF_INET6}
}

// addressOf returns the address that an attribute holds. EINVAL says that its length is not that of
// the family's addresses.
func addressOf(value []byte, family uint8) (tcpip.Address, syscall.Errno) {
	if family == syscall.AF_INET && len(value) >= header.IPv4AddressSize {
		return tcpip.AddrFrom4Slice(value[:header.IPv4AddressSize]), 0
	}
	if family == syscall.AF_INET6 && len(value) >= header.IPv6AddressSize {
		return tcpip.AddrFrom16Slice(value[:header.IPv6AddressSize]), 0
	}
	return tcpip.Address{}, syscall.EINVAL
}

// requestedAddress reads the address that a request means.
func (f *Family) requestedAddress(r *request) (unix.IfAddrmsg, *attrs, tcpip.AddressWithPrefix, syscall.Errno) {
	var p tcpip.AddressWithPrefix
	ask, ok := get[unix.IfAddrmsg](r.payload)
	if !ok {
		return ask, nil, p, syscall.EINVAL
	}
	a := parse(r.payload[unix.SizeofIfAddrmsg:])
	if ask.Family != syscall.AF_INET && ask.Family != syscall.AF_INET6 {
		return ask, a, p, syscall.EOPNOTSUPP
	}
	local := a[unix.IFA_LOCAL]
	if local == nil {
		local = a[unix.IFA_ADDRESS]
	}
	address, err := addressOf(local, ask.Family)
	if err != 0 {
		return ask, a, p, r.fail(err, "the local address is missing or not of the family's size")
	}
	if int(ask.Prefixlen) > address.BitLen() {
		return ask, a, p, r.fail(syscall.EINVAL, "the prefix is longer than the address")
	}
	if f.stack.Link(int(ask.Index)) == nil {
		return ask, a, p, syscall.ENODEV
	}
	return ask, a, tcpip.AddressWithPrefix{Address: address, PrefixLen: int(ask.Prefixlen)}, 0
}

func (f *Family) newAddress(r *request) syscall.Errno {
	ask, a, p, err := f.requestedAddress(r)
	if err != 0 {
		return err
	}
	if ask.Family == syscall.AF_INET && a[unix.IFA_LOCAL] == nil {
		return r.fail(syscall.EINVAL, "ipv4: Local address is not supplied")
	}
	if peer := a[unix.IFA_ADDRESS]; peer != nil && string(peer) != string(p.Address.AsSlice()) {
		return r.fail(syscall.EOPNOTSUPP, "an address cannot have a peer")
	}
	var t stack.AddressLifetimes
	if info, ok := get[unix.IfaCacheinfo](a[unix.IFA_CACHEINFO]); ok {
		if info.Valid == 0 || info.Prefered > info.Valid {
			return r.fail(syscall.EINVAL, "ipv4: address lifetime invalid")
		}
		now := f.stack.Clock().NowMonotonic()
		if info.Valid != forever {
			t.ValidUntil = now.Add(time.Duration(info.Valid) * time.Second)
		}
		if t.Deprecated = info.Prefered == 0; !t.Deprecated && info.Prefered != forever {
			t.PreferredUntil = now.Add(time.Duration(info.Prefered) * time.Second)
		}
	}
	key := addressKey{int(ask.Index), p.Address}
	if old := f.find(key); old != nil {
		if !r.is(unix.NLM_F_REPLACE) || r.is(unix.NLM_F_EXCL) || old.Prefix.PrefixLen != p.PrefixLen {
			return syscall.EEXIST
		}
		if err := errno(f.stack.SetAddressLifetimes(tcpip.NICID(key.link), p.Address, t)); err != 0 {
			return err
		}
	} else if err := f.addAddress(key.link, p, t, a.flags(ask)&unix.IFA_F_NOPREFIXROUTE == 0); err != 0 {
		return err
	}
	f.age(key, t)
	return 0
}

// flags returns the flags of an address, of which the header has room for 8.
func (a *attrs) flags(ask unix.IfAddrmsg) uint32 {
	if flags, err := a.u32(unix.IFA_FLAGS); err == 0 {
		return flags
	}
	return uint32(ask.Flags)
}

// find returns what is known of an address, nil if the link does not have it.
func (f *Family) find(key addressKey) *AddressInfo {
	if l := f.stack.Link(key.link); l != nil {
		for _, a := range f.Addresses(l) {
			if a.Prefix.Address == key.address {
				return &a
			}
		}
	}
	return nil
}

// addAddress adds an address to a link, and the route to its network unless it is there already.
func (f *Family) addAddress(link int, p tcpip.AddressWithPrefix, t stack.AddressLifetimes, route bool) syscall.Errno {
	err := errno(f.stack.AddProtocolAddress(tcpip.NICID(link),
		tcpip.ProtocolAddress{Protocol: protocolOf(domainOf(p.Address)), AddressWithPrefix: p},
		stack.AddressProperties{Lifetimes: t, Disp: watcher{f}}))
	if err != 0 || !route || p.PrefixLen == 0 || p.PrefixLen == p.Address.BitLen() {
		return err
	}
	connected := tcpip.Route{Destination: p.Subnet(), NIC: tcpip.NICID(link)}
	for _, old := range f.stack.GetRouteTable() {
		if sameRoute(old, connected) {
			return 0
		}
	}
	f.stack.AddRoute(connected)
	return 0
}

// A watcher is told by the stack when an address becomes usable, or is found to be a duplicate.
type watcher struct{ f *Family }

// OnChanged implements stack.AddressDispatcher.
func (w watcher) OnChanged(stack.AddressLifetimes, stack.AddressAssignmentState) { w.f.Changed() }

// OnRemoved implements stack.AddressDispatcher.
func (w watcher) OnRemoved(stack.AddressRemovalReason) { w.f.Changed() }

func (f *Family) delAddress(r *request) syscall.Errno {
	ask, _, p, err := f.requestedAddress(r)
	if err != 0 {
		return err
	}
	return f.removeAddress(addressKey{int(ask.Index), p.Address}, p.PrefixLen)
}

// removeAddress takes an address from a link, and the route to its network if no other address of
// the link is in it.
func (f *Family) removeAddress(key addressKey, prefix int) syscall.Errno {
	a := f.find(key)
	if a == nil || a.Prefix.PrefixLen != prefix {
		return syscall.EADDRNOTAVAIL
	}
	if err := errno(f.stack.RemoveAddress(tcpip.NICID(key.link), key.address)); err != 0 {
		return err
	}
	f.age(key, stack.AddressLifetimes{})
	connected := tcpip.Route{Destination: a.Prefix.Subnet(), NIC: tcpip.NICID(key.link)}
	for _, other := range f.Addresses(f.stack.Link(key.link)) {
		if other.Prefix.Subnet() == connected.Destination {
			return 0
		}
	}
	f.stack.RemoveRoutes(func(route tcpip.Route) bool { return sameRoute(route, connected) })
	delete(f.given, keyOf(connected))
	return 0
}

// age has an address deprecated and removed when its lifetimes end: the stack only remembers them.
func (f *Family) age(key addressKey, t stack.AddressLifetimes) {
	if timer := f.expiry[key]; timer != nil {
		timer.Stop()
		delete(f.expiry, key)
	}
	next, ok := t.ValidUntil, ends(t.ValidUntil)
	if !t.Deprecated && ends(t.PreferredUntil) && (!ok || t.PreferredUntil.Before(next)) {
		next, ok = t.PreferredUntil, true
	}
	if !ok {
		return
	}
	clock := f.stack.Clock()
	var timer tcpip.Timer
	timer = clock.AfterFunc(next.Sub(clock.NowMonotonic()), func() {
		f.changes.Lock()
		defer f.changes.Unlock()
		if f.expiry[key] != timer {
			return // it was replaced while it fired
		}
		delete(f.expiry, key)
		if next == t.ValidUntil {
			if a := f.find(key); a != nil {
				f.removeAddress(key, a.Prefix.PrefixLen)
			}
		} else {
			t.Deprecated = true
			f.stack.SetAddressLifetimes(tcpip.NICID(key.link), key.address, t)
			f.age(key, t)
		}
		f.publish(nil)
	})
	f.expiry[key] = timer
}
