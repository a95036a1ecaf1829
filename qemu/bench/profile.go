//go:build linux && amd64

package main

import (
	"cmp"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"time"

	"github.com/goshawk-os/goshawk/qemu"
	"github.com/goshawk-os/goshawk/qemu/plugin"
)

// functionsShown is the length of a ranking.
const functionsShown = 50

// printProfiles ranks the functions that Goshawk executes: cmd/hello up to main and from there on, and
// idle guests.
func (b *bench) printProfiles(w io.Writer) error {
	g := b.hello[0]
	sections, _, err := b.profile(g, plugin.Settings{}, helloCounted, nil)
	if err != nil {
		return err
	}
	for i, s := range sections {
		if i == 0 {
			continue // firmware
		}
		title := fmt.Sprintf("cmd/hello, %s to %s", sections[i-1].Mark, s.Mark)
		if err := rank(w, title, g.exe, s.Instructions, 1); err != nil {
			return err
		}
	}
	const idleTime = 15 * time.Second
	for _, cpus := range []int{1, 2} {
		g := b.suite[0]
		args := []string{"idle", idleTime.String()}
		sections, r, err := b.profile(g, plugin.Settings{Every: time.Second}, idleCounted, args, qemu.CPUs(cpus))
		if err != nil {
			return err
		}
		// Ticks that are neither next to main, so that the program is asleep, nor next to the end.
		total, ticks := make(map[uint64]uint64), 0
		begin, end := r.marks[markMain].Time.Add(3*time.Second), r.marks[markMain].Time.Add(idleTime-time.Second)
		for _, s := range sections {
			if s.Mark != "tick" {
				continue
			}
			tick := r.ticks[0]
			r.ticks = r.ticks[1:]
			if tick.Time.Before(begin) || tick.Time.After(end) {
				continue
			}
			ticks++
			for address, n := range s.Instructions {
				total[address] += n
			}
		}
		if ticks == 0 {
			return fmt.Errorf("%s was never idle", g.system)
		}
		title := fmt.Sprintf("idle, %s, each of %d seconds", plural(cpus, "CPU"), ticks)
		if err := rank(w, title, g.exe, total, float64(ticks)); err != nil {
			return err
		}
	}
	return nil
}

// profile runs a guest with a profile.
func (b *bench) profile(g *guest, s plugin.Settings, want expectation, args []string, options ...qemu.Option) ([]plugin.Section, *record, error) {
	s.Profile = filepath.Join(b.dir, "profile")
	r, err := b.runWith(g, s, want, args, options...)
	if err != nil {
		return nil, nil, err
	}
	file, err := os.Open(s.Profile)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	sections, err := plugin.ParseProfile(file)
	return sections, r, err
}

// rank writes the functions of an executable with the most instructions, divided by a number.
func rank(w io.Writer, title, exe string, instructions map[uint64]uint64, divisor float64) error {
	f, err := elf.Open(exe)
	if err != nil {
		return err
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		return err
	}
	functions := slices.DeleteFunc(symbols, func(s elf.Symbol) bool { return elf.ST_TYPE(s.Info) != elf.STT_FUNC })
	slices.SortFunc(functions, func(a, b elf.Symbol) int { return cmp.Compare(a.Value, b.Value) })
	type entry struct{ instructions, calls uint64 }
	byName := make(map[string]entry)
	var total uint64
	for address, n := range instructions {
		i := sort.Search(len(functions), func(i int) bool { return functions[i].Value > address }) - 1
		name, calls := "outside of the image", uint64(0)
		if i >= 0 && address < functions[i].Value+functions[i].Size {
			name = functions[i].Name
			if address == functions[i].Value {
				calls = n
			}
		}
		e := byName[name]
		byName[name] = entry{e.instructions + n, e.calls + calls}
		total += n
	}
	names := make([]string, 0, len(byName))
	for name := range byName {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(byName[b].instructions, byName[a].instructions), cmp.Compare(a, b))
	})
	fmt.Fprintf(w, "\n%s: %.0f instructions\n%12s %7s %9s  function\n", title, float64(total)/divisor, "instructions", "share", "calls")
	for _, name := range names[:min(len(names), functionsShown)] {
		e := byName[name]
		fmt.Fprintf(w, "%12.0f %6.1f%% %9.4g  %s\n", float64(e.instructions)/divisor,
			100*float64(e.instructions)/float64(total), float64(e.calls)/divisor, name)
	}
	return nil
}
