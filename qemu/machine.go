// Package qemu runs images in QEMU: machines as values, and a harness for tests.
//
// A Machine says what to start; its Start gives a Process with the guest's console and exit status.
// Tests call Run, which adds a deadline and keeps the console's log.
//
// Environment variables: GOSHAWK_QEMU names the QEMU program and GOSHAWK_ACCEL the accelerator where
// no option does; GOSHAWK_BOOTS names a file that gets a line for each machine started; GOSHAWK_LOGS
// is the directory for the logs of failed tests.
package qemu

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goshawk-os/goshawk/kernel/cmdline"
)

// A Kind is a machine type of QEMU.
type Kind string

// The kinds that Goshawk boots on.
const (
	Microvm Kind = "microvm" // no PCI, starts fastest
	Q35     Kind = "q35"     // a PC with PCI Express
	PC      Kind = "pc"      // a PC of 1996
)

// Kinds lists all kinds.
var Kinds = []Kind{Microvm, Q35, PC}

// An Accel says what executes the guest's instructions.
type Accel string

// The accelerators.
const (
	Auto Accel = "auto" // KVM where a probe shows that it works, else TCG
	KVM  Accel = "kvm"  // the host's processor
	TCG  Accel = "tcg"  // QEMU's translator, works everywhere
)

// Accels lists all accelerators.
var Accels = []Accel{Auto, KVM, TCG}

const (
	// MaxCPUs is the largest number of CPUs of a machine.
	MaxCPUs = 8
	// DefaultMemory is the memory of a machine that does not say.
	DefaultMemory = 256 * MiB
)

// A Machine describes one start of QEMU. The zero value of each field but Kernel means the default.
type Machine struct {
	Kernel string // the image to boot
	Kind   Kind   // default Microvm
	CPUs   int    // 1 to MaxCPUs, default 1
	Memory Size   // whole MiB, default DefaultMemory
	Accel  Accel  // default Auto

	// For the guest's kernel (docs/design.md section 7).
	Args   []string // the program's arguments
	Argv0  string   // its name
	Env    []string // its environment, each "K=V"
	Dir    string   // its working directory
	Module string   // a tar on the host, handed over as boot module
	Mount  string   // where the guest unpacks Module

	NICs     []NIC   // network devices, at most MaxNICs; none is none
	Disks    []Disk  // /dev/vda, /dev/vdb, ... of the guest, at most MaxDisks
	Shares   []Share // folders that the guest mounts, at most MaxShares
	Hostname string  // the guest's host name, "" if DHCP or the guest may choose
	Pcap     string  // file on this machine where the guest's network stack captures, "" for none
	Entropy  bool    // with a virtio-rng device

	// RawCommandLine, if not empty, replaces the command line made of the fields above, for a guest
	// that is not Goshawk. Input then arrives as it is, not framed.
	RawCommandLine string

	GDB   string   // host:port where QEMU serves gdb; the guest waits for its "continue"
	Extra []string // further arguments for QEMU

	Input    io.Reader     // the guest's console input; nil is an empty one
	Output   io.Writer     // its console output; nil discards it
	Messages io.Writer     // QEMU's messages as they come; nil keeps them for the error of Wait
	Timeout  time.Duration // how long the machine may run, 0 for ever

	// Listening is told the addresses at which the guest's program starts to listen, the network being
	// "tcp". It is called before Wait returns, not by two goroutines at once, and may be nil.
	Listening func(network string, addr netip.AddrPort)

	Binary  string            // the QEMU program, default as Find says
	Verbose func(line string) // is told the command line before it starts; may be nil

	wall time.Time // when it was started
}

// An Option changes a Machine.
type Option func(*Machine)

// On chooses the kind of machine.
func On(k Kind) Option { return func(m *Machine) { m.Kind = k } }

// CPUs sets the number of CPUs.
func CPUs(n int) Option { return func(m *Machine) { m.CPUs = n } }

// Memory sets the size of the memory.
func Memory(s Size) Option { return func(m *Machine) { m.Memory = s } }

// Using chooses the accelerator.
func Using(a Accel) Option { return func(m *Machine) { m.Accel = a } }

// Args sets the program's arguments.
func Args(args ...string) Option { return func(m *Machine) { m.Args = args } }

// Env adds variables, each "K=V", to the program's environment.
func Env(vars ...string) Option { return func(m *Machine) { m.Env = append(m.Env, vars...) } }

// Dir sets the program's working directory.
func Dir(dir string) Option { return func(m *Machine) { m.Dir = dir } }

// Module hands a tar to the guest, which unpacks it at mount.
func Module(tar, mount string) Option {
	return func(m *Machine) { m.Module, m.Mount = tar, mount }
}

// Network adds network devices.
func Network(nics ...NIC) Option { return func(m *Machine) { m.NICs = append(m.NICs, nics...) } }

// Disks adds disks.
func Disks(disks ...Disk) Option { return func(m *Machine) { m.Disks = append(m.Disks, disks...) } }

