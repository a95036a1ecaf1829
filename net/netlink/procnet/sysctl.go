package procnet

import (
	"strconv"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/goshawk-os/goshawk/net/netlink/inventory"
	"github.com/goshawk-os/goshawk/net/netstack"
)

// settings returns files of one line each; value is asked for it when one is opened.
func settings(names []string, value func(name string) string) []File {
	files := make([]File, len(names))
	for i, name := range names {
		files[i] = File{name, func() []byte { return []byte(value(name) + "\n") }}
	}
	return files
}

// option returns an option of TCP in o, zero if the stack does not have it.
func option(s *netstack.Stack, o tcpip.GettableTransportProtocolOption) {
	s.TransportProtocolOption(tcp.ProtocolNumber, o)
}

// flag returns 1 for true and 0 for false.
func flag(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

func decimal[T ~int | ~uint8 | ~uint16 | ~uint64 | ~int64](n T) string { return strconv.Itoa(int(n)) }

func three(a, b, c int) string { return decimal(a) + "\t" + decimal(b) + "\t" + decimal(c) }

// Core returns files of /proc/sys/net/core (Documentation/admin-guide/sysctl/net.rst of Linux):
// settings that servers look at, as the stack has them.
func Core(s *netstack.Stack) []File {
	return settings([]string{"rmem_default", "rmem_max", "wmem_default", "wmem_max"}, func(name string) string {
		var receive tcpip.ReceiveBufferSizeOption
		var send tcpip.SendBufferSizeOption
		s.Option(&receive)
		s.Option(&send)
		switch name {
		case "rmem_default":
			return decimal(receive.Default)
		case "rmem_max":
			return decimal(receive.Max)
		case "wmem_default":
			return decimal(send.Default)
		}
		return decimal(send.Max)
	})
}

// IPv4 returns files of /proc/sys/net/ipv4 (Documentation/networking/ip-sysctl.rst of Linux).
func IPv4(s *netstack.Stack) []File {
	return settings([]string{
		"conf/all/forwarding", "ip_default_ttl", "ip_forward", "ip_local_port_range", "ip_unprivileged_port_start", "ping_group_range",
		"tcp_available_congestion_control", "tcp_congestion_control", "tcp_fastopen", "tcp_fin_timeout", "tcp_keepalive_intvl",
		"tcp_keepalive_probes", "tcp_keepalive_time", "tcp_moderate_rcvbuf", "tcp_retries2", "tcp_rmem", "tcp_sack", "tcp_syn_retries",
		"tcp_timestamps", "tcp_window_scaling", "tcp_wmem",
	}, func(name string) string { return ipv4Setting(s, name) })
}

func ipv4Setting(s *netstack.Stack, name string) string {
	switch name {
	case "conf/all/forwarding", "ip_forward":
		return flag(forwards(s, ipv4.ProtocolNumber))
	case "ip_default_ttl":
		var ttl tcpip.DefaultTTLOption
		s.NetworkProtocolOption(ipv4.ProtocolNumber, &ttl)
		return decimal(ttl)
	case "ip_local_port_range":
		low, high := s.PortRange()
		return decimal(low) + "\t" + decimal(high)
	case "ping_group_range":
		return "0\t2147483647"
	case "tcp_available_congestion_control":
		var names tcpip.TCPAvailableCongestionControlOption
		option(s, &names)
		return string(names)
	case "tcp_congestion_control":
		var name tcpip.CongestionControlOption
		option(s, &name)
		return string(name)
	case "tcp_fin_timeout":
		var linger tcpip.TCPLingerTimeoutOption
		option(s, &linger)
		return decimal(time.Duration(linger) / time.Second)
	case "tcp_keepalive_intvl":
		return decimal(tcp.DefaultKeepaliveInterval / time.Second)
	case "tcp_keepalive_probes":
		return decimal(tcp.DefaultKeepaliveCount)
	case "tcp_keepalive_time":
		return decimal(tcp.DefaultKeepaliveIdle / time.Second)
	case "tcp_moderate_rcvbuf":
		var on tcpip.TCPModerateReceiveBufferOption
		option(s, &on)
		return flag(bool(on))
	case "tcp_retries2":
		var n tcpip.TCPMaxRetriesOption
		option(s, &n)
		return decimal(n)
	case "tcp_rmem":
		var o tcpip.TCPReceiveBufferSizeRangeOption
		option(s, &o)
		return three(o.Min, o.Default, o.Max)
	case "tcp_sack":
		var on tcpip.TCPSACKEnabled
		option(s, &on)
		return flag(bool(on))
	case "tcp_syn_retries":
		var n tcpip.TCPSynRetriesOption
		option(s, &n)
		return decimal(n)
	case "tcp_timestamps", "tcp_window_scaling":
		return "1"
	case "tcp_wmem":
		var o tcpip.TCPSendBufferSizeRangeOption
		option(s, &o)
		return three(o.Min, o.Default, o.Max)
	}
	return "0" // ip_unprivileged_port_start, tcp_fastopen
}

// IPv6 returns files of /proc/sys/net/ipv6.
func IPv6(s *netstack.Stack) []File {
	return settings([]string{"bindv6only", "conf/all/disable_ipv6", "conf/all/forwarding", "conf/default/disable_ipv6"}, func(name string) string {
		return flag(name == "conf/all/forwarding" && forwards(s, ipv6.ProtocolNumber))
	})
}

// Link returns the files of /sys/class/net/NAME for a link.
func Link(l *netstack.Link) []File {
	return settings([]string{
		"addr_assign_type", "addr_len", "address", "broadcast", "carrier", "dev_id", "dormant", "flags", "ifindex", "iflink", "link_mode",
		"mtu", "operstate", "tx_queue_len", "type",
		"statistics/collisions", "statistics/multicast", "statistics/rx_bytes", "statistics/rx_dropped", "statistics/rx_errors",
		"statistics/rx_packets", "statistics/tx_bytes", "statistics/tx_dropped", "statistics/tx_errors", "statistics/tx_packets",
	}, func(name string) string { return linkSetting(l, name) })
}

func linkSetting(l *netstack.Link, name string) string {
	d := inventory.Describe(l)
	n := uint64(0) // as of addr_assign_type, dormant, link_mode, statistics/collisions
	switch s := &d.Statistics; name {
	case "address":
		return tcpip.LinkAddress(d.Address).String()
	case "broadcast":
		return tcpip.LinkAddress(d.Broadcast).String()
	case "dev_id":
		return "0x0"
	case "flags": // without those that Linux computes for others only
		return "0x" + strconv.FormatUint(uint64(d.Flags&^(unix.IFF_RUNNING|unix.IFF_LOWER_UP)), 16)
	case "operstate":
		switch d.OperState { // RFC2863 states of net/core/net-sysfs.c
		case inventory.OperDown:
			return "down"
		case inventory.OperUp:
			return "up"
		}
		return "unknown"
	case "addr_len":
		n = uint64(len(d.Address))
	case "carrier":
		n = uint64(d.Flags & unix.IFF_LOWER_UP / unix.IFF_LOWER_UP)
	case "ifindex", "iflink":
		n = uint64(d.Index)
	case "mtu":
		n = uint64(d.MTU)
	case "tx_queue_len":
		n = inventory.SendQueue
	case "type":
		n = uint64(d.Type)
	case "statistics/multicast":
		n = s.Multicast
	case "statistics/rx_bytes":
		n = s.RxBytes
	case "statistics/rx_dropped":
		n = s.RxDropped
	case "statistics/rx_errors":
		n = s.RxErrors
	case "statistics/rx_packets":
		n = s.RxPackets
	case "statistics/tx_bytes":
		n = s.TxBytes
	case "statistics/tx_dropped":
		n = s.TxDropped
	case "statistics/tx_errors":
		n = s.TxErrors
	case "statistics/tx_packets":
		n = s.TxPackets
	}
	return decimal(n)
}
