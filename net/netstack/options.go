package netstack

import (
	"runtime"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/raw"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// What Linux does by default (ip-sysctl.rst).
const (
	defaultTTL     = 64
	firstEphemeral = 32768
	lastEphemeral  = 60999
)

// newStack returns gVisor's stack with all protocols and the options of a server.
func newStack(s *Stack) *stack.Stack {
	ndp := ipv6.DefaultNDPConfigurations()
	ndp.AutoGenTempGlobalAddresses = false // a server is to be found where it was
	if s.options.CPUs == 0 {
		s.options.CPUs = runtime.GOMAXPROCS(0)
	}
	var c tcpip.Clock // nil: gVisor's own
	if s.options.Nanotime != nil {
		c = &clock{tcpip.NewStdClock(), s.options.Nanotime}
	}
	t := stack.New(stack.Options{
		NetworkProtocols: []stack.NetworkProtocolFactory{
			ipv4.NewProtocolWithOptions(ipv4.Options{}),
			ipv6.NewProtocolWithOptions(ipv6.Options{
				NDPConfigs:       ndp,
				AutoGenLinkLocal: true,
				NDPDisp:          s.options.NDP,
				DADConfigs:       stack.DefaultDADConfigurations(),
			}),
			arp.NewProtocol,
		},
		TransportProtocols: []stack.TransportProtocolFactory{
			tcp.NewProtocolCUBIC, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6,
		},
		Clock:                    c,
		HandleLocal:              true,
		RawFactory:               &raw.EndpointFactory{},
		AllowPacketEndpointWrite: true,
		SecureRNG:                newRandom(s.options.Random),
	})
	must(t.SetPortRange(firstEphemeral, lastEphemeral))
	ttl := tcpip.DefaultTTLOption(defaultTTL)
	must(t.SetNetworkProtocolOption(ipv4.ProtocolNumber, &ttl))
	must(t.SetNetworkProtocolOption(ipv6.ProtocolNumber, &ttl))
	for _, o := range tcpOptions(s.options.Memory) {
		must(t.SetTransportProtocolOption(tcp.ProtocolNumber, o))
	}
	sizes := datagramSizes(s.options.Memory)
	must(t.SetOption(tcpip.SendBufferSizeOption(sizes)))
	must(t.SetOption(tcpip.ReceiveBufferSizeOption(sizes)))
	return t
}

// tcpOptions returns TCP's options for a machine of that much memory. A connection's buffers begin
// small, as Linux's do, and grow with the bandwidth-delay product to a limit which many connections
// at once can reach without exhausting the machine.
func tcpOptions(memory uint64) []tcpip.SettableTransportProtocolOption {
	limit := bufferLimit(memory)
	first := max(32<<10, limit/16)
	sack, delay, moderate := tcpip.TCPSACKEnabled(true), tcpip.TCPDelayEnabled(true), tcpip.TCPModerateReceiveBufferOption(true)
	recovery, reuse := tcpip.TCPRACKLossDetection, tcpip.TCPTimeWaitReuseGlobal
	return []tcpip.SettableTransportProtocolOption{
		&sack, &recovery, &delay, &moderate, &reuse,
		&tcpip.TCPReceiveBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: min(128<<10, first), Max: limit},
		&tcpip.TCPSendBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: min(64<<10, first), Max: limit},
	}
}

// bufferLimit returns how far the buffer of one direction of a connection may grow: no more than 4
// MiB, as on Linux, nor 1/256 of memory.
func bufferLimit(memory uint64) int {
	const least, most = 64 << 10, 4 << 20
	if memory == 0 || memory/256 > most {
		return most
	}
	return max(least, int(memory/256))
}

// timeWaitLimit returns how many connections may be in TIME-WAIT at once: each takes 5 KiB, and all no
// more than a twentieth of memory.
func timeWaitLimit(memory uint64) int {
	const least, most = 256, 1 << 16
	if memory == 0 {
		return most
	}
	return int(min(max(memory>>17, least), most))
}

// datagramSizes returns the sizes of a datagram socket's buffers, as on Linux (rmem_default,
// rmem_max) but for small machines.
func datagramSizes(memory uint64) tcpip.SendBufferSizeOption {
	return tcpip.SendBufferSizeOption{Min: stack.MinBufferSize, Default: 208 << 10, Max: max(208<<10, bufferLimit(memory))}
}
