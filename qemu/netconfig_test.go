package qemu_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/goshawk-os/goshawk/qemu"
	"github.com/goshawk-os/goshawk/qemu/relay"
)

// TestNetNames has a DNS server of the test's own answer: addresses, texts, names, nothing, and what is
// too long for UDP.
func TestNetNames(t *testing.T) {
	n, peer := onWire(t, relay.Faults{})
	at := netip.MustParseAddrPort(peerAddr + ":53")
	packets, err := peer.ListenPacket(at)
	require.NoError(t, err)
	defer packets.Close()
	streams, err := peer.Listen(at)
	require.NoError(t, err)
	defer streams.Close()
	go serveDNS(packets, streams)

	for _, c := range []struct{ call, argument, want, fails string }{
		{call: "lookup", argument: "hawk.example.", want: "192.0.2.7\n2001:db8::7\n"},
		{call: "lookup", argument: "nobody.example.", fails: "no such host"},
		{call: "lookup-txt", argument: "short.example.", want: "a text\n"},
		{call: "lookup-txt", argument: "long.example.", want: strings.Repeat(strings.Repeat("x", 200)+"\n", 20)},
		{call: "lookup-addr", argument: "192.0.2.7", want: "hawk.example.\n"},
		{call: "lookup", argument: "localhost", want: "127.0.0.1\n::1\n"},
	} {
		text, err := n.call(c.call, c.argument)
		if c.fails != "" {
			assert.ErrorContains(t, err, c.fails, c.argument)
			continue
		}
		assert.NoError(t, err, c.argument)
		assert.ElementsMatch(t, strings.Fields(c.want), strings.Fields(text), c.argument)
	}
	text, err := n.call("read", "/etc/resolv.conf")
	require.NoError(t, err)
	assert.Contains(t, text, "nameserver "+peerAddr+"\n")
}

// serveDNS answers until both are closed.
func serveDNS(packets net.PacketConn, streams net.Listener) {
	go func() {
		for {
			c, err := streams.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				var length [2]byte
				if _, err := io.ReadFull(c, length[:]); err != nil {
					return
				}
				query := make([]byte, int(length[0])<<8|int(length[1]))
				if _, err := io.ReadFull(c, query); err != nil {
					return
				}
				answer, err := answerDNS(query, 65535)
				if err == nil {
					c.Write(append([]byte{byte(len(answer) >> 8), byte(len(answer))}, answer...))
				}
			}()
		}
	}()
	buf := make([]byte, 4096)
	for {
		n, from, err := packets.ReadFrom(buf)
		if err != nil {
			return
		}
		answer, err := answerDNS(buf[:n], 1232)
		if err != nil {
			continue
		}
		packets.WriteTo(answer, from)
	}
}

// answerDNS makes the answer to a query. If it is longer than limit it says to ask by TCP.
func answerDNS(query []byte, limit int) ([]byte, error) {
	var p dnsmessage.Parser
	header, err := p.Start(query)
	if err != nil {
		return nil, err
	}
	q, err := p.Question()
	if err != nil {
		return nil, err
	}
	name := q.Name.String()
	header.Response, header.RecursionAvailable = true, true
	known := map[string]bool{"hawk.example.": true, "short.example.": true, "long.example.": true, "7.2.0.192.in-addr.arpa.": true}
	if !known[name] {
		header.RCode = dnsmessage.RCodeNameError
	}
	if name == "long.example." && limit < 4000 {
		header.Truncated, name = true, ""
	}
	b := dnsmessage.NewBuilder(nil, header)
	h := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 60}
	texts := map[string][]string{"short.example.": {"a text"}, "long.example.": nil}
	for range 20 {
		texts["long.example."] = append(texts["long.example."], strings.Repeat("x", 200))
	}
	if err := errors.Join(b.StartQuestions(), b.Question(q), b.StartAnswers()); err != nil {
		return nil, err
	}
	switch {
	case q.Type == dnsmessage.TypeA && name == "hawk.example.":
		err = b.AResource(h, dnsmessage.AResource{A: [4]byte{192, 0, 2, 7}})
	case q.Type == dnsmessage.TypeAAAA && name == "hawk.example.":
		err = b.AAAAResource(h, dnsmessage.AAAAResource{AAAA: netip.MustParseAddr("2001:db8::7").As16()})
	case q.Type == dnsmessage.TypePTR && known[name]:
		err = b.PTRResource(h, dnsmessage.PTRResource{PTR: dnsmessage.MustNewName("hawk.example.")})
	case q.Type == dnsmessage.TypeTXT:
		for _, text := range texts[name] {
			err = errors.Join(err, b.TXTResource(h, dnsmessage.TXTResource{TXT: []string{text}}))
		}
	}
	if err != nil {
		return nil, err
	}
	return b.Finish()
}

