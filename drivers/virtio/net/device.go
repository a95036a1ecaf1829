// Package net drives virtio network devices (Virtual I/O Device 1.2, section
// 5.1) for a network stack that owns the buffers: nothing is copied.
//
// A goroutine of the stack serves each queue pair, polling while there is
// something to do and without interrupts meanwhile:
//
//	for {
//		for budget := 64; budget > 0; budget-- {
//			frame, ok, err := rx.Poll()
//			... deliver frame.Parts, whose buffers are the stack's from now on
//		}
//		for rx.Free() > 0 { rx.Post(buffer) }
//		rx.Kick()
//		tx.Reap()
//		if nothing was polled && !rx.EnableInterrupts() {
//			device.Wait(pair)
//			rx.DisableInterrupts()
//		}
//	}
//
// Any goroutine sends: tx.Send for each frame, then tx.Kick once. When Send
// answers virtio.ErrFull the sender keeps the frame until the pair's goroutine
// has reaped, having asked for an interrupt by tx.EnableInterrupts.
//
// After an error that is a *virtio.DeviceError the device is reset and serves
// no more; TxQueue.Reap and RxQueue.Reclaim give all buffers back.
package net

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goshawk-os/goshawk/drivers/platform"
	"github.com/goshawk-os/goshawk/drivers/virtio"
)

// The ways of a network device to break the rules; see package virtio.
var (
	// ErrPairs says that max_virtqueue_pairs is not from 1 to 32768 (5.1.4.1).
	ErrPairs = errors.New("has an impossible number of queue pairs")
	// ErrMTU says that the MTU is below 68 (5.1.4.1).
	ErrMTU = errors.New("has an MTU below 68")
	// ErrShort says that less than a header was written before a frame, or
	// nothing to a buffer of a merged frame.
	ErrShort = errors.New("has used a receive buffer without filling it")
	// ErrMerge says that a frame claims no buffer or more than the device has.
	ErrMerge = errors.New("claims an impossible number of buffers for one frame")
	// ErrControl says that the device does not answer a command in time.
	ErrControl = errors.New("does not answer a command on its control queue")
)

// ErrCommand says that the device has refused a command.
var ErrCommand = errors.New("virtio: network device refuses a command on its control queue")

const (
	maxPairs = 0x8000

	controlTimeout = time.Second
	controlPoll    = 20 * time.Microsecond
)

// Options are the stack's wishes.
type Options struct {
	// Pairs is how many queue pairs the stack wants at most, one for each
	// CPU. There are fewer if the device has fewer queues or interrupts.
	Pairs int
	// QueueSize is the largest size of a queue, a power of two; 0 is 256.
	QueueSize int
	// CopyLimit is the longest frame in bytes that is copied when it is sent,
	// into a block of that size for each descriptor: the device gets one
	// segment, whose address is known, and the sender its memory at once.
	CopyLimit int
	// LinkChanged is called when the link went up or down, on the goroutine
	// in Wait or WaitConfig. It may be nil.
	LinkChanged func(up bool)
}

// A Device is a network device.
type Device struct {
	dev      *virtio.Device
	options  Options
	offloads Offloads
	mac      [6]byte
	mtu      int
	link     atomic.Bool
	rx       []*RxQueue
	tx       []*TxQueue

	control struct {
		mu    sync.Mutex
		queue *virtio.Queue // nil if there is none
		index int
		block []byte
		addr  uint64
	}
}

// Open takes a device into service. It interrupts only when asked to, and
// receives nothing until buffers are posted.
func Open(t virtio.Transport, m platform.Memory, o Options) (*Device, error) {
	if o.QueueSize == 0 {
		o.QueueSize = 256
	}
	dev, err := virtio.Open(t, m, choose)
	if err != nil {
		return nil, err
	}
	d := &Device{dev: dev, options: o, mtu: 1500}
	d.offloads = Offloads{
		SendChecksum:    dev.Has(VIRTIO_NET_F_CSUM),
		SendTSO4:        dev.Has(VIRTIO_NET_F_HOST_TSO4),
		SendTSO6:        dev.Has(VIRTIO_NET_F_HOST_TSO6),
		SendECN:         dev.Has(VIRTIO_NET_F_HOST_ECN),
		ReceiveChecksum: dev.Has(VIRTIO_NET_F_GUEST_CSUM),
		ReceiveTSO4:     dev.Has(VIRTIO_NET_F_GUEST_TSO4),
		ReceiveTSO6:     dev.Has(VIRTIO_NET_F_GUEST_TSO6),
		ReceiveECN:      dev.Has(VIRTIO_NET_F_GUEST_ECN),
	}
	if err := d.setup(); err != nil {
		dev.Close()
		return nil, err
	}
	return d, nil
}

