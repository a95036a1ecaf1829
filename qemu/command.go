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
	if m.GDB != "" {
		args = append(args, "-S", "-gdb", "tcp:"+m.GDB)
	}
	return append(args, m.Extra...), nil
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
