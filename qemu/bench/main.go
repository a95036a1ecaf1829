//go:build linux && amd64

// Bench measures Goshawk and, side by side in the same run, Debian's cloud kernel with the same static
// Go programs, and prints a table.
//
// Usage: go run ./qemu/bench [flags]
//
// Both guests are booted by PVH with the same QEMU command line; the programs are the first process of
// Linux. The kernel comes from apt and is kept in the user's cache directory. Instructions are counted
// by a plugin of QEMU's translator.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/goshawk-os/goshawk/qemu"
	"github.com/goshawk-os/goshawk/qemu/plugin"
)

// Packages of the measured programs.
const (
	hello         = "github.com/goshawk-os/goshawk/cmd/hello"
	suite         = "github.com/goshawk-os/goshawk/qemu/bench/suite"
	initPackage   = "github.com/goshawk-os/goshawk/qemu/bench/init"
	serverPackage = "github.com/goshawk-os/goshawk/qemu/bench/server"
)

// A bench is one run of this program.
type bench struct {
	ctx    context.Context
	dir    string // for temporary files
	runs   int
	short  bool
	accel  qemu.Accel // for what needs no plugin
	clock  uint64     // the host's time stamp counter in kHz
	plugin *plugin.Plugin
	kernel linuxKernel

	// Goshawk and Linux with each program; the stripped ones have no debug information.
	hello, suite, server, stripped []*guest
}

func main() {
	b := &bench{accel: qemu.Auto, clock: hostClock()}
	flag.IntVar(&b.runs, "runs", 5, "`number` of runs of what is timed")
	flag.BoolVar(&b.short, "short", false, "a fast subset: one run, no search for the smallest memory, no idle guests")
	kernel := flag.String("linux", "", "a Linux kernel to compare with, an ELF `file` with a PVH note (default Debian's, by apt)")
	flag.Func("accel", "the `accelerator` (kvm, tcg or auto) for what is not counted in instructions (default auto)", func(s string) error {
		b.accel = qemu.Accel(s)
		return (&qemu.Machine{Accel: b.accel}).Check()
	})
	only := flag.String("only", "", "measure only `what`: program or network")
	profiles := flag.Bool("profile", false, "compare nothing: list the functions that Goshawk executes from entry to exit, when idle, and for a request")
	flag.Usage = func() {
		fmt.Fprint(os.Stderr, "usage: go run ./qemu/bench [flags]\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 || b.runs < 1 || !slices.Contains([]string{"", onlyProgram, onlyNetwork}, *only) {
		flag.Usage()
		os.Exit(2)
	}
	if b.short {
		b.runs = 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b.ctx = ctx
	if err := b.run(*kernel, *only, *profiles); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// Values of -only.
const (
	onlyProgram = "program"
	onlyNetwork = "network"
)

func (b *bench) run(kernel, only string, profiles bool) (err error) {
	if b.dir, err = os.MkdirTemp("", "goshawk-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if b.plugin, err = plugin.Build(b.ctx, b.dir); err != nil {
		return err
	}
	b.kernel = linuxKernel{name: kernel, file: kernel}
	if kernel == "" && !profiles {
		if b.kernel, err = debianKernel(b.ctx); err != nil {
			return err
		}
	}
	note("building")
	type program struct {
		pkg     string
		marks   map[string]string
		ldflags string
		network bool
		guests  *[]*guest
	}
	var programs []program
	if only != onlyNetwork {
		programs = append(programs, program{hello, mainMarks, "", false, &b.hello}, program{suite, mainMarks, "", false, &b.suite})
	}
	if only != onlyProgram {
		programs = append(programs, program{serverPackage, serverMarks, "", true, &b.server}, program{serverPackage, nil, "-s -w", true, &b.stripped})
	}
	for _, p := range programs {
		g, err := b.buildGoshawk(p.pkg, p.marks, p.ldflags)
		if err != nil {
			return err
		}
		*p.guests = []*guest{g}
		if profiles {
			continue
		}
		if g, err = b.buildLinux(p.pkg, p.marks, p.ldflags, p.network); err != nil {
			return err
		}
		*p.guests = append(*p.guests, g)
	}
	if profiles {
		return b.printProfiles(os.Stdout, only)
	}
	if err := b.printHost(programs[0].guests); err != nil {
		return err
	}
	print := func(t table) { t.print(os.Stdout) }
	if only != onlyNetwork {
		if err := b.program(print); err != nil {
			return err
		}
	}
	if only != onlyProgram {
		return b.network(print)
	}
	return nil
}

// program measures what a program without a network gets.
func (b *bench) program(print func(table)) error {
	measures := []func() (table, error){b.boot, b.size}
	if !b.short {
		measures = append(measures, b.memory, b.idle)
	}
	measures = append(measures, b.countSuite)
	for _, cpus := range []int{1, 2} {
		measures = append(measures, func() (table, error) { return b.runSuite(cpus) })
	}
	for _, measure := range measures {
		t, err := measure()
		if err != nil {
			return err
		}
		print(t)
	}
	return nil
}

// note tells what is going on.
func note(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// printHost says where the numbers are from.
func (b *bench) printHost(guests *[]*guest) error {
	binary, err := qemu.Find()
	if err != nil {
		return err
	}
	version, err := exec.CommandContext(b.ctx, binary, "--version").Output()
	if err != nil {
		return fmt.Errorf("%s --version: %w", binary, err)
	}
	first, _, _ := strings.Cut(string(version), "\n")
	accel := b.accel
	if accel == qemu.Auto {
		accel = qemu.TCG
		if _, err := qemu.ProbeKVM(b.ctx, binary); err == nil {
			accel = qemu.KVM
		}
	}
	runs := "median (best) of " + plural(b.runs, "run")
	fmt.Printf("%s; %s; accelerator %s; %s; Linux: %s; %s\n", plural(runtime.NumCPU(), "host CPU"), first, accel, (*guests)[0].goVersion, b.kernel.name, runs)
	return nil
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
