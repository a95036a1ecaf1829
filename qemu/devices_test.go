package qemu_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/goos"
	"github.com/goshawk-os/goshawk/qemu"
)

// TestDevices shows on each kind of machine that devices are found in the order of QEMU's command line,
// that what cannot be used is named, and that the random generator is fed by an entropy device.
func TestDevices(t *testing.T) {
	image := filepath.Join(t.TempDir(), "devices.elf")
	var messages bytes.Buffer
	_, err := goos.Build(t.Context(), goos.BuildOptions{Package: "./guest/devices", Output: image, Stdout: &messages, Stderr: &messages})
	require.NoError(t, err, messages.String())

	boot := func(t *testing.T, kind qemu.Kind, cpus int, devices ...string) (console, trace string) {
		var trouble bytes.Buffer
		r := qemu.Run(t, image, qemu.On(kind), qemu.CPUs(cpus), qemu.Extra("-trace", "virtio_rng_pushed"),
			qemu.Extra(devices...), func(m *qemu.Machine) { m.Messages = &trouble })
		require.NoError(t, r.Err)
		require.Zero(t, r.Status)
		return strings.ReplaceAll(r.Console, "\r\n", "\n"), trouble.String()
	}
	const pushed = "virtio_rng_pushed rng"
	for _, kind := range qemu.Kinds {
		bus := "-pci"
		unusable := []string{"-device", "e1000,netdev=n2,romfile=", "-netdev", "user,id=n2"}
		report := "report: PCI 00:0%d.0 (8086:100e): a network card without a driver; use virtio-net-pci\n"
		slot := map[qemu.Kind]int{qemu.Q35: 4, qemu.PC: 5}[kind] // behind the bridge, the networks and the entropy device
		if kind == qemu.Microvm {
			bus, unusable, report = "-device", nil, ""
		} else {
			report = fmt.Sprintf(report, slot)
		}
		for _, cpus := range []int{1, 2, 4} {
			t.Run(fmt.Sprintf("%s-%d", kind, cpus), func(t *testing.T) {
				console, trace := boot(t, kind, cpus, append([]string{
					"-netdev", "user,id=n0", "-netdev", "user,id=n1",
					"-device", "virtio-net" + bus + ",netdev=n1,mac=02:00:00:00:00:01",
					"-device", "virtio-net" + bus + ",netdev=n0,mac=02:00:00:00:00:02",
					"-device", "virtio-rng" + bus,
				}, unusable...)...)
				head, stacks, _ := strings.Cut(console, "goroutine 1 [running]:\n")
				assert.Equal(t, report+"network 0: 020000000001\nnetwork 1: 020000000002\ngoroutines: 1\n", head)
				assert.NotContains(t, stacks, "\ngoroutine ")
				assert.Equal(t, 1, strings.Count(trace, pushed), trace)
				assert.Contains(t, trace, "32 bytes")
			})
		}
	}
	t.Run("none", func(t *testing.T) {
		console, trace := boot(t, qemu.Q35, 1)
		assert.Contains(t, console, "no network\n")
		assert.NotContains(t, trace, pushed)
	})
	t.Run("legacy microvm", func(t *testing.T) {
		console, _ := boot(t, qemu.Microvm, 1, "-global", "virtio-mmio.force-legacy=on",
			"-netdev", "user,id=n0", "-device", "virtio-net-device,netdev=n0")
		assert.Contains(t, console, "report: virtio-mmio at 0xfeb02e00: the device has only the legacy interface; "+
			"in QEMU, set -global virtio-mmio.force-legacy=off\nno network\n")
	})
	t.Run("microvm without ACPI", func(t *testing.T) {
		// QEMU names the devices on the command line then, behind the program's arguments.
		console, trace := boot(t, qemu.Microvm, 1, "-machine", "acpi=off",
			"-netdev", "user,id=n0", "-device", "virtio-net-device,netdev=n0,mac=02:00:00:00:00:01", "-device", "virtio-rng-device")
		assert.Contains(t, console, "network 0: 020000000001\n")
		assert.Contains(t, trace, pushed)
	})
	t.Run("deadlock", func(t *testing.T) {
		// The goroutine that waits for an entropy device, here for ever, keeps no program alive.
		r := qemu.Run(t, image, qemu.CPUs(2), qemu.Args("wait"), qemu.Extra("-chardev", "null,id=nothing",
			"-object", "rng-egd,id=silent,chardev=nothing", "-device", "virtio-rng-device,rng=silent"))
		require.NoError(t, r.Err)
		assert.Equal(t, 2, r.Status)
		assert.Contains(t, r.Console, "fatal error: all goroutines are asleep - deadlock!")
	})
	t.Run("legacy PCI", func(t *testing.T) {
		console, _ := boot(t, qemu.PC, 1, "-netdev", "user,id=n0", "-device", "virtio-net-pci,netdev=n0,disable-modern=on,romfile=")
		assert.Regexp(t, `report: PCI device 00:0\d\.0 \(1af4:1000\): .*do not set disable-modern\nno network\n`, console)
	})
}
