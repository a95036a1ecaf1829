package rng

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/drivers/virtio"
	"github.com/goshawk-os/goshawk/drivers/virtio/internal/fake"
)

func open(t *testing.T, vectors int) (*fake.Device, *Device) {
	f := fake.New(virtio.VIRTIO_ID_RNG, virtio.VIRTIO_F_EVENT_IDX, 1, 8, vectors)
	d, err := Open(f, f.Memory)
	require.NoError(t, err)
	return f, d
}

func TestRead(t *testing.T) {
	for _, vectors := range []int{1, 2} {
		f, d := open(t, vectors)
		var buffer []byte
		go func() { // each answer comes later, by interrupt
			for i := 0; i < 10_000; {
				c, ok := f.Queues[0].Pop()
				if !ok {
					<-f.Queues[0].Notified
					continue
				}
				buffer = c.Write[0]
				n := min(len(buffer), 3000)
				for j := range n {
					buffer[j] = byte((i + j) % 251)
				}
				i += n
				f.Queues[0].Push(c.ID, uint32(n))
			}
		}()
		p := make([]byte, 10_000)
		n, err := d.Read(p)
		require.NoError(t, err)
		require.Equal(t, len(p), n)
		for i, v := range p {
			require.Equal(t, byte(i%251), v)
		}
		for _, v := range buffer {
			require.Zero(t, v, "left behind in the device's memory")
		}
		assert.NotZero(t, f.Vectors[vectors-1].Count())
		n, err = d.Read(nil)
		assert.NoError(t, err)
		assert.Zero(t, n)
	}
}

func TestHostile(t *testing.T) {
	for name, test := range map[string]struct {
		attack func(f *fake.Device)
		want   error
	}{
		"nothing":     {func(f *fake.Device) { f.Queues[0].Push(0, 0) }, ErrNothing},
		"too much":    {func(f *fake.Device) { f.Queues[0].Push(0, 101) }, virtio.ErrUsedLength},
		"needs reset": {func(f *fake.Device) { f.SetNeedsReset() }, virtio.ErrNeedsReset},
	} {
		t.Run(name, func(t *testing.T) {
			f, d := open(t, 1)
			f.OnNotify = func(int) { test.attack(f) }
			n, err := d.Read(make([]byte, 100))
			assert.Zero(t, n)
			assert.ErrorIs(t, err, test.want)
			_, err = d.Read(make([]byte, 100))
			assert.ErrorIs(t, err, test.want)
		})
	}
}

func TestClosed(t *testing.T) {
	_, d := open(t, 1)
	d.Close()
	_, err := d.Read(make([]byte, 1))
	assert.ErrorIs(t, err, virtio.ErrClosed)
}
