package netlink

import (
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// next returns the next value that a subscription delivers and that is wanted.
func next[T any](t *testing.T, updates <-chan T, wanted func(T) bool) T {
	t.Helper()
	for timeout := time.After(10 * time.Second); ; {
		select {
		case u, ok := <-updates:
			require.True(t, ok, "the subscription has ended")
			if wanted(u) {
				return u
			}
		case <-timeout:
			require.Fail(t, "nothing was told")
		}
	}
}

func TestAddressChanges(t *testing.T) {
	lo := isolate(t)
	done := make(chan struct{})
	defer close(done)
	addresses, routes := make(chan netlink.AddrUpdate, 100), make(chan netlink.RouteUpdate, 100)
	require.NoError(t, netlink.AddrSubscribe(addresses, done))
	require.NoError(t, netlink.RouteSubscribe(routes, done))

	a, err := netlink.ParseAddr("198.51.100.7/24")
	require.NoError(t, err)
	require.NoError(t, netlink.AddrAdd(lo, a))
	assert.ErrorIs(t, netlink.AddrAdd(lo, a), unix.EEXIST)
	u := next(t, addresses, func(u netlink.AddrUpdate) bool { return u.LinkAddress.String() == a.IPNet.String() })
	assert.True(t, u.NewAddr)
	assert.Equal(t, 1, u.LinkIndex)
	next(t, routes, func(u netlink.RouteUpdate) bool {
		return u.Type == unix.RTM_NEWROUTE && u.Table == unix.RT_TABLE_LOCAL && u.Dst.String() == "198.51.100.7/32"
	})

	// The address is of use at once.
	l, err := net.Listen("tcp4", "198.51.100.7:0")
	require.NoError(t, err)
	c, err := net.Dial("tcp4", l.Addr().String())
	require.NoError(t, err)
	assert.Equal(t, "198.51.100.7", c.LocalAddr().(*net.TCPAddr).IP.String())
	c.Close()
	l.Close()

	require.NoError(t, netlink.AddrDel(lo, a))
	u = next(t, addresses, func(u netlink.AddrUpdate) bool { return u.LinkAddress.String() == a.IPNet.String() })
	assert.False(t, u.NewAddr)
	assert.ErrorIs(t, netlink.AddrDel(lo, a), unix.EADDRNOTAVAIL)
	_, err = net.Listen("tcp4", "198.51.100.7:0")
	assert.ErrorIs(t, err, unix.EADDRNOTAVAIL)
}

func TestRouteChanges(t *testing.T) {
	lo := isolate(t)
	_, network, err := net.ParseCIDR("203.0.113.0/24")
	require.NoError(t, err)
	route := netlink.Route{LinkIndex: lo.Attrs().Index, Dst: network, Scope: netlink.SCOPE_LINK, Protocol: unix.RTPROT_STATIC, Priority: 20}
	require.NoError(t, netlink.RouteAdd(&route))
	assert.ErrorIs(t, netlink.RouteAdd(&route), unix.EEXIST)
	list, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Dst: network}, netlink.RT_FILTER_DST)
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.Equal(t, 20, list[0].Priority)
	assert.EqualValues(t, unix.RTPROT_STATIC, list[0].Protocol)
	require.NoError(t, netlink.RouteDel(&route))
	assert.ErrorIs(t, netlink.RouteDel(&route), unix.ESRCH)
	_, host, err := net.ParseCIDR("203.0.113.9/32")
	require.NoError(t, err)
	unreachable := netlink.Route{Dst: host, Gw: net.IPv4(192, 0, 2, 200)}
	if err := netlink.RouteAdd(&unreachable); err == nil { // a guest's default route may lead there
		require.NoError(t, netlink.RouteDel(&unreachable))
	} else {
		assert.ErrorIs(t, err, unix.ENETUNREACH)
	}
}

func TestLinkChanges(t *testing.T) {
	lo := isolate(t)
	done := make(chan struct{})
	defer close(done)
	links := make(chan netlink.LinkUpdate, 100)
	require.NoError(t, netlink.LinkSubscribe(links, done))
	require.NoError(t, netlink.LinkSetMTU(lo, 20000))
	next(t, links, func(u netlink.LinkUpdate) bool { return u.Attrs().Index == 1 && u.Attrs().MTU == 20000 })
	b, err := os.ReadFile("/proc/self/net/dev") // of the process's network, not the thread's
	require.NoError(t, err)
	assert.Contains(t, string(b), "    lo:")
	require.NoError(t, netlink.LinkSetMTU(lo, 65536))
	require.NoError(t, netlink.LinkSetDown(lo))
	u := next(t, links, func(u netlink.LinkUpdate) bool { return u.Attrs().Flags&net.FlagUp == 0 })
	assert.NotZero(t, u.Change&unix.IFF_UP)
	require.NoError(t, netlink.LinkSetUp(lo))
	next(t, links, func(u netlink.LinkUpdate) bool { return u.Attrs().Flags&net.FlagUp != 0 })
	assert.Error(t, netlink.LinkDel(lo))
	c, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	d, err := net.Dial("tcp4", c.Addr().String())
	require.NoError(t, err, "loopback works again")
	d.Close()
	c.Close()
}
