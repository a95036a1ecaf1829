//go:build linux

// Init is the first process of the Linux guest with a network: it loads the kernel's modules in
// /modules, in the order of their names, gives eth0 the address that the kernel's command line says
// (address=ADDRESS/LENGTH), starts the loopback, and becomes /program.
package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	if err := setUp(); err != nil {
		fmt.Println("init:", err)
		os.Exit(1)
	}
	err := syscall.Exec("/program", append([]string{"/program"}, os.Args[1:]...), os.Environ())
	fmt.Println("init: /program:", err)
	os.Exit(1)
}

func setUp() error {
	modules, err := filepath.Glob("/modules/*.ko")
	if err != nil {
		return err
	}
	for _, name := range modules { // sorted
		if err := load(name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	address, err := netip.ParsePrefix(os.Getenv("address"))
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := up(fd, "lo"); err != nil {
		return err
	}
	for range 1000 { // the device's discovery may still go on
		if err = setAddress(fd, "eth0", address); err != unix.ENODEV {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err != nil {
		return fmt.Errorf("eth0: %w", err)
	}
	return up(fd, "eth0")
}

func load(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.FinitModule(int(f.Fd()), "", 0)
}

func setAddress(fd int, name string, p netip.Prefix) error {
	mask := ^uint32(0) << (32 - p.Bits())
	if err := ioctl(fd, unix.SIOCSIFADDR, name, p.Addr().As4()); err != nil {
		return err
	}
	return ioctl(fd, unix.SIOCSIFNETMASK, name, [4]byte{byte(mask >> 24), byte(mask >> 16), byte(mask >> 8), byte(mask)})
}

// ioctl passes a struct ifreq with a struct sockaddr_in (netdevice(7)).
func ioctl(fd int, request uintptr, name string, address [4]byte) error {
	var r struct {
		name [unix.IFNAMSIZ]byte
		addr unix.RawSockaddrInet4
		_    [8]byte
	}
	copy(r.name[:], name)
	r.addr = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: address}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(&r))); errno != 0 {
		return errno
	}
	return nil
}

func up(fd int, name string) error {
	r, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r)
}
