package main

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"strings"

	"github.com/goshawk-os/goshawk/qemu"
)

// diskFlag defines the flag -disk.
func (m *machineFlags) diskFlag(flags *flag.FlagSet) {
	flags.Func("disk", "give the machine a disk, an image `file[:/mnt][,ro][,size=SIZE]`; repeatable (see below)", func(s string) error {
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

-disk FILE:/data also mounts the ext4 file system of the image at /data, before
the program starts. A file that is made gets one. What the program has synced
survives a power cut; all of it is written when the program ends.
`

// parseDisk reads the value of -disk.
func parseDisk(text string) (d qemu.Disk, err error) {
	const comma = "\x00"
	words := strings.Split(strings.ReplaceAll(text, ",,", comma), ",")
	d.File = strings.ReplaceAll(words[0], comma, ",")
	if i := strings.LastIndex(d.File, ":/"); i >= 0 {
		d.File, d.Mount = d.File[:i], d.File[i+1:]
	}
	if d.File == "" {
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

// formatDisks makes the images that there are not and that are to be mounted, each with a file system.
func formatDisks(disks []qemu.Disk) error {
	for _, d := range disks {
		if _, err := os.Stat(d.File); d.Mount == "" || d.Size == 0 || !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := newImage(d.File, int64(d.Size), imageOptions{}); err != nil {
			return err
		}
	}
	return nil
}
