package jbd2

import (
	"bytes"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/fs/block"
)

// newJournal is a journal of n blocks of 1 KiB behind 256 blocks of a file system.
func newJournal(t testing.TB, n uint64, o Options) (*disk, Area, *Journal) {
	d := newDisk((256 + int(n)) << 10)
	a := Area{Device: d, BlockSize: 1024, Runs: []Run{{256, n}}}
	require.NoError(t, Format(a, FormatOptions{Checksum: true}))
	o.Checksum = true
	j := start(t, d, 256, a, o)
	t.Cleanup(func() { _ = j.Close() })
	return d, a, j
}

// set changes one byte of a block in a transaction of its own.
func set(t testing.TB, j *Journal, n uint64, v byte) TID {
	h, err := j.Begin(1)
	require.NoError(t, err)
	put(t, h, n, v)
	tid := h.TID()
	require.NoError(t, h.End())
	return tid
}

func put(t testing.TB, h *Handle, n uint64, v byte) {
	b, err := h.j.Cache().Get(n)
	require.NoError(t, err)
	require.NoError(t, h.Modify(b))
	b.Data[9] = v
	b.Release()
}

// onDisk reads what is in the place of a block.
func (d *disk) onDisk(n uint64) byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.data[n*1024+9]
}

func TestGroupCommit(t *testing.T) {
	d, _, j := newJournal(t, 512, Options{})
	d.sluggish = true
	const clients, each = 50, 10
	var locks [clients]sync.Mutex
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for i := range each {
				locks[c].Lock()
				tid := set(t, j, uint64(c), byte(i))
				locks[c].Unlock()
				assert.NoError(t, j.CommitAndWait(tid))
			}
		})
	}
	wg.Wait()
	commits := j.Stats().Commits
	t.Logf("%d waits, %d commits", clients*each, commits)
	assert.Less(t, commits, uint64(clients*each/5))
	_, referenced := j.Cache().Cached()
	assert.Zero(t, referenced)
}

// TestInterval: what nobody waits for is committed after five seconds, and a
// journal at rest does nothing.
func TestInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _, j := newJournal(t, 128, Options{})
		set(t, j, 5, 1)
		time.Sleep(4 * time.Second)
		assert.Zero(t, j.Stats().Commits)
		time.Sleep(2 * time.Second)
		assert.Equal(t, uint64(1), j.Stats().Commits)
		assert.Zero(t, d.onDisk(5), "only in the log")
		d.record()
		time.Sleep(time.Hour)
		assert.Empty(t, d.recorded().events)
		require.NoError(t, j.Close())
		assert.Equal(t, byte(1), d.onDisk(5))
	})
}

func TestCheckpointAndClose(t *testing.T) {
	d, a, j := newJournal(t, 128, Options{})
	require.NoError(t, j.CommitAndWait(set(t, j, 5, 1)))
	set(t, j, 6, 2)
	assert.Zero(t, d.onDisk(5))
	l, err := Load(a)
	require.NoError(t, err)
	assert.True(t, l.Dirty())
	require.NoError(t, j.Checkpoint())
	assert.Equal(t, byte(1), d.onDisk(5))
	assert.Equal(t, byte(2), d.onDisk(6))
	l, err = Load(a)
	require.NoError(t, err)
	assert.False(t, l.Dirty())
	set(t, j, 5, 3)
	require.NoError(t, j.Close())
	assert.Equal(t, byte(3), d.onDisk(5))
	_, err = j.Begin(1)
	assert.Equal(t, syscall.EROFS, err)
	l, err = Load(a)
	require.NoError(t, err)
	assert.False(t, l.Dirty())
}

// TestBlockedCheckpoint: a block that the running transaction has changed as
// well cannot be written to its place before that one is committed.
func TestBlockedCheckpoint(t *testing.T) {
	d, _, j := newJournal(t, 128, Options{})
	require.NoError(t, j.CommitAndWait(set(t, j, 5, 1)))
	h, err := j.Begin(1)
	require.NoError(t, err)
	put(t, h, 5, 2)
	require.NoError(t, j.pass(j.done, false))
	assert.Zero(t, d.onDisk(5), "neither the new state nor the old one")
	done := make(chan error)
	go func() { done <- j.pass(h.t.tid-1, true) }()
	time.Sleep(10 * time.Millisecond)
	assert.Zero(t, d.onDisk(5))
	require.NoError(t, h.End())
	require.NoError(t, <-done)
}

