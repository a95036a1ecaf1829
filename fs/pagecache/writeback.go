package pagecache

import (
	"math"
	"unsafe"
)

// maxRun is how many pages are written at once: 4 MiB.
const maxRun = 1024

// SyncAll writes all dirty pages, and waits for those that are being written.
func (m *Mapping) SyncAll() error { return m.Sync(0, math.MaxInt64) }

// Sync writes the dirty pages that have any of the n bytes from off on, and
// waits for those that are being written. What becomes dirty meanwhile may or may not be
// written. It makes nothing lasting: the device must be flushed, and the
// file system's own blocks written.
func (m *Mapping) Sync(off, n int64) error {
	m.wb.Lock()
	defer m.wb.Unlock()
	return m.writeOut(off, n)
}

// writeOut is Sync with wb.
func (m *Mapping) writeOut(off, n int64) error {
	if n <= 0 {
		return nil
	}
	last := int64(math.MaxInt64) >> pageBits
	if n <= math.MaxInt64-off {
		last = (off + n - 1) >> pageBits
	}
	var first error
	var pages []*Page
	var parts [][]byte
	for at := off >> pageBits; ; {
		var size int64
		pages, parts, size = m.take(at, last, pages[:0], parts[:0])
		if len(pages) == 0 {
			break
		}
		at = pages[len(pages)-1].index + 1
		err := m.backend.WritePages(pages[0].index, parts, size)
		m.written(pages, parts, err)
		if err != nil && first == nil {
			first = err
		}
	}
	m.cache.mu.Lock()
	m.failing = first != nil
	m.cache.mu.Unlock()
	m.mu.Lock()
	if m.dirty > 0 && (first != nil || off == 0 && n == math.MaxInt64) {
		m.cache.requeue(m)
	}
	m.mu.Unlock()
	return first
}

// take makes the first run of dirty pages from first to last clean and writing.
// With wb.
func (m *Mapping) take(first, last int64, pages []*Page, parts [][]byte) ([]*Page, [][]byte, int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.pages.next(first, true)
	for p != nil && p.index <= last && p.state&dirty != 0 && len(pages) < maxRun {
		if behind := m.size - p.index<<pageBits; behind < PageSize && p.writers > 0 {
			clear(p.data[max(behind, 0):]) // a program may write there through mmap
		}
		m.clean(p)
		p.state |= writing
		pages, parts = append(pages, p), append(parts, p.data)
		if p = m.pages.at(p.index + 1); p == nil {
			break
		}
	}
	return pages, parts, m.size
}

// written ends the writing of pages whose memory was parts. With wb.
func (m *Mapping) written(pages []*Page, parts [][]byte, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, p := range pages {
		if unsafe.SliceData(p.data) != unsafe.SliceData(parts[i]) {
			m.cache.free(parts[i])
		} else {
			p.state &^= writing
		}
		switch {
		case err != nil:
			m.soil(p)
		case p.writers > 0:
			m.soilAgain(p)
		}
		pages[i], parts[i] = nil, nil
	}
	m.ended.Broadcast()
}
