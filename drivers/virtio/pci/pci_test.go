package pci

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/drivers/internal/fakepci"
	"github.com/goshawk-os/goshawk/drivers/pci"
	"github.com/goshawk-os/goshawk/drivers/platform"
	"github.com/goshawk-os/goshawk/drivers/virtio"
	"github.com/goshawk-os/goshawk/drivers/virtio/internal/fake"
	"github.com/goshawk-os/goshawk/drivers/virtio/net"
	"github.com/goshawk-os/goshawk/drivers/virtio/rng"
)

const (
	barAddr   = 0x8_0000_0000
	commonAt  = 0x0000
	notifyAt  = 0x3000
	configAt  = 0x2000
	notifyBy  = 4
	tableAddr = 0xfebd0000
)

// common is the device's side of the common configuration. An access with
// another width than the field's is a panic.
type common struct {
	device                *fake.Device
	used                  bool // all queues are enabled from the start
	noVectors             bool // the device takes no vector
	notifyOff             func(queue int) uint16
	featureSel, driverSel uint32
	driver                [2]uint32
	configVector          uint16
	queue                 uint16
	size                  uint16
	vector                uint16
	address               [6]uint32
}

func (c *common) Load8(off uintptr) uint8 {
	switch off {
	case 0x14:
		return c.device.Status()
	case 0x15:
		return uint8(c.device.ConfigGeneration())
	}
	panic("load of 8 bits")
}

func (c *common) Load16(off uintptr) uint16 {
	switch off {
	case 0x10:
		return c.configVector
	case 0x18:
		return uint16(c.device.QueueMax(int(c.queue)))
	case 0x1a:
		return c.vector
	case 0x1c:
		if c.used || c.device.Enabled(int(c.queue)) {
			return 1
		}
		return 0
	case 0x1e:
		return c.notifyOff(int(c.queue))
	}
	panic("load of 16 bits")
}

func (c *common) Load32(off uintptr) uint32 {
	if off != 0x04 {
		panic("load of 32 bits")
	}
	return uint32(c.device.Features >> (32 * c.featureSel))
}

func (c *common) Store8(off uintptr, v uint8) {
	if off != 0x14 {
		panic("store of 8 bits")
	}
	if v == 0 {
		c.configVector, c.vector = noVector, noVector
	}
	c.device.SetStatus(v)
}

func (c *common) Store16(off uintptr, v uint16) {
	vector := func() uint16 {
		if c.noVectors {
			return noVector
		}
		return v
	}
	switch off {
	case 0x10:
		c.configVector = vector()
	case 0x16:
		c.queue, c.vector = v, noVector
	case 0x18:
		c.size = v
	case 0x1a:
		c.vector = vector()
	case 0x1c:
		interrupt := int(c.vector)
		if c.vector == noVector {
			interrupt = virtio.NoInterrupt
		}
		address := func(i int) uint64 { return uint64(c.address[i+1])<<32 | uint64(c.address[i]) }
		if err := c.device.EnableQueue(int(c.queue), virtio.QueueRegisters{
			Size: c.size, Desc: address(0), Avail: address(2), Used: address(4), Interrupt: interrupt,
		}); err != nil {
			panic(err)
		}
	default:
		panic("store of 16 bits")
	}
}

func (c *common) Store32(off uintptr, v uint32) {
	switch {
	case off == 0x00:
		c.featureSel = v
	case off == 0x08:
		c.driverSel = v
	case off == 0x0c:
		c.driver[c.driverSel] = v
		c.device.SetDriverFeatures(uint64(c.driver[1])<<32 | uint64(c.driver[0]))
	case off >= 0x20 && off < 0x38:
		c.address[off/4-8] = v
	default:
		panic("store of 32 bits")
	}
}

// notify is the device's side of the notification structure.
type notify struct {
	fakepci.Registers
	device *fake.Device
}

func (n *notify) Store16(off uintptr, v uint16) {
	if off != uintptr(v)*notifyBy {
		panic("notification at another queue's address")
	}
	n.device.Notify(int(v))
}

// config is the device's configuration.
type config struct {
	fakepci.Registers
	device *fake.Device
}

func (c *config) Load8(off uintptr) uint8   { return c.device.Config8(int(off)) }
func (c *config) Load16(off uintptr) uint16 { return c.device.Config16(int(off)) }
func (c *config) Load32(off uintptr) uint32 { return c.device.Config32(int(off)) }

// machine holds one virtio function, which sends its vectors.
type machine struct {
	device   *fake.Device
	function *fakepci.Function
	common   *common
	mapper   fakepci.Mapper
	cpus     []int
	left     int // messages
}

var errMessages = errors.New("no message left")

func (m *machine) Allocate(cpu int) (platform.Message, platform.Interrupt, error) {
	if len(m.cpus) == m.left {
		return platform.Message{}, nil, errMessages
	}
	n := len(m.cpus)
	m.cpus = append(m.cpus, cpu)
	return platform.Message{Addr: 0xfee00000, Data: uint32(0x40 + n)}, m.device.Vectors[n], nil
}

