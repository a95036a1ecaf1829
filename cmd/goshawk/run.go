package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goshawk-os/goshawk/goos"
	"github.com/goshawk-os/goshawk/qemu"
)

func runCommand() *command {
	var (
		b       buildFlags
		m       machineFlags
		timeout time.Duration
	)
	fs := flag.NewFlagSet("run", flag.ContinueOnError)
	m.define(fs, 1, qemu.DefaultMemory)
	m.network.definePorts(fs)
	fs.StringVar(&m.gdb, "gdb", "", "serve gdb at `port` (or host:port), and wait for it before the first instruction")
	fs.DurationVar(&timeout, "timeout", 0, "end the machine after this `time`, such as 30s, with status 124")
	b.define(fs)
	return &command{
		name:  "run",
		usage: "[flags] PACKAGE|IMAGE [--] [arguments]",
		short: "build a program and boot it in QEMU",
		long: `
Run builds a main package, or takes an image that goshawk build has made, and
boots it in QEMU. PACKAGE is a directory, an import path or .go file as for go
run, in any module on disk, or path@version from the module proxy.

The program's console is on standard input and output. Ctrl-C sends it SIGINT,
a second Ctrl-C ends the machine. The exit status is the program's own; 124 if
-timeout ended it, 125 if it ended without a status. The program's environment
is empty but for -env.
` + networkHelp + diskHelp + shareHelp,
		examples: `	goshawk run ./cmd/hello
	goshawk run -p 80 ./cmd/httpd
	goshawk run -cpus 4 -mem 1G -p 0.0.0.0:8080:80 -env GODEBUG=gctrace=1 ./server -- -addr :80
	goshawk run -net tap=tap0,addr=10.0.0.2/24,gw=10.0.0.1,dns=9.9.9.9 ./server
	goshawk run -disk data.img:/data,size=1G ./server
	goshawk run -share .:/src,ro -share out:/out ./tool
	goshawk run -root ./files example.org/tool@latest arg
	goshawk build -o hello.elf ./cmd/hello && goshawk run hello.elf
	goshawk run -gdb 1234 ./cmd/hello
`,
		flags: fs,
		run: func(args []string) (int, error) {
			if len(args) == 0 {
				return 0, usagef("which program? Name a package or an image")
			}
			if timeout < 0 {
				return 0, usagef("-timeout %v is negative", timeout)
			}
			pkg, args := args[0], args[1:]
			if len(args) > 0 && args[0] == "--" {
				args = args[1:]
			}
			vm, err := m.new()
			if err != nil {
				return 0, err
			}
			image, name := pkg, filepath.Base(pkg)
			var sources []goos.PathPair
			if isImage(pkg) {
				if b != (buildFlags{verbose: b.verbose}) {
					return 0, usagef("%s is an image: -tags, -ldflags, -trimpath and -root are for packages", pkg)
				}
			} else {
				tmp, err := os.MkdirTemp("", "goshawk-run-")
				if err != nil {
					return 0, err
				}
				defer os.RemoveAll(tmp)
				ctx, done := building()
				result, err := goos.Build(ctx, b.options(pkg, tmp+string(filepath.Separator)))
				done()
				if err != nil {
					return 0, err
				}
				if sources, err = result.Toolchain.SourceMap(result.Overlay); err != nil {
					return 0, err
				}
				image = result.Output
				name = strings.TrimSuffix(filepath.Base(image), ".elf")
			}
			if err := insert(vm, image); err != nil {
				return 0, err
			}
			vm.Args, vm.Argv0, vm.Timeout = args, name, timeout
			vm.Input, vm.Output = os.Stdin, os.Stdout
			if b.verbose {
				vm.Verbose, vm.Messages = printCommand, os.Stderr
			}
			if vm.GDB != "" {
				if err := showGDB(vm, sources); err != nil {
					return 0, err
				}
			}
			if err := formatDisks(vm.Disks); err != nil {
				return 0, err
			}
			announce(vm, os.Stderr)
			return boot(vm)
		},
	}
}

// isImage reports whether an argument of goshawk run is a file and not a package.
func isImage(name string) bool {
	stat, err := os.Stat(name)
	return err == nil && !stat.IsDir() && !strings.HasSuffix(name, ".go")
}

// showGDB says how to reach a machine by gdb, with the places of the sources that lie elsewhere than
// the program's debug information says.
func showGDB(vm *qemu.Machine, sources []goos.PathPair) error {
	script := vm.Kernel + ".gdb"
	var b strings.Builder
	for _, p := range sources {
		fmt.Fprintf(&b, "set substitute-path %s %s\n", p.From, p.To)
	}
	fmt.Fprintf(&b, "target remote %s\n", vm.GDB)
	if err := os.WriteFile(script, []byte(b.String()), 0o666); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "goshawk: the machine waits for: gdb -x %s %s\n", script, vm.Kernel)
	return nil
}
