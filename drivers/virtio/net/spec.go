package net

// References are to Virtual I/O Device (VIRTIO) Version 1.2. This file keeps
// its spelling.

// Feature bits (5.1.3), as masks.
const (
	VIRTIO_NET_F_CSUM       = 1 << 0
	VIRTIO_NET_F_GUEST_CSUM = 1 << 1
	VIRTIO_NET_F_MTU        = 1 << 3
	VIRTIO_NET_F_MAC        = 1 << 5
	VIRTIO_NET_F_GUEST_TSO4 = 1 << 7
	VIRTIO_NET_F_GUEST_TSO6 = 1 << 8
	VIRTIO_NET_F_GUEST_ECN  = 1 << 9
	VIRTIO_NET_F_HOST_TSO4  = 1 << 11
	VIRTIO_NET_F_HOST_TSO6  = 1 << 12
	VIRTIO_NET_F_HOST_ECN   = 1 << 13
	VIRTIO_NET_F_MRG_RXBUF  = 1 << 15
	VIRTIO_NET_F_STATUS     = 1 << 16
	VIRTIO_NET_F_CTRL_VQ    = 1 << 17
	VIRTIO_NET_F_CTRL_RX    = 1 << 18
	VIRTIO_NET_F_MQ         = 1 << 22
)

// struct virtio_net_config (5.1.4): offsets.
const (
	configMAC      = 0
	configStatus   = 6
	configMaxPairs = 8
	configMTU      = 10

	VIRTIO_NET_S_LINK_UP = 1
)

// struct virtio_net_hdr (5.1.6): offsets; all but the first two have 16 bits.
const (
	hdrFlags      = 0
	hdrGSOType    = 1
	hdrHdrLen     = 2
	hdrGSOSize    = 4
	hdrCsumStart  = 6
	hdrCsumOffset = 8
	hdrNumBuffers = 10

	// HeaderSize is the length of the header before each frame, with
	// VIRTIO_F_VERSION_1.
	HeaderSize = 12

	VIRTIO_NET_HDR_F_NEEDS_CSUM = 1
	VIRTIO_NET_HDR_F_DATA_VALID = 2

	VIRTIO_NET_HDR_GSO_NONE  = 0
	VIRTIO_NET_HDR_GSO_TCPV4 = 1
	VIRTIO_NET_HDR_GSO_TCPV6 = 4
	VIRTIO_NET_HDR_GSO_ECN   = 0x80
)

// Control virtqueue (5.1.6.5).
const (
	VIRTIO_NET_OK = 0

	VIRTIO_NET_CTRL_RX          = 0
	VIRTIO_NET_CTRL_RX_PROMISC  = 0
	VIRTIO_NET_CTRL_RX_ALLMULTI = 1

	VIRTIO_NET_CTRL_MQ              = 4
	VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET = 0
)
