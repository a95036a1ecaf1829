//go:build goshawk && !goshawk_nodisks

package boot

import (
	"errors"
	"slices"
	_ "unsafe" // for linkname

	"github.com/goshawk-os/goshawk/fs/ext4"
	"github.com/goshawk-os/goshawk/fs/pagecache"
	"github.com/goshawk-os/goshawk/fs/vfs"
	"github.com/goshawk-os/goshawk/kernel/linux"
	"github.com/goshawk-os/goshawk/kernel/nucleus"
)

// atExit has f run when the program's main returns or calls os.Exit, and before a panic ends it.
//
//go:linkname atExit goshawk.atExit
func atExit(f func())

// mountDisks mounts file systems of disks as the options mount say.
func mountDisks(space *vfs.Namespace, options []string) error {
	if len(options) == 0 {
		return nil
	}
	pages := newPages()
	for _, o := range options {
		m, ok := parseMount(o)
		if !ok {
			return errors.New("option mount=" + o + ": it is mount=vda:/DIRECTORY or mount=vda:/DIRECTORY:ro")
		}
		if err := m.mount(space, pages); err != nil {
			return errors.New("mount of " + m.disk + " at " + m.dir + ": " + err.Error())
		}
	}
	atExit(linux.Finish)
	return nil
}

func (m diskMount) mount(space *vfs.Namespace, pages *pagecache.Cache) error {
	found := findDisks()
	i := slices.IndexFunc(found, func(d disk) bool { return d.name == m.disk })
	if i < 0 {
		return errors.New("the machine has no such disk")
	}
	d := found[i]
	if d.err != nil {
		return d.err
	}
	total, _ := nucleus.MemInfo()
	fs, err := ext4.Mount(d.device, ext4.Options{
		Pages: pages, ReadOnly: m.readOnly, Metadata: int64(min(total/16, 8<<20)), Dev: vfs.Dev(diskMajor, uint32(i*diskMinors)),
		Log: func(text string) { warn(m.dir + ": " + text) },
	})
	switch {
	case err == ext4.ErrNone:
		return errors.New("no ext4 file system is on the disk; goshawk fs mkfs makes one")
	case err != nil:
		return err
	}
	if err := makeAll(space, m.dir); err != nil {
		return err
	}
	return space.Mount(m.dir, fs, "/dev/"+m.disk, fs.ReadOnly())
}
