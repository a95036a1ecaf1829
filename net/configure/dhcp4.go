package configure

import (
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// States of the client (RFC 2131, section 4.4). INIT and REBOOTING do not occur: it begins with
// SELECTING at once, without the random delay of 1 to 10 s, and remembers no address over a boot.
//
//	           DISCOVER           OFFER           ACK           T1            T2
//	(start) ------------> selecting --> requesting --> bound -----> renewing ----> rebinding
//	                      ^   ^  |ACK (rapid commit)  ^ ^   ACK |              ACK |   |
//	                      |   |  +--------------------+ +-------+------------------+   |
//	                      |   +-- pausing <-- NAK, address in use                      |
//	                      +------------------------- NAK, end of the lease ------------+
type state4 int

const (
	selecting state4 = iota
	requesting
	bound
	renewing
	rebinding
	pausing
)

const (
	// The first retransmission comes after a second and not after the four of RFC 2131, section
	// 4.1, since the network is virtual and a boot should be fast; then the times double as there.
	firstRetry = time.Second
	lastRetry  = 64 * time.Second
	// maxRequests is how often an offered address is asked for.
	maxRequests = 4
	// minRenewRetry is the least time between requests for a longer lease (RFC 2131, section 4.4.5).
	minRenewRetry = time.Minute
	// declinePause is the least time between a DECLINE and the next DISCOVER (RFC 2131, section 3.1).
	declinePause = 10 * time.Second
)

// A dhcp4 is a client of DHCPv4. It belongs to the jobs.
type dhcp4 struct {
	link    *link
	state   state4
	xid     uint32
	began   tcpip.MonotonicTime // this attempt at an address
	sent    tcpip.MonotonicTime // the request that was sent last
	tries   int                 // messages sent in this state
	refused int                 // NAKs and conflicts since the last good lease
	offer   *lease              // when requesting
	lease   *lease              // that is in use, nil if none
	until   tcpip.MonotonicTime // when the lease ends
	retry   timer
	expiry  timer
	silence timer // no answer yet
	unfit   string
	tap     tap
	socket  *socket // bound to the client's port when renewing, so that answers find it open
	dup     *conflict
}

func newDHCP4(l *link) *dhcp4 {
	d := &dhcp4{link: l, tap: tap{link: l, port: dhcpClientPort}}
	for _, t := range []*timer{&d.retry, &d.expiry, &d.silence} {
		t.jobs = &l.c.jobs
	}
	d.tap.receive = func(data []byte) { l.c.jobs.tryPost(func() { d.receive(data) }) }
	return d
}

func (d *dhcp4) start() {
	d.silence.set(patience, d.warnSilence)
	d.discover()
}

// discover looks for a server.
func (d *dhcp4) discover() {
	d.state, d.tries, d.offer = selecting, 0, nil
	d.xid = d.link.c.random.Uint32()
	d.began = d.link.c.now()
	d.tap.start()
	d.sendDiscover()
}

func (d *dhcp4) sendDiscover() {
	d.broadcast(request4{kind: dhcpDiscover})
	d.again(d.sendDiscover)
}

// again has f called after a time that doubles with each message.
func (d *dhcp4) again(f func()) {
	d.retry.set(d.link.c.jitter(min(firstRetry<<min(d.tries, 6), lastRetry)), f)
	d.tries++
}

func (d *dhcp4) sendRequest() {
	if d.tries == maxRequests {
		d.discover()
		return
	}
	d.broadcast(request4{kind: dhcpRequest, requested: d.offer.prefix.Addr(), server: d.offer.server})
	d.again(d.sendRequest)
}

// broadcast completes a message and sends it to all servers.
func (d *dhcp4) broadcast(r request4) {
	source := netip.IPv4Unspecified()
	if r.current.IsValid() {
		source = r.current
	}
	d.link.broadcast(source, dhcpClientPort, dhcpServerPort, d.complete(r))
}

func (d *dhcp4) complete(r request4) []byte {
	r.xid, r.mac, r.hostname = d.xid, d.link.mac, d.link.c.files.given
	d.sent = d.link.c.now()
	r.secs = uint16(min(d.sent.Sub(d.began)/time.Second, 1<<16-1))
	return r.encode()
}

// receive takes a message that arrived for the client.
func (d *dhcp4) receive(data []byte) {
	r, ok := parseReply4(data, d.link.mac)
	if !ok || r.xid != d.xid {
		return
	}
	switch {
	case d.state == bound || d.state == pausing:
	case r.kind == dhcpNak:
		d.receiveNak(&r)
	case r.kind == dhcpOffer && d.state == selecting:
		if l := d.accept(&r); l != nil {
			d.state, d.tries, d.offer = requesting, 0, l
			d.sendRequest()
		}
	case r.kind == dhcpAck && d.state == selecting:
		if _, rapid := r.options[optRapidCommit]; rapid {
			d.bind(d.accept(&r))
		}
	case r.kind == dhcpAck && d.state == requesting:
		if l := d.accept(&r); l != nil && l.server == d.offer.server {
			d.bind(l)
		}
	case r.kind == dhcpAck:
		d.bind(d.accept(&r))
	}
}

// accept returns the lease that an answer holds, nil if it is unfit for use.
func (d *dhcp4) accept(r *reply4) *lease {
	l, reason := newLease(r)
	if l == nil {
		d.unfit = reason
	}
	return l
}

func (d *dhcp4) receiveNak(r *reply4) {
	from := r.addr(optServerID)
	switch {
	case d.state == selecting, d.state != rebinding && from != d.current().server:
		return
	case d.state == requesting:
		d.link.warn("DHCP server " + from.String() + " refuses the address " + d.offer.prefix.Addr().String() +
			" which it has offered; asking again")
	default:
		d.link.warn("DHCP server " + from.String() + " takes back the address " + d.lease.prefix.Addr().String() +
			"; connections are lost, asking for another")
	}
	d.drop()
	d.pause(0)
}

// current returns the lease that is in use or being asked for.
func (d *dhcp4) current() *lease {
	if d.state == requesting {
		return d.offer
	}
	return d.lease
}

// pause waits before it begins anew: at least as long as given, and longer each time, so that a
// server that refuses always is not asked without pause.
func (d *dhcp4) pause(least time.Duration) {
	d.state = pausing
	d.tap.stop()
	wait := time.Duration(0)
	if d.refused > 0 {
		wait = min(firstRetry<<min(d.refused-1, 6), lastRetry)
	}
	d.refused++
	if wait = max(wait, least); wait == 0 {
		d.discover()
		return
	}
	d.retry.set(d.link.c.jitter(wait)+least/4, d.discover)
}

// bind takes a lease into use, unless it is nil.
func (d *dhcp4) bind(l *lease) {
	if l == nil {
		return
	}
	old := d.lease
	if old != nil && old.prefix != l.prefix {
		d.drop()
		old = nil
	}
	lifetimes := stack.AddressLifetimes{}
	d.until = d.sent.Add(l.lifetime)
	if l.lifetime != infinite {
		lifetimes.PreferredUntil, lifetimes.ValidUntil = d.until, d.until
	}
	if old != nil {
		_ = d.link.c.stack.SetAddressLifetimes(d.link.nic, toStack(l.prefix.Addr()), lifetimes)
	} else if err := d.link.addAddress(l.prefix, lifetimes); err != nil {
		if _, duplicate := err.(*tcpip.ErrDuplicateAddress); !duplicate {
			d.link.warn("address " + l.prefix.String() + " from DHCP server " + l.server.String() + " cannot be set: " + err.String())
			d.pause(declinePause)
			return
		}
	}
	d.lease, d.offer, d.state, d.unfit = l, nil, bound, ""
	d.silence.stop()
	d.tap.stop()
	d.closeSocket()
	d.retry.stop()
	d.expiry.stop()
	if l.lifetime != infinite {
		d.retry.set(d.until.Sub(d.link.c.now())-(l.lifetime-l.renew), d.renew)
		d.expiry.set(d.until.Sub(d.link.c.now()), d.expire)
	}
	if old == nil {
		d.dup = newConflict(d.link, l.prefix.Addr(), d.decline)
		d.dup.start()
	} else {
		d.refused = 0
	}
	d.link.updateMTU()
	d.link.c.update()
}

// drop ends the use of the lease, if there is one.
func (d *dhcp4) drop() {
	d.retry.stop()
	d.expiry.stop()
	d.closeSocket()
	if d.lease == nil {
		return
	}
	d.dup.stop()
	if a := d.lease.prefix.Addr(); d.link.static[a] == nil {
		_ = d.link.c.stack.RemoveAddress(d.link.nic, toStack(a))
	}
	d.lease = nil
	d.link.updateMTU()
	d.link.c.update()
}

func (d *dhcp4) closeSocket() {
	d.socket.close()
	d.socket = nil
}

// renew asks the server for a longer lease.
func (d *dhcp4) renew() {
	d.extend()
	d.state = renewing
	d.sendRenew()
}

// extend prepares for asking for a longer lease.
func (d *dhcp4) extend() {
	d.xid = d.link.c.random.Uint32()
	d.began = d.link.c.now()
	d.tap.start()
	// Without the socket, when a program has the port, the answer comes all the same.
	d.socket, _ = d.link.c.openSocket(d.link.nic, tcpip.FullAddress{Addr: toStack(d.lease.prefix.Addr()), Port: dhcpClientPort}, header.IPv4ProtocolNumber, nil)
}

func (d *dhcp4) sendRenew() {
	left := d.until.Sub(d.link.c.now()) - (d.lease.lifetime - d.lease.rebind)
	if left <= 0 || d.socket == nil {
		d.rebind()
		return
	}
	r := request4{kind: dhcpRequest, current: d.lease.prefix.Addr()}
	d.socket.send(d.complete(r), tcpip.FullAddress{NIC: d.link.nic, Addr: toStack(d.lease.server), Port: dhcpServerPort})
	d.retry.set(min(left, max(left/2, minRenewRetry)), d.sendRenew)
}

// rebind asks any server for a longer lease.
func (d *dhcp4) rebind() {
	d.state = rebinding
	d.sendRebind()
}

func (d *dhcp4) sendRebind() {
	d.broadcast(request4{kind: dhcpRequest, current: d.lease.prefix.Addr()})
	d.retry.set(max(d.until.Sub(d.link.c.now())/2, minRenewRetry), d.sendRebind)
}

// expire ends a lease that was not renewed.
func (d *dhcp4) expire() {
	d.link.warn("no DHCP server has renewed the address " + d.lease.prefix.Addr().String() + ", which was from " +
		d.lease.server.String() + "; IPv4 has no address until one answers")
	d.drop()
	d.discover()
}

// decline refuses an address that another host uses.
func (d *dhcp4) decline(other tcpip.LinkAddress) {
	l := d.lease
	d.link.warn("address " + l.prefix.Addr().String() + " from DHCP server " + l.server.String() +
		" is used by " + other.String() + "; asking for another")
	d.drop()
	d.xid = d.link.c.random.Uint32()
	d.began = d.link.c.now()
	d.broadcast(request4{kind: dhcpDecline, requested: l.prefix.Addr(), server: l.server})
	d.pause(declinePause)
}

// reconnect looks for a server now that the link is up: with a lease that was held when the link went
// down, whether it still holds.
func (d *dhcp4) reconnect(wasDown bool) {
	switch {
	case d.state == bound && wasDown:
		d.extend()
		d.rebind()
	case d.state == selecting:
		d.discover()
	}
}

// warnSilence tells that there is no lease for want of a server.
func (d *dhcp4) warnSilence() {
	const advice = "; still asking, IPv4 has no address. A fixed one is given by net=addr=..."
	switch {
	case d.lease != nil || d.link.hasIPv6():
	case d.unfit != "":
		d.link.warn("DHCP's answer cannot be used: " + d.unfit + advice)
	case d.link.ndp.managed:
		d.link.warn("no DHCP answer, and IPv6 addresses are from DHCPv6 alone, which this machine does not ask for them" + advice)
	default:
		d.link.warn("no DHCP answer" + advice)
	}
}
