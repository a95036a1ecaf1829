package procnet

import (
	"encoding/binary"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/goshawk-os/goshawk/net/netlink/inventory"
	"github.com/goshawk-os/goshawk/net/socket"
)

const (
	title4 = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
	title6 = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
	// datagramTitle follows in the files of sockets other than TCP's.
	datagramTitle = " ref pointer drops"

	// Widths to which lines are filled: TMPSZ - 1 of net/ipv4/tcp_ipv4.c, and that of seq_setwidth in
	// net/ipv4/udp.c.
	tcpWidth, udpWidth = 149, 127
)

func (p *source) list(domain, protocol int) []inventory.Socket {
	return inventory.List(p.stack.Stack, p.program, domain, protocol)
}

// ends appends both addresses of a socket, its state and its queues.
func ends(b []byte, s *inventory.Socket) []byte {
	for _, a := range []inventory.Address{s.Local, s.Remote} {
		size := 16
		if s.Domain == syscall.AF_INET {
			size = 4
		}
		b = append(b, ' ')
		for ip := a.IP[:size]; len(ip) > 0; ip = ip[4:] {
			b = fmt.Appendf(b, "%08X", binary.LittleEndian.Uint32(ip)) // as a number of the machine
		}
		b = fmt.Appendf(b, ":%04X", a.Port)
	}
	// Timer, retransmissions, owner and probes of a full window are not known.
	return fmt.Appendf(b, " %02X %08X:%08X %02X:%08X %08X %5d %8d", s.State, s.TxQueue, s.RxQueue, 0, 0, 0, 0, 0)
}

// connections is tcp4_seq_show of net/ipv4/tcp_ipv4.c and tcp6_seq_show.
func (p *source) connections(domain int) []byte {
	title, width := title4, tcpWidth
	if domain == syscall.AF_INET6 {
		title, width = title6, 0
	}
	b := line(nil, width, "%s", title)
	for i, s := range p.list(domain, syscall.IPPROTO_TCP) {
		if s.State == inventory.Closed {
			continue // not bound to anything that Linux would list
		}
		start := len(b)
		b = ends(fmt.Appendf(b, "%4d:", i), &s)
		if s.State == inventory.TimeWait {
			b = fmt.Appendf(b, " %d %d %016x", 0, 3, 0)
		} else {
			// The last five are the retransmission timeout, the delay of acknowledgements and their
			// state, the congestion window and its threshold: those of a connection that has not sent.
			b = fmt.Appendf(b, " %d %d %016x %d %d %d %d %d", s.Inode, 1, 0, 100, 0, 0, 10, -1)
		}
		b = pad(b, start, width)
	}
	return b
}

func (p *source) tcp() []byte  { return p.connections(syscall.AF_INET) }
func (p *source) tcp6() []byte { return p.connections(syscall.AF_INET6) }

// datagrams is udp4_seq_show of net/ipv4/udp.c, raw_seq_show, ping_v4_seq_show and
// __ip6_dgram_sock_seq_show.
func (p *source) datagrams(domain, protocol int, title, number string, width int) []byte {
	b := line(nil, width, "%s", title+datagramTitle)
	for i, s := range p.list(domain, protocol) {
		if s.Local.Port == 0 {
			continue // not bound
		}
		start := len(b)
		b = ends(fmt.Appendf(b, number, i), &s)
		b = fmt.Appendf(b, " %d %d %016x %d", s.Inode, 2, 0, s.Dropped)
		b = pad(b, start, width)
	}
	return b
}

func (p *source) udp() []byte {
	return p.datagrams(syscall.AF_INET, syscall.IPPROTO_UDP, " "+title4, "%5d:", udpWidth)
}
func (p *source) udp6() []byte {
	return p.datagrams(syscall.AF_INET6, syscall.IPPROTO_UDP, title6, "%5d:", 0)
}
func (p *source) raw() []byte  { return p.datagrams(syscall.AF_INET, 0, title4, "%4d:", 0) }
func (p *source) raw6() []byte { return p.datagrams(syscall.AF_INET6, 0, title6, "%5d:", 0) }
func (p *source) icmp() []byte {
	return p.datagrams(syscall.AF_INET, syscall.IPPROTO_ICMP, title4, "%5d:", udpWidth)
}
func (p *source) icmp6() []byte {
	return p.datagrams(syscall.AF_INET6, syscall.IPPROTO_ICMPV6, title6, "%5d:", 0)
}

