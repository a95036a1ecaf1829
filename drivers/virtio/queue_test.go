package virtio_test

import (
	"fmt"
	"math/rand"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/drivers/platform"
	"github.com/goshawk-os/goshawk/drivers/virtio"
	"github.com/goshawk-os/goshawk/drivers/virtio/internal/fake"
)

// features of the rings, in all combinations.
var ringFeatures = map[string]uint64{
	"plain":                 0,
	"event index":           virtio.VIRTIO_F_EVENT_IDX,
	"indirect":              virtio.VIRTIO_F_INDIRECT_DESC,
	"event index, indirect": virtio.VIRTIO_F_EVENT_IDX | virtio.VIRTIO_F_INDIRECT_DESC,
}

// setup returns a queue, the device's side of it, and memory that both see.
func setup(t testing.TB, features uint64, size int) (f *fake.Device, d *virtio.Device, q *virtio.Queue, block []byte, addr uint64) {
	t.Helper()
	f = fake.New(virtio.VIRTIO_ID_RNG, features, 1, size, 1)
	d, err := virtio.Open(f, f.Memory, none)
	require.NoError(t, err)
	q, err = d.NewQueue(0, virtio.QueueOptions{Limit: virtio.MaxQueueSize, Long: true})
	require.NoError(t, err)
	require.NoError(t, d.Start())
	require.Equal(t, size, q.Size())
	block, addr, err = f.Memory.Allocate(1 << 20)
	require.NoError(t, err)
	return f, d, q, block, addr
}

// TestRandomTraffic sends chains of every length through queues of several
// sizes, for one of them once around the 16-bit indexes, answered in any order, and
// compares all with a model.
func TestRandomTraffic(t *testing.T) {
	for name, features := range ringFeatures {
		for _, size := range []int{2, 8, 64} {
			t.Run(fmt.Sprint(name, " ", size), func(t *testing.T) {
				f, _, q, block, addr := setup(t, features, size)
				random := rand.New(rand.NewSource(int64(size)))
				type chain struct {
					read, write int // segments
					tag         byte
				}
				model := make(map[uint16]chain)
				order := []uint16{} // published, not popped
				unpublished := []uint16{}
				held := []fake.Chain{} // popped
				answers := []virtio.UsedElement{}
				total, rounds := 0, 5_000
				if size == 8 {
					rounds = 70_000 // the indexes have 16 bits
				}
				for total < rounds {
					switch random.Intn(4) {
					case 0: // add
						n := 1 + random.Intn(min(size, 20))
						read := random.Intn(n + 1)
						segments := make([]platform.Segment, n)
						free := q.Free()
						expected, room := q.Head()
						tag := byte(total)
						for i := range segments {
							off := 8 * (int(expected)*32 + i)
							segments[i] = platform.Segment{Addr: addr + uint64(off), Len: 8}
							if room {
								block[off] = tag
							}
						}
						head, err := q.Add(segments, read)
						if err != nil {
							require.ErrorIs(t, err, virtio.ErrFull)
							require.Less(t, free, n)
							continue
						}
						require.Equal(t, expected, head)
						require.NotContains(t, model, head)
						model[head] = chain{read, n - read, tag}
						unpublished = append(unpublished, head)
						total++
					case 1:
						q.Kick()
						order = append(order, unpublished...)
						unpublished = nil
					case 2: // the device takes all there is, and holds it
						for {
							c, ok := f.Queues[0].Pop()
							if !ok {
								break
							}
							require.NotEmpty(t, order)
							require.Equal(t, order[0], uint16(c.ID))
							order = order[1:]
							m := model[uint16(c.ID)]
							require.Len(t, c.Read, m.read)
							require.Len(t, c.Write, m.write)
							if m.read > 0 {
								require.Equal(t, m.tag, c.Read[0][0])
							}
							held = append(held, c)
						}
						require.Empty(t, order)
						random.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
						n := random.Intn(len(held) + 1)
						var used []virtio.UsedElement
						for _, c := range held[:n] {
							used = append(used, virtio.UsedElement{ID: c.ID, Len: uint32(random.Intn(8*len(c.Write) + 1))})
						}
						held = held[n:]
						f.Queues[0].PushAll(used...)
						answers = append(answers, used...)
					case 3:
						for range random.Intn(size + 1) {
							head, written, ok, err := q.Next()
							require.NoError(t, err)
							require.Equal(t, len(answers) > 0, ok)
							if !ok {
								break
							}
							require.Equal(t, answers[0], virtio.UsedElement{ID: uint32(head), Len: written})
							answers = answers[1:]
							require.Contains(t, model, head)
							delete(model, head)
						}
					}
					if len(model) == 0 {
						require.Equal(t, size, q.Free())
					}
				}
			})
		}
	}
}

