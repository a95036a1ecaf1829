package virtio

// References are to Virtual I/O Device (VIRTIO) Version 1.2, OASIS Committee
// Specification 01. This file keeps its spelling.

// Device types (5).
const (
	VIRTIO_ID_NET   = 1
	VIRTIO_ID_BLOCK = 2
	VIRTIO_ID_RNG   = 4
	VIRTIO_ID_9P    = 9
)

// Device status bits (2.1).
const (
	VIRTIO_CONFIG_S_ACKNOWLEDGE = 1
	VIRTIO_CONFIG_S_DRIVER      = 2
	VIRTIO_CONFIG_S_DRIVER_OK   = 4
	VIRTIO_CONFIG_S_FEATURES_OK = 8
	VIRTIO_CONFIG_S_NEEDS_RESET = 64
	VIRTIO_CONFIG_S_FAILED      = 128
)

// Feature bits that belong to no device type (6), as masks.
const (
	VIRTIO_F_INDIRECT_DESC   = 1 << 28
	VIRTIO_F_EVENT_IDX       = 1 << 29
	VIRTIO_F_VERSION_1       = 1 << 32
	VIRTIO_F_ACCESS_PLATFORM = 1 << 33
)

// Descriptor flags (2.7.5).
const (
	VIRTQ_DESC_F_NEXT     = 1
	VIRTQ_DESC_F_WRITE    = 2
	VIRTQ_DESC_F_INDIRECT = 4
)

// Ring flags (2.7.6, 2.7.8).
const (
	VIRTQ_AVAIL_F_NO_INTERRUPT = 1
	VIRTQ_USED_F_NO_NOTIFY     = 1
)

// Interrupt status bits (4.1.4.5, 4.2.2).
const (
	VIRTIO_ISR_QUEUE  = 1
	VIRTIO_ISR_CONFIG = 2
)

// MaxQueueSize is the largest size of a split virtqueue (2.7).
const MaxQueueSize = 1 << 15

// Descriptor is struct virtq_desc (2.7.5). Its fields are little-endian, as
// the machines of this kernel are.
type Descriptor struct {
	Addr  uint64
	Len   uint32
	Flags uint16
	Next  uint16
}

// UsedElement is struct virtq_used_elem (2.7.8).
type UsedElement struct {
	ID  uint32
	Len uint32
}
