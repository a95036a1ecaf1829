package blocktest

import (
	"slices"

	"github.com/goshawk-os/goshawk/fs/block"
)

// sure returns the content at the last flush within the first n entries, and
// the entries since then. Going forwards is cheap.
func (c *Recorder) sure(n int) (image []byte, pending []Entry) {
	if n < c.lastingAt {
		copy(c.lasting, c.start)
		c.lastingAt = 0
	}
	for flush := n; flush > c.lastingAt; flush-- {
		if c.entries[flush-1].Op == block.FlushCache {
			for i := range c.entries[c.lastingAt:flush] {
				c.entries[c.lastingAt+i].apply(c.lasting, nil, c.info.LogicalBlock)
			}
			c.lastingAt = flush
			break
		}
	}
	return slices.Clone(c.lasting), c.entries[c.lastingAt:n]
}

// apply changes an image as the entry says. keep, if it is not nil, says which
// of its logical blocks reach the image.
func (e *Entry) apply(image []byte, keep func(i int) bool, blockSize int) {
	n := int64(len(e.Data))
	if e.Op != block.Write {
		n = e.Length
	}
	for i, at := 0, int64(0); at < n; i, at = i+1, at+int64(blockSize) {
		if keep != nil && !keep(i) {
			continue
		}
		to := image[e.Off+at:][:blockSize]
		if e.Op == block.Write {
			copy(to, e.Data[at:])
		} else {
			clear(to)
		}
	}
}

// Torn returns a content that a power cut after n entries may leave, one of many
// that the seed chooses. It has all that was flushed, all that was written
// with FUA, and of the rest what a cache happened to have written out: all,
// nothing or some logical blocks of each request, whatever their order.
func (c *Recorder) Torn(n int, seed uint64) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	random := generator(seed<<32 ^ uint64(n))
	image, pending := c.sure(n)
	// Some disks lose little and some much.
	lose := random.intN(101)
	for i := range pending {
		e := &pending[i]
		size := c.info.LogicalBlock
		switch {
		case e.FUA:
			e.apply(image, nil, size)
		case random.intN(100) < lose && random.intN(4) > 0:
			// Lost as a whole.
		case random.intN(3) > 0:
			e.apply(image, nil, size)
		case random.intN(2) == 0:
			blocks := int(max(int64(len(e.Data)), e.Length)) / size
			cut := random.intN(blocks + 1)
			e.apply(image, func(i int) bool { return i < cut }, size)
		default:
			e.apply(image, func(int) bool { return random.intN(100) >= lose }, size)
		}
	}
	return image
}

// generator makes pseudo-random numbers (SplitMix64).
type generator uint64

// intN returns a number from 0 to n-1.
func (g *generator) intN(n int) int {
	*g += 0x9e3779b97f4a7c15
	z := uint64(*g)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return int((z ^ z>>31) >> 1 % uint64(n))
}
