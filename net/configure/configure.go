// Package configure gives the links of a network stack their addresses, routes and name servers, and
// keeps them current: IPv4 by DHCP (RFC 2131), IPv6 by router advertisements (RFC 4861, RFC 4862,
// RFC 8106) with DHCPv6 for further information (RFC 8415, section 18.2.6), or as the options of
// package options say. It writes resolv.conf and hosts, finds the host name, and sets the clock by
// NTP where there is a server for it.
//
// Everything happens in jobs that timers, packets and gVisor's neighbour discovery start: while
// nothing happens there is no goroutine and no timer but those of the leases. What arrives from the
// network is checked before use, and what is wrong is as if it had not arrived.
//
// A configured machine is silent. Warnings say what is wrong, on which link, and what to do.
package configure

import (
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/rand"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/goshawk-os/goshawk/net/configure/options"
)

const (
	// patience is how long a program's first connections and lookups wait for the configuration,
	// and after which DHCP's silence is worth a warning.
	patience = 10 * time.Second
	// grace is how long IPv4 may take longer than IPv6 to be waited for.
	grace = time.Second
	// maxWarnings is how many warnings a link may cause: its network may be hostile.
	maxWarnings = 20
)

// A Host is the machine that is configured. Its methods are called one at a time, after Start, and
// do not wait long.
type Host interface {
	// ReadFile returns a file that the image brings along, an error if there is none.
	ReadFile(name string) ([]byte, error)
	// WriteFile replaces or makes a file and the directories above it.
	WriteFile(name string, data []byte) error
	// SetHostname sets the host name, which is valid.
	SetHostname(name string)
}

// A WallClock is the clock that NTP sets.
type WallClock interface {
	Now() time.Time
	// Adjust sets the clock forward by offset at once, backward if it is negative.
	Adjust(offset time.Duration)
}

// Options are the machine's part of the configuration.
type Options struct {
	// Hostname is the host name that the command line gives, "" if none.
	Hostname string
	Host     Host
	// Clock is set by NTP; nil if it cannot be set.
	Clock WallClock
	// Warn writes a line without "goshawk: " and newline to the console. It does not wait.
	Warn func(text string)
	// Changed is called after addresses or routes may have changed; nil if nobody wants to know. It
	// does not wait.
	Changed func()
}

// A Link is a link to be configured. It is an Ethernet.
type Link struct {
	NIC     tcpip.NICID
	Name    string // like eth0
	Options options.Link
}

// A Configuration configures the links of one stack.
type Configuration struct {
	options Options
	jobs    jobs
	stack   *stack.Stack
	random  rand.RNG

	// What follows belongs to the jobs.
	links     []*link
	installed []route // of ours, in the stack's table
	files     files
	ntp       ntp
	patience  timer
	settled   bool
	graced    bool // patience is down to grace

	discovered discovered
	configured chan struct{}
	pending    atomic.Bool
}

// New returns a configuration, which does nothing before Start.
func New(o Options) *Configuration {
	c := &Configuration{options: o, configured: make(chan struct{})}
	c.jobs.after = o.Changed
	c.patience.jobs = &c.jobs
	c.discovered.routes = make(map[tcpip.NICID][]preferred)
	c.files.c = c
	c.ntp.init(c)
	c.pending.Store(true)
	return c
}

// NDP returns what the stack's IPv6 must be given as its NDPDispatcher.
func (c *Configuration) NDP() ipv6.NDPDispatcher { return (*dispatcher)(c) }

// Start begins to configure the links, which exist and are up, in the order in which their routes
// and name servers are preferred. It returns at once, with static addresses set and DHCP's first
// message sent. It is called once.
func (c *Configuration) Start(s *stack.Stack, links []Link) {
	c.stack, c.random = s, s.SecureRNG()
	for _, l := range links {
		c.links = append(c.links, newLink(c, l))
	}
	c.jobs.start(s.Clock(), func() {
		c.files.start()
		c.patience.set(patience, c.settle)
		for _, l := range c.links {
			l.start()
		}
		c.update()
	})
}

// LinkUp tells that a link can be used. If it could not before (LinkDown), or no DHCP server has
// answered yet, one is asked at once: the link may be in another network than it was.
func (c *Configuration) LinkUp(nic tcpip.NICID) {
	c.jobs.post(func() {
		if l := c.link(nic); l != nil && l.dhcp != nil {
			l.dhcp.reconnect(l.down)
			l.down = false
		}
	})
}

// LinkDown tells that a link cannot be used, because it is down or has no carrier. Nothing changes
// before LinkUp.
func (c *Configuration) LinkDown(nic tcpip.NICID) {
	c.jobs.post(func() {
		if l := c.link(nic); l != nil {
			l.down = true
		}
	})
}

// Configured returns a channel that is closed when a program may expect the network to work: all
// links are configured, or one of them has a default router and IPv4, or, a second later, a default
// router of IPv6 and a name server. At the latest it is closed 10 s after Start. By then resolv.conf
// is written.
func (c *Configuration) Configured() <-chan struct{} { return c.configured }

// Wait parks until the network is configured, as Configured says. It reports whether it was not
// when Wait was called, so that what failed for want of an address or a route deserves another try.
func (c *Configuration) Wait() bool {
	if !c.pending.Load() {
		return false
	}
	<-c.configured
	return true
}

func (c *Configuration) link(nic tcpip.NICID) *link {
	for _, l := range c.links {
		if l.nic == nic {
			return l
		}
	}
	return nil
}

// update brings everything up to date that the links together decide: routes, files, time servers.
// Every change of a link ends with it.
func (c *Configuration) update() {
	c.updateRoutes()
	c.files.update()
	c.ntp.update()
	if c.settled {
		return
	}
	all, later := true, false
	for _, l := range c.links {
		switch l.progress() {
		case routed:
			c.settle()
			return
		case routed6:
			later = true
			fallthrough
		case waiting:
			all = false
		}
	}
	if all {
		c.settle()
	} else if later && !c.graced {
		c.graced = true
		c.patience.set(grace, c.settle)
	}
}

// settle ends the waiting for the configuration.
func (c *Configuration) settle() {
	if !c.settled {
		c.settled = true
		c.patience.stop()
		c.pending.Store(false)
		close(c.configured)
	}
}

func (c *Configuration) now() tcpip.MonotonicTime { return c.stack.Clock().NowMonotonic() }

// jitter returns d, give or take a quarter.
func (c *Configuration) jitter(d time.Duration) time.Duration {
	return d*3/4 + c.below(d/2)
}

// below returns a random duration below d, which is positive.
func (c *Configuration) below(d time.Duration) time.Duration {
	return time.Duration(c.random.Uint64() % uint64(d))
}
