// Package procnet makes the text of the files below /proc/net, /proc/sys/net and /sys/class/net
// from a stack, in the formats of Linux 6.1 (proc(5), Documentation/networking/proc_net_tcp.rst,
// Documentation/ABI/testing/sysfs-class-net). The formats of the lines are those of the functions
// of Linux that print them.
//
// What Linux counts and the stack does not reads 0, or is left out where a file names its counters
// and readers go by the names (netstat). Owners, references, timers and addresses of kernel memory
// read 0.
package procnet

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/goshawk-os/goshawk/net/netlink"
	"github.com/goshawk-os/goshawk/net/netlink/inventory"
	"github.com/goshawk-os/goshawk/net/netstack"
)

// A File is a generated file.
type File struct {
	Name    string        // path without the directory that it is for
	Content func() []byte // called for each opening
}

// source is what files are made from.
type source struct {
	stack   *netstack.Stack
	family  *netlink.Family
	program inventory.Sockets
}

// Net returns the files of /proc/net but for unix.
func Net(s *netstack.Stack, f *netlink.Family, program inventory.Sockets) []File {
	p := &source{s, f, program}
	return []File{
		{"arp", p.arp}, {"dev", p.dev}, {"icmp", p.icmp}, {"icmp6", p.icmp6}, {"if_inet6", p.inet6}, {"igmp", p.igmp}, {"igmp6", p.igmp6},
		{"ipv6_route", p.route6}, {"netlink", p.netlink}, {"netstat", p.netstat}, {"packet", p.packet}, {"raw", p.raw}, {"raw6", p.raw6},
		{"route", p.route}, {"snmp", p.snmp}, {"snmp6", p.snmp6}, {"sockstat", p.sockstat}, {"sockstat6", p.sockstat6},
		{"tcp", p.tcp}, {"tcp6", p.tcp6}, {"udp", p.udp}, {"udp6", p.udp6},
	}
}

// line appends a line that is filled with spaces to a width, as seq_pad of Linux does.
func line(b []byte, width int, format string, args ...any) []byte {
	return pad(fmt.Appendf(b, format, args...), len(b), width)
}

// pad fills the line that begins at start up to a width, and ends it.
func pad(b []byte, start, width int) []byte {
	for len(b)-start < width {
		b = append(b, ' ')
	}
	return append(b, '\n')
}

// word returns the number that Linux prints of an IPv4 address: its bytes as a number of the machine.
func word(a tcpip.Address) uint32 {
	b := a.AsSlice()
	if len(b) != header.IPv4AddressSize {
		return 0
	}
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

// bytes16 returns an IPv6 address, zeros if there is none.
func bytes16(a tcpip.Address) (b [16]byte) {
	copy(b[:], a.AsSlice())
	return b
}

// dev is dev_seq_show of net/core/net-procfs.c.
func (p *source) dev() []byte {
	b := []byte("Inter-|   Receive                                                |  Transmit\n" +
		" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n")
	for _, l := range p.stack.Links() {
		d := inventory.Describe(l)
		s := d.Statistics
		b = fmt.Appendf(b, "%6s: %7d %7d %4d %4d %4d %5d %10d %9d %8d %7d %4d %4d %4d %5d %7d %10d\n", d.Name,
			s.RxBytes, s.RxPackets, s.RxErrors, s.RxDropped+s.RxMissedErrors, s.RxFIFOErrors,
			s.RxLengthErrors+s.RxOverErrors+s.RxCRCErrors+s.RxFrameErrors, s.RxCompressed, s.Multicast,
			s.TxBytes, s.TxPackets, s.TxErrors, s.TxDropped, s.TxFIFOErrors, s.Collisions,
			s.TxCarrierErrors+s.TxAbortedErrors+s.TxWindowErrors+s.TxHeartbeatErrors, s.TxCompressed)
	}
	return b
}

// name returns the name of a link.
func (p *source) name(index int) string {
	if l := p.stack.Link(index); l != nil {
		return l.Name()
	}
	return "*"
}

// route is fib_route_seq_show of net/ipv4/fib_trie.c: the main table.
func (p *source) route() []byte {
	b := line(nil, 127, "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT")
	for _, r := range p.family.Routes(syscall.AF_INET) {
		if r.Table != unix.RT_TABLE_MAIN || !r.Usable() {
			continue
		}
		flags := unix.RTF_UP
		if r.Gateway.Len() != 0 {
			flags |= unix.RTF_GATEWAY
		}
		if r.Destination.Prefix() == 32 {
			flags |= unix.RTF_HOST
		}
		mask := r.Destination.Mask()
		b = line(b, 127, "%s\t%08X\t%08X\t%04X\t%d\t%d\t%d\t%08X\t%d\t%d\t%d", p.name(r.Link), word(r.Destination.ID()), word(r.Gateway), flags,
			0, 0, r.Metric, word(tcpip.AddrFromSlice(mask.AsSlice())), r.MTU, 0, 0)
	}
	return b
}

// route6 is ipv6_route_native_seq_show of net/ipv6/ip6_fib.c: both tables.
func (p *source) route6() []byte {
	var b []byte
	for _, r := range p.family.Routes(syscall.AF_INET6) {
		if !r.Usable() {
			continue
		}
		flags := uint32(unix.RTF_UP)
		if r.Gateway.Len() != 0 {
			flags |= unix.RTF_GATEWAY
		} else if r.Destination.Prefix() == 128 {
			flags |= unix.RTF_NONEXTHOP
		}
		if r.Type == unix.RTN_LOCAL {
			flags |= unix.RTF_LOCAL
		}
		b = fmt.Appendf(b, "%x %02x %032x 00 %x %08x %08x %08x %08x %8s\n", bytes16(r.Destination.ID()), r.Destination.Prefix(), 0,
			bytes16(r.Gateway), r.Metric, 1, 0, flags, p.name(r.Link))
	}
	return b
}

// arp is arp_format_neigh_entry of net/ipv4/arp.c.
func (p *source) arp() []byte {
	const complete, permanent = 0x2, 0x4 // ATF_COM, ATF_PERM of linux/if_arp.h
	b := []byte("IP address       HW type     Flags       HW address            Mask     Device\n")
	for _, l := range p.stack.Links() {
		for _, n := range p.family.Neighbors(l.Index(), syscall.AF_INET) {
			flags, mac := 0, tcpip.LinkAddress(make([]byte, header.EthernetAddressSize))
			if n.LinkAddr != "" {
				flags, mac = complete, n.LinkAddr
			}
			if n.State == stack.Static {
				flags |= permanent
			}
			b = fmt.Appendf(b, "%-16s 0x%-10x0x%-10x%-17s     *        %s\n", n.Addr, inventory.Describe(l).Type, flags, mac, l.Name())
		}
	}
	return b
}

// inet6 is if6_seq_show of net/ipv6/addrconf.c.
func (p *source) inet6() []byte {
	var b []byte
	for _, l := range p.stack.Links() {
		for _, a := range p.family.Addresses(l) {
			if a.Prefix.Address.Len() != header.IPv6AddressSize {
				continue
			}
			scope := map[uint8]int{unix.RT_SCOPE_HOST: 0x10, unix.RT_SCOPE_LINK: 0x20, unix.RT_SCOPE_SITE: 0x40}[netlink.Scope(a.Prefix.Address)] // IPV6_ADDR_ of net/ipv6.h
			b = fmt.Appendf(b, "%x %02x %02x %02x %02x %8s\n", bytes16(a.Prefix.Address), l.Index(), a.Prefix.PrefixLen, scope, uint8(a.Flags), l.Name())
		}
	}
	return b
}