// capability writes struct virtio_pci_cap into configuration space.
func (m *machine) capability(at uint8, next, kind, bar, off, length uint32) {
	w := m.function.Words[at/4:]
	w[0], w[1], w[2], w[3] = kind<<24|next<<8|0x09, bar, off, length
}

func newMachine(f *fake.Device, id uint16) *machine {
	m := &machine{device: f, function: &fakepci.Function{}, left: 100}
	m.function.Words[0] = uint32(id)<<16 | vendor
	m.function.Words[1] = 1 << 20
	m.function.Words[0x34/4] = 0x40
	m.function.SetBAR(1, tableAddr, 0xfffff000)
	m.function.SetBAR(4, 0x0000000c, 0xffffc00c)
	m.function.SetBAR(5, 8, 0xffffffff)
	m.capability(0x40, 0x50, 9, 0, 0, 0)          // of a kind not known
	m.capability(0x50, 0x60, cfgCommon, 9, 0, 64) // in a reserved BAR: to be passed over
	m.capability(0x60, 0x70, cfgCommon, 4, commonAt, commonSize)
	m.capability(0x70, 0x84, cfgNotify, 4, notifyAt, 0x1000)
	m.function.Words[0x80/4] = notifyBy
	m.capability(0x84, 0x94, cfgDevice, 4, configAt, 0x40)
	m.capability(0x94, 0xa4, cfgCommon, 4, 0x1000, commonSize) // the second: not to be used
	m.function.Words[0xa4/4] = 7<<16 | 0x11
	m.function.Words[0xa8/4] = 1
	m.common = &common{device: f, notifyOff: func(queue int) uint16 { return uint16(queue) }}
	m.mapper = fakepci.Mapper{
		barAddr + commonAt: m.common,
		barAddr + notifyAt: &notify{device: f},
		barAddr + configAt: &config{device: f},
		tableAddr:          make(fakepci.Registers, 8*16),
	}
	return m
}

func (m *machine) find() *pci.Function {
	return pci.Scan(pci.NewPortConfig(&fakepci.Ports{Bus: fakepci.Bus{{0, 4, 0}: m.function}}))[0]
}

func TestDeviceType(t *testing.T) {
	for id, want := range map[uint32]uint32{0x10411af4: 1, 0x107f1af4: 63, 0x10001af4: 4, 0x10801af4: 0, 0x0fff1af4: 0, 0x10411af5: 0} {
		assert.Equal(t, want, DeviceType(&pci.Function{Vendor: uint16(id), Device: uint16(id >> 16), SubsystemID: 4}), "%x", id)
	}
}

// TestNetwork runs a driver with a vector for each of its queue pairs.
func TestNetwork(t *testing.T) {
	f := fake.New(virtio.VIRTIO_ID_NET, net.VIRTIO_NET_F_MQ|net.VIRTIO_NET_F_CTRL_VQ|net.VIRTIO_NET_F_STATUS|net.VIRTIO_NET_F_MAC|virtio.VIRTIO_F_EVENT_IDX, 5, 8, 3)
	f.Config = []byte{2, 0, 0, 0, 0, 9, 1, 0, 2, 0}
	f.OnNotify = func(queue int) {
		if queue == 4 {
			c, _ := f.Queues[4].Pop()
			f.Queues[4].Push(c.ID, c.Fill([]byte{0}))
		}
	}
	m := newMachine(f, 0x1041)
	tr, err := New(m.find(), m.mapper, m, 3)
	require.NoError(t, err)
	assert.Equal(t, uint32(virtio.VIRTIO_ID_NET), tr.DeviceType())
	assert.Equal(t, []int{0, 0, 1}, m.cpus)
	assert.Equal(t, uint32(1<<31|7<<16|0x11), m.function.Words[0xa4/4])
	assert.Equal(t, uint32(0x42), m.mapper[tableAddr].Load32(2*16+8))
	assert.Equal(t, uint32(0x406), m.function.Words[1]&0xffff, "memory, bus master, no INTx")

	d, err := net.Open(tr, f.Memory, net.Options{Pairs: 9})
	require.NoError(t, err)
	require.Len(t, d.Rx(), 2)
	assert.Equal(t, uint16(0), m.common.configVector)
	mac, _ := d.MAC()
	assert.Equal(t, [6]byte{2, 0, 0, 0, 0, 9}, mac)

	rx := d.Rx()[1]
	data, addr, err := f.Memory.Allocate(2048)
	require.NoError(t, err)
	require.NoError(t, rx.Post(net.Buffer{Data: data, Addr: addr}))
	rx.Kick()
	require.False(t, rx.EnableInterrupts())
	c, ok := f.Queues[2].Pop()
	require.True(t, ok)
	f.Queues[2].Push(c.ID, 100)
	require.NoError(t, d.Wait(1))
	assert.Equal(t, []int{0, 0, 1}, []int{f.Vectors[0].Count(), f.Vectors[1].Count(), f.Vectors[2].Count()})
	_, ok, err = rx.Poll()
	require.NoError(t, err)
	assert.True(t, ok)
	f.SetConfig(6, 0)
	require.NoError(t, d.WaitConfig())
	assert.False(t, d.Link())
}

