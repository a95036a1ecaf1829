package configure

import (
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

func toStack(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }

func fromStack(a tcpip.Address) netip.Addr {
	n, _ := netip.AddrFromSlice(a.AsSlice())
	return n
}

// prefixFrom returns the prefix of a subnet.
func prefixFrom(s tcpip.Subnet) netip.Prefix { return netip.PrefixFrom(fromStack(s.ID()), s.Prefix()) }

// subnet returns the subnet of a prefix, whose address may have bits beyond it.
func subnet(p netip.Prefix) tcpip.Subnet {
	return tcpip.AddressWithPrefix{Address: toStack(p.Addr()), PrefixLen: p.Bits()}.Subnet()
}

func protocol(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return header.IPv4ProtocolNumber
	}
	return header.IPv6ProtocolNumber
}

// server reports whether a can be the address of a server or router elsewhere: not what a broken or
// hostile answer may say to have packets sent to a group, to everyone or to this machine.
func server(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && !a.Is4In6() &&
		!(a.Is4() && (a.As4()[0] == 0 || a.As4()[0] >= 240))
}

// servers returns the addresses that can be those of servers, each once, at most limit of them.
func servers(list []netip.Addr, limit int) []netip.Addr {
	var good []netip.Addr
	for _, a := range list {
		if server(a) && len(good) < limit {
			good = appendNew(good, a)
		}
	}
	return good
}

func appendNew[T comparable](list []T, more ...T) []T {
next:
	for _, v := range more {
		for _, have := range list {
			if have == v {
				continue next
			}
		}
		list = append(list, v)
	}
	return list
}
