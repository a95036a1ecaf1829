package procnet

import (
	"fmt"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/goshawk-os/goshawk/net/netstack"
)

// A counter is a name and how often something has happened. The names are those of the files, which
// follow RFC 4293 (IP and ICMP), RFC 4022 (TCP) and RFC 4113 (UDP).
type counter struct {
	name  string
	value int64
}

// rows appends a group of counters as two lines: the names, and the numbers.
func rows(b []byte, group string, counters []counter) []byte {
	for i := range 2 {
		b = append(append(b, group...), ':')
		for _, c := range counters {
			b = append(b, ' ')
			if i == 0 {
				b = append(b, c.name...)
			} else {
				b = fmt.Appendf(b, "%d", c.value)
			}
		}
		b = append(b, '\n')
	}
	return b
}

// sum adds counters up.
func sum(counters ...*tcpip.StatCounter) (n int64) {
	for _, c := range counters {
		n += int64(c.Value())
	}
	return n
}

// An ipCount is what the links together have counted of one version of IP.
type ipCount struct {
	received, delivered, sent, headerErrors, addressErrors, noRoutes, sendErrors, malformedFragments, discarded, tooBig int64
}

func (p *source) ip(protocol tcpip.NetworkProtocolNumber) (n ipCount) {
	for _, info := range p.stack.NICInfo() {
		stats, ok := info.NetworkStats[protocol].(stack.IPNetworkEndpointStats)
		if !ok {
			continue
		}
		s := stats.IPStats()
		n.received += sum(s.PacketsReceived)
		n.delivered += sum(s.PacketsDelivered)
		n.sent += sum(s.PacketsSent)
		n.headerErrors += sum(s.MalformedPacketsReceived, s.Forwarding.ExhaustedTTL)
		n.addressErrors += sum(s.InvalidDestinationAddressesReceived, s.InvalidSourceAddressesReceived)
		n.noRoutes += sum(s.Forwarding.Unrouteable)
		n.sendErrors += sum(s.OutgoingPacketErrors)
		n.malformedFragments += sum(s.MalformedFragmentsReceived)
		n.discarded += sum(s.DisabledPacketsReceived, s.IPTablesInputDropped, s.IPTablesPreroutingDropped)
		n.tooBig += sum(s.Forwarding.PacketTooBig)
	}
	return n
}

// forwards reports whether any link forwards packets of that protocol.
func forwards(s *netstack.Stack, protocol tcpip.NetworkProtocolNumber) bool {
	for _, info := range s.NICInfo() {
		if info.Forwarding[protocol] {
			return true
		}
	}
	return false
}

