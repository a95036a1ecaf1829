package virtio

import (
	"errors"
	"strconv"
)

// What the driver's side of a queue may answer without fault of the device.
var (
	// ErrFull says that the queue has too few free descriptors now.
	ErrFull = errors.New("virtio: queue is full; wait for the device to use buffers")
	// ErrChain says that a chain is empty, longer than its queue or than 4 GiB - 1.
	ErrChain = errors.New("virtio: chain is empty, longer than its queue, or holds 4 GiB or more")
	// ErrClosed is the kind of the DeviceError after Device.Close.
	ErrClosed = errors.New("was shut down by its driver")
)

// The ways in which a device may break the rules. Each puts the device out of
// service: it is reset, and everything asked of it later is answered with the
// first such error, wrapped in a DeviceError.
var (
	// ErrReset says that the device does not end a reset (2.4).
	ErrReset = errors.New("does not complete a reset")
	// ErrLegacy says that the device lacks VIRTIO_F_VERSION_1 (6.1).
	ErrLegacy = errors.New("offers only the legacy interface; in QEMU, set disable-legacy=on or virtio-mmio.force-legacy=off")
	// ErrFeaturesRefused says that the device clears FEATURES_OK (3.1.1).
	ErrFeaturesRefused = errors.New("refuses the features that it offered")
	// ErrNeedsReset says that the device set DEVICE_NEEDS_RESET (2.1.2).
	ErrNeedsReset = errors.New("reports an error of its own (DEVICE_NEEDS_RESET)")
	// ErrNoQueue says that the device lacks a queue its type must have.
	ErrNoQueue = errors.New("has no such queue, though its type and features demand it")
	// ErrQueueSize says that a queue's size is no power of two between 2 and 32768 (2.7).
	ErrQueueSize = errors.New("offers a queue size that is no power of two between 2 and 32768")
	// ErrQueueInUse says that a queue is enabled before the driver enabled it.
	ErrQueueInUse = errors.New("has a queue enabled after reset")
	// ErrVector says that the device has no place for an MSI-X vector (4.1.5.1.2).
	ErrVector = errors.New("refuses an MSI-X vector")
	// ErrConfigUnstable says that the configuration never stops changing (2.5.1).
	ErrConfigUnstable = errors.New("changes its configuration faster than it can be read")
	// ErrUsedIndex says that the used ring claims more chains than the device was given (2.7.8).
	ErrUsedIndex = errors.New("claims to have used more buffers than it was given")
	// ErrUsedID says that a used element names no descriptor of the queue (2.7.8).
	ErrUsedID = errors.New("has used a descriptor beyond the end of the queue")
	// ErrUsedHead says that a used element names a descriptor that heads no chain the device has.
	ErrUsedHead = errors.New("has used a descriptor that is not the head of a buffer it was given")
	// ErrUsedLength says that a used element claims more bytes than its chain can hold (2.7.8.2).
	ErrUsedLength = errors.New("claims to have written more than its buffer holds")
)

// NoQueue in DeviceError says that the fault is not one of a queue.
const NoQueue = -1

// A DeviceError says that a device was put out of service, and why.
type DeviceError struct {
	Type  uint32 // device type (5)
	Queue int    // or NoQueue
	Value uint64 // what the device said, 0 where Err says all
	Limit uint64 // what bounds it, 0 if nothing does
	Err   error  // the kind: one of the variables above, or of the driver's own
}

func (e *DeviceError) Error() string {
	s := "virtio: "
	switch e.Type {
	case VIRTIO_ID_NET:
		s += "network device"
	case VIRTIO_ID_BLOCK:
		s += "block device"
	case VIRTIO_ID_RNG:
		s += "entropy device"
	case VIRTIO_ID_9P:
		s += "9P device"
	default:
		s += "device of type " + strconv.FormatUint(uint64(e.Type), 10)
	}
	if e.Queue != NoQueue {
		s += ", queue " + strconv.Itoa(e.Queue)
	}
	s += ": " + e.Err.Error()
	if e.Value != 0 || e.Limit != 0 {
		s += " (" + strconv.FormatUint(e.Value, 10)
		if e.Limit != 0 {
			s += ", limit " + strconv.FormatUint(e.Limit, 10)
		}
		s += ")"
	}
	return s + "; the device is out of service"
}

// Unwrap returns the kind of the error.
func (e *DeviceError) Unwrap() error { return e.Err }
