package virtio_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/drivers/virtio"
	"github.com/goshawk-os/goshawk/drivers/virtio/internal/fake"
)

func all(offered uint64) uint64 { return offered }

func none(uint64) uint64 { return 0 }

func TestHandshake(t *testing.T) {
	f := fake.New(virtio.VIRTIO_ID_RNG, 1<<3|1<<5|virtio.VIRTIO_F_EVENT_IDX|1<<34, 1, 8, 1)
	d, err := virtio.Open(f, f.Memory, func(offered uint64) uint64 {
		assert.Equal(t, f.Features, offered)
		return 1<<3 | 1<<7
	})
	require.NoError(t, err)
	assert.Equal(t, uint64(1<<3|virtio.VIRTIO_F_EVENT_IDX|virtio.VIRTIO_F_VERSION_1), f.Accepted(),
		"what is chosen and offered, nothing else: no packed rings")
	assert.Equal(t, uint8(1|2|8), f.Status())
	assert.True(t, d.Has(1<<3))
	assert.False(t, d.Has(1<<7))
	require.NoError(t, d.Start())
	assert.Equal(t, uint8(1|2|4|8), f.Status())
	assert.Equal(t, 1, f.Resets())

	d.Close()
	assert.ErrorIs(t, d.Err(), virtio.ErrClosed)
	assert.Zero(t, f.Status())
	<-d.Done()
}

func TestHandshakeWithBrokenDevices(t *testing.T) {
	tests := map[string]struct {
		breakIt func(*fake.Device)
		want    error
	}{
		"reset never ends":   {func(f *fake.Device) { f.NeverReset = true }, virtio.ErrReset},
		"legacy":             {func(f *fake.Device) { f.Features &^= virtio.VIRTIO_F_VERSION_1 }, virtio.ErrLegacy},
		"features refused":   {func(f *fake.Device) { f.RefuseFeatures = true }, virtio.ErrFeaturesRefused},
		"no queue":           {func(f *fake.Device) { f.Queues = nil }, virtio.ErrNoQueue},
		"queue of 1":         {func(f *fake.Device) { f.Queues[0].Max = 1 }, virtio.ErrQueueSize},
		"queue of 12":        {func(f *fake.Device) { f.Queues[0].Max = 12 }, virtio.ErrQueueSize},
		"queue of 65536":     {func(f *fake.Device) { f.Queues[0].Max = 1 << 16 }, virtio.ErrQueueSize},
		"restless":           {func(f *fake.Device) { f.Restless = true }, virtio.ErrConfigUnstable},
		"needs reset":        {func(f *fake.Device) { f.OnNotify = func(int) { f.SetNeedsReset() } }, virtio.ErrNeedsReset},
		"memory used up":     {func(f *fake.Device) { f.Memory = fake.NewMemory(0) }, fake.ErrNoMemory},
		"memory for one too": {func(f *fake.Device) { f.Memory = fake.NewMemory(4096) }, fake.ErrNoMemory},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := fake.New(virtio.VIRTIO_ID_RNG, virtio.VIRTIO_F_INDIRECT_DESC, 1, 8, 1)
			test.breakIt(f)
			err := func() error {
				d, err := virtio.Open(f, f.Memory, none)
				if err != nil {
					return err
				}
				if _, err := d.NewQueue(0, virtio.QueueOptions{Limit: 256, Long: true}); err != nil {
					return err
				}
				if err := d.Start(); err != nil {
					return err
				}
				f.Notify(0)
				if err := d.CheckStatus(); err != nil {
					return err
				}
				return d.ReadConfig(func(virtio.Transport) {})
			}()
			require.ErrorIs(t, err, test.want)
			var failure *virtio.DeviceError
			if errors.As(err, &failure) {
				assert.Equal(t, uint8(virtio.VIRTIO_CONFIG_S_FAILED), f.Status())
				assert.Contains(t, err.Error(), "entropy device")
			}
		})
	}
}

func TestErrorText(t *testing.T) {
	err := &virtio.DeviceError{Type: virtio.VIRTIO_ID_NET, Queue: 3, Value: 9, Limit: 8, Err: virtio.ErrUsedID}
	assert.EqualError(t, err, "virtio: network device, queue 3: has used a descriptor beyond the end of the queue (9, limit 8); the device is out of service")
	err = &virtio.DeviceError{Type: 18, Queue: virtio.NoQueue, Err: virtio.ErrReset}
	assert.EqualError(t, err, "virtio: device of type 18: does not complete a reset; the device is out of service")
}

func TestReadConfigAgainAfterChange(t *testing.T) {
	f := fake.New(virtio.VIRTIO_ID_BLOCK, 0, 1, 8, 1)
	f.Config = make([]byte, 8)
	d, err := virtio.Open(f, f.Memory, all)
	require.NoError(t, err)
	var values []uint32
	require.NoError(t, d.ReadConfig(func(tr virtio.Transport) {
		values = append(values, tr.Config32(0))
		if len(values) == 1 {
			f.SetConfig(0, 1, 2, 3, 4)
		}
	}))
	assert.Equal(t, []uint32{0, 0x04030201}, values)
}
