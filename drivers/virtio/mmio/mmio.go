// Package mmio is the virtio transport over memory-mapped registers, version 2
// (Virtual I/O Device 1.2, section 4.2). The machine says where devices are.
package mmio

import (
	"errors"
	"strconv"
	"strings"

	"github.com/goshawk-os/goshawk/drivers/platform"
	"github.com/goshawk-os/goshawk/drivers/virtio"
)

// Registers (4.2.2, table 4.1).
const (
	regMagicValue        = 0x000
	regVersion           = 0x004
	regDeviceID          = 0x008
	regDeviceFeatures    = 0x010
	regDeviceFeaturesSel = 0x014
	regDriverFeatures    = 0x020
	regDriverFeaturesSel = 0x024
	regQueueSel          = 0x030
	regQueueNumMax       = 0x034
	regQueueNum          = 0x038
	regQueueReady        = 0x044
	regQueueNotify       = 0x050
	regInterruptStatus   = 0x060
	regInterruptACK      = 0x064
	regStatus            = 0x070
	regQueueDescLow      = 0x080
	regQueueDriverLow    = 0x090
	regQueueDeviceLow    = 0x0a0
	regConfigGeneration  = 0x0fc
	regConfig            = 0x100

	magicValue = 0x74726976 // "virt"
	version    = 2
)

// Errors of Find, wrapped in a SlotError.
var (
	// ErrMagic says that no virtio device is behind the registers.
	ErrMagic = errors.New("no virtio device answers there")
	// ErrVersion says that the device has not version 2.
	ErrVersion = errors.New("the device has only the legacy interface; in QEMU, set -global virtio-mmio.force-legacy=off")
)

// A Slot is a place where the machine may have a device.
type Slot struct {
	Addr uint64 // physical address of the registers
	Size uint64 // bytes of them, with the configuration
	IRQ  int    // global system interrupt
}

// ParseSlot reads a slot as the command line names it, SIZE@ADDRESS:IRQ with the
// size in bytes or followed by K, and numbers as in Go (Linux,
// drivers/virtio/virtio_mmio.c).
func ParseSlot(text string) (Slot, bool) {
	size, rest, _ := strings.Cut(text, "@")
	addr, irq, _ := strings.Cut(rest, ":")
	unit := uint64(1)
	if k, ok := strings.CutSuffix(size, "K"); ok {
		size, unit = k, 1024
	}
	n, err1 := strconv.ParseUint(size, 0, 32)
	a, err2 := strconv.ParseUint(addr, 0, 64)
	i, err3 := strconv.ParseUint(irq, 0, 16)
	return Slot{Addr: a, Size: n * unit, IRQ: int(i)}, err1 == nil && err2 == nil && err3 == nil
}

// A SlotError says why the device of a slot cannot be used.
type SlotError struct {
	Slot Slot
	Err  error
}

func (e *SlotError) Error() string {
	return "virtio-mmio at 0x" + strconv.FormatUint(e.Slot.Addr, 16) + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *SlotError) Unwrap() error { return e.Err }

// Transport implements virtio.Transport.
type Transport struct {
	regs       platform.Registers
	configSize int
	interrupts [1]platform.Interrupt
}

var _ virtio.Transport = (*Transport)(nil)

// Find returns the transports of the slots that hold a device, in the slots'
// order. For each slot whose device cannot be used it calls report.
func Find(slots []Slot, m platform.Mapper, lines platform.Lines, report func(*SlotError)) []*Transport {
	var found []*Transport
	for _, slot := range slots {
		t, err := open(slot, m, lines)
		if err != nil {
			report(&SlotError{slot, err})
		} else if t != nil {
			found = append(found, t)
		}
	}
	return found
}

