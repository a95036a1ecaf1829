package jbd2

import (
	"math/rand/v2"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/fs/block"
)

// TestFaults has each write and each flush fail in turn: whoever was told that a
// transaction is on disk was told the truth, later calls fail, and the next
// mount knows of it.
func TestFaults(t *testing.T) {
	c := crashCases[0]
	aborted := 0
	for _, op := range []block.Op{block.Write, block.FlushCache} {
		for nth := 1; ; nth++ {
			d, a, pool := toyLayout(c.size, c.log, 4)
			require.NoError(t, Format(a, FormatOptions{Checksum: true}))
			told := make(chan error, 1)
			j := start(t, d, uint64(len(d.data)/c.size), a, Options{Checksum: true, OnAbort: func(err error) { told <- err }})
			d.record()
			var count atomic.Int32
			d.fail = func(r *block.Request) error {
				if r.Op == op && int(count.Add(1)) == nth {
					return syscall.EIO
				}
				return nil
			}
			toy := newToy(j, sound{d}, c.size, pool, 4)
			toy.order = true
			rnd := rand.New(rand.NewPCG(17, uint64(nth)))
			var failed error
			var promised TID
			for i := 0; i < 60 && failed == nil; i++ {
				var tid TID
				tid, failed = toy.change(rnd)
				if failed == nil && i%4 == 3 {
					if failed = j.CommitAndWait(tid); failed == nil {
						promised = tid
					}
				}
			}
			if failed == nil && j.Err() == nil {
				failed = j.Close()
			}
			if j.Err() == nil {
				require.NoError(t, failed)
				require.Greater(t, nth, 10)
				break // as many requests as there are
			}
			aborted++
			require.Equal(t, syscall.EIO, <-told)
			_, err := j.Begin(1)
			require.Equal(t, syscall.EROFS, err)
			require.Equal(t, syscall.EIO, j.Sync())
			require.Equal(t, syscall.EIO, j.Checkpoint())
			require.Equal(t, syscall.EIO, j.Close())
			d.mu.Lock()
			d.fail = nil
			d.mu.Unlock()
			l, err := Load(a)
			require.NoError(t, err)
			assert.Equal(t, syscall.EIO, l.Errno())
			rec := d.recorded()
			for range 3 {
				state, _ := rec.crash(len(rec.events), rnd, false)
				_, err := recoverState(state, a)
				require.NoError(t, err)
				require.NoError(t, toy.verify(state, promised), "%v %d", op, nth)
			}
			cache := NewCache(d, c.size, uint64(len(d.data)/c.size), 1<<20)
			_, err = l.Recover(cache)
			require.NoError(t, err)
			j, err = Start(cache, l, Options{Checksum: true})
			require.NoError(t, err)
			require.Equal(t, syscall.EIO, l.Errno())
			require.NoError(t, j.ClearErrno())
			require.NoError(t, j.Close())
			l, err = Load(a)
			require.NoError(t, err)
			assert.Zero(t, l.Errno())
		}
	}
	t.Logf("%d aborts", aborted)
	assert.Greater(t, aborted, 20)
}

// TestReadError: a block that could not be read is read again by the next Get.
func TestReadError(t *testing.T) {
	d := newDisk(64 << 10)
	c := NewCache(d, 1024, 64, 1<<20)
	d.fail = func(*block.Request) error { return syscall.EIO }
	_, err := c.Get(3)
	require.Equal(t, syscall.EIO, err)
	c.Prefetch(2, 4)
	_, err = c.Get(4)
	require.Equal(t, syscall.EIO, err)
	d.mu.Lock()
	d.fail = nil
	d.mu.Unlock()
	b, err := c.Get(3)
	require.NoError(t, err)
	b.Release()
	_, err = c.Get(64)
	require.Equal(t, syscall.EUCLEAN, err)
}
