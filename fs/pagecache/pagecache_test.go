package pagecache

import (
	"bytes"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWriteBackByAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Options{Limit: 1000})
		defer c.Close()
		d := newDisk(t)
		m := c.NewMapping(d, 0)
		_, _, err := m.WriteAt([]byte("old"), 0)
		require.NoError(t, err)
		time.Sleep(expire - time.Second)
		synctest.Wait()
		assert.Equal(t, 1, m.Dirty(), "written before its time")
		time.Sleep(period + time.Second)
		synctest.Wait()
		assert.Zero(t, m.Dirty(), "not written by age")
		assert.Equal(t, "old", string(d.content(3)))

		d.set(func(string, int64, int) error { return syscall.EIO })
		require.Equal(t, syscall.EIO, write(m, "new", 0), "a failing reservation")
		d.set(func(op string, _ int64, _ int) error {
			if op == "write" {
				return syscall.EIO
			}
			return nil
		})
		require.NoError(t, write(m, "new", 0))
		time.Sleep(3 * expire)
		synctest.Wait()
		assert.Equal(t, 1, m.Dirty(), "what could not be written stays dirty")
		assert.Equal(t, syscall.EIO, m.SyncAll())
		assert.Equal(t, syscall.EIO, m.SyncAll(), "each Sync tells it")
		d.set(nil)
		time.Sleep(expire + period)
		synctest.Wait()
		assert.Zero(t, m.Dirty())
		assert.Equal(t, "new", string(d.content(3)))
	})
}

func write(m *Mapping, p string, off int64) error {
	_, _, err := m.WriteAt([]byte(p), off)
	return err
}

func TestWriteBackByShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Options{Limit: 1000})
		defer c.Close()
		d := newDisk(t)
		m := c.NewMapping(d, 0)
		for i := range 101 {
			synctest.Wait()
			assert.Equal(t, i, m.Dirty())
			require.NoError(t, write(m, "x", int64(i)*PageSize))
		}
		synctest.Wait()
		assert.Zero(t, m.Dirty(), "more than a tenth is dirty")

		// Writers wait, and get the error, when more than a fifth cannot be written.
		d.set(func(op string, _ int64, _ int) error {
			if op == "write" {
				return syscall.EIO
			}
			return nil
		})
		var err error
		n := 0
		for ; err == nil && n < 1000; n++ {
			synctest.Wait() // background has failed once more
			err = write(m, "y", int64(n)*PageSize)
		}
		assert.Equal(t, syscall.EIO, err)
		assert.Equal(t, 202, n)
	})
}

func TestPressureGivesCleanPagesBack(t *testing.T) {
	c, f := newCache(t, 10000)
	d := newDisk(t)
	m := c.NewMapping(d, 0)
	data := bytes.Repeat([]byte("pressure"), 100*PageSize/8)
	require.NoError(t, write(m, string(data), 0))
	assert.Zero(t, c.Shrink(1), "a dirty page was given back")
	require.NoError(t, m.SyncAll()) // Shrink has begun the same
	p, err := m.Pin(5*PageSize, false)
	require.NoError(t, err)
	assert.Equal(t, 99, c.Shrink(1000))
	assert.Equal(t, Stats{Pages: 1}, c.Stats())
	assert.Equal(t, 1, f.out)
	assert.Equal(t, data[5*PageSize:6*PageSize], p.Data())
	p.Unpin(false)
	assert.Equal(t, 1, c.Shrink(1000))
	got := make([]byte, len(data))
	_, err = m.ReadAt(got, 0)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(data, got))
}

