package mmio

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/drivers/platform"
	"github.com/goshawk-os/goshawk/drivers/virtio"
	"github.com/goshawk-os/goshawk/drivers/virtio/internal/fake"
	"github.com/goshawk-os/goshawk/drivers/virtio/net"
	"github.com/goshawk-os/goshawk/drivers/virtio/rng"
)

// registers is the device's side of the register layout. An access that the
// specification does not know is a panic.
type registers struct {
	device                *fake.Device // nil: an empty slot
	magic, version        uint32
	readySet              bool // all queues are ready from the start
	featureSel, driverSel uint32
	driver                [2]uint32
	queueSel              uint32
	num                   uint32
	low, high             [3]uint32
}

func newRegisters(d *fake.Device) *registers {
	return &registers{device: d, magic: magicValue, version: version}
}

func (r *registers) Load32(off uintptr) uint32 {
	switch off {
	case 0x000:
		return r.magic
	case 0x004:
		return r.version
	case 0x008:
		if r.device == nil {
			return 0
		}
		return r.device.Type
	case 0x010:
		return uint32(r.device.Features >> (32 * r.featureSel))
	case 0x034:
		return r.device.QueueMax(int(r.queueSel))
	case 0x044:
		if r.readySet || r.device.Enabled(int(r.queueSel)) {
			return 1
		}
		return 0
	case 0x060:
		return uint32(r.device.InterruptStatus())
	case 0x070:
		return uint32(r.device.Status())
	case 0x0fc:
		return r.device.ConfigGeneration()
	}
	if off >= 0x100 {
		return r.device.Config32(int(off - 0x100))
	}
	panic("load of a register that cannot be read")
}

func (r *registers) Store32(off uintptr, v uint32) {
	switch off {
	case 0x014:
		r.featureSel = v
	case 0x020:
		r.driver[r.driverSel] = v
		r.device.SetDriverFeatures(uint64(r.driver[1])<<32 | uint64(r.driver[0]))
	case 0x024:
		r.driverSel = v
	case 0x030:
		r.queueSel = v
	case 0x038:
		r.num = v
	case 0x044:
		address := func(i int) uint64 { return uint64(r.high[i])<<32 | uint64(r.low[i]) }
		if err := r.device.EnableQueue(int(r.queueSel), virtio.QueueRegisters{
			Size: uint16(r.num), Desc: address(0), Avail: address(1), Used: address(2),
		}); err != nil {
			panic(err)
		}
	case 0x050:
		r.device.Notify(int(v))
	case 0x064:
		r.device.AcknowledgeBits(uint8(v))
	case 0x070:
		r.device.SetStatus(uint8(v))
	case 0x080, 0x090, 0x0a0:
		r.low[off>>4-8] = v
	case 0x084, 0x094, 0x0a4:
		r.high[off>>4-8] = v
	default:
		panic("store to a register that cannot be written")
	}
}

func (r *registers) config(off uintptr) int {
	if off < 0x100 {
		panic("narrow access outside of the configuration")
	}
	return int(off - 0x100)
}

func (r *registers) Load8(off uintptr) uint8   { return r.device.Config8(r.config(off)) }
func (r *registers) Load16(off uintptr) uint16 { return r.device.Config16(r.config(off)) }
func (r *registers) Store8(uintptr, uint8)     { panic("store of 8 bits") }
func (r *registers) Store16(uintptr, uint16)   { panic("store of 16 bits") }

// machine maps registers by address and connects interrupts by number.
type machine struct {
	regs map[uint64]*registers
	irqs map[int]*fake.Interrupt
}

var errMap, errLine = errors.New("cannot map"), errors.New("no such line")

func (m machine) Map(addr, size uint64) (platform.Registers, error) {
	if r, ok := m.regs[addr]; ok {
		return r, nil
	}
	return nil, errMap
}

func (m machine) Connect(irq int) (platform.Interrupt, error) {
	if i, ok := m.irqs[irq]; ok {
		return i, nil
	}
	return nil, errLine
}

