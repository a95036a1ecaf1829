package relay

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// A Target is the machine that frames are aimed at.
type Target struct {
	MAC  net.HardwareAddr
	Addr netip.Addr // IPv4
	Port uint16
}

func ethernetHeader(to net.HardwareAddr, kind uint16) []byte {
	b := append(append([]byte{}, to...), PeerMAC...)
	return binary.BigEndian.AppendUint16(b, kind)
}

// ipv4Packet returns a frame with an IPv4 packet with the right sums, whose payload is of zeros.
func (t Target) ipv4Packet(from netip.Addr, protocol tcpip.TransportProtocolNumber, payload int) []byte {
	b := append(ethernetHeader(t.MAC, uint16(header.IPv4ProtocolNumber)), make([]byte, header.IPv4MinimumSize+payload)...)
	header.IPv4(b[header.EthernetMinimumSize:]).Encode(&header.IPv4Fields{
		TotalLength: uint16(header.IPv4MinimumSize + payload), TTL: 64, Protocol: uint8(protocol),
		SrcAddr: tcpip.AddrFromSlice(from.AsSlice()), DstAddr: tcpip.AddrFromSlice(t.Addr.AsSlice()),
	})
	ip := header.IPv4(b[header.EthernetMinimumSize:])
	ip.SetChecksum(^ip.CalculateChecksum())
	return b
}

const transport = header.EthernetMinimumSize + header.IPv4MinimumSize

// SYN returns a frame that asks for a TCP connection and is right in all.
func (t Target) SYN(from netip.AddrPort, sequence uint32) []byte {
	b := t.ipv4Packet(from.Addr(), header.TCPProtocolNumber, header.TCPMinimumSize)
	segment := header.TCP(b[transport:])
	segment.Encode(&header.TCPFields{
		SrcPort: from.Port(), DstPort: t.Port, SeqNum: sequence, DataOffset: header.TCPMinimumSize, Flags: header.TCPFlagSyn, WindowSize: 65535,
	})
	ip := header.IPv4(b[header.EthernetMinimumSize:])
	sum := header.PseudoHeaderChecksum(header.TCPProtocolNumber, ip.SourceAddress(), ip.DestinationAddress(), header.TCPMinimumSize)
	segment.SetChecksum(^segment.CalculateChecksum(sum))
	return b
}

// Flood sends n frames that ask for a connection to an end, each from another address and port that
// answers nothing.
func Flood(e End, t Target, n int, seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 0))
	for range n {
		var from [4]byte
		binary.BigEndian.PutUint32(from[:], 198<<24|18<<16|rng.Uint32N(1<<17)) // 198.18.0.0/15, RFC 2544
		a := netip.AddrPortFrom(netip.AddrFrom4(from), uint16(1024+rng.IntN(60000)))
		if err := e.WriteFrame(t.SYN(a, rng.Uint32())); err != nil {
			return err
		}
	}
	return nil
}

// kinds are Ethernet types that a stack looks into.
var kinds = []uint16{
	uint16(header.IPv4ProtocolNumber), uint16(header.IPv6ProtocolNumber), uint16(header.ARPProtocolNumber), 0x8100, 0x88a8, 0x0000, 0x0040, 0xffff,
}

// Garbage returns a frame that is wrong in some way: noise behind an Ethernet header, or a packet for
// the target's stack that is right in part, cut, extended or with changed bytes, its sums right as often
// as not. It has at least one byte: QEMU 7.2 reads nothing more behind an empty frame.
func (t Target) Garbage(rng *rand.Rand) []byte {
	to := t.MAC
	switch rng.IntN(4) {
	case 0:
		to = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	case 1:
		to = net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}
	}
	noise := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	switch rng.IntN(4) {
	case 0: // noise, from nothing to the largest frame
		return append(ethernetHeader(to, kinds[rng.IntN(len(kinds))]), noise(rng.IntN(1500))...)
	case 1: // not even an Ethernet header
		return noise(1 + rng.IntN(header.EthernetMinimumSize-1))
	}
	protocols := []tcpip.TransportProtocolNumber{
		header.TCPProtocolNumber, header.UDPProtocolNumber, header.ICMPv4ProtocolNumber, header.IGMPProtocolNumber, header.ICMPv6ProtocolNumber, 255,
	}
	from := netip.AddrFrom4([4]byte{198, 18, byte(rng.Uint32()), byte(rng.Uint32())})
	b := t.ipv4Packet(from, protocols[rng.IntN(len(protocols))], rng.IntN(200))
	copy(b[transport:], noise(len(b)-transport))
	if len(b) >= transport+4 && rng.IntN(2) == 0 {
		binary.BigEndian.PutUint16(b[transport+2:], t.Port)
	}
	for range rng.IntN(4) { // in the IP header, whose sum may then be made right again
		b[header.EthernetMinimumSize+rng.IntN(header.IPv4MinimumSize)] = byte(rng.Uint32())
	}
	if rng.IntN(2) == 0 {
		ip := header.IPv4(b[header.EthernetMinimumSize:transport])
		ip.SetChecksum(0)
		ip.SetChecksum(^checksum.Checksum(ip, 0))
	}
	switch rng.IntN(3) {
	case 0:
		b = b[:1+rng.IntN(len(b)-1)]
	case 1:
		b = append(b, noise(rng.IntN(1000))...)
	}
	return b
}
