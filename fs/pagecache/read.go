package pagecache

import (
	"sync"
	"syscall"
)

// maxLoad is how many pages are read at once.
const maxLoad = 256

// maxLent is how many pages are lent at once.
const maxLent = 16

// ReadAt reads what begins at off: fewer bytes than asked only at the end of
// the file, and there 0, nil; or as many as there are before an error.
func (m *Mapping) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for {
		n, more, mark := m.copyOut(p[done:], off+int64(done))
		done += n
		if mark >= 0 {
			m.readAhead(mark)
		}
		if !more {
			return done, nil
		}
		at := off + int64(done)
		if err := m.fill(at>>pageBits, (off+int64(len(p))-1)>>pageBits-at>>pageBits+1); err != nil {
			return done, err
		}
	}
}

// copyOut copies from the pages that are there, and reports whether p goes on
// behind them. mark is the number of a page with a marker, or -1.
func (m *Mapping) copyOut(p []byte, off int64) (done int, more bool, mark int64) {
	mark = -1
	m.mu.RLock()
	if left := m.size - off; int64(len(p)) > left {
		p = p[:max(left, 0)]
	}
	for done < len(p) {
		pg := m.pages.at(off >> pageBits)
		if pg == nil || pg.state&valid == 0 {
			more = true
			break
		}
		if pg.state&marker != 0 {
			mark = pg.index
		}
		pg.touch()
		n := copy(p[done:], pg.data[off&(PageSize-1):])
		done += n
		off += int64(n)
	}
	m.mu.RUnlock()
	return done, more, mark
}

var lentParts = sync.Pool{New: func() any { return new([maxLent][]byte) }}

// Lend calls use, once, with up to n bytes from off on, in parts; with none at
// or behind the end, and before an error. The content cannot change meanwhile: use neither waits nor
// uses a file, and keeps nothing. Lend returns how many bytes these were.
func (m *Mapping) Lend(off int64, n int, use func(parts [][]byte)) (int, error) {
	for {
		lent, missing, mark := m.lend(off, n, use)
		if mark >= 0 {
			m.readAhead(mark)
		}
		if !missing {
			return lent, nil
		}
		if err := m.fill(off>>pageBits, (off+int64(n)-1)>>pageBits-off>>pageBits+1); err != nil {
			use(nil)
			return 0, err
		}
	}
}

// lend is Lend if the first page is there, and else reports that it is missing.
func (m *Mapping) lend(off int64, n int, use func(parts [][]byte)) (lent int, missing bool, mark int64) {
	mark = -1
	m.mu.RLock()
	defer m.mu.RUnlock()
	n = int(min(int64(n), max(0, m.size-off)))
	parts := lentParts.Get().(*[maxLent][]byte)
	count := 0
	for lent < n && count < maxLent {
		pg := m.pages.at(off >> pageBits)
		if pg == nil || pg.state&valid == 0 {
			break
		}
		if pg.state&marker != 0 {
			mark = pg.index
		}
		pg.touch()
		start := int(off & (PageSize - 1))
		part := pg.data[start:min(PageSize, start+n-lent)]
		parts[count] = part
		count++
		lent += len(part)
		off += int64(len(part))
	}
	if missing = lent == 0 && n > 0; !missing {
		use(parts[:count])
	}
	clear(parts[:count])
	lentParts.Put(parts)
	return lent, missing, mark
}

// fill waits until page i has been read, or is no longer wanted; the n pages
// from there on are about to be used. It may have been evicted again.
func (m *Mapping) fill(i, n int64) error {
	m.mu.Lock()
	if pg := m.pages.at(i); pg != nil {
		if pg.state&valid == 0 {
			m.ended.Wait()
		}
		m.mu.Unlock()
		return nil // a reader that failed has removed the page: look again
	}
	n = min(n, maxLoad)
	read, sequential := m.ahead.missed(i, n)
	m.mu.Unlock()
	err := m.load(i, read, sequential)
	if err != nil && read > 1 {
		// What fails may be a page that nobody asked for.
		err = m.load(i, 1, false)
	}
	return err
}

// load reads those of n pages from first on that are not there, and begins to
// read those behind them if sequential. It returns an error if one of the n was not read.
func (m *Mapping) load(first, n int64, sequential bool) error {
	m.loads.RLock()
	defer m.loads.RUnlock()
	pages, size, err := m.claim(first, n)
	if sequential {
		m.start() // before the pages can be evicted to make room for the next
	}
	if failed := m.readClaimed(pages, size); failed != nil {
		err = failed
	}
	return err
}

// claim makes those of n pages from first on that are not there, for readClaimed
// to read, and returns the size of the file: ENOMEM if some could not be
// made. With loads.
func (m *Mapping) claim(first, n int64) (pages []*Page, size int64, err error) {
	m.cache.room(int(n))
	m.mu.Lock()
	defer m.mu.Unlock()
	end := min(first+n, (m.size+PageSize-1)>>pageBits)
	for i := first; i < end; i++ {
		if m.pages.at(i) != nil {
			continue
		}
		p := m.add(i, 0)
		if p == nil {
			err = syscall.ENOMEM
			break
		}
		pages = append(pages, p)
	}
	return pages, m.size, err
}

// readClaimed reads pages of a file that had a size when they were claimed.
// With loads.
func (m *Mapping) readClaimed(pages []*Page, size int64) (failed error) {
	parts := make([][]byte, 0, len(pages))
	for len(pages) > 0 {
		run := 1
		for run < len(pages) && pages[run].index == pages[run-1].index+1 {
			run++
		}
		parts = parts[:0]
		for _, p := range pages[:run] {
			parts = append(parts, p.data)
		}
		err := m.backend.ReadPages(pages[0].index, parts)
		m.loaded(pages[:run], size, err)
		if err != nil && failed == nil {
			failed = err
		}
		pages = pages[run:]
	}
	return failed
}

// loaded ends the reading of pages, when the file had a size.
func (m *Mapping) loaded(pages []*Page, size int64, err error) {
	m.mu.Lock()
	for _, p := range pages {
		if err != nil {
			m.remove(p)
			continue
		}
		if behind := size - p.index<<pageBits; behind < PageSize {
			if tail := p.data[behind:]; !allZero(tail) {
				clear(tail)
				p.state |= stale
			}
		}
		p.state |= valid
	}
	m.ended.Broadcast()
	m.mu.Unlock()
}

func allZero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}
