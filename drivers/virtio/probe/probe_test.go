package probe

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/drivers/internal/fakepci"
	"github.com/goshawk-os/goshawk/drivers/platform"
	"github.com/goshawk-os/goshawk/drivers/virtio"
	"github.com/goshawk-os/goshawk/drivers/virtio/mmio"
)

// interrupts hands out what never interrupts.
type interrupts struct{ messages, lines int }

func (i *interrupts) Wait() {}

func (i *interrupts) Connect(irq int) (platform.Interrupt, error) {
	i.lines++
	return i, nil
}

func (i *interrupts) Allocate(cpu int) (platform.Message, platform.Interrupt, error) {
	i.messages++
	return platform.Message{}, i, nil
}

// noPorts is a machine without PCI: nothing answers, and a scan is a failure.
type noPorts struct{ reads int }

func (p *noPorts) In32(port uint16) uint32 {
	p.reads++
	return ^uint32(0)
}
func (p *noPorts) Out32(uint16, uint32) {}

// slot returns the registers of a virtio-mmio device.
func slot(version, device uint32) fakepci.Registers {
	r := make(fakepci.Registers, 0x200)
	r.Store32(0, 0x74726976)
	r.Store32(4, version)
	r.Store32(8, device)
	return r
}

func TestMMIO(t *testing.T) {
	var i interrupts
	ports := &noPorts{}
	var slots []mmio.Slot
	for _, addr := range []uint64{0x6000, 0x7000, 0x1000, 0x2000, 0x3000, 0x4000, 0x5000} {
		slots = append(slots, mmio.Slot{Addr: addr, Size: 0x200, IRQ: 5})
	}
	var reports []string
	found := Find(Machine{
		Mapper: fakepci.Mapper{
			0x1000: slot(2, virtio.VIRTIO_ID_NET), 0x2000: slot(2, virtio.VIRTIO_ID_BLOCK), 0x3000: slot(2, 0),
			0x4000: slot(1, virtio.VIRTIO_ID_NET), 0x5000: slot(2, virtio.VIRTIO_ID_RNG), 0x6000: slot(2, virtio.VIRTIO_ID_NET),
			0x7000: slot(2, virtio.VIRTIO_ID_9P),
		},
		Lines: &i, Messages: &i, Ports: ports, CPUs: 2,
		Slots: slots,
	}, func(text string) { reports = append(reports, text) })
	assert.Len(t, found.Networks, 2)
	assert.Len(t, found.Disks, 1)
	assert.Len(t, found.Entropy, 1)
	assert.Len(t, found.Shares, 1)
	assert.Equal(t, []string{
		"virtio-mmio at 0x4000: the device has only the legacy interface; in QEMU, set -global virtio-mmio.force-legacy=off",
	}, reports)
	assert.Equal(t, 1, ports.reads, "without PCI nothing is scanned")
}

// device returns a virtio function with its structures in BAR 4 at addr and three vectors.
func device(id uint32, addr uint32, mapper fakepci.Mapper) *fakepci.Function {
	f := &fakepci.Function{}
	f.Words[0] = id<<16 | 0x1af4
	f.Words[1] = 1 << 20
	f.Words[2] = 0x020000 << 8
	f.Words[0x34/4] = 0x40
	f.SetBAR(4, addr, 0xfffff000)
	copy(f.Words[0x40/4:], []uint32{1<<24 | 0x5009, 4, 0, 0x38, 2<<24 | 0x6409, 4, 0x100, 4, 0, 2<<16 | 0x11, 0x800 | 4})
	mapper[uint64(addr)] = make(fakepci.Registers, 0x38)
	mapper[uint64(addr)+0x100] = make(fakepci.Registers, 4)
	mapper[uint64(addr)+0x800] = make(fakepci.Registers, 48)
	return f
}

func TestPCI(t *testing.T) {
	mapper := fakepci.Mapper{}
	plain := func(id, class uint32) *fakepci.Function {
		f := &fakepci.Function{}
		f.Words[0], f.Words[2] = id, class<<8
		return f
	}
	legacy := plain(0x10001af4, 0x020000)
	legacy.Words[0x2c/4] = virtio.VIRTIO_ID_NET << 16
	untouched := device(0x1043, 0xf000_3000, mapper) // a console
	untouched.Words[2] = 0x078000 << 8
	disk := device(0x1042, 0xf000_4000, mapper)
	disk.Words[2] = 0x010000 << 8
	var i interrupts
	var reports []string
	found := Find(Machine{
		Mapper: mapper, Lines: &i, Messages: &i, CPUs: 8,
		Ports: &fakepci.Ports{Bus: fakepci.Bus{
			{0, 0, 0}:  plain(0x29c08086, 0x060000),
			{0, 2, 0}:  plain(0x100e8086, 0x020000),
			{0, 3, 0}:  device(0x1041, 0xf000_0000, mapper),
			{0, 4, 0}:  device(0x1044, 0xf000_1000, mapper),
			{0, 5, 0}:  device(0x1041, 0xf000_2000, mapper),
			{0, 6, 0}:  untouched,
			{0, 7, 0}:  legacy,
			{0, 8, 0}:  plain(0x816810ec, 0x028000),
			{0, 9, 0}:  disk,
			{0, 10, 0}: plain(0x00101b36, 0x010802),
			{0, 11, 0}: plain(0x29228086, 0x010601),
		}},
	}, func(text string) { reports = append(reports, text) })
	require.Len(t, found.Networks, 2)
	require.Len(t, found.Entropy, 1)
	assert.Len(t, found.Networks[0].Interrupts(), 3, "as many as the device has")
	assert.Len(t, found.Entropy[0].Interrupts(), 2)
	require.Len(t, found.Disks, 1)
	assert.Len(t, found.Disks[0].Interrupts(), 3)
	assert.Equal(t, 11, i.messages)
	assert.Zero(t, untouched.Words[1]&7, "a device without a driver is left alone")
	assert.Equal(t, []string{
		"PCI 00:02.0 (8086:100e): a network card without a driver; use virtio-net-pci",
		"PCI device 00:07.0 (1af4:1000): the virtio device lacks a usable common or notify structure; in QEMU, do not set disable-modern",
		"PCI 00:08.0 (10ec:8168): a network card without a driver; use virtio-net-pci",
		"PCI 00:0a.0 (1b36:0010): a disk controller without a driver; use virtio-blk-pci",
	}, reports)
}
