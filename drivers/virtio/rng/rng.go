// Package rng drives virtio entropy devices (Virtual I/O Device 1.2, section
// 5.4).
package rng

import (
	"errors"
	"sync"

	"github.com/goshawk-os/goshawk/drivers/platform"
	"github.com/goshawk-os/goshawk/drivers/virtio"
)

// ErrNothing says that the device has used a buffer without a byte (5.4.6.2).
var ErrNothing = errors.New("has returned no random bytes")

// A Device is an entropy device. Read may be called by several goroutines.
type Device struct {
	dev *virtio.Device

	mu    sync.Mutex
	queue *virtio.Queue
	block []byte
	addr  uint64
}

// Open takes a device into service. The device's only or second interrupt
// becomes that of its queue.
func Open(t virtio.Transport, m platform.Memory) (*Device, error) {
	dev, err := virtio.Open(t, m, func(uint64) uint64 { return 0 })
	if err != nil {
		return nil, err
	}
	d := &Device{dev: dev}
	if err := d.setup(); err != nil {
		dev.Close()
		return nil, err
	}
	return d, nil
}

func (d *Device) setup() (err error) {
	interrupts := len(d.dev.Transport().Interrupts())
	if d.queue, err = d.dev.NewQueue(0, virtio.QueueOptions{Limit: 2, Interrupt: min(1, interrupts-1)}); err != nil {
		return err
	}
	if d.block, d.addr, err = d.dev.Memory().Allocate(platform.PageSize); err != nil {
		return err
	}
	return d.dev.Start()
}

// Read fills p with random bytes, and waits as long as the device takes, which
// may be for ever: it is no source to wait for at boot. It returns how many
// bytes it has filled; if not all, err is the reason.
func (d *Device) Read(p []byte) (n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for n < len(p) {
		k, err := d.request(min(len(p)-n, len(d.block)))
		if err != nil {
			return n, err
		}
		n += copy(p[n:], d.block[:k])
		clear(d.block[:k]) // nobody else shall learn them
	}
	return n, nil
}

// request has the device fill up to size bytes of the block.
func (d *Device) request(size int) (n int, err error) {
	if _, err := d.queue.Add([]platform.Segment{{Addr: d.addr, Len: uint32(size)}}, 0); err != nil {
		return 0, err
	}
	d.queue.Kick()
	t := d.dev.Transport()
	interrupts := t.Interrupts()
	for {
		_, written, ok, err := d.queue.Next()
		if err != nil {
			return 0, err
		}
		if ok && written == 0 {
			return 0, d.dev.Fail(0, ErrNothing, 0, 0)
		}
		if ok {
			return int(written), nil
		}
		if d.queue.EnableInterrupts(1) {
			continue
		}
		interrupts[min(1, len(interrupts)-1)].Wait()
		if len(interrupts) == 1 {
			if t.Acknowledge()&virtio.VIRTIO_ISR_CONFIG != 0 {
				if err := d.dev.CheckStatus(); err != nil {
					return 0, err
				}
			}
		}
		d.queue.DisableInterrupts()
	}
}

// Close takes the device out of service.
func (d *Device) Close() { d.dev.Close() }
