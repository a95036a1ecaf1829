// Package probe finds the virtio devices of a machine that there are drivers for, whatever bus they
// are on.
package probe

import (
	"strconv"

	"github.com/goshawk-os/goshawk/drivers/pci"
	"github.com/goshawk-os/goshawk/drivers/platform"
	"github.com/goshawk-os/goshawk/drivers/virtio"
	"github.com/goshawk-os/goshawk/drivers/virtio/mmio"
	virtiopci "github.com/goshawk-os/goshawk/drivers/virtio/pci"
)

// A Machine is where to look.
type Machine struct {
	Mapper   platform.Mapper
	Lines    platform.Lines
	Messages platform.Messages
	Ports    platform.Ports
	Slots    []mmio.Slot // where virtio-mmio devices may be
	CPUs     int         // each may have a queue of a disk or network device, with an interrupt
}

// Devices are found in the order of the slots, then of the PCI addresses.
type Devices struct {
	Networks []virtio.Transport
	Disks    []virtio.Transport
	Entropy  []virtio.Transport
	Shares   []virtio.Transport // 9P devices
}

func (d *Devices) add(t virtio.Transport) {
	switch t.DeviceType() {
	case virtio.VIRTIO_ID_NET:
		d.Networks = append(d.Networks, t)
	case virtio.VIRTIO_ID_BLOCK:
		d.Disks = append(d.Disks, t)
	case virtio.VIRTIO_ID_RNG:
		d.Entropy = append(d.Entropy, t)
	case virtio.VIRTIO_ID_9P:
		d.Shares = append(d.Shares, t)
	}
}

// Find returns the devices. report is told of devices that cannot be used and of network cards and
// disk controllers of other kinds, each with what to do about it.
func Find(m Machine, report func(text string)) Devices {
	var found Devices
	for _, t := range mmio.Find(m.Slots, m.Mapper, m.Lines, func(err *mmio.SlotError) { report(err.Error()) }) {
		found.add(t)
	}
	if !hasPCI(m.Ports) {
		return found
	}
	for _, f := range pci.Scan(pci.NewPortConfig(m.Ports)) {
		interrupts := 2 // configuration, queue
		switch deviceType := virtiopci.DeviceType(f); {
		case deviceType == virtio.VIRTIO_ID_NET, deviceType == virtio.VIRTIO_ID_BLOCK:
			interrupts = 1 + m.CPUs
		case deviceType == virtio.VIRTIO_ID_RNG, deviceType == virtio.VIRTIO_ID_9P:
		case f.Class>>16 == classNetwork:
			report("PCI " + f.Address.String() + " (" + hex(f.Vendor) + ":" + hex(f.Device) +
				"): a network card without a driver; use virtio-net-pci")
			continue
		case f.Class>>8 == classSCSI, f.Class>>8 == classNVM:
			report("PCI " + f.Address.String() + " (" + hex(f.Vendor) + ":" + hex(f.Device) +
				"): a disk controller without a driver; use virtio-blk-pci")
			continue
		default:
			continue
		}
		if t, err := virtiopci.New(f, m.Mapper, m.Messages, interrupts); err != nil {
			report(err.Error())
		} else {
			found.add(t)
		}
	}
	return found
}

// Classes: the base class of network controllers (PCI Local Bus Specification 3.0, appendix D), and
// base class and subclass of SCSI and NVM controllers (PCI Code and ID Assignment Specification 1.11,
// section 1.2). The IDE and SATA controllers of chipsets are there with disks or without.
const (
	classNetwork = 0x02
	classSCSI    = 0x0100
	classNVM     = 0x0108
)

// hex writes a PCI ID.
func hex(id uint16) string {
	s := strconv.FormatUint(uint64(id), 16)
	return "0000"[len(s):] + s
}

// hasPCI tells whether port 0xcf8 is a configuration address register (PCI 3.2.2.3.2). Where there is
// none, each of a scan's many reads would be an exit for nothing.
func hasPCI(p platform.Ports) bool {
	const address, enable = 0xcf8, 1 << 31
	p.Out32(address, enable)
	return p.In32(address) == enable
}
