package configure

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// An ntpServer is a time server, whose clock is right if the lab's is.
type ntpServer struct {
	t      *testing.T
	lab    *lab
	ip     string
	silent bool
	change func(b []byte) []byte // of the answer, nil for none
	delay  time.Duration         // that the server says to have needed
	asked  []time.Duration
	from   []uint16 // ports
}

func ntpStamp(t time.Time) uint64 {
	return uint64(t.Unix()+2208988800)<<32 | uint64(t.Nanosecond())<<32/1e9
}

func (s *ntpServer) node(frame []byte) [][]byte {
	d, ok := parseDatagram(s.t, frame)
	if !ok || d.to.String() != netip.AddrPortFrom(netip.MustParseAddr(s.ip), ntpPort).String() {
		return nil
	}
	require.Len(s.t, d.data, ntpSize)
	assert.EqualValues(s.t, 4<<3|3, d.data[0])
	s.asked, s.from = append(s.asked, s.lab.now()), append(s.from, d.from.Port())
	if s.silent {
		return nil
	}
	now := epoch.Add(s.lab.now())
	b := make([]byte, ntpSize)
	b[0], b[1], b[2], b[3] = 4<<3|4, 2, 6, 0xec
	copy(b[12:], "\x0a\x00\x00\x01")
	copy(b[24:], d.data[40:48])
	binary.BigEndian.PutUint64(b[32:], ntpStamp(now.Add(-s.delay)))
	binary.BigEndian.PutUint64(b[40:], ntpStamp(now))
	if s.change != nil {
		b = s.change(b)
	}
	a := datagram{fromMAC: serverMAC, toMAC: d.fromMAC, from: d.to, to: d.from, data: b}
	return [][]byte{a.frame()}
}

// bootNTP boots a lab, whose clock is off by this much, with these time servers.
func bootNTP(t *testing.T, off time.Duration, servers ...*ntpServer) *lab {
	l := newLab(t, "")
	l.wall.offset = off
	value := "addr=10.0.2.15/24,addr=fd00::2/64"
	for _, s := range servers {
		s.t, s.lab = t, l
		value += ",ntp=" + s.ip
		l.wires[0].nodes = append(l.wires[0].nodes, s.node, arpHost(s.ip, serverMAC))
	}
	l.start(value)
	l.pass(1500 * time.Millisecond)
	return l
}

func TestNTP(t *testing.T) {
	s := &ntpServer{ip: "10.0.2.4"}
	l := bootNTP(t, -time.Hour, s)
	require.Len(t, s.asked, 1)
	require.Len(t, l.wall.steps, 1)
	assert.InDelta(t, time.Hour, l.wall.steps[0], float64(time.Millisecond))
	assert.InDelta(t, 0, l.wall.offset, float64(time.Millisecond))

	l.wall.offset = 50 * time.Millisecond
	l.pass(90 * time.Second)
	assert.Len(t, l.wall.steps, 1)
	require.NotEmpty(t, l.wall.slews)
	assert.InDelta(t, -50*time.Millisecond, l.wall.slews[0], float64(time.Millisecond))

	l.pass(24 * time.Hour)
	gap := 64 * time.Second
	for i := 1; i < len(s.asked); i++ {
		assert.InDelta(t, gap.Seconds(), (s.asked[i] - s.asked[i-1]).Seconds(), gap.Seconds()/4+6)
		gap = min(2*gap, maxPoll)
	}
	assert.InDelta(t, 24*3600/1024, len(s.asked), 10)
	assert.Len(t, l.wall.steps, 1)
	ports := make(map[uint16]bool)
	for _, p := range s.from {
		ports[p] = true
	}
	assert.Greater(t, len(ports), len(s.from)/2)
	l.quiet()

	// A clock that was stepped is looked after more closely.
	before := len(s.asked)
	l.wall.offset = time.Minute
	l.pass(30 * time.Minute)
	assert.Len(t, l.wall.steps, 2)
	assert.GreaterOrEqual(t, len(s.asked)-before, 3)
}

