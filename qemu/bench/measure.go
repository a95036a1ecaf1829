//go:build linux && amd64

package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/goshawk-os/goshawk/qemu"
	"github.com/goshawk-os/goshawk/qemu/plugin"
)

// How runs end. Counting takes its time.
var (
	helloTimed   = expectation{time.Minute, "go1."}
	helloCounted = expectation{5 * time.Minute, "go1."}
	idleCounted  = expectation{5 * time.Minute, "idle"}
	suiteEnds    = expectation{10 * time.Minute, "done"}
)

const suiteMemory = 512 * qemu.MiB

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// boot measures how cmd/hello starts and ends.
func (b *bench) boot() (table, error) {
	t := table{title: "cmd/hello, 1 CPU, 256 MiB"}
	for run := range b.runs {
		note("boot %d", run+1)
		for _, g := range b.hello {
			r, err := g.run(b.ctx, b.clock, helloTimed, nil, qemu.Using(b.accel))
			if err != nil {
				return t, err
			}
			t.row("QEMU start to first output", "ms", "").add(g, milliseconds(r.first.Sub(r.start)))
			if r, err = b.runWith(g, plugin.Settings{Timing: true}, helloTimed, nil); err != nil {
				return t, err
			}
			t.row("QEMU start to main, TCG", "ms", "").add(g, milliseconds(r.marks[markMain].Time.Sub(r.start)))
			t.row("guest entry to main, TCG", "ms", "").add(g, milliseconds(r.marks[markMain].Time.Sub(r.marks[markEntry].Time)))
		}
	}
	for _, g := range b.hello {
		note("counting instructions: %s", g.system)
		r, err := b.runWith(g, plugin.Settings{}, helloCounted, nil)
		if err != nil {
			return t, err
		}
		count := func(mark string) float64 {
			return float64(r.marks[mark].Instructions - r.marks[markEntry].Instructions)
		}
		t.row("guest entry to main", "instructions", "").add(g, count(markMain))
		t.row("guest entry to the program's exit", "instructions", "≤ 2,000,000").add(g, count(markExit))
		if g.reports {
			t.row("guest entry to power-off", "instructions", "≤ 2,000,000").add(g, count("end"))
		}
	}
	return t, nil
}

// size measures files.
func (b *bench) size() (table, error) {
	t := table{title: "Size of cmd/hello"}
	var plain int64
	for _, g := range b.hello {
		if g.exe != g.kernel {
			plain = g.files[g.exe]
		}
		t.row("what QEMU loads", "MiB", "").add(g, float64(g.loaded())/float64(qemu.MiB))
	}
	for _, g := range b.hello {
		t.row("over the plain static executable", "MiB", "≤ 2").add(g, float64(g.loaded()-plain)/float64(qemu.MiB))
	}
	return t, nil
}

// memory searches for the smallest memory in which cmd/hello runs.
func (b *bench) memory() (table, error) {
	t := table{title: "Memory of cmd/hello"}
	for _, g := range b.hello {
		works, err := smallest(func(size qemu.Size) bool {
			_, err := g.run(b.ctx, b.clock, helloTimed, nil, qemu.Using(b.accel), qemu.Memory(size))
			note("%s in %v: %t", g.system, size, err == nil)
			return err == nil
		})
		if err := errors.Join(err, b.ctx.Err()); err != nil {
			return t, err
		}
		t.row("smallest -m in which it runs", "MiB", "≤ 16").add(g, float64(works/qemu.MiB))
	}
	return t, nil
}

// smallest searches for the smallest memory of a machine that works.
func smallest(works func(qemu.Size) bool) (qemu.Size, error) {
	too, enough := qemu.Size(0), 256*qemu.MiB
	if !works(enough) {
		return 0, fmt.Errorf("it does not work with %v", enough)
	}
	for enough-too > qemu.MiB {
		size := (too + enough) / 2 &^ (qemu.MiB - 1)
		if works(size) {
			enough = size
		} else {
			too = size
		}
	}
	return enough, nil
}