// open returns nil if the slot is empty (4.2.2, DeviceID 0).
func open(slot Slot, m platform.Mapper, lines platform.Lines) (*Transport, error) {
	if slot.Size < regConfig {
		return nil, ErrMagic
	}
	regs, err := m.Map(slot.Addr, slot.Size)
	if err != nil {
		return nil, err
	}
	// In this order (4.2.3.1.1).
	if regs.Load32(regMagicValue) != magicValue {
		return nil, ErrMagic
	}
	v := regs.Load32(regVersion)
	if regs.Load32(regDeviceID) == 0 {
		return nil, nil
	}
	if v != version {
		return nil, ErrVersion
	}
	irq, err := lines.Connect(slot.IRQ)
	if err != nil {
		return nil, err
	}
	return &Transport{regs, int(slot.Size - regConfig), [1]platform.Interrupt{irq}}, nil
}

// DeviceType implements virtio.Transport.
func (t *Transport) DeviceType() uint32 { return t.regs.Load32(regDeviceID) }

// Status implements virtio.Transport.
func (t *Transport) Status() uint8 { return uint8(t.regs.Load32(regStatus)) }

// SetStatus implements virtio.Transport.
func (t *Transport) SetStatus(status uint8) { t.regs.Store32(regStatus, uint32(status)) }

// DeviceFeatures implements virtio.Transport.
func (t *Transport) DeviceFeatures() (features uint64) {
	for i := range uint32(2) {
		t.regs.Store32(regDeviceFeaturesSel, i)
		features |= uint64(t.regs.Load32(regDeviceFeatures)) << (32 * i)
	}
	return features
}

// SetDriverFeatures implements virtio.Transport.
func (t *Transport) SetDriverFeatures(features uint64) {
	for i := range uint32(2) {
		t.regs.Store32(regDriverFeaturesSel, i)
		t.regs.Store32(regDriverFeatures, uint32(features>>(32*i)))
	}
}

// QueueMax implements virtio.Transport.
func (t *Transport) QueueMax(queue int) uint32 {
	t.regs.Store32(regQueueSel, uint32(queue))
	return t.regs.Load32(regQueueNumMax)
}

// EnableQueue implements virtio.Transport (4.2.3.2).
func (t *Transport) EnableQueue(queue int, r virtio.QueueRegisters) error {
	t.regs.Store32(regQueueSel, uint32(queue))
	if t.regs.Load32(regQueueReady) != 0 {
		return virtio.ErrQueueInUse
	}
	t.regs.Store32(regQueueNum, uint32(r.Size))
	t.store64(regQueueDescLow, r.Desc)
	t.store64(regQueueDriverLow, r.Avail)
	t.store64(regQueueDeviceLow, r.Used)
	t.regs.Store32(regQueueReady, 1)
	return nil
}

func (t *Transport) store64(low uintptr, v uint64) {
	t.regs.Store32(low, uint32(v))
	t.regs.Store32(low+4, uint32(v>>32))
}

// Notify implements virtio.Transport (4.2.3.3).
func (t *Transport) Notify(queue int) { t.regs.Store32(regQueueNotify, uint32(queue)) }

// EnableConfigInterrupt implements virtio.Transport.
func (t *Transport) EnableConfigInterrupt() error { return nil }

// Config8 implements virtio.Transport.
func (t *Transport) Config8(off int) uint8 {
	if off+1 > t.configSize {
		return 0
	}
	return t.regs.Load8(regConfig + uintptr(off))
}

// Config16 implements virtio.Transport.
func (t *Transport) Config16(off int) uint16 {
	if off+2 > t.configSize {
		return 0
	}
	return t.regs.Load16(regConfig + uintptr(off))
}

// Config32 implements virtio.Transport.
func (t *Transport) Config32(off int) uint32 {
	if off+4 > t.configSize {
		return 0
	}
	return t.regs.Load32(regConfig + uintptr(off))
}

// ConfigGeneration implements virtio.Transport.
func (t *Transport) ConfigGeneration() uint32 { return t.regs.Load32(regConfigGeneration) }

// Interrupts implements virtio.Transport.
func (t *Transport) Interrupts() []platform.Interrupt { return t.interrupts[:] }

// Acknowledge implements virtio.Transport (4.2.3.4).
func (t *Transport) Acknowledge() uint8 {
	status := t.regs.Load32(regInterruptStatus)
	t.regs.Store32(regInterruptACK, status)
	return uint8(status)
}
