package netlink

import (
	"net/netip"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

func ip(s string) []byte { return netip.MustParseAddr(s).AsSlice() }

const create = unix.NLM_F_ACK | unix.NLM_F_CREATE | unix.NLM_F_EXCL

// do sends a change and returns its result.
func do(t *testing.T, c *conn, request []byte) syscall.Errno {
	t.Helper()
	_, err := ask(t, c, request)
	return err
}

func newAddr(flags, link int, address string, attributes ...[]byte) []byte {
	p := netip.MustParsePrefix(address)
	h := unix.IfAddrmsg{Family: syscall.AF_INET, Prefixlen: uint8(p.Bits()), Index: uint32(link)}
	if p.Addr().Is6() {
		h.Family = syscall.AF_INET6
	}
	return message(unix.RTM_NEWADDR, flags, 5, h, append(attributes, attribute(unix.IFA_LOCAL, p.Addr().AsSlice()))...)
}

// texts returns the addresses that the family lists, as text.
func texts(t *testing.T, c *conn, link uint32) (all []string) {
	for _, m := range dumpOf(t, c, unix.RTM_GETADDR, 0) {
		h := head[unix.IfAddrmsg](m)
		if h.Index == link {
			a, _ := netip.AddrFromSlice(attributes(t, m)[unix.IFA_ADDRESS])
			if !a.IsLinkLocalUnicast() {
				all = append(all, netip.PrefixFrom(a, int(h.Prefixlen)).String())
			}
		}
	}
	return all
}

// mainRoutes returns the routes of the main table as text.
func mainRoutes(t *testing.T, c *conn, family byte) (all []string) {
	for _, m := range dumpOf(t, c, unix.RTM_GETROUTE, family) {
		h := head[unix.RtMsg](m)
		a := attributes(t, m)
		to, ok := netip.AddrFromSlice(a[unix.RTA_DST])
		if !ok {
			to = map[byte]netip.Addr{syscall.AF_INET: netip.IPv4Unspecified(), syscall.AF_INET6: netip.IPv6Unspecified()}[h.Family]
		}
		if h.Table != unix.RT_TABLE_MAIN || to.IsLinkLocalUnicast() {
			continue
		}
		s := netip.PrefixFrom(to, int(h.Dst_len)).String()
		if via, ok := netip.AddrFromSlice(a[unix.RTA_GATEWAY]); ok {
			s += " via " + via.String()
		}
		if src, ok := netip.AddrFromSlice(a[unix.RTA_PREFSRC]); ok {
			s += " src " + src.String()
		}
		if v, ok := get[uint32](a[unix.RTA_PRIORITY]); ok && h.Family == syscall.AF_INET {
			s += " metric " + string('0'+rune(v))
		}
		all = append(all, s)
	}
	return all
}

func TestAddresses(t *testing.T) {
	f := newFamily(t, true)
	c := dial(t, f, unix.NETLINK_ROUTE)
	require.Zero(t, do(t, c, newAddr(create, 2, "192.0.2.5/24")))
	require.Zero(t, do(t, c, newAddr(create, 2, "192.0.2.6/24")))
	require.Zero(t, do(t, c, newAddr(create, 2, "2001:db8::5/64")))
	assert.Equal(t, []string{"192.0.2.5/24", "192.0.2.6/24", "2001:db8::5/64"}, texts(t, c, 2))
	assert.Equal(t, []string{"192.0.2.0/24 src 192.0.2.5"}, mainRoutes(t, c, syscall.AF_INET))
	assert.Equal(t, []string{"2001:db8::/64"}, mainRoutes(t, c, syscall.AF_INET6))

	for _, m := range dumpOf(t, c, unix.RTM_GETADDR, syscall.AF_INET6) {
		if h := head[unix.IfAddrmsg](m); h.Prefixlen == 64 && h.Scope == unix.RT_SCOPE_UNIVERSE {
			assert.EqualValues(t, unix.IFA_F_PERMANENT|unix.IFA_F_TENTATIVE, h.Flags, "until duplicates are looked for")
		}
	}

	assert.Equal(t, syscall.EEXIST, do(t, c, newAddr(create, 2, "192.0.2.5/24")))
	assert.Equal(t, syscall.ENODEV, do(t, c, newAddr(create, 7, "192.0.2.9/24")))
	assert.Equal(t, syscall.EINVAL, do(t, c, message(unix.RTM_NEWADDR, create, 1, unix.IfAddrmsg{Family: syscall.AF_INET, Prefixlen: 40, Index: 2},
		attribute(unix.IFA_LOCAL, ip("192.0.2.7")))))
	assert.Equal(t, syscall.EINVAL, do(t, c, message(unix.RTM_NEWADDR, create, 1, unix.IfAddrmsg{Family: syscall.AF_INET, Prefixlen: 24, Index: 2})))
	assert.Equal(t, syscall.EOPNOTSUPP, do(t, c, newAddr(create, 2, "192.0.2.7/32", attribute(unix.IFA_ADDRESS, ip("192.0.2.8")))), "a peer")

	remove := func(address string) syscall.Errno {
		b := newAddr(unix.NLM_F_ACK, 2, address)
		b[4] = unix.RTM_DELADDR
		return do(t, c, b)
	}
	require.Zero(t, remove("192.0.2.5/24"))
	assert.Equal(t, []string{"192.0.2.0/24 src 192.0.2.6"}, mainRoutes(t, c, syscall.AF_INET))
	assert.Equal(t, syscall.EADDRNOTAVAIL, remove("192.0.2.5/24"))
	assert.Equal(t, syscall.EADDRNOTAVAIL, remove("192.0.2.6/25"))
	require.Zero(t, remove("192.0.2.6/24"))
	assert.Empty(t, mainRoutes(t, c, syscall.AF_INET))
	assert.Equal(t, []string{"2001:db8::5/64"}, texts(t, c, 2))
}

// TestAddressLifetimes gives addresses that end.
func TestAddressLifetimes(t *testing.T) {
	f := newFamily(t, true)
	c := dial(t, f, unix.NETLINK_ROUTE)
	watch := dial(t, f, unix.NETLINK_ROUTE)
	require.Zero(t, watch.Bind(nladdr(0, 1<<(unix.RTNLGRP_IPV4_IFADDR-1))))
	lifetime := func(valid, preferred uint32) []byte {
		return attribute(unix.IFA_CACHEINFO, unix.IfaCacheinfo{Valid: valid, Prefered: preferred})
	}
	assert.Equal(t, syscall.EINVAL, do(t, c, newAddr(create, 2, "192.0.2.5/24", lifetime(0, 0))))
	assert.Equal(t, syscall.EINVAL, do(t, c, newAddr(create, 2, "192.0.2.5/24", lifetime(1, 2))))
	require.Zero(t, do(t, c, newAddr(create, 2, "192.0.2.5/24", lifetime(100, 50))))
	info := func() unix.IfaCacheinfo {
		for _, m := range dumpOf(t, c, unix.RTM_GETADDR, syscall.AF_INET) {
			if head[unix.IfAddrmsg](m).Index == 2 {
				assert.Zero(t, head[unix.IfAddrmsg](m).Flags&unix.IFA_F_PERMANENT)
				v, _ := get[unix.IfaCacheinfo](attributes(t, m)[unix.IFA_CACHEINFO])
				return v
			}
		}
		return unix.IfaCacheinfo{}
	}
	assert.InDelta(t, 100, info().Valid, 1)
	assert.InDelta(t, 50, info().Prefered, 1)
	replace := unix.NLM_F_ACK | unix.NLM_F_CREATE | unix.NLM_F_REPLACE
	require.Zero(t, do(t, c, newAddr(replace, 2, "192.0.2.5/24", lifetime(2, 1))))

	var seen []uint16
	for len(seen) < 4 {
		for _, m := range wait(t, watch) {
			seen = append(seen, m.Header.Type)
		}
	}
	assert.Equal(t, []uint16{unix.RTM_NEWADDR, unix.RTM_NEWADDR, unix.RTM_NEWADDR, unix.RTM_DELADDR}, seen, "made, replaced, deprecated, gone")
	assert.Empty(t, texts(t, c, 2))
	assert.Empty(t, mainRoutes(t, c, syscall.AF_INET))
}

func route4(typ uint16, flags int, destination string, attributes ...[]byte) []byte {
	p := netip.MustParsePrefix(destination)
	h := unix.RtMsg{Family: syscall.AF_INET, Dst_len: uint8(p.Bits()), Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_STATIC, Type: unix.RTN_UNICAST}
	if p.Addr().Is6() {
		h.Family = syscall.AF_INET6
	}
	if typ == unix.RTM_DELROUTE {
		h.Scope, h.Protocol = unix.RT_SCOPE_NOWHERE, 0
	}
	if p.Bits() > 0 {
		attributes = append(attributes, attribute(unix.RTA_DST, p.Addr().AsSlice()))
	}
	return message(typ, flags, 6, h, attributes...)
}

func via(gateway string) []byte   { return attribute(unix.RTA_GATEWAY, ip(gateway)) }
func metric(metric uint32) []byte { return attribute(unix.RTA_PRIORITY, metric) }

func TestRoutes(t *testing.T) {
	f := newFamily(t, true)
	c := dial(t, f, unix.NETLINK_ROUTE)
	oif := attribute(unix.RTA_OIF, uint32(2))
	assert.Equal(t, syscall.ENETUNREACH, do(t, c, route4(unix.RTM_NEWROUTE, create, "0.0.0.0/0", via("192.0.2.1"))))
	require.Zero(t, do(t, c, newAddr(create, 2, "192.0.2.5/24")))
	require.Zero(t, do(t, c, newAddr(create, 2, "2001:db8::5/64")))
	require.Zero(t, do(t, c, route4(unix.RTM_NEWROUTE, create, "0.0.0.0/0", via("192.0.2.1"), metric(5))))
	require.Zero(t, do(t, c, route4(unix.RTM_NEWROUTE, create, "0.0.0.0/0", via("192.0.2.2"), metric(3), oif)))
	require.Zero(t, do(t, c, route4(unix.RTM_NEWROUTE, create, "10.0.0.0/8", via("192.0.2.3"))))
	require.Zero(t, do(t, c, route4(unix.RTM_NEWROUTE, create, "::/0", via("2001:db8::1"))))
	all := []string{
		"192.0.2.0/24 src 192.0.2.5", "10.0.0.0/8 via 192.0.2.3", "0.0.0.0/0 via 192.0.2.2 metric 3", "0.0.0.0/0 via 192.0.2.1 metric 5",
	}
	assert.Equal(t, all, mainRoutes(t, c, syscall.AF_INET))
	assert.Equal(t, []string{"2001:db8::/64", "::/0 via 2001:db8::1"}, mainRoutes(t, c, syscall.AF_INET6))

	assert.Equal(t, syscall.EEXIST, do(t, c, route4(unix.RTM_NEWROUTE, create, "10.0.0.0/8", via("192.0.2.4"))))
	assert.Equal(t, syscall.EINVAL, do(t, c, route4(unix.RTM_NEWROUTE, create, "10.1.0.0/8", via("192.0.2.4"))), "bits of the host")
	assert.Equal(t, syscall.ENOENT, do(t, c, route4(unix.RTM_NEWROUTE, unix.NLM_F_ACK|unix.NLM_F_REPLACE, "10.2.0.0/16", via("192.0.2.4"))))
	assert.Equal(t, syscall.ENODEV, do(t, c, route4(unix.RTM_NEWROUTE, create, "10.2.0.0/16", attribute(unix.RTA_OIF, uint32(9)))))
	assert.Equal(t, syscall.ENODEV, do(t, c, route4(unix.RTM_NEWROUTE, create, "10.2.0.0/16")))
	require.Zero(t, do(t, c, route4(unix.RTM_NEWROUTE, unix.NLM_F_ACK|unix.NLM_F_REPLACE|unix.NLM_F_CREATE, "10.0.0.0/8", via("192.0.2.9"))))
	all[1] = "10.0.0.0/8 via 192.0.2.9"
	assert.Equal(t, all, mainRoutes(t, c, syscall.AF_INET))

	require.Zero(t, c.SetOption(unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, []byte{1, 0, 0, 0}))
	list, err := ask(t, c, message(unix.RTM_GETROUTE, unix.NLM_F_DUMP, 1, unix.RtMsg{Family: syscall.AF_INET, Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_STATIC}))
	require.Zero(t, err)
	assert.Len(t, list, 3)
	for _, m := range list {
		assert.EqualValues(t, unix.NLM_F_MULTI|unix.NLM_F_DUMP_FILTERED, m.Header.Flags)
	}
	_, err = ask(t, c, message(unix.RTM_GETROUTE, unix.NLM_F_DUMP, 1, unix.RtMsg{Family: syscall.AF_INET, Table: 77}))
	assert.Equal(t, syscall.ENOENT, err)

	require.Zero(t, c.SetOption(unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, make([]byte, 4)))

	// Which way a packet goes.
	find := func(destination string) (unix.RtMsg, map[uint16][]byte) {
		list, err := ask(t, c, message(unix.RTM_GETROUTE, unix.NLM_F_ACK, 1, unix.RtMsg{Family: syscall.AF_INET, Dst_len: 32},
			attribute(unix.RTA_DST, ip(destination))))
		require.Zero(t, err)
		require.Len(t, list, 1)
		return head[unix.RtMsg](list[0]), attributes(t, list[0])
	}
	h, a := find("10.9.9.9")
	assert.EqualValues(t, 32, h.Dst_len)
	assert.EqualValues(t, unix.RTM_F_CLONED, h.Flags)
	assert.EqualValues(t, unix.RTN_UNICAST, h.Type)
	assert.Equal(t, ip("192.0.2.9"), a[unix.RTA_GATEWAY])
	assert.Equal(t, ip("192.0.2.5"), a[unix.RTA_PREFSRC])
	assert.Equal(t, []byte{2, 0, 0, 0}, a[unix.RTA_OIF])
	h, a = find("192.0.2.5")
	assert.EqualValues(t, unix.RTN_LOCAL, h.Type)
	assert.Equal(t, []byte{1, 0, 0, 0}, a[unix.RTA_OIF])
	_, a = find("192.0.2.77")
	assert.Nil(t, a[unix.RTA_GATEWAY])

	remove := func(destination string, attributes ...[]byte) syscall.Errno {
		return do(t, c, route4(unix.RTM_DELROUTE, unix.NLM_F_ACK, destination, attributes...))
	}
	assert.Equal(t, syscall.ESRCH, remove("10.0.0.0/8", via("192.0.2.1")))
	require.Zero(t, remove("10.0.0.0/8"))
	assert.Equal(t, syscall.ESRCH, remove("10.0.0.0/8"))
	require.Zero(t, remove("0.0.0.0/0", metric(5)))
	require.Zero(t, remove("0.0.0.0/0"))
	assert.Equal(t, []string{"192.0.2.0/24 src 192.0.2.5"}, mainRoutes(t, c, syscall.AF_INET))
	_, err = ask(t, c, message(unix.RTM_GETROUTE, unix.NLM_F_ACK, 1, unix.RtMsg{Family: syscall.AF_INET, Dst_len: 32}, attribute(unix.RTA_DST, ip("8.8.8.8"))))
	assert.Equal(t, syscall.ENETUNREACH, err)
}

func TestLinks(t *testing.T) {
	f := newFamily(t, true)
	c := dial(t, f, unix.NETLINK_ROUTE)
	byName := func(name string) ([]syscall.NetlinkMessage, syscall.Errno) {
		return ask(t, c, message(unix.RTM_GETLINK, unix.NLM_F_ACK, 1, unix.IfInfomsg{}, attribute(unix.IFLA_IFNAME, name)))
	}
	list, err := byName("eth0")
	require.Zero(t, err)
	require.Len(t, list, 1)
	h, a := head[unix.IfInfomsg](list[0]), attributes(t, list[0])
	assert.Equal(t, unix.IfInfomsg{Type: unix.ARPHRD_ETHER, Index: 2, Flags: unix.IFF_UP | unix.IFF_BROADCAST | unix.IFF_RUNNING | unix.IFF_MULTICAST | unix.IFF_LOWER_UP}, h)
	assert.Equal(t, []byte{2, 0, 0, 0, 0, 1}, a[unix.IFLA_ADDRESS])
	assert.Equal(t, []byte{0xdc, 5, 0, 0}, a[unix.IFLA_MTU])
	assert.Equal(t, []byte{6}, a[unix.IFLA_OPERSTATE])
	assert.Len(t, a[unix.IFLA_STATS64], 200)
	_, err = byName("eth1")
	assert.Equal(t, syscall.ENODEV, err)

	set := func(h unix.IfInfomsg, attributes ...[]byte) syscall.Errno {
		return do(t, c, message(unix.RTM_NEWLINK, unix.NLM_F_ACK, 1, h, attributes...))
	}
	require.Zero(t, set(unix.IfInfomsg{Index: 2}, attribute(unix.IFLA_MTU, uint32(1280))))
	assert.Equal(t, 1280, f.stack.Link(2).MTU())
	assert.Equal(t, syscall.EINVAL, set(unix.IfInfomsg{Index: 2}, attribute(unix.IFLA_MTU, uint32(60))))
	assert.Equal(t, syscall.EINVAL, set(unix.IfInfomsg{Index: 2}, attribute(unix.IFLA_MTU, uint32(9000))))
	require.Zero(t, set(unix.IfInfomsg{Index: 2, Change: unix.IFF_UP}))
	assert.False(t, f.stack.Link(2).Up())
	assert.Equal(t, syscall.ENETDOWN, do(t, c, route4(unix.RTM_NEWROUTE, create, "10.0.0.0/8", attribute(unix.RTA_OIF, uint32(2)))))
	require.Zero(t, set(unix.IfInfomsg{Index: 2, Flags: unix.IFF_UP}))
	assert.True(t, f.stack.Link(2).Up())
	assert.Equal(t, syscall.EOPNOTSUPP, set(unix.IfInfomsg{Index: 2}, attribute(unix.IFLA_MASTER, uint32(1))))
	assert.Equal(t, syscall.EOPNOTSUPP, do(t, c, message(unix.RTM_NEWLINK, create, 1, unix.IfInfomsg{}, attribute(unix.IFLA_IFNAME, "dummy0"))))
	assert.Equal(t, syscall.EEXIST, do(t, c, message(unix.RTM_NEWLINK, create, 1, unix.IfInfomsg{}, attribute(unix.IFLA_IFNAME, "lo"))))
	assert.Equal(t, syscall.EOPNOTSUPP, do(t, c, message(unix.RTM_DELLINK, unix.NLM_F_ACK, 1, unix.IfInfomsg{Index: 2})))
}

func TestNeighbors(t *testing.T) {
	f := newFamily(t, true)
	c := dial(t, f, unix.NETLINK_ROUTE)
	mac := attribute(unix.NDA_LLADDR, []byte{2, 0, 0, 0, 0, 9})
	neighbor := func(typ uint16, flags int, state uint16, attributes ...[]byte) syscall.Errno {
		return do(t, c, message(typ, flags, 1, unix.NdMsg{Family: syscall.AF_INET, Ifindex: 2, State: state}, attributes...))
	}
	to := attribute(unix.NDA_DST, ip("192.0.2.9"))
	require.Zero(t, neighbor(unix.RTM_NEWNEIGH, create, unix.NUD_PERMANENT, to, mac))
	assert.Equal(t, syscall.EEXIST, neighbor(unix.RTM_NEWNEIGH, create, unix.NUD_PERMANENT, to, mac))
	assert.Equal(t, syscall.EINVAL, neighbor(unix.RTM_NEWNEIGH, create, unix.NUD_PERMANENT, mac))
	assert.Equal(t, syscall.EOPNOTSUPP, neighbor(unix.RTM_NEWNEIGH, create, unix.NUD_REACHABLE, to, mac))
	list := dumpOf(t, c, unix.RTM_GETNEIGH, syscall.AF_INET)
	require.Len(t, list, 1)
	assert.Equal(t, unix.NdMsg{Family: syscall.AF_INET, Ifindex: 2, State: unix.NUD_PERMANENT, Type: unix.RTN_UNICAST}, head[unix.NdMsg](list[0]))
	assert.Equal(t, []byte{2, 0, 0, 0, 0, 9}, attributes(t, list[0])[unix.NDA_LLADDR])
	one, err := ask(t, c, message(unix.RTM_GETNEIGH, unix.NLM_F_ACK, 1, unix.NdMsg{Family: syscall.AF_INET, Ifindex: 2}, to))
	require.Zero(t, err)
	assert.Equal(t, list[0].Data[:32], one[0].Data[:32])
	require.Zero(t, neighbor(unix.RTM_DELNEIGH, unix.NLM_F_ACK, 0, to))
	assert.Equal(t, syscall.ENOENT, neighbor(unix.RTM_DELNEIGH, unix.NLM_F_ACK, 0, to))
	assert.Empty(t, dumpOf(t, c, unix.RTM_GETNEIGH, 0))
}

func TestGeneric(t *testing.T) {
	c := dial(t, newFamily(t, false), unix.NETLINK_GENERIC)
	family := func(name string) ([]syscall.NetlinkMessage, syscall.Errno) {
		return ask(t, c, message(unix.GENL_ID_CTRL, unix.NLM_F_ACK, 1, unix.Genlmsghdr{Cmd: unix.CTRL_CMD_GETFAMILY, Version: 1},
			attribute(unix.CTRL_ATTR_FAMILY_NAME, name)))
	}
	_, err := family("wireguard")
	assert.Equal(t, syscall.ENOENT, err)
	list, err := family("nlctrl")
	require.Zero(t, err)
	require.Len(t, list, 1)
	assert.Equal(t, "nlctrl", parse(list[0].Data[4:]).text(unix.CTRL_ATTR_FAMILY_NAME))
}

// TestChangesByOthers: what is changed by the stack's own functions is told after Changed.
func TestChangesByOthers(t *testing.T) {
	f := newFamily(t, true)
	f.Changed() // for nobody
	c := dial(t, f, unix.NETLINK_ROUTE)
	require.Zero(t, c.Bind(nladdr(0, unix.RTMGRP_LINK|unix.RTMGRP_IPV4_IFADDR|unix.RTMGRP_IPV4_ROUTE)))
	require.Nil(t, f.stack.AddProtocolAddress(2, tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber,
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4([4]byte{192, 0, 2, 5}), PrefixLen: 24}}, stack.AddressProperties{}))
	f.Changed()
	seen := make(map[uint16]int)
	for len(seen) < 2 || seen[unix.RTM_NEWROUTE] < 2 {
		for _, m := range wait(t, c) {
			seen[m.Header.Type]++
			assert.Zero(t, m.Header.Seq)
			assert.Zero(t, m.Header.Pid)
		}
	}
	assert.Equal(t, map[uint16]int{unix.RTM_NEWADDR: 1, unix.RTM_NEWROUTE: 2}, seen, "with the local and the broadcast route")

	require.Nil(t, f.stack.Link(2).SetUp(false))
	list := wait(t, c)
	h := head[unix.IfInfomsg](list[0])
	assert.EqualValues(t, unix.RTM_NEWLINK, list[0].Header.Type)
	assert.EqualValues(t, unix.IFF_UP|unix.IFF_RUNNING|unix.IFF_LOWER_UP, h.Change)
	assert.Zero(t, h.Flags&unix.IFF_UP)
}