func TestNTPFromDHCP(t *testing.T) {
	d := newServer(t)
	d.with = append(d.with, func(m *dhcpMessage) { m.UpdateOption(optNTPServers("10.0.2.4", "10.0.2.5")) })
	n := &ntpServer{t: t, ip: "10.0.2.4"}
	l := newLab(t, "dhcp")
	l.wall.offset = time.Hour
	d.lab, n.lab = l, l
	l.wires[0].nodes = []node{d.node, n.node, arpHost("10.0.2.4", serverMAC)}
	l.start("dhcp")
	assert.Len(t, l.wall.steps, 1)
}

func TestNTPFromNobody(t *testing.T) {
	n := &ntpServer{t: t, ip: "10.0.2.4"}
	l := newLab(t, "dhcp")
	d := newServer(t)
	n.lab, d.lab = l, l
	l.wires[0].nodes = []node{d.node, n.node}
	l.start("dhcp")
	l.pass(time.Hour)
	assert.Empty(t, n.asked)
}

func TestNTPFailingServer(t *testing.T) {
	bad, good := &ntpServer{ip: "10.0.2.4", silent: true}, &ntpServer{ip: "10.0.2.5"}
	l := bootNTP(t, time.Hour, bad, good)
	l.pass(5 * time.Second)
	assert.Len(t, bad.asked, 1)
	assert.Len(t, l.wall.steps, 1)
	l.pass(time.Hour)
	assert.Len(t, bad.asked, 1, "it stays with the server that answers")
	l.quiet()

	good.silent = true
	l.pass(3 * time.Hour)
	l.warned("no NTP server answers (10.0.2.4, 10.0.2.5)")
	asked := len(bad.asked) + len(good.asked)
	l.pass(24 * time.Hour)
	l.quiet()
	assert.LessOrEqual(t, len(bad.asked)+len(good.asked)-asked, 2*24*3600/1024+10)
	good.silent = false
	l.wall.offset = time.Hour
	l.pass(time.Hour)
	assert.Len(t, l.wall.steps, 2)
}

func TestNTPKissOfDeath(t *testing.T) {
	kiss := func(code string) func(b []byte) []byte {
		return func(b []byte) []byte { b[1] = 0; copy(b[12:], code); return b }
	}
	deny, good := &ntpServer{ip: "10.0.2.4", change: kiss("DENY")}, &ntpServer{ip: "10.0.2.5"}
	l := bootNTP(t, time.Hour, deny, good)
	l.pass(24 * time.Hour)
	assert.Len(t, deny.asked, 1)
	assert.Len(t, l.wall.steps, 1)
	l.warned("NTP server 10.0.2.4 refuses to serve this machine")

	rate := &ntpServer{ip: "10.0.2.4", change: kiss("RATE")}
	l = bootNTP(t, time.Hour, rate)
	l.pass(3 * time.Hour)
	assert.InDelta(t, 3*3600/1024, len(rate.asked), 4)
	l.quiet()

	alone := &ntpServer{ip: "10.0.2.4", change: kiss("RSTR")}
	l = bootNTP(t, time.Hour, alone)
	l.pass(3 * time.Hour)
	assert.Len(t, alone.asked, 1)
}

// TestNTPUnfitAnswers shows that an answer with something wrong in it is as if there were none.
func TestNTPUnfitAnswers(t *testing.T) {
	for name, change := range map[string]func(b []byte) []byte{
		"empty":             func([]byte) []byte { return nil },
		"short":             func(b []byte) []byte { return b[:47] },
		"other origin":      func(b []byte) []byte { b[31] ^= 1; return b },
		"no server":         func(b []byte) []byte { b[0] = 4<<3 | 3; return b },
		"version 1":         func(b []byte) []byte { b[0] = 1<<3 | 4; return b },
		"version 7":         func(b []byte) []byte { b[0] = 7<<3 | 4; return b },
		"does not know":     func(b []byte) []byte { b[0] |= 3 << 6; return b },
		"stratum 16":        func(b []byte) []byte { b[1] = 16; return b },
		"far from the root": func(b []byte) []byte { b[5] = 4; return b },
		"large dispersion":  func(b []byte) []byte { b[9] = 2; return b },
		"no receive time":   func(b []byte) []byte { clear(b[32:40]); return b },
		"no send time":      func(b []byte) []byte { clear(b[40:48]); return b },
		"sent first":        func(b []byte) []byte { b[43]--; return b },
		"took its time":     func(b []byte) []byte { b[34]--; return b },
		"unknown kiss":      func(b []byte) []byte { b[1] = 0; copy(b[12:], "XYZ\n"); return b },
	} {
		t.Run(name, func(t *testing.T) {
			s := &ntpServer{ip: "10.0.2.4", change: change}
			l := bootNTP(t, time.Hour, s)
			l.pass(5 * time.Minute)
			assert.Empty(t, l.wall.steps)
			assert.Empty(t, l.wall.slews)
			assert.Greater(t, len(s.asked), 1)
			s.change = nil
			l.pass(30 * time.Minute)
			assert.Len(t, l.wall.steps, 1)
		})
	}
}

