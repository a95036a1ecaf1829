package pagecache

// Pages that were used once are in the inactive list, those used again while
// there in the active one: a file read once from end to end does not push out
// what is used often.

// A list of pages, the newest first.
type list struct {
	first, last *Page
	n           int
}

func (l *list) add(p *Page) {
	p.list, p.newer, p.older = l, nil, l.first
	if l.first != nil {
		l.first.newer = p
	} else {
		l.last = p
	}
	l.first = p
	l.n++
}

func (l *list) remove(p *Page) {
	if p.newer != nil {
		p.newer.older = p.older
	} else {
		l.first = p.older
	}
	if p.older != nil {
		p.older.newer = p.newer
	} else {
		l.last = p.newer
	}
	p.list, p.newer, p.older = nil, nil, nil
	l.n--
}

// added puts a new page into the list. With m.mu.
func (c *Cache) added(p *Page) {
	c.pages.Add(1)
	c.mu.Lock()
	c.inactive.add(p)
	c.mu.Unlock()
}

// removed takes a page that has left its tree out of the lists. With m.mu.
func (c *Cache) removed(p *Page) {
	c.pages.Add(-1)
	c.mu.Lock()
	p.gone = true
	if p.list != nil {
		p.list.remove(p)
	}
	c.mu.Unlock()
}

// room makes room for n pages, as far as that can be done without waiting
// and by looking at few pages.
func (c *Cache) room(n int) {
	if over := c.pages.Load() + int64(n) - c.limit.Load(); over > 0 {
		c.shrink(int(over), 8*int(over)+4*scanBatch)
	}
}

// scanBatch is how many pages are looked at with the lists locked.
const scanBatch = 32

// Shrink gives back up to n clean pages, those not used for longest first, and
// returns how many. It does not wait for a disk, and may be called while
// anything else is under way; if there are too few clean pages, writing begins.
func (c *Cache) Shrink(n int) int {
	c.mu.Lock()
	looks := 4 * (c.inactive.n + c.active.n) // from list to list, and each page may have been used
	c.mu.Unlock()
	return c.shrink(n, looks)
}

// shrink is Shrink with a bound on how many pages are looked at.
func (c *Cache) shrink(n, looks int) int {
	freed := 0
	var batch [scanBatch]*Page
	for freed < n {
		got := c.candidates(batch[:min(scanBatch, n-freed)], &looks)
		if got == 0 {
			break
		}
		for _, p := range batch[:got] {
			if p.m.evict(p) {
				freed++
				continue
			}
			c.mu.Lock()
			if !p.gone {
				c.active.add(p)
			}
			c.mu.Unlock()
		}
	}
	if freed < n && c.dirty.Load() > 0 {
		c.pressed.Store(true)
		c.wake()
	}
	return freed
}

// candidates takes pages out of the lists that were not used recently, and
// returns how many. It counts the pages it looks at down.
func (c *Cache) candidates(batch []*Page, looks *int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	got := 0
	for ; got < len(batch) && *looks > 0; *looks-- {
		if p := c.active.last; p != nil && c.active.n > 2*c.inactive.n {
			c.active.remove(p)
			if p.reused() {
				c.active.add(p)
			} else {
				c.inactive.add(p)
			}
			continue
		}
		p := c.inactive.last
		if p == nil {
			break
		}
		c.inactive.remove(p)
		if p.reused() {
			c.active.add(p)
		} else {
			batch[got] = p
			got++
		}
	}
	return got
}
