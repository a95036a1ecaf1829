// Package options reads what the kernel's command line says about the network: the options net= and
// hostname= (docs/design.md section 7). The kernel reads them, and so does goshawk run before it
// boots, to tell of mistakes early; hence the package imports little.
//
// The value of net= consists of words separated by commas. It configures one link; the first net=
// is for eth0, the next for eth1 and so on. A link without one is configured by DHCP.
//
//	dhcp                IPv4 by DHCP; the default unless there is an addr=
//	addr=ADDRESS/BITS   an address and its subnet, IPv4 or IPv6; any number
//	gw=ADDRESS          the default router; one of IPv4 and one of IPv6
//	dns=ADDRESS         a name server; up to three
//	domain=NAME         the machine's domain, which is also searched for short host names
//	search=NAME         a further domain to be searched; any number
//	ntp=ADDRESS         a time server; any number
//	mtu=BYTES           the longest IP packet
//	none                no configuration at all
//
// What is given wins over what DHCP and routers say. IPv6 configures itself from router
// advertisements unless there is an IPv6 addr=.
package options

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// MaxDNS is how many name servers resolvers use (resolv.conf(5)).
const MaxDNS = 3

// Limits of an MTU in bytes: what every IPv4 host must take (RFC 791, section 3.1), what every IPv6
// link must carry (RFC 8200, section 5), and what the length of an IPv4 packet can say.
const (
	minMTU  = 576
	minMTU6 = 1280
	maxMTU  = 65535
)

// MaxHostname is the length in bytes of the longest host name (HOST_NAME_MAX, gethostname(2)).
const MaxHostname = 64

// A Link is how one link is to be configured.
type Link struct {
	None      bool           // not at all: then the rest is zero
	DHCP      bool           // IPv4 by DHCP
	Addresses []netip.Prefix // with all bits of the address
	Gateways  []netip.Addr   // at most one of each family
	DNS       []netip.Addr   // at most MaxDNS
	NTP       []netip.Addr
	Domain    string   // "" if none is given; without a dot at the end
	Search    []string // further domains
	MTU       int      // bytes; 0 if none is given
}

// Default is how a link without net= is configured.
func Default() Link { return Link{DHCP: true} }

// IPv6 reports whether an IPv6 address is given, and so IPv6 does not configure itself.
func (l *Link) IPv6() bool {
	for _, a := range l.Addresses {
		if a.Addr().Is6() {
			return true
		}
	}
	return false
}

// Gateway returns the default router of a family that is given, the zero Addr if none is.
func (l *Link) Gateway(ipv6 bool) netip.Addr {
	for _, g := range l.Gateways {
		if g.Is6() == ipv6 {
			return g
		}
	}
	return netip.Addr{}
}

// Parse reads the value of net=. Errors name the word and what is wrong with it.
func Parse(value string) (Link, error) {
	var l Link
	for word := range strings.SplitSeq(value, ",") {
		if err := l.add(word); err != nil {
			return Link{}, errors.New("net=" + value + ": " + strconv.Quote(word) + ": " + err.Error())
		}
	}
	if err := l.check(strings.Contains(value, ",")); err != nil {
		return Link{}, errors.New("net=" + value + ": " + err.Error())
	}
	if len(l.Addresses) == 0 && !l.None {
		l.DHCP = true
	}
	return l, nil
}

func (l *Link) add(word string) (err error) {
	name, value, hasValue := strings.Cut(word, "=")
	switch name {
	case "dhcp", "none":
		if hasValue {
			return errors.New("takes no value")
		}
		if name == "dhcp" {
			l.DHCP = true
		} else {
			l.None = true
		}
		return nil
	case "addr", "gw", "dns", "domain", "search", "ntp", "mtu":
		if value == "" {
			return errors.New("lacks a value; write " + name + "=...")
		}
	case "":
		return errors.New("empty word")
	default:
		return errors.New("unknown word; there are dhcp, addr=, gw=, dns=, domain=, search=, ntp=, mtu= and none")
	}
	switch name {
	case "addr":
		err = l.addAddress(value)
	case "gw":
		err = l.addGateway(value)
	case "dns":
		if len(l.DNS) == MaxDNS {
			return errors.New("resolvers use " + strconv.Itoa(MaxDNS) + " name servers and no more")
		}
		err = addServer(&l.DNS, value)
	case "ntp":
		err = addServer(&l.NTP, value)
	case "domain":
		if l.Domain != "" {
			return errors.New("second domain; further ones are search=")
		}
		l.Domain, err = domain(value)
	case "search":
		var d string
		d, err = domain(value)
		l.Search = append(l.Search, d)
	case "mtu":
		l.MTU, err = strconv.Atoi(value)
		if err != nil || l.MTU < minMTU || l.MTU > maxMTU {
			err = errors.New("not a number of bytes from " + strconv.Itoa(minMTU) + " to " + strconv.Itoa(maxMTU))
		}
	}
	return err
}

