package main

import (
	"flag"
	"strings"

	"github.com/goshawk-os/goshawk/qemu"
)

// diskFlag defines the flag -disk.
func (m *machineFlags) diskFlag(fs *flag.FlagSet) {
	fs.Func("disk", "give the machine a disk, an image `file[,ro][,size=SIZE]`; repeatable (see below)", func(s string) error {
		d, err := parseDisk(s)
		if err == nil {
			m.disks = append(m.disks, d)
		}
		return err
	})
}

// diskHelp explains the flag.
const diskHelp = `
-disk FILE makes an image, the bytes of a disk, /dev/vda of the guest; further
ones are /dev/vdb and so on. With ,size=1G the file is made if there is none, and
takes only the space that is written. With ,ro the guest can only read it. A
comma in a name is written twice.
`

// parseDisk reads the value of -disk.
func parseDisk(text string) (d qemu.Disk, err error) {
	const comma = "\x00"
	words := strings.Split(strings.ReplaceAll(text, ",,", comma), ",")
	if d.File = strings.ReplaceAll(words[0], comma, ","); d.File == "" {
		return d, usagef("name an image file")
	}
	for _, w := range words[1:] {
		size, isSize := strings.CutPrefix(w, "size=")
		switch {
		case w == "ro":
			d.ReadOnly = true
		case isSize:
			if err := d.Size.Set(size); err != nil {
				return d, err
			}
		default:
			return d, usagef("%q: behind the file there may be ro or size=SIZE", w)
		}
	}
	return d, nil
}
