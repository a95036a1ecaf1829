// Package pagecache keeps pages of files in memory, for all file systems on
// disks: read-ahead, delayed writing, and memory given back under pressure.
//
// A file system makes a Mapping for each file that is in use, and implements a
// Backend, which moves pages between the mapping and the disk. The mapping
// then is the file's content and its size.
//
// # Errors of the disk
//
// A page that could not be written stays dirty, and the write is tried again by
// age, and by each Sync, which fails for as long as it does. So Sync tells each
// caller the truth, and nothing is lost while the machine runs. When so
// much waits to be written that writers must wait, writers to such a file get
// the error instead. A file system that gives up closes its mappings.
//
// # Locks, outermost first
//
//	locks of the file system that WritePages, Reserve and ReadPages do not take
//	Mapping.change   writers, truncation: one at a time
//	  Mapping.wb     write-back: one at a time
//	    Mapping.loads (shared: pages are being read; exclusive: nothing reads or has a
//	                   stale page while the file's blocks are changed)
//	      locks that Backend's methods take
//	      Mapping.mu pages, their states and contents, the size
//	        Cache.mu lists, counters (a leaf)
//
// Backend's methods run without Mapping.mu: ReadPages with loads, Reserve with
// change, WritePages with wb, and the functions given to Truncate, Punch and
// Replace with all three. What none of these may do is use the same Mapping, but for Size.
package pagecache

import (
	"sync"
	"sync/atomic"
	"time"
)

// PageSize is the size of a page in bytes.
const (
	PageSize = 1 << pageBits
	pageBits = 12
)

// Times of Linux (vm.dirty_expire_centisecs, vm.dirty_writeback_centisecs).
const (
	expire = 30 * time.Second
	period = 5 * time.Second
)

// Options of a Cache.
type Options struct {
	// Limit is how many pages the cache has at most, dirty ones and those in
	// use excepted. When a tenth of it is dirty, writing begins without regard to age,
	// and when a fifth is, writers wait (Linux: vm.dirty_background_ratio,
	// vm.dirty_ratio).
	Limit int
	// Alloc returns a page of PageSize bytes with any content, nil if there is
	// no memory; Free gets it back. Neither may use the cache, except that
	// Alloc may call Shrink. Both nil: the Go heap.
	Alloc func() []byte
	Free  func(page []byte)
}

// Stats are counts of pages.
type Stats struct {
	Pages, Dirty int
}

// Cache is the pages of many files.
type Cache struct {
	alloc func() []byte
	free  func([]byte)
	limit atomic.Int64
	pages atomic.Int64
	dirty atomic.Int64
	// pressed says that clean pages are wanted and there are too few.
	pressed atomic.Bool

	mu               sync.Mutex
	inactive, active list
	waiting          []*Mapping // have dirty pages, the longest waiting first

	kick chan struct{}
	stop chan struct{}
	done chan struct{}
}

// New returns an empty cache, which writes in the background until Close.
func New(o Options) *Cache {
	c := &Cache{alloc: o.Alloc, free: o.Free, kick: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	if c.alloc == nil {
		c.alloc = func() []byte { return make([]byte, PageSize) }
		c.free = func([]byte) {}
	}
	c.limit.Store(int64(o.Limit))
	go c.background()
	return c
}

// Close ends writing in the background. Mappings can be used as before.
func (c *Cache) Close() {
	close(c.stop)
	<-c.done
}

// SetLimit changes Options.Limit.
func (c *Cache) SetLimit(pages int) {
	c.limit.Store(int64(pages))
	c.room(0)
}

// Stats returns how many pages there are.
func (c *Cache) Stats() Stats { return Stats{int(c.pages.Load()), int(c.dirty.Load())} }

// Sync writes the dirty pages of all mappings whose backends of selects, and
// returns the first error.
func (c *Cache) Sync(of func(Backend) bool) error {
	c.mu.Lock()
	all := append([]*Mapping(nil), c.waiting...)
	c.mu.Unlock()
	var first error
	for _, m := range all {
		if of(m.backend) {
			if err := m.SyncAll(); err != nil && first == nil {
				first = err
			}
		}
	}
	return first
}

// background writes what has been dirty for long, or what is too much.
func (c *Cache) background() {
	defer close(c.done)
	timer := time.NewTimer(period)
	defer timer.Stop()
	for {
		timer.Stop() // nothing ticks while nothing is dirty
		if c.dirty.Load() > 0 {
			timer.Reset(period)
		}
		select {
		case <-c.stop:
			return
		case <-timer.C:
		case <-c.kick:
		}
		c.writeOld(time.Now())
	}
}

// writeOld writes the mappings that have been dirty since expire, all if memory
// is wanted, and others for as long as too much is dirty.
func (c *Cache) writeOld(now time.Time) {
	pressed := c.pressed.Swap(false)
	c.mu.Lock()
	all := append([]*Mapping(nil), c.waiting...)
	c.mu.Unlock()
	for _, m := range all {
		select {
		case <-c.stop:
			return
		default:
		}
		c.mu.Lock()
		old := m.queued && now.Sub(m.since) >= expire
		failing := m.failing // tried again by age only, not at once for ever
		c.mu.Unlock()
		if old || !failing && (pressed || c.dirty.Load() > c.limit.Load()/10) {
			_ = m.SyncAll() // it stays dirty, see the package comment
		}
	}
}

// wake has background look at once.
func (c *Cache) wake() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// dirtied counts a page, and queues its mapping; wake says that there may be something to be done. With m.mu.
func (c *Cache) dirtied(m *Mapping, wake bool) {
	n := c.dirty.Add(1)
	if m.dirty++; m.dirty == 1 {
		c.requeue(m)
	}
	if limit := c.limit.Load() / 10; wake && (n == 1 || n == limit+1) {
		c.wake()
	}
}

// cleaned is the opposite. With m.mu.
func (c *Cache) cleaned(m *Mapping) {
	c.dirty.Add(-1)
	if m.dirty--; m.dirty == 0 {
		c.mu.Lock()
		c.unqueue(m)
		c.mu.Unlock()
	}
}

// requeue makes m the mapping that was dirtied last. With m.mu.
func (c *Cache) requeue(m *Mapping) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unqueue(m)
	m.queued, m.since = true, time.Now()
	c.waiting = append(c.waiting, m)
}

func (c *Cache) unqueue(m *Mapping) {
	if !m.queued {
		return
	}
	m.queued = false
	for i, o := range c.waiting {
		if o == m {
			c.waiting = append(c.waiting[:i], c.waiting[i+1:]...)
			c.waiting[:len(c.waiting)+1][len(c.waiting)] = nil
			return
		}
	}
}
