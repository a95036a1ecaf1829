// Package pci is the modern virtio transport over PCI (Virtual I/O Device 1.2,
// section 4.1), with MSI-X. Transitional devices are used by their modern
// interface.
package pci

import (
	"errors"

	"github.com/goshawk-os/goshawk/drivers/pci"
	"github.com/goshawk-os/goshawk/drivers/platform"
	"github.com/goshawk-os/goshawk/drivers/virtio"
)

const (
	vendor            = 0x1af4 // 4.1.2
	firstTransitional = 0x1000
	firstModern       = 0x1040
	lastModern        = 0x107f

	capabilityVendor = 0x09

	// struct virtio_pci_cap (4.1.4), by dword.
	capHead     = 0  // bits 24-31: cfg_type
	capBAR      = 4  // bits 0-7
	capOffset   = 8  //
	capLength   = 12 //
	capNotifyBy = 16 // notify_off_multiplier (4.1.4.4)

	cfgCommon = 1
	cfgNotify = 2
	cfgDevice = 4

	noVector = 0xffff // VIRTIO_MSI_NO_VECTOR
)

// struct virtio_pci_common_cfg (4.1.4.3).
const (
	regDeviceFeatureSelect = 0x00
	regDeviceFeature       = 0x04
	regDriverFeatureSelect = 0x08
	regDriverFeature       = 0x0c
	regConfigVector        = 0x10 // 16 bits
	regDeviceStatus        = 0x14 // 8 bits
	regConfigGeneration    = 0x15 // 8 bits
	regQueueSelect         = 0x16 // 16 bits
	regQueueSize           = 0x18 // 16 bits
	regQueueVector         = 0x1a // 16 bits
	regQueueEnable         = 0x1c // 16 bits
	regQueueNotifyOff      = 0x1e // 16 bits
	regQueueDesc           = 0x20
	regQueueDriver         = 0x28
	regQueueDevice         = 0x30

	commonSize = 0x38
)

// Kinds of errors of New, wrapped in a pci.Error.
var (
	// ErrCapability says that the device lacks a structure it must have, or
	// that none of that kind lies in its memory.
	ErrCapability = errors.New("the virtio device lacks a usable common or notify structure; in QEMU, do not set disable-modern")
	// ErrNotify is a queue whose notification address lies outside the structure.
	ErrNotify = errors.New("has a queue whose notification address lies outside of its memory")
)

// DeviceType returns the virtio device ID (5) of a function, 0 if it is no virtio device (4.1.2).
func DeviceType(f *pci.Function) uint32 {
	switch {
	case f.Vendor != vendor || f.Device < firstTransitional || f.Device > lastModern:
		return 0
	case f.Device < firstModern:
		return uint32(f.SubsystemID) // 4.1.2.3
	}
	return uint32(f.Device) - firstModern
}

// Transport implements virtio.Transport.
type Transport struct {
	deviceType uint32
	common     platform.Registers
	notify     platform.Registers
	notifySize uint64
	notifyBy   uint64
	config     platform.Registers // nil if there is none
	configSize int
	interrupts []platform.Interrupt
	notifyAt   []uintptr // by queue
}

var _ virtio.Transport = (*Transport)(nil)

// New sets a function up: it may use memory from now on, and its interrupts
// are messages, as many as the device and the machine have up to interrupts,
// which is at least 1. Interrupt i goes to CPU i-1, the first to CPU 0.
func New(f *pci.Function, m platform.Mapper, messages platform.Messages, interrupts int) (*Transport, error) {
	t, err := open(f, m, messages, interrupts)
	if err != nil {
		f.Disable()
		return nil, err
	}
	return t, nil
}

func open(f *pci.Function, m platform.Mapper, messages platform.Messages, interrupts int) (*Transport, error) {
	t := &Transport{deviceType: DeviceType(f)}
	if err := t.findStructures(f, m); err != nil {
		return nil, err
	}
	msix, err := f.MSIX(m)
	if err != nil {
		return nil, err
	}
	f.Enable()
	var list []platform.Message
	for i := range min(interrupts, msix.Size()) {
		message, interrupt, err := messages.Allocate(max(0, i-1))
		if err != nil && i == 0 {
			return nil, &pci.Error{Address: f.Address, Vendor: f.Vendor, Device: f.Device, Err: err}
		} else if err != nil {
			break
		}
		list, t.interrupts = append(list, message), append(t.interrupts, interrupt)
	}
	msix.Enable(list)
	return t, nil
}

