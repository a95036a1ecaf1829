//go:build goshawk

package boot

import (
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

// addDisks makes /dev/vda, /dev/vdb, ... of the machine's virtio block devices, with a queue for each
// CPU. Those that cannot be used keep their letter.
func addDisks(dev *devfs.FS) {
	for i, t := range devices.Disks(warn) {
		if i == maxDisks {
			warn("only 26 disks have names, the others are not used")
			return
		}
		name := "vd" + string(rune('a'+i))
		d, err := blk.Open(t, devices.Memory(), blk.Options{
			Queues: nucleus.NumCPU(), CPU: nucleus.CPU, Busy: nucleus.DeviceBusy, Done: nucleus.DeviceDone,
		})
		if err == nil {
			err = dev.RegisterDisk(name, 0o660, vfs.Dev(diskMajor, uint32(i*diskMinors)), blockdev.New(d).Open)
		}
		if err != nil {
			warn(name + ": " + err.Error())
		}
	}
}
