package configure

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"strings"
	"time"

	"github.com/goshawk-os/goshawk/net/configure/options"
)

// Limits on what is taken from one answer.
const (
	maxServers = 4
	maxDomains = 8
	maxRoutes  = 32
	// minLease keeps a server from having us renew without pause.
	minLease = 10 * time.Second
	// minMTU is what IPv6, which shares the link, needs (RFC 8200, section 5).
	minMTU = 1280
)

// information is what a link's network tells beside addresses and routes.
type information struct {
	dns    []netip.Addr
	search []string
	ntp    []netip.Addr
}

// add adds what is not there yet.
func (i *information) add(more information) {
	i.dns = appendNew(i.dns, more.dns...)
	i.search = appendNew(i.search, more.search...)
	i.ntp = appendNew(i.ntp, more.ntp...)
}

// A lease is what a DHCP server has given, checked.
type lease struct {
	information
	server   netip.Addr
	prefix   netip.Prefix // the address with its subnet
	routes   []route
	mtu      int // bytes; 0: not told
	hostname string
	domain   string
	// From the time of the request on: when to ask the server again (T1), when to ask any server
	// (T2), when the address must not be used any more. All are infinite if lifetime is.
	renew, rebind, lifetime time.Duration
}

// newLease checks an OFFER or ACK. reason says why it cannot be used, "" if it can.
func newLease(r *reply4) (l *lease, reason string) {
	l = &lease{server: r.addr(optServerID), lifetime: r.duration(optLeaseTime)}
	if !server(l.server) {
		return nil, "it does not say which server it comes from"
	}
	if !server(r.address) {
		return nil, "it gives " + r.address.String() + ", which is no host's address"
	}
	if l.lifetime < minLease {
		return nil, "its lease is shorter than " + minLease.String()
	}
	length, ok := maskLength(r)
	if !ok {
		return nil, "its subnet mask is none"
	}
	l.prefix = netip.PrefixFrom(r.address, length)
	if length < 31 && (r.address == l.prefix.Masked().Addr() || r.address == options.LastAddress(l.prefix)) {
		return nil, "it gives " + r.address.String() + ", which is no host's address in " + l.prefix.Masked().String()
	}
	l.setTimes(r.duration(optRenewal), r.duration(optRebinding))
	l.routes = leaseRoutes(r, l.prefix)
	l.dns = servers(r.addrs(optDNS), maxServers)
	l.ntp = servers(r.addrs(optNTP), maxServers)
	l.domain = cleanDomain(string(r.options[optDomainName]))
	l.search = parseDomains(r.options[optDomainSearch], maxDomains)
	if len(l.search) == 0 && l.domain != "" {
		l.search = []string{l.domain}
	}
	if v := r.options[optInterfaceMTU]; len(v) == 2 {
		if mtu := int(binary.BigEndian.Uint16(v)); mtu >= minMTU {
			l.mtu = mtu
		}
	}
	if name := strings.TrimRight(string(r.options[optHostName]), ".\x00"); options.CheckHostname(name) == nil {
		l.hostname = name
	}
	return l, ""
}

// maskLength returns the length of the subnet's prefix. A server that gives no mask means the class
// of the address.
func maskLength(r *reply4) (length int, ok bool) {
	v, there := r.options[optSubnetMask]
	if !there {
		switch first := r.address.As4()[0]; {
		case first < 128:
			return 8, true
		case first < 192:
			return 16, true
		}
		return 24, true
	}
	if len(v) != 4 {
		return 0, false
	}
	mask := binary.BigEndian.Uint32(v)
	length = bits.LeadingZeros32(^mask)
	return length, length > 0 && bits.OnesCount32(mask) == length
}

// setTimes sets the times from what the server says of T1 and T2, which is taken if it is in order.
func (l *lease) setTimes(renew, rebind time.Duration) {
	l.renew, l.rebind = renew, rebind
	switch {
	case l.lifetime == infinite:
		l.renew, l.rebind = infinite, infinite
	case renew < minLease/2 || rebind <= renew || l.lifetime <= rebind:
		l.renew, l.rebind = l.lifetime/2, l.lifetime/8*7
	}
}

// leaseRoutes returns a lease's routes, that of its subnet first. Classless routes replace the
// router (RFC 3442).
func leaseRoutes(r *reply4, prefix netip.Prefix) []route {
	routes := []route{{to: prefix.Masked()}}
	if v, ok := r.options[optStaticRoutes]; ok {
		if more, ok := parseRoutes(v, prefix.Addr()); ok {
			return appendNew(routes, more...)
		}
	}
	for _, router := range servers(r.addrs(optRouter), 1) {
		if router != prefix.Addr() {
			routes = append(routes, throughRouter(router))
		}
	}
	return routes
}

// parseRoutes reads classless static routes: for each the length of the prefix, as many of its bytes
// as are significant, and the router, which is 0.0.0.0 if there is none.
func parseRoutes(v []byte, own netip.Addr) (routes []route, ok bool) {
	for len(v) > 0 && len(routes) < maxRoutes {
		length := int(v[0])
		n := 1 + (length+7)/8
		if length > 32 || len(v) < n+4 {
			return nil, false
		}
		var to [4]byte
		copy(to[:], v[1:n])
		router := netip.AddrFrom4([4]byte(v[n:]))
		v = v[n+4:]
		destination := netip.PrefixFrom(netip.AddrFrom4(to), length).Masked()
		if to[0] >= 224 || length >= 8 && (to[0] == 0 || to[0] == 127) || router == own {
			continue
		}
		switch {
		case server(router):
			routes = append(routes, route{to: destination, router: router})
		case router.IsUnspecified():
			routes = append(routes, route{to: destination})
		}
	}
	return routes, true
}
