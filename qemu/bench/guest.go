//go:build linux && amd64

package main

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goshawk-os/goshawk/goos"
	"github.com/goshawk-os/goshawk/qemu"
	"github.com/goshawk-os/goshawk/qemu/plugin"
)

// Names of the marks in a guest's life.
const (
	markEntry = "entry" // of the kernel, by PVH
	markMain  = "main"  // main.main
	markExit  = "exit"  // the program asks for its end
)

// A guest is a kernel with a program that can be booted.
type guest struct {
	system    string                                          // its name in the tables
	kernel    string                                          // file that QEMU loads
	options   func(args []string, clock uint64) []qemu.Option // clock: kHz of the time stamp counter
	reports   bool                                            // it reports an exit status
	exe       string
	symbols   map[string]string // functions of the program, by the names of marks above
	marks     map[string]uint64 // their addresses
	files     map[string]int64  // what boots, sizes in bytes
	goVersion string
}

// mainMarks are the marks of a program that runs to its end.
var mainMarks = map[string]string{markMain: "main.main", markExit: "runtime.exit.abi0"}

// buildGoshawk builds a program as Goshawk image.
func (b *bench) buildGoshawk(pkg string, symbols map[string]string, ldflags string) (*guest, error) {
	dir, err := os.MkdirTemp(b.dir, "goshawk-")
	if err != nil {
		return nil, err
	}
	r, err := goos.Build(b.ctx, goos.BuildOptions{Package: pkg, Output: dir + string(filepath.Separator), Ldflags: ldflags, Stderr: os.Stderr})
	if err != nil {
		return nil, err
	}
	g := &guest{
		system: "Goshawk", kernel: r.Output, exe: r.Output, reports: true, symbols: symbols, goVersion: r.Toolchain.Version,
		options: func(args []string, _ uint64) []qemu.Option { return []qemu.Option{qemu.Args(args...)} },
	}
	return g, g.inspect(r.Output)
}

// buildExecutable builds a program as static Linux executable in dir.
func (b *bench) buildExecutable(toolchain *goos.Toolchain, dir, pkg, ldflags string) (string, error) {
	exe := filepath.Join(dir, path.Base(pkg))
	cmd := exec.CommandContext(b.ctx, toolchain.Go, "build", "-o", exe, "-ldflags="+ldflags, pkg)
	cmd.Env = append(slices.Clone(toolchain.Env), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%v: %w", cmd, err)
	}
	return exe, nil
}

// buildLinux builds a program as static Linux executable, and an initramfs on which it is the first
// process, or with a network the one that qemu/bench/init becomes.
func (b *bench) buildLinux(pkg string, symbols map[string]string, ldflags string, network bool) (*guest, error) {
	toolchain, err := goos.Find(b.ctx, "")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.dir, "linux-")
	if err != nil {
		return nil, err
	}
	exe, err := b.buildExecutable(toolchain, dir, pkg, ldflags)
	if err != nil {
		return nil, err
	}
	first := exe
	var files []fileFor
	if network {
		if first, err = b.buildExecutable(toolchain, dir, initPackage, "-s -w"); err != nil {
			return nil, err
		}
		files = append(files, fileFor{exe, "program"})
		for i, m := range b.kernel.modules {
			files = append(files, fileFor{m, fmt.Sprintf("modules/%d-%s", i, path.Base(m))})
		}
	}
	initramfs := exe + ".cpio"
	if err := writeInitramfs(initramfs, first, files...); err != nil {
		return nil, err
	}
	// The kernel says nothing, leaves out what would slow its system calls down, and ends the machine
	// when the program ends. It cannot measure the TSC of a microvm without KVM.
	const line = "console=ttyS0 loglevel=0 panic=-1 reboot=t mitigations=off tsc=reliable rdinit=/init tsc_early_khz="
	g := &guest{
		system: "Linux", kernel: b.kernel.file, exe: exe, symbols: symbols, goVersion: toolchain.Version,
		options: func(args []string, clock uint64) []qemu.Option {
			return []qemu.Option{func(m *qemu.Machine) {
				words := []string{line + strconv.FormatUint(clock, 10)}
				if len(m.NICs) > 0 {
					words = append(words, "address="+guestAddress(m.NICs[0]).String())
				}
				m.RawCommandLine = strings.Join(append(append(words, "--"), args...), " ")
				m.Module = initramfs
			}}
		},
	}
	return g, g.inspect(g.kernel, initramfs)
}

