package configure

import (
	"net/netip"
	"slices"
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
	link        *link
	routes      []route // the preferred ones of a destination first
	preferences []int   // of routes, 1 is the best
	dns         []timed[netip.Addr]
	search      []timed[string]
	expiry      timer
	managed     bool                // a router has said that there are addresses by DHCPv6
	checked     map[netip.Addr]bool // addresses that nobody else uses, or that are given up
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

// addRoute adds a route, or changes its preference.
func (n *ndp) addRoute(r route, preference int) {
	n.removeRoute(r)
	at := 0
	for at < len(n.routes) && n.preferences[at] <= preference {
		at++
	}
	n.routes = slices.Insert(n.routes, at, r)
	n.preferences = slices.Insert(n.preferences, at, preference)
	n.link.c.update()
}

func (n *ndp) removeRoute(r route) {
	if i := slices.Index(n.routes, r); i >= 0 {
		n.routes = slices.Delete(n.routes, i, i+1)
		n.preferences = slices.Delete(n.preferences, i, i+1)
	}
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
		t.until = n.now().Add(lifetime)
	}
	return append(list, t)
}

func (n *ndp) now() tcpip.MonotonicTime { return n.link.c.stack.Clock().NowMonotonic() }

// expire forgets what is good no more and sets the timer for what is.
func (n *ndp) expire() {
	var next tcpip.MonotonicTime
	n.dns = expired(n.dns, n.now(), &next)
	n.search = expired(n.search, n.now(), &next)
	n.expiry.stop()
	if next != (tcpip.MonotonicTime{}) {
		n.expiry.set(next.Sub(n.now()), n.expire)
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

// checkedAddress takes the result of duplicate address detection (RFC 4862, section 5.4).
func (n *ndp) checkedAddress(a netip.Addr, r stack.DADResult) {
	switch r := r.(type) {
	case *stack.DADSucceeded:
	case *stack.DADDupAddrDetected:
		by := "another host"
		if r.HolderLinkAddress != "" {
			by = r.HolderLinkAddress.String()
		}
		n.link.warn("address " + a.String() + " is used by " + by + " too; this machine does without it")
	default:
		return
	}
	n.checked[a] = true
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
	d.post(nic, func(l *link) { l.ndp.checkedAddress(fromStack(a), r) })
}

func (d *dispatcher) OnOffLinkRouteUpdated(nic tcpip.NICID, to tcpip.Subnet, router tcpip.Address, p header.NDPRoutePreference) {
	preference := 2
	switch p {
	case header.HighRoutePreference:
		preference = 1
	case header.LowRoutePreference:
		preference = 3
	}
	d.post(nic, func(l *link) { l.ndp.addRoute(route{to: prefixFrom(to), router: fromStack(router)}, preference) })
}

func (d *dispatcher) OnOffLinkRouteInvalidated(nic tcpip.NICID, to tcpip.Subnet, router tcpip.Address) {
	d.post(nic, func(l *link) {
		l.ndp.removeRoute(route{to: prefixFrom(to), router: fromStack(router)})
		l.c.update()
	})
}

func (d *dispatcher) OnOnLinkPrefixDiscovered(nic tcpip.NICID, to tcpip.Subnet) {
	d.post(nic, func(l *link) { l.ndp.addRoute(route{to: prefixFrom(to)}, 1) })
}

func (d *dispatcher) OnOnLinkPrefixInvalidated(nic tcpip.NICID, to tcpip.Subnet) {
	d.post(nic, func(l *link) {
		l.ndp.removeRoute(route{to: prefixFrom(to)})
		l.c.update()
	})
}

// OnAutoGenAddress and its kin say nothing that is of use here: the stack has done it all. But others
// want to know (Options.Changed).

func (d *dispatcher) OnAutoGenAddress(nic tcpip.NICID, _ tcpip.AddressWithPrefix) stack.AddressDispatcher {
	d.post(nic, func(*link) {})
	return nil
}

func (d *dispatcher) OnAutoGenAddressDeprecated(nic tcpip.NICID, _ tcpip.AddressWithPrefix) {
	d.post(nic, func(*link) {})
}

func (d *dispatcher) OnAutoGenAddressInvalidated(nic tcpip.NICID, _ tcpip.AddressWithPrefix) {
	d.post(nic, func(*link) {})
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
