package pagecache

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// disk is a Backend of blocks in memory that checks how it is used.
type disk struct {
	t        testing.TB
	mu       sync.Mutex
	blocks   map[int64][]byte
	reserved map[int64]bool
	room     int // blocks that may exist or be reserved
	// fail, if it is not nil, decides whether a call fails.
	fail func(op string, first int64, n int) error
	runs []int // lengths of writes, in pages
	read []int // and of reads
}

func newDisk(t testing.TB) *disk {
	return &disk{t: t, blocks: make(map[int64][]byte), reserved: make(map[int64]bool), room: 1 << 30}
}

func (d *disk) failing(op string, first int64, n int) error {
	if d.fail == nil {
		return nil
	}
	return d.fail(op, first, n)
}

func (d *disk) ReadPages(first int64, pages [][]byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.read = append(d.read, len(pages))
	for i, p := range pages {
		clear(p)
		copy(p, d.blocks[first+int64(i)])
	}
	return d.failing("read", first, len(pages))
}

func (d *disk) Reserve(off, n int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	first, end := off>>pageBits, (off+n-1)>>pageBits+1
	var more []int64
	for i := first; i < end; i++ {
		if d.blocks[i] == nil && !d.reserved[i] {
			more = append(more, i)
		}
	}
	if len(d.blocks)+len(d.reserved)+len(more) > d.room {
		return syscall.ENOSPC
	}
	if err := d.failing("reserve", first, int(end-first)); err != nil {
		return err
	}
	for _, i := range more {
		d.reserved[i] = true
	}
	return nil
}

func (d *disk) WritePages(first int64, pages [][]byte, size int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.failing("write", first, len(pages)); err != nil {
		return err
	}
	d.runs = append(d.runs, len(pages))
	for i, p := range pages {
		at := first + int64(i)
		if d.blocks[at] == nil {
			assert.True(d.t, d.reserved[at], "page %d is written and has neither a block nor a reservation", at)
			delete(d.reserved, at)
		}
		assert.Less(d.t, at<<pageBits, size, "a page behind the end is written")
		if behind := size - at<<pageBits; behind < PageSize {
			assert.True(d.t, allZero(p[max(behind, 0):]), "bytes behind the end of page %d are not zero", at)
		}
		d.blocks[at] = slices.Clone(p)
	}
	return nil
}

// punch frees pages.
func (d *disk) punch(first, end int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.blocks {
		if first <= i && i < end {
			delete(d.blocks, i)
		}
	}
	for i := range d.reserved {
		if first <= i && i < end {
			delete(d.reserved, i)
		}
	}
}

// set replaces what the disk does wrong.
func (d *disk) set(fail func(op string, first int64, n int) error) {
	d.mu.Lock()
	d.fail = fail
	d.mu.Unlock()
}

// content returns the first size bytes.
func (d *disk) content(size int64) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]byte, (size+PageSize-1)&^(PageSize-1))
	for i, b := range d.blocks {
		if i<<pageBits < size {
			copy(all[i<<pageBits:], b)
		}
	}
	return all[:size]
}

// frames are pages that are used again, and spoilt when they are free.
type frames struct {
	mu   sync.Mutex
	free [][]byte
	out  int
}

func (f *frames) alloc() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.out++
	if n := len(f.free); n > 0 {
		p := f.free[n-1]
		f.free = f.free[:n-1]
		return p
	}
	return bytes.Repeat([]byte{0xdb}, PageSize)
}

func (f *frames) release(p []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range p {
		p[i] = 0xdb
	}
	f.out--
	f.free = append(f.free, p)
}

func newCache(t testing.TB, limit int) (*Cache, *frames) {
	f := &frames{}
	c := New(Options{Limit: limit, Alloc: f.alloc, Free: f.release})
	t.Cleanup(c.Close)
	return c, f
}

