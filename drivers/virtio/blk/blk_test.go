package blk

import (
	"bytes"
	"math/rand"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/drivers/virtio"
	"github.com/goshawk-os/goshawk/drivers/virtio/internal/fake"
	"github.com/goshawk-os/goshawk/fs/block"
)

func pattern(n int, seed byte) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i>>8)*31 + byte(i)*7 + seed
	}
	return p
}

// submit starts a request and returns where its result arrives.
func submit(d *Device, r *block.Request) chan error {
	done := make(chan error, 2)
	r.Done = func(_ *block.Request, err error) { done <- err }
	d.Submit(r)
	return done
}

func await(t testing.TB, done chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(10 * time.Second):
		require.Fail(t, "the request is not completed")
		return nil
	}
}

func TestOpen(t *testing.T) {
	k := newDisk(t, everything|VIRTIO_BLK_F_SIZE_MAX, 4, 128, 1+4)
	d := k.open(t, Options{Queues: 3, CPU: func() int { return 5 }})
	assert.Equal(t, uint64(everything|VIRTIO_BLK_F_SIZE_MAX|virtio.VIRTIO_F_VERSION_1), k.Accepted())
	assert.Equal(t, block.Info{
		Size: sectors * 512, LogicalBlock: 512, PhysicalBlock: 4096, VolatileCache: true,
		MaxDiscard: 512 << 10, DiscardAlign: 4096, MaxWriteZeroes: 1 << 20,
	}, d.Info())
	for i, want := range []bool{true, true, true, false} {
		assert.Equal(t, want, k.Enabled(i), "queue %d", i)
	}
	require.NoError(t, block.WriteAt(d, pattern(512, 1), 0))
	assert.Equal(t, 1, k.Queues[2].Notifications(), "CPU 5 of 3 queues")
}

func TestOpenWithLess(t *testing.T) {
	t.Run("nothing offered", func(t *testing.T) {
		k := newDisk(t, 0, 2, 16, 1)
		d := k.open(t, Options{Queues: 4})
		assert.Equal(t, block.Info{Size: sectors * 512, LogicalBlock: 512, PhysicalBlock: 512}, d.Info())
		assert.False(t, k.Enabled(1))
		require.NoError(t, block.Flush(d))
		assert.Empty(t, k.seen(), "a disk without a cache is not flushed")
	})
	t.Run("write-through", func(t *testing.T) {
		k := newDisk(t, everything, 1, 16, 1)
		k.Config[configWriteback] = 0
		assert.False(t, k.open(t, Options{}).Info().VolatileCache)
	})
	t.Run("read only", func(t *testing.T) {
		k := newDisk(t, everything|VIRTIO_BLK_F_RO, 1, 16, 2)
		d := k.open(t, Options{})
		assert.True(t, d.Info().ReadOnly)
		assert.Equal(t, syscall.EROFS, block.WriteAt(d, make([]byte, 512), 0))
		assert.NoError(t, block.ReadAt(d, make([]byte, 512), 0))
	})
	t.Run("blocks of 4096 bytes", func(t *testing.T) {
		k := newDisk(t, everything, 1, 16, 2)
		k.set32(configBlkSize, 4096)
		k.set64(configCapacity, sectors-1)
		k.set32(configMaxDiscardSectors, 15)
		i := k.open(t, Options{}).Info()
		assert.Equal(t, []int64{(sectors - 8) * 512, 4096, 4096 << 3, 4096}, []int64{i.Size, int64(i.LogicalBlock), int64(i.PhysicalBlock), i.MaxDiscard})
	})
}