// inspect fills in what the files say.
func (g *guest) inspect(files ...string) error {
	g.files = make(map[string]int64)
	for _, file := range append(files, g.exe) {
		stat, err := os.Stat(file)
		if err != nil {
			return err
		}
		g.files[file] = stat.Size()
	}
	kernel, err := elf.Open(g.kernel)
	if err != nil {
		return fmt.Errorf("%s: %w", g.kernel, err)
	}
	defer kernel.Close()
	exe, err := elf.Open(g.exe)
	if err != nil {
		return fmt.Errorf("%s: %w", g.exe, err)
	}
	defer exe.Close()
	g.marks = make(map[string]uint64)
	if g.marks[markEntry], err = pvhEntry(kernel); err != nil {
		return fmt.Errorf("%s: %w", g.kernel, err)
	}
	if g.symbols == nil {
		return nil
	}
	symbols, err := exe.Symbols()
	if err != nil {
		return fmt.Errorf("%s: %w", g.exe, err)
	}
	for mark, name := range g.symbols {
		i := slices.IndexFunc(symbols, func(s elf.Symbol) bool { return s.Name == name })
		if i < 0 {
			return fmt.Errorf("%s has no symbol %s", g.exe, name)
		}
		g.marks[mark] = symbols[i].Value
	}
	return nil
}

// loaded returns the bytes of the files that QEMU loads.
func (g *guest) loaded() int64 {
	var all int64
	for file, size := range g.files {
		if file != g.exe || file == g.kernel {
			all += size
		}
	}
	return all
}

// pvhEntry returns the physical address in the note XEN_ELFNOTE_PHYS32_ENTRY (Xen's
// xen/include/public/elfnote.h). Notes are those of the System V ABI, chapter 5.
func pvhEntry(f *elf.File) (uint64, error) {
	for _, p := range f.Progs {
		if p.Type != elf.PT_NOTE {
			continue
		}
		notes, err := io.ReadAll(p.Open())
		if err != nil {
			return 0, err
		}
		for len(notes) >= 12 {
			word := func(i int) uint64 { return uint64(binary.LittleEndian.Uint32(notes[4*i:])) }
			name, kind := 12+word(0), word(2)
			value := (name + 3) &^ 3
			end := value + word(1)
			if end > uint64(len(notes)) {
				break
			}
			if kind == 18 && string(notes[12:name]) == "Xen\x00" {
				var entry [8]byte
				copy(entry[:], notes[value:end])
				return binary.LittleEndian.Uint64(entry[:]), nil
			}
			notes = notes[min((end+3)&^3, uint64(len(notes))):]
		}
	}
	return 0, errors.New("no PVH note: QEMU cannot boot it")
}

// A record is what a guest did.
type record struct {
	output string
	start  time.Time              // of QEMU
	first  time.Time              // of the output
	marks  map[string]plugin.Mark // by name
	ticks  []plugin.Mark
}

// firstWrite keeps output and the time of its beginning.
type firstWrite struct {
	bytes.Buffer
	at time.Time
}

func (f *firstWrite) Write(b []byte) (int, error) {
	if f.at.IsZero() && len(b) > 0 {
		f.at = time.Now()
	}
	return f.Buffer.Write(b)
}

// An expectation is how a run is to end.
type expectation struct {
	timeout time.Duration
	last    string // begins the last line of output
}

// run boots g and waits for its end. clock is the frequency of its time stamp counter in kHz.
func (g *guest) run(ctx context.Context, clock uint64, want expectation, args []string, options ...qemu.Option) (*record, error) {
	m := qemu.New(g.kernel, append(options, g.options(args, clock)...)...)
	var output firstWrite
	var messages bytes.Buffer
	m.Output, m.Messages, m.Timeout = &output, &messages, want.timeout
	r := &record{start: time.Now()}
	p, err := m.Start(ctx)
	if err != nil {
		return nil, err
	}
	status, err := p.Wait()
	if err == qemu.ErrNoStatus && !g.reports {
		err = nil
	}
	r.output, r.first = strings.ReplaceAll(output.String(), "\r", ""), output.at
	lines := strings.Split(strings.TrimSpace(r.output), "\n")
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w; its output: %q", g.system, err, r.output)
	case status != 0 || !strings.HasPrefix(lines[len(lines)-1], want.last):
		return nil, fmt.Errorf("%s ended with status %d and the output %q", g.system, status, r.output)
	}
	marks, err := plugin.Parse(messages.String())
	if err != nil {
		return nil, err
	}
	r.marks = make(map[string]plugin.Mark)
	for _, mark := range marks {
		if mark.Name == "tick" {
			r.ticks = append(r.ticks, mark)
		} else {
			r.marks[mark.Name] = mark
		}
	}
	return r, nil
}

// runWith is run with the plugin.
func (b *bench) runWith(g *guest, s plugin.Settings, want expectation, args []string, options ...qemu.Option) (*record, error) {
	s.Marks = g.marks
	r, err := g.run(b.ctx, b.clock, want, args, append(options, b.plugin.Options(s)...)...)
	if err != nil {
		return nil, err
	}
	for name := range g.marks {
		if _, ok := r.marks[name]; !ok && (name != markExit || len(r.ticks) == 0) {
			return nil, fmt.Errorf("%s did not come past its mark %q", g.system, name)
		}
	}
	return r, nil
}
