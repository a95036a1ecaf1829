package main

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/qemu"
)

func TestParseNIC(t *testing.T) {
	for text, want := range map[string]*qemu.NIC{
		"none": nil,
		"user": {Backend: qemu.User{}},
		"dhcp": {Backend: qemu.User{}, Config: "dhcp"},
		"addr=10.0.0.2/24,gw=10.0.0.1,dns=10.0.0.1,dns=9.9.9.9,addr=fd00::2/64,mtu=1400": {
			Backend: qemu.User{
				Guest: netip.MustParsePrefix("10.0.0.2/24"), Gateway: netip.MustParseAddr("10.0.0.1"), Guest6: netip.MustParsePrefix("fd00::2/64"),
			},
			Config: "addr=10.0.0.2/24,gw=10.0.0.1,dns=10.0.0.1,dns=9.9.9.9,addr=fd00::2/64,mtu=1400",
		},
		"tap=tap0,mac=02:00:00:00:00:01,addr=10.0.0.2/24": {
			Backend: qemu.Tap("tap0"), MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, Config: "addr=10.0.0.2/24",
		},
		"tap=tap0,none":             {Backend: qemu.Tap("tap0"), Config: "none"},
		"socket=listen:9000":        {Backend: qemu.Stream{Listen: true, Network: "tcp", Address: "127.0.0.1:9000"}},
		"socket=listen:[::1]:9000":  {Backend: qemu.Stream{Listen: true, Network: "tcp", Address: "[::1]:9000"}},
		"socket=connect:a.b:9000":   {Backend: qemu.Stream{Network: "tcp", Address: "a.b:9000"}},
		"socket=connect:./x":        {Backend: qemu.Stream{Network: "unix", Address: "./x"}},
		"socket=mcast:230.0.0.1:99": {Backend: qemu.Datagram{Network: "udp", Remote: "230.0.0.1:99"}},
	} {
		got, err := parseNIC(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	for text, want := range map[string]string{
		"":                          "no words",
		"frob":                      `"frob": unknown word`,
		"user,tap=x":                "one connection",
		"user=x":                    "user has no value",
		"mac=x":                     "invalid MAC address",
		"addr=10.0.0.2":             "write addr=10.0.0.2/BITS",
		"addr=10.0.0.300/24":        "not an address with the length",
		"tap=x,none,dhcp":           "none goes with no other word",
		"addr=10.0.0.2/24,gw=x":     "not an IP address",
		"socket=9000":               "write socket=listen:PORT",
		"socket=listen:":            "write socket=listen:PORT",
		"socket=connect:9000":       "write socket=listen:PORT",
		"socket=listen:99999":       "write socket=listen:PORT",
		"socket=mcast:10.0.0.1:900": "10.0.0.1 is no group",
	} {
		_, err := parseNIC(text)
		assert.ErrorContains(t, err, want, text)
	}
}

func TestParseForward(t *testing.T) {
	forward := func(udp bool, host string, guest uint16) qemu.Forward {
		return qemu.Forward{UDP: udp, Host: netip.MustParseAddrPort(host), Guest: guest}
	}
	for text, want := range map[string]qemu.Forward{
		"80":                  forward(false, "127.0.0.1:0", 80),
		":80":                 forward(false, "127.0.0.1:0", 80),
		"0:80/tcp":            forward(false, "127.0.0.1:0", 80),
		"8080:80":             forward(false, "127.0.0.1:8080", 80),
		"0.0.0.0:5353:53/udp": forward(true, "0.0.0.0:5353", 53),
		"192.168.0.1::80":     forward(false, "192.168.0.1:0", 80),
		"[::1]:8080:80":       forward(false, "[::1]:8080", 80), // the machine refuses it
		"65535:65535":         forward(false, "127.0.0.1:65535", 65535),
	} {
		got, err := parseForward(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	for text, want := range map[string]string{
		"":             `"" is no port`,
		"http":         `"http" is no port`,
		"8080:":        `"" is no port`,
		"8080:0":       "cannot be 0",
		"65536:80":     `"65536" is no port`,
		"80/sctp":      `"sctp" is not tcp or udp`,
		"80/":          `"" is not tcp or udp`,
		"host:8080:80": `"host" is no IP address`,
		"1:2:3:4":      `"1:2" is no IP address`,
	} {
		_, err := parseForward(text)
		assert.ErrorContains(t, err, want, text)
	}
}

func TestChoosePort(t *testing.T) {
	f := qemu.Forward{Host: netip.MustParseAddrPort("127.0.0.1:0"), Guest: 80}
	taken := map[netip.AddrPort]bool{netip.MustParseAddrPort("127.0.0.1:8080"): true}
	got, err := choosePort(f, taken)
	require.NoError(t, err)
	assert.NotEqual(t, uint16(8080), got.Port())
	assert.NotZero(t, got.Port())
	if free, err := qemu.FreePort("tcp", f.Host.Addr()); assert.NoError(t, err) {
		f.Guest = free.Port()
		got, err = choosePort(f, taken)
		require.NoError(t, err)
		assert.Equal(t, free, got)
	}
}

func TestAnnounce(t *testing.T) {
	apply := func(n networkFlags) *qemu.Machine {
		vm := qemu.New("")
		require.NoError(t, n.apply(vm))
		return vm
	}
	var b bytes.Buffer
	vm := apply(networkFlags{ports: []string{"18080:80", "0.0.0.0:18443:443", "19999:9999", "15353:53/udp"}})
	announce(vm, &b)
	for _, addr := range []string{"[::]:80", "0.0.0.0:80", "0.0.0.0:443", "[::]:9999", "[::]:1", "[::]:2", "[::]:3"} {
		vm.Listening("tcp", netip.MustParseAddrPort(addr))
	}
	assert.Equal(t, `goshawk: the guest's UDP port 53 is at 127.0.0.1:15353
goshawk: guest port 80 answers at 127.0.0.1:18080 (http://127.0.0.1:18080/)
goshawk: guest port 443 answers at 0.0.0.0:18443 (https://127.0.0.1:18443/)
goshawk: guest port 9999 answers at 127.0.0.1:19999
`, b.String())

	b.Reset()
	vm = apply(networkFlags{})
	announce(vm, &b)
	for port := range uint16(5) {
		vm.Listening("tcp", netip.AddrPortFrom(netip.IPv6Unspecified(), 1000+port))
	}
	assert.Equal(t, `goshawk: the guest listens on port 1000, to which nothing leads; for that: goshawk run -p 1000
goshawk: the guest listens on port 1001, to which nothing leads; for that: goshawk run -p 1001
goshawk: the guest listens on port 1002, to which nothing leads; for that: goshawk run -p 1002
`, b.String())

	b.Reset()
	vm = apply(networkFlags{nets: []string{"socket=listen:9000,addr=10.0.0.2/24,addr=fd00::2/64", "tap=tap0"}})
	announce(vm, &b)
	vm.Listening("tcp", netip.MustParseAddrPort("[::]:80"))
	assert.Equal(t, `goshawk: guest port 80 answers at 10.0.0.2:80 (http://10.0.0.2/)
goshawk: guest port 80 answers at [fd00::2]:80 (http://[fd00::2]/)
`, b.String())
}