// TestFewMessages: a machine with few messages left costs queue pairs, not the device.
func TestFewMessages(t *testing.T) {
	f := fake.New(virtio.VIRTIO_ID_NET, net.VIRTIO_NET_F_MQ|net.VIRTIO_NET_F_CTRL_VQ, 5, 8, 3)
	f.Config = make([]byte, 10)
	f.Config[8] = 2
	m := newMachine(f, 0x1041)
	m.left = 2
	tr, err := New(m.find(), m.mapper, m, 3)
	require.NoError(t, err)
	assert.Len(t, tr.Interrupts(), 2)
	d, err := net.Open(tr, f.Memory, net.Options{Pairs: 2})
	require.NoError(t, err)
	assert.Len(t, d.Rx(), 1)
}

// TestTransitional: the type of a transitional device is its subsystem ID; one
// vector serves all.
func TestTransitional(t *testing.T) {
	f := fake.New(virtio.VIRTIO_ID_RNG, 0, 1, 8, 1)
	f.OnNotify = func(int) {
		c, _ := f.Queues[0].Pop()
		f.Queues[0].Push(c.ID, c.Fill([]byte("random")))
	}
	m := newMachine(f, 0x1005)
	m.function.Words[0x2c/4] = virtio.VIRTIO_ID_RNG << 16
	tr, err := New(m.find(), m.mapper, m, 1)
	require.NoError(t, err)
	assert.Equal(t, uint32(virtio.VIRTIO_ID_RNG), tr.DeviceType())
	d, err := rng.Open(tr, f.Memory)
	require.NoError(t, err)
	p := make([]byte, 6)
	_, err = d.Read(p)
	require.NoError(t, err)
	assert.Equal(t, "random", string(p))
}

func TestBroken(t *testing.T) {
	tests := map[string]struct {
		breakIt func(*machine)
		want    error
	}{
		"no common structure":   {func(m *machine) { m.function.Words[0x60/4] = 0x7009; m.function.Words[0x94/4] = 0xa409 }, ErrCapability},
		"no notify structure":   {func(m *machine) { m.function.Words[0x70/4] = 0x8409 }, ErrCapability},
		"common too short":      {func(m *machine) { m.function.Words[0x6c/4] = commonSize - 1; m.function.Words[0x94/4] = 0xa409 }, ErrCapability},
		"notify outside":        {func(m *machine) { m.function.Words[0x78/4] = 0x3004 }, ErrCapability},
		"offset overflows":      {func(m *machine) { m.function.Words[0x78/4], m.function.Words[0x7c/4] = 0xfffffffc, 0xffffffff }, ErrCapability},
		"offset odd":            {func(m *machine) { m.function.Words[0x78/4] = 0x2001 }, ErrCapability},
		"list loops":            {func(m *machine) { m.function.Words[0x94/4] = 0x4009 }, pci.ErrCapabilities},
		"no MSI-X":              {func(m *machine) { m.function.Words[0xa4/4] = 0 }, pci.ErrNoMSIX},
		"no messages":           {func(m *machine) { m.left = 0 }, errMessages},
		"cannot be mapped":      {func(m *machine) { delete(m.mapper, barAddr+notifyAt) }, fakepci.ErrMap},
		"notify address beyond": {func(m *machine) { m.common.notifyOff = func(int) uint16 { return 0x400 } }, ErrNotify},
		"notify address at max": {func(m *machine) {
			m.function.Words[0x80/4] = 0xffffffff
			m.common.notifyOff = func(int) uint16 { return 0xffff }
		}, ErrNotify},
		"notify address odd": {func(m *machine) {
			m.function.Words[0x80/4] = 1
			m.common.notifyOff = func(int) uint16 { return 1 }
		}, ErrNotify},
		"vector refused": {func(m *machine) { m.common.noVectors = true }, virtio.ErrVector},
		"queue in use":   {func(m *machine) { m.common.used = true }, virtio.ErrQueueInUse},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := fake.New(virtio.VIRTIO_ID_RNG, 0, 1, 8, 2)
			m := newMachine(f, 0x1044)
			test.breakIt(m)
			tr, err := New(m.find(), m.mapper, m, 2)
			if err != nil {
				assert.Zero(t, m.function.Words[1]&6, "the function was turned off")
			} else {
				_, err = rng.Open(tr, f.Memory)
			}
			require.ErrorIs(t, err, test.want)
		})
	}
}
