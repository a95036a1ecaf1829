package fake

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/goshawk-os/goshawk/drivers/platform"
	"github.com/goshawk-os/goshawk/drivers/virtio"
)

// A Device is the device's side of a virtio device. Itself it implements
// virtio.Transport. The exported fields are set before it is used.
type Device struct {
	Type     uint32
	Features uint64 // offered; VIRTIO_F_VERSION_1 included
	Config   []byte
	Memory   *Memory
	Queues   []*Queue
	Vectors  []*Interrupt // with one, it is shared

	RefuseFeatures bool // clear FEATURES_OK
	NeverReset     bool // status does not return to 0
	Restless       bool // the configuration changes at each look
	OnNotify       func(queue int)

	mu         sync.Mutex
	status     uint8
	accepted   uint64
	generation uint32
	isr        uint8
	resets     int
}

// New returns a device with queues of a size and interrupts.
func New(deviceType uint32, features uint64, queues, size, vectors int) *Device {
	d := &Device{Type: deviceType, Features: features | virtio.VIRTIO_F_VERSION_1, Memory: NewMemory(8 << 20)}
	for range vectors {
		d.Vectors = append(d.Vectors, NewInterrupt())
	}
	for i := range queues {
		d.Queues = append(d.Queues, &Queue{Max: uint32(size), device: d, index: i, Notified: make(chan struct{}, 1)})
	}
	return d
}

// Accepted returns the driver's features.
func (d *Device) Accepted() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.accepted
}

// Resets returns how often the driver has reset the device.
func (d *Device) Resets() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.resets
}

// SetConfig changes the configuration and interrupts.
func (d *Device) SetConfig(off int, v ...byte) {
	d.mu.Lock()
	copy(d.Config[off:], v)
	d.generation++
	d.mu.Unlock()
	d.raise(0, virtio.VIRTIO_ISR_CONFIG)
}

// SetNeedsReset reports an error and interrupts.
func (d *Device) SetNeedsReset() {
	d.mu.Lock()
	d.status |= virtio.VIRTIO_CONFIG_S_NEEDS_RESET
	d.mu.Unlock()
	d.raise(0, virtio.VIRTIO_ISR_CONFIG)
}

func (d *Device) raise(vector int, isr uint8) {
	d.mu.Lock()
	d.isr |= isr
	d.mu.Unlock()
	if len(d.Vectors) == 1 {
		vector = 0
	}
	d.Vectors[vector].Raise()
}

// The methods of virtio.Transport.

// DeviceType implements virtio.Transport.
func (d *Device) DeviceType() uint32 { return d.Type }

// Status implements virtio.Transport.
func (d *Device) Status() uint8 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.NeverReset && d.status == 0 {
		return virtio.VIRTIO_CONFIG_S_DRIVER
	}
	return d.status
}

// SetStatus implements virtio.Transport.
func (d *Device) SetStatus(status uint8) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if status == 0 {
		d.resets++
		for _, q := range d.Queues {
			q.mu.Lock()
			q.enabled, q.lastAvail, q.usedIdx = false, 0, 0
			q.mu.Unlock()
		}
	}
	if d.RefuseFeatures {
		status &^= virtio.VIRTIO_CONFIG_S_FEATURES_OK
	}
	d.status = status
}

// DeviceFeatures implements virtio.Transport.
func (d *Device) DeviceFeatures() uint64 { return d.Features }

// SetDriverFeatures implements virtio.Transport.
func (d *Device) SetDriverFeatures(features uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.accepted = features
}

// QueueMax implements virtio.Transport.
func (d *Device) QueueMax(queue int) uint32 {
	if queue >= len(d.Queues) {
		return 0
	}
	return d.Queues[queue].Max
}

// EnableQueue implements virtio.Transport.
func (d *Device) EnableQueue(queue int, r virtio.QueueRegisters) error {
	accepted := d.Accepted() // d.mu comes before q.mu
	q := d.Queues[queue]
	q.mu.Lock()
	defer q.mu.Unlock()
	q.registers, q.enabled = r, true
	q.eventIndex = accepted&virtio.VIRTIO_F_EVENT_IDX != 0
	return nil
}

// Enabled reports whether the driver has enabled a queue.
func (d *Device) Enabled(queue int) bool {
	q := d.Queues[queue]
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.enabled
}

// Notify implements virtio.Transport.
func (d *Device) Notify(queue int) {
	q := d.Queues[queue]
	q.notifications.Add(1)
	select {
	case q.Notified <- struct{}{}:
	default:
	}
	if d.OnNotify != nil {
		d.OnNotify(queue)
	}
}

// EnableConfigInterrupt implements virtio.Transport.
func (d *Device) EnableConfigInterrupt() error { return nil }

// Config8 implements virtio.Transport.
func (d *Device) Config8(off int) uint8 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if off >= len(d.Config) {
		return 0
	}
	return d.Config[off]
}

// Config16 implements virtio.Transport.
func (d *Device) Config16(off int) uint16 {
	return uint16(d.Config8(off)) | uint16(d.Config8(off+1))<<8
}

// Config32 implements virtio.Transport.
func (d *Device) Config32(off int) uint32 {
	return uint32(d.Config16(off)) | uint32(d.Config16(off+2))<<16
}

// ConfigGeneration implements virtio.Transport.
func (d *Device) ConfigGeneration() uint32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.Restless {
		d.generation++
	}
	return d.generation
}

// Interrupts implements virtio.Transport.
func (d *Device) Interrupts() []platform.Interrupt {
	var list []platform.Interrupt
	for _, v := range d.Vectors {
		list = append(list, v)
	}
	return list
}

// InterruptStatus returns the bits that Acknowledge would.
func (d *Device) InterruptStatus() uint8 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.isr
}

