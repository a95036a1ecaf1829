package pagecache

import (
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A Backend moves pages of one file between a Mapping and a disk. Errors are
// syscall.Errno. The slices of pages belong to the caller again when a method
// returns; the pages are on the heap or from Options.Alloc.
type Backend interface {
	// ReadPages fills pages, each of PageSize bytes, with the content from page
	// number first on, holes with zeroes. What it puts behind the end of the
	// file does not matter. Different runs are read at the same time.
	ReadPages(first int64, pages [][]byte) error
	// Reserve makes sure that the pages which have any of the n bytes from off
	// on can be written later: ENOSPC. It is called before they become dirty.
	// Some may have blocks, or be reserved, already; what it reserved for pages that
	// are then cut off or punched out, the function given to Truncate or Punch releases.
	Reserve(off, n int64) error
	// WritePages gives blocks to pages that lack them, and writes. size is that of
	// the file at this moment; bytes behind it are zero. One run of a
	// mapping is written at a time. An error means that all must be written again.
	WritePages(first int64, pages [][]byte, size int64) error
}

// States of a page.
const (
	valid   = 1 << iota // has the content; else it is being read
	dirty               // is to be written
	writing             // is being written: its bytes must not change
	marker              // when it is used, the next pages should be read
	stale               // had bytes behind the end of the file on the disk
)

// A Page of a file. Only pages that Pin returned leave this package.
type Page struct {
	m     *Mapping
	index int64
	// Guarded by m.mu.
	data    []byte
	state   uint8
	pins    int32
	writers int32 // of the pins
	// uses is 0 for a new page, 1 when it was used, 2 when it was used again
	// since the lists were last looked at. Changed without a lock: a use may
	// be missed.
	uses atomic.Uint32

	// Guarded by Cache.mu.
	list         *list
	newer, older *Page
	gone         bool
}

// touch notes that a page is used.
func (p *Page) touch() {
	if n := p.uses.Load(); n < 2 {
		p.uses.Store(n + 1)
	}
}

// reused reports whether a page was used again since the last call, or since
// its first use.
func (p *Page) reused() bool { return p.uses.CompareAndSwap(2, 1) }

// Mapping is the content of one file: its size, and pages of it.
type Mapping struct {
	cache   *Cache
	backend Backend

	change sync.Mutex
	wb     sync.Mutex
	loads  sync.RWMutex

	mu    sync.RWMutex
	ended sync.Cond // reading or writing of a page has ended
	pages tree
	size  int64
	dirty int
	ahead ahead
	// windows are few: of each file a program maps one or two.
	windows []*window

	// Guarded by Cache.mu.
	queued  bool
	failing bool      // the last write-back did
	since   time.Time // when its oldest dirty page became that, or its last write-back failed
}

// NewMapping returns the mapping of a file of a size that has no other one.
func (c *Cache) NewMapping(b Backend, size int64) *Mapping {
	m := &Mapping{cache: c, backend: b, size: size}
	m.ended.L = &m.mu
	return m
}

// Size returns the size of the file, with what is not written yet.
func (m *Mapping) Size() int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.size
}

// Dirty returns how many pages wait to be written.
func (m *Mapping) Dirty() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.dirty
}

// Close forgets all pages, dirty ones as well, when the file is deleted or
// was synced and is no longer in use. Nobody uses the mapping then.
func (m *Mapping) Close() {
	m.change.Lock()
	defer m.change.Unlock()
	m.wb.Lock()
	defer m.wb.Unlock()
	m.loads.Lock()
	defer m.loads.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(0, lastPage)
}

// lastPage is behind all pages of a file.
const lastPage = 1 << (63 - pageBits)

// add makes a page that is not there; nil without memory. With mu.
func (m *Mapping) add(i int64, state uint8) *Page {
	p := &Page{m: m, index: i, state: state}
	if len(m.windows) == 0 || !m.enter(p) {
		if p.data = m.cache.alloc(); p.data == nil {
			return nil
		}
	}
	m.pages.insert(p)
	m.cache.added(p)
	return p
}

// remove takes a page away. With mu.
func (m *Mapping) remove(p *Page) {
	m.clean(p)
	m.pages.remove(p.index)
	m.cache.removed(p)
	if len(m.windows) > 0 && m.windowOf(p.index) != nil {
		clear(p.data) // what is mapped there is a hole now, or behind the end
	}
	if p.pins == 0 {
		m.cache.free(p.data)
		p.data = nil
	}
}

// drop takes the pages first to end-1 away. With loads and wb, and mu.
func (m *Mapping) drop(first, end int64) {
	for p := m.pages.next(first, false); p != nil && p.index < end; p = m.pages.next(p.index+1, false) {
		m.remove(p)
	}
}

// soil makes a page dirty. With mu.
func (m *Mapping) soil(p *Page) {
	p.state &^= stale
	if p.state&dirty == 0 {
		p.state |= dirty
		m.pages.mark(p.index, true)
		m.cache.dirtied(m, true)
	}
}

// soilAgain makes a page dirty that was just written and that a program may change at any time: no reason
// to write it at once. With mu.
func (m *Mapping) soilAgain(p *Page) {
	p.state |= dirty
	m.pages.mark(p.index, true)
	m.cache.dirtied(m, false)
}

// clean makes it clean. With mu.
func (m *Mapping) clean(p *Page) {
	if p.state&dirty != 0 {
		p.state &^= dirty
		m.pages.mark(p.index, false)
		m.cache.cleaned(m)
	}
}

// evict takes a page away that nobody needs, if it can be done at once.
func (m *Mapping) evict(p *Page) bool {
	if !m.mu.TryLock() {
		return false
	}
	defer m.mu.Unlock()
	if m.pages.at(p.index) != p || p.state&^(marker|stale) != valid || p.pins > 0 {
		return false
	}
	m.remove(p)
	return true
}

// Pin returns the page that has the byte at off for as long as Unpin has not
// been called: ENXIO if that byte is behind the end of the file. It keeps its
// place in memory. With write, its bytes may be changed meanwhile; it stays dirty.
// A page that was cut off or punched out is no longer that of the file.
func (m *Mapping) Pin(off int64, write bool) (*Page, error) {
	if write {
		m.change.Lock()
		defer m.change.Unlock()
		if err := m.backend.Reserve(off&^(PageSize-1), PageSize); err != nil {
			return nil, err
		}
	}
	for {
		m.mu.Lock()
		if off < 0 || off >= m.size {
			m.mu.Unlock()
			return nil, syscall.ENXIO
		}
		if p := m.pages.at(off >> pageBits); p != nil && p.state&valid != 0 {
			for write && p.state&writing != 0 {
				m.ended.Wait()
			}
			if m.pages.at(p.index) != p {
				m.mu.Unlock()
				continue
			}
			p.pins++
			p.touch()
			if write {
				p.writers++
				m.soil(p)
			}
			m.mu.Unlock()
			return p, nil
		}
		m.mu.Unlock()
		if err := m.fill(off>>pageBits, 1); err != nil {
			return nil, err
		}
	}
}

// Data returns the bytes of a pinned page, PageSize of them.
func (p *Page) Data() []byte { return p.data }

// Unpin ends a Pin with the same write.
func (p *Page) Unpin(write bool) {
	m := p.m
	m.mu.Lock()
	defer m.mu.Unlock()
	p.pins--
	if write {
		p.writers--
	}
	if p.pins == 0 && m.pages.at(p.index) != p {
		m.cache.free(p.data)
		p.data = nil
	}
}