// Shares adds folders of this machine.
func Shares(shares ...Share) Option {
	return func(m *Machine) { m.Shares = append(m.Shares, shares...) }
}

// Input sets the console's input.
func Input(r io.Reader) Option { return func(m *Machine) { m.Input = r } }

// Timeout sets how long the machine may run.
func Timeout(d time.Duration) Option { return func(m *Machine) { m.Timeout = d } }

// Extra adds arguments for QEMU.
func Extra(args ...string) Option { return func(m *Machine) { m.Extra = append(m.Extra, args...) } }

// RawCommandLine sets Machine.RawCommandLine.
func RawCommandLine(line string) Option { return func(m *Machine) { m.RawCommandLine = line } }

// New returns a machine that boots the image kernel.
func New(kernel string, opts ...Option) *Machine {
	m := &Machine{Kernel: kernel}
	for _, o := range opts {
		o(m)
	}
	return m
}

// InstallCommand is how QEMU is installed where apt is.
const InstallCommand = "apt-get install -y qemu-system-x86"

// Find returns the path of the QEMU program: $GOSHAWK_QEMU, else qemu-system-x86_64 in PATH.
func Find() (string, error) {
	name := os.Getenv("GOSHAWK_QEMU")
	if name == "" {
		name = "qemu-system-x86_64"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("QEMU is missing: %w; install it with: %s", err, InstallCommand)
	}
	return path, nil
}

// defaults returns a copy of m with the defaults filled in, or the first thing that is wrong with m.
func (m *Machine) defaults() (*Machine, error) {
	d := *m
	if d.Kind == "" {
		d.Kind = Microvm
	}
	if d.CPUs == 0 {
		d.CPUs = 1
	}
	if d.Memory == 0 {
		d.Memory = DefaultMemory
	}
	if d.Accel == "" {
		d.Accel = Accel(os.Getenv("GOSHAWK_ACCEL"))
	}
	if d.Accel == "" {
		d.Accel = Auto
	}
	switch {
	case !slices.Contains(Kinds, d.Kind):
		return nil, fmt.Errorf("unknown machine %q: choose %s", d.Kind, list(Kinds))
	case !slices.Contains(Accels, d.Accel):
		return nil, fmt.Errorf("unknown accelerator %q: choose %s", d.Accel, list(Accels))
	case d.CPUs < 1 || d.CPUs > MaxCPUs:
		return nil, fmt.Errorf("%d CPUs: choose 1 to %d", d.CPUs, MaxCPUs)
	case d.Memory%MiB != 0:
		return nil, fmt.Errorf("%d bytes of memory: choose a whole number of MiB", uint64(d.Memory))
	}
	if err := d.checkNetwork(); err != nil {
		return nil, err
	}
	if err := d.checkDisks(); err != nil {
		return nil, err
	}
	for _, v := range d.Env {
		if k, _, ok := strings.Cut(v, "="); !ok || k == "" {
			return nil, fmt.Errorf("environment variable %q is not of the form NAME=VALUE", v)
		}
	}
	if d.Binary == "" {
		var err error
		if d.Binary, err = Find(); err != nil {
			return nil, err
		}
	}
	return &d, nil
}

// Check finds out what is wrong with m without starting it: values that cannot be, a missing QEMU, a
// port, tap, disk or folder that the machine would not get.
func (m *Machine) Check() error {
	d, err := m.defaults()
	if err != nil {
		return err
	}
	return d.checkHost()
}

// commandLine returns the kernel's command line.
func (m *Machine) commandLine() (string, error) {
	if m.RawCommandLine != "" {
		return m.RawCommandLine, nil
	}
	options := []string{"console=framed"}
	add := func(name, value string) {
		if value != "" {
			options = append(options, name+"="+value)
		}
	}
	for _, v := range m.Env {
		add("env", v)
	}
	add("cwd", m.Dir)
	add("argv0", m.Argv0)
	add("tar", m.Mount)
	for i, d := range m.Disks {
		add("mount", d.option(i))
	}
	for i, s := range m.Shares {
		add("share", s.option(i))
	}
	add("hostname", m.Hostname)
	if slices.ContainsFunc(m.NICs, func(n NIC) bool { return n.Config != "" }) {
		for _, n := range m.NICs {
			add("net", cmp.Or(n.Config, "dhcp"))
		}
	}
	if m.Pcap != "" {
		add("pcap", "host")
	}
	if !m.wall.IsZero() {
		add("wall", strconv.FormatInt(m.wall.UnixNano(), 10))
	}
	return cmdline.Encode(options, m.Args)
}

// list joins the alternatives for an error.
func list[T ~string](all []T) string {
	var b strings.Builder
	for i, one := range all {
		switch {
		case i == len(all)-1 && i > 0:
			b.WriteString(" or ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(string(one))
	}
	return b.String()
}

// ErrNoStatus is the error of a machine that stopped without reporting an exit status: the guest
// died in a way it could not report.
var ErrNoStatus = errors.New("the machine stopped without reporting an exit status")