// TestScan: a large file that is read once does not push out a small one that
// is used often.
func TestScan(t *testing.T) {
	c, _ := newCache(t, 300)
	often := c.NewMapping(newDisk(t), 50*PageSize)
	once := c.NewMapping(newDisk(t), 3000*PageSize)
	p := make([]byte, 50*PageSize)
	for range 3 {
		_, err := often.ReadAt(p, 0)
		require.NoError(t, err)
	}
	for off := int64(0); off < once.Size(); off += 10 * PageSize {
		_, err := once.ReadAt(p[:10*PageSize], off)
		require.NoError(t, err)
		if off%(100*PageSize) == 0 {
			_, err = often.ReadAt(p, 0)
			require.NoError(t, err)
		}
	}
	assert.LessOrEqual(t, c.Stats().Pages, 300+2*maxAhead)
	there := 0
	for i := range int64(50) {
		if often.pages.at(i) != nil {
			there++
		}
	}
	assert.Equal(t, 50, there)
}

func TestRuns(t *testing.T) {
	c, _ := newCache(t, 100000)
	d := newDisk(t)
	m := c.NewMapping(d, 0)
	p := make([]byte, 1<<20)
	for i := range 9 {
		_, _, err := m.WriteAt(p, int64(i)<<20)
		require.NoError(t, err)
	}
	require.NoError(t, m.SyncAll())
	assert.Equal(t, []int{maxRun, maxRun, 256}, d.runs)

	c.Shrink(100000)
	for off := int64(0); off < m.Size(); off += PageSize {
		_, err := m.ReadAt(p[:PageSize], off)
		require.NoError(t, err)
	}
	assert.Less(t, len(d.read), 24, "reads of a sequential reader: %v", d.read)
	assert.Equal(t, maxAhead, slices.Max(d.read))

	c.Shrink(100000)
	d.read = nil
	for i := range int64(20) {
		_, err := m.ReadAt(p[:PageSize], (i*37%23+1)*100*PageSize)
		require.NoError(t, err)
	}
	assert.Equal(t, slices.Repeat([]int{1}, len(d.read)), d.read, "a random reader reads nothing ahead")
}

func TestStaleTail(t *testing.T) {
	for _, grow := range []func(m *Mapping) error{
		func(m *Mapping) error { return m.Truncate(5000, nil) },
		func(m *Mapping) error { return write(m, "x", 5000) },
		func(m *Mapping) error { return write(m, "x", 100) },
		func(m *Mapping) error { return m.Direct(2*PageSize, PageSize, func() error { return nil }) },
	} {
		c, _ := newCache(t, 100)
		d := newDisk(t)
		d.blocks[0] = bytes.Repeat([]byte{0xff}, PageSize)
		m := c.NewMapping(d, 100)
		require.NoError(t, grow(m))
		require.NoError(t, m.SyncAll())
		assert.Equal(t, d.blocks[0][:100], bytes.Repeat([]byte{0xff}, 100))
		assert.True(t, allZero(d.blocks[0][101:]), "old bytes behind the end are seen when the file grows")
	}
}

func TestFullDisk(t *testing.T) {
	c, _ := newCache(t, 1000)
	d := newDisk(t)
	d.room = 3
	m := c.NewMapping(d, 0)
	n, end, err := m.WriteAt(make([]byte, 5*PageSize), 100)
	assert.Equal(t, syscall.ENOSPC, err)
	assert.Equal(t, 3*PageSize-100, n)
	assert.Equal(t, int64(3*PageSize), end)
	require.NoError(t, m.SyncAll(), "what was accepted can be written")
	require.NoError(t, write(m, "again", 0))
	require.NoError(t, m.Truncate(1<<40, nil), "a hole takes no space")
	require.NoError(t, m.Truncate(1<<30+5, nil), "nor does its end")
	require.NoError(t, m.SyncAll())
}

func TestPinnedForWriting(t *testing.T) {
	c, f := newCache(t, 1000)
	d := newDisk(t)
	m := c.NewMapping(d, PageSize+10)
	_, err := m.Pin(2*PageSize, true)
	require.Equal(t, syscall.ENXIO, err)
	p, err := m.Pin(PageSize, true)
	require.NoError(t, err)
	copy(p.Data(), "mapped bytes, also behind the end")
	require.NoError(t, m.SyncAll())
	assert.Equal(t, "mapped byt", string(d.content(PageSize + 10)[PageSize:]))
	copy(p.Data(), "MAPPED")
	require.NoError(t, m.SyncAll())
	assert.Equal(t, "MAPPED byt", string(d.content(PageSize + 10)[PageSize:]))
	require.NoError(t, m.Truncate(0, nil))
	copy(p.Data(), "still memory of this page")
	p.Unpin(true)
	assert.Zero(t, f.out)
	assert.Equal(t, Stats{}, c.Stats())
}