func TestAddRefuses(t *testing.T) {
	_, d, q, _, addr := setup(t, 0, 4)
	one := platform.Segment{Addr: addr, Len: 1}
	_, err := q.Add(nil, 0)
	assert.ErrorIs(t, err, virtio.ErrChain)
	_, err = q.Add(make([]platform.Segment, 5), 0)
	assert.ErrorIs(t, err, virtio.ErrChain)
	_, err = q.Add([]platform.Segment{{Addr: 0, Len: 1 << 31}, {Addr: 0, Len: 1 << 31}}, 0)
	assert.ErrorIs(t, err, virtio.ErrChain)
	for range 4 {
		_, err = q.Add([]platform.Segment{one}, 1)
		assert.NoError(t, err)
	}
	_, err = q.Add([]platform.Segment{one}, 1)
	assert.ErrorIs(t, err, virtio.ErrFull)
	_, ok := q.Head()
	assert.False(t, ok)
	d.Close()
	_, err = q.Add([]platform.Segment{one}, 1)
	assert.ErrorIs(t, err, virtio.ErrClosed)
}

// TestIndirect: three to sixteen segments take one descriptor, others do not.
func TestIndirect(t *testing.T) {
	f, _, q, _, addr := setup(t, virtio.VIRTIO_F_INDIRECT_DESC, 32)
	for n, want := range map[int]int{1: 1, 2: 2, 3: 1, 16: 1, 17: 17, 32: 32} {
		segments := make([]platform.Segment, n)
		for i := range segments {
			segments[i] = platform.Segment{Addr: addr + uint64(i), Len: 1}
		}
		_, err := q.Add(segments, n)
		require.NoError(t, err)
		assert.Equal(t, 32-want, q.Free(), "%d segments", n)
		q.Kick()
		c, ok := f.Queues[0].Pop()
		require.True(t, ok)
		assert.Len(t, c.Read, n)
		assert.Equal(t, want < n, c.Indirect)
		f.Queues[0].Push(c.ID, 0)
		_, _, ok, err = q.Next()
		require.NoError(t, err)
		require.True(t, ok)
		assert.Equal(t, 32, q.Free())
	}
}

