package configure

import (
	"net"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/rfc1035label"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

func TestDHCP(t *testing.T) {
	for name, unicast := range map[string]bool{"broadcast answers": false, "answers to the address to come": true} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.unicast = unicast
			l := bootDHCP(s, "dhcp")
			// No time has passed.
			assert.Zero(t, l.now())
			assert.Equal(t, []dhcpv4.MessageType{typeDiscover, typeRequest}, s.kinds())
			assert.Equal(t, []string{"10.0.2.15/24"}, l.addresses(2))
			assert.Equal(t, []string{"10.0.2.0/24 eth0", "0.0.0.0/0 via 10.0.2.2 eth0"}, l.routes())
			assert.Equal(t, "nameserver 10.0.2.3;", l.resolver())
			assert.Equal(t, "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n10.0.2.15 goshawk\n", l.files[hostsFile])
			assert.Equal(t, "goshawk", l.hostname)
			assert.True(t, l.configured())
			assert.False(t, l.c.Wait())

			discover, request := s.heard[0], s.heard[1]
			for _, m := range s.heard {
				assert.Equal(t, "0.0.0.0:68", m.from.String())
				assert.Equal(t, "255.255.255.255:67", m.to.String())
				assert.Equal(t, header.EthernetBroadcastAddress, m.toMAC)
				assert.True(t, m.ClientIPAddr.IsUnspecified())
				assert.False(t, m.IsBroadcast())
				assert.Nil(t, m.Options.Get(dhcpv4.OptionHostName))
			}
			assert.Equal(t, discover.TransactionID, request.TransactionID)
			assert.Equal(t, "10.0.2.15", request.RequestedIPAddress().String())
			assert.Equal(t, "10.0.2.2", request.ServerIdentifier().String())

			l.pass(time.Minute)
			assert.Len(t, s.heard, 2)
			l.quiet()
		})
	}
}

func TestDHCPOptions(t *testing.T) {
	s := newServer(t)
	s.with = append(s.with,
		dhcpv4.WithDNS(net.IPv4(10, 0, 2, 3), net.IPv4(10, 0, 2, 4), net.IPv4(10, 0, 2, 3), net.IPv4zero, net.IPv4bcast, net.IPv4(127, 0, 0, 53)),
		dhcpv4.WithOption(dhcpv4.OptDomainName("example.org")),
		dhcpv4.WithOption(dhcpv4.OptDomainSearch(&rfc1035label.Labels{Labels: []string{"a.example.org", "b.example.org"}})),
		dhcpv4.WithOption(dhcpv4.OptHostName("web")),
		dhcpv4.WithGeneric(dhcpv4.OptionInterfaceMTU, []byte{1400 >> 8, 1400 & 0xff}),
	)
	l := bootDHCP(s, "dhcp")
	assert.Equal(t, "nameserver 10.0.2.3;nameserver 10.0.2.4;search a.example.org b.example.org;", l.resolver())
	assert.Equal(t, "web", l.hostname)
	assert.Contains(t, l.files[hostsFile], "\n10.0.2.15 web.example.org web\n")
	assert.EqualValues(t, 1400, l.stack.NICInfo()[2].MTU)
	l.quiet()
}

func TestDHCPOptionsGiven(t *testing.T) {
	s := newServer(t)
	s.with = append(s.with, dhcpv4.WithOption(dhcpv4.OptHostName("web")), dhcpv4.WithOption(dhcpv4.OptDomainName("example.org")))
	l := newLab(t).with(Options{Hostname: "mine"}, "")
	s.lab, l.wires[0].nodes = l, []node{s.node}
	l.start("dhcp,dns=1.1.1.1,gw=10.0.2.9,domain=x.example,search=y.example,mtu=1300,addr=10.9.0.1/24")
	assert.Equal(t, "nameserver 1.1.1.1;search x.example y.example;", l.resolver())
	assert.Equal(t, []string{"10.0.2.15/24", "10.9.0.1/24"}, l.addresses(2))
	assert.Equal(t, []string{"10.9.0.0/24 eth0", "10.0.2.0/24 eth0", "0.0.0.0/0 via 10.0.2.9 eth0"}, l.routes())
	assert.Equal(t, "mine", l.hostname)
	assert.Equal(t, "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n10.0.2.15 mine.x.example mine\n10.9.0.1 mine.x.example mine\n", l.files[hostsFile])
	assert.EqualValues(t, 1300, l.stack.NICInfo()[2].MTU)
	for _, m := range s.heard {
		assert.Equal(t, "mine", m.HostName())
	}
	l.quiet()
}

