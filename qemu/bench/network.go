//go:build linux && amd64

package main

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/goshawk-os/goshawk/qemu"
	"github.com/goshawk-os/goshawk/qemu/plugin"
)

// Marks of qemu/bench/server, and their functions.
const (
	markServed = "served"
	markBegin  = "begin"
	markEnd    = "finish" // "end" is the end of QEMU
)

var serverMarks = map[string]string{markServed: "main.markServed", markBegin: "main.markBegin", markEnd: "main.markEnd"}

// traceEvents are the trace events of QEMU that are counted.
var traceEvents = map[string]bool{
	"virtio_queue_notify": true, "virtio_notify": true, "virtio_notify_irqfd": true,
	"memory_region_ops_read": true, "memory_region_ops_write": true,
}

const (
	serverMemory = 256 * qemu.MiB
	bootLimit    = 30 * time.Second
	countedLimit = 5 * time.Minute // to boot when each instruction is counted

	loadTime    = 4 * time.Second
	warmUp      = time.Second
	countedTime = 3 * time.Second
)

// linkSettles is when both ends of a new link have stopped to ask for routers and to announce their addresses.
const linkSettles = 15 * time.Second

var loads = []int{1, 16, 64, 256} // numbers of connections

// network measures the server on all links.
func (b *bench) network(print func(table)) error {
	links, remove, err := b.links()
	if err != nil {
		return err
	}
	defer remove()
	best := links[len(links)-1] // to judge by
	measures := []func() (table, error){
		func() (table, error) { return b.serverBoot(best) },
		func() (table, error) { return b.serverSize(best) },
	}
	for _, l := range slices.Backward(links) {
		for _, cpus := range []int{1, 2} {
			measures = append(measures, func() (table, error) { return b.requests(l, cpus) })
		}
		measures = append(measures, func() (table, error) { return b.traffic(l) })
	}
	measures = append(measures, func() (table, error) { return b.perRequest(best) })
	for _, measure := range measures {
		t, err := measure()
		if err != nil {
			return err
		}
		print(t)
	}
	return nil
}

// serverBoot measures how long the server takes to answer first.
func (b *bench) serverBoot(l link) (table, error) {
	t := table{title: "HTTP server, " + l.name + ", 1 CPU, " + serverMemory.String()}
	for run := range b.runs {
		note("HTTP server, first response, run %d", run+1)
		for _, g := range b.server {
			s, err := b.serve(g, l, bootLimit, nil, qemu.Using(b.accel), qemu.Memory(serverMemory))
			if err != nil {
				return t, err
			}
			t.row("QEMU start to listening", "ms", "").add(g, milliseconds(s.ready.Sub(s.start)))
			t.row("QEMU start to first 200", "ms", "≤ 120").add(g, milliseconds(s.served.Sub(s.start)))
			if err := s.stop(); err != nil {
				return t, err
			}
			options := b.plugin.Options(plugin.Settings{Timing: true, Marks: g.marks})
			if s, err = b.serve(g, l, bootLimit, nil, append(options, qemu.Memory(serverMemory))...); err != nil {
				return t, err
			}
			entry, err := s.messages.mark(markEntry)
			if err != nil {
				return t, err
			}
			t.row("guest entry to listening, TCG", "ms", "≤ 40").add(g, milliseconds(s.ready.Sub(entry.Time)))
			if err := s.stop(); err != nil {
				return t, err
			}
		}
	}
	for _, g := range b.server {
		note("HTTP server, first response, instructions: %s", g.system)
		options := b.plugin.Options(plugin.Settings{Marks: g.marks, Every: time.Second})
		s, err := b.serve(g, l, countedLimit, []string{"first"}, append(options, qemu.Memory(serverMemory))...)
		if err != nil {
			return t, err
		}
		entry, err := s.messages.mark(markEntry)
		if err != nil {
			return t, err
		}
		served, err := s.messages.mark(markServed)
		if err != nil {
			return t, err
		}
		t.row("guest entry to first 200", "instructions", "≤ 5,000,000").add(g, float64(served.Instructions-entry.Instructions))
		if !b.short {
			const measure = 10 * time.Second
			time.Sleep(linkSettles + measure + 2*time.Second)
			s.messages.mu.Lock()
			rate, err := idleRate(served.Time, s.messages.ticks, linkSettles, measure)
			s.messages.mu.Unlock()
			if err != nil {
				return t, fmt.Errorf("%s: %w", g.system, err)
			}
			t.row("idle", "instructions/s", "≤ 10,000").add(g, rate)
		}
		if err := s.stop(); err != nil {
			return t, err
		}
	}
	return t, nil
}

