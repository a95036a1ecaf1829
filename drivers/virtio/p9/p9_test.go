package p9

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/drivers/virtio"
	"github.com/goshawk-os/goshawk/drivers/virtio/internal/fake"
)

// host is a fake device, which answers a message by the same one, reversed.
type host struct {
	*fake.Device
	stop chan struct{}
	done sync.WaitGroup
	mu   sync.Mutex // held by a test, it keeps the device from working
	most int        // messages that waited at once
	push func(q *fake.Queue, c fake.Chain, written uint32)
}

func newHost(t testing.TB, tag string, size, vectors int) *host {
	h := &host{Device: fake.New(virtio.VIRTIO_ID_9P, VIRTIO_9P_MOUNT_TAG|virtio.VIRTIO_F_EVENT_IDX, 1, size, vectors), stop: make(chan struct{})}
	h.Config = append(binary.LittleEndian.AppendUint16(nil, uint16(len(tag))), tag...)
	h.done.Go(h.work)
	t.Cleanup(func() {
		close(h.stop)
		h.done.Wait()
	})
	return h
}

func (h *host) open(t testing.TB, o Options) *Device {
	d, err := Open(h, h.Memory, o)
	require.NoError(t, err)
	t.Cleanup(func() {
		d.Close()
		for _, v := range h.Vectors {
			v.Raise() // so that its goroutines end
		}
	})
	return d
}

func (h *host) work() {
	q := h.Queues[0]
	for {
		select {
		case <-h.stop:
			return
		case <-q.Notified:
		}
		h.mu.Lock()
		for {
			var all []fake.Chain
			for {
				c, ok := q.Pop()
				if !ok {
					break
				}
				all = append(all, c)
			}
			if len(all) == 0 {
				break
			}
			h.most = max(h.most, len(all))
			for _, c := range all {
				n := c.Fill(reversed(c.Bytes()))
				if h.push != nil {
					h.push(q, c, n)
				} else {
					q.Push(c.ID, n)
				}
			}
		}
		h.mu.Unlock()
	}
}

func reversed(p []byte) []byte {
	r := make([]byte, len(p))
	for i, b := range p {
		r[len(p)-1-i] = b
	}
	return r
}

func pattern(n int, seed byte) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i*7) + byte(i>>8) + seed
	}
	return p
}

func TestRoundTrip(t *testing.T) {
	for _, vectors := range []int{1, 2} {
		h := newHost(t, "share0", 128, vectors)
		d := h.open(t, Options{})
		assert.Equal(t, "share0", d.Tag())
		assert.Equal(t, 64, h.Queues[0].Size())
		for _, c := range []struct{ first, second, head int }{
			{7, 0, 200}, {23, 100, 11}, {0, 1, 1}, {23, slotRequest - 23, 11}, {4000, 0, 11},
		} {
			message := pattern(c.first+c.second, 1)
			head, data := make([]byte, c.head), make([]byte, slotReply-c.head)
			n, err := d.RoundTrip([2][]byte{message[:c.first], message[c.first:]}, [2][]byte{head, data})
			require.NoError(t, err)
			assert.Equal(t, reversed(message), append(head, data...)[:n])
		}
	}
}

func TestLong(t *testing.T) {
	h := newHost(t, "x", 128, 1)
	d := h.open(t, Options{})
	h.push = func(q *fake.Queue, c fake.Chain, _ uint32) { q.Push(c.ID, 7) }
	message := pattern(maxMessage, 2)
	head := make([]byte, 11)
	n, err := d.RoundTrip([2][]byte{message[:23], message[23:]}, [2][]byte{head})
	require.NoError(t, err)
	assert.Equal(t, 7, n)
	assert.Equal(t, reversed(message[maxMessage-7:]), head[:7])

	h.mu.Lock()
	h.push = func(q *fake.Queue, c fake.Chain, _ uint32) { q.Push(c.ID, c.Fill(message)) }
	h.mu.Unlock()
	data := make([]byte, maxMessage-11)
	n, err = d.RoundTrip([2][]byte{{1}}, [2][]byte{head, data})
	require.NoError(t, err)
	assert.Equal(t, maxMessage, n)
	assert.True(t, bytes.Equal(message, append(head, data...)))

	_, err = d.RoundTrip([2][]byte{make([]byte, slotRequest+1)}, [2][]byte{make([]byte, slotReply+1)})
	assert.Equal(t, errLong, err)
	_, err = d.RoundTrip([2][]byte{make([]byte, maxMessage+1)}, [2][]byte{head})
	assert.Equal(t, errLong, err)
	assert.NoError(t, d.Err())
}