func TestOpenBrokenDevice(t *testing.T) {
	tests := map[string]struct {
		breakIt func(*disk)
		want    error
	}{
		"block of 256":       {func(k *disk) { k.set32(configBlkSize, 256) }, ErrBlockSize},
		"block of 3000":      {func(k *disk) { k.set32(configBlkSize, 3000) }, ErrBlockSize},
		"block of 8192":      {func(k *disk) { k.set32(configBlkSize, 8192) }, ErrBlockSize},
		"block of 4 GiB - 1": {func(k *disk) { k.set32(configBlkSize, 1<<32-1) }, ErrBlockSize},
		"capacity":           {func(k *disk) { k.set64(configCapacity, 1<<54) }, ErrCapacity},
		"no queues":          {func(k *disk) { k.Config[configNumQueues] = 0 }, ErrQueues},
		"fewer queues":       {func(k *disk) { k.Queues = k.Queues[:1] }, virtio.ErrNoQueue},
		"no segments":        {func(k *disk) { k.set32(configSegMax, 0) }, ErrLimits},
		"no bytes":           {func(k *disk) { k.set32(configSizeMax, 0) }, ErrLimits},
		"too few bytes":      {func(k *disk) { k.set32(configSizeMax, 8) }, ErrLimits},
		"tiny queue":         {func(k *disk) { k.Queues[0].Max = 2 }, ErrLimits},
		"restless":           {func(k *disk) { k.Restless = true }, virtio.ErrConfigUnstable},
		"no memory":          {func(k *disk) { k.Memory = fake.NewMemory(8192) }, fake.ErrNoMemory},
		"refuses":            {func(k *disk) { k.RefuseFeatures = true }, virtio.ErrFeaturesRefused},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			k := newDisk(t, everything|VIRTIO_BLK_F_SIZE_MAX, 2, 64, 3)
			test.breakIt(k)
			_, err := Open(k, k.Memory, Options{Queues: 2})
			require.ErrorIs(t, err, test.want)
			assert.False(t, k.Enabled(0), "the device was reset")
		})
	}
}

func TestReadWrite(t *testing.T) {
	k := newDisk(t, everything, 1, 128, 2)
	d := k.open(t, Options{})
	data := pattern(3<<20+512, 3)
	require.NoError(t, block.WriteAt(d, data, 4096))
	assert.Equal(t, data, k.data[4096:4096+len(data)])
	back := make([]byte, len(data))
	require.NoError(t, block.ReadAt(d, back, 4096))
	assert.True(t, bytes.Equal(data, back))
	for _, a := range k.seen() {
		assert.LessOrEqual(t, a.segments, 30)
		assert.LessOrEqual(t, a.bytes, maxCommand)
	}
	// Parts of any size, at addresses that are not aligned.
	raw := pattern(1<<16, 9)
	parts := [][]byte{raw[1:513], nil, raw[600 : 600+4096], {}, raw[9000 : 9000+1024]}
	require.NoError(t, await(t, submit(d, &block.Request{Op: block.Write, Off: 512, Parts: parts})))
	assert.Equal(t, bytes.Join(parts, nil), k.data[512:512+5632])
	require.NoError(t, await(t, submit(d, &block.Request{Op: block.Read, Off: 8192, Parts: [][]byte{raw[3:515], raw[5000:5512]}})))
	assert.Equal(t, k.data[8192:8192+512], raw[3:515])
	assert.Equal(t, k.data[8192+512:8192+1024], raw[5000:5512])

	assert.NoError(t, await(t, submit(d, &block.Request{Op: block.Read, Off: 0})), "nothing to do")
	assert.Equal(t, syscall.EINVAL, block.ReadAt(d, make([]byte, 512), 1))
	assert.Equal(t, syscall.EINVAL, block.WriteAt(d, make([]byte, 100), 0))
	assert.Equal(t, syscall.EIO, block.ReadAt(d, make([]byte, 1024), sectors*512-512))
}

// TestBounce: a device that takes one piece of memory gets data that lie
// across a border of pages.
func TestBounce(t *testing.T) {
	for name, features := range map[string]uint64{"one segment": 0, "short segments": VIRTIO_BLK_F_SIZE_MAX | VIRTIO_BLK_F_SEG_MAX} {
		t.Run(name, func(t *testing.T) {
			k := newDisk(t, features|VIRTIO_BLK_F_BLK_SIZE, 1, 8, 1)
			k.set32(configBlkSize, 4096)
			k.set32(configSegMax, 4)
			k.set32(configSizeMax, 1024)
			d := k.open(t, Options{})
			raw := pattern(10*4096, 1)
			require.NoError(t, block.WriteAt(d, raw[100:100+8*4096], 4096))
			assert.Equal(t, raw[100:100+8*4096], k.data[4096:9*4096])
			back := make([]byte, 10*4096)
			require.NoError(t, block.ReadAt(d, back[13:13+8*4096], 4096))
			assert.Equal(t, raw[100:100+8*4096], back[13:13+8*4096])
		})
	}
}