// TestHostileUsedRing: each way to lie about used buffers has its error, puts
// the device out of service, and gives all chains back.
func TestHostileUsedRing(t *testing.T) {
	setIndex := func(f *fake.Device, idx uint16) { atomic.StoreUint32(f.Queues[0].UsedHead(), uint32(idx)<<16) }
	tests := map[string]struct {
		attack func(*fake.Device)
		want   error
	}{
		"index one too far":       {func(f *fake.Device) { setIndex(f, 4) }, virtio.ErrUsedIndex},
		"index backwards":         {func(f *fake.Device) { setIndex(f, 0xffff) }, virtio.ErrUsedIndex},
		"index half round":        {func(f *fake.Device) { setIndex(f, 0x8000) }, virtio.ErrUsedIndex},
		"id one too far":          {func(f *fake.Device) { f.Queues[0].Push(8, 0) }, virtio.ErrUsedID},
		"id of 16 bits":           {func(f *fake.Device) { f.Queues[0].Push(0x10000, 0) }, virtio.ErrUsedID},
		"id of 32 bits":           {func(f *fake.Device) { f.Queues[0].Push(0xffffffff, 0) }, virtio.ErrUsedID},
		"id free":                 {func(f *fake.Device) { f.Queues[0].Push(7, 0) }, virtio.ErrUsedHead},
		"id in a chain's middle":  {func(f *fake.Device) { f.Queues[0].Push(1, 0) }, virtio.ErrUsedHead},
		"id added, not published": {func(f *fake.Device) { f.Queues[0].Push(4, 0) }, virtio.ErrUsedHead},
		"id twice":                {func(f *fake.Device) { f.Queues[0].Push(0, 0); f.Queues[0].Push(0, 0) }, virtio.ErrUsedHead},
		"length one too much":     {func(f *fake.Device) { f.Queues[0].Push(0, 101) }, virtio.ErrUsedLength},
		"length of all memory":    {func(f *fake.Device) { f.Queues[0].Push(0, 0xffffffff) }, virtio.ErrUsedLength},
		"length, read only":       {func(f *fake.Device) { f.Queues[0].Push(2, 1) }, virtio.ErrUsedLength},
		"later than good ones": {func(f *fake.Device) {
			f.Queues[0].PushAll(virtio.UsedElement{ID: 2}, virtio.UsedElement{ID: 0, Len: 100}, virtio.UsedElement{ID: 9})
		}, virtio.ErrUsedID},
	}
	for name, test := range tests {
		for featureName, features := range ringFeatures {
			t.Run(name+", "+featureName, func(t *testing.T) {
				f, d, q, _, addr := setup(t, features, 8)
				read, write := platform.Segment{Addr: addr, Len: 50}, platform.Segment{Addr: addr + 50, Len: 100}
				given := make(map[uint16]bool)
				add := func(readable int, segments ...platform.Segment) {
					head, err := q.Add(segments, readable)
					require.NoError(t, err)
					given[head] = true
				}
				add(1, read, write) // 0, 1
				add(1, read)        // 2
				add(0, write)       // 3
				q.Kick()
				add(1, read, write) // 4, 5
				test.attack(f)
				var err error
				for range 8 {
					var head uint16
					var ok bool
					if head, _, ok, err = q.Next(); !ok {
						break
					}
					require.True(t, given[head])
					delete(given, head)
				}
				require.ErrorIs(t, err, test.want)
				assert.ErrorIs(t, d.Err(), test.want)
				assert.Equal(t, uint8(virtio.VIRTIO_CONFIG_S_FAILED), f.Status())
				assert.Equal(t, 2, f.Resets())
				<-d.Done()

				_, _, _, again := q.Next()
				assert.Equal(t, err, again)
				assert.False(t, q.Kick())
				assert.True(t, q.EnableInterrupts(1), "nobody may wait for this device")
				for {
					head, ok := q.Reclaim()
					if !ok {
						break
					}
					require.True(t, given[head])
					delete(given, head)
				}
				assert.Empty(t, given)
				assert.Equal(t, 8, q.Free())
			})
		}
	}
}

// TestHostileEvents: whatever a device writes to its event words and flags,
// the driver only notifies or not.
func TestHostileEvents(t *testing.T) {
	for name, features := range ringFeatures {
		t.Run(name, func(t *testing.T) {
			f, _, q, _, addr := setup(t, features, 8)
			random := rand.New(rand.NewSource(1))
			for range 10_000 {
				if features&virtio.VIRTIO_F_EVENT_IDX != 0 {
					atomic.StoreUint32(f.Queues[0].AvailEvent(), random.Uint32())
				} else {
					head := f.Queues[0].UsedHead()
					atomic.StoreUint32(head, atomic.LoadUint32(head)|uint32(random.Intn(1<<16)))
				}
				_, err := q.Add([]platform.Segment{{Addr: addr, Len: 1}}, 1)
				require.NoError(t, err)
				q.Kick()
				c, ok := f.Queues[0].Pop()
				require.True(t, ok)
				f.Queues[0].Push(c.ID, 0)
				_, _, ok, err = q.Next()
				require.NoError(t, err)
				require.True(t, ok)
			}
		})
	}
}

