package virtio

import "github.com/goshawk-os/goshawk/drivers/platform"

// A Transport carries the operations of a virtio device over a bus (4). The
// packages mmio and pci implement it. The features and queues are for one
// goroutine at a time; all else may be called at any time by any goroutine.
type Transport interface {
	// DeviceType returns the virtio device ID (5).
	DeviceType() uint32

	// Status and SetStatus access the device status field (2.1).
	Status() uint8
	SetStatus(status uint8)

	// DeviceFeatures returns the feature bits offered, SetDriverFeatures
	// states those accepted (2.2).
	DeviceFeatures() uint64
	SetDriverFeatures(features uint64)

	// QueueMax returns the largest size the device allows for a queue; 0 if
	// it has no such queue.
	QueueMax(queue int) uint32
	// EnableQueue hands a queue to the device. r.Interrupt is an index into
	// Interrupts, or NoInterrupt.
	EnableQueue(queue int, r QueueRegisters) error
	// Notify tells the device that the queue has new buffers.
	Notify(queue int)

	// EnableConfigInterrupt lets the device report changes of its
	// configuration with interrupt 0. A reset ends it.
	EnableConfigInterrupt() error
	// Config8, Config16 and Config32 read a field of the device-specific
	// configuration at a byte offset, 0 beyond its end.
	Config8(off int) uint8
	Config16(off int) uint16
	Config32(off int) uint32
	// ConfigGeneration returns a number that differs when the configuration
	// has changed (2.5.1).
	ConfigGeneration() uint32

	// Interrupts returns the device's interrupts. If there is one it serves
	// all queues and changes of the configuration, and Acknowledge must be
	// called after each Wait. If there are more, interrupt 0 means a change
	// of the configuration, the others belong to the queues that name them
	// in EnableQueue, and nothing needs to be acknowledged.
	Interrupts() []platform.Interrupt
	// Acknowledge returns the bits VIRTIO_ISR_* and clears them, so that the
	// device may interrupt again. Queues must be looked at after it.
	Acknowledge() uint8
}

// NoInterrupt in QueueRegisters.Interrupt says that nobody waits for the queue.
const NoInterrupt = -1

// QueueRegisters is what a transport tells a device about a queue.
type QueueRegisters struct {
	Size      uint16
	Desc      uint64 // physical address of the descriptor table
	Avail     uint64 // physical address of the available ring
	Used      uint64 // physical address of the used ring
	Interrupt int
}
