package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"mvdan.cc/sh/v3/shell"

	"github.com/goshawk-os/goshawk/boot/image"
	"github.com/goshawk-os/goshawk/goos"
	"github.com/goshawk-os/goshawk/qemu"
)

// buildFlags are the flags of goshawk build and run that say how to build.
type buildFlags struct {
	tags, ldflags, root string
	trimpath, verbose   bool
}

func (b *buildFlags) define(fs *flag.FlagSet) {
	fs.StringVar(&b.tags, "tags", "", "build tags, a comma-separated `list`, as go build")
	fs.StringVar(&b.ldflags, "ldflags", "", "linker `flags`, as go build")
	fs.BoolVar(&b.trimpath, "trimpath", false, "leave this machine's paths out of the program, as go build")
	fs.StringVar(&b.root, "root", "", "the program's root directory is to hold the files of `directory`")
	fs.BoolVar(&b.verbose, "v", false, "print the commands it runs")
}

func (b *buildFlags) options(pkg, output string) goos.BuildOptions {
	o := goos.BuildOptions{
		Package: pkg, Output: output, Tags: b.tags, Ldflags: b.ldflags, Trimpath: b.trimpath, Root: b.root,
		Stdout: os.Stdout, Stderr: os.Stderr,
	}
	if b.verbose {
		o.Verbose = printCommand
	}
	return o
}

// machineFlags are the flags of goshawk run and test that say where to run.
type machineFlags struct {
	cpus          int
	memory        qemu.Size
	machine       string
	accel         string
	environment   []string
	gdb           string
	qemuArguments []string
	network       networkFlags
	disks         []qemu.Disk
	shares        []qemu.Share
}

func (m *machineFlags) define(fs *flag.FlagSet, cpus int, memory qemu.Size) {
	m.memory = memory
	fs.IntVar(&m.cpus, "cpus", cpus, "number of CPUs, 1 to 8")
	fs.Var(&m.memory, "mem", "memory `size`: MiB, or with K, M or G")
	fs.StringVar(&m.machine, "machine", string(qemu.Microvm), "QEMU machine: microvm, q35 or pc")
	fs.StringVar(&m.accel, "accel", "", "accelerator: auto, kvm or tcg (default $GOSHAWK_ACCEL or auto)")
	fs.Func("env", "set an environment `variable`, K=V, or K for its value here; repeatable", func(s string) error {
		k, _, given := strings.Cut(s, "=")
		if k == "" {
			return fmt.Errorf("write NAME=VALUE, or NAME for its value here")
		}
		if !given {
			value, ok := os.LookupEnv(s)
			if !ok {
				return fmt.Errorf("%s is not set here; write %s=VALUE", s, s)
			}
			s += "=" + value
		}
		m.environment = append(m.environment, s)
		return nil
	})
	m.network.define(fs)
	m.diskFlag(fs)
	m.shareFlag(fs)
	fs.Func("qemu-args", "further arguments for QEMU, `quoted` as for a shell; repeatable", func(s string) error {
		args, err := shell.Fields(s, nil)
		if err != nil {
			return err
		}
		m.qemuArguments = append(m.qemuArguments, args...)
		return nil
	})
}

// new returns the machine of the flags, checked. It has no image yet.
func (m *machineFlags) new() (*qemu.Machine, error) {
	if m.cpus == 0 {
		return nil, usagef("-cpus 0: choose 1 to %d", qemu.MaxCPUs)
	}
	vm := qemu.New("", qemu.CPUs(m.cpus), qemu.Memory(m.memory), qemu.On(qemu.Kind(m.machine)),
		qemu.Using(qemu.Accel(m.accel)), qemu.Env(m.environment...), qemu.Disks(m.disks...), qemu.Shares(m.shares...), qemu.Extra(m.qemuArguments...))
	if m.gdb != "" {
		host, port, err := net.SplitHostPort(m.gdb)
		if err != nil {
			host, port = "127.0.0.1", m.gdb
		}
		vm.GDB = net.JoinHostPort(host, port)
	}
	if err := m.network.apply(vm); err != nil {
		return nil, err
	}
	if len(m.qemuArguments) > 0 {
		vm.Messages = os.Stderr // such arguments may ask for some
	}
	return vm, explainPort(vm.Check())
}

// explainPort adds what to do about a port of this machine that cannot be had.
func explainPort(err error) error {
	var port *qemu.PortError
	if errors.As(err, &port) && !errors.Is(err, syscall.EADDRNOTAVAIL) {
		return fmt.Errorf("%w; choose another, or let goshawk choose: -p %d", err, port.Forward.Guest)
	}
	return err
}

// insert gives a machine its image, which it checks.
func insert(vm *qemu.Machine, path string) error {
	info, err := image.Inspect(path)
	if err != nil {
		return err
	}
	if uint64(vm.Memory) < info.Top {
		return fmt.Errorf("-mem %v is too little: the image alone fills %d MiB", vm.Memory, (info.Top+uint64(qemu.MiB)-1)/uint64(qemu.MiB))
	}
	vm.Kernel = path
	return nil
}

// printCommand shows a command before it runs.
func printCommand(line string) { fmt.Fprintf(os.Stderr, "+ %s\n", line) }
