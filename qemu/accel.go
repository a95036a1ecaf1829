package qemu

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/goshawk-os/goshawk/qemu/internal/stub"
)

// An engine is an accelerator as QEMU is told of it.
type engine struct {
	accel Accel  // KVM or TCG
	cpu   string // the value of -cpu
}

var tcgEngine = engine{TCG, "max"}

// kvmModels are the values of -cpu that the probe tries in turn. Some hosts refuse to have the MSR
// IA32_ARCH_CAPABILITIES set, which the plain host model does.
var kvmModels = []string{"host", "host,arch-capabilities=off"}

// probeTimeout is far above what the probe's guest takes, some 30 ms.
const probeTimeout = 3 * time.Second

// resolve chooses the engine for an accelerator.
func resolve(ctx context.Context, binary string, a Accel) (engine, error) {
	if a == TCG {
		return tcgEngine, nil
	}
	model, err := ProbeKVM(ctx, binary)
	switch {
	case ctx.Err() != nil:
		return engine{}, ctx.Err()
	case err == nil:
		return engine{KVM, model}, nil
	case a == Auto:
		return tcgEngine, nil
	}
	return engine{}, fmt.Errorf("KVM does not work here: %w; use -accel tcg", err)
}

// A probed value is what ProbeKVM found.
type probed struct {
	Model  string // the value of -cpu, "" if KVM does not work
	Reason string // why it does not
}

var (
	probeLock  sync.Mutex
	probeKnown = make(map[string]probed) // by QEMU program
)

// ProbeKVM returns the value of -cpu with which this QEMU program runs a guest under KVM. The device
// /dev/kvm may be there and not work, so the probe boots a tiny guest. The answer is kept, for this
// process and in the user's cache directory, as long as QEMU, the device and the host's start are
// the same.
func ProbeKVM(ctx context.Context, binary string) (model string, err error) {
	probeLock.Lock()
	defer probeLock.Unlock()
	found, ok := probeKnown[binary]
	if !ok {
		device, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
		if err != nil {
			return "", err
		}
		device.Close()
		file := probeFile(binary)
		if text, err := os.ReadFile(file); err != nil || json.Unmarshal(text, &found) != nil {
			if found, err = probe(ctx, binary); err != nil {
				return "", err
			}
			saveProbe(file, found)
		}
		probeKnown[binary] = found
	}
	if found.Model == "" {
		return "", errors.New(found.Reason)
	}
	return found.Model, nil
}

// probeFile returns the path where the answer for this program is kept, "" for nowhere. Its name is
// a hash of all that the answer depends on.
func probeFile(binary string) string {
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s %q %d %x", boot, kvmModels, os.Getuid(), probeStub)
	for _, name := range []string{binary, "/dev/kvm"} {
		stat, err := os.Stat(name)
		if err != nil {
			return ""
		}
		fmt.Fprintf(h, " %s %v %d %v", name, stat.Mode(), stat.Size(), stat.ModTime())
	}
	return filepath.Join(cache, "goshawk", "kvm", fmt.Sprintf("%.12x.json", h.Sum(nil)))
}

// saveProbe keeps an answer. Without a place for it the next process probes again.
func saveProbe(file string, p probed) {
	text, err := json.Marshal(p)
	if file == "" || err != nil || os.MkdirAll(filepath.Dir(file), 0o777) != nil {
		return
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), "tmp-")
	if err != nil {
		return
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(text)
	if tmp.Close() == nil && err == nil {
		os.Rename(tmp.Name(), file)
	}
}

// probeSays is what the probe's guest prints.
const probeSays = "64-bit mode\n"

var probeStub = stub.New(stub.Say(probeSays), stub.Status(0))

// probe boots the tiny guest. Its error is one of the probe itself, not an answer.
func probe(ctx context.Context, binary string) (probed, error) {
	file, err := os.CreateTemp("", "goshawk-probe-")
	if err != nil {
		return probed{}, err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(probeStub)
	if err := errors.Join(err, file.Close()); err != nil {
		return probed{}, err
	}
	var reason string
	for _, model := range kvmModels {
		var output bytes.Buffer
		m, err := (&Machine{Kernel: file.Name(), Binary: binary, Accel: KVM, Memory: 16 * MiB, Timeout: probeTimeout, Output: &output}).defaults()
		if err != nil {
			return probed{}, err
		}
		p, err := m.start(ctx, engine{KVM, model})
		if err != nil {
			return probed{}, err
		}
		_, err = p.Wait()
		switch {
		case ctx.Err() != nil:
			return probed{}, ctx.Err()
		case err == nil && output.String() == probeSays:
			return probed{Model: model}, nil
		case err == nil:
			reason = "the probe's guest did not print what it should"
		default:
			reason = strings.TrimLeft(strings.TrimPrefix(err.Error(), ErrNoStatus.Error()), ": ")
		}
	}
	return probed{Reason: reason}, nil
}