// serverSize measures the image and the smallest memory.
func (b *bench) serverSize(l link) (table, error) {
	t := table{title: "Size of the HTTP server, without debug information"}
	plain := b.stripped[1].files[b.stripped[1].exe]
	for _, g := range b.stripped {
		t.row("what QEMU loads", "MB", "≤ 8").add(g, float64(g.loaded())/1e6)
	}
	for _, g := range b.stripped {
		t.row("over the plain static executable", "MB", "").add(g, float64(g.loaded()-plain)/1e6)
	}
	if b.short {
		return t, nil
	}
	for _, g := range b.server {
		works, err := smallest(func(size qemu.Size) bool {
			s, err := b.serve(g, l, bootLimit, nil, qemu.Using(b.accel), qemu.Memory(size))
			if err == nil {
				err = s.stop()
			}
			note("HTTP server: %s in %v: %t", g.system, size, err == nil)
			return err == nil
		})
		if err != nil {
			return t, err
		}
		t.row("smallest -m that serves", "MiB", "≤ 24").add(g, float64(works/qemu.MiB))
	}
	return t, nil
}

// requests measures requests of several connections.
func (b *bench) requests(l link, cpus int) (table, error) {
	t := table{title: fmt.Sprintf("HTTP, 512 bytes, %s, %s", l.name, plural(cpus, "CPU"))}
	for run := range b.runs {
		for _, g := range b.server {
			note("HTTP, %s, %s, run %d: %s", l.name, plural(cpus, "CPU"), run+1, g.system)
			s, err := b.serve(g, l, bootLimit, nil, qemu.Using(b.accel), qemu.Memory(serverMemory), qemu.CPUs(cpus))
			if err != nil {
				return t, err
			}
			for _, n := range loads {
				if _, err := wrk(b.ctx, url(s.places, "/"), n, warmUp); err != nil {
					return t, err
				}
				got, err := wrk(b.ctx, url(s.places, "/"), n, loadTime)
				if err != nil {
					return t, err
				}
				if got.errors != "" {
					note("%s, %s: %s", g.system, connections(n), got.errors)
				}
				t.row(connections(n), "requests/s", "").add(g, got.perSecond)
				t.row(connections(n)+", p50", "ms", "").add(g, milliseconds(got.p50))
				t.row(connections(n)+", p99", "ms", "").add(g, milliseconds(got.p99))
			}
			if err := s.stop(); err != nil {
				return t, err
			}
		}
	}
	return t, nil
}

// traffic measures what TCP does without HTTP.
func (b *bench) traffic(l link) (table, error) {
	t := table{title: "TCP, " + l.name + ", 1 CPU"}
	for run := range b.runs {
		for _, g := range b.server {
			note("TCP, %s, run %d: %s", l.name, run+1, g.system)
			s, err := b.serve(g, l, bootLimit, nil, qemu.Using(b.accel), qemu.Memory(serverMemory))
			if err != nil {
				return t, err
			}
			if err := s.traffic(&t); err != nil {
				return t, fmt.Errorf("%s, %s: %w", g.system, l.name, err)
			}
			if err := s.stop(); err != nil {
				return t, err
			}
		}
	}
	return t, nil
}

func (s *serving) traffic(t *table) error {
	for _, m := range []struct {
		name    string
		measure func() (float64, error)
	}{{"into the guest", s.into}, {"out of the guest", s.outOf}} {
		speed, err := m.measure()
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		t.row(m.name, "MiB/s", "").add(s.g, speed/float64(qemu.MiB))
	}
	d, err := s.roundTrip()
	if err != nil {
		return fmt.Errorf("round trips: %w", err)
	}
	t.row("1 byte there and back", "µs", "≤ 200").add(s.g, float64(d)/float64(time.Microsecond))
	rate, err := s.setUps()
	if err != nil {
		return fmt.Errorf("short-lived connections: %w", err)
	}
	t.row(fmt.Sprintf("short-lived, %s at a time", connections(shortLivedNow)), "connections/s", "").add(s.g, rate)
	return nil
}

