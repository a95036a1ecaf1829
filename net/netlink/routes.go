package netlink

import (
	"syscall"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/goshawk-os/goshawk/net/netstack"
)

const (
	// Metrics that Linux gives routes of IPv6 which have none (IP6_RT_PRIO_ of net/ip6_route.h).
	metricKernel, metricUser = 256, 1024

	prefMedium = 0 // ICMPV6_ROUTER_PREF_MEDIUM of linux/icmpv6.h
)

// multicast6 is where all multicast of IPv6 goes (RFC 4291, section 2.7).
var multicast6 = tcpip.AddressWithPrefix{Address: tcpip.AddrFrom16([16]byte{0xff}), PrefixLen: 8}.Subnet()

// A Route is an entry of a routing table as Linux shows it.
type Route struct {
	Destination tcpip.Subnet
	Gateway     tcpip.Address // of length 0 if there is none
	Source      tcpip.Address // preferred source, of length 0 if there is none
	Link        int           // index
	Metric      uint32
	MTU         uint32 // 0 is the link's
	Table       uint8  // RT_TABLE_
	Protocol    uint8  // RTPROT_
	Scope       uint8  // RT_SCOPE_
	Type        uint8  // RTN_
	Flags       uint32 // RTNH_F_
}

// domain returns the route's family.
func (r *Route) domain() uint8 { return domainOf(r.Destination.ID()) }

// Usable reports whether the route's link is up.
func (r *Route) Usable() bool { return r.Flags&unix.RTNH_F_DEAD == 0 }

// A routeKey is what tells one route of the stack from another.
type routeKey struct {
	destination tcpip.Subnet
	gateway     tcpip.Address
	link        tcpip.NICID
}

func keyOf(r tcpip.Route) routeKey { return routeKey{r.Destination, r.Gateway, r.NIC} }

// sameRoute reports whether two routes of the stack are the same to Linux.
func sameRoute(a, b tcpip.Route) bool { return keyOf(a) == keyOf(b) }

// routeGiven is what a program gave with a route beyond what the stack knows.
type routeGiven struct {
	metric          uint32
	protocol, scope uint8
}

// Routes returns the routes of a family: of the main table in the order in which they are tried, and
// of the local one.
func (f *Family) Routes(domain uint8) []Route {
	f.changes.Lock()
	defer f.changes.Unlock()
	return f.routes(domain)
}

// routes is Routes for who holds f.changes.
func (f *Family) routes(domain uint8) []Route {
	var list []Route
	for _, r := range f.stack.GetRouteTable() {
		if domainOf(r.Destination.ID()) == domain && !f.isLocal(r) {
			list = append(list, f.describeRoute(r))
		}
	}
	for _, l := range f.stack.Links() {
		for _, a := range f.Addresses(l) {
			if domainOf(a.Prefix.Address) == domain {
				list = append(list, localRoutes(l, a.Prefix)...)
			}
		}
		if domain == syscall.AF_INET6 && !l.Loopback() && l.Up() {
			list = append(list, Route{
				Destination: multicast6, Link: l.Index(), Metric: metricKernel,
				Table: unix.RT_TABLE_LOCAL, Protocol: unix.RTPROT_KERNEL, Type: unix.RTN_MULTICAST,
			})
		}
	}
	return list
}

// isLocal reports whether a route of the stack is one that Linux has in its local table: the networks
// of loopback's addresses.
func (f *Family) isLocal(r tcpip.Route) bool {
	if l := f.stack.Link(netstack.Loopback); r.NIC == netstack.Loopback && r.Gateway.Len() == 0 {
		for _, a := range f.Addresses(l) {
			if a.Prefix.Subnet() == r.Destination {
				return true
			}
		}
	}
	return false
}

