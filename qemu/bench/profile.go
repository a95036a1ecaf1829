//go:build linux && amd64

package main

import (
	"cmp"
	"debug/elf"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/goshawk-os/goshawk/qemu"
	"github.com/goshawk-os/goshawk/qemu/plugin"
)

// functionsShown is the length of a ranking.
const functionsShown = 50

// printProfiles ranks the functions that Goshawk executes: cmd/hello up to main and from there on, idle
// guests, and the HTTP server up to its first response and for each request.
func (b *bench) printProfiles(w io.Writer, only string) error {
	if only != onlyNetwork {
		if err := b.profileProgram(w); err != nil {
			return err
		}
	}
	if only != onlyProgram {
		return b.profileServer(w)
	}
	return nil
}

func (b *bench) profileProgram(w io.Writer) error {
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
		title := "idle, " + plural(cpus, "CPU")
		if err := rankIdle(w, title, g, sections, r.ticks, r.marks[markMain].Time.Add(3*time.Second), r.marks[markMain].Time.Add(idleTime-time.Second)); err != nil {
			return err
		}
	}
	return nil
}

// rankIdle ranks what a guest executes in the ticks between two times, at which its program waits.
func rankIdle(w io.Writer, title string, g *guest, sections []plugin.Section, ticks []plugin.Mark, begin, end time.Time) error {
	total, counted := make(map[uint64]uint64), 0
	for _, s := range sections {
		if s.Mark != "tick" {
			continue
		}
		tick := ticks[0]
		ticks = ticks[1:]
		if tick.Time.Before(begin) || tick.Time.After(end) {
			continue
		}
		counted++
		for address, n := range s.Instructions {
			total[address] += n
		}
	}
	if counted == 0 {
		return fmt.Errorf("%s was never idle", g.system)
	}
	return rank(w, fmt.Sprintf("%s, each of %d seconds", title, counted), g.exe, total, float64(counted))
}

// profileServer ranks what the HTTP server costs, by function and by layer: up to its first response,
// waiting for the next, for each of many requests, and for each of many connections.
func (b *bench) profileServer(w io.Writer) error {
	links, remove, err := b.links()
	if err != nil {
		return err
	}
	defer remove()
	g, l := b.server[0], links[len(links)-1]
	file := filepath.Join(b.dir, "profile")
	settings := plugin.Settings{Marks: g.marks, Profile: file}
	options := append(b.plugin.Options(settings), qemu.Memory(serverMemory))
	s, err := b.serve(g, l, countedLimit, []string{"first"}, options...)
	if err != nil {
		return err
	}
	if err := s.stop(); err != nil {
		return err
	}
	section, err := readSection(file, markServed)
	if err != nil {
		return err
	}
	if err := rank(w, "HTTP server, entry to first response", g.exe, section, 1); err != nil {
		return err
	}
	if err := b.profileIdleServer(w, g, l, settings); err != nil {
		return err
	}
	rankEach := func(what string, n float64) error {
		section, err := readSection(file, markEnd)
		if err != nil {
			return err
		}
		return rank(w, fmt.Sprintf("HTTP server, %s, 1 CPU, %s, each of %.0f", l.name, what, n), g.exe, section, n)
	}
	for _, n := range []int{1, 16} {
		_, requests, err := b.countRequests(g, l, n, options)
		if err != nil {
			return err
		}
		if err := rankEach(connections(n)+", requests", requests); err != nil {
			return err
		}
	}
	_, opened, err := b.countConnections(g, l, options)
	if err != nil {
		return err
	}
	return rankEach("short-lived connections", opened)
}

// profileIdleServer ranks what the HTTP server executes when nobody asks it.
func (b *bench) profileIdleServer(w io.Writer, g *guest, l link, settings plugin.Settings) error {
	const measure = 10 * time.Second
	settings.Every = time.Second
	s, err := b.serve(g, l, countedLimit, []string{"first"}, append(b.plugin.Options(settings), qemu.Memory(serverMemory))...)
	if err != nil {
		return err
	}
	served, err := s.messages.mark(markServed)
	if err != nil {
		return err
	}
	time.Sleep(linkSettles + measure)
	if err := s.stop(); err != nil {
		return err
	}
	sections, err := readProfile(settings.Profile)
	if err != nil {
		return err
	}
	s.messages.mu.Lock()
	defer s.messages.mu.Unlock()
	return rankIdle(w, "HTTP server, "+l.name+", idle", g, sections, s.messages.ticks, served.Time.Add(linkSettles), served.Time.Add(linkSettles+measure))
}

// readProfile returns the sections of a profile.
func readProfile(file string) ([]plugin.Section, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return plugin.ParseProfile(f)
}

// readSection returns the section of a profile that ends with a mark.
func readSection(file, mark string) (map[uint64]uint64, error) {
	sections, err := readProfile(file)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(sections, func(s plugin.Section) bool { return s.Mark == mark })
	if i < 0 {
		return nil, fmt.Errorf("the profile has no mark %q", mark)
	}
	return sections[i].Instructions, nil
}

