package netlink

import (
	"net"
	"testing"

	"github.com/jsimonetti/rtnetlink/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestInterfaces(t *testing.T) {
	all, err := net.Interfaces()
	require.NoError(t, err)
	require.NotEmpty(t, all)
	lo := all[0]
	assert.Equal(t, "lo", lo.Name)
	assert.Equal(t, 1, lo.Index)
	assert.Equal(t, 65536, lo.MTU)
	assert.Empty(t, lo.HardwareAddr)
	assert.Equal(t, net.FlagUp|net.FlagLoopback|net.FlagRunning, lo.Flags)
	addresses, err := lo.Addrs()
	require.NoError(t, err)
	var texts []string
	for _, a := range addresses {
		texts = append(texts, a.String())
	}
	assert.Subset(t, texts, []string{"127.0.0.1/8", "::1/128"})
	groups, err := lo.MulticastAddrs()
	require.NoError(t, err)
	texts = nil
	for _, a := range groups {
		texts = append(texts, a.String())
	}
	assert.Subset(t, texts, []string{"224.0.0.1", "ff02::1"})
	every, err := net.InterfaceAddrs()
	require.NoError(t, err)
	assert.GreaterOrEqual(t, len(every), len(addresses))
	byIndex, err := net.InterfaceByIndex(1)
	require.NoError(t, err)
	assert.Equal(t, lo, *byIndex)
	_, err = net.InterfaceByName("none")
	assert.Error(t, err)
	for _, i := range all[1:] {
		if i.Flags&net.FlagUp != 0 && i.Flags&net.FlagBroadcast != 0 {
			assert.Len(t, i.HardwareAddr, 6, i.Name)
		}
	}
}

// TestLibraries compares what two libraries and package net say.
func TestLibraries(t *testing.T) {
	all, err := net.Interfaces()
	require.NoError(t, err)
	links, err := netlink.LinkList()
	require.NoError(t, err)
	require.Len(t, links, len(all))
	for i, l := range links {
		a := l.Attrs()
		assert.Equal(t, all[i].Name, a.Name)
		assert.Equal(t, all[i].Index, a.Index)
		assert.Equal(t, all[i].MTU, a.MTU)
		assert.Equal(t, all[i].Flags, a.Flags)
		assert.NotNil(t, a.Statistics)
		same, err := netlink.LinkByName(a.Name)
		require.NoError(t, err)
		assert.Equal(t, a.Index, same.Attrs().Index)
		same, err = netlink.LinkByIndex(a.Index)
		require.NoError(t, err)
		assert.Equal(t, a.Name, same.Attrs().Name)
	}
	_, err = netlink.LinkByName("none")
	assert.ErrorAs(t, err, &netlink.LinkNotFoundError{})

	c, err := rtnetlink.Dial(nil)
	require.NoError(t, err)
	defer c.Close()
	messages, err := c.Link.List()
	require.NoError(t, err)
	require.Len(t, messages, len(all))
	for i, m := range messages {
		assert.Equal(t, all[i].Name, m.Attributes.Name)
		assert.EqualValues(t, all[i].MTU, m.Attributes.MTU)
		assert.NotNil(t, m.Attributes.Stats64)
	}
	assert.Equal(t, rtnetlink.OperStateUnknown, messages[0].Attributes.OperationalState)

	var ours, theirs []string
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		list, err := netlink.AddrList(nil, family)
		require.NoError(t, err)
		for _, a := range list {
			ours = append(ours, a.IPNet.String())
		}
	}
	list, err := c.Address.List()
	require.NoError(t, err)
	for _, m := range list {
		bits := 8 * len(m.Attributes.Address)
		theirs = append(theirs, (&net.IPNet{IP: m.Attributes.Address, Mask: net.CIDRMask(int(m.PrefixLength), bits)}).String())
	}
	assert.Equal(t, ours, theirs)
	assert.Equal(t, "127.0.0.1/8", ours[0])

	routes, err := c.Route.List()
	require.NoError(t, err)
	local := 0
	for _, r := range routes {
		if r.Type == unix.RTN_LOCAL && r.Attributes.Dst.IsLoopback() && r.Attributes.OutIface == 1 {
			local++
		}
	}
	assert.Equal(t, 3, local, "127.0.0.0/8, 127.0.0.1, ::1")
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		_, err := netlink.RouteList(nil, family)
		assert.NoError(t, err)
		rules, err := netlink.RuleList(family)
		require.NoError(t, err)
		assert.GreaterOrEqual(t, len(rules), 2)
		_, err = netlink.NeighList(0, family)
		assert.NoError(t, err)
	}
	way, err := netlink.RouteGet(net.IPv4(127, 0, 0, 1))
	require.NoError(t, err)
	require.Len(t, way, 1)
	assert.Equal(t, 1, way[0].LinkIndex)
	assert.Equal(t, "127.0.0.1", way[0].Src.String())
	assert.Equal(t, unix.RTN_LOCAL, way[0].Type)
	_, err = netlink.GenlFamilyGet("no such family")
	assert.ErrorIs(t, err, unix.ENOENT)
	controller, err := netlink.GenlFamilyGet("nlctrl")
	require.NoError(t, err)
	assert.EqualValues(t, unix.GENL_ID_CTRL, controller.ID)
}