// snmp is snmp_seq_show of net/ipv4/proc.c.
func (p *source) snmp() []byte {
	all := p.stack.Stats()
	ip := p.ip(ipv4.ProtocolNumber)
	forwarding := counter{"Forwarding", 2} // 1 is yes
	if forwards(p.stack, ipv4.ProtocolNumber) {
		forwarding.value = 1
	}
	ttl := tcpip.DefaultTTLOption(64)
	p.stack.NetworkProtocolOption(ipv4.ProtocolNumber, &ttl)
	b := rows(nil, "Ip", []counter{
		forwarding, {"DefaultTTL", int64(ttl)}, {"InReceives", ip.received}, {"InHdrErrors", ip.headerErrors}, {"InAddrErrors", ip.addressErrors},
		{"ForwDatagrams", 0}, {"InUnknownProtos", 0}, {"InDiscards", ip.discarded}, {"InDelivers", ip.delivered}, {"OutRequests", ip.sent},
		{"OutDiscards", ip.sendErrors}, {"OutNoRoutes", ip.noRoutes}, {"ReasmTimeout", 0}, {"ReasmReqds", 0}, {"ReasmOKs", 0},
		{"ReasmFails", ip.malformedFragments}, {"FragOKs", 0}, {"FragFails", 0}, {"FragCreates", 0}, {"OutTransmits", ip.sent},
	})

	in, out := &all.ICMP.V4.PacketsReceived, &all.ICMP.V4.PacketsSent
	types := func(direction string, s *tcpip.ICMPv4PacketStats) []counter {
		return []counter{
			{direction + "DestUnreachs", sum(s.DstUnreachable)}, {direction + "TimeExcds", sum(s.TimeExceeded)},
			{direction + "ParmProbs", sum(s.ParamProblem)}, {direction + "SrcQuenchs", sum(s.SrcQuench)}, {direction + "Redirects", sum(s.Redirect)},
			{direction + "Echos", sum(s.EchoRequest)}, {direction + "EchoReps", sum(s.EchoReply)}, {direction + "Timestamps", sum(s.Timestamp)},
			{direction + "TimestampReps", sum(s.TimestampReply)}, {direction + "AddrMasks", 0}, {direction + "AddrMaskReps", 0},
		}
	}
	inTypes, outTypes := types("In", &in.ICMPv4PacketStats), types("Out", &out.ICMPv4PacketStats)
	icmp := []counter{{"InMsgs", total(inTypes) + sum(in.Invalid)}, {"InErrors", sum(in.Invalid)}, {"InCsumErrors", 0}}
	icmp = append(icmp, inTypes...)
	icmp = append(icmp, counter{"OutMsgs", total(outTypes)}, counter{"OutErrors", sum(out.Dropped)}, counter{"OutRateLimitGlobal", sum(out.RateLimited)}, counter{"OutRateLimitHost", 0})
	b = rows(b, "Icmp", append(icmp, outTypes...))

	tcp := &all.TCP
	b = rows(b, "Tcp", []counter{
		{"RtoAlgorithm", 1}, {"RtoMin", 200}, {"RtoMax", 120000}, {"MaxConn", -1}, {"ActiveOpens", sum(tcp.ActiveConnectionOpenings)},
		{"PassiveOpens", sum(tcp.PassiveConnectionOpenings)}, {"AttemptFails", sum(tcp.FailedConnectionAttempts)},
		{"EstabResets", sum(tcp.EstablishedResets)}, {"CurrEstab", sum(tcp.CurrentEstablished)},
		{"InSegs", sum(tcp.ValidSegmentsReceived, tcp.InvalidSegmentsReceived)}, {"OutSegs", sum(tcp.SegmentsSent)},
		{"RetransSegs", sum(tcp.Retransmits)}, {"InErrs", sum(tcp.InvalidSegmentsReceived, tcp.ChecksumErrors)},
		{"OutRsts", sum(tcp.ResetsSent)}, {"InCsumErrors", sum(tcp.ChecksumErrors)},
	})
	udp := p.udpCounters()
	b = rows(b, "Udp", udp)
	for i := range udp {
		udp[i].value = 0 // of a protocol that the stack does not have
	}
	return rows(b, "UdpLite", udp)
}

// udpCounters returns the counters of UDP, which the stack has for both versions of IP together. So
// they are all in the file of IPv4, as those of TCP are on Linux.
func (p *source) udpCounters() []counter {
	udp := p.stack.Stats().UDP
	return []counter{
		{"InDatagrams", sum(udp.PacketsReceived)}, {"NoPorts", sum(udp.UnknownPortErrors)},
		{"InErrors", sum(udp.MalformedPacketsReceived, udp.ReceiveBufferErrors, udp.ChecksumErrors)},
		{"OutDatagrams", sum(udp.PacketsSent)}, {"RcvbufErrors", sum(udp.ReceiveBufferErrors)},
		{"SndbufErrors", sum(udp.PacketSendErrors)}, {"InCsumErrors", sum(udp.ChecksumErrors)},
		{"IgnoredMulti", 0}, {"MemErrors", 0},
	}
}

func total(counters []counter) (n int64) {
	for _, c := range counters {
		n += c.value
	}
	return n
}