// TestMerge: requests that wait and are neighbours go together, whatever
// their order.
func TestMerge(t *testing.T) {
	for _, op := range []block.Op{block.Read, block.Write} {
		k := newDisk(t, everything, 1, 4, 2)
		k.set32(configSegMax, 30)
		d := k.open(t, Options{QueueSize: 4})
		k.mu.Lock()
		var all []chan error
		for i := range 4 { // fill the queue with what has no neighbours
			all = append(all, submit(d, &block.Request{Op: op, Off: int64(1<<20 + i*8192), Parts: [][]byte{make([]byte, 512)}}))
		}
		for _, i := range rand.Perm(12) {
			p := pattern(1024, byte(i))
			if op == block.Read {
				copy(k.data[i*1024:], p)
				clear(p)
			}
			all = append(all, submit(d, &block.Request{Op: op, Off: int64(i * 1024), Parts: [][]byte{p}}))
		}
		k.mu.Unlock()
		for _, done := range all {
			require.NoError(t, await(t, done))
		}
		commands := k.seen()
		assert.Less(t, len(commands), 14, "%v", commands)
		total := 0
		for _, a := range commands {
			total += a.bytes
		}
		assert.Equal(t, 4*512+12*1024, total)
		for i := range 12 {
			assert.Equal(t, pattern(1024, byte(i)), k.data[i*1024:(i+1)*1024])
		}
	}
}

func TestFlush(t *testing.T) {
	k := newDisk(t, everything, 1, 16, 2)
	d := k.open(t, Options{})
	require.NoError(t, await(t, submit(d, &block.Request{Op: block.Write, Off: 512, Parts: [][]byte{make([]byte, 512)}, FUA: true})))
	assert.Equal(t, []asked{{VIRTIO_BLK_T_OUT, 512, 512, 1}, {kind: VIRTIO_BLK_T_FLUSH}}, k.seen())
	require.NoError(t, block.Flush(d))
	assert.Equal(t, []asked{{kind: VIRTIO_BLK_T_FLUSH}}, k.seen())

	// Those that wait share one.
	k.mu.Lock()
	var all []chan error
	for range 100 {
		all = append(all, submit(d, &block.Request{Op: block.FlushCache}))
	}
	k.mu.Unlock()
	for _, done := range all {
		require.NoError(t, await(t, done))
	}
	assert.LessOrEqual(t, len(k.seen()), 17)

	// No flush follows a write that failed; a flush may fail itself.
	k.answer(func(a asked) byte { return VIRTIO_BLK_S_IOERR })
	assert.Equal(t, syscall.EIO, await(t, submit(d, &block.Request{Op: block.Write, Parts: [][]byte{make([]byte, 512)}, FUA: true})))
	assert.Len(t, k.seen(), 1)
	assert.Equal(t, syscall.EIO, block.Flush(d))
	k.answer(func(a asked) byte {
		if a.kind == VIRTIO_BLK_T_FLUSH {
			return VIRTIO_BLK_S_IOERR
		}
		return VIRTIO_BLK_S_OK
	})
	assert.Equal(t, syscall.EIO, await(t, submit(d, &block.Request{Op: block.Write, Parts: [][]byte{make([]byte, 512)}, FUA: true})))
	assert.NoError(t, d.Err(), "the device itself serves")
}