// choose accepts what the driver knows, as far as what it depends on is
// offered too (5.1.3.1).
func choose(offered uint64) uint64 {
	f := offered & (VIRTIO_NET_F_CSUM | VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_MTU | VIRTIO_NET_F_MAC |
		VIRTIO_NET_F_MRG_RXBUF | VIRTIO_NET_F_STATUS | VIRTIO_NET_F_CTRL_VQ)
	if f&VIRTIO_NET_F_CSUM != 0 {
		f |= offered & (VIRTIO_NET_F_HOST_TSO4 | VIRTIO_NET_F_HOST_TSO6)
	}
	if f&(VIRTIO_NET_F_HOST_TSO4|VIRTIO_NET_F_HOST_TSO6) != 0 {
		f |= offered & VIRTIO_NET_F_HOST_ECN
	}
	// Without merging, every receive buffer would need 64 KiB (5.1.6.3.1).
	if f&VIRTIO_NET_F_GUEST_CSUM != 0 && f&VIRTIO_NET_F_MRG_RXBUF != 0 {
		f |= offered & (VIRTIO_NET_F_GUEST_TSO4 | VIRTIO_NET_F_GUEST_TSO6)
	}
	if f&(VIRTIO_NET_F_GUEST_TSO4|VIRTIO_NET_F_GUEST_TSO6) != 0 {
		f |= offered & VIRTIO_NET_F_GUEST_ECN
	}
	if f&VIRTIO_NET_F_CTRL_VQ != 0 {
		f |= offered & (VIRTIO_NET_F_CTRL_RX | VIRTIO_NET_F_MQ)
	}
	return f
}

func (d *Device) setup() error {
	largest := 1
	err := d.dev.ReadConfig(func(t virtio.Transport) {
		if d.dev.Has(VIRTIO_NET_F_MAC) {
			for i := range d.mac {
				d.mac[i] = t.Config8(configMAC + i)
			}
		}
		if d.dev.Has(VIRTIO_NET_F_MTU) {
			d.mtu = int(t.Config16(configMTU))
		}
		if d.dev.Has(VIRTIO_NET_F_MQ) {
			largest = int(t.Config16(configMaxPairs))
		}
	})
	if err != nil {
		return err
	}
	if d.mtu < 68 {
		return d.dev.Fail(virtio.NoQueue, ErrMTU, uint64(d.mtu), 0)
	}
	if largest < 1 || largest > maxPairs {
		return d.dev.Fail(virtio.NoQueue, ErrPairs, uint64(largest), maxPairs)
	}

	// A pair has an interrupt of its own, or there is one pair.
	pairs := max(1, min(d.options.Pairs, largest, len(d.dev.Transport().Interrupts())-1))
	for i := range pairs {
		rx, err := newRxQueue(d, i)
		if err != nil {
			return err
		}
		tx, err := newTxQueue(d, i)
		if err != nil {
			return err
		}
		d.rx, d.tx = append(d.rx, rx), append(d.tx, tx)
	}
	if d.dev.Has(VIRTIO_NET_F_CTRL_VQ) {
		// Behind the largest number of pairs, used or not (5.1.2).
		d.control.index = 2 * largest
		if d.control.queue, err = d.dev.NewQueue(d.control.index, virtio.QueueOptions{
			Limit: 2, Interrupt: virtio.NoInterrupt,
		}); err != nil {
			return err
		}
		if d.control.block, d.control.addr, err = d.dev.Memory().Allocate(platform.PageSize); err != nil {
			return err
		}
	}
	if err := d.dev.Start(); err != nil {
		return err
	}
	if pairs > 1 {
		if err := d.command(VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, byte(pairs), byte(pairs>>8)); err != nil {
			return err
		}
	}
	return d.readLink()
}

// interrupt returns the index of a pair's interrupt.
func (d *Device) interrupt(pair int) int {
	if len(d.dev.Transport().Interrupts()) == 1 {
		return 0
	}
	return 1 + pair
}

