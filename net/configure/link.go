package configure

import (
	"net/netip"
	"slices"
	"strconv"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/goshawk-os/goshawk/net/configure/options"
)

// A link is one of the links that are configured. It belongs to the jobs.
type link struct {
	c       *Configuration
	nic     tcpip.NICID
	name    string
	mac     tcpip.LinkAddress
	maxMTU  int // of the device, in bytes
	mtu     int // as set now
	options options.Link

	static   map[netip.Addr]*conflict // the IPv4 addresses of the options that are in use
	dhcp     *dhcp4                   // nil without DHCP
	ndp      ndp
	info     *dhcp6
	down     bool // has been, since it was up last
	warnings int
}

func newLink(c *Configuration, o Link) *link {
	l := &link{c: c, nic: o.NIC, name: o.Name, options: o.Options, static: make(map[netip.Addr]*conflict)}
	if info, ok := c.stack.SingleNICInfo(o.NIC); ok {
		l.mac = info.LinkAddress
		l.maxMTU = int(info.MTU)
		l.mtu = l.maxMTU
	}
	l.ndp.init(l)
	l.info = newDHCP6(l)
	if o.Options.DHCP {
		l.dhcp = newDHCP4(l)
	}
	return l
}

// start sets what the options say and begins with the rest.
func (l *link) start() {
	l.configureIPv6()
	if l.dhcp != nil {
		l.dhcp.start()
	}
	if o := l.options.MTU; o > l.maxMTU {
		l.warn("mtu=" + strconv.Itoa(o) + " is more than the " + strconv.Itoa(l.maxMTU) + " bytes that the device can do; it stays at that")
	}
	l.updateMTU()
	for _, p := range l.options.Addresses {
		l.addStatic(p)
	}
}

// configureIPv6 says whether router advertisements are heeded. The stack has begun to ask for them.
func (l *link) configureIPv6() {
	e, err := l.c.stack.GetNetworkEndpoint(l.nic, header.IPv6ProtocolNumber)
	if err != nil {
		return
	}
	n, ok := e.(ipv6.NDPEndpoint)
	if !ok {
		return
	}
	configuration := n.NDPConfigurations()
	configuration.AutoGenTempGlobalAddresses = false
	ignore := l.options.None || l.options.IPv6()
	if ignore {
		configuration.HandleRAs = ipv6.HandlingRAsDisabled
	}
	n.SetNDPConfigurations(configuration)
	if ignore {
		// It stops asking only when the link goes down.
		_ = l.c.stack.DisableNIC(l.nic)
		_ = l.c.stack.EnableNIC(l.nic)
	}
}

// addStatic adds an address of the options.
func (l *link) addStatic(p netip.Prefix) {
	if err := l.addAddress(p, stack.AddressLifetimes{}); err != nil {
		l.warn("addr=" + p.String() + " cannot be set: " + err.String())
		return
	}
	if p.Addr().Is6() {
		return // the stack looks for duplicates itself
	}
	k := newConflict(l, p.Addr(), func(other tcpip.LinkAddress) {
		l.warn("address " + p.Addr().String() + " is also used by " + other.String() +
			", connections may fail; give one of the two machines another addr=")
	})
	l.static[p.Addr()] = k
	k.start()
}

func (l *link) addAddress(p netip.Prefix, lifetimes stack.AddressLifetimes) tcpip.Error {
	return l.c.stack.AddProtocolAddress(l.nic, tcpip.ProtocolAddress{
		Protocol:          protocol(p.Addr()),
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: toStack(p.Addr()), PrefixLen: p.Bits()},
	}, stack.AddressProperties{Lifetimes: lifetimes})
}

// updateMTU sets the MTU that the options say, or else what DHCP says, or else the device's.
func (l *link) updateMTU() {
	mtu := l.maxMTU
	if l.options.MTU != 0 {
		mtu = min(mtu, l.options.MTU)
	} else if l.lease() != nil && l.lease().mtu != 0 {
		mtu = min(mtu, l.lease().mtu)
	}
	if mtu != l.mtu && l.c.stack.SetNICMTU(l.nic, uint32(mtu)) == nil {
		l.mtu = mtu
	}
}

// lease returns what DHCP has given, nil if there is nothing.
func (l *link) lease() *lease {
	if l.dhcp == nil {
		return nil
	}
	return l.dhcp.lease
}

// addresses returns the addresses that stay as long as the configuration does: those of the options
// and of DHCP.
func (l *link) addresses() []netip.Addr {
	var list []netip.Addr
	if le := l.lease(); le != nil {
		list = append(list, le.prefix.Addr())
	}
	for _, p := range l.options.Addresses {
		list = appendNew(list, p.Addr())
	}
	return list
}

// information returns the link's name servers, domains and time servers, with each kind from the
// options if they say any.
func (l *link) information() information {
	var i information
	if le := l.lease(); le != nil {
		i.add(le.information)
	}
	i.add(l.ndp.information())
	i.add(l.info.information)
	o := l.options
	if len(o.DNS) > 0 {
		i.dns = slices.Clone(o.DNS)
	}
	if o.Domain != "" || len(o.Search) > 0 {
		i.search = o.Search
		if o.Domain != "" {
			i.search = append([]string{o.Domain}, o.Search...)
		}
	}
	if len(o.NTP) > 0 {
		i.ntp = o.NTP
	}
	for n, a := range i.dns {
		if a.Is6() && a.IsLinkLocalUnicast() {
			i.dns[n] = a.WithZone(l.name)
		}
	}
	return i
}

// domain returns the machine's domain as far as the link knows it.
func (l *link) domain() string {
	if l.options.Domain != "" {
		return l.options.Domain
	}
	if le := l.lease(); le != nil {
		return le.domain
	}
	return ""
}

// How far a link's configuration is, for Configuration.update.
type progress int

const (
	waiting progress = iota // for an address
	routed6                 // IPv6 can be used, IPv4 is yet to come
	routed                  // all there is, with a default router
	done                    // all there is
)

func (l *link) progress() progress {
	if l.dhcp != nil && l.dhcp.lease == nil {
		if l.hasIPv6() && len(l.information().dns) > 0 {
			return routed6
		}
		return waiting
	}
	for _, p := range l.options.Addresses {
		if p.Addr().Is6() && !l.ndp.checked[p.Addr()] {
			return waiting
		}
	}
	if hasDefault(l.routes()) {
		return routed
	}
	return done
}

// hasIPv6 reports whether IPv6 has found a default router and an address.
func (l *link) hasIPv6() bool {
	info, ok := l.c.stack.SingleNICInfo(l.nic)
	if !ok || !hasDefault(l.ndp.routes) {
		return false
	}
	for _, a := range info.ProtocolAddresses {
		if a.Protocol == header.IPv6ProtocolNumber && !fromStack(a.AddressWithPrefix.Address).IsLinkLocalUnicast() {
			return true
		}
	}
	return false
}

// warn writes a warning about the link.
func (l *link) warn(text string) {
	if l.warnings++; l.warnings > maxWarnings {
		return
	}
	if l.warnings == maxWarnings {
		text += " (this was the last warning about " + l.name + ")"
	}
	l.c.options.Warn(l.name + ": " + text)
}
