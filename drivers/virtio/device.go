// Package virtio is the driver's side of virtio devices: the handshake, the
// configuration and split virtqueues, after Virtual I/O Device (VIRTIO)
// Version 1.2. Transports are in mmio and pci, drivers in net, rng, blk and p9.
//
// The device is not trusted. What it writes is read once, checked and kept in
// private memory; no index, length or state is ever read back from memory that
// the device can write. A device that breaks a rule is put out of service.
package virtio

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/goshawk-os/goshawk/drivers/platform"
)

const (
	resetTries  = 100 // a millisecond apart
	configTries = 100
)

// A Device is a virtio device during and after the handshake.
type Device struct {
	transport Transport
	memory    platform.Memory
	features  uint64

	failure atomic.Pointer[DeviceError] // why it is out of service
	stop    sync.Once
	done    chan struct{}
	stopped atomic.Bool // the device has confirmed its reset
}

// Open resets a device and negotiates features (3.1.1, steps 1 to 6). choose
// is given the feature bits offered and returns those of the device type that
// the driver accepts; those of package virtio itself are negotiated by Open.
// The errors are DeviceErrors.
func Open(t Transport, m platform.Memory, choose func(offered uint64) uint64) (*Device, error) {
	d := &Device{transport: t, memory: m, done: make(chan struct{})}
	if !d.reset() {
		return nil, d.Fail(NoQueue, ErrReset, 0, 0)
	}
	t.SetStatus(VIRTIO_CONFIG_S_ACKNOWLEDGE)
	t.SetStatus(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER)

	offered := t.DeviceFeatures()
	if offered&VIRTIO_F_VERSION_1 == 0 {
		return nil, d.Fail(NoQueue, ErrLegacy, 0, 0)
	}
	// A device that offers ACCESS_PLATFORM may insist on it (6.1). Without
	// an IOMMU bus addresses are physical addresses, so it changes nothing.
	d.features = offered & (choose(offered) |
		VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_ACCESS_PLATFORM)
	t.SetDriverFeatures(d.features)
	const status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK
	t.SetStatus(status)
	if t.Status()&VIRTIO_CONFIG_S_FEATURES_OK == 0 {
		return nil, d.Fail(NoQueue, ErrFeaturesRefused, 0, 0)
	}
	return d, nil
}

// Start ends the handshake: the device may now use its queues (3.1.1, step 8).
func (d *Device) Start() error {
	if err := d.Err(); err != nil {
		return err
	}
	if err := d.transport.EnableConfigInterrupt(); err != nil {
		return d.Fail(NoQueue, err, 0, 0)
	}
	d.transport.SetStatus(d.transport.Status() | VIRTIO_CONFIG_S_DRIVER_OK)
	return d.CheckStatus()
}

// CheckStatus puts the device out of service if it asks for it (2.1.2). To be
// called after a change of the configuration.
func (d *Device) CheckStatus() error {
	if d.Err() == nil && d.transport.Status()&VIRTIO_CONFIG_S_NEEDS_RESET != 0 {
		d.Fail(NoQueue, ErrNeedsReset, 0, 0)
	}
	return d.Err()
}

// Has reports whether a feature, given as a mask, was negotiated.
func (d *Device) Has(feature uint64) bool { return d.features&feature == feature }

// Transport returns the device's transport.
func (d *Device) Transport() Transport { return d.transport }

// Memory returns the memory that the device's queues lie in.
func (d *Device) Memory() platform.Memory { return d.memory }

// ReadConfig calls read, which reads the configuration through the transport,
// until the configuration did not change meanwhile (2.5.1).
func (d *Device) ReadConfig(read func(t Transport)) error {
	if err := d.Err(); err != nil {
		return err
	}
	for range configTries {
		before := d.transport.ConfigGeneration()
		read(d.transport)
		if d.transport.ConfigGeneration() == before {
			return nil
		}
	}
	return d.Fail(NoQueue, ErrConfigUnstable, 0, 0)
}

// Err returns why the device is out of service, nil while it serves.
func (d *Device) Err() error {
	if e := d.failure.Load(); e != nil {
		return e
	}
	return nil
}

// Done returns a channel that is closed when the device is out of service. Its
// interrupts are then over: who waits for one is not woken.
func (d *Device) Done() <-chan struct{} { return d.done }

// Fail puts the device out of service and returns the reason, which is that
// of the first call: the device is reset, so that it leaves memory alone, and
// told that its driver has given up (2.1).
func (d *Device) Fail(queue int, kind error, value, limit uint64) error {
	d.failure.CompareAndSwap(nil, &DeviceError{
		Type: d.transport.DeviceType(), Queue: queue, Value: value, Limit: limit, Err: kind,
	})
	d.stop.Do(func() {
		d.stopped.Store(d.reset())
		d.transport.SetStatus(VIRTIO_CONFIG_S_FAILED)
		close(d.done)
	})
	return d.Err()
}

// Close shuts the device down: whatever it still has is given back by
// Queue.Reclaim.
func (d *Device) Close() {
	d.failure.CompareAndSwap(nil, &DeviceError{Type: d.transport.DeviceType(), Queue: NoQueue, Err: ErrClosed})
	d.stop.Do(func() {
		d.stopped.Store(d.reset())
		close(d.done)
	})
}

// reset resets the device and reports whether it has confirmed (2.4.1).
func (d *Device) reset() bool {
	d.transport.SetStatus(0)
	for range resetTries {
		if d.transport.Status() == 0 {
			return true
		}
		time.Sleep(time.Millisecond)
	}
	return false
}