// findStructures maps the first usable structure of each kind (4.1.4.1).
func (t *Transport) findStructures(f *pci.Function, m platform.Mapper) error {
	list, err := f.Capabilities()
	if err != nil {
		return err
	}
	for _, c := range list {
		if c.ID != capabilityVendor || c.Offset > 0x100-16 {
			continue
		}
		kind := f.Read(c.Offset+capHead) >> 24
		least := uint64(1)
		switch {
		case kind == cfgCommon && t.common == nil:
			least = commonSize
		case kind == cfgNotify && t.notify == nil && c.Offset <= 0x100-20:
			least = 2
		case kind == cfgDevice && t.config == nil:
		default:
			continue
		}
		bar, err := f.MemoryBAR(int(f.Read(c.Offset+capBAR) & 0xff))
		if err != nil {
			continue // reserved values too
		}
		off, length := uint64(f.Read(c.Offset+capOffset)), uint64(f.Read(c.Offset+capLength))
		if length < least || off&3 != 0 || !bar.Contains(off, length) {
			continue
		}
		regs, err := m.Map(bar.Addr+off, length)
		if err != nil {
			return err
		}
		switch kind {
		case cfgCommon:
			t.common = regs
		case cfgNotify:
			t.notify, t.notifySize = regs, length
			t.notifyBy = uint64(f.Read(c.Offset + capNotifyBy))
		case cfgDevice:
			t.config, t.configSize = regs, int(length)
		}
	}
	if t.common == nil || t.notify == nil {
		return &pci.Error{Address: f.Address, Vendor: f.Vendor, Device: f.Device, Err: ErrCapability}
	}
	return nil
}

// DeviceType implements virtio.Transport.
func (t *Transport) DeviceType() uint32 { return t.deviceType }

// Status implements virtio.Transport.
func (t *Transport) Status() uint8 { return t.common.Load8(regDeviceStatus) }

// SetStatus implements virtio.Transport.
func (t *Transport) SetStatus(status uint8) { t.common.Store8(regDeviceStatus, status) }

// DeviceFeatures implements virtio.Transport.
func (t *Transport) DeviceFeatures() (features uint64) {
	for i := range uint32(2) {
		t.common.Store32(regDeviceFeatureSelect, i)
		features |= uint64(t.common.Load32(regDeviceFeature)) << (32 * i)
	}
	return features
}

// SetDriverFeatures implements virtio.Transport.
func (t *Transport) SetDriverFeatures(features uint64) {
	for i := range uint32(2) {
		t.common.Store32(regDriverFeatureSelect, i)
		t.common.Store32(regDriverFeature, uint32(features>>(32*i)))
	}
}

// QueueMax implements virtio.Transport.
func (t *Transport) QueueMax(queue int) uint32 {
	t.common.Store16(regQueueSelect, uint16(queue))
	return uint32(t.common.Load16(regQueueSize))
}

// EnableQueue implements virtio.Transport (4.1.5.1.3).
func (t *Transport) EnableQueue(queue int, r virtio.QueueRegisters) error {
	t.common.Store16(regQueueSelect, uint16(queue))
	if t.common.Load16(regQueueEnable) != 0 {
		return virtio.ErrQueueInUse
	}
	at := uint64(t.common.Load16(regQueueNotifyOff)) * t.notifyBy
	if at&1 != 0 || at > t.notifySize-2 {
		return ErrNotify
	}
	for len(t.notifyAt) <= queue {
		t.notifyAt = append(t.notifyAt, 0)
	}
	t.notifyAt[queue] = uintptr(at)
	if err := t.setVector(regQueueVector, r.Interrupt); err != nil {
		return err
	}
	t.common.Store16(regQueueSize, r.Size)
	t.store64(regQueueDesc, r.Desc)
	t.store64(regQueueDriver, r.Avail)
	t.store64(regQueueDevice, r.Used)
	t.common.Store16(regQueueEnable, 1)
	return nil
}

// setVector has an interrupt sent for an event (4.1.5.1.2).
func (t *Transport) setVector(reg uintptr, interrupt int) error {
	vector := uint16(noVector)
	if interrupt != virtio.NoInterrupt {
		vector = uint16(interrupt)
	}
	t.common.Store16(reg, vector)
	if t.common.Load16(reg) != vector {
		return virtio.ErrVector
	}
	return nil
}

func (t *Transport) store64(low uintptr, v uint64) {
	t.common.Store32(low, uint32(v))
	t.common.Store32(low+4, uint32(v>>32))
}

// Notify implements virtio.Transport (4.1.5.2).
func (t *Transport) Notify(queue int) { t.notify.Store16(t.notifyAt[queue], uint16(queue)) }

// EnableConfigInterrupt implements virtio.Transport.
func (t *Transport) EnableConfigInterrupt() error { return t.setVector(regConfigVector, 0) }

// Config8 implements virtio.Transport.
func (t *Transport) Config8(off int) uint8 {
	if off+1 > t.configSize {
		return 0
	}
	return t.config.Load8(uintptr(off))
}

// Config16 implements virtio.Transport.
func (t *Transport) Config16(off int) uint16 {
	if off+2 > t.configSize {
		return 0
	}
	return t.config.Load16(uintptr(off))
}

// Config32 implements virtio.Transport.
func (t *Transport) Config32(off int) uint32 {
	if off+4 > t.configSize {
		return 0
	}
	return t.config.Load32(uintptr(off))
}

// ConfigGeneration implements virtio.Transport.
func (t *Transport) ConfigGeneration() uint32 { return uint32(t.common.Load8(regConfigGeneration)) }

// Interrupts implements virtio.Transport.
func (t *Transport) Interrupts() []platform.Interrupt { return t.interrupts }

// Acknowledge implements virtio.Transport. With MSI-X the ISR status says
// nothing (4.1.4.5), so a single interrupt may mean everything.
func (t *Transport) Acknowledge() uint8 { return virtio.VIRTIO_ISR_QUEUE | virtio.VIRTIO_ISR_CONFIG }
