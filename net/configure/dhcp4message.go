package configure

import (
	"encoding/binary"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// Messages of DHCPv4 (RFC 2131, section 2), written here because the packages that do it cost more
// than the client (github.com/insomniacslk/dhcp/dhcpv4: 190 KB of text, and sockets of package net)
// or do not survive a hostile answer (github.com/soypat/seqs/eth/dhcp). The tests hold them against
// the former.

// Ports of DHCPv4.
const (
	dhcpServerPort = 67
	dhcpClientPort = 68
)

// DHCP message types (RFC 2132, section 9.6).
const (
	dhcpDiscover = 1
	dhcpOffer    = 2
	dhcpRequest  = 3
	dhcpDecline  = 4
	dhcpAck      = 5
	dhcpNak      = 6
)

// DHCP options (RFC 2132; 80: RFC 4039; 119: RFC 3397; 121: RFC 3442).
const (
	optPad           = 0
	optSubnetMask    = 1
	optRouter        = 3
	optDNS           = 6
	optHostName      = 12
	optDomainName    = 15
	optInterfaceMTU  = 26
	optNTP           = 42
	optRequestedIP   = 50
	optLeaseTime     = 51
	optOverload      = 52
	optMessageType   = 53
	optServerID      = 54
	optParameterList = 55
	optMaxSize       = 57
	optRenewal       = 58
	optRebinding     = 59
	optRapidCommit   = 80
	optDomainSearch  = 119
	optStaticRoutes  = 121
	optEnd           = 255
)

// Layout of a message: a BOOTP header, the magic cookie, and options.
const (
	dhcpHeaderSize = 236
	dhcpMinSize    = 300 // what BOOTP relays expect at least (RFC 1542, section 2.1)
	dhcpMaxSize    = 1472
	bootRequest    = 1
	bootReply      = 2
	hardwareType   = 1 // Ethernet
)

var magicCookie = [4]byte{99, 130, 83, 99}

// requested are the options that we ask for. Classless routes must come before the router (RFC
// 3442).
var requested = []byte{
	optSubnetMask, optStaticRoutes, optRouter, optDNS, optHostName, optDomainName, optInterfaceMTU, optNTP,
	optRenewal, optRebinding, optDomainSearch,
}

// A request4 is a message to a server.
type request4 struct {
	kind      byte
	xid       uint32
	secs      uint16     // since we began
	current   netip.Addr // ciaddr: the address that we have and use
	requested netip.Addr // option 50
	server    netip.Addr // option 54
	mac       tcpip.LinkAddress
	hostname  string // "": not told
}

func (r *request4) encode() []byte {
	b := make([]byte, dhcpHeaderSize, dhcpMinSize+len(r.hostname))
	b[0], b[1], b[2] = bootRequest, hardwareType, byte(len(r.mac))
	binary.BigEndian.PutUint32(b[4:], r.xid)
	binary.BigEndian.PutUint16(b[8:], r.secs)
	if r.current.IsValid() {
		copy(b[12:], r.current.AsSlice())
	}
	copy(b[28:44], r.mac)
	b = append(b, magicCookie[:]...)
	option := func(code byte, value ...byte) {
		b = append(append(b, code, byte(len(value))), value...)
	}
	option(optMessageType, r.kind)
	if r.requested.IsValid() {
		option(optRequestedIP, r.requested.AsSlice()...)
	}
	if r.server.IsValid() {
		option(optServerID, r.server.AsSlice()...)
	}
	if r.kind != dhcpDecline {
		option(optMaxSize, dhcpMaxSize>>8, dhcpMaxSize&0xff)
		option(optParameterList, requested...)
		if r.hostname != "" {
			option(optHostName, []byte(r.hostname)...)
		}
	}
	if r.kind == dhcpDiscover {
		option(optRapidCommit)
	}
	b = append(b, optEnd)
	for len(b) < dhcpMinSize {
		b = append(b, optPad)
	}
	return b
}

// A reply4 is a message of a server, of the right form, with the options that are of theirs.
type reply4 struct {
	kind    byte
	xid     uint32
	address netip.Addr // yiaddr
	options map[byte][]byte
}

// parseReply4 reads a message for the host mac; ok is false if it is none.
func parseReply4(b []byte, mac tcpip.LinkAddress) (r reply4, ok bool) {
	if len(b) < dhcpHeaderSize+len(magicCookie) || b[0] != bootReply || b[1] != hardwareType ||
		int(b[2]) != len(mac) || tcpip.LinkAddress(b[28:28+len(mac)]) != mac ||
		[4]byte(b[dhcpHeaderSize:]) != magicCookie {
		return r, false
	}
	r.xid = binary.BigEndian.Uint32(b[4:])
	r.address = netip.AddrFrom4([4]byte(b[16:]))
	r.options = make(map[byte][]byte)
	if !r.add(b[dhcpHeaderSize+len(magicCookie):]) {
		return r, false
	}
	// The fields file and sname may hold options too, in this order (RFC 2131, section 4.1).
	if o := r.options[optOverload]; len(o) == 1 {
		if o[0]&1 != 0 && !r.add(b[108:236]) || o[0]&2 != 0 && !r.add(b[44:108]) {
			return r, false
		}
	}
	if k := r.options[optMessageType]; len(k) == 1 {
		r.kind = k[0]
	}
	return r, r.kind == dhcpOffer || r.kind == dhcpAck || r.kind == dhcpNak
}

// add adds options. One that occurs several times is joined (RFC 3396).
func (r *reply4) add(b []byte) bool {
	for len(b) > 0 && b[0] != optEnd {
		if b[0] == optPad {
			b = b[1:]
			continue
		}
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			return false
		}
		n := 2 + int(b[1])
		r.options[b[0]] = append(r.options[b[0]], b[2:n]...)
		b = b[n:]
	}
	return true
}

// addr returns an option that is one address, the zero Addr if it is absent or not of that form.
func (r *reply4) addr(code byte) netip.Addr {
	if v := r.options[code]; len(v) == 4 {
		return netip.AddrFrom4([4]byte(v))
	}
	return netip.Addr{}
}

// addrs returns an option that is a list of addresses.
func (r *reply4) addrs(code byte) (list []netip.Addr) {
	for v := r.options[code]; len(v) >= 4; v = v[4:] {
		list = append(list, netip.AddrFrom4([4]byte(v)))
	}
	return list
}

// infinite is the lease that never ends (RFC 2131, section 3.3).
const infinite = time.Duration(1<<32-1) * time.Second

// duration returns an option that is a time in seconds, 0 if it is absent or not of that form.
func (r *reply4) duration(code byte) time.Duration {
	if v := r.options[code]; len(v) == 4 {
		return time.Duration(binary.BigEndian.Uint32(v)) * time.Second
	}
	return 0
}
