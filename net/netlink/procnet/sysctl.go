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

// A setting is a file of one line.
type setting struct{ name, value string }

// settings returns the files of what read returns, which is called anew for each opening.
//
//go:noinline
func settings(read func() []setting) []File {
	list := read()
	files := make([]File, len(list))
	for i, s := range list {
		files[i] = File{s.name, func() []byte { return []byte(read()[i].value + "\n") }}
	}
	return files
}

// flag returns 1 for true and 0 for false.
func flag(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

// decimal is not inlined, nor is settings: it keeps images small.
//
//go:noinline
func decimal(n uint64) string { return strconv.FormatUint(n, 10) }

func three(a, b, c int) string {
	return decimal(uint64(a)) + "\t" + decimal(uint64(b)) + "\t" + decimal(uint64(c))
}

// Core returns files of /proc/sys/net/core (Documentation/admin-guide/sysctl/net.rst of Linux):
// settings that servers look at, as the stack has them.
func Core(s *netstack.Stack) []File {
	return settings(func() []setting {
		var receive tcpip.ReceiveBufferSizeOption
		var send tcpip.SendBufferSizeOption
		s.Option(&receive)
		s.Option(&send)
		return []setting{
			{"rmem_default", decimal(uint64(receive.Default))}, {"rmem_max", decimal(uint64(receive.Max))},
			{"wmem_default", decimal(uint64(send.Default))}, {"wmem_max", decimal(uint64(send.Max))},
		}
	})
}

// IPv4 returns files of /proc/sys/net/ipv4 (Documentation/networking/ip-sysctl.rst of Linux).
func IPv4(s *netstack.Stack) []File {
	return settings(func() []setting {
		forwarding := flag(forwards(s, ipv4.ProtocolNumber))
		var ttl tcpip.DefaultTTLOption
		s.NetworkProtocolOption(ipv4.ProtocolNumber, &ttl)
		low, high := s.PortRange()
		var o struct {
			available tcpip.TCPAvailableCongestionControlOption
			control   tcpip.CongestionControlOption
			linger    tcpip.TCPLingerTimeoutOption
			moderate  tcpip.TCPModerateReceiveBufferOption
			retries   tcpip.TCPMaxRetriesOption
			synTries  tcpip.TCPSynRetriesOption
			sack      tcpip.TCPSACKEnabled
			receive   tcpip.TCPReceiveBufferSizeRangeOption
			send      tcpip.TCPSendBufferSizeRangeOption
		}
		for _, p := range []tcpip.GettableTransportProtocolOption{
			&o.available, &o.control, &o.linger, &o.moderate, &o.retries, &o.synTries, &o.sack, &o.receive, &o.send,
		} {
			s.TransportProtocolOption(tcp.ProtocolNumber, p)
		}
		return []setting{
			{"conf/all/forwarding", forwarding},
			{"ip_default_ttl", decimal(uint64(ttl))},
			{"ip_forward", forwarding},
			{"ip_local_port_range", decimal(uint64(low)) + "\t" + decimal(uint64(high))},
			{"ip_unprivileged_port_start", "0"},
			{"ping_group_range", "0\t2147483647"},
			{"tcp_available_congestion_control", string(o.available)},
			{"tcp_congestion_control", string(o.control)},
			{"tcp_fastopen", "0"},
			{"tcp_fin_timeout", decimal(uint64(time.Duration(o.linger) / time.Second))},
			{"tcp_keepalive_intvl", decimal(uint64(tcp.DefaultKeepaliveInterval / time.Second))},
			{"tcp_keepalive_probes", decimal(tcp.DefaultKeepaliveCount)},
			{"tcp_keepalive_time", decimal(uint64(tcp.DefaultKeepaliveIdle / time.Second))},
			{"tcp_moderate_rcvbuf", flag(bool(o.moderate))},
			{"tcp_retries2", decimal(uint64(o.retries))},
			{"tcp_rmem", three(o.receive.Min, o.receive.Default, o.receive.Max)},
			{"tcp_sack", flag(bool(o.sack))},
			{"tcp_syn_retries", decimal(uint64(o.synTries))},
			{"tcp_timestamps", "1"},
			{"tcp_window_scaling", "1"},
			{"tcp_wmem", three(o.send.Min, o.send.Default, o.send.Max)},
		}
	})
}

// IPv6 returns files of /proc/sys/net/ipv6.
func IPv6(s *netstack.Stack) []File {
	return settings(func() []setting {
		return []setting{
			{"bindv6only", "0"}, {"conf/all/disable_ipv6", "0"}, {"conf/default/disable_ipv6", "0"},
			{"conf/all/forwarding", flag(forwards(s, ipv6.ProtocolNumber))},
		}
	})
}

// Link returns the files of /sys/class/net/NAME for a link.
func Link(l *netstack.Link) []File {
	return settings(func() []setting {
		d := inventory.Describe(l)
		s := &d.Statistics
		state := "unknown" // the names are those of net/core/net-sysfs.c
		switch d.OperState {
		case inventory.OperDown:
			state = "down"
		case inventory.OperUp:
			state = "up"
		}
		// Without those that Linux computes for others only.
		flags := "0x" + strconv.FormatUint(uint64(d.Flags&^(unix.IFF_RUNNING|unix.IFF_LOWER_UP)), 16)
		return []setting{
			{"addr_assign_type", "0"},
			{"addr_len", decimal(uint64(len(d.Address)))},
			{"address", tcpip.LinkAddress(d.Address).String()},
			{"broadcast", tcpip.LinkAddress(d.Broadcast).String()},
			{"carrier", flag(d.Flags&unix.IFF_LOWER_UP != 0)},
			{"dev_id", "0x0"},
			{"dormant", "0"},
			{"flags", flags},
			{"ifindex", decimal(uint64(d.Index))},
			{"iflink", decimal(uint64(d.Index))},
			{"link_mode", "0"},
			{"mtu", decimal(uint64(d.MTU))},
			{"operstate", state},
			{"tx_queue_len", decimal(inventory.SendQueue)},
			{"type", decimal(uint64(d.Type))},
			{"statistics/collisions", decimal(s.Collisions)},
			{"statistics/multicast", decimal(s.Multicast)},
			{"statistics/rx_bytes", decimal(s.RxBytes)},
			{"statistics/rx_dropped", decimal(s.RxDropped)},
			{"statistics/rx_errors", decimal(s.RxErrors)},
			{"statistics/rx_packets", decimal(s.RxPackets)},
			{"statistics/tx_bytes", decimal(s.TxBytes)},
			{"statistics/tx_dropped", decimal(s.TxDropped)},
			{"statistics/tx_errors", decimal(s.TxErrors)},
			{"statistics/tx_packets", decimal(s.TxPackets)},
		}
	})
}