func TestReclaimNeedsReset(t *testing.T) {
	f, d, q, _, addr := setup(t, 0, 8)
	_, err := q.Add([]platform.Segment{{Addr: addr, Len: 1}}, 0)
	require.NoError(t, err)
	q.Kick()
	_, ok := q.Reclaim()
	assert.False(t, ok, "in service")
	f.NeverReset = true
	d.Close()
	_, ok = q.Reclaim()
	assert.False(t, ok, "the device may still write")
}

// TestNotifications: the device is notified exactly when it asked for it, also
// across the end of the 16-bit index.
func TestNotifications(t *testing.T) {
	f, _, q, _, addr := setup(t, virtio.VIRTIO_F_EVENT_IDX, 8)
	device := f.Queues[0]
	index := 0
	send := func(n int) bool {
		for range n {
			_, err := q.Add([]platform.Segment{{Addr: addr, Len: 1}}, 1)
			require.NoError(t, err)
			index++
		}
		return q.Kick()
	}
	drain := func() { // without asking for a notification
		event := atomic.LoadUint32(device.AvailEvent())
		for {
			c, ok := device.Pop()
			if !ok {
				break
			}
			device.Push(c.ID, 0)
		}
		atomic.StoreUint32(device.AvailEvent(), event)
		for {
			_, _, ok, err := q.Next()
			require.NoError(t, err)
			if !ok {
				return
			}
		}
	}
	for range 70_000 / 8 {
		atomic.StoreUint32(device.AvailEvent(), uint32(uint16(index)))
		require.True(t, send(1), "index %d: event is the next", index)
		require.False(t, send(1), "index %d: event is past", index)
		atomic.StoreUint32(device.AvailEvent(), uint32(uint16(index+2)))
		require.False(t, send(2), "index %d: event is one ahead", index)
		require.True(t, send(3), "index %d: event within a batch", index)
		require.False(t, q.Kick(), "nothing new")
		drain()
		require.False(t, send(1))
		drain()
	}

	f, _, q, _, addr = setup(t, 0, 8)
	index, device = 0, f.Queues[0]
	assert.True(t, send(1))
	atomic.StoreUint32(device.UsedHead(), virtio.VIRTQ_USED_F_NO_NOTIFY)
	assert.False(t, send(1))
	assert.Equal(t, 1, device.Notifications())
}

// TestInterrupts: the device interrupts exactly when the driver asked for it,
// also across the end of the 16-bit index.
func TestInterrupts(t *testing.T) {
	f, _, q, _, addr := setup(t, virtio.VIRTIO_F_EVENT_IDX, 16)
	device := f.Queues[0]
	send := func(n int) {
		for range n {
			_, err := q.Add([]platform.Segment{{Addr: addr, Len: 1}}, 1)
			require.NoError(t, err)
		}
		q.Kick()
	}
	use := func(n int) (interrupted bool) {
		before := f.Vectors[0].Count()
		for range n {
			c, ok := device.Pop()
			require.True(t, ok)
			device.Push(c.ID, 0)
		}
		return f.Vectors[0].Count() > before
	}
	take := func(n int) {
		for range n {
			_, _, ok, err := q.Next()
			require.NoError(t, err)
			require.True(t, ok)
		}
	}
	for range 70_000 / 12 {
		send(12)
		require.False(t, use(1), "off since the last round")
		require.True(t, q.Pending())
		require.True(t, q.EnableInterrupts(1), "one is there")
		take(1)
		require.False(t, q.EnableInterrupts(1))
		require.False(t, q.Pending())
		require.True(t, use(1))
		require.False(t, use(1), "only once")
		take(2)
		require.False(t, q.EnableInterrupts(3))
		require.False(t, use(2))
		require.True(t, use(1))
		take(1)
		require.True(t, q.EnableInterrupts(2))
		require.False(t, q.EnableInterrupts(3))
		take(2)
		require.False(t, q.EnableInterrupts(100), "6 are under way")
		require.False(t, use(5))
		require.True(t, use(1))
		q.DisableInterrupts()
		take(6)
	}

	f, _, q, _, addr = setup(t, 0, 16)
	device = f.Queues[0]
	send(4)
	assert.False(t, use(1))
	assert.True(t, q.EnableInterrupts(1))
	take(1)
	assert.False(t, q.EnableInterrupts(1))
	assert.True(t, use(1))
	assert.True(t, use(1), "without event index, each time")
	q.DisableInterrupts()
	assert.False(t, use(1))
	take(3)
}

