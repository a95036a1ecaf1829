package jbd2

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type crashCase struct {
	size, log      int
	checksum, wide bool
	order          bool
	waitEach       int // changes of a goroutine between two waits for the disk
}

func (c crashCase) String() string {
	return fmt.Sprintf("block %d, log %d, checksum %v, wide %v, order %v, wait after %d", c.size, c.log, c.checksum, c.wide, c.order, c.waitEach)
}

// workload lets goroutines change a toy and returns the disk with what was
// recorded.
func workload(t *testing.T, c crashCase, seed uint64, changes int) (*disk, Area, *toy, Stats) {
	d, a, pool := toyLayout(c.size, c.log, 4)
	require.NoError(t, Format(a, FormatOptions{UUID: [16]byte{1, 2, 3}, Checksum: c.checksum, Wide: c.wide}))
	j := start(t, d, uint64(len(d.data)/c.size), a, Options{Checksum: c.checksum, Wide: c.wide})
	d.record()
	d.sluggish = true
	toy := newToy(j, d, c.size, pool, 4)
	toy.order = c.order
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(g)))
			for i := range changes / 4 {
				tid, err := toy.change(rnd)
				if !assert.NoError(t, err) {
					return
				}
				if i%c.waitEach == c.waitEach-1 {
					assert.NoError(t, j.CommitAndWait(tid))
					d.ack(tid)
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, j.Sync())
	recorded := d.recorded()
	if seed%2 == 0 {
		require.NoError(t, j.Close())
		recorded = d.recorded()
	} else {
		t.Cleanup(func() { assert.NoError(t, j.Close()) })
	}
	stats := j.Stats()
	t.Logf("%v: %d events, %+v", c, len(recorded.events), stats)
	assert.Zero(t, stats.Overruns)
	return recorded, a, toy, stats
}

var crashCases = []crashCase{
	{1024, 96, true, true, false, 5},
	{1024, 96, true, true, true, 5},
	{4096, 300, true, false, true, 5},
	{1024, 80, false, false, false, 5},
	{2048, 128, false, true, true, 5},
	{1024, 80, true, true, false, 1000},
	{1024, 128, true, true, true, 2},
}

// TestCrash cuts the power at every event, with several states of the disk's
// cache for each flush.
func TestCrash(t *testing.T) {
	for i, c := range crashCases {
		t.Run(c.String(), func(t *testing.T) {
			d, a, toy, stats := workload(t, c, uint64(i+1), 240)
			assert.NotZero(t, stats.Revoked)
			assert.NotZero(t, stats.Checkpoints, "the log wraps around")
			tailsAreDurable(t, d, a)
			states := 0
			rnd := rand.New(rand.NewPCG(7, uint64(i)))
			for n := 0; n <= len(d.events); n++ {
				times := 1
				if n == len(d.events) || d.events[n].flush {
					times = 4
				}
				for range times {
					state, promised := d.crash(n, rnd, false)
					_, err := recoverState(state, a)
					require.NoError(t, err, "at event %d", n)
					require.NoError(t, toy.verify(state, promised), "at event %d", n)
					states++
					if n%16 == 0 { // once more, the power cut during recovery
						again, _ := d.crash(n, rnd, false)
						crashInRecovery(t, again, a, rnd)
						require.NoError(t, toy.verify(again, promised), "at event %d, second recovery", n)
					}
				}
			}
			t.Logf("%d states", states)
		})
	}
}

// tailsAreDurable checks that the superblock is durable before the part of the
// log that it gives up is written again.
func tailsAreDurable(t *testing.T, d *disk, a Area) {
	super, _ := a.locate(0)
	before := uint32(0)
	for _, e := range d.events {
		if len(e.p) > 0 && e.off == super {
			assert.True(t, before == 0 || e.fua)
			before = be32(e.p[superStart:])
		}
	}
}

// crashInRecovery recovers, cuts the power somewhere in it, and recovers.
func crashInRecovery(t *testing.T, state []byte, a Area, rnd *rand.Rand) {
	d := &disk{data: append([]byte(nil), state...), rnd: rnd}
	d.record()
	b := a
	b.Device = d
	l, err := Load(b)
	require.NoError(t, err)
	_, err = l.Recover(NewCache(d, a.BlockSize, uint64(len(state)/a.BlockSize), 1<<20))
	require.NoError(t, err)
	cut, _ := d.crash(rnd.IntN(len(d.events)+1), rnd, false)
	copy(state, cut)
	_, err = recoverState(state, a)
	require.NoError(t, err)
}

// TestCrashControl shows that the checks of TestCrash find a disk that ignores
// flushes.
func TestCrashControl(t *testing.T) {
	d, a, toy, _ := workload(t, crashCases[0], 3, 240)
	rnd := rand.New(rand.NewPCG(7, 7))
	bad := 0
	for n := 0; n <= len(d.events); n++ {
		state, promised := d.crash(n, rnd, true)
		if _, err := recoverState(state, a); err != nil || toy.verify(state, promised) != nil {
			bad++
		}
	}
	t.Logf("%d of %d states are bad", bad, len(d.events)+1)
	assert.Greater(t, bad, len(d.events)/10)
}