func TestFind(t *testing.T) {
	f := fake.New(virtio.VIRTIO_ID_RNG, 0, 1, 8, 1)
	legacy, strange := newRegisters(f), newRegisters(f)
	legacy.version, strange.magic = 1, 7
	empty := newRegisters(nil)
	empty.version = 1 // as QEMU says of a slot without a device
	m := machine{
		regs: map[uint64]*registers{0x1000: empty, 0x2000: legacy, 0x3000: strange, 0x4000: newRegisters(f), 0x5000: newRegisters(f)},
		irqs: map[int]*fake.Interrupt{5: f.Vectors[0]},
	}
	var reports []*SlotError
	found := Find([]Slot{
		{0x1000, 512, 1}, {0x2000, 512, 2}, {0x3000, 512, 3}, {0x4000, 512, 4}, {0x5000, 512, 5}, {0x6000, 512, 6}, {0x5000, 255, 5},
	}, m, m, func(err *SlotError) { reports = append(reports, err) })
	require.Len(t, found, 1)
	assert.Equal(t, uint32(virtio.VIRTIO_ID_RNG), found[0].DeviceType())
	require.Len(t, reports, 5)
	for i, want := range []error{ErrVersion, ErrMagic, errLine, errMap, ErrMagic} {
		assert.ErrorIs(t, reports[i], want)
	}
	assert.Equal(t, "virtio-mmio at 0x3000: no virtio device answers there", reports[1].Error())
}

func find(t *testing.T, f *fake.Device) (*Transport, *registers) {
	r := newRegisters(f)
	m := machine{regs: map[uint64]*registers{0x1000: r}, irqs: map[int]*fake.Interrupt{5: f.Vectors[0]}}
	found := Find([]Slot{{0x1000, 0x100 + 12, 5}}, m, m, func(err *SlotError) { t.Fatal(err) })
	require.Len(t, found, 1)
	return found[0], r
}

// TestEntropy runs a whole driver over the registers.
func TestEntropy(t *testing.T) {
	f := fake.New(virtio.VIRTIO_ID_RNG, virtio.VIRTIO_F_EVENT_IDX, 1, 8, 1)
	f.OnNotify = func(int) {
		for c, ok := f.Queues[0].Pop(); ok; c, ok = f.Queues[0].Pop() {
			f.Queues[0].Push(c.ID, c.Fill([]byte("random")))
		}
	}
	tr, _ := find(t, f)
	d, err := rng.Open(tr, f.Memory)
	require.NoError(t, err)
	p := make([]byte, 12)
	n, err := d.Read(p)
	require.NoError(t, err)
	assert.Equal(t, 12, n)
	assert.Equal(t, "randomrandom", string(p))
	assert.Equal(t, uint64(virtio.VIRTIO_F_VERSION_1|virtio.VIRTIO_F_EVENT_IDX), f.Accepted())
}

// TestNetwork reads a configuration of fields of all widths and its changes.
func TestNetwork(t *testing.T) {
	f := fake.New(virtio.VIRTIO_ID_NET, net.VIRTIO_NET_F_MAC|net.VIRTIO_NET_F_MTU|net.VIRTIO_NET_F_STATUS, 2, 8, 1)
	f.Config = []byte{2, 0, 0, 0, 0, 9, 1, 0, 0, 0, 0x28, 0x23}
	tr, _ := find(t, f)
	d, err := net.Open(tr, f.Memory, net.Options{Pairs: 8})
	require.NoError(t, err)
	mac, _ := d.MAC()
	assert.Equal(t, [6]byte{2, 0, 0, 0, 0, 9}, mac)
	assert.Equal(t, 9000, d.MTU())
	f.SetConfig(6, 0)
	require.NoError(t, d.Wait(0))
	assert.False(t, d.Link())
	assert.Zero(t, f.InterruptStatus(), "acknowledged")
	assert.Zero(t, tr.Config32(9), "beyond the end")
	assert.Zero(t, tr.Config16(11))
	assert.Zero(t, tr.Config8(12))
}

func TestQueueReadyAfterReset(t *testing.T) {
	f := fake.New(virtio.VIRTIO_ID_RNG, 0, 1, 8, 1)
	tr, r := find(t, f)
	r.readySet = true
	_, err := rng.Open(tr, f.Memory)
	assert.ErrorIs(t, err, virtio.ErrQueueInUse)
}

func TestParseSlot(t *testing.T) {
	for text, want := range map[string]Slot{
		"512@0xfeb00000:5":      {0xfeb00000, 512, 5},
		"4K@0x100000000:0x2f":   {0x1_0000_0000, 4096, 47},
		"0x200@4273995776:12:1": {},
		"512@0xfeb00000":        {},
		"@0xfeb00000:5":         {},
		"512@:5":                {},
		"-1@0xfeb00000:5":       {},
		"99999999999@0x1:5":     {},
		"":                      {},
	} {
		got, ok := ParseSlot(text)
		assert.Equal(t, want != Slot{}, ok, text)
		if ok {
			assert.Equal(t, want, got, text)
		}
	}
}