// TestConcurrentDevice runs both sides at once, with sleeping on both: neither
// side may lose a wake-up.
func TestConcurrentDevice(t *testing.T) {
	for name, features := range ringFeatures {
		t.Run(name, func(t *testing.T) {
			f, _, q, block, addr := setup(t, features, 16)
			device := f.Queues[0]
			stop := make(chan struct{})
			done := make(chan struct{})
			go func() { // increments what it is given
				defer close(done)
				for {
					for {
						c, ok := device.Pop()
						if !ok {
							break
						}
						c.Write[0][0] = c.Read[0][0] + 1
						device.Push(c.ID, 1)
					}
					select {
					case <-device.Notified:
					case <-stop:
						return
					}
				}
			}()
			sent, received := 0, 0
			for received < 20_000 {
				for sent < received+8 {
					head, ok := q.Head()
					require.True(t, ok)
					off := int(head) * 16
					block[off] = byte(sent)
					_, err := q.Add([]platform.Segment{{Addr: addr + uint64(off), Len: 1}, {Addr: addr + uint64(off) + 8, Len: 1}}, 1)
					require.NoError(t, err)
					sent++
				}
				q.Kick()
				for {
					head, n, ok, err := q.Next()
					require.NoError(t, err)
					if !ok {
						break
					}
					require.Equal(t, uint32(1), n)
					require.Equal(t, byte(received+1), block[int(head)*16+8])
					received++
				}
				if sent == received+8 {
					if !q.EnableInterrupts(1) {
						f.Vectors[0].Wait()
					}
					q.DisableInterrupts()
				}
			}
			close(stop)
			<-done
		})
	}
}

func TestHotPathAllocatesNothing(t *testing.T) {
	f, _, q, _, addr := setup(t, virtio.VIRTIO_F_EVENT_IDX|virtio.VIRTIO_F_INDIRECT_DESC, 16)
	segments := []platform.Segment{{Addr: addr, Len: 1}, {Addr: addr + 1, Len: 1}, {Addr: addr + 2, Len: 1}}
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		head, err := q.Add(segments, 1)
		if err != nil {
			panic(err)
		}
		q.Kick()
		f.Queues[0].Push(uint32(head), 0) // the fake allocates in Pop only
		if _, _, ok, err := q.Next(); !ok {
			panic(err)
		}
		q.EnableInterrupts(1)
		q.DisableInterrupts()
	}), "allocations")
}

func BenchmarkRoundTrip(b *testing.B) {
	f, _, q, _, addr := setup(b, virtio.VIRTIO_F_EVENT_IDX|virtio.VIRTIO_F_INDIRECT_DESC, 256)
	segments := []platform.Segment{{Addr: addr, Len: 12}, {Addr: addr + 12, Len: 1500}}
	used := f.Queues[0].UsedHead()
	index := uint32(0)
	for b.Loop() { // device: answers head 0 at every slot
		if _, err := q.Add(segments, 2); err != nil {
			b.Fatal(err)
		}
		q.Kick()
		index++
		atomic.StoreUint32(used, index<<16)
		if _, _, ok, err := q.Next(); !ok {
			b.Fatal(err)
		}
	}
}
