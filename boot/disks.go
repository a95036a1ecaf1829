//go:build goshawk && !goshawk_nodisks

package boot

import (
	"sync"

	"github.com/goshawk-os/goshawk/boot/devices"
	"github.com/goshawk-os/goshawk/drivers/virtio/blk"
	"github.com/goshawk-os/goshawk/fs/blockdev"
	"github.com/goshawk-os/goshawk/fs/devfs"
	"github.com/goshawk-os/goshawk/fs/vfs"
	"github.com/goshawk-os/goshawk/kernel/nucleus"
)

const (
	diskMajor  = 253 // the first of Linux's numbers for local use, which its virtio disks get
	diskMinors = 16  // a disk's, with those of partitions
	maxDisks   = 26
)

// A disk is a virtio block device of the machine: vda, vdb, ... Those that cannot be used keep their letter.
type disk struct {
	name   string
	device *blk.Device
	err    error // why there is no device
}

var disks struct {
	once  sync.Once
	found []disk
}

// findDisks finds the machine's disks, once, and gives each a queue for each CPU. It is called before
// this package is initialised when a program's package that comes earlier opens a file.
func findDisks() []disk {
	disks.once.Do(func() { disks.found = openDisks() })
	return disks.found
}

func openDisks() (found []disk) {
	for i, t := range devices.Disks(warn) {
		if i == maxDisks {
			warn("only 26 disks have names, the others are not used")
			break
		}
		d := disk{name: "vd" + string(rune('a'+i))}
		d.device, d.err = blk.Open(t, devices.Memory(), blk.Options{
			Queues: nucleus.NumCPU(), CPU: nucleus.CPU, Busy: nucleus.DeviceBusy, Done: nucleus.DeviceDone,
		})
		found = append(found, d)
	}
	return found
}

// addDisks makes /dev/vda, /dev/vdb, ...
func addDisks(dev *devfs.FS) {
	for i, d := range findDisks() {
		err := d.err
		if err == nil {
			err = dev.RegisterDisk(d.name, 0o660, vfs.Dev(diskMajor, uint32(i*diskMinors)), blockdev.New(d.device).Open)
		}
		if err != nil {
			warn(d.name + ": " + err.Error())
		}
	}
}
