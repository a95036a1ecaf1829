// Package plugin counts the instructions of guests, by a plugin for QEMU's translator (TCG).
package plugin

import (
	"bufio"
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/goshawk-os/goshawk/qemu"
)

//go:embed src/insn.c
var source []byte

// A Plugin is the plugin, built for one QEMU program.
type Plugin struct {
	path string
}

// Build compiles the plugin into dir with the C compiler $CC, or cc.
func Build(ctx context.Context, dir string) (*Plugin, error) {
	binary, err := qemu.Find()
	if err != nil {
		return nil, err
	}
	version, err := apiVersion(ctx, binary)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "insn.c")
	if err := os.WriteFile(file, source, 0o666); err != nil {
		return nil, err
	}
	cc := os.Getenv("CC")
	if cc == "" {
		cc = "cc"
	}
	path := filepath.Join(dir, "insn.so")
	cmd := exec.CommandContext(ctx, cc, "-shared", "-fPIC", "-O2", "-Wall", "-pthread", "-fvisibility=hidden",
		"-DAPI_VERSION="+strconv.Itoa(version), "-o", path, file)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building QEMU's plugin: %w: %s (a C compiler is needed: apt-get install -y gcc libc6-dev)", err, out)
	}
	return &Plugin{path}, nil
}

// apiVersion returns the version of the plugin interface that a QEMU program takes.
func apiVersion(ctx context.Context, binary string) (int, error) {
	out, err := exec.CommandContext(ctx, binary, "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("%s --version: %w", binary, err)
	}
	var major int
	_, rest, _ := strings.Cut(string(out), "version ")
	if _, err := fmt.Sscanf(rest, "%d.", &major); err != nil {
		return 0, fmt.Errorf("%s --version does not say its version: %q", binary, out)
	}
	if major < 9 {
		return 1, nil
	}
	return 2, nil
}

// Settings say what the plugin does.
type Settings struct {
	Marks  map[string]uint64 // virtual addresses whose first execution is a mark of that name
	Every  time.Duration     // whole seconds between marks named "tick", 0 for none
	Timing bool              // do not count, so that the times are true
	Blocks bool              // count whole blocks: faster, not exact where blocks fault

	Profile string // file for the instructions executed by address, for ParseProfile; "" for none
}

// Options returns options for a machine that loads the plugin. It runs under TCG. Its output, for
// Parse, are QEMU's messages: Machine.Messages.
func (p *Plugin) Options(s Settings) []qemu.Option {
	arg := "file=" + p.path
	for name, address := range s.Marks {
		arg += fmt.Sprintf(",%s=%#x", name, address)
	}
	if s.Every > 0 {
		arg += fmt.Sprintf(",every=%d", int(s.Every.Seconds()))
	}
	if s.Timing {
		arg += ",count=off"
	}
	if s.Blocks {
		arg += ",count=blocks"
	}
	if s.Profile != "" {
		arg += ",profile=" + s.Profile
	}
	return []qemu.Option{qemu.Using(qemu.TCG), qemu.Extra("-plugin", arg)}
}

// A Mark is a moment in the life of a guest.
type Mark struct {
	Name         string    // of Settings.Marks; "tick", or "end" for the end of QEMU
	Instructions uint64    // executed by all CPUs since the start of the machine
	Time         time.Time // on the host
}

// Parse returns the marks in QEMU's messages, in their order.
func Parse(messages string) ([]Mark, error) {
	var marks []Mark
	for line := range strings.Lines(messages) {
		rest, ok := strings.CutPrefix(line, "insn ")
		if !ok {
			continue
		}
		var m Mark
		var nanoseconds int64
		if _, err := fmt.Sscanf(rest, "%s %d %d\n", &m.Name, &m.Instructions, &nanoseconds); err != nil {
			return nil, fmt.Errorf("a line of QEMU's plugin that is none: %q", line)
		}
		m.Time = time.Unix(0, nanoseconds)
		marks = append(marks, m)
	}
	return marks, nil
}

// A Section is what the guest executed between two marks.
type Section struct {
	Mark         string            // the one at its end
	Instructions map[uint64]uint64 // by virtual address
}

// ParseProfile returns the sections of the file Settings.Profile.
func ParseProfile(r io.Reader) ([]Section, error) {
	var sections []Section
	counts := make(map[uint64]uint64)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var mark string
		var address, n uint64
		if _, err := fmt.Sscanf(lines.Text(), "mark %s", &mark); err == nil {
			sections = append(sections, Section{mark, counts})
			counts = make(map[uint64]uint64)
		} else if _, err := fmt.Sscanf(lines.Text(), "%v %d", &address, &n); err == nil {
			counts[address] += n
		} else {
			return nil, fmt.Errorf("a line of a profile that is none: %q", lines.Text())
		}
	}
	return sections, lines.Err()
}