// perRequest counts what one request costs: instructions in one run, since counting slows the guest
// down, and what leaves the guest in another.
func (b *bench) perRequest(l link) (table, error) {
	t := table{title: "One HTTP request, or one connection for a byte there and back, " + l.name}
	trace := make([]string, 0, 2*len(traceEvents))
	for _, name := range slices.Sorted(maps.Keys(traceEvents)) {
		trace = append(trace, "-trace", name)
	}
	type setting struct{ cpus, connections int }
	settings := []setting{{1, 1}, {1, 16}, {1, 64}, {1, 256}, {2, 16}}
	if b.short {
		settings = settings[1:2]
	}
	for _, c := range settings {
		where := fmt.Sprintf(", %s, %s", plural(c.cpus, "CPU"), connections(c.connections))
		for _, g := range b.server {
			note("one request%s: %s", where, g.system)
			count := func(s plugin.Settings, options ...qemu.Option) (*serving, float64, error) {
				s.Marks = g.marks
				options = append(append(options, b.plugin.Options(s)...), qemu.CPUs(c.cpus), qemu.Memory(serverMemory))
				return b.countRequests(g, l, c.connections, options)
			}
			s, n, err := count(plugin.Settings{Blocks: true})
			if err != nil {
				return t, err
			}
			instructions := s.messages.marks[markEnd].Instructions - s.messages.marks[markBegin].Instructions
			t.row("instructions"+where, "instructions", instructionGoal(c.connections)).add(g, float64(instructions)/n)
			if s, n, err = count(plugin.Settings{Timing: true}, qemu.Extra(trace...)); err != nil {
				return t, err
			}
			counts := s.messages.counts
			t.row("queue notifications"+where, "count", goalAt16(c.connections, "≤ 0.8")).add(g, float64(counts["virtio_queue_notify"])/n)
			t.row("virtio interrupts"+where, "count", goalAt16(c.connections, "≤ 0.9")).add(g, float64(counts["virtio_notify"]+counts["virtio_notify_irqfd"])/n)
			t.row("device accesses"+where, "count", goalAt16(c.connections, "≤ 2")).add(g, float64(counts["memory_region_ops_read"]+counts["memory_region_ops_write"])/n)
		}
	}
	for _, g := range b.server {
		note("one connection: %s", g.system)
		options := append(b.plugin.Options(plugin.Settings{Blocks: true, Marks: g.marks}), qemu.Memory(serverMemory))
		s, n, err := b.countConnections(g, l, options)
		if err != nil {
			return t, err
		}
		instructions := s.messages.marks[markEnd].Instructions - s.messages.marks[markBegin].Instructions
		t.row("instructions, short-lived connection", "instructions", "").add(g, float64(instructions)/n)
	}
	return t, nil
}

// countConnections has a server marked around many short-lived connections, whose number it returns.
func (b *bench) countConnections(g *guest, l link, options []qemu.Option) (*serving, float64, error) {
	return b.between(g, l, options, func(s *serving, _ time.Duration) (float64, error) {
		_, err := s.setUps()
		return shortLived, err
	})
}

func instructionGoal(connections int) string { return goalAt16(connections, "≤ 45,000") }

func goalAt16(connections int, goal string) string {
	if connections != 16 {
		return ""
	}
	return goal
}

// countRequests has a server marked around many HTTP requests, whose number it returns.
func (b *bench) countRequests(g *guest, l link, connections int, options []qemu.Option) (*serving, float64, error) {
	return b.between(g, l, options, func(s *serving, d time.Duration) (float64, error) {
		got, err := wrk(b.ctx, url(s.places, "/"), connections, d)
		return got.requests, err
	})
}

// between has a server marked around a load, which lasts about as long as it is told to and returns how
// much it was. A first load warms the server up.
func (b *bench) between(g *guest, l link, options []qemu.Option, load func(*serving, time.Duration) (float64, error)) (*serving, float64, error) {
	s, err := b.serve(g, l, bootLimit, nil, options...)
	if err != nil {
		return nil, 0, err
	}
	if _, err := load(s, warmUp); err != nil {
		return nil, 0, err
	}
	if err := get(url(s.places, "/mark?begin")); err != nil {
		return nil, 0, err
	}
	n, err := load(s, countedTime)
	if err != nil {
		return nil, 0, err
	}
	if err := get(url(s.places, "/mark?end")); err != nil {
		return nil, 0, err
	}
	if _, err := s.messages.mark(markEnd); err != nil {
		return nil, 0, err
	}
	if n == 0 {
		return nil, 0, fmt.Errorf("%s answered nothing", g.system)
	}
	return s, n, s.stop()
}
