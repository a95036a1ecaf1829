package netlink_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/goshawk-os/goshawk/net/netlink"
	"github.com/goshawk-os/goshawk/net/netlink/procnet"
)

// TestText compares the files of /proc/net of a machine with a card with what Linux has for the same.
func TestText(t *testing.T) {
	f := netlink.NewFamily(t, true)
	s := f.Stack()
	all := make(map[string]func() []byte)
	for _, file := range procnet.Net(s, f, nil) {
		all[file.Name] = file.Content
	}
	lines := func(name string) []string {
		var list []string
		for _, line := range strings.Split(strings.TrimRight(string(all[name]()), "\n"), "\n") {
			list = append(list, strings.TrimRight(line, " "))
		}
		return list
	}
	add := func(protocol tcpip.NetworkProtocolNumber, a tcpip.Address, prefix int) {
		p := tcpip.AddressWithPrefix{Address: a, PrefixLen: prefix}
		require.Nil(t, s.AddProtocolAddress(2, tcpip.ProtocolAddress{Protocol: protocol, AddressWithPrefix: p}, stack.AddressProperties{}))
		s.AddRoute(tcpip.Route{Destination: p.Subnet(), NIC: 2})
	}
	gateway := tcpip.AddrFrom4([4]byte{192, 0, 2, 1})
	add(ipv4.ProtocolNumber, tcpip.AddrFrom4([4]byte{192, 0, 2, 2}), 24)
	add(ipv6.ProtocolNumber, tcpip.AddrFrom16([16]byte{0xfd, 15: 2}), 64)
	s.AddRoute(tcpip.Route{Destination: tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4([4]byte{}), PrefixLen: 0}.Subnet(), Gateway: gateway, NIC: 2})
	s.AddRoute(tcpip.Route{Destination: tcpip.AddressWithPrefix{Address: tcpip.AddrFrom16([16]byte{}), PrefixLen: 0}.Subnet(),
		Gateway: tcpip.AddrFrom16([16]byte{0xfd, 15: 1}), NIC: 2})
	require.Nil(t, s.AddStaticNeighbor(2, ipv4.ProtocolNumber, gateway, "\x02\xfc\x00\x00\x00\x05"))

	assert.Equal(t, []string{
		"eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0",
		"eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0",
	}, lines("route")[1:])
	assert.Equal(t, "192.0.2.1        0x1         0x6         02:fc:00:00:00:05     *        eth0", lines("arp")[1])
	assert.Subset(t, lines("if_inet6"), []string{
		"00000000000000000000000000000001 01 80 10 80       lo",
		"fd000000000000000000000000000002 02 40 00 c0     eth0", // tentative
	})
	assert.Subset(t, lines("ipv6_route"), []string{
		"fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0",
		"00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000001 00000000 00000003     eth0",
		"fd000000000000000000000000000002 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000001 00000000 80200001     eth0",
		"ff000000000000000000000000000000 08 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0",
	})
	assert.Subset(t, lines("igmp"), []string{"2\teth0      :     1      V3", "\t\t\t\t010000E0     1 0:00000000\t\t0"})
	assert.Subset(t, lines("igmp6"), []string{
		"2    eth0            ff020000000000000000000000000001     1 0000000C 0",
		"2    eth0            ff0200000000000000000001ff000002     1 00000004 0",
	})
	assert.Contains(t, lines("dev")[3], "  eth0: ")
}