// TestEcho: a change is told to subscribers with its sender's number, and to the sender if it asks.
func TestEcho(t *testing.T) {
	f := newFamily(t, true)
	sender, watch := dial(t, f, unix.NETLINK_ROUTE), dial(t, f, unix.NETLINK_ROUTE)
	for _, c := range []*conn{sender, watch} {
		require.Zero(t, c.SetOption(unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, []byte{unix.RTNLGRP_IPV4_IFADDR, 0, 0, 0}))
	}
	list, err := ask(t, sender, newAddr(create|unix.NLM_F_ECHO, 2, "192.0.2.5/24"))
	require.Zero(t, err)
	require.Len(t, list, 1, "once")
	told := receive(t, watch)
	require.Len(t, told, 1)
	assert.Equal(t, list[0], told[0])
	assert.EqualValues(t, 5, told[0].Header.Seq)
	assert.Equal(t, sender.portID(), told[0].Header.Pid)
}

// TestOverflow: a subscriber that does not read is told that it has missed something, and goes on
// when it has read all.
func TestOverflow(t *testing.T) {
	f := newFamily(t, true)
	c, slow, deaf := dial(t, f, unix.NETLINK_ROUTE), dial(t, f, unix.NETLINK_ROUTE), dial(t, f, unix.NETLINK_ROUTE)
	for _, s := range []*conn{slow, deaf} {
		require.Zero(t, s.Bind(nladdr(0, unix.RTMGRP_IPV4_IFADDR)))
		require.Zero(t, s.SetOption(syscall.SOL_SOCKET, syscall.SO_RCVBUF, []byte{0, 16, 0, 0}))
	}
	require.Zero(t, deaf.SetOption(unix.SOL_NETLINK, unix.NETLINK_NO_ENOBUFS, []byte{1, 0, 0, 0}))
	for i := range byte(40) {
		require.Zero(t, do(t, c, newAddr(create, 2, netip.AddrFrom4([4]byte{192, 0, 2, i + 1}).String()+"/24")))
	}
	assert.NotZero(t, slow.Ready()&unix.EPOLLERR)
	_, err := slow.Read(make([]byte, 1000))
	assert.Equal(t, syscall.ENOBUFS, err)
	n := 0
	for receive(t, slow) != nil {
		n++
	}
	assert.Equal(t, n, 13, "8192 bytes")
	m := 0
	for receive(t, deaf) != nil {
		m++
	}
	assert.Equal(t, n, m)
	require.Zero(t, do(t, c, newAddr(create, 2, "192.0.2.99/24")))
	assert.Len(t, receive(t, slow), 1)
	assert.Len(t, receive(t, deaf), 1)
}