func TestDiscardAndZeroes(t *testing.T) {
	k := newDisk(t, everything, 1, 16, 2)
	d := k.open(t, Options{})
	copy(k.data, pattern(1<<20, 1))
	require.NoError(t, block.Do(d, &block.Request{Op: block.Discard, Off: 4096, Length: 600 << 10}))
	assert.Equal(t, []asked{{VIRTIO_BLK_T_DISCARD, 4096, 512 << 10, 1}, {VIRTIO_BLK_T_DISCARD, 4096 + 512<<10, 88 << 10, 1}}, k.seen())
	require.NoError(t, await(t, submit(d, &block.Request{Op: block.WriteZeroes, Off: 512, Length: 1024, FUA: true})))
	assert.Equal(t, []asked{{VIRTIO_BLK_T_WRITE_ZEROES, 512, 1024, 1}, {kind: VIRTIO_BLK_T_FLUSH}}, k.seen())
	assert.Equal(t, make([]byte, 1024), k.data[512:1536])
	assert.Equal(t, syscall.EINVAL, await(t, submit(d, &block.Request{Op: block.Discard, Length: 512<<10 + 512})))

	without := newDisk(t, everything&^(VIRTIO_BLK_F_DISCARD|VIRTIO_BLK_F_WRITE_ZEROES), 1, 16, 2)
	d = without.open(t, Options{})
	assert.Equal(t, syscall.EOPNOTSUPP, block.Do(d, &block.Request{Op: block.Discard, Length: 512}))
	copy(without.data, pattern(1<<20, 1))
	require.NoError(t, block.Do(d, &block.Request{Op: block.WriteZeroes, Length: 1 << 19}))
	assert.Equal(t, make([]byte, 1<<19), without.data[:1<<19])
}

func TestStatus(t *testing.T) {
	k := newDisk(t, everything, 1, 128, 2)
	d := k.open(t, Options{})
	bad := int64(2 << 20)
	k.answer(func(a asked) byte {
		if a.off <= bad && bad < a.off+int64(a.bytes) {
			return VIRTIO_BLK_S_IOERR
		}
		return VIRTIO_BLK_S_OK
	})
	// The part of a long request that fails is the request's failure, once.
	done := submit(d, &block.Request{Op: block.Read, Parts: [][]byte{make([]byte, 4<<20)}})
	assert.Equal(t, syscall.EIO, await(t, done))
	assert.NoError(t, block.ReadAt(d, make([]byte, 1<<20), 0))
	k.answer(func(a asked) byte { return VIRTIO_BLK_S_UNSUPP })
	assert.Equal(t, syscall.EOPNOTSUPP, block.ReadAt(d, make([]byte, 512), 0))
	k.answer(nil)
	assert.NoError(t, block.ReadAt(d, make([]byte, 512), 0))
	assert.Empty(t, done)
}

func TestResize(t *testing.T) {
	for _, vectors := range []int{1, 2} {
		k := newDisk(t, everything, 1, 16, vectors)
		d := k.open(t, Options{})
		k.SetConfig(configCapacity, 0, 0x10)
		require.Eventually(t, func() bool { return d.Info().Size == 0x1000*512 }, 10*time.Second, time.Millisecond)
		assert.Equal(t, syscall.EIO, block.ReadAt(d, make([]byte, 512), 0x1000*512))
	}
}

