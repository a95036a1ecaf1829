package pagecache

import (
	"math"
	"slices"
	"syscall"
)

// A window is memory that is the home of some pages for as long as a program has
// them mapped: reading, writing and the program's own loads and stores meet there.
type window struct {
	first  int64 // page
	memory []byte
	write  bool // stores may change it at any time: its pages are always dirty
}

func (w *window) end() int64 { return w.first + int64(len(w.memory)>>pageBits) }

// page returns the memory of a page.
func (w *window) page(i int64) []byte {
	off := int(i-w.first) << pageBits
	return w.memory[off : off+PageSize : off+PageSize]
}

// windowOf returns the window that has a page, or nil. With mu.
func (m *Mapping) windowOf(i int64) *window {
	for _, w := range m.windows {
		if w.first <= i && i < w.end() {
			return w
		}
	}
	return nil
}

// enter makes a new page's memory that of a window, if there is one, and
// reports whether there is. With mu.
func (m *Mapping) enter(p *Page) bool {
	w := m.windowOf(p.index)
	if w == nil {
		return false
	}
	p.data = w.page(p.index)
	p.pins++
	if w.write {
		p.writers++
	}
	return true
}

// Map makes memory, whole pages of it, the home of the pages from off on, and
// reads those that the file has. What the file gets there later is there too; what lies behind its
// end is not. unmap ends it, after which memory is the caller's again. A page is mapped once at a time: EBUSY.
func (m *Mapping) Map(off int64, memory []byte, write bool) (unmap func(), err error) {
	if off < 0 || off&(PageSize-1) != 0 || len(memory)&(PageSize-1) != 0 || int64(len(memory)) > math.MaxInt64-off {
		return nil, syscall.EINVAL
	}
	w := &window{off >> pageBits, memory, write}
	m.change.Lock()
	defer m.change.Unlock()
	if err := m.addWindow(w); err != nil {
		return nil, err
	}
	if err := m.populate(); err != nil {
		m.removeWindow(w)
		return nil, err
	}
	return func() {
		m.change.Lock()
		defer m.change.Unlock()
		m.removeWindow(w)
	}, nil
}

// populate reads the pages of windows that are not there: of a new one, and after the file has
// grown or lost pages. With change.
func (m *Mapping) populate() error {
	for _, w := range m.windows {
		end := min(w.end(), (m.Size()+PageSize-1)>>pageBits)
		for at := w.first; at < end; at += maxLoad {
			if err := m.load(at, min(maxLoad, end-at), false); err != nil {
				return err
			}
		}
		if w.write && end > w.first {
			if err := m.backend.Reserve(w.first<<pageBits, (end-w.first)<<pageBits); err != nil {
				return err
			}
			m.mu.Lock()
			for p := m.pages.next(w.first, false); p != nil && p.index < end; p = m.pages.next(p.index+1, false) {
				m.soil(p)
			}
			m.mu.Unlock()
		}
	}
	return nil
}

// addWindow moves the pages that there are. With change.
func (m *Mapping) addWindow(w *window) error {
	defer m.still()()
	for _, o := range m.windows {
		if w.first < o.end() && o.first < w.end() {
			return syscall.EBUSY
		}
	}
	m.windows = append(m.windows, w)
	for p := m.pages.next(w.first, false); p != nil && p.index < w.end(); p = m.pages.next(p.index+1, false) {
		old := p.data
		m.enter(p)
		copy(p.data, old)
		m.cache.free(old)
	}
	return nil
}

// removeWindow moves the pages out again. With change.
func (m *Mapping) removeWindow(w *window) {
	defer m.still()()
	m.windows = slices.DeleteFunc(m.windows, func(o *window) bool { return o == w })
	for p := m.pages.next(w.first, false); p != nil && p.index < w.end(); p = m.pages.next(p.index+1, false) {
		old := p.data
		if p.data = m.cache.alloc(); p.data == nil {
			p.data = make([]byte, PageSize) // it may be dirty, and must not be lost
		}
		copy(p.data, old)
		p.pins--
		if w.write {
			p.writers--
		}
	}
}

// still waits until no page is being read or written, and keeps it so with mu until the
// function that it returns is called. With change.
func (m *Mapping) still() func() {
	m.wb.Lock()
	m.loads.Lock()
	m.mu.Lock()
	return func() {
		m.mu.Unlock()
		m.loads.Unlock()
		m.wb.Unlock()
	}
}
