package netlink

import (
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
)

func protocolOf(family uint8) tcpip.NetworkProtocolNumber {
	if family == syscall.AF_INET {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

// unspecified returns the address of zeros.
func unspecified(family uint8) tcpip.Address {
	if family == syscall.AF_INET {
		return header.IPv4Any
	}
	return header.IPv6Any
}

// requestedRoute reads the route that a request means. Its link is 0 if the request names none.
func (f *Family) requestedRoute(r *request) (unix.RtMsg, *attrs, Route, syscall.Errno) {
	var d Route
	ask, ok := get[unix.RtMsg](r.payload)
	if !ok {
		return ask, nil, d, syscall.EINVAL
	}
	a := parse(r.payload[unix.SizeofRtMsg:])
	if ask.Family != syscall.AF_INET && ask.Family != syscall.AF_INET6 {
		return ask, a, d, syscall.EOPNOTSUPP
	}
	for typ, v := range a {
		switch typ {
		case unix.RTA_DST, unix.RTA_OIF, unix.RTA_GATEWAY, unix.RTA_PRIORITY, unix.RTA_PREFSRC, unix.RTA_METRICS, unix.RTA_TABLE,
			unix.RTA_PREF, unix.RTA_CACHEINFO:
		default:
			if v != nil {
				return ask, a, d, r.fail(syscall.EOPNOTSUPP, "an attribute of routes that is not known here")
			}
		}
	}
	table, err := a.u32(unix.RTA_TABLE)
	if err != 0 {
		table = uint32(ask.Table)
	}
	if table != unix.RT_TABLE_MAIN && table != unix.RT_TABLE_UNSPEC {
		return ask, a, d, r.fail(syscall.EOPNOTSUPP, "only the main table can be changed")
	}
	if ask.Tos != 0 || ask.Src_len != 0 {
		return ask, a, d, r.fail(syscall.EOPNOTSUPP, "routes go by the destination only")
	}
	destination := unspecified(ask.Family)
	if a[unix.RTA_DST] != nil {
		if destination, err = addressOf(a[unix.RTA_DST], ask.Family); err != 0 {
			return ask, a, d, r.fail(err, "the destination has not the family's size")
		}
	}
	if int(ask.Dst_len) > destination.BitLen() {
		return ask, a, d, r.fail(syscall.EINVAL, "the prefix is longer than the address")
	}
	d.Destination = tcpip.AddressWithPrefix{Address: destination, PrefixLen: int(ask.Dst_len)}.Subnet()
	if d.Destination.ID() != destination {
		return ask, a, d, r.fail(syscall.EINVAL, "Invalid prefix for given prefix length")
	}
	for _, field := range []struct {
		typ int
		to  *tcpip.Address
	}{{unix.RTA_GATEWAY, &d.Gateway}, {unix.RTA_PREFSRC, &d.Source}} {
		if v := a[field.typ]; v != nil {
			if *field.to, err = addressOf(v, ask.Family); err != 0 {
				return ask, a, d, r.fail(err, "an address has not the family's size")
			}
		}
	}
	if d.Gateway.Unspecified() {
		d.Gateway = tcpip.Address{}
	}
	link, _ := a.u32(unix.RTA_OIF)
	d.Link = int(link)
	d.Metric, _ = a.u32(unix.RTA_PRIORITY)
	if d.Metric == 0 && ask.Family == syscall.AF_INET6 && r.header.Type == unix.RTM_NEWROUTE {
		d.Metric = metricUser
	}
	d.MTU, _ = parse(a[unix.RTA_METRICS]).u32(unix.RTAX_MTU)
	d.Protocol, d.Scope, d.Type = ask.Protocol, ask.Scope, ask.Type
	return ask, a, d, 0
}

func (f *Family) newRoute(r *request) syscall.Errno {
	ask, _, d, err := f.requestedRoute(r)
	if err != 0 {
		return err
	}
	if d.Type != unix.RTN_UNICAST {
		return r.fail(syscall.EOPNOTSUPP, "only unicast routes can be made")
	}
	if err := f.resolve(r, &d, ask.Flags&unix.RTNH_F_ONLINK != 0); err != 0 {
		return err
	}
	return f.addRoute(r, d, r.header.Flags)
}

// resolve finds the link of a route by its gateway, and checks both.
func (f *Family) resolve(r *request, d *Route, onLink bool) syscall.Errno {
	if d.Link == 0 && d.Gateway.Len() == 0 {
		return r.fail(syscall.ENODEV, "neither a link nor a gateway")
	}
	if d.Link != 0 {
		l := f.stack.Link(d.Link)
		if l == nil {
			return syscall.ENODEV
		}
		if !l.Up() {
			return r.fail(syscall.ENETDOWN, "the link is down")
		}
	}
	if d.Gateway.Len() == 0 || onLink && d.Link != 0 || d.Link != 0 && header.IsV6LinkLocalUnicastAddress(d.Gateway) {
		return 0
	}
	for _, route := range f.stack.GetRouteTable() {
		if route.Destination.Contains(d.Gateway) {
			if route.Gateway.Len() == 0 && (d.Link == 0 || d.Link == int(route.NIC)) {
				d.Link = int(route.NIC)
				return 0
			}
			if d.Link == 0 {
				break
			}
		}
	}
	return r.fail(syscall.ENETUNREACH, "Nexthop has invalid gateway")
}

// addRoute adds a route in the order of metrics. flags are NLM_F_; without NLM_F_CREATE one must be
// there to replace.
func (f *Family) addRoute(r *request, d Route, flags uint16) syscall.Errno {
	route := tcpip.Route{Destination: d.Destination, Gateway: d.Gateway, NIC: tcpip.NICID(d.Link), SourceHint: d.Source, MTU: d.MTU}
	table := f.stack.GetRouteTable()
	replaced := -1
	for i, old := range table {
		if old.Destination != d.Destination {
			continue
		}
		same := f.describeRoute(old).Metric == d.Metric
		if same && flags&unix.NLM_F_EXCL != 0 || sameRoute(old, route) && flags&unix.NLM_F_REPLACE == 0 {
			return syscall.EEXIST
		}
		if same && replaced < 0 {
			replaced = i
		}
	}
	switch {
	case flags&unix.NLM_F_REPLACE != 0 && replaced >= 0:
		delete(f.given, keyOf(table[replaced]))
		table[replaced] = route
		for i := len(table) - 1; i >= 0; i-- { // the same way with another metric
			if i != replaced && sameRoute(table[i], route) {
				table = slices.Delete(table, i, i+1)
			}
		}
	case flags&unix.NLM_F_CREATE == 0:
		return r.fail(syscall.ENOENT, "NLM_F_CREATE should be set when creating new route")
	default:
		at := 0
		for at < len(table) && (table[at].Destination.Prefix() > d.Destination.Prefix() ||
			table[at].Destination.Prefix() == d.Destination.Prefix() && f.describeRoute(table[at]).Metric <= d.Metric) {
			at++
		}
		if at == len(table) || table[at].Destination.Prefix() < d.Destination.Prefix() {
			f.stack.AddRoute(route) // which does not undo what others change meanwhile
			table = nil
			break
		}
		table = slices.Insert(table, at, route)
	}
	if table != nil {
		f.stack.SetRouteTable(table)
	}
	f.given[keyOf(route)] = routeGiven{metric: d.Metric, protocol: d.Protocol, scope: d.Scope}
	return 0
}

func (f *Family) delRoute(r *request) syscall.Errno {
	_, a, d, err := f.requestedRoute(r)
	if err != 0 {
		return err
	}
	return f.deleteRoute(d, a[unix.RTA_PRIORITY] != nil)
}

// deleteRoute deletes the first route that agrees with all that d says of it. ESRCH says that there
// is none.
func (f *Family) deleteRoute(d Route, metric bool) syscall.Errno {
	for _, route := range f.stack.GetRouteTable() {
		if route.Destination != d.Destination {
			continue
		}
		old := f.describeRoute(route)
		if d.Link != 0 && d.Link != old.Link || d.Gateway.Len() != 0 && d.Gateway != old.Gateway ||
			metric && d.Metric != old.Metric || d.Source.Len() != 0 && d.Source != old.Source ||
			d.Type != unix.RTN_UNSPEC && d.Type != old.Type || d.Protocol != unix.RTPROT_UNSPEC && d.Protocol != old.Protocol ||
			d.domain() == syscall.AF_INET && d.Scope != unix.RT_SCOPE_NOWHERE && d.Scope != old.Scope {
			continue
		}
		f.stack.RemoveRoutes(func(other tcpip.Route) bool { return sameRoute(other, route) })
		delete(f.given, keyOf(route))
		return 0
	}
	return syscall.ESRCH
}