// each calls yield for each of the program's sockets of a family, if they are known.
func (p *source) each(domain int, yield func(inode uint64, s socket.Socket)) {
	if p.program == nil {
		return
	}
	p.program(func(inode uint64, s socket.Socket) bool {
		if d, _, _ := s.Kind(); d == domain {
			yield(inode, s)
		}
		return true
	})
}

// packet is packet_seq_show of net/packet/af_packet.c.
func (p *source) packet() []byte {
	b := []byte("sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n")
	p.each(syscall.AF_PACKET, func(inode uint64, s socket.Socket) {
		var at socket.Address
		link := 0
		if s.LocalAddress(&at) == 0 && at.Length >= unix.SizeofSockaddrLinklayer-2 {
			link = int(binary.LittleEndian.Uint32(at.Data[4:])) // sll_ifindex
		}
		_, kind, _ := s.Kind()
		protocol := binary.BigEndian.Uint16(at.Data[2:]) // sll_protocol
		b = fmt.Appendf(b, "%016x %-6d %-4d %04x   %-5d %1d %-6d %-6d %-6d\n", 0, 2, kind, protocol, link, 1, 0, 0, inode)
	})
	return b
}

// netlink is netlink_native_seq_show of net/netlink/af_netlink.c.
func (p *source) netlink() []byte {
	b := []byte("sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n")
	p.each(syscall.AF_NETLINK, func(inode uint64, s socket.Socket) {
		var at socket.Address
		s.LocalAddress(&at)
		_, _, protocol := s.Kind()
		b = fmt.Appendf(b, "%016x %-3d %-10d %08x %-8d %-8d %-5d %-8d %-8d %-8d\n", 0, protocol,
			binary.LittleEndian.Uint32(at.Data[4:]), binary.LittleEndian.Uint32(at.Data[8:]), 0, 0, 0, 2, 0, inode)
	})
	return b
}

// tally counts the sockets of a family and protocol, and those of TCP by what sockstat tells of them.
func (p *source) tally(domain, protocol int) (used, orphans, waiting int) {
	for _, s := range p.list(domain, protocol) {
		switch {
		case protocol == syscall.IPPROTO_TCP && s.State == inventory.TimeWait:
			waiting++
		case protocol == syscall.IPPROTO_TCP && s.State != inventory.Closed && s.Inode == 0:
			orphans++
			used++
		default:
			used++
		}
	}
	return used, orphans, waiting
}

// sockstat is sockstat_seq_show of net/ipv4/proc.c. Memory is not accounted by protocol.
func (p *source) sockstat() []byte {
	all := 0
	if p.program != nil {
		p.program(func(uint64, socket.Socket) bool { all++; return true })
	}
	tcp, orphans, waiting := p.tally(syscall.AF_INET, syscall.IPPROTO_TCP)
	tcp6, orphans6, waiting6 := p.tally(syscall.AF_INET6, syscall.IPPROTO_TCP)
	udp, _, _ := p.tally(syscall.AF_INET, syscall.IPPROTO_UDP)
	raw, _, _ := p.tally(syscall.AF_INET, 0)
	return fmt.Appendf(nil, "sockets: used %d\nTCP: inuse %d orphan %d tw %d alloc %d mem %d\nUDP: inuse %d mem %d\nUDPLITE: inuse %d\nRAW: inuse %d\nFRAG: inuse %d memory %d\n",
		all, tcp, orphans+orphans6, waiting+waiting6, tcp+tcp6, 0, udp, 0, 0, raw, 0, 0)
}

// sockstat6 is sockstat6_seq_show of net/ipv6/proc.c.
func (p *source) sockstat6() []byte {
	tcp, _, _ := p.tally(syscall.AF_INET6, syscall.IPPROTO_TCP)
	udp, _, _ := p.tally(syscall.AF_INET6, syscall.IPPROTO_UDP)
	raw, _, _ := p.tally(syscall.AF_INET6, 0)
	return fmt.Appendf(nil, "TCP6: inuse %d\nUDP6: inuse %d\nUDPLITE6: inuse %d\nRAW6: inuse %d\nFRAG6: inuse %d memory %d\n", tcp, udp, 0, raw, 0, 0)
}