func (l *Link) addAddress(value string) error {
	if _, err := netip.ParseAddr(value); err == nil {
		return errors.New("lacks the length of the subnet's prefix; write addr=" + value + "/BITS")
	}
	p, err := netip.ParsePrefix(value)
	if err != nil {
		return errors.New("not an address with the length of its subnet's prefix, like 10.0.2.15/24 or fd00::2/64")
	}
	a := p.Addr()
	if err := unicast(a); err != nil {
		return err
	}
	if a.Is4() && p.Bits() < 31 {
		switch a {
		case p.Masked().Addr():
			return errors.New("is the address of the subnet " + p.String() + " and not of a host in it")
		case LastAddress(p):
			return errors.New("is the broadcast address of the subnet " + p.Masked().String() + " and not of a host in it")
		}
	}
	if p.Bits() == 0 {
		return errors.New("a subnet of all addresses leaves none for routers")
	}
	for _, other := range l.Addresses {
		if other.Addr() == a {
			return errors.New("is given twice")
		}
	}
	l.Addresses = append(l.Addresses, p)
	return nil
}

func (l *Link) addGateway(value string) error {
	g, err := address(value)
	if err != nil {
		return err
	}
	if l.Gateway(g.Is6()).IsValid() {
		return errors.New("second default router of one family")
	}
	l.Gateways = append(l.Gateways, g)
	return nil
}

// check finds words that contradict each other.
func (l *Link) check(several bool) error {
	if l.None && several {
		return errors.New("none goes with no other word")
	}
	for _, g := range l.Gateways {
		if err := l.checkGateway(g); err != nil {
			return err
		}
	}
	if l.MTU != 0 && l.MTU < minMTU6 && l.IPv6() {
		return errors.New("mtu=" + strconv.Itoa(l.MTU) + ": IPv6 needs at least " + strconv.Itoa(minMTU6) + " bytes")
	}
	return nil
}

// checkGateway tells of a router that no host with these addresses can reach. Where DHCP may add an
// address nothing is known, and IPv6 routers are known by their link-local addresses.
func (l *Link) checkGateway(g netip.Addr) error {
	subnets := ""
	for _, p := range l.Addresses {
		if p.Addr() == g {
			return errors.New("gw=" + g.String() + ": is this machine's own address")
		}
		if p.Addr().Is6() != g.Is6() {
			continue
		}
		if p.Contains(g) || p.IsSingleIP() {
			return nil
		}
		subnets += ", " + p.Masked().String()
	}
	switch {
	case g.Is4() && l.DHCP, g.IsLinkLocalUnicast(), g.Is6() && subnets == "", len(l.Addresses) == 0:
		return nil
	case subnets == "":
		return errors.New("gw=" + g.String() + ": there is no address of the same family")
	}
	return errors.New("gw=" + g.String() + ": not in the subnet" + subnets[1:] + " of the link, so it cannot be reached; correct gw= or the prefix length of addr=")
}

func addServer(list *[]netip.Addr, value string) error {
	a, err := address(value)
	if err != nil {
		return err
	}
	for _, other := range *list {
		if other == a {
			return errors.New("is given twice")
		}
	}
	*list = append(*list, a)
	return nil
}

func address(value string) (netip.Addr, error) {
	a, err := netip.ParseAddr(value)
	if err != nil {
		return a, errors.New("not an IP address (names are not possible here)")
	}
	return a, unicast(a)
}

// unicast returns an error for an address that no host on a network has.
func unicast(a netip.Addr) error {
	switch {
	case a.Zone() != "":
		return errors.New("an address without zone is wanted: the link is this one")
	case a.Is4In6():
		return errors.New("write the IPv4 address " + a.Unmap().String())
	case a.IsUnspecified(), a.IsLoopback(), a.IsMulticast(), a.Is4() && a.As4()[0] == 0, a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return errors.New("no address of a host on a network")
	}
	return nil
}

// LastAddress returns the highest address of an IPv4 subnet.
func LastAddress(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(b)
}

// domain returns a domain without the dot at its end.
func domain(value string) (string, error) {
	d := strings.TrimSuffix(value, ".")
	if !ValidDomain(d) {
		return "", errors.New("not a domain name")
	}
	return d, nil
}

// ValidDomain reports whether name can be a domain: labels of letters, digits, hyphens and
// underscores, up to 63 bytes each, 253 in all (RFC 1035, section 2.3.4).
func ValidDomain(name string) bool {
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for i := range len(label) {
			if c := label[i]; !letterOrDigit(c) && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

// CheckHostname returns what is wrong with a host name, nil if nothing is: labels of letters, digits
// and hyphens, none at the begin or end of a label (RFC 1123, section 2.1).
func CheckHostname(name string) error {
	wrong := func(reason string) error {
		return errors.New("hostname=" + strconv.Quote(name) + ": " + reason)
	}
	if len(name) > MaxHostname {
		return wrong("longer than " + strconv.Itoa(MaxHostname) + " bytes")
	}
	if !ValidDomain(name) || strings.Contains(name, "_") {
		return wrong("not a host name: letters, digits and hyphens, with dots between up to 63 of them")
	}
	for label := range strings.SplitSeq(name, ".") {
		if !letterOrDigit(label[0]) || !letterOrDigit(label[len(label)-1]) {
			return wrong("a hyphen at the begin or end of a label")
		}
	}
	return nil
}

func letterOrDigit(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
