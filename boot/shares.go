//go:build goshawk && !goshawk_nodisks

package boot

import (
	"errors"

	"github.com/goshawk-os/goshawk/boot/devices"
	virtio "github.com/goshawk-os/goshawk/drivers/virtio/p9"
	"github.com/goshawk-os/goshawk/fs/p9"
	"github.com/goshawk-os/goshawk/fs/vfs"
	"github.com/goshawk-os/goshawk/kernel/nucleus"
)

// mountShares mounts folders of the host as the options share say, each a 9P device that is known by
// its mount tag.
func mountShares(space *vfs.Namespace, options []string) error {
	if len(options) == 0 {
		return nil
	}
	found := make(map[string]*virtio.Device)
	for _, t := range devices.Shares(warn) {
		d, err := virtio.Open(t, devices.Memory(), virtio.Options{Busy: nucleus.DeviceBusy, Done: nucleus.DeviceDone})
		if err != nil {
			warn(err.Error())
			continue
		}
		found[d.Tag()] = d
	}
	for _, o := range options {
		s, ok := parseShare(o)
		if !ok {
			return errors.New("option share=" + o + ": it is share=TAG:/DIRECTORY or share=TAG:/DIRECTORY:ro")
		}
		if err := s.mount(space, found[s.tag]); err != nil {
			return errors.New("share " + s.tag + " at " + s.dir + ": " + err.Error())
		}
		delete(found, s.tag)
	}
	return nil
}

func (s share) mount(space *vfs.Namespace, d *virtio.Device) error {
	if d == nil {
		return errors.New("the machine has no 9P device with this mount tag, or it is mounted already")
	}
	fs, err := p9.Mount(d, warn)
	if err == nil {
		err = makeAll(space, s.dir)
	}
	if err == nil {
		err = space.Mount(s.dir, fs, s.tag, s.readOnly)
	}
	return err
}
