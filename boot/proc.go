package boot

import (
	"errors"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/procfs"
	"github.com/goshawk-os/goshawk/fs/vfs"
	"github.com/goshawk-os/goshawk/kernel/linux"
	"github.com/goshawk-os/goshawk/net/unix"
)

// proc is what the files of /proc are made from (proc(5)): the process that the program is, the
// machine, and the settings that libraries look up. What would count something that is not counted
// reads 0.
type proc struct {
	space  *vfs.Namespace
	args   []string
	bootID func() string
}

// processFiles are in /proc/1, machineFiles in /proc.
var (
	processFiles = []struct {
		name    string
		content func(p *proc) string
	}{
		{"cmdline", (*proc).commandLine}, {"limits", (*proc).limits}, {"maps", (*proc).maps},
		{"mounts", (*proc).mounts}, {"statm", (*proc).statm},
	}
	machineFiles = []struct {
		name    string
		content func(p *proc) string
	}{
		{"cpuinfo", (*proc).cpuinfo}, {"loadavg", (*proc).loadavg}, {"meminfo", (*proc).meminfo}, {"stat", (*proc).machine},
		{"uptime", (*proc).uptime}, {"version", (*proc).version},
		{"sys/kernel/random/uuid", (*proc).uuid}, {"sys/kernel/random/boot_id", (*proc).boot},
		{"sys/kernel/hostname", (*proc).hostname}, {"goshawk/syscalls", (*proc).unsupported},
	}
	settings = []struct{ name, value string }{
		{"sys/kernel/ngroups_max", decimal(linux.MaxGroups)},
		{"sys/kernel/osrelease", linux.OSRelease}, {"sys/kernel/ostype", linux.OSType},
		{"sys/vm/overcommit_memory", "1"}, {"sys/net/core/somaxconn", "4096"}, {"sys/net/unix/max_dgram_qlen", "512"},
		{"sys/fs/pipe-max-size", "1048576"}, {"sys/fs/nr_open", decimal(linux.MaxFiles)},
	}
)

// mountProc mounts /proc for a program that was started with args.
func mountProc(space *vfs.Namespace, args []string) error {
	p := &proc{space: space, args: args}
	p.bootID = sync.OnceValue(p.uuid)
	fs := procfs.New("proc")
	err := p.fill(fs)
	if err == nil {
		err = space.Mount("/proc", fs, "proc", false)
	}
	if err != nil {
		return errors.New("cannot mount /proc: " + err.Error())
	}
	mounted.space, mounted.proc = space, fs
	return nil
}

// mounted is where subsystems that start after this package add files.
var mounted struct {
	space *vfs.Namespace
	proc  *procfs.FS
}

// Proc returns the file system at /proc, to which a subsystem adds files.
func Proc() *procfs.FS { return mounted.proc }

// MountSys mounts a file system at /sys, which is not there without one.
func MountSys(fs *procfs.FS) error {
	err := mounted.space.Mkdir(nil, "/sys", 0o555)
	if err == nil || err == syscall.EEXIST {
		err = mounted.space.Mount("/sys", fs, "sysfs", false)
	}
	if err != nil {
		return errors.New("cannot mount /sys: " + err.Error())
	}
	return nil
}

func (p *proc) fill(fs *procfs.FS) error {
	var err error
	file := func(path string, content func() []byte) {
		if err == nil {
			err = fs.AddFile(path, 0o444, content)
		}
	}
	link := func(path string, target func() string) {
		if err == nil {
			err = fs.AddLink(path, target)
		}
	}
	link("self", func() string { return "1" })
	link("mounts", func() string { return "self/mounts" })
	link("1/exe", p.executable)
	link("1/cwd", p.directory)
	link("1/root", func() string { return "/" })
	link("net", func() string { return "self/net" })
	file("1/net/unix", unix.ProcNet)
	link("thread-self", func() string { return "1/task/" + decimal(linux.Thread()) })
	if err == nil {
		err = fs.AddDir("1/fd", linux.Descriptors, p.descriptor)
	}
	if err == nil {
		err = fs.AddDir("1/task", linux.Threads, thread)
	}
	for _, f := range processFiles {
		file("1/"+f.name, func() []byte { return []byte(f.content(p)) })
	}
	for _, f := range threadFiles(pid) {
		file("1/"+f.Name, f.Content)
	}
	for _, f := range machineFiles {
		file(f.name, func() []byte { return []byte(f.content(p)) })
	}
	for _, s := range settings {
		file(s.name, func() []byte { return []byte(s.value + "\n") })
	}
	return err
}

func (p *proc) executable() string { return absolute(p.args[0]) }

func (p *proc) directory() string {
	path, err := p.space.Getcwd()
	if err != nil {
		return "/"
	}
	return path
}

func (p *proc) descriptor(fd int) (procfs.Node, bool) {
	f, ok := linux.Descriptor(fd)
	if !ok {
		return procfs.Node{}, false
	}
	defer f.Close()
	path := p.space.PathOf(f)
	return procfs.Node{
		Link: func() string { return path },
		Jump: func() (*vfs.File, error) {
			f, ok := linux.Descriptor(fd)
			if !ok {
				return nil, syscall.ENOENT
			}
			return f, nil
		},
	}, true
}

