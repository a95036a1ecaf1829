package configure

import (
	"net/netip"
	"slices"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// A route says where packets for a subnet go: to a router, or straight to the link if there is none.
type route struct {
	to     netip.Prefix
	router netip.Addr
	nic    tcpip.NICID // 0 as long as it is clear which
}

// Destinations of default routes, and of what is on every link with IPv6.
var (
	everything4 = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	everything6 = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	linkLocal6  = netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80}), 64)
)

// throughRouter returns the default route through a router.
func throughRouter(router netip.Addr) route {
	if router.Is4() {
		return route{to: everything4, router: router}
	}
	return route{to: everything6, router: router}
}

// hasDefault reports whether there is a default route among some.
func hasDefault(list []route) bool {
	for _, r := range list {
		if r.to.Bits() == 0 {
			return true
		}
	}
	return false
}

// routes returns the routes that the link should have, the preferred ones of a destination first.
func (l *link) routes() []route {
	if l.options.None {
		return nil
	}
	list := []route{{to: linkLocal6}}
	for _, p := range l.options.Addresses {
		list = append(list, route{to: p.Masked()})
	}
	for _, g := range l.options.Gateways {
		if g.Is6() || l.lease() != nil || len(l.static) > 0 {
			list = append(list, throughRouter(g))
		}
	}
	learned := l.ndp.routes
	if le := l.lease(); le != nil {
		learned = slices.Concat(le.routes, learned)
	}
	for _, r := range learned {
		if r.to.Bits() != 0 || !l.options.Gateway(r.to.Addr().Is6()).IsValid() {
			list = append(list, r)
		}
	}
	for i := range list {
		list[i].nic = l.nic
	}
	return list
}

// updateRoutes makes the stack's table agree with what the links should have, and leaves alone what
// others have put there. The table keeps routes of one destination in the order in which they were
// added, and the first one is used.
func (c *Configuration) updateRoutes() {
	var wanted []route
	for _, l := range c.links {
		wanted = appendNew(wanted, l.routes()...)
	}
	for _, r := range c.installed {
		if !slices.Contains(wanted, r) {
			c.removeRoute(r)
		}
	}
	var moved []netip.Prefix // destinations of routes that were added
	for i, r := range wanted {
		if !slices.Contains(moved, r.to) {
			if inOrder(wanted[:i], c.installed, r) {
				continue
			}
			moved = append(moved, r.to)
		}
		c.removeRoute(r)
		c.stack.AddRoute(r.toStack())
	}
	c.installed = wanted
}

// inOrder reports whether r is installed, behind those of the same destination in before.
func inOrder(before, installed []route, r route) bool {
	at := slices.Index(installed, r)
	for _, b := range before {
		if b.to == r.to && slices.Index(installed, b) > at {
			return false
		}
	}
	return at >= 0
}

func (c *Configuration) removeRoute(r route) {
	gone := r.toStack()
	c.stack.RemoveRoutes(func(other tcpip.Route) bool { return other.Equal(gone) && other.Gateway == gone.Gateway })
}

func (r route) toStack() tcpip.Route {
	s := tcpip.Route{Destination: subnet(r.to), NIC: r.nic}
	if r.router.IsValid() {
		s.Gateway = toStack(r.router)
	}
	return s
}