func TestNTPServerTime(t *testing.T) {
	s := &ntpServer{ip: "10.0.2.4", delay: 300 * time.Millisecond}
	l := bootNTP(t, time.Hour, s)
	// Receive time is what the server says, half of which is held to be the way.
	require.Len(t, l.wall.steps, 1)
	assert.InDelta(t, -time.Hour-150*time.Millisecond, l.wall.steps[0], float64(time.Millisecond))
}

func TestNTPTime(t *testing.T) {
	for _, want := range []string{"1968-01-20T03:14:08Z", "1970-01-01T00:00:00Z", "2026-11-23T12:00:00.5Z", "2036-02-07T06:28:15Z", "2036-02-07T06:28:16Z", "2104-02-26T09:42:23Z"} {
		at, err := time.Parse(time.RFC3339Nano, want)
		require.NoError(t, err)
		assert.WithinDuration(t, at, ntpTime(ntpStamp(at)), time.Nanosecond, want)
	}
}

func FuzzNTP(f *testing.F) {
	b := make([]byte, ntpSize)
	b[0], b[1] = 4<<3|4, 2
	binary.BigEndian.PutUint64(b[32:], ntpStamp(epoch))
	binary.BigEndian.PutUint64(b[40:], ntpStamp(epoch))
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, ok := parseNTP(b, 0); ok && a.kiss == "" {
			assert.False(t, a.sent.Before(a.received))
			assert.True(t, a.sent.Year() >= 1968 && a.sent.Year() <= 2104)
		}
	})
}

// TestNTPRefused has a host say that the port is closed, before the answer comes all the same.
func TestNTPRefused(t *testing.T) {
	s := &ntpServer{t: t, ip: "10.0.2.4"}
	l := newLab(t, "")
	s.lab = l
	l.wall.offset = time.Hour
	l.wires[0].nodes = []node{arpHost("10.0.2.4", serverMAC), func(frame []byte) [][]byte {
		answers := s.node(frame)
		if answers == nil {
			return nil
		}
		d, _ := parseDatagram(t, frame)
		icmp := header.ICMPv4(make([]byte, header.ICMPv4MinimumSize, 64))
		icmp.SetType(header.ICMPv4DstUnreachable)
		icmp.SetCode(header.ICMPv4PortUnreachable)
		icmp = append(icmp, frame[etherSize:etherSize+header.IPv4MinimumSize+header.UDPMinimumSize]...)
		icmp.SetChecksum(^checksum.Checksum(icmp, 0))
		refusal := ipFrame(serverMAC, d.fromMAC, d.to.Addr(), d.from.Addr(), header.ICMPv4ProtocolNumber, 64, icmp)
		return append([][]byte{refusal}, answers...)
	}}
	l.start("addr=10.0.2.15/24,ntp=10.0.2.4")
	assert.Len(t, l.wall.steps, 1)
}

// TestSocketAborted shows that a socket that the stack has ended is not read for ever.
func TestSocketAborted(t *testing.T) {
	s := &ntpServer{ip: "10.0.2.4", silent: true}
	l := bootNTP(t, time.Hour, s)
	l.c.ntp.socket.endpoint.Abort()
	s.silent = false
	l.pass(2 * time.Minute)
	assert.Len(t, l.wall.steps, 1)
}
