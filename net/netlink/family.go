package netlink

import (
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"

	"github.com/goshawk-os/goshawk/net/netlink/inventory"
	"github.com/goshawk-os/goshawk/net/netstack"
	"github.com/goshawk-os/goshawk/net/socket"
)

// A Family makes AF_NETLINK sockets over one stack.
type Family struct {
	stack *netstack.Stack
	// Sockets lists the program's sockets for NETLINK_SOCK_DIAG. It is set before the first socket is
	// made, or not at all.
	Sockets inventory.Sockets

	buses [unix.NETLINK_GENERIC + 1]*bus // by protocol

	// changes makes one change at a time, as Linux's RTNL lock does. It guards what follows.
	changes sync.Mutex
	known   *state // what subscribers were told last; nil while there are none
	given   map[routeKey]routeGiven
	expiry  map[addressKey]tcpip.Timer

	pending atomic.Bool // a call of publish is on its way
}

// minGroups is how many multicast groups a protocol has at least: as many as struct sockaddr_nl has
// bits for.
const minGroups = 32

// New returns the family of sockets for s.
func New(s *netstack.Stack) *Family {
	f := &Family{stack: s, given: make(map[routeKey]routeGiven), expiry: make(map[addressKey]tcpip.Timer)}
	for _, b := range []*bus{
		{number: unix.NETLINK_ROUTE, groups: unix.RTNLGRP_IPV6_ACADDR, handle: f.route},
		{number: unix.NETLINK_SOCK_DIAG, groups: minGroups, handle: f.diagnose},
		{number: unix.NETLINK_KOBJECT_UEVENT, groups: minGroups, handle: refuse},
		{number: unix.NETLINK_GENERIC, groups: minGroups, handle: generic},
	} {
		b.family, b.conns, b.joined = f, make(map[uint32]*conn), make(map[*conn]struct{})
		f.buses[b.number] = b
	}
	s.WatchLinks(func(*netstack.Link) { f.Changed() })
	return f
}

// Socket implements socket.Family.
func (f *Family) Socket(kind, protocol int) (socket.Socket, syscall.Errno) {
	if kind != syscall.SOCK_RAW && kind != syscall.SOCK_DGRAM {
		return nil, syscall.ESOCKTNOSUPPORT
	}
	if uint(protocol) >= uint(len(f.buses)) || f.buses[protocol] == nil {
		return nil, syscall.EPROTONOSUPPORT
	}
	return newConn(f.buses[protocol], kind), 0
}

// A bus is one protocol of AF_NETLINK: what its sockets share.
type bus struct {
	family *Family
	number int
	groups int // multicast groups have the numbers 1 to groups
	handle func(*request) syscall.Errno

	mu     sync.Mutex                                 // taken before a conn's
	conns  map[uint32]*conn                           // that have a port
	last   uint32                                     // distance of the port that was chosen last
	joined map[*conn]struct{}                         // that listen to a group
	member [unix.RTNLGRP_IPV6_ACADDR + 1]atomic.Int32 // how many sockets listen to each group
}

// bind gives c a port: the one asked for, or one of the kernel's choice, the process's ID first
// (netlink(7)).
func (b *bus) bind(c *conn, port uint32) syscall.Errno {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.released {
		return syscall.EBADF
	}
	if c.port.Load() != 0 {
		if port != 0 && port != c.port.Load() {
			return syscall.EINVAL
		}
		return 0
	}
	if port != 0 && b.conns[port] != nil {
		return syscall.EADDRINUSE
	}
	if port == 0 {
		port = uint32(syscall.Getpid())
		for b.conns[port] != nil {
			b.last++
			port = -(4096 + b.last) // Linux's are negative as a pid, too
		}
	}
	b.conns[port] = c
	c.port.Store(port)
	return 0
}

// release takes c's port back, and its memberships. It gets none any more, whoever is still at it.
func (b *bus) release(c *conn) {
	b.mu.Lock()
	if port := c.port.Load(); port != 0 && b.conns[port] == c {
		delete(b.conns, port)
	}
	changed := b.regroup(c, 0)
	c.released = true
	b.mu.Unlock()
	b.joinedOrLeft(changed)
}

// join has c leave some groups, and then listen to others. Bit 0 is group 1.
func (b *bus) join(c *conn, leave, enter uint64) {
	b.mu.Lock()
	changed := !c.released && b.regroup(c, c.groups.Load()&^leave|enter)
	b.mu.Unlock()
	b.joinedOrLeft(changed)
}

// regroup makes groups the groups that c listens to, and reports whether they were others. The caller
// holds b.mu.
func (b *bus) regroup(c *conn, groups uint64) bool {
	old := c.groups.Swap(groups)
	if b.joined[c] = struct{}{}; groups == 0 {
		delete(b.joined, c)
	}
	for g := 1; g <= b.groups; g++ {
		b.member[g].Add(int32(groups>>(g-1)&1) - int32(old>>(g-1)&1))
	}
	return old != groups
}

// joinedOrLeft follows a change of what sockets listen to. The caller does not hold b.mu.
func (b *bus) joinedOrLeft(changed bool) {
	if changed && b.number == unix.NETLINK_ROUTE {
		b.family.watched()
	}
}

// heard reports whether any socket listens to the group.
func (b *bus) heard(group int) bool { return b.member[group].Load() > 0 }

// watched reports whether any socket listens to any group that publish serves.
func (b *bus) watched() bool {
	for _, g := range []int{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE} {
		if b.heard(g) {
			return true
		}
	}
	return false
}

// multicast sends a datagram to all that listen to its group, but not to except. The receivers share
// its bytes.
func (b *bus) multicast(d datagram, except *conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.joined {
		if c != except && c.groups.Load()>>(d.group-1)&1 != 0 {
			c.deliver(d)
		}
	}
}

// unicast sends a datagram to the socket with that port.
func (b *bus) unicast(d datagram, port uint32) syscall.Errno {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.conns[port]
	if c == nil {
		return syscall.ECONNREFUSED
	}
	if !c.deliver(d) {
		return syscall.EAGAIN
	}
	return 0
}

// refuse is the kernel's side of a protocol that takes no requests.
func refuse(*request) syscall.Errno { return syscall.EOPNOTSUPP }
