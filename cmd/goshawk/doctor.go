package main

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

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
directory. It says whether KVM works, without which guests run, more slowly, under
QEMU's translator, and which ways into the network there are: user networking,
tap devices, ports. The exit status is 1 if something needed is missing.`,
		flags: flag.NewFlagSet("doctor", flag.ContinueOnError),
		run: func(args []string) (int, error) {
			if len(args) > 0 {
				return 0, usagef("unexpected argument %q", args[0])
			}
			ctx, done := building()
			defer done()
			status := 0
			for _, check := range []func(context.Context) (string, bool){checkGo, checkQEMU, checkKVM, checkUserNetworking, checkTap, checkPorts, checkCache} {
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

// checkUserNetworking fails since goshawk run needs it, if not told otherwise.
func checkUserNetworking(ctx context.Context) (string, bool) {
	path, err := qemu.Find()
	if err != nil {
		return "User networking: not tried without QEMU", true
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "-netdev", "help").Output()
	if err != nil {
		return fmt.Sprintf("User networking: %s -netdev help: %v", path, err), false
	}
	if !slices.Contains(strings.Fields(string(out)), "user") {
		return "User networking: this QEMU was built without it (libslirp); run programs with -net none or -net tap=NAME, or install another QEMU", false
	}
	return "User networking: works", true
}

// checkTap never fails: only -net tap= needs it.
func checkTap(context.Context) (string, bool) {
	if err := qemu.CheckTapSupport(); err != nil {
		return "Tap devices: " + oneLine(err), true
	}
	return "Tap devices: can be used; goshawk run -net tap=NAME says how to make one", true
}

// checkPorts never fails: goshawk run -p chooses a port that is free.
func checkPorts(context.Context) (string, bool) {
	f := qemu.Forward{Guest: 80}
	places := []string{}
	for _, port := range []uint16{80, 8080} {
		f.Host = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
		if err := f.Free(); err != nil {
			places = append(places, oneLine(err))
		} else {
			places = append(places, fmt.Sprintf("%d is free", port))
		}
	}
	return "Ports for -p: " + strings.Join(places, "; "), true
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
