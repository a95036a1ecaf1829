//go:build goshawk && goshawk_nodisks

package boot

import (
	"errors"

	"github.com/goshawk-os/goshawk/fs/devfs"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// An image built with the tag goshawk_nodisks has neither drivers of disks and shares nor their file
// systems, and is 0.8 MB smaller.

func addDisks(*devfs.FS) {}

func mountDisks(_ *vfs.Namespace, options []string) error { return leftOut("mount", options) }

func mountShares(_ *vfs.Namespace, options []string) error { return leftOut("share", options) }

func leftOut(name string, options []string) error {
	if len(options) == 0 {
		return nil
	}
	return errors.New("option " + name + "=" + options[0] + ": the image was built with -tags goshawk_nodisks, which leaves disks and shares out")
}
