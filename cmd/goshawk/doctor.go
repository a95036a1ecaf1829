package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	goversion "go/version"

	"github.com/goshawk-os/goshawk/goos"
	"github.com/goshawk-os/goshawk/qemu"
)

// minimumQEMU is the oldest supported release.
const minimumQEMU = "7.2"

func doctorCommand() *command {
	return &command{
		name:  "doctor",
		short: "say what is missing here, and how to get it",
		long: `
Doctor looks for what goshawk needs: a supported Go, QEMU, a writable cache
directory. It says whether KVM works; without it guests run, more slowly, under
QEMU's translator. The exit status is 1 if something needed is missing.`,
		flags: flag.NewFlagSet("doctor", flag.ContinueOnError),
		run: func(args []string) (int, error) {
			if len(args) > 0 {
				return 0, usagef("unexpected argument %q", args[0])
			}
			ctx, done := building()
			defer done()
			status := 0
			for _, check := range []func(context.Context) (string, bool){checkGo, checkQEMU, checkKVM, checkCache} {
				text, ok := check(ctx)
				fmt.Println(text)
				if !ok {
					status = statusFailed
				}
			}
			return status, nil
		},
	}
}

func checkGo(ctx context.Context) (string, bool) {
	t, err := goos.Find(ctx, ".")
	if err != nil {
		return "Go: " + oneLine(err), false
	}
	return fmt.Sprintf("Go: %s, supported", t.Version), true
}

func checkQEMU(ctx context.Context) (string, bool) {
	path, v, err := qemuVersion(ctx)
	if err != nil {
		return oneLine(err), false
	}
	// A QEMU version has the form of a Go version.
	if goversion.Compare("go"+v, "go"+minimumQEMU) < 0 {
		return fmt.Sprintf("QEMU: %s is version %s; goshawk supports %s and newer: %s", path, v, minimumQEMU, qemu.InstallCommand), false
	}
	return fmt.Sprintf("QEMU: %s, version %s", path, v), true
}

// checkKVM never fails: nothing needs KVM.
func checkKVM(ctx context.Context) (string, bool) {
	path, err := qemu.Find()
	if err != nil {
		return "KVM: not tried without QEMU", true
	}
	model, err := qemu.ProbeKVM(ctx, path)
	switch {
	case err == nil:
		return fmt.Sprintf("KVM: works (-cpu %s)", model), true
	case os.IsPermission(err):
		return "KVM: not usable by this user; guests run under TCG, more slowly. To use it: sudo usermod -aG kvm $USER, and log in again", true
	case os.IsNotExist(err):
		return "KVM: this machine has no /dev/kvm; guests run under TCG, more slowly", true
	}
	return "KVM: does not work; guests run under TCG, more slowly: " + oneLine(err), true
}

func checkCache(context.Context) (string, bool) {
	base, err := os.UserCacheDir()
	if err != nil {
		return fmt.Sprintf("Cache: no directory: %v; set HOME or XDG_CACHE_HOME", err), false
	}
	dir := filepath.Join(base, "goshawk")
	if err = os.MkdirAll(dir, 0o777); err == nil {
		var f *os.File
		if f, err = os.CreateTemp(dir, "doctor-"); err == nil {
			f.Close()
			err = os.Remove(f.Name())
		}
	}
	if err != nil {
		return fmt.Sprintf("Cache: not writable: %s; set XDG_CACHE_HOME to a directory that is", strings.TrimSpace(err.Error())), false
	}
	return "Cache: " + dir, true
}
