package pagecache

import (
	"math"
	"syscall"
)

// Truncate changes the size of the file. change does what the file system has
// to do, such as to free blocks; no page is read or written meanwhile. Unless it returns
// nil the mapping stays as it was. change may be nil. Of a block that keeps
// the new end, the bytes behind it become zero with a page that is then dirty: whoever wants them zero on
// the disk before the new size is, calls Sync.
func (m *Mapping) Truncate(size int64, change func() error) error {
	if size < 0 {
		return syscall.EINVAL
	}
	m.change.Lock()
	defer m.change.Unlock()
	if err := m.truncate(size, change); err != nil {
		return err
	}
	return m.populate()
}

// truncate is Truncate with change.
func (m *Mapping) truncate(size int64, change func() error) error {
	if size > m.size {
		if err := m.cleanTail(); err != nil {
			return err
		}
	}
	tail, err := m.edge(size, (size+PageSize-1)&^(PageSize-1))
	if err != nil {
		return err
	}
	defer tail.release()
	m.wb.Lock()
	defer m.wb.Unlock()
	m.loads.Lock()
	defer m.loads.Unlock()
	if change != nil {
		if err := change(); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if size < m.size {
		m.drop((size+PageSize-1)>>pageBits, lastPage)
		tail.zero()
	}
	m.size = size
	return nil
}

// Punch makes n bytes from off on zero. change frees what holds the pages from
// first to end-1, if any, those that lie in the range as a whole or begin behind the
// end of the file; pages at the edges are changed in memory and become dirty. The rest is
// as with Truncate. The size does not change.
func (m *Mapping) Punch(off, n int64, change func(first, end int64) error) error {
	if off < 0 || n <= 0 || n > math.MaxInt64-off {
		return syscall.EINVAL
	}
	m.change.Lock()
	defer m.change.Unlock()
	if err := m.punch(off, n, change); err != nil {
		return err
	}
	return m.populate()
}

// punch is Punch with change.
func (m *Mapping) punch(off, n int64, change func(first, end int64) error) error {
	first, end := (off+PageSize-1)>>pageBits, (off+n)>>pageBits
	if off+n >= m.size {
		end = (off+n-1)>>pageBits + 1
	}
	end = max(first, end)
	left, err := m.edge(off, min(off+n, first<<pageBits))
	if err != nil {
		return err
	}
	defer left.release()
	right, err := m.edge(end<<pageBits, off+n)
	if err != nil {
		return err
	}
	defer right.release()
	m.wb.Lock()
	defer m.wb.Unlock()
	m.loads.Lock()
	defer m.loads.Unlock()
	if err := change(first, end); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(first, end)
	left.zero()
	right.zero()
	return nil
}

// Direct lets write put n bytes at off on the disk itself. The pages there are
// written and forgotten before, and the file has the size it then needs afterwards. Pages
// there that are pinned are no longer those of the file.
func (m *Mapping) Direct(off, n int64, write func() error) error {
	if off < 0 || n < 0 || n > math.MaxInt64-off {
		return syscall.EINVAL
	}
	m.change.Lock()
	defer m.change.Unlock()
	if err := m.direct(off, n, write); err != nil {
		return err
	}
	return m.populate()
}

// direct is Direct with change.
func (m *Mapping) direct(off, n int64, write func() error) error {
	if off > m.size {
		if err := m.cleanTail(); err != nil {
			return err
		}
	}
	m.wb.Lock()
	defer m.wb.Unlock()
	if err := m.writeOut(off, n); err != nil {
		return err
	}
	m.loads.Lock()
	defer m.loads.Unlock()
	m.mu.Lock()
	m.drop(off>>pageBits, (off+n+PageSize-1)>>pageBits)
	m.mu.Unlock()
	if err := write(); err != nil {
		return err
	}
	m.mu.Lock()
	m.size = max(m.size, off+n)
	m.mu.Unlock()
	return nil
}

// An edge is a part of a page that is to become zero.
type edge struct {
	page     *Page // pinned; nil: it is zero already
	from, to int
}

// edge reads and reserves what is needed to make the bytes of from to to-1, which are
// in one page, zero. With change.
func (m *Mapping) edge(from, to int64) (edge, error) {
	to = min(to, m.size)
	if from >= to {
		return edge{}, nil
	}
	e := edge{from: int(from & (PageSize - 1))}
	e.to = e.from + int(to-from)
	var err error
	e.page, err = m.edit(from>>pageBits, func(p *Page) bool { return !allZero(p.data[e.from:e.to]) })
	return e, err
}

// zero makes the part zero. With wb and mu.
func (e edge) zero() {
	if e.page != nil {
		clear(e.page.data[e.from:e.to])
		e.page.m.soil(e.page)
	}
}

func (e edge) release() {
	if e.page != nil {
		e.page.Unpin(false)
	}
}
