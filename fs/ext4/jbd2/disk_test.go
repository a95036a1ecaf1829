package jbd2

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/block"
)

// disk is a disk in memory with a volatile cache that records what happens to
// it. A write
// is safe when it was done before a flush was sent that is done, or
// was sent with FUA and is done.
type disk struct {
	mu       sync.Mutex
	data     []byte
	base     []byte // data when the recording began; nil: not recording
	events   []event
	fail     func(r *block.Request) error
	sluggish bool // requests end later, in another order
	rnd      *rand.Rand
}

// An event is a write, a flush, or that all transactions up to acked were
// promised to be on disk.
type event struct {
	flush bool
	acked TID
	fua   bool
	off   int64
	p     []byte
	done  int // number of events when it was done; 0: not yet
}

func newDisk(size int) *disk {
	return &disk{data: make([]byte, size), rnd: rand.New(rand.NewPCG(1, 1))}
}

func (d *disk) Info() block.Info {
	return block.Info{Size: int64(len(d.data)), LogicalBlock: 512, PhysicalBlock: 512, VolatileCache: true, MaxWriteZeroes: 1 << 30}
}

func (d *disk) record() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.base = append([]byte(nil), d.data...)
	d.events = nil
}

// recorded returns a copy for crash.
func (d *disk) recorded() *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &disk{base: d.base, events: append([]event(nil), d.events...)}
}

// sound is a disk without the errors of fail.
type sound struct{ *disk }

func (s sound) Submit(r *block.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.submit(r)
}

func (d *disk) Submit(r *block.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		if err := d.fail(r); err != nil {
			go r.Done(r, err)
			return
		}
	}
	d.submit(r)
}

func (d *disk) submit(r *block.Request) {
	before, after := 0, 0
	if d.sluggish {
		before, after = d.rnd.IntN(20), d.rnd.IntN(10)
	}
	seen := -1
	if r.Op == block.FlushCache {
		seen = d.note(event{flush: true}) // what is done later is not flushed
	}
	go func() {
		turns(before)
		d.mu.Lock()
		err := syscall.EIO
		if r.Off >= 0 && r.Off+r.Bytes() <= int64(len(d.data)) {
			err = 0
			if i := d.transfer(r); i >= 0 {
				seen = i
			}
		}
		d.mu.Unlock()
		turns(after)
		d.mu.Lock()
		if seen >= 0 {
			d.events[seen].done = len(d.events)
		}
		d.mu.Unlock()
		if err != 0 {
			r.Done(r, err)
		} else {
			r.Done(r, nil)
		}
	}()
}

func turns(n int) {
	for range n {
		runtime.Gosched()
	}
}

// note records an event and returns its index, -1 when nothing is recorded.
func (d *disk) note(e event) int {
	if d.base == nil {
		return -1
	}
	d.events = append(d.events, e)
	return len(d.events) - 1
}

// transfer moves a request's data and returns the index of its event or -1.
func (d *disk) transfer(r *block.Request) int {
	seen, off := -1, r.Off
	for _, p := range r.Parts {
		if r.Op == block.Read {
			copy(p, d.data[off:])
		} else {
			copy(d.data[off:], p)
			seen = d.note(event{off: off, p: append([]byte(nil), p...), fua: r.FUA})
		}
		off += int64(len(p))
	}
	if r.Op == block.WriteZeroes {
		clear(d.data[r.Off : r.Off+r.Length])
	}
	return seen
}

func (d *disk) ack(tid TID) {
	d.mu.Lock()
	d.events = append(d.events, event{acked: tid})
	d.mu.Unlock()
}

// crash returns a state that the disk may be in after power was cut when n
// events had happened, and which transaction had been promised. With
// ignoreFlushes the disk lies about flushes and FUA.
func (d *disk) crash(n int, rnd *rand.Rand, ignoreFlushes bool) (state []byte, promised TID) {
	safeBefore := 0 // writes done at this number of events are safe
	for i, e := range d.events[:n] {
		if e.flush && e.done > 0 && e.done <= n {
			safeBefore = i
		}
		promised = max(promised, e.acked)
	}
	state = append([]byte(nil), d.base...)
	mode := rnd.IntN(4) // how much of the cache gets lost
	for _, e := range d.events[:n] {
		done := e.done > 0 && e.done <= n
		safe := done && (e.fua || e.done <= safeBefore) && !ignoreFlushes
		switch {
		case safe || mode == 0:
			copy(state[e.off:], e.p)
		case mode == 1 || mode == 2 && rnd.IntN(2) == 0: // lost
		default:
			for s := 0; s < len(e.p); s += 512 {
				if mode == 2 || rnd.IntN(2) == 0 {
					copy(state[int(e.off)+s:], e.p[s:s+512])
				}
			}
		}
	}
	return state, promised
}