// TestReadersAndWriters has goroutines write and check parts of one file that
// share pages, while memory is short.
func TestReadersAndWriters(t *testing.T) {
	c, _ := newCache(t, 30)
	d := newDisk(t)
	m := c.NewMapping(d, 0)
	const part, workers, rounds = 3*PageSize + 1000, 8, 150
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			p, got := make([]byte, part), make([]byte, part)
			off := int64(w * part)
			for round := range rounds {
				for i := range p {
					p[i] = byte(w + round + i)
				}
				_, _, err := m.WriteAt(p, off)
				assert.NoError(t, err)
				switch round % 8 {
				case w:
					assert.NoError(t, m.Sync(off, part))
				case (w + 4) % 8:
					c.Shrink(20)
				}
				_, err = m.ReadAt(got, off)
				assert.NoError(t, err)
				if !assert.True(t, bytes.Equal(p, got), "worker %d, round %d", w, round) {
					return
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, c.Sync(func(b Backend) bool { return b == d }))
	got := make([]byte, workers*part)
	_, err := m.ReadAt(got, 0)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(got, d.content(m.Size())))
}

func TestTree(t *testing.T) {
	var tr tree
	all := []int64{0, 1, 63, 64, 4095, 4096, 1 << 30, lastPage - 1}
	for _, i := range slices.Backward(all) {
		tr.insert(&Page{index: i})
	}
	for n, i := range all {
		require.Equal(t, i, tr.at(i).index)
		require.Equal(t, i, tr.next(i, false).index)
		require.Nil(t, tr.next(i, true))
		tr.mark(i, true)
		require.Equal(t, i, tr.next(0, true).index)
		tr.mark(i, false)
		if n > 0 {
			require.Equal(t, i, tr.next(all[n-1]+1, false).index)
		}
	}
	require.Nil(t, tr.at(2))
	require.Nil(t, tr.next(lastPage, false))
	for _, i := range all {
		tr.remove(i)
		require.Nil(t, tr.at(i))
	}
	require.Nil(t, tr.root)
}

func TestNoAllocation(t *testing.T) {
	c, _ := newCache(t, 1000)
	m := c.NewMapping(newDisk(t), 0)
	p := make([]byte, PageSize)
	for i := range int64(16) {
		require.NoError(t, write(m, string(p), i*PageSize))
	}
	assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = m.ReadAt(p, 5*PageSize) }))
	assert.Zero(t, testing.AllocsPerRun(100, func() { _, _, _ = m.WriteAt(p, 5*PageSize) }))
}

func benchmark(b *testing.B, do func(m *Mapping, p []byte, off int64) error) {
	c := New(Options{Limit: 1 << 20})
	defer c.Close()
	m := c.NewMapping(newDisk(b), 0)
	const pages = 1024
	_, _, err := m.WriteAt(make([]byte, pages*PageSize), 0)
	require.NoError(b, err)
	p := make([]byte, PageSize)
	b.SetBytes(PageSize)
	b.ReportAllocs()
	i := int64(0)
	for b.Loop() {
		if err := do(m, p, i%pages*PageSize); err != nil {
			b.Fatal(err)
		}
		i += 7
	}
}

func BenchmarkWarmRead(b *testing.B) {
	benchmark(b, func(m *Mapping, p []byte, off int64) error {
		_, err := m.ReadAt(p, off)
		return err
	})
}

func BenchmarkWarmWrite(b *testing.B) {
	benchmark(b, func(m *Mapping, p []byte, off int64) error {
		_, _, err := m.WriteAt(p, off)
		return err
	})
}