// AcknowledgeBits clears some of them.
func (d *Device) AcknowledgeBits(bits uint8) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.isr &^= bits
}

// Acknowledge implements virtio.Transport.
func (d *Device) Acknowledge() uint8 {
	d.mu.Lock()
	defer d.mu.Unlock()
	isr := d.isr
	d.isr = 0
	return isr
}

// A Queue is the device's side of a split virtqueue.
type Queue struct {
	Max      uint32
	Notified chan struct{} // holds one token after a notification

	device        *Device
	index         int
	notifications atomic.Int64

	mu         sync.Mutex
	registers  virtio.QueueRegisters
	enabled    bool
	eventIndex bool
	lastAvail  uint16
	usedIdx    uint16
}

// A Chain is a buffer as the device sees it.
type Chain struct {
	ID       uint32
	Read     [][]byte // the device may read
	Write    [][]byte // the device may write
	Indirect bool
}

// Bytes returns all that the device may read.
func (c *Chain) Bytes() []byte {
	var all []byte
	for _, p := range c.Read {
		all = append(all, p...)
	}
	return all
}

// Fill writes p to the buffer and returns how many bytes fitted.
func (c *Chain) Fill(p []byte) (n uint32) {
	for _, w := range c.Write {
		k := copy(w, p)
		p = p[k:]
		n += uint32(k)
	}
	return n
}

// Notifications returns how often the driver has notified the queue.
func (q *Queue) Notifications() int { return int(q.notifications.Load()) }

// Size returns the size the driver has chosen.
func (q *Queue) Size() int { return int(q.registers.Size) }

func (q *Queue) word(addr uint64) *uint32 {
	return (*uint32)(unsafe.Pointer(&q.device.Memory.At(addr, 4)[0]))
}

func (q *Queue) usedEvent() *uint32 {
	return q.word(q.registers.Avail + 4 + 2*uint64(q.registers.Size))
}

// AvailEvent returns the word with avail_event.
func (q *Queue) AvailEvent() *uint32 {
	return q.word(q.registers.Used + 4 + 8*uint64(q.registers.Size))
}

// UsedHead returns the word with the used ring's flags and idx.
func (q *Queue) UsedHead() *uint32 { return q.word(q.registers.Used) }

// Pop takes the next available chain. ok is false if there is none; the device
// then wants a notification.
func (q *Queue) Pop() (c Chain, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.enabled {
		return c, false
	}
	if uint16(atomic.LoadUint32(q.word(q.registers.Avail))>>16) == q.lastAvail {
		q.wantNotification()
		if uint16(atomic.LoadUint32(q.word(q.registers.Avail))>>16) == q.lastAvail {
			return c, false
		}
	}
	m := q.device.Memory
	slot := q.lastAvail & (q.registers.Size - 1)
	q.lastAvail++
	ring := m.At(q.registers.Avail+4+2*uint64(slot), 2)
	id := uint16(ring[0]) | uint16(ring[1])<<8
	c.ID = uint32(id)
	table := descriptors(m.At(q.registers.Desc, 16*int(q.registers.Size)))
	at := id
	if d := table[id]; d.Flags&virtio.VIRTQ_DESC_F_INDIRECT != 0 {
		c.Indirect = true
		table = descriptors(m.At(d.Addr, int(d.Len)))
		at = 0
	}
	for range len(table) {
		d := table[at]
		if d.Flags&virtio.VIRTQ_DESC_F_WRITE != 0 {
			c.Write = append(c.Write, m.At(d.Addr, int(d.Len)))
		} else if len(c.Write) > 0 {
			panic("fake: a readable descriptor follows a writable one (2.7.4.2)")
		} else {
			c.Read = append(c.Read, m.At(d.Addr, int(d.Len)))
		}
		if d.Flags&virtio.VIRTQ_DESC_F_NEXT == 0 {
			return c, true
		}
		at = d.Next
	}
	panic("fake: the driver's chain has no end")
}

func (q *Queue) wantNotification() {
	if q.eventIndex {
		atomic.StoreUint32(q.AvailEvent(), uint32(q.lastAvail))
	}
}

func descriptors(p []byte) []virtio.Descriptor {
	return unsafe.Slice((*virtio.Descriptor)(unsafe.Pointer(&p[0])), len(p)/16)
}

// Push returns a chain to the driver as used, and interrupts if the driver
// wants it.
func (q *Queue) Push(id, length uint32) {
	q.PushAll(virtio.UsedElement{ID: id, Len: length})
}

// PushAll is Push for several chains that become visible at once.
func (q *Queue) PushAll(elements ...virtio.UsedElement) {
	q.mu.Lock()
	if !q.enabled {
		q.mu.Unlock()
		return
	}
	before := q.usedIdx
	for _, e := range elements {
		slot := q.usedIdx & (q.registers.Size - 1)
		*(*virtio.UsedElement)(unsafe.Pointer(&q.device.Memory.At(q.registers.Used+4+8*uint64(slot), 8)[0])) = e
		q.usedIdx++
	}
	now := q.usedIdx
	atomic.StoreUint32(q.UsedHead(), uint32(now)<<16)
	var wanted bool
	if q.eventIndex {
		event := uint16(atomic.LoadUint32(q.usedEvent()))
		wanted = now-event-1 < now-before
	} else {
		wanted = atomic.LoadUint32(q.word(q.registers.Avail))&virtio.VIRTQ_AVAIL_F_NO_INTERRUPT == 0
	}
	vector := q.registers.Interrupt
	q.mu.Unlock()
	if wanted && vector != virtio.NoInterrupt {
		q.device.raise(vector, virtio.VIRTIO_ISR_QUEUE)
	}
}