// TestNetNoDHCP: nobody answers; the console says so, and the rest works.
func TestNetNoDHCP(t *testing.T) {
	t.Parallel() // it waits much
	nic, accept := newWire(t)
	user, places := forwarded(t, 80)
	n := startServer(t, qemu.Network(nic, user))
	newPeer(t, accept())
	n.prints("goshawk: eth0: no DHCP answer")
	n.url = "http://" + places[80]
	assert.Equal(t, "HTTP/1.1 from linux\n", n.get("/"))
}

// TestNetDuplicateAddress: another host has the guest's address.
func TestNetDuplicateAddress(t *testing.T) {
	nic, accept := newWire(t)
	nic.Config = "addr=" + peerAddr + "/24"
	n := startProgram(t, build(t, "./guest/netd").image, qemu.Network(nic))
	newPeer(t, accept())
	n.prints("goshawk: eth0: address " + peerAddr + " is also used by " + relay.PeerMAC.String())
	n.prints("ready\n")
}

// TestNetNoDriver: a network card that the guest has no driver for is named, and another one works.
func TestNetNoDriver(t *testing.T) {
	user, places := forwarded(t, 80)
	n := startServer(t, qemu.On(qemu.Q35), qemu.Network(qemu.NIC{Model: "e1000"}, user))
	assert.Regexp(t, `goshawk: .*8086:100e.*without a driver`, n.console.String())
	n.url = "http://" + places[80]
	assert.Equal(t, "HTTP/1.1 from linux\n", n.get("/"))
}

// TestNetNone: without a device there is the loopback, and errors that say what is the matter.
func TestNetNone(t *testing.T) {
	image := build(t, "./guest/netd").image
	r := qemu.Run(t, image, qemu.Args("call", "listen", "127.0.0.1:81"))
	assert.Equal(t, "127.0.0.1:81\n", r.Console)
	r = qemu.Run(t, image, qemu.Args("call", "interfaces"))
	assert.Regexp(t, `^1 lo up\|loopback\|running 65536 \[127.0.0.1/8 ::1/128\]\n$`, r.Console)
	r = qemu.Run(t, image, qemu.Args("call", "dial", "192.0.2.1:80"))
	assert.Equal(t, "netd: dial tcp 192.0.2.1:80: connect: network is unreachable\n", r.Console)
	assert.Equal(t, 1, r.Status)
}

// TestNetSeveral: devices get their names in the order in which they are given, on each machine, with
// addresses, MTU and host name as configured.
func TestNetSeveral(t *testing.T) {
	for _, kind := range qemu.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			wire, accept := newWire(t)
			wire.Config = wireConfig + ",mtu=1400"
			idle, _ := newWire(t)
			idle.Config, idle.MAC = "none", net.HardwareAddr{2, 0, 0, 0, 0, 9}
			user, places := forwarded(t, 80)
			n := startServer(t, qemu.On(kind), qemu.Network(user, wire, idle), func(m *qemu.Machine) { m.Hostname = "several.example" })
			peer := newPeer(t, accept())
			n.url = "http://" + places[80]
			text, err := n.call("interfaces", "")
			require.NoError(t, err)
			assert.Contains(t, text, "\n2 eth0 up|broadcast|multicast|running 1500 [10.0.2.15/24 ")
			assert.Contains(t, text, "\n3 eth1 up|broadcast|multicast|running 1400 [10.0.0.2/24 fd00::2/64 ")
			assert.Regexp(t, `\n4 eth2 \S+ 1500 \[`, text)
			n.url = "http://" + guestAddr
			n.client = http.Client{Transport: &http.Transport{DialContext: peer.DialContext}, Timeout: time.Minute}
			assert.Contains(t, n.get("/peer"), peerAddr+":")
			name, err := n.call("hostname", "")
			require.NoError(t, err)
			assert.Equal(t, "several.example\n", name)
			n.client.CloseIdleConnections()
		})
	}
}

