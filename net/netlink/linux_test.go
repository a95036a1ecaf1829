package netlink

import (
	"encoding/hex"
	"fmt"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// ifaProto is IFA_PROTO, which Linux has since 5.18 and sets for few.
const ifaProto = 11

// hostList returns the list of a type that the host's Linux has.
func hostList(t *testing.T, typ int) []syscall.NetlinkMessage {
	t.Helper()
	b, err := syscall.NetlinkRIB(typ, syscall.AF_UNSPEC)
	require.NoError(t, err)
	list, err := syscall.ParseNetlinkMessage(b)
	require.NoError(t, err)
	return slices.DeleteFunc(list, func(m syscall.NetlinkMessage) bool { return m.Header.Type == unix.NLMSG_DONE })
}

// show returns a message's structure and attributes but for those in except. What is in the flags of
// a machine rather than in the protocol is not in it.
func show(t *testing.T, m syscall.NetlinkMessage, size int, except ...uint16) string {
	s := fmt.Sprintf("type %d flags %#x %s", m.Header.Type, m.Header.Flags, hex.EncodeToString(m.Data[:size]))
	all := attributes(t, m)
	var types []uint16
	for typ := range all {
		if !slices.Contains(except, typ) {
			types = append(types, typ)
		}
	}
	slices.Sort(types)
	for _, typ := range types {
		s += fmt.Sprintf(" %d=%x", typ, all[typ])
	}
	return s
}

// TestLoopbackLikeLinux compares what the family and the host's Linux say of lo, and of the rules.
func TestLoopbackLikeLinux(t *testing.T) {
	f := newFamily(t, false)
	c := dial(t, f, unix.NETLINK_ROUTE)

	lo := func(m syscall.NetlinkMessage) bool { return head[unix.IfInfomsg](m).Index == 1 }
	ours := dumpOf(t, c, unix.RTM_GETLINK, 0)
	require.Len(t, ours, 1)
	host := hostList(t, unix.RTM_GETLINK)
	theirs := host[slices.IndexFunc(host, lo)]
	assert.Equal(t, ours[0].Data[:unix.SizeofIfInfomsg], theirs.Data[:unix.SizeofIfInfomsg])
	a, b := attributes(t, ours[0]), attributes(t, theirs)
	for typ, v := range a {
		if typ == unix.IFLA_STATS64 || typ == unix.IFLA_STATS {
			assert.GreaterOrEqual(t, len(v), len(b[typ])/8*8-8)
			continue
		}
		assert.Equal(t, b[typ], v, "attribute %d", typ)
	}

	addresses := func(list []syscall.NetlinkMessage) (texts []string) {
		for _, m := range list {
			if head[unix.IfAddrmsg](m).Index == 1 {
				texts = append(texts, show(t, m, unix.SizeofIfAddrmsg, unix.IFA_CACHEINFO, ifaProto))
			}
		}
		return texts
	}
	assert.Equal(t, addresses(hostList(t, unix.RTM_GETADDR)), addresses(dumpOf(t, c, unix.RTM_GETADDR, 0)))

	routes := func(list []syscall.NetlinkMessage) (texts []string) {
		for _, m := range list {
			if string(attributes(t, m)[unix.RTA_OIF]) == "\x01\x00\x00\x00" && head[unix.RtMsg](m).Table == unix.RT_TABLE_LOCAL {
				texts = append(texts, show(t, m, unix.SizeofRtMsg))
			}
		}
		return texts
	}
	assert.Equal(t, routes(hostList(t, unix.RTM_GETROUTE)), routes(dumpOf(t, c, unix.RTM_GETROUTE, 0)))

	rules := func(list []syscall.NetlinkMessage) (texts []string) {
		for _, m := range list {
			if family := m.Data[0]; family == syscall.AF_INET || family == syscall.AF_INET6 {
				texts = append(texts, show(t, m, unix.SizeofRtMsg))
			}
		}
		return texts
	}
	assert.Equal(t, rules(hostList(t, unix.RTM_GETRULE)), rules(dumpOf(t, c, unix.RTM_GETRULE, 0)))
}