// MAC returns the device's address; false if the stack must choose one.
func (d *Device) MAC() (mac [6]byte, ok bool) { return d.mac, d.dev.Has(VIRTIO_NET_F_MAC) }

// MTU returns the longest IP packet in bytes.
func (d *Device) MTU() int { return d.mtu }

// Link reports whether the link is up.
func (d *Device) Link() bool { return d.link.Load() }

// Offloads returns what the device does for the stack.
func (d *Device) Offloads() Offloads { return d.offloads }

// Rx and Tx return the queues, one of each for each pair.
func (d *Device) Rx() []*RxQueue { return d.rx }

// Tx is described at Rx.
func (d *Device) Tx() []*TxQueue { return d.tx }

// Err returns why the device is out of service, nil while it serves.
func (d *Device) Err() error { return d.dev.Err() }

// Done returns a channel that is closed when the device is out of service.
// Wait may then never return.
func (d *Device) Done() <-chan struct{} { return d.dev.Done() }

// Close takes the device out of service.
func (d *Device) Close() { d.dev.Close() }

// Wait parks until a pair's queues have interrupted. It may return without
// cause. One goroutine waits for each pair.
func (d *Device) Wait(pair int) error {
	t := d.dev.Transport()
	interrupts := t.Interrupts()
	if len(interrupts) > 1 {
		interrupts[1+pair].Wait()
		return d.dev.Err()
	}
	interrupts[0].Wait()
	if t.Acknowledge()&virtio.VIRTIO_ISR_CONFIG != 0 {
		return d.readLink()
	}
	return d.dev.Err()
}

// HasConfigInterrupt reports whether a goroutine of the stack must call
// WaitConfig, again and again. If not, Wait does its work.
func (d *Device) HasConfigInterrupt() bool { return len(d.dev.Transport().Interrupts()) > 1 }

// WaitConfig parks until the link may have changed.
func (d *Device) WaitConfig() error {
	d.dev.Transport().Interrupts()[0].Wait()
	return d.readLink()
}

// readLink is called after a change of the configuration.
func (d *Device) readLink() error {
	up := true
	err := d.dev.CheckStatus()
	if err == nil && d.dev.Has(VIRTIO_NET_F_STATUS) {
		err = d.dev.ReadConfig(func(t virtio.Transport) {
			up = t.Config16(configStatus)&VIRTIO_NET_S_LINK_UP != 0
		})
	}
	up = up && err == nil
	if d.link.Swap(up) != up && d.options.LinkChanged != nil {
		d.options.LinkChanged(up)
	}
	return err
}

// SetReceive chooses which frames arrive beyond those addressed to the device:
// those for others, all those for groups. An error is ErrCommand if the device
// cannot choose.
func (d *Device) SetReceive(promiscuous, allMulticast bool) error {
	if !d.dev.Has(VIRTIO_NET_F_CTRL_RX) {
		return ErrCommand
	}
	flag := func(on bool) byte {
		if on {
			return 1
		}
		return 0
	}
	if err := d.command(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, flag(promiscuous)); err != nil {
		return err
	}
	return d.command(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, flag(allMulticast))
}

// command has a command executed (5.1.6.5): class, command and data in one
// segment, the answer of one byte in another.
func (d *Device) command(class, command byte, data ...byte) error {
	c := &d.control
	c.mu.Lock()
	defer c.mu.Unlock()
	const answer = platform.PageSize - 1
	n := copy(c.block[:answer], append([]byte{class, command}, data...))
	c.block[answer] = ^byte(VIRTIO_NET_OK)
	_, err := c.queue.Add([]platform.Segment{{Addr: c.addr, Len: uint32(n)}, {Addr: c.addr + answer, Len: 1}}, 1)
	if err != nil {
		return err
	}
	c.queue.Kick()
	for deadline := time.Now().Add(controlTimeout); ; time.Sleep(controlPoll) {
		_, written, ok, err := c.queue.Next()
		if err != nil {
			return err
		}
		if ok {
			if written != 1 || c.block[answer] != VIRTIO_NET_OK {
				return ErrCommand
			}
			return nil
		}
		if time.Now().After(deadline) {
			return d.dev.Fail(c.index, ErrControl, 0, 0)
		}
	}
}
