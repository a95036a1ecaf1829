package pagecache

// Read-ahead, in pages: the first, and the longest (1 MiB).
const (
	minAhead = 4
	maxAhead = 256
)

// ahead says how far a file is read ahead of its readers. A file is read
// sequentially if a page is missing that is the first or lies where the last
// reading ended; then as many pages more are read as the window has, without
// waiting. The first of those gets a marker; when that page is used, the window
// grows and the next pages are read. Guarded by Mapping.mu.
type ahead struct {
	end   int64 // behind what was read last
	pages int64 // the window
}

// missed is told that n pages from i on were wanted and page i was missing. It
// returns how many are to be read at once, and whether to go on reading then.
func (a *ahead) missed(i, n int64) (read int64, sequential bool) {
	if i != 0 && i != a.end {
		a.pages, a.end = 0, i+n
		return n, false
	}
	a.pages = min(max(2*a.pages, minAhead), maxAhead)
	read = max(n, minAhead)
	a.end = i + read
	return read, true
}

// readAhead goes on reading, when page i with a marker was used.
func (m *Mapping) readAhead(i int64) {
	m.mu.Lock()
	p := m.pages.at(i)
	if p == nil || p.state&marker == 0 {
		m.mu.Unlock()
		return
	}
	p.state &^= marker
	a := &m.ahead
	if i >= a.end || a.end-i > 2*maxAhead {
		m.mu.Unlock() // of a reader that has gone elsewhere
		return
	}
	a.pages = min(max(2*a.pages, minAhead), maxAhead)
	m.mu.Unlock()
	m.start()
}

// start reads the window from where the last reading ended, without waiting.
func (m *Mapping) start() {
	if !m.loads.TryRLock() {
		return // the file is being cut
	}
	m.mu.Lock()
	a := &m.ahead
	first, n := a.end, a.pages
	if first<<pageBits >= m.size || n == 0 {
		m.mu.Unlock()
		m.loads.RUnlock()
		return
	}
	a.end += n
	m.mu.Unlock()
	// Claimed here, so that the reader waits for the pages and does not read
	// them itself. Without memory, or after an error, it does.
	pages, size, _ := m.claim(first, n)
	if len(pages) == 0 {
		m.loads.RUnlock()
		return
	}
	m.mu.Lock()
	pages[0].state |= marker
	m.mu.Unlock()
	go func() {
		defer m.loads.RUnlock()
		_ = m.readClaimed(pages, size)
	}()
}