func TestDHCPRoutes(t *testing.T) {
	ip := func(s string) net.IP { return net.ParseIP(s).To4() }
	route := func(to, via string) *dhcpv4.Route {
		_, dest, err := net.ParseCIDR(to)
		require.NoError(t, err)
		return &dhcpv4.Route{Dest: dest, Router: ip(via)}
	}
	for name, c := range map[string]struct {
		with []dhcpv4.Modifier
		give string
		want []string
	}{
		"classless routes replace the router": {
			with: []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptClasslessStaticRoute(
				route("192.168.0.0/16", "10.0.2.7"), route("192.168.128.0/20", "10.0.2.8"), route("0.0.0.0/0", "10.0.2.9")))},
			want: []string{"10.0.2.0/24 eth0", "192.168.128.0/20 via 10.0.2.8 eth0", "192.168.0.0/16 via 10.0.2.7 eth0", "0.0.0.0/0 via 10.0.2.9 eth0"},
		},
		"a network where each host is alone": {
			give: "10.128.0.5",
			with: []dhcpv4.Modifier{
				dhcpv4.WithNetmask(net.CIDRMask(32, 32)),
				dhcpv4.WithOption(dhcpv4.OptClasslessStaticRoute(route("10.128.0.1/32", "0.0.0.0"), route("0.0.0.0/0", "10.128.0.1"))),
			},
			want: []string{"10.128.0.5/32 eth0", "10.128.0.1/32 eth0", "0.0.0.0/0 via 10.128.0.1 eth0"},
		},
		"routes to nowhere": {
			with: []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptClasslessStaticRoute(
				route("127.0.0.0/8", "10.0.2.7"), route("224.0.0.0/4", "10.0.2.7"), route("10.1.0.0/16", "10.0.2.15"), route("10.2.0.0/16", "255.255.255.255")))},
			want: []string{"10.0.2.0/24 eth0"},
		},
		"damaged routes do not count": {
			with: []dhcpv4.Modifier{dhcpv4.WithGeneric(dhcpv4.OptionClasslessStaticRoute, []byte{33, 1, 2, 3, 4, 5, 6, 7, 8, 9})},
			want: []string{"10.0.2.0/24 eth0", "0.0.0.0/0 via 10.0.2.2 eth0"},
		},
		"no router": {
			with: []dhcpv4.Modifier{dhcpv4.WithRouter(net.IPv4(224, 0, 0, 1), net.IPv4zero)},
			want: []string{"10.0.2.0/24 eth0"},
		},
		"no mask": {
			with: []dhcpv4.Modifier{dhcpv4.WithoutOption(dhcpv4.OptionSubnetMask)},
			want: []string{"10.0.0.0/8 eth0", "0.0.0.0/0 via 10.0.2.2 eth0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.with = append(s.with, c.with...)
			if c.give != "" {
				s.give = c.give
			}
			l := bootDHCP(s, "dhcp")
			assert.Equal(t, c.want, l.routes())
			l.quiet()
		})
	}
}

func TestDHCPRapidCommit(t *testing.T) {
	s := newServer(t)
	s.answer = func(m *dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 {
		require.True(t, m.Options.Has(dhcpv4.GenericOptionCode(optRapidCommit)))
		return []*dhcpv4.DHCPv4{s.reply(m, dhcpv4.MessageTypeAck, dhcpv4.WithGeneric(dhcpv4.GenericOptionCode(optRapidCommit), nil))}
	}
	l := bootDHCP(s, "dhcp")
	assert.Equal(t, []dhcpv4.MessageType{typeDiscover}, s.kinds())
	assert.Equal(t, []string{"10.0.2.15/24"}, l.addresses(2))

	// An ACK that nobody asked for is not one.
	s = newServer(t)
	s.answer = func(m *dhcpv4.DHCPv4) []*dhcpv4.DHCPv4 {
		return []*dhcpv4.DHCPv4{s.reply(m, dhcpv4.MessageTypeAck)}
	}
	l = bootDHCP(s, "dhcp")
	assert.Empty(t, l.addresses(2))
}
