package qemu

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// flags reads a file of flags in hexadecimal about the interface.
func (t Tap) flags(file string) (uint64, error) {
	text, err := os.ReadFile(filepath.Join("/sys/class/net", string(t), file))
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimPrefix(strings.TrimSpace(string(text)), "0x"), 16, 64)
}

// queues returns a number above 1 exactly if the tap has several queues: QEMU opens it accordingly.
func (t Tap) queues(cpus int) int {
	if flags, err := t.flags("tun_flags"); err == nil && flags&unix.IFF_MULTI_QUEUE != 0 {
		return max(2, cpus)
	}
	return 1
}

// CheckTapSupport returns an error that says what keeps this user from using tap devices at all.
func CheckTapSupport() error {
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("this machine has no /dev/net/tun: sudo modprobe tun")
	case errors.Is(err, fs.ErrPermission):
		return errors.New("/dev/net/tun is not for this user: sudo chmod 666 /dev/net/tun, as most systems have it, or run goshawk as root")
	case err != nil:
		return err
	}
	return f.Close()
}

// check finds out whether QEMU will get the tap, by attaching to it for a moment.
func (t Tap) check() error {
	name := string(t)
	if name == "" || len(name) >= unix.IFNAMSIZ || strings.ContainsAny(name, "/ ") || name == "." || name == ".." {
		return fmt.Errorf("%q is not the name of a tap device: it has 1 to %d characters", name, unix.IFNAMSIZ-1)
	}
	if err := CheckTapSupport(); err != nil {
		return fmt.Errorf("tap %s: %w", name, err)
	}
	make := fmt.Sprintf("sudo ip tuntap add mode tap user $USER name %s && sudo ip address add 10.0.0.1/24 dev %s && sudo ip link set %s up", name, name, name)
	up, err := t.flags("flags")
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("tap %s does not exist; make it, for a guest with addr=10.0.0.2/24: %s", name, make)
	}
	if err != nil {
		return fmt.Errorf("tap %s: %w", name, err)
	}
	kind, err := t.flags("tun_flags")
	if err != nil || kind&unix.IFF_TAP == 0 {
		return fmt.Errorf("%s is a network device, but no tap; make one of another name", name)
	}
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("tap %s: %w", name, err)
	}
	defer f.Close()
	request, err := unix.NewIfreq(name)
	if err != nil {
		return fmt.Errorf("tap %s: %w", name, err)
	}
	request.SetUint16(uint16(unix.IFF_TAP | unix.IFF_NO_PI | kind&unix.IFF_MULTI_QUEUE))
	switch err := unix.IoctlIfreq(int(f.Fd()), unix.TUNSETIFF, request); {
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("tap %s is in use by another program", name)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("tap %s belongs to another user; make it again for this one: sudo ip link delete %s && %s", name, name, make)
	case err != nil:
		return fmt.Errorf("tap %s: %w", name, err)
	}
	if up&unix.IFF_UP == 0 {
		return fmt.Errorf("tap %s is down: sudo ip link set %s up", name, name)
	}
	return nil
}
