package jbd2

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCache(t *testing.T) {
	d := newDisk(4 << 20)
	for n := range 4096 {
		d.data[n<<10] = byte(n)
	}
	c := NewCache(d, 1024, 4096, 256<<10)
	a := Area{Device: newDisk(200 << 10), BlockSize: 1024, Runs: []Run{{0, 200}}}
	require.NoError(t, Format(a, FormatOptions{}))
	l, err := Load(a)
	require.NoError(t, err)
	j, err := Start(c, l, Options{})
	require.NoError(t, err)
	kept, err := c.Get(9)
	require.NoError(t, err)
	kept.SetVerified()
	set(t, j, 11, 1)
	for n := range uint64(4096) {
		if n%100 == 0 {
			c.Prefetch(n, 100)
		}
		b, err := c.Get(n)
		require.NoError(t, err)
		require.Equal(t, byte(n), b.Data[0])
		b.Release()
	}
	buffers, referenced := c.Cached()
	assert.LessOrEqual(t, buffers, 256+32)
	assert.Equal(t, 1, referenced)
	again, err := c.Get(9)
	require.NoError(t, err)
	assert.Same(t, kept, again, "a buffer with a reference stays")
	assert.True(t, again.Verified())
	again.Release()
	kept.Release()
	assert.Panics(t, kept.Release)
	kept.refs.Store(0)
	b, err := c.Get(11)
	require.NoError(t, err)
	assert.Equal(t, byte(1), b.Data[9], "a dirty buffer stays")
	b.Release()
	assert.GreaterOrEqual(t, c.Shrink(100<<10), int64(100<<10))
	require.NoError(t, j.Checkpoint())
	c.Shrink(1 << 30)
	buffers, _ = c.Cached()
	assert.Zero(t, buffers)
	require.NoError(t, j.Close())
}

// TestCacheRace lets goroutines read, prefetch and change a few blocks while
// there is room for hardly any.
func TestCacheRace(t *testing.T) {
	_, _, j := newJournal(t, 256, Options{})
	j.cache.limit = 16
	var locks [40]sync.Mutex
	var sums [40]int
	var wg sync.WaitGroup
	var busy atomic.Bool
	busy.Store(true)
	for g := range 4 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(g)))
			for range 2000 {
				n := rnd.IntN(40)
				h, err := j.Begin(1)
				if !assert.NoError(t, err) {
					return
				}
				locks[n].Lock()
				b, err := j.cache.Get(uint64(n))
				assert.NoError(t, err)
				assert.NoError(t, h.Modify(b))
				assert.Equal(t, byte(sums[n]), b.Data[9])
				b.Data[9]++
				sums[n]++
				b.Release()
				locks[n].Unlock()
				assert.NoError(t, h.End())
				j.cache.Prefetch(uint64(rnd.IntN(40)), 4)
			}
		})
	}
	var shrink sync.WaitGroup
	shrink.Go(func() {
		for busy.Load() {
			j.cache.Shrink(8 << 10)
			assert.NoError(t, j.Checkpoint())
		}
	})
	wg.Wait()
	busy.Store(false)
	shrink.Wait()
	assert.NoError(t, j.Close())
}