// describeRoute says of a route of the stack what Linux would.
func (f *Family) describeRoute(r tcpip.Route) Route {
	d := Route{
		Destination: r.Destination, Gateway: r.Gateway, Source: r.SourceHint, Link: int(r.NIC), MTU: r.MTU,
		Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_BOOT, Type: unix.RTN_UNICAST,
	}
	l := f.stack.Link(d.Link)
	switch {
	case l == nil || !l.Up():
		d.Flags = unix.RTNH_F_DEAD
	case !l.Carrier():
		d.Flags = unix.RTNH_F_LINKDOWN
	}
	given, ok := f.given[keyOf(r)]
	if ok {
		d.Protocol, d.Scope, d.Metric = given.protocol, given.scope, given.metric
		return d
	}
	if r.Gateway.Len() == 0 {
		if d.domain() == syscall.AF_INET {
			d.Scope = unix.RT_SCOPE_LINK
		}
		if l != nil {
			for _, a := range f.Addresses(l) {
				if a.Prefix.Subnet() == r.Destination {
					d.Protocol = unix.RTPROT_KERNEL
					if d.domain() == syscall.AF_INET && d.Source.Len() == 0 {
						d.Source = a.Prefix.Address
					}
					break
				}
			}
		}
	}
	if d.domain() == syscall.AF_INET6 {
		d.Metric = metricUser
		if d.Protocol == unix.RTPROT_KERNEL || d.Destination == header.IPv6LinkLocalPrefix.Subnet() {
			d.Protocol, d.Metric = unix.RTPROT_KERNEL, metricKernel
		}
	}
	return d
}

// localRoutes returns what Linux has in its local table for an address of l.
func localRoutes(l *netstack.Link, p tcpip.AddressWithPrefix) []Route {
	local := Route{Link: l.Index(), Table: unix.RT_TABLE_LOCAL, Protocol: unix.RTPROT_KERNEL, Type: unix.RTN_LOCAL}
	host := func(a tcpip.Address, scope, typ uint8) Route {
		r := local
		r.Destination = tcpip.AddressWithPrefix{Address: a, PrefixLen: a.BitLen()}.Subnet()
		r.Scope, r.Type = scope, typ
		return r
	}
	if p.Address.Len() == header.IPv6AddressSize {
		return []Route{host(p.Address, unix.RT_SCOPE_UNIVERSE, unix.RTN_LOCAL)}
	}
	local.Source = p.Address
	var list []Route
	network := p.Subnet()
	if l.Loopback() && p.PrefixLen < p.Address.BitLen() {
		whole := local
		whole.Destination, whole.Scope = network, unix.RT_SCOPE_HOST
		list = append(list, whole)
	}
	list = append(list, host(p.Address, unix.RT_SCOPE_HOST, unix.RTN_LOCAL))
	if p.PrefixLen < 31 {
		list = append(list, host(network.Broadcast(), unix.RT_SCOPE_LINK, unix.RTN_BROADCAST))
	}
	return list
}

// putRoute appends a struct rtmsg and its attributes. flags are RTM_F_.
func putRoute(m *builder, r *Route, flags uint32) {
	domain := r.domain()
	put(m, unix.RtMsg{
		Family: domain, Dst_len: uint8(r.Destination.Prefix()), Table: r.Table, Protocol: r.Protocol, Scope: r.Scope, Type: r.Type,
		Flags: flags | r.Flags,
	})
	m.u32(unix.RTA_TABLE, uint32(r.Table))
	destination := r.Destination.ID()
	if r.Destination.Prefix() > 0 {
		m.attr(unix.RTA_DST, destination.AsSlice())
	}
	if r.Metric != 0 || domain == syscall.AF_INET6 {
		m.u32(unix.RTA_PRIORITY, r.Metric)
	}
	if r.MTU != 0 {
		var mtu builder
		mtu.u32(unix.RTAX_MTU, r.MTU)
		m.attr(unix.RTA_METRICS, mtu.b)
	}
	if r.Source.Len() != 0 {
		m.attr(unix.RTA_PREFSRC, r.Source.AsSlice())
	}
	if r.Gateway.Len() != 0 {
		m.attr(unix.RTA_GATEWAY, r.Gateway.AsSlice())
	}
	if r.Link != 0 {
		m.u32(unix.RTA_OIF, uint32(r.Link))
	}
	if domain == syscall.AF_INET6 {
		value(m, unix.RTA_CACHEINFO, [8]uint32{}) // struct rta_cacheinfo
		m.u8(unix.RTA_PREF, uint8(prefMedium))
	}
}