func (p *proc) commandLine() string { return strings.Join(p.args, "\x00") + "\x00" }

func (p *proc) limits() string {
	var b strings.Builder
	row := func(name, soft, hard, unit string) {
		for i, column := range []string{name, soft, hard} {
			b.WriteString(column)
			width := 21
			if i == 0 {
				width = 26
			}
			for range max(0, width-len(column)) {
				b.WriteByte(' ')
			}
		}
		b.WriteString(unit + "\n")
	}
	row("Limit", "Soft Limit", "Hard Limit", "Units")
	for i, l := range limitRows {
		limit := linux.Limit(i)
		row(l[0], limitText(limit.Cur), limitText(limit.Max), l[1])
	}
	return b.String()
}

// limitRows are the names and units of the resource limits, by number.
var limitRows = [][2]string{
	{"Max cpu time", "seconds"}, {"Max file size", "bytes"}, {"Max data size", "bytes"}, {"Max stack size", "bytes"},
	{"Max core file size", "bytes"}, {"Max resident set", "bytes"}, {"Max processes", "processes"},
	{"Max open files", "files"}, {"Max locked memory", "bytes"}, {"Max address space", "bytes"}, {"Max file locks", "locks"},
	{"Max pending signals", "signals"}, {"Max msgqueue size", "bytes"}, {"Max nice priority", ""},
	{"Max realtime priority", ""}, {"Max realtime timeout", "us"},
}

func limitText(n uint64) string {
	if n == ^uint64(0) {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}

// maps shows the program's code, which is what profilers look for.
func (p *proc) maps() string {
	low, high := linux.Text()
	return hex(low) + "-" + hex(high) + " r-xp 00000000 00:00 0 " + p.executable() + "\n"
}

func hex(n uintptr) string { return padded(strconv.FormatUint(uint64(n), 16), 8) }

func (p *proc) mounts() string {
	var b strings.Builder
	for _, m := range p.space.Mounts() {
		mode := "rw"
		if m.ReadOnly {
			mode = "ro"
		}
		b.WriteString(m.Source + " " + m.Path + " " + m.Type + " " + mode + ",relatime 0 0\n")
	}
	return b.String()
}

const (
	pageSize = 4096
	ticks    = 100 // per second, the unit of times (sysconf's _SC_CLK_TCK)
)

// memory returns the bytes of memory in use and those of the machine.
func memory() (used, total uint64) {
	total, free := linux.Memory()
	return total - free, total
}

func decimal[T int | int64 | uint64](n T) string { return strconv.FormatInt(int64(n), 10) }

func (p *proc) statm() string {
	used, _ := memory()
	pages := decimal(used / pageSize)
	return pages + " " + pages + " 0 0 0 0 0\n"
}

func (p *proc) cpuinfo() string {
	var b strings.Builder
	for i := range runtime.NumCPU() {
		b.WriteString("processor\t: " + decimal(i) + "\n\n")
	}
	return b.String()
}

func (p *proc) loadavg() string { return "0.00 0.00 0.00 1/1 1\n" }

func (p *proc) meminfo() string {
	used, total := memory()
	free := decimal((total-used)>>10) + " kB\n"
	return "MemTotal: " + decimal(total>>10) + " kB\nMemFree: " + free + "MemAvailable: " + free +
		"Buffers: 0 kB\nCached: 0 kB\nSwapCached: 0 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"
}

// machine is /proc/stat.
func (p *proc) machine() string {
	user := linux.CPUTime() / (1e9 / ticks)
	idle := max(0, linux.Uptime()*int64(runtime.NumCPU())/(1e9/ticks)-user)
	return "cpu  " + decimal(user) + " 0 0 " + decimal(idle) + " 0 0 0 0 0 0\n" +
		"intr 0\nctxt 0\nbtime " + decimal(linux.BootTime()) + "\nprocesses 1\nprocs_running 1\nprocs_blocked 0\n"
}

func (p *proc) uptime() string {
	hundredths := linux.Uptime() / 1e7
	idle := max(0, linux.Uptime()*int64(runtime.NumCPU())-linux.CPUTime()) / 1e7
	return fixed(hundredths) + " " + fixed(idle) + "\n"
}

// fixed writes hundredths as a decimal fraction.
func fixed(n int64) string {
	return decimal(n/100) + "." + decimal(n/10%10) + decimal(n%10)
}

func (p *proc) version() string {
	return "Linux version " + linux.OSRelease + " (" + runtime.Version() + ") " + linux.OSVersion + "\n"
}

// uuid returns a new random UUID (RFC 9562, section 5.4).
func (p *proc) uuid() string {
	var b [16]byte
	linux.Random(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	const digits = "0123456789abcdef"
	s := make([]byte, 0, 37)
	for i, c := range b {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			s = append(s, '-')
		}
		s = append(s, digits[c>>4], digits[c&15])
	}
	return string(append(s, '\n'))
}

func (p *proc) boot() string { return p.bootID() }

// unsupported lists the system calls that were asked for and are missing.
func (p *proc) unsupported() string {
	var b strings.Builder
	for name, count := range linux.UnsupportedCalls {
		b.WriteString(name + " " + decimal(uint64(count)) + "\n")
	}
	return b.String()
}

func (p *proc) hostname() string { return linux.HostName() + "\n" }
