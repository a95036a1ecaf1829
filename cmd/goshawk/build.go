package main

import (
	"flag"

	"github.com/goshawk-os/goshawk/goos"
)

func buildCommand() *command {
	var (
		b      buildFlags
		output string
	)
	fs := flag.NewFlagSet("build", flag.ContinueOnError)
	fs.StringVar(&output, "o", "", "write the image to `file`, or below it if it is a directory (default the program's name with .elf)")
	b.define(fs)
	return &command{
		name:  "build",
		usage: "[flags] [PACKAGE]",
		short: "build a bootable image",
		long: `
Build makes one bootable file of a main package and the kernel: an ELF
executable with a PVH entry. PACKAGE is as for goshawk run; the default is the
current directory. goshawk run boots the image, and so does QEMU alone:

	qemu-system-x86_64 -M microvm -kernel file -nodefaults -serial stdio \
		-display none -no-reboot

with a network, whose port 80 answers at port 8080 of this machine, if it has

	-global virtio-mmio.force-legacy=off -device virtio-net-device,netdev=n \
		-netdev user,id=n,hostfwd=tcp:127.0.0.1:8080-:80

An image is 0.8 MB smaller with -tags goshawk_nodisks, and then has neither disks
nor shares.`,
		examples: `	goshawk build -o hello.elf ./cmd/hello
	goshawk build -trimpath -ldflags '-s -w' -root ./files ./server
`,
		flags: fs,
		run: func(args []string) (int, error) {
			pkg := "."
			switch len(args) {
			case 0:
			case 1:
				pkg = args[0]
			default:
				return 0, usagef("one package at a time; flags come before it")
			}
			ctx, done := building()
			defer done()
			_, err := goos.Build(ctx, b.options(pkg, output))
			return 0, err
		},
	}
}