// TestMany has more requests than the queue holds, some of them long.
func TestMany(t *testing.T) {
	for _, size := range []int{128, 2, 16} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			h := newHost(t, "x", size, 2)
			var busy atomic.Int32
			d := h.open(t, Options{Busy: func() { busy.Add(1) }, Done: func() { busy.Add(-1) }})
			h.mu.Lock()
			var group sync.WaitGroup
			for w := range 100 {
				group.Go(func() {
					for i := range 20 {
						message := pattern(1+(w*20+i)%3000, byte(w))
						if w%10 == 0 && i%10 == 0 {
							message = pattern(slotRequest+w*100, byte(w))
						}
						reply := make([]byte, min(len(message), slotReply))
						n, err := d.RoundTrip([2][]byte{message}, [2][]byte{reply})
						assert.NoError(t, err)
						assert.True(t, bytes.Equal(reversed(message)[:n], reply))
					}
				})
			}
			time.Sleep(10 * time.Millisecond)
			h.mu.Unlock()
			group.Wait()
			if size > 2 {
				assert.Greater(t, h.most, 1)
			}
			assert.Eventually(t, func() bool { return busy.Load() == 0 }, 10*time.Second, time.Millisecond)
		})
	}
}

// TestHostile: what only a broken device does ends its service, and all
// requests.
func TestHostile(t *testing.T) {
	tests := map[string]struct {
		push  func(q *fake.Queue, c fake.Chain, n uint32)
		want  error
		quiet bool // reset is not confirmed
	}{
		"longer":            {func(q *fake.Queue, c fake.Chain, n uint32) { q.Push(c.ID, 201) }, virtio.ErrUsedLength, false},
		"huge":              {func(q *fake.Queue, c fake.Chain, n uint32) { q.Push(c.ID, 1<<32-1) }, virtio.ErrUsedLength, false},
		"unknown":           {func(q *fake.Queue, c fake.Chain, n uint32) { q.Push(4095, n) }, virtio.ErrUsedID, false},
		"second descriptor": {func(q *fake.Queue, c fake.Chain, n uint32) { q.Push(c.ID^1, n) }, virtio.ErrUsedHead, false},
		"twice": {func(q *fake.Queue, c fake.Chain, n uint32) {
			if c.ID == 2 {
				q.PushAll(virtio.UsedElement{ID: c.ID, Len: n}, virtio.UsedElement{ID: c.ID, Len: n})
			}
		}, virtio.ErrUsedHead, false},
		"unknown, no reset": {func(q *fake.Queue, c fake.Chain, n uint32) { q.Push(4095, n) }, virtio.ErrUsedID, true},
		"needs reset":       {func(q *fake.Queue, c fake.Chain, n uint32) {}, virtio.ErrNeedsReset, false},
	}
	for name, test := range tests {
		for _, vectors := range []int{1, 2} {
			t.Run(fmt.Sprint(name, vectors), func(t *testing.T) {
				h := newHost(t, "x", 128, vectors)
				d := h.open(t, Options{})
				h.mu.Lock()
				h.push = test.push
				var group sync.WaitGroup
				var failed atomic.Int32
				for range 100 {
					group.Go(func() {
						if _, err := d.RoundTrip([2][]byte{make([]byte, 50)}, [2][]byte{make([]byte, 200)}); err != nil {
							failed.Add(1)
						}
					})
				}
				time.Sleep(5 * time.Millisecond)
				h.NeverReset = test.quiet
				h.mu.Unlock()
				if test.want == virtio.ErrNeedsReset {
					h.SetNeedsReset()
				}
				group.Wait()
				assert.NotZero(t, failed.Load())
				assert.ErrorIs(t, d.Err(), test.want)
				_, err := d.RoundTrip([2][]byte{make([]byte, 50)}, [2][]byte{make([]byte, 200)})
				assert.ErrorIs(t, err, test.want)
			})
		}
	}
}

func TestTag(t *testing.T) {
	for name, change := range map[string]func(h *host){
		"none":        func(h *host) { h.Features &^= VIRTIO_9P_MOUNT_TAG },
		"empty":       func(h *host) { h.Config = []byte{0, 0} },
		"long":        func(h *host) { h.Config[1] = 1 },
		"no config":   func(h *host) { h.Config = nil },
		"no queue":    func(h *host) { h.Queues[0].Max = 0 },
		"odd queue":   func(h *host) { h.Queues[0].Max = 3 },
		"restless":    func(h *host) { h.Restless = true },
		"no features": func(h *host) { h.RefuseFeatures = true },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, "tag", 128, 1)
			change(h)
			_, err := Open(h, h.Memory, Options{})
			var device *virtio.DeviceError
			require.ErrorAs(t, err, &device)
			assert.EqualValues(t, virtio.VIRTIO_ID_9P, device.Type)
		})
	}
	h := newHost(t, "tag", 128, 1)
	_, err := Open(h, fake.NewMemory(1<<20), Options{})
	assert.ErrorIs(t, err, fake.ErrNoMemory)
	assert.NotZero(t, h.Resets())
}

// TestAllocations: a request does not allocate; the fake device's goroutine does,
// which is counted too.
func TestAllocations(t *testing.T) {
	h := newHost(t, "x", 128, 2)
	d := h.open(t, Options{})
	h.push = func(q *fake.Queue, c fake.Chain, n uint32) { q.Push(c.ID, n) }
	request, reply := [2][]byte{make([]byte, 50)}, [2][]byte{make([]byte, 200)}
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { _, _ = d.RoundTrip(request, reply) }), 12.0)
}
