package qemu

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// MaxShares is the largest number of shares of a machine. A microvm has room for them beside MaxNICs
// network devices and MaxDisks disks.
const MaxShares = 4

// A Share is a folder of this machine that the guest's kernel mounts: what one side changes is there for
// the other at once. Files that the guest makes belong to the user who runs QEMU, whose rights the guest
// has in it.
type Share struct {
	Folder   string // on this machine
	Mount    string // where the guest has it, made if there is no such directory
	ReadOnly bool
}

// checkShares finds values that cannot be; taken are the mount points of disks.
func (m *Machine) checkShares(taken map[string]string) error {
	if len(m.Shares) > MaxShares {
		return fmt.Errorf("%d shares: choose at most %d", len(m.Shares), MaxShares)
	}
	for _, s := range m.Shares {
		if s.Folder == "" {
			return errors.New("a share without a folder")
		}
		if err := checkMount("share "+s.Folder, s.Mount, taken); err != nil {
			return err
		}
	}
	return nil
}

// check finds out whether a machine can have the share now.
func (s Share) check() error {
	switch info, err := os.Stat(s.Folder); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("share %s does not exist", s.Folder)
	case err == nil && !info.IsDir():
		return fmt.Errorf("share %s is not a directory", s.Folder)
	}
	if _, err := os.ReadDir(s.Folder); err != nil {
		return fmt.Errorf("share %s: %w", s.Folder, err)
	}
	return nil
}

// tag names share i in QEMU and in the guest.
func (Share) tag(i int) string { return fmt.Sprintf("share%d", i) }

// fsdev returns the value of QEMU's option -fsdev for share i. With the security model none the guest's
// files are as it makes them, but for their owner, which needs no privileges; remap keeps files of two
// file systems below the folder apart.
func (s Share) fsdev(i int) (string, error) {
	folder, err := filepath.Abs(s.Folder)
	if err != nil {
		return "", err
	}
	v := fmt.Sprintf("local,id=%s,path=%s,security_model=none,multidevs=remap", s.tag(i), escape(folder))
	if s.ReadOnly {
		v += ",readonly=on"
	}
	return v, nil
}

// option returns the value of the kernel's option share for share i.
func (s Share) option(i int) string {
	v := s.tag(i) + ":" + s.Mount
	if s.ReadOnly {
		v += ":ro"
	}
	return v
}
