package configure

import (
	"slices"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// routes returns the routes that the link should have, the preferred ones of a destination first.
func (l *link) routes() []tcpip.Route {
	if l.options.None {
		return nil
	}
	list := []tcpip.Route{{Destination: header.IPv6LinkLocalPrefix.Subnet(), NIC: l.nic}}
	for _, p := range l.options.Addresses {
		list = append(list, tcpip.Route{Destination: subnet(p), NIC: l.nic})
	}
	for _, g := range l.options.Gateways {
		if g.Is6() || l.lease() != nil || len(l.static) > 0 {
			list = append(list, tcpip.Route{Destination: defaultRoute(g), Gateway: toStack(g), NIC: l.nic})
		}
	}
	if le := l.lease(); le != nil {
		for _, r := range le.routes {
			n := tcpip.Route{Destination: subnet(r.to), NIC: l.nic}
			if r.router.IsValid() {
				n.Gateway = toStack(r.router)
			}
			if r.to.Bits() != 0 || !l.options.Gateway(false).IsValid() {
				list = append(list, n)
			}
		}
	}
	for _, r := range l.ndp.routes {
		if r.Destination.Prefix() != 0 || !l.options.Gateway(true).IsValid() {
			list = append(list, r)
		}
	}
	return list
}

// updateRoutes makes the stack's table agree with what the links should have, and leaves alone what
// others have put there. The table keeps routes of one destination in the order in which they were
// added, and the first one is used.
func (c *Configuration) updateRoutes() {
	var wanted []tcpip.Route
	for _, l := range c.links {
		for _, r := range l.routes() {
			if !contains(wanted, r) {
				wanted = append(wanted, r)
			}
		}
	}
	for _, r := range c.installed {
		if !contains(wanted, r) {
			c.removeRoute(r)
		}
	}
	var moved []tcpip.Subnet
	for i, r := range wanted {
		if !slices.ContainsFunc(moved, r.Destination.Equal) {
			if inOrder(wanted[:i], c.installed, r) {
				continue
			}
			moved = append(moved, r.Destination)
		}
		c.removeRoute(r)
		c.stack.AddRoute(r)
	}
	c.installed = wanted
}

// inOrder reports whether r is installed, behind those of the same destination in before.
func inOrder(before, installed []tcpip.Route, r tcpip.Route) bool {
	at := index(installed, r)
	for _, b := range before {
		if b.Destination.Equal(r.Destination) && index(installed, b) > at {
			return false
		}
	}
	return at >= 0
}

func (c *Configuration) removeRoute(r tcpip.Route) {
	c.stack.RemoveRoutes(func(other tcpip.Route) bool { return same(other, r) })
}

// same is stricter than Route.Equal, which does not look at the router.
func same(a, b tcpip.Route) bool { return a.Equal(b) && a.Gateway == b.Gateway }

func contains(list []tcpip.Route, r tcpip.Route) bool { return index(list, r) >= 0 }

// index returns r's index in list, -1 if it is not there.
func index(list []tcpip.Route, r tcpip.Route) int {
	return slices.IndexFunc(list, func(other tcpip.Route) bool { return same(other, r) })
}
