package options

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func addresses(list ...string) (all []netip.Addr) {
	for _, a := range list {
		all = append(all, netip.MustParseAddr(a))
	}
	return all
}

func prefixes(list ...string) (all []netip.Prefix) {
	for _, p := range list {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}

func TestParse(t *testing.T) {
	for value, want := range map[string]Link{
		"dhcp":                         {DHCP: true},
		"none":                         {None: true},
		"dhcp,dns=1.1.1.1":             {DHCP: true, DNS: addresses("1.1.1.1")},
		"dns=1.1.1.1":                  {DHCP: true, DNS: addresses("1.1.1.1")},
		"mtu=1400,gw=10.0.0.1":         {DHCP: true, MTU: 1400, Gateways: addresses("10.0.0.1")},
		"addr=10.0.2.15/24":            {Addresses: prefixes("10.0.2.15/24")},
		"addr=10.0.2.15/24,dhcp":       {Addresses: prefixes("10.0.2.15/24"), DHCP: true},
		"addr=10.0.0.4/31":             {Addresses: prefixes("10.0.0.4/31")},
		"addr=10.0.0.4/32,gw=10.9.0.1": {Addresses: prefixes("10.0.0.4/32"), Gateways: addresses("10.9.0.1")},
		"addr=10.0.2.15/24,gw=10.0.2.2,dns=10.0.2.3,dns=9.9.9.9,ntp=10.0.2.4,ntp=fd00::4,addr=fd00::2/64,gw=fe80::1,mtu=9000,domain=example.org.,search=a.example,search=_x.b": {
			Addresses: prefixes("10.0.2.15/24", "fd00::2/64"), Gateways: addresses("10.0.2.2", "fe80::1"),
			DNS: addresses("10.0.2.3", "9.9.9.9"), NTP: addresses("10.0.2.4", "fd00::4"),
			Domain: "example.org", Search: []string{"a.example", "_x.b"}, MTU: 9000,
		},
	} {
		got, err := Parse(value)
		require.NoError(t, err, value)
		assert.Equal(t, want, got, value)
	}
	assert.Equal(t, Link{DHCP: true}, Default())
}

func TestParseRefuses(t *testing.T) {
	for value, reason := range map[string]string{
		"":                                    `"": empty word`,
		"dhcp,":                               `"": empty word`,
		"dhpc":                                `"dhpc": unknown word`,
		"dhcp=1":                              `"dhcp=1": takes no value`,
		"none,dhcp":                           "none goes with no other word",
		"none,mtu=1500":                       "none goes with no other word",
		"addr":                                `"addr": lacks a value; write addr=...`,
		"addr=":                               "lacks a value",
		"addr=10.0.2.15":                      "lacks the length of the subnet's prefix; write addr=10.0.2.15/BITS",
		"addr=10.0.2.300/24":                  "not an address with the length",
		"addr=10.0.2.15/33":                   "not an address with the length",
		"addr=10.0.2.0/24":                    "is the address of the subnet",
		"addr=10.0.2.255/24":                  "is the broadcast address of the subnet 10.0.2.0/24",
		"addr=10.1.2.3/0":                     "a subnet of all addresses",
		"addr=127.0.0.1/8":                    "no address of a host",
		"addr=224.0.0.1/24":                   "no address of a host",
		"addr=::/64":                          "no address of a host",
		"addr=::ffff:10.0.0.1/120":            "write the IPv4 address 10.0.0.1",
		"addr=10.0.2.15/24,addr=10.0.2.15/16": "is given twice",
		"addr=10.0.2.15/24,gw=10.0.3.1":       "gw=10.0.3.1: not in the subnet 10.0.2.0/24 of the link",
		"addr=10.0.2.15/24,gw=10.0.2.15":      "is this machine's own address",
		"addr=10.0.2.15/24,gw=10.0.2.1,gw=10.0.2.2":       "second default router",
		"addr=fd00::2/64,gw=10.0.2.2":                     "gw=10.0.2.2: there is no address of the same family",
		"addr=fd00::2/64,gw=fd01::1":                      "gw=fd01::1: not in the subnet fd00::/64",
		"gw=router":                                       "not an IP address",
		"dns=fe80::1%eth0":                                "without zone",
		"dns=0.0.0.0":                                     "no address of a host",
		"dns=1.1.1.1,dns=1.1.1.1":                         "is given twice",
		"dns=1.1.1.1,dns=1.1.1.2,dns=1.1.1.3,dns=1.1.1.4": "3 name servers",
		"ntp=pool.ntp.org":                                "names are not possible",
		"mtu=0":                                           "from 576 to 65535",
		"mtu=70000":                                       "from 576 to 65535",
		"mtu=x":                                           "from 576 to 65535",
		"mtu=600,addr=fd00::2/64":                         "IPv6 needs at least 1280",
		"domain=a..b":                                     "not a domain name",
		"domain=a b":                                      "not a domain name",
		"domain=a,domain=b":                               "second domain",
		"search=" + strings.Repeat("a", 64):               "not a domain name",
	} {
		_, err := Parse(value)
		if assert.ErrorContains(t, err, reason, value) {
			assert.True(t, strings.HasPrefix(err.Error(), "net="+value+": "), err.Error())
		}
	}
}

func TestCheckHostname(t *testing.T) {
	for _, name := range []string{"a", "web-1", "web.example.org", "1a", strings.Repeat("a", 63)} {
		assert.NoError(t, CheckHostname(name), name)
	}
	for _, name := range []string{"", ".", "a.", "-a", "a-", "a.-b", "a_b", "a b", "ä", "a\nb", strings.Repeat("a", 64), strings.Repeat("a.", 32) + "b"} {
		assert.ErrorContains(t, CheckHostname(name), "hostname=", name)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("addr=10.0.2.15/24,gw=10.0.2.2,dns=10.0.2.3")
	f.Add("dhcp,mtu=1400,search=a.b")
	f.Fuzz(func(t *testing.T, value string) {
		l, err := Parse(value)
		if err != nil {
			assert.Equal(t, Link{}, l)
			return
		}
		assert.True(t, l.None || l.DHCP || len(l.Addresses) > 0)
	})
}
