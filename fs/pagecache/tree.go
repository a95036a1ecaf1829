package pagecache

import (
	"math/bits"
	"unsafe"
)

const (
	fanBits = 6
	fan     = 1 << fanBits
)

// A tree holds the pages of a file by number: a radix tree.
type tree struct{ root *node }

// A node has *Page in its slots if shift is 0, and else *node.
type node struct {
	shift uint
	used  int
	dirty uint64 // slots below which there are dirty pages
	slot  [fan]unsafe.Pointer
}

// at returns a page, or nil.
func (t *tree) at(i int64) *Page {
	n := t.root
	if n == nil || uint64(i)>>(n.shift+fanBits) != 0 {
		return nil
	}
	for n.shift > 0 {
		if n = (*node)(n.slot[uint64(i)>>n.shift&(fan-1)]); n == nil {
			return nil
		}
	}
	return (*Page)(n.slot[i&(fan-1)])
}

// insert adds a page that is not there.
func (t *tree) insert(p *Page) {
	i := uint64(p.index)
	if t.root == nil {
		t.root = &node{}
	}
	for i>>(t.root.shift+fanBits) != 0 {
		up := &node{shift: t.root.shift + fanBits}
		if t.root.used > 0 {
			up.used = 1
			up.slot[0] = unsafe.Pointer(t.root)
			if t.root.dirty != 0 {
				up.dirty = 1
			}
		}
		t.root = up
	}
	n := t.root
	for n.shift > 0 {
		s := &n.slot[i>>n.shift&(fan-1)]
		if *s == nil {
			*s = unsafe.Pointer(&node{shift: n.shift - fanBits})
			n.used++
		}
		n = (*node)(*s)
	}
	n.slot[i&(fan-1)] = unsafe.Pointer(p)
	n.used++
}

// remove removes a page that is there and clean.
func (t *tree) remove(i int64) {
	if t.root.remove(uint64(i)) {
		t.root = nil
	}
}

// remove reports whether the node is empty then.
func (n *node) remove(i uint64) bool {
	s := &n.slot[i>>n.shift&(fan-1)]
	if n.shift == 0 || (*node)(*s).remove(i) {
		*s = nil
		n.used--
	}
	return n.used == 0
}

// mark says whether a page that is there is dirty.
func (t *tree) mark(i int64, dirty bool) { t.root.mark(uint64(i), dirty) }

func (n *node) mark(i uint64, dirty bool) {
	s := i >> n.shift & (fan - 1)
	if n.shift > 0 {
		below := (*node)(n.slot[s])
		below.mark(i, dirty)
		dirty = below.dirty != 0
	}
	if dirty {
		n.dirty |= 1 << s
	} else {
		n.dirty &^= 1 << s
	}
}

// next returns the first page whose number is at least i, nil if there is none.
func (t *tree) next(i int64, dirty bool) *Page {
	if t.root == nil || uint64(i)>>(t.root.shift+fanBits) != 0 {
		return nil
	}
	return t.root.next(uint64(i), dirty)
}

func (n *node) next(i uint64, dirty bool) *Page {
	for s := i >> n.shift & (fan - 1); s < fan; s++ {
		if dirty {
			left := n.dirty >> s
			if left == 0 {
				return nil
			}
			if skip := uint64(bits.TrailingZeros64(left)); skip > 0 {
				s, i = s+skip, 0
			}
		}
		if n.slot[s] != nil {
			if n.shift == 0 {
				return (*Page)(n.slot[s])
			}
			if p := (*node)(n.slot[s]).next(i, dirty); p != nil {
				return p
			}
		}
		i = 0
	}
	return nil
}
