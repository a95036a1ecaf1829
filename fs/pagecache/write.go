package pagecache

import (
	"math"
	"syscall"
)

// AppendOffset as the offset of WriteAt is the end of the file.
const AppendOffset = -1

// maxPrepare is how many bytes get room and reservations at once.
const maxPrepare = 64 << pageBits

// WriteAt writes p at off, or at the end of the file. It returns how many bytes
// it wrote and the offset behind them; a short write has an error. The caller
// holds no lock that the backend takes, since a writer may have to wait
// until other pages are written.
func (m *Mapping) WriteAt(p []byte, off int64) (n int, end int64, err error) {
	if err := m.throttle(); err != nil {
		return 0, max(off, 0), err
	}
	m.change.Lock()
	defer m.change.Unlock()
	if off == AppendOffset {
		off = m.size // changes only with change
	}
	if len(p) == 0 {
		return 0, off, nil
	}
	if off < 0 || off == math.MaxInt64 {
		return 0, off, syscall.EFBIG
	}
	if int64(len(p)) > math.MaxInt64-off {
		p = p[:math.MaxInt64-off]
	}
	if off > m.size {
		if err := m.cleanTail(); err != nil {
			return 0, off, err
		}
		if len(m.windows) > 0 {
			defer func() {
				if e := m.populate(); err == nil { // what lies between may be mapped
					err = e
				}
			}()
		}
	}
	reserved := int64(0) // up to here pages may become dirty
	for {
		done, err := m.copyIn(p[n:], off, reserved)
		n += done
		off += int64(done)
		if n == len(p) || err != nil {
			return n, off, err
		}
		if reserved, err = m.prepare(off, min(len(p)-n, maxPrepare)); err != nil {
			return n, off, err
		}
	}
}

// copyIn writes p to pages that are dirty, or lie before reserved, and stops
// at the first that is not ready. With change.
func (m *Mapping) copyIn(p []byte, off, reserved int64) (done int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for done < len(p) {
		start := int(off & (PageSize - 1))
		part := p[done:min(len(p), done+PageSize-start)]
		pg := m.pages.at(off >> pageBits)
		switch {
		case pg == nil:
			if off >= reserved || !m.replaces(off, len(part)) {
				return done, nil
			}
			if pg = m.add(off>>pageBits, valid); pg == nil {
				return done, syscall.ENOMEM
			}
			clear(pg.data[:start])
			clear(pg.data[start+len(part):])
		case pg.state&dirty == 0 && off >= reserved:
			return done, nil
		case pg.state&valid == 0, pg.state&writing != 0 && !m.renew(pg):
			m.ended.Wait()
			continue
		default:
			pg.touch()
		}
		copy(pg.data[start:], part)
		m.soil(pg)
		done += len(part)
		off += int64(len(part))
		m.size = max(m.size, off)
	}
	return done, nil
}

// replaces reports whether nothing that is in a page now is left when n bytes
// of it have been written at off. With mu.
func (m *Mapping) replaces(off int64, n int) bool {
	start := off &^ (PageSize - 1)
	return start >= m.size || start == off && (n == PageSize || off+int64(n) >= m.size)
}

// renew gives a page that is being written other memory, so that it can be
// changed meanwhile, and reports whether it could. With mu.
func (m *Mapping) renew(p *Page) bool {
	if p.pins > 0 {
		return false
	}
	data := m.cache.alloc()
	if data == nil {
		return false
	}
	copy(data, p.data)
	p.data = data // write-back frees what it has
	p.state &^= writing
	return true
}

// prepare makes up to n bytes at off ready to be written, and returns the end
// of what is. With change.
func (m *Mapping) prepare(off int64, n int) (reserved int64, err error) {
	first := off >> pageBits
	within := int(min(int64(n), PageSize-off&(PageSize-1)))
	m.cache.room((n + 2*PageSize - 2) >> pageBits) // first: it might evict what is read below
	m.mu.RLock()
	read := m.pages.at(first) == nil && !m.replaces(off, within)
	m.mu.RUnlock()
	if read {
		if err := m.load(first, 1, false); err != nil {
			return 0, err
		}
	}
	if err = m.backend.Reserve(off, int64(n)); err != nil && n > within {
		n = within
		err = m.backend.Reserve(off, int64(n))
	}
	return off + int64(n), err
}

// cleanTail makes sure that what is behind the end of the file, in the page
// that has its last byte, is zero on the disk when the file grows. With change.
func (m *Mapping) cleanTail() error {
	if m.size&(PageSize-1) == 0 {
		return nil
	}
	p, err := m.edit(m.size>>pageBits, func(p *Page) bool { return p.state&stale != 0 })
	if p != nil {
		m.mu.Lock()
		m.soil(p)
		m.mu.Unlock()
		p.Unpin(false)
	}
	return err
}

// edit reads page i if it is not there, and returns it reserved and pinned if
// wanted, called with mu, says so. With change.
func (m *Mapping) edit(i int64, wanted func(p *Page) bool) (*Page, error) {
	for reserved := false; ; {
		m.mu.Lock()
		p := m.pages.at(i)
		there := p != nil && p.state&valid != 0
		needed := there && wanted(p)
		if needed && reserved {
			p.pins++
		}
		m.mu.Unlock()
		var err error
		switch {
		case !there:
			err = m.fill(i, 1)
		case !needed:
			return nil, nil
		case reserved:
			return p, nil
		default:
			err = m.backend.Reserve(i<<pageBits, PageSize)
			reserved = true
		}
		if err != nil {
			return nil, err
		}
	}
}

// throttle has the caller write if too much is dirty.
func (m *Mapping) throttle() error {
	c := m.cache
	limit := c.limit.Load() / 5
	if c.dirty.Load() <= limit {
		return nil
	}
	if m.Dirty() == 0 {
		c.wake()
		return nil
	}
	if err := m.SyncAll(); err != nil && c.dirty.Load() > limit {
		return err
	}
	return nil
}