// TestHostile: what only a broken device does ends its service, and all
// requests, each exactly once.
func TestHostile(t *testing.T) {
	var once sync.Once
	tests := map[string]struct {
		push  func(q *fake.Queue, c fake.Chain, written uint32)
		want  error
		quiet bool // reset is not confirmed
	}{
		"no status": {func(q *fake.Queue, c fake.Chain, n uint32) { c.Write[len(c.Write)-1][0] = 0xff; q.Push(c.ID, n) }, ErrStatus, false},
		"status 3":  {func(q *fake.Queue, c fake.Chain, n uint32) { c.Write[len(c.Write)-1][0] = 3; q.Push(c.ID, n) }, ErrStatus, false},
		"short":     {func(q *fake.Queue, c fake.Chain, n uint32) { q.Push(c.ID, n-1) }, ErrShort, false},
		"nothing":   {func(q *fake.Queue, c fake.Chain, n uint32) { q.Push(c.ID, 0) }, ErrShort, false},
		"longer":    {func(q *fake.Queue, c fake.Chain, n uint32) { q.Push(c.ID, n+1) }, virtio.ErrUsedLength, false},
		"unknown":   {func(q *fake.Queue, c fake.Chain, n uint32) { q.Push(4095, n) }, virtio.ErrUsedID, false},
		"twice": {func(q *fake.Queue, c fake.Chain, n uint32) {
			once.Do(func() { q.PushAll(virtio.UsedElement{ID: c.ID, Len: n}, virtio.UsedElement{ID: c.ID, Len: n}) })
		}, virtio.ErrUsedHead, false},
		"unknown, no reset": {func(q *fake.Queue, c fake.Chain, n uint32) { q.Push(4095, n) }, virtio.ErrUsedID, true},
		"needs reset":       {func(q *fake.Queue, c fake.Chain, n uint32) {}, virtio.ErrNeedsReset, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			k := newDisk(t, everything, 2, 16, 3)
			var cpu atomic.Int32
			d := k.open(t, Options{Queues: 2, CPU: func() int { return int(cpu.Add(1)) }})
			k.mu.Lock()
			k.push = test.push
			var all []chan error
			for i := range 100 { // more than the queues hold
				all = append(all, submit(d, &block.Request{Op: block.Read, Off: int64(i) * 8192, Parts: [][]byte{make([]byte, 1024)}}))
			}
			k.Device.NeverReset = test.quiet
			k.mu.Unlock()
			if test.want == virtio.ErrNeedsReset {
				k.SetNeedsReset()
			}
			failed := 0
			for _, done := range all {
				if err := await(t, done); err != nil {
					assert.Contains(t, []error{syscall.EIO, syscall.ENXIO}, err)
					failed++
				}
			}
			assert.NotZero(t, failed)
			assert.ErrorIs(t, d.Err(), test.want)
			assert.Equal(t, syscall.ENXIO, block.ReadAt(d, make([]byte, 512), 0))
			assert.Equal(t, syscall.ENXIO, block.Flush(d))
			for _, done := range all {
				assert.Empty(t, done, "completed twice")
			}
		})
	}
}

func TestClose(t *testing.T) {
	k := newDisk(t, everything, 1, 16, 1)
	d := k.open(t, Options{})
	k.mu.Lock()
	var all []chan error
	for i := range 40 {
		all = append(all, submit(d, &block.Request{Op: block.Write, Off: int64(i) * 8192, Parts: [][]byte{make([]byte, 1024)}, FUA: true}))
	}
	d.Close()
	for _, done := range all {
		assert.Error(t, await(t, done))
	}
	k.mu.Unlock()
}

// TestMany has many goroutines write and read blocks of their own, with
// requests of all kinds, and compares with a copy.
func TestMany(t *testing.T) {
	for name, vectors := range map[string]int{"one interrupt": 1, "two queues": 3} {
		t.Run(name, func(t *testing.T) {
			k := newDisk(t, everything, 2, 32, vectors)
			var cpu, busy atomic.Int32
			d := k.open(t, Options{
				Queues: 2, CPU: func() int { return int(cpu.Add(1)) },
				Busy: func() { busy.Add(1) }, Done: func() { busy.Add(-1) },
			})
			const workers, each = 16, 256 << 10
			var group sync.WaitGroup
			for w := range workers {
				group.Go(func() {
					random := rand.New(rand.NewSource(int64(w)))
					base := int64(w) * each
					mine := make([]byte, each)
					for i := range 100 {
						off := random.Intn(each/512) * 512
						n := min(each-off, (1+random.Intn(100))*512)
						switch random.Intn(6) {
						case 0:
							assert.NoError(t, block.Flush(d))
						case 1:
							clear(mine[off : off+n])
							assert.NoError(t, block.Do(d, &block.Request{Op: block.WriteZeroes, Off: base + int64(off), Length: int64(n)}))
						case 2, 3:
							random.Read(mine[off : off+n])
							half := n / 1024 * 512
							r := block.Request{Op: block.Write, Off: base + int64(off), FUA: i%4 == 0, Parts: [][]byte{mine[off : off+half], mine[off+half : off+n]}}
							assert.NoError(t, block.Do(d, &r))
						default:
							got := make([]byte, n)
							assert.NoError(t, block.ReadAt(d, got, base+int64(off)))
							assert.True(t, bytes.Equal(mine[off:off+n], got))
						}
					}
				})
			}
			group.Wait()
			assert.Eventually(t, func() bool { return busy.Load() == 0 }, 10*time.Second, time.Millisecond)
		})
	}
}
