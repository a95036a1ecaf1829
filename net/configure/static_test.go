package configure

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"gvisor.dev/gvisor/pkg/tcpip"
)

func TestStatic(t *testing.T) {
	s := newServer(t)
	r, n := router(usual)
	l := boot(t, "addr=10.0.2.15/24,addr=10.0.2.16/24,gw=10.0.2.2,dns=10.0.2.3,dns=9.9.9.9,domain=example.org,mtu=1400", s.node, n)
	assert.Equal(t, []string{"10.0.2.15/24", "10.0.2.16/24"}, l.addresses(2))
	assert.Equal(t, []string{"10.0.2.0/24 eth0", "0.0.0.0/0 via 10.0.2.2 eth0"}, l.routes())
	assert.Equal(t, "nameserver 10.0.2.3;nameserver 9.9.9.9;search example.org;", l.resolver())
	assert.Contains(t, l.files[hostsFile], "\n10.0.2.15 goshawk.example.org goshawk\n10.0.2.16 goshawk.example.org goshawk\n")
	assert.EqualValues(t, 1400, l.stack.NICInfo()[2].MTU)
	assert.True(t, l.configured())
	l.pass(time.Minute)
	assert.Empty(t, s.heard)
	assert.Equal(t, 3, r.seen["solicitation"])
	assert.Contains(t, l.addresses(2), slaacAddress)
	l.quiet()
}

func TestStaticIPv6(t *testing.T) {
	r, n := router(usual)
	l := boot(t, "addr=fd00::2/64,gw=fe80::1,dns=fe80::53", n)
	assert.False(t, l.configured())
	l.pass(1100 * time.Millisecond)
	assert.True(t, l.configured())
	assert.Equal(t, []string{"fd00::2/64"}, l.addresses(2))
	assert.Equal(t, []string{"fd00::/64 eth0", "::/0 via fe80::1 eth0"}, l.routes())
	assert.Equal(t, "nameserver fe80::53%eth0;", l.resolver())
	l.pass(time.Minute)
	l.wires[0].inject(usual.frame())
	l.pump()
	assert.Empty(t, r.seen)
	assert.Equal(t, []string{"fd00::2/64"}, l.addresses(2))
	l.quiet()
}

func TestStaticBesideDHCP6Gateway(t *testing.T) {
	_, n := router(usual)
	l := boot(t, "dhcp,gw=fe80::1", n)
	l.pass(3 * time.Second)
	assert.Equal(t, []string{"fd00:1::/64 eth0", "::/0 via fe80::1 eth0"}, l.routes())
}

func TestNone(t *testing.T) {
	s := newServer(t)
	r, n := router(usual)
	l := boot(t, "none", s.node, n)
	assert.True(t, l.configured())
	l.pass(time.Minute)
	l.wires[0].inject(usual.frame())
	l.pump()
	assert.Empty(t, s.heard)
	assert.Empty(t, r.seen)
	assert.Empty(t, l.addresses(2))
	assert.Empty(t, l.stack.GetRouteTable())
	assert.Contains(t, l.files[hostsFile], "127.0.1.1 goshawk")
	l.quiet()
}

func TestNoLinks(t *testing.T) {
	l := newLab(t).start()
	assert.True(t, l.configured())
	assert.Contains(t, l.files[hostsFile], "127.0.0.1 localhost")
	assert.Contains(t, l.files, resolvConf)
}

func TestStaticAddressInUse(t *testing.T) {
	l := boot(t, "addr=10.0.2.15/24,gw=10.0.2.2", arpHost("10.0.2.15", otherMAC))
	assert.True(t, l.configured())
	l.pass(time.Minute)
	l.warned("eth0: address 10.0.2.15 is also used by 02:00:00:00:00:77", "addr=")
	assert.Equal(t, []string{"10.0.2.15/24"}, l.addresses(2))
}

func TestStaticMTUBeyondDevice(t *testing.T) {
	l := boot(t, "addr=10.0.2.15/24,mtu=9000")
	l.warned("eth0: mtu=9000 is more than the 1500 bytes that the device can do; it stays at that")
	assert.EqualValues(t, 1500, l.stack.NICInfo()[2].MTU)
}

// TestSeveralLinks shows that the first link is preferred whichever answer came first.
func TestSeveralLinks(t *testing.T) {
	first, second := newServer(t), newServer(t)
	second.give = "10.0.2.44"
	second.with = append(second.with, newServer(t).with...)
	first.silent = true
	l := newLab(t, "dhcp", "dhcp", "addr=192.168.7.1/24,dns=192.168.7.2")
	l.wires[0].nodes, l.wires[1].nodes = []node{first.node}, []node{second.node}
	l.start("dhcp", "dhcp", "addr=192.168.7.1/24,dns=192.168.7.2")
	assert.True(t, l.configured(), "one link with a default router is enough")
	assert.Equal(t, []string{"192.168.7.0/24 eth2", "10.0.2.0/24 eth1", "0.0.0.0/0 via 10.0.2.2 eth1"}, l.routes())
	assert.Equal(t, "nameserver 10.0.2.3;nameserver 192.168.7.2;", l.resolver())
	l.stack.AddRoute(tcpip.Route{Destination: l.stack.GetRouteTable()[0].Destination, NIC: 9}) // somebody else's

	first.silent = false
	l.pass(5 * time.Second)
	assert.Equal(t, []string{"10.0.2.15/24"}, l.addresses(2))
	assert.Equal(t, []string{"10.0.2.44/24"}, l.addresses(3))
	assert.Equal(t, []string{"192.168.7.0/24 eth2", "10.0.2.0/24 eth0", "10.0.2.0/24 eth1", "0.0.0.0/0 via 10.0.2.2 eth0", "0.0.0.0/0 via 10.0.2.2 eth1"},
		withoutLink(l.routes(), "eth7"))
	l.quiet()
}

func withoutLink(routes []string, link string) (list []string) {
	for _, r := range routes {
		if len(r) < len(link) || r[len(r)-len(link):] != link {
			list = append(list, r)
		}
	}
	return list
}
