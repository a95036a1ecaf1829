package configure

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/goshawk-os/goshawk/net/configure/options"
)

// ndp is what a link knows from router advertisements. gVisor's stack makes and expires addresses
// itself, and says which routes there are to be. It belongs to the jobs.
type ndp struct {
	link    *link
	routes  []route // the preferred ones of a destination first
	dns     []timed[netip.Addr]
	search  []timed[string]
	expiry  timer
	managed bool                // a router has said that there are addresses by DHCPv6
	checked map[netip.Addr]bool // addresses of the options that nobody else uses, or that are given up
}

// timed is a value with the end of its life, the zero time for none.
type timed[T comparable] struct {
	value T
	until tcpip.MonotonicTime
}

func (n *ndp) init(l *link) {
	n.link = l
	n.expiry.jobs = &l.c.jobs
	n.checked = make(map[netip.Addr]bool)
}

func (n *ndp) information() information {
	var i information
	for _, t := range n.dns {
		i.dns = append(i.dns, t.value)
	}
	for _, t := range n.search {
		i.search = append(i.search, t.value)
	}
	return i
}

// discovered are the routes that gVisor's neighbour discovery knows, of which the stack bounds the
// number. They are no jobs of their own: a flood of advertisements, which makes and withdraws routes
// without end, must not fill the queue.
type discovered struct {
	mu     sync.Mutex
	routes map[tcpip.NICID][]preferred // the preferred ones first
	posted bool                        // a job will take them over
}

// preferred is a route and its preference, of which 1 is the best; 0 is none.
type preferred struct {
	route
	preference int
}

// takeRoutes takes over the routes that were discovered.
func (c *Configuration) takeRoutes() {
	d := &c.discovered
	d.mu.Lock()
	d.posted = false
	for _, l := range c.links {
		l.ndp.routes = nil
		for _, p := range d.routes[l.nic] {
			l.ndp.routes = append(l.ndp.routes, p.route)
		}
	}
	d.mu.Unlock()
	c.update()
}

// learn updates a list with a value that is good for a lifetime, 0 if it is good no more. A list that
// is full takes nothing new.
func learn[T comparable](n *ndp, list []timed[T], value T, lifetime time.Duration, limit int) []timed[T] {
	list = slices.DeleteFunc(list, func(t timed[T]) bool { return t.value == value })
	if lifetime == 0 || len(list) == limit {
		return list
	}
	t := timed[T]{value: value}
	if lifetime != header.NDPInfiniteLifetime {
		t.until = n.link.c.now().Add(lifetime)
	}
	return append(list, t)
}

// expire forgets what is good no more and sets the timer for what is.
func (n *ndp) expire() {
	var next tcpip.MonotonicTime
	n.dns = expired(n.dns, n.link.c.now(), &next)
	n.search = expired(n.search, n.link.c.now(), &next)
	n.expiry.stop()
	if next != (tcpip.MonotonicTime{}) {
		n.expiry.set(next.Sub(n.link.c.now()), n.expire)
	}
	n.link.c.update()
}

func expired[T comparable](list []timed[T], now tcpip.MonotonicTime, next *tcpip.MonotonicTime) []timed[T] {
	none := tcpip.MonotonicTime{}
	list = slices.DeleteFunc(list, func(t timed[T]) bool { return t.until != none && !t.until.After(now) })
	for _, t := range list {
		if t.until != none && (*next == none || t.until.Before(*next)) {
			*next = t.until
		}
	}
	return list
}

// checkedAddress takes the result of duplicate address detection (RFC 4862, section 5.4), DADSucceeded
// or DADDupAddrDetected.
func (n *ndp) checkedAddress(a netip.Addr, r stack.DADResult) {
	if r, duplicate := r.(*stack.DADDupAddrDetected); duplicate {
		by := "another host"
		if r.HolderLinkAddress != "" {
			by = r.HolderLinkAddress.String()
		}
		n.link.warn("address " + a.String() + " is used by " + by + " too; this machine does without it")
	}
	if slices.ContainsFunc(n.link.options.Addresses, func(p netip.Prefix) bool { return p.Addr() == a }) {
		n.checked[a] = true
	}
	if a.IsLinkLocalUnicast() {
		n.link.info.addressReady()
	}
	n.link.c.update()
}

// dispatcher hears what gVisor's neighbour discovery finds out. Its methods are called with locks of
// the stack held.
type dispatcher Configuration

var _ ipv6.NDPDispatcher = (*dispatcher)(nil)

