// Package devices finds the machine's devices, and gives their drivers what package platform asks of
// the machine.
//
// Nothing is looked for until somebody asks for network devices, disks or folders of the host, so a
// program that uses none does not pay for it. Then an entropy device is taken into service too, in the background:
// the random generator does without, since it is seeded at boot from the processor.
package devices

import (
	"sync"

	"github.com/goshawk-os/goshawk/drivers/platform"
	"github.com/goshawk-os/goshawk/drivers/virtio"
	"github.com/goshawk-os/goshawk/drivers/virtio/probe"
	"github.com/goshawk-os/goshawk/drivers/virtio/rng"
	"github.com/goshawk-os/goshawk/kernel/nucleus"
)

var (
	once  sync.Once
	found probe.Devices
)

// Networks returns the machine's virtio network devices, as the firmware left them, in the order in
// which QEMU's command line names them. report is told of devices that cannot be used, each with what to
// do about it, in a line for the console. Later calls, and those of Disks and Shares, report nothing.
func Networks(report func(text string)) []virtio.Transport {
	find(report)
	return found.Networks
}

// Disks is Networks for virtio block devices.
func Disks(report func(text string)) []virtio.Transport {
	find(report)
	return found.Disks
}

// Shares is Networks for virtio 9P devices.
func Shares(report func(text string)) []virtio.Transport {
	find(report)
	return found.Shares
}

func find(report func(text string)) {
	once.Do(func() {
		found = probe.Find(probe.Machine{
			Mapper:   mapper{},
			Lines:    lines{},
			Messages: messages{},
			Ports:    ports{},
			Slots:    slots(),
			CPUs:     nucleus.NumCPU(),
		}, report)
		for _, t := range found.Entropy {
			go seed(t)
		}
	})
}

// Memory returns main memory, as drivers use it.
func Memory() platform.Memory { return &theMemory }

// seed mixes what an entropy device gives into the random generator, once. A device that has nothing
// to give keeps its goroutine waiting for ever.
func seed(t virtio.Transport) {
	d, err := rng.Open(t, Memory())
	if err != nil {
		return
	}
	defer d.Close()
	var entropy [32]byte
	if n, _ := d.Read(entropy[:]); n > 0 {
		nucleus.Seed(&entropy)
	}
}