// idle counts the instructions of guests whose program sleeps.
func (b *bench) idle() (table, error) {
	const (
		settle  = 3 * time.Second
		measure = 10 * time.Second
	)
	t := table{title: "Idle, program asleep"}
	for _, cpus := range []int{1, 2} {
		for _, g := range b.suite {
			note("idle: %s, %s", g.system, plural(cpus, "CPU"))
			args := []string{"idle", (settle + measure + 3*time.Second).String()}
			r, err := b.runWith(g, plugin.Settings{Every: time.Second}, idleCounted, args, qemu.CPUs(cpus))
			if err != nil {
				return t, err
			}
			rate, err := idleRate(r.marks[markMain].Time, r.ticks, settle, measure)
			if err != nil {
				return t, fmt.Errorf("%s: %w", g.system, err)
			}
			t.row(plural(cpus, "CPU"), "instructions/s", "≤ 10,000").add(g, rate)
		}
	}
	return t, nil
}

// idleRate returns the instructions per second for a time that begins settle after the program has
// gone to sleep.
func idleRate(asleep time.Time, ticks []plugin.Mark, settle, measure time.Duration) (float64, error) {
	begin := asleep.Add(settle)
	var first *plugin.Mark
	for i, tick := range ticks {
		if first == nil && !tick.Time.Before(begin) {
			first = &ticks[i]
		}
		if first != nil && tick.Time.Sub(first.Time) >= measure {
			return float64(tick.Instructions-first.Instructions) / tick.Time.Sub(first.Time).Seconds(), nil
		}
	}
	return 0, fmt.Errorf("it was not idle for %v", measure)
}

// runSuite runs the suite, timed.
func (b *bench) runSuite(cpus int) (table, error) {
	t := table{title: fmt.Sprintf("CPU/GC suite, %s, %v", plural(cpus, "CPU"), suiteMemory)}
	each := "300ms"
	if b.short {
		each = "100ms"
	}
	for run := range b.runs {
		for _, g := range b.suite {
			note("suite, %s, run %d: %s", plural(cpus, "CPU"), run+1, g.system)
			r, err := g.run(b.ctx, b.clock, suiteEnds, []string{each}, qemu.Using(b.accel), qemu.CPUs(cpus), qemu.Memory(suiteMemory))
			if err == nil {
				err = t.addSuite(g, r)
			}
			if err != nil {
				return t, err
			}
		}
	}
	return t, nil
}

// countSuite runs the suite with a clock that the guest's instructions drive, each a nanosecond, and
// that skips the time in which the CPU is halted, so that the results do not depend on the host. Linux
// does not start a second CPU under such a clock.
func (b *bench) countSuite() (table, error) {
	const clock = 1_000_000
	t := table{title: fmt.Sprintf("CPU/GC suite, 1 CPU, %v, an instruction is 1 ns", suiteMemory)}
	for _, g := range b.suite {
		note("suite, instructions: %s", g.system)
		r, err := g.run(b.ctx, clock, suiteEnds, []string{"100ms"}, qemu.Using(qemu.TCG), qemu.Memory(suiteMemory),
			qemu.Extra("-icount", "shift=0,sleep=off"))
		if err == nil {
			err = t.addSuite(g, r)
		}
		if err != nil {
			return t, err
		}
	}
	return t, nil
}

// addSuite adds what the suite has printed.
func (t *table) addSuite(g *guest, r *record) error {
	for line := range strings.Lines(strings.TrimSuffix(r.output, "done\n")) {
		var name, unit string
		var value float64
		if _, err := fmt.Sscanf(line, "%s %g %s\n", &name, &value, &unit); err != nil {
			return fmt.Errorf("%s printed %q: %w", g.system, line, err)
		}
		t.row(name, unit, "").add(g, value)
	}
	return nil
}