// post has f called by a job, if the link is one that is configured.
func (d *dispatcher) post(nic tcpip.NICID, f func(*link)) {
	c := (*Configuration)(d)
	c.jobs.post(func() {
		if l := c.link(nic); l != nil {
			f(l)
		}
	})
}

func (d *dispatcher) OnDuplicateAddressDetectionResult(nic tcpip.NICID, a tcpip.Address, r stack.DADResult) {
	switch r.(type) {
	case *stack.DADSucceeded, *stack.DADDupAddrDetected:
		d.post(nic, func(l *link) { l.ndp.checkedAddress(fromStack(a), r) })
	}
}

func (d *dispatcher) OnOffLinkRouteUpdated(nic tcpip.NICID, to tcpip.Subnet, router tcpip.Address, p header.NDPRoutePreference) {
	preference := 2
	switch p {
	case header.HighRoutePreference:
		preference = 1
	case header.LowRoutePreference:
		preference = 3
	}
	d.route(nic, route{to: prefixFrom(to), router: fromStack(router)}, preference)
}

func (d *dispatcher) OnOffLinkRouteInvalidated(nic tcpip.NICID, to tcpip.Subnet, router tcpip.Address) {
	d.route(nic, route{to: prefixFrom(to), router: fromStack(router)}, 0)
}

func (d *dispatcher) OnOnLinkPrefixDiscovered(nic tcpip.NICID, to tcpip.Subnet) {
	d.route(nic, route{to: prefixFrom(to)}, 1)
}

func (d *dispatcher) OnOnLinkPrefixInvalidated(nic tcpip.NICID, to tcpip.Subnet) {
	d.route(nic, route{to: prefixFrom(to)}, 0)
}

// route notes a route's preference; 0 says that the route is gone.
func (d *dispatcher) route(nic tcpip.NICID, r route, preference int) {
	c := (*Configuration)(d)
	known := &c.discovered
	known.mu.Lock()
	defer known.mu.Unlock()
	list := slices.DeleteFunc(known.routes[nic], func(p preferred) bool { return p.route == r })
	if preference != 0 {
		at := 0
		for at < len(list) && list[at].preference <= preference {
			at++
		}
		list = slices.Insert(list, at, preferred{r, preference})
	}
	known.routes[nic] = list
	if !known.posted {
		known.posted = true
		c.jobs.post(c.takeRoutes)
	}
}

// OnAutoGenAddress and its kin say nothing that is of use here: the stack has done it all. But others
// want to know (Options.Changed), after any of the jobs that are queued.

func (d *dispatcher) OnAutoGenAddress(nic tcpip.NICID, _ tcpip.AddressWithPrefix) stack.AddressDispatcher {
	d.lossy(nic, func(*link) {})
	return nil
}

func (d *dispatcher) OnAutoGenAddressDeprecated(nic tcpip.NICID, _ tcpip.AddressWithPrefix) {
	d.lossy(nic, func(*link) {})
}

func (d *dispatcher) OnAutoGenAddressInvalidated(nic tcpip.NICID, _ tcpip.AddressWithPrefix) {
	d.lossy(nic, func(*link) {})
}

func (d *dispatcher) OnRecursiveDNSServerOption(nic tcpip.NICID, list []tcpip.Address, lifetime time.Duration) {
	var addrs []netip.Addr
	for _, a := range list {
		addrs = append(addrs, fromStack(a))
	}
	d.lossy(nic, func(l *link) {
		for _, a := range servers(addrs, maxServers) {
			l.ndp.dns = learn(&l.ndp, l.ndp.dns, a, lifetime, maxServers)
		}
		l.ndp.expire()
	})
}

func (d *dispatcher) OnDNSSearchListOption(nic tcpip.NICID, domains []string, lifetime time.Duration) {
	d.lossy(nic, func(l *link) {
		for _, name := range domains {
			if options.ValidDomain(name) {
				l.ndp.search = learn(&l.ndp, l.ndp.search, name, lifetime, maxDomains)
			}
		}
		l.ndp.expire()
	})
}

func (d *dispatcher) OnDHCPv6Configuration(nic tcpip.NICID, a ipv6.DHCPv6ConfigurationFromNDPRA) {
	if a != ipv6.DHCPv6NoConfiguration {
		d.lossy(nic, func(l *link) {
			l.ndp.managed = a == ipv6.DHCPv6ManagedAddress
			l.info.start()
		})
	}
}

// lossy is post for what routers repeat: a flood of it is dropped.
func (d *dispatcher) lossy(nic tcpip.NICID, f func(*link)) {
	c := (*Configuration)(d)
	c.jobs.tryPost(func() {
		if l := c.link(nic); l != nil {
			f(l)
		}
	})
}