// TestNetTwoGuests joins two machines.
func TestNetTwoGuests(t *testing.T) {
	addr, err := qemu.FreePort("tcp", netip.MustParseAddr("127.0.0.1"))
	require.NoError(t, err)
	image := build(t, "./guest/netd").image
	server := startServer(t, qemu.Network(qemu.NIC{Backend: qemu.Stream{Listen: true, Network: "tcp", Address: addr.String()}, Config: "addr=10.0.0.1/24"}))
	assert.NotContains(t, server.console.String(), "goshawk:")
	r := qemu.Run(t, image, qemu.Args("call", "get", "http://10.0.0.1/peer"),
		qemu.Network(qemu.NIC{Backend: qemu.Stream{Network: "tcp", Address: addr.String()}, Config: "addr=10.0.0.2/24"}))
	require.NoError(t, r.Err)
	assert.Regexp(t, `^10\.0\.0\.2:\d+\n$`, r.Console)
}

// TestNetPortInUse: QEMU itself finds a forwarded port taken by then.
func TestNetPortInUse(t *testing.T) {
	user, places := forwarded(t, 80)
	l, err := net.Listen("tcp", places[80])
	require.NoError(t, err)
	defer l.Close()
	_, err = qemu.New(build(t, "./guest/netd").image, qemu.Network(user)).Start(t.Context())
	var port *qemu.PortError
	require.ErrorAs(t, err, &port)
	assert.ErrorContains(t, err, fmt.Sprintf("tcp port %d of 127.0.0.1 is in use by another program", port.Forward.Host.Port()))
}

// TestNetTime has a time server of the test's own tell the guest an hour of next year.
func TestNetTime(t *testing.T) {
	nic, accept := newWire(t)
	nic.Config = wireConfig + ",ntp=" + peerAddr
	n := startProgram(t, build(t, "./guest/netd").image, qemu.Network(nic))
	peer := newPeer(t, accept())
	at := time.Now().Add(365 * 24 * time.Hour)
	packets, err := peer.ListenPacket(netip.MustParseAddrPort(peerAddr + ":123"))
	require.NoError(t, err)
	defer packets.Close()
	go serveTime(packets, at)
	n.prints("ready\n")
	n.url = "http://" + guestAddr
	n.client = http.Client{Transport: &http.Transport{DialContext: peer.DialContext}, Timeout: time.Minute}
	defer n.client.CloseIdleConnections()
	assert.EventuallyWithT(t, func(c *assert.CollectT) {
		text, err := n.call("clock", "")
		require.NoError(c, err)
		now, err := time.Parse(time.RFC3339, text)
		require.NoError(c, err)
		assert.WithinDuration(c, at, now, 5*time.Minute)
	}, time.Minute, 100*time.Millisecond)
}

// serveTime answers as an NTP server of stratum 1 whose clock shows at now (RFC 5905, section 7.3).
func serveTime(c net.PacketConn, at time.Time) {
	start := time.Now()
	buf := make([]byte, 512)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		if n < 48 || buf[0]&7 != 3 { // mode: client
			continue
		}
		since1900 := at.Add(time.Since(start)).Sub(time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)) + 2208988800*time.Second
		stamp := uint64(since1900/time.Second)<<32 | uint64(since1900%time.Second)<<32/1e9
		answer := make([]byte, 48)
		answer[0], answer[1], answer[2], answer[3] = 4<<3|4, 1, 6, 0xec // version, mode server; stratum, poll, precision
		copy(answer[12:], "TEST")
		binary.BigEndian.PutUint64(answer[16:], stamp-1<<32)
		copy(answer[24:32], buf[40:48])
		binary.BigEndian.PutUint64(answer[32:], stamp)
		binary.BigEndian.PutUint64(answer[40:], stamp)
		c.WriteTo(answer, from)
	}
}

// TestNetPacketSocket has a program in the guest see frames of both directions by AF_PACKET.
func TestNetPacketSocket(t *testing.T) {
	n, peer := onWire(t, relay.Faults{})
	echo, err := peer.ListenPacket(netip.MustParseAddrPort(peerAddr + ":7"))
	require.NoError(t, err)
	defer echo.Close()
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := echo.ReadFrom(buf)
			if err != nil {
				return
			}
			echo.WriteTo(buf[:n], from)
		}
	}()
	text, err := n.call("capture", peerAddr+":7")
	require.NoError(t, err)
	const headers = 14 + 20 + 8
	assert.Regexp(t, fmt.Sprintf(`^from us: %[1]d more bytes, ethertype 0x0800, from %[2]v\nto us: %[1]d more bytes, ethertype 0x0800, from [0-9a-f:]{17}\n$`,
		headers, guestMAC), text)
}
