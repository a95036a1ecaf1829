package main

import (
	"context"
	"flag"
	"fmt"
	"os/exec"
	"runtime/debug"
	"strings"
	"time"

	"github.com/goshawk-os/goshawk/goos"
	"github.com/goshawk-os/goshawk/qemu"
)

func versionCommand() *command {
	return &command{
		name:  "version",
		short: "print the versions of goshawk, Go and QEMU",
		long:  "Version prints the versions of goshawk, and of the Go and QEMU it would use here.",
		flags: flag.NewFlagSet("version", flag.ContinueOnError),
		run: func(args []string) (int, error) {
			if len(args) > 0 {
				return 0, usagef("unexpected argument %q", args[0])
			}
			ctx, done := building()
			defer done()
			fmt.Println("goshawk", ownVersion())
			if t, err := goos.Find(ctx, "."); err != nil {
				fmt.Println("go: none:", oneLine(err))
			} else {
				fmt.Println(t.Version)
			}
			if _, v, err := qemuVersion(ctx); err != nil {
				fmt.Println("QEMU: none:", oneLine(err))
			} else {
				fmt.Println("QEMU", v)
			}
			return 0, nil
		},
	}
}

// ownVersion is the module's version, or the commit goshawk was built from.
func ownVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)"
	}
	return info.Main.Version
}

// qemuVersion returns QEMU's path and version.
func qemuVersion(ctx context.Context) (path, version string, err error) {
	path, err = qemu.Find()
	if err != nil {
		return "", "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "", "", fmt.Errorf("%s --version: %w", path, err)
	}
	// "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)"
	_, rest, ok := strings.Cut(string(out), "version ")
	fields := strings.Fields(rest)
	if !ok || len(fields) == 0 {
		return "", "", fmt.Errorf("%s --version does not say its version: %q", path, out)
	}
	return path, fields[0], nil
}