func TestCredits(t *testing.T) {
	_, _, j := newJournal(t, 96, Options{})
	_, err := j.Begin(j.MaxCredits() + 1)
	require.Equal(t, syscall.ENOSPC, err)
	h, err := j.Begin(2)
	require.NoError(t, err)
	put(t, h, 1, 1)
	put(t, h, 1, 2)
	require.Equal(t, 1, h.Credits())
	require.True(t, h.Extend(2))
	require.Equal(t, 3, h.Credits())
	require.False(t, h.Extend(j.MaxCredits()*2))
	first := h.TID()
	require.NoError(t, h.Restart(4))
	require.Equal(t, 4, h.Credits())
	for n := range uint64(6) { // two more than asked for
		put(t, h, 10+n, 1)
	}
	assert.Equal(t, uint64(2), j.Stats().Overruns)
	var full error
	for n := uint64(20); full == nil && n < 200; n++ {
		b, err := j.Cache().Get(n)
		require.NoError(t, err)
		full = h.Modify(b)
		b.Release()
	}
	require.Equal(t, syscall.ENOSPC, full, "the log has no more space")
	last := h.TID()
	require.NoError(t, h.End())
	require.NoError(t, h.End())
	require.NoError(t, j.CommitAndWait(first))
	require.NoError(t, j.CommitAndWait(last))
	require.NoError(t, j.Err())
}

// TestManyRevokes frees more blocks than one block of records holds.
func TestManyRevokes(t *testing.T) {
	d := newDisk(4 << 20)
	a := Area{Device: d, BlockSize: 1024, Runs: []Run{{3000, 256}}}
	require.NoError(t, Format(a, FormatOptions{Checksum: true, Wide: true}))
	j := start(t, d, 3000, a, Options{Checksum: true, Wide: true})
	h, err := j.Begin(20)
	require.NoError(t, err)
	for n := range uint64(15) {
		put(t, h, 100+n, 1)
	}
	require.NoError(t, h.End())
	require.NoError(t, j.Sync())
	h, err = j.Begin(10)
	require.NoError(t, err)
	require.NoError(t, h.Revoke(100, 1000))
	assert.Less(t, h.Credits(), 10)
	require.NoError(t, h.End())
	require.NoError(t, j.Sync())
	state := bytes.Clone(d.data)
	require.NoError(t, j.Close())
	r, err := recoverState(state, a)
	require.NoError(t, err)
	assert.Equal(t, Recovery{Transactions: 2, Revoked: 15}, r)
	assert.Zero(t, state[100<<10+9])
	assert.Zero(t, d.onDisk(100), "no checkpoint has written it either")
}

// gate is a disk whose writes to one place wait.
type gate struct {
	*disk
	off     atomic.Int64
	reached chan func() // what lets the write go on
}

func (g *gate) Submit(r *block.Request) {
	if r.Op == block.Write && r.Off == g.off.Load() {
		g.reached <- func() { g.disk.Submit(r) }
		return
	}
	g.disk.Submit(r)
}

// TestRevokeWaits: a freed block cannot be used for file data while a
// checkpoint is writing its old content.
func TestRevokeWaits(t *testing.T) {
	g := &gate{disk: newDisk(512 << 10), reached: make(chan func(), 1)}
	a := Area{Device: g, BlockSize: 1024, Runs: []Run{{256, 128}}}
	require.NoError(t, Format(a, FormatOptions{}))
	j := start(t, g, 256, a, Options{})
	require.NoError(t, j.CommitAndWait(set(t, j, 5, 1)))
	g.off.Store(5 << 10)
	passed := make(chan error)
	go func() { passed <- j.pass(j.Running(), true) }()
	land := <-g.reached
	h, err := j.Begin(1)
	require.NoError(t, err)
	require.NoError(t, h.Revoke(5, 1))
	free := make(chan error, 1)
	h.OnCommit(func(err error) { free <- err })
	tid := h.TID()
	require.NoError(t, h.End())
	j.Commit(tid)
	select {
	case <-free:
		t.Fatal("the block was given free")
	case <-time.After(20 * time.Millisecond):
	}
	land()
	require.NoError(t, <-passed)
	require.NoError(t, <-free)
	require.NoError(t, j.Close())
}

// TestEscape: no block of file system data in the log looks like one of the log.
func TestEscape(t *testing.T) {
	for _, sum := range []bool{false, true} {
		d := newDisk(512 << 10)
		a := Area{Device: d, BlockSize: 1024, Runs: []Run{{256, 128}}}
		require.NoError(t, Format(a, FormatOptions{}))
		j := start(t, d, 256, a, Options{Checksum: sum})
		h, err := j.Begin(1)
		require.NoError(t, err)
		b, err := h.Create(5)
		require.NoError(t, err)
		putHeader(b.Data, typeCommit, 1)
		b.Release()
		require.NoError(t, h.End())
		require.NoError(t, j.Sync())
		var types []uint32
		for n := range 128 {
			if p := d.data[(256+n)<<10:]; be32(p) == magic {
				types = append(types, be32(p[4:]))
			}
		}
		assert.Equal(t, []uint32{typeSuperV2, typeDescriptor, typeCommit}, types)
		state := bytes.Clone(d.data)
		_, err = recoverState(state, a)
		require.NoError(t, err)
		assert.Equal(t, uint32(magic), be32(state[5<<10:]))
		require.NoError(t, j.Close())
	}
}

