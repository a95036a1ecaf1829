package net

// Checksum says what is known of a frame's TCP or UDP checksum.
type Checksum uint8

const (
	// ChecksumNone: nothing. Received frames must be verified; frames to be
	// sent are complete.
	ChecksumNone Checksum = iota
	// ChecksumPartial: the checksum field holds the sum of the pseudo header
	// only. The field is at ChecksumStart+ChecksumOffset; what is to be
	// added begins at ChecksumStart. A received frame with this is intact:
	// it comes from the same host.
	ChecksumPartial
	// ChecksumValid: the device has verified it. Only in received frames.
	ChecksumValid
)

// GSO says how a frame is made of several segments.
type GSO uint8

const (
	GSONone GSO = iota
	GSOTCP4     // TCP over IPv4
	GSOTCP6     // TCP over IPv6
)

// A Header is what driver and device say to each other about a frame.
type Header struct {
	Checksum       Checksum
	GSO            GSO
	ECN            bool   // with GSO: the segments carry explicit congestion notification (CWR)
	HeaderLen      uint16 // with GSO: bytes before the TCP payload. Received: a hint, unchecked
	SegmentSize    uint16 // with GSO: bytes of payload in each segment but the last
	ChecksumStart  uint16 // with ChecksumPartial: bytes from the frame's begin
	ChecksumOffset uint16 // with ChecksumPartial: bytes from ChecksumStart
}

// Offloads are the abilities of the device that were negotiated.
type Offloads struct {
	SendChecksum bool // ChecksumPartial may be sent
	SendTSO4     bool // GSOTCP4 may be sent, with ChecksumPartial
	SendTSO6     bool
	SendECN      bool // ECN may be sent

	ReceiveChecksum bool // ChecksumPartial and ChecksumValid may arrive
	ReceiveTSO4     bool // GSOTCP4 may arrive
	ReceiveTSO6     bool
	ReceiveECN      bool
}

const (
	ethernetHeader = 14
	// maxFrame is the longest frame: 65,535 bytes of IP (5.1.6.3.1 has 65,550
	// with a byte of slack).
	maxFrame = 65550
)

// sendable reports whether a frame of length bytes may be sent with h.
func (o *Offloads) sendable(h *Header, length int) bool {
	switch h.Checksum {
	case ChecksumNone:
	case ChecksumPartial:
		if !o.SendChecksum || int(h.ChecksumStart)+int(h.ChecksumOffset)+2 > length {
			return false
		}
	default:
		return false
	}
	switch h.GSO {
	case GSONone:
		return !h.ECN
	case GSOTCP4:
		if !o.SendTSO4 {
			return false
		}
	case GSOTCP6:
		if !o.SendTSO6 {
			return false
		}
	default:
		return false
	}
	return h.Checksum == ChecksumPartial && h.SegmentSize > 0 && int(h.HeaderLen) <= length && (!h.ECN || o.SendECN)
}

// put writes h as struct virtio_net_hdr (5.1.6.2).
func (h *Header) put(p []byte) {
	_ = p[HeaderSize-1]
	var flags, gso uint8
	var headerLen, size, start, offset uint16
	if h.Checksum == ChecksumPartial {
		flags, start, offset = VIRTIO_NET_HDR_F_NEEDS_CSUM, h.ChecksumStart, h.ChecksumOffset
	}
	if h.GSO != GSONone {
		gso, headerLen, size = VIRTIO_NET_HDR_GSO_TCPV4, h.HeaderLen, h.SegmentSize
		if h.GSO == GSOTCP6 {
			gso = VIRTIO_NET_HDR_GSO_TCPV6
		}
		if h.ECN {
			gso |= VIRTIO_NET_HDR_GSO_ECN
		}
	}
	p[hdrFlags], p[hdrGSOType] = flags, gso
	put16(p[hdrHdrLen:], headerLen)
	put16(p[hdrGSOSize:], size)
	put16(p[hdrCsumStart:], start)
	put16(p[hdrCsumOffset:], offset)
	put16(p[hdrNumBuffers:], 0)
}

// parse reads the header of a received frame of length bytes. ok is false if
// it does not fit the frame or what was negotiated. p may change meanwhile.
func (o *Offloads) parse(p []byte, length int) (h Header, ok bool) {
	flags, gso := p[hdrFlags], p[hdrGSOType]
	switch {
	case flags&VIRTIO_NET_HDR_F_NEEDS_CSUM != 0:
		h.Checksum = ChecksumPartial
		h.ChecksumStart, h.ChecksumOffset = get16(p[hdrCsumStart:]), get16(p[hdrCsumOffset:])
		if !o.ReceiveChecksum || int(h.ChecksumStart)+int(h.ChecksumOffset)+2 > length {
			return h, false
		}
	case flags&VIRTIO_NET_HDR_F_DATA_VALID != 0 && o.ReceiveChecksum:
		h.Checksum = ChecksumValid
	}
	switch gso &^ VIRTIO_NET_HDR_GSO_ECN {
	case VIRTIO_NET_HDR_GSO_NONE:
		return h, gso == VIRTIO_NET_HDR_GSO_NONE
	case VIRTIO_NET_HDR_GSO_TCPV4:
		h.GSO, ok = GSOTCP4, o.ReceiveTSO4
	case VIRTIO_NET_HDR_GSO_TCPV6:
		h.GSO, ok = GSOTCP6, o.ReceiveTSO6
	}
	h.ECN = gso&VIRTIO_NET_HDR_GSO_ECN != 0
	h.HeaderLen, h.SegmentSize = get16(p[hdrHdrLen:]), get16(p[hdrGSOSize:])
	return h, ok && h.SegmentSize > 0 && (!h.ECN || o.ReceiveECN)
}

func put16(p []byte, v uint16) { p[0], p[1] = byte(v), byte(v>>8) }

func get16(p []byte) uint16 { return uint16(p[0]) | uint16(p[1])<<8 }