// netstat is netstat_seq_show of net/ipv4/proc.c, with those counters that the stack has.
func (p *source) netstat() []byte {
	tcp := p.stack.Stats().TCP
	b := rows(nil, "TcpExt", []counter{
		{"SyncookiesSent", sum(tcp.ListenOverflowSynCookieSent)}, {"SyncookiesRecv", sum(tcp.ListenOverflowSynCookieRcvd)},
		{"SyncookiesFailed", sum(tcp.ListenOverflowInvalidSynCookieRcvd)},
		{"ListenOverflows", sum(tcp.ListenOverflowSynDrop, tcp.ListenOverflowAckDrop)},
		{"ListenDrops", sum(tcp.ListenOverflowSynDrop, tcp.ListenOverflowAckDrop)},
		{"TCPRenoRecovery", sum(tcp.FastRecovery)}, {"TCPSackRecovery", sum(tcp.SACKRecovery)},
		{"TCPFastRetrans", sum(tcp.FastRetransmit)}, {"TCPSlowStartRetrans", sum(tcp.SlowStartRetransmits)}, {"TCPTimeouts", sum(tcp.Timeouts)},
		{"TCPLossProbeRecovery", sum(tcp.TLPRecovery)}, {"TCPDSACKRecv", sum(tcp.SegmentsAckedWithDSACK)},
		{"TCPAbortOnTimeout", sum(tcp.EstablishedTimedout)}, {"TCPSpuriousRTOs", sum(tcp.SpuriousRTORecovery)},
	})
	ip := p.ip(ipv4.ProtocolNumber)
	return rows(b, "IpExt", []counter{{"InNoRoutes", ip.noRoutes}})
}

// snmp6 is snmp6_seq_show of net/ipv6/proc.c.
func (p *source) snmp6() []byte {
	ip := p.ip(ipv6.ProtocolNumber)
	list := []counter{
		{"Ip6InReceives", ip.received}, {"Ip6InHdrErrors", ip.headerErrors}, {"Ip6InTooBigErrors", ip.tooBig}, {"Ip6InNoRoutes", ip.noRoutes},
		{"Ip6InAddrErrors", ip.addressErrors}, {"Ip6InDiscards", ip.discarded}, {"Ip6InDelivers", ip.delivered}, {"Ip6OutRequests", ip.sent},
		{"Ip6OutDiscards", ip.sendErrors}, {"Ip6ReasmFails", ip.malformedFragments},
	}
	icmp := p.stack.Stats().ICMP.V6
	types := func(direction string, s *tcpip.ICMPv6PacketStats) []counter {
		d := "Icmp6" + direction
		return []counter{
			{d + "DestUnreachs", sum(s.DstUnreachable)}, {d + "PktTooBigs", sum(s.PacketTooBig)}, {d + "TimeExcds", sum(s.TimeExceeded)},
			{d + "ParmProblems", sum(s.ParamProblem)}, {d + "Echos", sum(s.EchoRequest)}, {d + "EchoReplies", sum(s.EchoReply)},
			{d + "GroupMembQueries", sum(s.MulticastListenerQuery)}, {d + "GroupMembResponses", sum(s.MulticastListenerReport)},
			{d + "GroupMembReductions", sum(s.MulticastListenerDone)}, {d + "RouterSolicits", sum(s.RouterSolicit)},
			{d + "RouterAdvertisements", sum(s.RouterAdvert)}, {d + "NeighborSolicits", sum(s.NeighborSolicit)},
			{d + "NeighborAdvertisements", sum(s.NeighborAdvert)}, {d + "Redirects", sum(s.RedirectMsg)},
			{d + "MLDv2Reports", sum(s.MulticastListenerReportV2)},
		}
	}
	in, out := types("In", &icmp.PacketsReceived.ICMPv6PacketStats), types("Out", &icmp.PacketsSent.ICMPv6PacketStats)
	list = append(list, counter{"Icmp6InMsgs", total(in) + sum(icmp.PacketsReceived.Invalid, icmp.PacketsReceived.Unrecognized)},
		counter{"Icmp6InErrors", sum(icmp.PacketsReceived.Invalid)}, counter{"Icmp6OutMsgs", total(out)},
		counter{"Icmp6OutErrors", sum(icmp.PacketsSent.Dropped)}, counter{"Icmp6OutRateLimitHost", sum(icmp.PacketsSent.RateLimited)})
	list = append(append(list, in...), out...)
	var b []byte
	for _, c := range list {
		b = fmt.Appendf(b, "%-32s\t%d\n", c.name, c.value)
	}
	return b
}