func (f *Family) listRoutes(l *lister) syscall.Errno {
	ask, ok := get[unix.RtMsg](l.r.payload)
	var want struct {
		table, link   uint32
		protocol, typ uint8
	}
	if l.r.strict() {
		if !ok || ask.Dst_len != 0 || ask.Src_len != 0 || ask.Tos != 0 || ask.Scope != 0 {
			return l.r.fail(syscall.EINVAL, "Invalid values in header for FIB dump request")
		}
		a := parse(l.r.payload[unix.SizeofRtMsg:])
		want.table, want.protocol, want.typ = uint32(ask.Table), ask.Protocol, ask.Type
		if table, err := a.u32(unix.RTA_TABLE); err == 0 {
			want.table = table
		}
		want.link, _ = a.u32(unix.RTA_OIF)
		if want.table|want.link|uint32(want.protocol)|uint32(want.typ) != 0 {
			l.filtered()
		}
		if want.table != 0 && want.table != unix.RT_TABLE_MAIN && want.table != unix.RT_TABLE_LOCAL {
			if ask.Family == syscall.AF_UNSPEC {
				return 0
			}
			return l.r.fail(syscall.ENOENT, "ipv4: FIB table does not exist")
		}
	}
	if ok && ask.Flags&unix.RTM_F_CLONED != 0 {
		return 0 // there is no cache of routes
	}
	for _, domain := range domains(l.r.payload[0]) {
		for _, r := range f.Routes(domain) {
			if want.table != 0 && want.table != uint32(r.Table) || want.link != 0 && int(want.link) != r.Link ||
				want.protocol != 0 && want.protocol != r.Protocol || want.typ != 0 && want.typ != r.Type {
				continue
			}
			l.next(unix.RTM_NEWROUTE)
			putRoute(&l.builder, &r, 0)
			l.end()
		}
	}
	return 0
}

// getRoute answers which way a packet would go.
func (f *Family) getRoute(r *request) syscall.Errno {
	ask, ok := get[unix.RtMsg](r.payload)
	if !ok {
		return syscall.EINVAL
	}
	if ask.Family != syscall.AF_INET && ask.Family != syscall.AF_INET6 {
		return syscall.EOPNOTSUPP
	}
	a := parse(r.payload[unix.SizeofRtMsg:])
	protocol := protocolOf(ask.Family)
	destination, source := unspecified(ask.Family), tcpip.Address{}
	var err syscall.Errno
	if a[unix.RTA_DST] != nil {
		if destination, err = addressOf(a[unix.RTA_DST], ask.Family); err != 0 {
			return err
		}
	}
	if a[unix.RTA_SRC] != nil {
		if source, err = addressOf(a[unix.RTA_SRC], ask.Family); err != 0 {
			return err
		}
	}
	out, _ := a.u32(unix.RTA_OIF)
	if out != 0 && f.stack.Link(int(out)) == nil {
		return syscall.ENODEV
	}
	found, failure := f.stack.FindRoute(tcpip.NICID(out), source, destination, protocol, false)
	if failure != nil {
		if _, ok := failure.(*tcpip.ErrHostUnreachable); ok {
			return syscall.ENETUNREACH
		}
		return errno(failure)
	}
	defer found.Release()
	answer := Route{
		Destination: tcpip.AddressWithPrefix{Address: destination, PrefixLen: destination.BitLen()}.Subnet(),
		Source:      found.LocalAddress(), Link: int(found.OutgoingNIC()), Table: unix.RT_TABLE_MAIN, Type: unix.RTN_UNICAST,
	}
	switch local := f.stack.CheckLocalAddress(0, protocol, destination); {
	case local != 0:
		answer.Type, answer.Table, answer.Link = unix.RTN_LOCAL, unix.RT_TABLE_LOCAL, netstack.Loopback
	case header.IsV4MulticastAddress(destination) || header.IsV6MulticastAddress(destination):
		answer.Type = unix.RTN_MULTICAST
	case found.IsOutboundBroadcast():
		answer.Type = unix.RTN_BROADCAST
	default:
		if next := found.NextHop(); next != destination {
			answer.Gateway = next
		}
	}
	r.reply(unix.RTM_NEWROUTE, func(m *builder) { putRoute(m, &answer, unix.RTM_F_CLONED) })
	return 0
}
