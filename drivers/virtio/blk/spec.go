package blk

// References are to Virtual I/O Device (VIRTIO) Version 1.2. This file keeps
// its spelling.

// Feature bits (5.2.3), as masks.
const (
	VIRTIO_BLK_F_SIZE_MAX     = 1 << 1
	VIRTIO_BLK_F_SEG_MAX      = 1 << 2
	VIRTIO_BLK_F_RO           = 1 << 5
	VIRTIO_BLK_F_BLK_SIZE     = 1 << 6
	VIRTIO_BLK_F_FLUSH        = 1 << 9
	VIRTIO_BLK_F_TOPOLOGY     = 1 << 10
	VIRTIO_BLK_F_CONFIG_WCE   = 1 << 11
	VIRTIO_BLK_F_MQ           = 1 << 12
	VIRTIO_BLK_F_DISCARD      = 1 << 13
	VIRTIO_BLK_F_WRITE_ZEROES = 1 << 14
)

// struct virtio_blk_config (5.2.4): offsets. capacity has 64 bits, num_queues
// 16, physical_block_exp and writeback 8, all others 32.
const (
	configCapacity              = 0
	configSizeMax               = 8
	configSegMax                = 12
	configBlkSize               = 20
	configPhysicalBlockExp      = 24
	configWriteback             = 32
	configNumQueues             = 34
	configMaxDiscardSectors     = 36
	configDiscardAlignment      = 44
	configMaxWriteZeroesSectors = 48
)

// sectorSize is the unit of capacity, sector and the configuration's sectors,
// whatever blk_size says (5.2.4, 5.2.6).
const sectorSize = 512

// struct virtio_blk_req (5.2.6): offsets in the part before the data, and its
// length.
const (
	reqType   = 0
	reqSector = 8
	reqHeader = 16
)

// struct virtio_blk_discard_write_zeroes (5.2.6): offsets, and its length.
const (
	rangeSector     = 0
	rangeNumSectors = 8
	rangeFlags      = 12
	rangeSize       = 16
)

// Types of requests (5.2.6).
const (
	VIRTIO_BLK_T_IN           = 0
	VIRTIO_BLK_T_OUT          = 1
	VIRTIO_BLK_T_FLUSH        = 4
	VIRTIO_BLK_T_DISCARD      = 11
	VIRTIO_BLK_T_WRITE_ZEROES = 13
)

// Values of status (5.2.6).
const (
	VIRTIO_BLK_S_OK     = 0
	VIRTIO_BLK_S_IOERR  = 1
	VIRTIO_BLK_S_UNSUPP = 2
)