// layers are the packages of a guest by what they are for. The first prefix of a function's name counts.
var layers = []struct{ layer, prefix string }{
	{"driver", "goshawk/drivers/"}, {"driver", "goshawk/boot/devices"}, {"driver", "goshawk/boot/network"},
	{"link", "goshawk/net/netstack"},
	{"IP and below", "goshawk/gvisor.dev/gvisor/pkg/tcpip/network"}, {"IP and below", "goshawk/gvisor.dev/gvisor/pkg/tcpip/stack"},
	{"IP and below", "goshawk/gvisor.dev/gvisor/pkg/tcpip/header"}, {"IP and below", "goshawk/gvisor.dev/gvisor/pkg/tcpip/checksum"},
	{"TCP", "goshawk/gvisor.dev/gvisor/pkg/tcpip/transport/tcp"}, {"TCP", "goshawk/gvisor.dev/gvisor/pkg/tcpip/seqnum"},
	{"transport, others", "goshawk/gvisor.dev/gvisor/pkg/tcpip"}, {"buffers", "goshawk/gvisor.dev/gvisor/pkg/buffer"},
	{"gVisor, others", "goshawk/gvisor.dev/"},
	{"socket", "goshawk/net/"}, {"personality", "goshawk/kernel/linux"}, {"personality", "goshawk/fs/"},
	{"nucleus", "goshawk/kernel/"}, {"nucleus", "goshawk/arch/"},
	{"net", "net."}, {"net", "internal/poll."}, {"net", "syscall."}, {"net", "net/netip"},
	{"net/http", "net/http"}, {"net/http", "bufio."}, {"net/http", "net/textproto"}, {"net/http", "net/url"}, {"net/http", "context."},
	{"memory allocator", "runtime.mallocgc"}, {"memory allocator", "runtime.newobject"}, {"memory allocator", "runtime.makeslice"},
	{"memory allocator", "runtime.(*mcache)"}, {"memory allocator", "runtime.(*mspan)"}, {"memory allocator", "runtime.nextFreeFast"},
	{"collector", "runtime.gc"}, {"collector", "runtime.scan"}, {"collector", "runtime.greyobject"}, {"collector", "runtime.markroot"},
	{"collector", "runtime.(*gcWork)"}, {"collector", "runtime.sweep"}, {"collector", "runtime.(*sweep"}, {"collector", "runtime.findObject"},
	{"copying and clearing", "runtime.mem"}, {"poller", "runtime.netpoll"}, {"poller", "runtime.(*pollDesc)"}, {"poller", "internal/runtime/syscall"},
	{"timers", "runtime.(*timer"}, {"timers", "time."},
	{"locks", "sync."}, {"locks", "internal/sync."}, {"locks", "runtime.lock"}, {"locks", "runtime.unlock"}, {"locks", "runtime.sem"},
	{"scheduler and runtime, others", "runtime."}, {"scheduler and runtime, others", "internal/runtime"},
}

func layerOf(function string) string {
	for _, l := range layers {
		if strings.HasPrefix(function, l.prefix) {
			return l.layer
		}
	}
	return "others"
}

// profile runs a guest with a profile.
func (b *bench) profile(g *guest, s plugin.Settings, want expectation, args []string, options ...qemu.Option) ([]plugin.Section, *record, error) {
	s.Profile = filepath.Join(b.dir, "profile")
	r, err := b.runWith(g, s, want, args, options...)
	if err != nil {
		return nil, nil, err
	}
	sections, err := readProfile(s.Profile)
	return sections, r, err
}

// rank writes what was executed, divided by a number: the layers of an executable, with their places, which
// are the different instructions among them (what TCG had to translate and a cold cache to load), and the
// functions with the most instructions.
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
	type entry struct{ instructions, calls, places uint64 }
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
		byName[name] = entry{e.instructions + n, e.calls + calls, e.places + 1}
		total += n
	}
	names := make([]string, 0, len(byName))
	for name := range byName {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(byName[b].instructions, byName[a].instructions), cmp.Compare(a, b))
	})
	fmt.Fprintf(w, "\n%s: %.0f instructions\n%12s %7s %9s  layer\n", title, float64(total)/divisor, "instructions", "share", "places")
	byLayer := make(map[string]entry)
	for name, e := range byName {
		l := byLayer[layerOf(name)]
		byLayer[layerOf(name)] = entry{instructions: l.instructions + e.instructions, places: l.places + e.places}
	}
	ranking := slices.SortedFunc(maps.Keys(byLayer), func(a, b string) int {
		return cmp.Compare(byLayer[b].instructions, byLayer[a].instructions)
	})
	for _, layer := range ranking {
		l := byLayer[layer]
		fmt.Fprintf(w, "%12.0f %6.1f%% %9d  %s\n", float64(l.instructions)/divisor, 100*float64(l.instructions)/float64(total), l.places, layer)
	}
	fmt.Fprintf(w, "%12s %7s %9s  function\n", "", "", "calls")
	for _, name := range names[:min(len(names), functionsShown)] {
		e := byName[name]
		fmt.Fprintf(w, "%12.0f %6.1f%% %9.4g  %s\n", float64(e.instructions)/divisor,
			100*float64(e.instructions)/float64(total), float64(e.calls)/divisor, name)
	}
	return nil
}
