package configure

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// DHCPv6 for a host that has its addresses from router advertisements and asks for further
// information (RFC 8415, sections 6.1 and 18.2.6).

// Ports of DHCPv6 (RFC 8415, section 7.2).
const (
	dhcp6ClientPort = 546
	dhcp6ServerPort = 547
)

// Message types and options (RFC 8415, sections 7.3 and 21; 23 and 24: RFC 3646; 31: RFC 4075; 56:
// RFC 5908).
const (
	dhcp6Reply              = 7
	dhcp6InformationRequest = 11

	opt6ClientID    = 1
	opt6ServerID    = 2
	opt6Request     = 6
	opt6Elapsed     = 8
	opt6DNS         = 23
	opt6Domains     = 24
	opt6SNTP        = 31
	opt6RefreshTime = 32
	opt6NTP         = 56

	ntpServerAddress = 1 // suboption of opt6NTP
)

// Times of RFC 8415, section 7.6.
const (
	informationDelay     = time.Second
	informationTimeout   = time.Second
	informationMaxWait   = time.Hour
	defaultRefresh       = 24 * time.Hour
	leastRefresh         = 10 * time.Minute
	infiniteRefresh      = 1<<32 - 1 // seconds
	maxElapsedHundredths = 1<<16 - 1
)

// allServers is the group of DHCPv6's servers and relays on a link (RFC 8415, section 7.1).
var allServers = netip.MustParseAddr("ff02::1:2")

// A dhcp6 asks for information while a router says that there is some. It belongs to the jobs.
type dhcp6 struct {
	link *link
	information
	wanted bool // a router has said that there is information
	ready  bool // the link has a link-local address
	asking bool
	xid    uint32 // of 24 bits
	began  tcpip.MonotonicTime
	wait   time.Duration
	timer  timer
	socket *socket
}

func newDHCP6(l *link) *dhcp6 { return &dhcp6{link: l, timer: timer{jobs: &l.c.jobs}} }

func (d *dhcp6) start() {
	d.wanted = true
	d.begin()
}

func (d *dhcp6) addressReady() {
	d.ready = true
	d.begin()
}

func (d *dhcp6) begin() {
	if d.wanted && d.ready && !d.asking {
		d.asking = true
		d.timer.set(d.link.c.below(informationDelay), d.ask)
	}
}

// ask begins to ask.
func (d *dhcp6) ask() {
	if d.socket == nil {
		d.socket, _ = d.link.c.openSocket(d.link.nic, tcpip.FullAddress{Port: dhcp6ClientPort}, header.IPv6ProtocolNumber, d.receive)
	}
	d.xid = d.link.c.random.Uint32() & 0xffffff
	d.began, d.wait = d.link.c.now(), informationTimeout
	d.send()
}

func (d *dhcp6) send() {
	if d.socket != nil { // nil if a program has the port
		d.socket.send(d.request(), tcpip.FullAddress{NIC: d.link.nic, Addr: toStack(allServers), Port: dhcp6ServerPort})
	}
	d.timer.set(d.link.c.jitter(d.wait), d.send)
	d.wait = min(2*d.wait, informationMaxWait)
}

func (d *dhcp6) request() []byte {
	b := binary.BigEndian.AppendUint32(nil, dhcp6InformationRequest<<24|d.xid)
	option := func(code uint16, value ...byte) {
		b = binary.BigEndian.AppendUint16(b, code)
		b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
		b = append(b, value...)
	}
	option(opt6ClientID, d.identifier()...)
	elapsed := min(d.link.c.now().Sub(d.began)/(10*time.Millisecond), maxElapsedHundredths)
	option(opt6Elapsed, byte(elapsed>>8), byte(elapsed))
	option(opt6Request, 0, opt6DNS, 0, opt6Domains, 0, opt6SNTP, 0, opt6RefreshTime, 0, opt6NTP)
	return b
}

// identifier returns the DUID: that of the link-layer address (RFC 8415, section 11.4).
func (d *dhcp6) identifier() []byte {
	return append([]byte{0, 3, 0, hardwareType}, d.link.mac...)
}

// receive takes a message that arrived for the client.
func (d *dhcp6) receive(data []byte) {
	if len(data) < 4 || binary.BigEndian.Uint32(data) != dhcp6Reply<<24|d.xid {
		return
	}
	var server, client []byte
	var i information
	refresh := uint32(defaultRefresh / time.Second)
	var sntp []netip.Addr
	ok := eachOption6(data[4:], func(code uint16, v []byte) {
		switch code {
		case opt6ServerID:
			server = v
		case opt6ClientID:
			client = v
		case opt6DNS:
			i.dns = appendNew(i.dns, servers(addresses6(v), maxServers)...)
		case opt6Domains:
			i.search = appendNew(i.search, parseDomains(v, maxDomains)...)
		case opt6SNTP:
			sntp = servers(addresses6(v), maxServers)
		case opt6RefreshTime:
			if len(v) == 4 {
				refresh = binary.BigEndian.Uint32(v)
			}
		case opt6NTP:
			eachOption6(v, func(code uint16, v []byte) {
				if code == ntpServerAddress && len(v) == 16 {
					i.ntp = appendNew(i.ntp, servers(addresses6(v), 1)...)
				}
			})
		}
	})
	if !ok || len(server) == 0 || !slices.Equal(client, d.identifier()) {
		return
	}
	if len(i.ntp) == 0 {
		i.ntp = sntp
	}
	i.dns = servers(i.dns, maxServers)
	i.ntp = servers(i.ntp, maxServers)
	i.search = i.search[:min(len(i.search), maxDomains)]
	d.information = i
	d.socket.close()
	d.socket = nil
	d.timer.stop()
	if refresh != infiniteRefresh {
		d.timer.set(max(time.Duration(refresh)*time.Second, leastRefresh), d.ask)
	}
	d.link.c.update()
}

// eachOption6 calls f with the options in b; ok is false if they are not of that form.
func eachOption6(b []byte, f func(code uint16, value []byte)) (ok bool) {
	for len(b) > 0 {
		if len(b) < 4 {
			return false
		}
		n := 4 + int(binary.BigEndian.Uint16(b[2:]))
		if len(b) < n {
			return false
		}
		f(binary.BigEndian.Uint16(b), b[4:n])
		b = b[n:]
	}
	return true
}

func addresses6(v []byte) (list []netip.Addr) {
	for ; len(v) >= 16; v = v[16:] {
		list = append(list, netip.AddrFrom16([16]byte(v)))
	}
	return list
}