// TestModel compares a mapping with a plain slice through random operations,
// on disks that are full or fail now and then.
func TestModel(t *testing.T) {
	for seed := range uint64(60) {
		model(t, seed, 400)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func model(t *testing.T, seed uint64, steps int) {
	r := rand.New(rand.NewPCG(seed, 1))
	limit := []int{8, 60, 10000}[seed%3]
	c, f := newCache(t, limit)
	d := newDisk(t)
	if seed%4 == 1 {
		d.room = 40
	}
	bad := seed%5 == 2
	const most = 80 * PageSize
	m := c.NewMapping(d, 0)
	var want []byte
	grow := func(n int64) {
		if n > int64(len(want)) {
			want = append(want, make([]byte, n-int64(len(want)))...)
		}
	}
	place := func() int64 {
		off := r.Int64N(most)
		if r.IntN(3) == 0 {
			off &^= PageSize - 1
		}
		return off
	}
	length := func() int64 {
		switch r.IntN(3) {
		case 0:
			return r.Int64N(100) + 1
		case 1:
			return PageSize
		}
		return r.Int64N(20*PageSize) + 1
	}
	var stop chan struct{}
	var wg sync.WaitGroup
	if seed%2 == 1 { // somebody writes back and shrinks all the time
		stop = make(chan struct{})
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				_ = m.SyncAll()
				c.Shrink(5)
				runtime.Gosched()
			}
		})
	}
	if bad {
		var mu sync.Mutex
		fr := rand.New(rand.NewPCG(seed, 2))
		d.set(func(string, int64, int) error {
			mu.Lock()
			defer mu.Unlock()
			if fr.IntN(4) == 0 {
				return syscall.EIO
			}
			return nil
		})
	}
	faulty := bad || d.room < 1000
	fine := func(err error, what string) bool {
		if err == nil {
			return true
		}
		require.True(t, faulty, "%s: %v", what, err)
		require.True(t, err == syscall.EIO && bad || err == syscall.ENOSPC && d.room < 1000, "%s: %v", what, err)
		return false
	}
	for range steps {
		off, n := place(), length()
		switch op := r.IntN(12); op {
		case 0, 1, 2:
			p := make([]byte, n)
			for i := range p {
				p[i] = byte(r.Uint32())
			}
			at := off
			if r.IntN(5) == 0 && len(want) < most {
				at, off = AppendOffset, int64(len(want))
			}
			got, end, err := m.WriteAt(p, at)
			require.Equal(t, int(n) == got, err == nil)
			if fine(err, "write") {
				require.Equal(t, off+n, end)
			}
			if got > 0 {
				grow(off + int64(got))
				copy(want[off:], p[:got])
			}
		case 3, 4, 5:
			p := make([]byte, n)
			got, err := m.ReadAt(p, off)
			exp := want[min(off, int64(len(want))):min(off+n, int64(len(want)))]
			if fine(err, "read") {
				require.Equal(t, len(exp), got)
			}
			require.True(t, bytes.Equal(exp[:got], p[:got]), "read at %d", off)
		case 6:
			size := off
			if r.IntN(3) > 0 {
				size = min(off, max(0, int64(len(want))-length()))
			}
			err := m.Truncate(size, func() error {
				d.punch((size+PageSize-1)>>pageBits, 1<<40)
				return nil
			})
			if fine(err, "truncate") {
				want = want[:min(int64(len(want)), size):min(int64(len(want)), size)]
				grow(size)
			}
		case 7:
			err := m.Punch(off, n, func(first, end int64) error {
				d.punch(first, end)
				return nil
			})
			if fine(err, "punch") && off < int64(len(want)) {
				clear(want[off:min(off+n, int64(len(want)))])
			}
		case 8:
			if fine(m.Sync(off, n), "sync") && stop == nil {
				on, to := d.content(int64(len(want))), min(off+n, int64(len(want)))
				require.True(t, bytes.Equal(want[min(off, to):to], on[min(off, to):to]), "after sync")
			}
		case 9:
			c.Shrink(r.IntN(30))
		case 10:
			var got []byte
			lent, err := m.Lend(off, int(n), func(parts [][]byte) { got = slices.Concat(parts...) })
			require.Equal(t, len(got), lent)
			if fine(err, "lend") {
				require.Equal(t, lent == 0, off >= int64(len(want)))
				require.True(t, lent == 0 || bytes.Equal(want[off:off+int64(lent)], got), "lent at %d", off)
			}
		case 11:
			off, n = off&^(PageSize-1), PageSize*(1+r.Int64N(5))
			p := bytes.Repeat([]byte{byte(r.Uint32())}, int(n))
			err := m.Direct(off, n, func() error {
				if err := d.Reserve(off, n); err != nil {
					return err
				}
				d.mu.Lock()
				defer d.mu.Unlock()
				for i := int64(0); i < n; i += PageSize {
					d.blocks[(off+i)>>pageBits] = slices.Clone(p[i:][:PageSize])
					delete(d.reserved, (off+i)>>pageBits)
				}
				return nil
			})
			if fine(err, "direct") {
				grow(off + n)
				copy(want[off:], p)
			}
		}
		require.Equal(t, int64(len(want)), m.Size())
	}
	if stop != nil {
		close(stop)
		wg.Wait()
	}
	d.set(nil)
	require.NoError(t, m.SyncAll())
	require.Zero(t, m.Dirty())
	require.True(t, bytes.Equal(want, d.content(m.Size())), "what is on the disk")
	again := c.NewMapping(d, m.Size())
	got := make([]byte, len(want)+1)
	n, err := again.ReadAt(got, 0)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got[:n]), "what is read again")
	again.Close()
	m.Close()
	require.Equal(t, Stats{}, c.Stats())
	require.Zero(t, f.out, "pages that were not given back")
}