// TestCopies: a commit writes what its transaction has left, whatever the next
// one does.
func TestCopies(t *testing.T) {
	d, a, j := newJournal(t, 128, Options{})
	h, err := j.Begin(1)
	require.NoError(t, err)
	put(t, h, 5, 1)
	entered, leave := make(chan bool), make(chan bool)
	h.Order(func() error { close(entered); <-leave; return errors.New("a bad sector") })
	var order []int
	h.OnCommit(func(err error) { assert.NoError(t, err); order = append(order, 1) })
	h.OnCommit(func(error) { order = append(order, 2) })
	tid := h.TID()
	require.NoError(t, h.End())
	j.Commit(tid)
	<-entered
	assert.True(t, j.WillFlush(tid))
	next := set(t, j, 5, 2)
	assert.Equal(t, tid+1, next)
	assert.Equal(t, next, j.Running())
	close(leave)
	require.NoError(t, j.CommitAndWait(tid), "an error of Order is only logged")
	assert.False(t, j.WillFlush(tid))
	assert.Equal(t, []int{1, 2}, order)
	assert.Equal(t, uint64(1), j.Stats().Copies)
	d.mu.Lock()
	state := bytes.Clone(d.data)
	d.mu.Unlock()
	_, err = recoverState(state, a)
	require.NoError(t, err)
	assert.Equal(t, byte(1), state[5<<10+9])
}

func TestWithoutLog(t *testing.T) {
	d := newDisk(256 << 10)
	j, err := Start(NewCache(d, 1024, 256, 1<<20), nil, Options{})
	require.NoError(t, err)
	assert.False(t, j.HasLog())
	tid := set(t, j, 5, 1)
	require.NoError(t, j.CommitAndWait(tid))
	assert.Equal(t, byte(1), d.onDisk(5))
	h, err := j.Begin(700)
	require.NoError(t, err)
	require.NoError(t, h.Revoke(5, 1))
	b, err := h.Create(7)
	require.NoError(t, err)
	b.Data[9] = 7
	b.Release()
	require.NoError(t, h.End())
	require.NoError(t, j.Checkpoint())
	assert.Equal(t, byte(7), d.onDisk(7))
	set(t, j, 8, 8)
	require.NoError(t, j.Close())
	assert.Equal(t, byte(8), d.onDisk(8))
}

// TestExternal has the log on another disk.
func TestExternal(t *testing.T) {
	d, e := newDisk(256<<10), newDisk(128<<10)
	a := Area{Device: e, BlockSize: 1024, Runs: []Run{{2, 100}}}
	require.NoError(t, Format(a, FormatOptions{}))
	j := start(t, d, 256, a, Options{Checksum: true, Wide: true})
	d.record()
	require.NoError(t, j.CommitAndWait(set(t, j, 5, 1)))
	ev := d.recorded().events
	require.Len(t, ev, 1)
	assert.True(t, ev[0].flush, "file data is flushed before the commit record")
	log := &disk{data: bytes.Clone(e.data), rnd: e.rnd}
	require.NoError(t, j.Close())
	d.data[5<<10+9] = 0
	a.Device = log
	j = start(t, d, 256, a, Options{Checksum: true, Wide: true})
	assert.Equal(t, byte(1), d.onDisk(5))
	require.NoError(t, j.Close())
}

func TestLoadErrors(t *testing.T) {
	d := newDisk(128 << 10)
	a := Area{Device: d, BlockSize: 1024, Runs: []Run{{0, 100}}}
	_, err := Load(a)
	assert.Equal(t, syscall.EUCLEAN, err)
	require.NoError(t, Format(a, FormatOptions{UUID: [16]byte{5}}))
	l, err := Load(a)
	require.NoError(t, err)
	assert.Equal(t, [16]byte{5}, l.UUID())
	assert.Equal(t, uint64(100), l.Blocks())
	putBE32(d.data[superIncompat:], incompatAsyncCommit|incompatFastCommit|0x100)
	_, err = Load(a)
	assert.ErrorIs(t, err, ErrFeature)
	assert.ErrorContains(t, err, "async_commit, fast_commit, incompat 0x100")
	assert.Equal(t, syscall.EINVAL, Format(Area{Device: d, BlockSize: 1024, Runs: []Run{{0, 20}}}, FormatOptions{}))
}
