package netstack

import (
	"encoding/binary"
	"io"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// Numbers of pcapng (draft-ietf-opsawg-pcapng).
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacket    = 6

	byteOrderMagic = 0x1a2b3c4d
	lengthUnknown  = 1<<64 - 1
	linkEthernet   = 1

	optionEnd       = 0
	optionName      = 2 // if_name
	optionPrecision = 9 // if_tsresol
	optionFlags     = 2 // epb_flags
	nanoseconds     = 9

	inbound  = 1
	outbound = 2
)

// capture writes what links carry as a pcapng file: each link is an interface of it, of Ethernet, and lo
// has a header of zeros, as on Linux. Checksums that are left to a device, or to nobody, are completed.
type capture struct {
	clock tcpip.Clock

	mu     sync.Mutex
	w      io.Writer // nil after an error
	failed func(error)
	ids    map[*Link]uint32
	block  []byte
}

// Capture begins to write all packets of all links to w, as a pcapng file: one call of Write for each
// packet, by the goroutine that sends or receives it. After an error nothing more is written, and failed
// is told. It is called once.
func (s *Stack) Capture(w io.Writer, failed func(error)) {
	c := &capture{clock: s.Clock(), w: w, failed: failed, ids: make(map[*Link]uint32)}
	c.begin(blockSection)
	c.put32(byteOrderMagic)
	c.put32(1) // version 1.0
	c.put64(lengthUnknown)
	c.mu.Lock()
	c.end()
	c.mu.Unlock()
	s.capture.Store(c)
}

// received writes a received packet, whose link header is known.
func (c *capture) received(l *Link, p *stack.PacketBuffer, partial bool) {
	c.packet(l, p, inbound, partial)
}

// sent writes a packet that is sent.
func (c *capture) sent(l *Link, p *stack.PacketBuffer) {
	c.packet(l, p, outbound, l.loopback || p.GSOOptions.NeedsCsum)
}

func (c *capture) packet(l *Link, p *stack.PacketBuffer, direction uint32, partial bool) {
	now := c.clock.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	id, ok := c.ids[l]
	if !ok {
		id = uint32(len(c.ids))
		c.ids[l] = id
		c.describe(l)
	}
	c.begin(blockPacket)
	c.put32(id)
	stamp := uint64(now.UnixNano())
	c.put32(uint32(stamp >> 32))
	c.put32(uint32(stamp))
	at := len(c.block)
	c.put64(0)
	begin := len(c.block)
	if l.loopback {
		c.block = append(c.block, make([]byte, ethernetHeader)...)
		binary.BigEndian.PutUint16(c.block[len(c.block)-2:], uint16(p.NetworkProtocolNumber))
	}
	views, skip := p.AsViewList()
	for v := views.Front(); v != nil; v = v.Next() {
		b := v.AsSlice()
		n := min(skip, len(b))
		c.block = append(c.block, b[n:]...)
		skip -= n
	}
	if partial {
		completeChecksum(c.block[begin:])
	}
	n := uint32(len(c.block) - begin)
	binary.LittleEndian.PutUint32(c.block[at:], n)
	binary.LittleEndian.PutUint32(c.block[at+4:], n)
	c.pad()
	c.option(optionFlags, binary.LittleEndian.AppendUint32(nil, direction))
	c.option(optionEnd, nil)
	c.end()
}

// describe writes the block of an interface.
func (c *capture) describe(l *Link) {
	c.begin(blockInterface)
	c.put32(linkEthernet)
	c.put32(0) // nothing is cut
	c.option(optionName, []byte(l.name))
	c.option(optionPrecision, []byte{nanoseconds})
	c.option(optionEnd, nil)
	c.end()
}

func (c *capture) begin(kind uint32) {
	c.block = c.block[:0]
	c.put32(kind)
	c.put32(0)
}

// end writes the block that was begun. c.mu is held.
func (c *capture) end() {
	n := uint32(len(c.block) + 4)
	c.put32(n)
	binary.LittleEndian.PutUint32(c.block[4:], n)
	if c.w == nil {
		return
	}
	if _, err := c.w.Write(c.block); err != nil {
		c.w = nil
		c.failed(err)
	}
}

func (c *capture) option(code uint16, value []byte) {
	c.block = binary.LittleEndian.AppendUint16(c.block, code)
	c.block = binary.LittleEndian.AppendUint16(c.block, uint16(len(value)))
	c.block = append(c.block, value...)
	c.pad()
}

func (c *capture) pad() {
	for len(c.block)%4 != 0 {
		c.block = append(c.block, 0)
	}
}

func (c *capture) put32(v uint32) { c.block = binary.LittleEndian.AppendUint32(c.block, v) }
func (c *capture) put64(v uint64) { c.block = binary.LittleEndian.AppendUint64(c.block, v) }

// completeChecksum sets the checksum of a TCP or UDP packet which is not a fragment.
func completeChecksum(frame []byte) {
	var protocol tcpip.TransportProtocolNumber
	var source, destination tcpip.Address
	p := frame[ethernetHeader:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case uint16(header.IPv4ProtocolNumber):
		h := header.IPv4(p)
		if !h.IsValid(len(p)) || h.More() || h.FragmentOffset() != 0 {
			return
		}
		protocol, source, destination = h.TransportProtocol(), h.SourceAddress(), h.DestinationAddress()
		p = p[h.HeaderLength():]
	case uint16(header.IPv6ProtocolNumber):
		h := header.IPv6(p)
		if !h.IsValid(len(p)) {
			return
		}
		protocol, source, destination = tcpip.TransportProtocolNumber(h.NextHeader()), h.SourceAddress(), h.DestinationAddress()
		p = p[header.IPv6MinimumSize:]
	default:
		return
	}
	var at int
	switch {
	case protocol == header.TCPProtocolNumber && len(p) >= header.TCPMinimumSize:
		at = header.TCPChecksumOffset
	case protocol == header.UDPProtocolNumber && len(p) >= header.UDPMinimumSize:
		at = header.UDPMinimumSize - 2
	default:
		return
	}
	clear(p[at : at+2])
	sum := checksum.Checksum(p, header.PseudoHeaderChecksum(protocol, source, destination, uint16(len(p))))
	if protocol == header.UDPProtocolNumber && sum == 0xffff {
		sum = 0 // 0 would say that there is none (RFC 768)
	}
	binary.BigEndian.PutUint16(p[at:], ^sum)
}
