package qemu

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// MaxDisks is the largest number of disks of a machine. A microvm has room for them beside MaxNICs
// network devices.
const MaxDisks = 8

// diskSector is what the size of a disk is a multiple of, bytes.
const diskSector = 512

// A Disk is a virtio block device of a machine, on a file that holds its bytes one after the other.
// One machine at a time may write to a file.
type Disk struct {
	File     string // on this machine, or a block device of it
	Size     Size   // of the file if it is to be made should there be none; 0: it has to be there
	ReadOnly bool
	Mount    string // where the guest has the file system that is on the disk; "": it is not mounted
}

// option returns the value of the kernel's option mount for disk i, "" if it is not mounted.
func (d Disk) option(i int) string {
	if d.Mount == "" {
		return ""
	}
	v := "vd" + string(rune('a'+i)) + ":" + d.Mount
	if d.ReadOnly {
		v += ":ro"
	}
	return v
}

// checkMount finds out whether the guest can have something at a path, which is noted in taken.
func checkMount(what, at string, taken map[string]string) error {
	clean := path.Clean(at)
	switch {
	case !path.IsAbs(at):
		return fmt.Errorf("%s: the mount point %q is not an absolute path", what, at)
	case clean == "/":
		return fmt.Errorf("%s: it cannot be the guest's root directory", what)
	case strings.Contains(at, ":"):
		return fmt.Errorf("%s: the mount point %s has a colon, which is not supported", what, at)
	case taken[clean] != "":
		return fmt.Errorf("%s and %s have one mount point, %s", taken[clean], what, clean)
	}
	taken[clean] = what
	return nil
}

// checkDisks finds values that cannot be.
func (m *Machine) checkDisks() error {
	if len(m.Disks) > MaxDisks {
		return fmt.Errorf("%d disks: choose at most %d", len(m.Disks), MaxDisks)
	}
	taken := make(map[string]string)
	for _, d := range m.Disks {
		if d.Mount != "" {
			if err := checkMount("disk "+d.File, d.Mount, taken); err != nil {
				return err
			}
		}
		switch {
		case d.File == "":
			return errors.New("a disk without a file")
		case d.Size%diskSector != 0:
			return fmt.Errorf("disk %s: its size of %d bytes is not a multiple of %d", d.File, uint64(d.Size), diskSector)
		case d.Size > 0 && d.ReadOnly:
			return fmt.Errorf("disk %s: a read-only disk that is made would stay empty", d.File)
		}
	}
	return m.checkShares(taken)
}

// check finds out whether a machine can have the disk now.
func (d Disk) check() error {
	flags := os.O_RDWR
	if d.ReadOnly {
		flags = os.O_RDONLY
	}
	f, err := os.OpenFile(d.File, flags, 0)
	switch info, _ := os.Stat(d.File); {
	case info != nil && info.IsDir():
		return fmt.Errorf("disk %s is a directory: name an image file", d.File)
	case errors.Is(err, fs.ErrNotExist) && d.Size > 0:
		if _, err := os.Stat(filepath.Dir(d.File)); err != nil {
			return fmt.Errorf("disk %s: %w", d.File, err)
		}
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("disk %s does not exist; with a size it is made: %s,size=1G", d.File, d.File)
	case errors.Is(err, fs.ErrPermission) && !d.ReadOnly:
		return fmt.Errorf("disk %s may not be written to by this user; if reading is enough: %s,ro", d.File, d.File)
	case err != nil:
		return fmt.Errorf("disk %s: %w", d.File, err)
	}
	defer f.Close()
	end, err := f.Seek(0, 2)
	switch {
	case err != nil:
		return fmt.Errorf("disk %s: %w", d.File, err)
	case end == 0:
		return fmt.Errorf("disk %s is empty", d.File)
	case end%diskSector != 0:
		return fmt.Errorf("disk %s has %d bytes, which is not a multiple of %d: it is no image of a disk", d.File, end, diskSector)
	case InUse(f, d.ReadOnly):
		return fmt.Errorf("disk %s is in use by another machine", d.File)
	}
	return nil
}

// make makes the file if there is none.
func (d Disk) make() error {
	if d.Size == 0 {
		return nil
	}
	f, err := os.OpenFile(d.File, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		err = errors.Join(f.Truncate(int64(d.Size)), f.Close())
	}
	if err != nil {
		return fmt.Errorf("disk %s: %w", d.File, err)
	}
	return nil
}

// blockdev returns the value of QEMU's option -blockdev for disk i. QEMU takes care that nobody else
// uses the file (file.locking), and a flush of the guest is one of the file.
func (d Disk) blockdev(i int) (string, error) {
	file, err := filepath.Abs(d.File)
	if err != nil {
		return "", err
	}
	driver := "file"
	if info, err := os.Stat(file); err == nil && info.Mode()&fs.ModeDevice != 0 {
		driver = "host_device"
	}
	s := fmt.Sprintf("driver=raw,node-name=disk%d,discard=unmap,file.driver=%s,file.discard=unmap,file.filename=%s", i, driver, escape(file))
	if d.ReadOnly {
		s += ",read-only=on"
	}
	return s, nil
}
