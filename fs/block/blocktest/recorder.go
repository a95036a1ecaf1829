// Package blocktest helps to test what stands on a block.Device: it records
// what is written, makes of it what a power cut may leave, and lets requests
// fail.
package blocktest

import (
	"runtime"
	"slices"
	"sync"

	"github.com/goshawk-os/goshawk/fs/block"
)

// An Entry is a request that changed a device, or a flush.
type Entry struct {
	Op  block.Op
	Off int64
	// Data is what Write wrote; Length that of Discard and WriteZeroes.
	Data   []byte
	Length int64
	FUA    bool
}

// Recorder is a device with a volatile cache, in memory, that records what is
// done to it. Its fields are set before the first request.
type Recorder struct {
	// Fail is called with each request before it is done; the request then
	// fails with the error it returns, and nothing is changed. It may be nil.
	Fail func(r *block.Request) error
	// Async completes requests in goroutines, in any order. A flush then does
	// not cover a write whose completion the caller has not awaited.
	Async bool
	// LoseFlushes makes the device one that answers flushes and FUA without
	// obeying: the negative control of a test of power cuts.
	LoseFlushes bool

	mu      sync.Mutex
	info    block.Info
	start   []byte
	now     *block.Memory
	entries []Entry

	// lasting is what the device surely has after the flush that is the entry
	// before lastingAt, or after none.
	lasting   []byte
	lastingAt int
}

// NewRecorder returns a device with the content of start, which is copied.
func NewRecorder(start []byte, logicalBlock int) *Recorder {
	now := block.NewMemory(slices.Clone(start), logicalBlock)
	info := now.Info()
	info.VolatileCache = true
	return &Recorder{info: info, start: slices.Clone(start), now: now, lasting: slices.Clone(start)}
}

// Info implements block.Device.
func (c *Recorder) Info() block.Info { return c.info }

// Submit implements block.Device.
func (c *Recorder) Submit(r *block.Request) {
	if c.Async {
		go func() {
			runtime.Gosched()
			r.Done(r, c.do(r))
		}()
		return
	}
	r.Done(r, c.do(r))
}

// do does and records a request.
func (c *Recorder) do(r *block.Request) error {
	if err := c.info.Check(r); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Fail != nil {
		if err := c.Fail(r); err != nil {
			return err
		}
	}
	inner := *r
	var err error
	inner.Done = func(_ *block.Request, e error) { err = e }
	c.now.Submit(&inner) // completes at once
	if err != nil || r.Op == block.Read || c.LoseFlushes && r.Op == block.FlushCache {
		return err
	}
	e := Entry{Op: r.Op, Off: r.Off, Length: r.Length, FUA: r.FUA && !c.LoseFlushes}
	if r.Op == block.Write {
		e.Data = bytesOf(r.Parts)
	}
	c.entries = append(c.entries, e)
	return nil
}

func bytesOf(parts [][]byte) []byte { return slices.Concat(parts...) }

// Len returns how many entries were recorded. What was promised by now holds
// after each power cut at Len or later.
func (c *Recorder) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}

// Entries returns the entries so far. The caller does not change them.
func (c *Recorder) Entries() []Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clip(c.entries)
}

// Flushes returns the numbers n of entries for which the nth entry, counted
// from 1, is a flush: Image(n) is then what a power cut after it leaves for sure.
func (c *Recorder) Flushes() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []int
	for i, e := range c.entries {
		if e.Op == block.FlushCache {
			all = append(all, i+1)
		}
	}
	return all
}

// Image returns the content after the first n entries.
func (c *Recorder) Image(n int) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	image, pending := c.sure(n)
	for i := range pending {
		pending[i].apply(image, nil, c.info.LogicalBlock)
	}
	return image
}

// Nth returns a function for Recorder.Fail that lets the nth request of a kind
// fail, counted from 1, and all later ones too if ever is true.
func Nth(op block.Op, n int, ever bool, err error) func(*block.Request) error {
	seen := 0
	return func(r *block.Request) error {
		if r.Op != op {
			return nil
		}
		if seen++; seen == n || ever && seen > n {
			return err
		}
		return nil
	}
}
