package p9

// Virtual I/O Device (VIRTIO) Version 1.2 has but the number of the device type
// "9P transport" (5); the rest is that of Linux 6.12's
// include/uapi/linux/virtio_9p.h, whose spelling this file keeps.

// Feature bit, as a mask.
const VIRTIO_9P_MOUNT_TAG = 1 << 0

// struct virtio_9p_config: offsets. tag_len has 16 bits.
const (
	configTagLen = 0
	configTag    = 2
)
