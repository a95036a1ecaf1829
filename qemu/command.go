package qemu

import (
	"fmt"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// statusFD is the descriptor of QEMU where the guest's exit status arrives.
const statusFD = 3

// machineProperties is what follows the kind in -machine. The PCs lose the devices of their chipsets
// that Goshawk does not use: their firmware looks for disks behind them, which takes a third of the
// time to start.
var machineProperties = map[Kind]string{
	Microvm: ",rtc=on,pit=on,pic=off,isa-serial=on",
	Q35:     ",sata=off,smbus=off",
	PC:      "",
}

// arguments returns QEMU's command line for m, which has its defaults, with the resolved accelerator.
func (m *Machine) arguments(e engine) ([]string, error) {
	line, err := m.commandLine()
	if err != nil {
		return nil, err
	}
	args := []string{
		m.Binary,
		"-machine", string(m.Kind) + machineProperties[m.Kind],
		"-accel", string(e.accel), "-cpu", e.cpu,
		"-smp", strconv.Itoa(m.CPUs), "-m", strconv.FormatUint(uint64(m.Memory/MiB), 10) + "M",
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
		"-chardev", fmt.Sprintf("file,id=status,path=/dev/fd/%d", statusFD),
		"-device", "isa-debugcon,iobase=0xe9,chardev=status",
		"-kernel", m.Kernel, "-append", line,
	}
	if m.Module != "" {
		args = append(args, "-initrd", m.Module)
	}
	devices, err := m.devices()
	if err != nil {
		return nil, err
	}
	args = append(args, devices...)
	if m.GDB != "" {
		args = append(args, "-S", "-gdb", "tcp:"+m.GDB)
	}
	return append(args, m.Extra...), nil
}

// devices returns the arguments for the devices of m. On a microvm QEMU gives the first device the
// highest address, and guests expect that.
func (m *Machine) devices() ([]string, error) {
	var args []string
	virtio := func(kind string) string {
		if m.Kind != Microvm {
			return kind + "-pci,disable-legacy=on"
		}
		return kind + "-device"
	}
	if m.Kind == Microvm {
		args = append(args, "-global", "virtio-mmio.force-legacy=off") // the current version of virtio
	}
	for i, n := range m.NICs {
		backend := n.backend()
		netdev, err := backend.netdev(m.CPUs)
		if err != nil {
			return nil, err
		}
		kind, options, _ := strings.Cut(netdev, ",")
		if options != "" {
			options = "," + options
		}
		device := n.Model
		if device == "" {
			device = virtio("virtio-net")
		}
		device += fmt.Sprintf(",netdev=net%d", i)
		if mac := n.mac(); mac != nil {
			device += ",mac=" + mac.String()
		}
		if backend.queues(m.CPUs) > 1 {
			device += ",mq=on"
		}
		if m.Kind != Microvm {
			device += ",romfile=" // firmware would load it to boot from the network
		}
		args = append(args, "-netdev", fmt.Sprintf("%s,id=net%d%s", kind, i, options), "-device", device)
	}
	for i, d := range m.Disks {
		blockdev, err := d.blockdev(i)
		if err != nil {
			return nil, err
		}
		args = append(args, "-blockdev", blockdev, "-device", fmt.Sprintf("%s,drive=disk%d", virtio("virtio-blk"), i))
	}
	for i, s := range m.Shares {
		fsdev, err := s.fsdev(i)
		if err != nil {
			return nil, err
		}
		args = append(args, "-fsdev", fsdev, "-device", fmt.Sprintf("%s,fsdev=%s,mount_tag=%[2]s", virtio("virtio-9p"), s.tag(i)))
	}
	if m.Entropy {
		args = append(args, "-device", virtio("virtio-rng"))
	}
	if m.Pcap != "" {
		args = append(args, "-chardev", "file,id=pcap,path="+escape(m.Pcap), "-device", "isa-debugcon,iobase=0xea,chardev=pcap")
	}
	return args, nil
}

// shellLine writes a command so that a shell takes it as it is. The exit status, for which Start
// opens a pipe, goes to the standard error output then.
func shellLine(args []string) (string, error) {
	var b strings.Builder
	for _, arg := range args {
		quoted, err := syntax.Quote(arg, syntax.LangBash)
		if err != nil {
			return "", fmt.Errorf("argument %q for QEMU: %w", arg, err)
		}
		b.WriteString(quoted)
		b.WriteByte(' ')
	}
	return b.String() + strconv.Itoa(statusFD) + ">&2", nil
}
