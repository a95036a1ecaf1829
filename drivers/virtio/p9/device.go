// Package p9 drives virtio 9P devices as transports of package fs/p9: a request
// is a chain that the device reads the message from and writes the reply to.
//
// Messages are copied to and from memory that stays the device's, since they may
// come from a goroutine's stack. 32 requests can be under way, of which 4 may be
// long; others wait. A goroutine waits for the device's interrupt and wakes those
// whose replies are there.
//
// A device that breaks the rules is put out of service, and all requests fail.
package p9

import (
	"errors"
	"sync"

	"github.com/goshawk-os/goshawk/drivers/platform"
	"github.com/goshawk-os/goshawk/drivers/virtio"
	fsp9 "github.com/goshawk-os/goshawk/fs/p9"
)

// ErrTag says that the device has no mount tag, or an impossible one.
var ErrTag = errors.New("has no mount tag of 1 to 255 bytes")

// errLong says that a message is longer than MaxMessage, or that it and its
// reply are both long.
var errLong = errors.New("virtio: a 9P message is too long")

const (
	// maxMessage is the longest message, bytes: 512 KiB and what precedes them.
	maxMessage = 516 << 10
	// maxSlots is how many requests are under way at most. Each takes two
	// descriptors.
	maxSlots = 32
	// longBuffers is how many of them have a message of maxMessage.
	longBuffers = 4
	// maxTag is the longest mount tag. QEMU's have 32 bytes.
	maxTag = 255

	// A slot's memory, bytes: a request and a reply that are not long.
	slotRequest = 5 << 10
	slotReply   = 11 << 10
	slotSize    = slotRequest + slotReply
)

// Options are the wishes of the machine.
type Options struct {
	// Busy is called when a request begins to wait for the device, and Done
	// when its goroutine was woken. They may be nil.
	Busy, Done func()
}

// A buffer is memory that the device can reach.
type buffer struct {
	p    []byte
	addr uint64
}

// A slot is a request.
type slot struct {
	request, reply buffer
	done           chan struct{} // holds a token when the device has answered
	written        uint32        // length of the reply
	err            error         // why there is none
}

// Device is a 9P device. It implements the Transport of package fs/p9.
type Device struct {
	dev     *virtio.Device
	options Options
	tag     string
	slots   chan *slot  // those that are free
	long    chan buffer // likewise

	mu       sync.Mutex
	queue    *virtio.Queue
	waiting  []*slot // by head
	segments [2]platform.Segment
	dead     bool // out of service, and abandon was here
}

var _ fsp9.Transport = (*Device)(nil)

// Open takes a device into service.
func Open(t virtio.Transport, m platform.Memory, o Options) (*Device, error) {
	if o.Busy == nil {
		o.Busy, o.Done = func() {}, func() {}
	}
	dev, err := virtio.Open(t, m, func(uint64) uint64 { return VIRTIO_9P_MOUNT_TAG })
	if err != nil {
		return nil, err
	}
	d := &Device{dev: dev, options: o}
	if err := d.setup(); err != nil {
		dev.Close()
		return nil, err
	}
	go d.serve()
	if len(t.Interrupts()) > 1 {
		go d.watch()
	}
	go d.abandon()
	return d, nil
}

func (d *Device) setup() (err error) {
	if err := d.readTag(); err != nil {
		return err
	}
	if d.queue, err = d.dev.NewQueue(0, virtio.QueueOptions{Limit: 2 * maxSlots, Interrupt: d.interrupt()}); err != nil {
		return err
	}
	d.waiting = make([]*slot, d.queue.Size())
	n := d.queue.Size() / 2
	d.slots, d.long = make(chan *slot, n), make(chan buffer, longBuffers)
	block, addr, err := d.dev.Memory().Allocate(n * slotSize)
	if err != nil {
		return err
	}
	for range n {
		d.slots <- &slot{
			request: buffer{block[:slotRequest], addr}, reply: buffer{block[slotRequest:slotSize], addr + slotRequest},
			done: make(chan struct{}, 1),
		}
		block, addr = block[slotSize:], addr+slotSize
	}
	for range longBuffers {
		block, addr, err := d.dev.Memory().Allocate(maxMessage)
		if err != nil {
			return err
		}
		d.long <- buffer{block, addr}
	}
	return d.dev.Start()
}

// readTag reads the mount tag.
func (d *Device) readTag() error {
	var tag [maxTag]byte
	n := 0
	err := d.dev.ReadConfig(func(t virtio.Transport) {
		n = 0
		if d.dev.Has(VIRTIO_9P_MOUNT_TAG) {
			n = int(t.Config16(configTagLen))
		}
		for i := range min(n, len(tag)) {
			tag[i] = t.Config8(configTag + i)
		}
	})
	if err != nil {
		return err
	}
	if n == 0 || n > len(tag) {
		return d.dev.Fail(virtio.NoQueue, ErrTag, uint64(n), 0)
	}
	d.tag = string(tag[:n])
	return nil
}

// interrupt returns the index of the queue's interrupt.
func (d *Device) interrupt() int { return min(1, len(d.dev.Transport().Interrupts())-1) }

// Tag returns the mount tag, the name that the device's folder has.
func (d *Device) Tag() string { return d.tag }

// MaxMessage implements fs/p9.Transport.
func (d *Device) MaxMessage() int { return maxMessage }

// Err returns why the device is out of service, nil while it serves.
func (d *Device) Err() error { return d.dev.Err() }

// Close takes the device out of service.
func (d *Device) Close() { d.dev.Close() }

// RoundTrip implements fs/p9.Transport. Errors are a DeviceError, or that a
// message is too long.
func (d *Device) RoundTrip(request, reply [2][]byte) (int, error) {
	out, in := len(request[0])+len(request[1]), len(reply[0])+len(reply[1])
	long := out > slotRequest || in > slotReply
	if max(out, in) > maxMessage || out > slotRequest && in > slotReply {
		return 0, errLong
	}
	var b buffer
	if long {
		select {
		case b = <-d.long:
		case <-d.dev.Done():
			return 0, d.dev.Err()
		}
	}
	var s *slot
	select {
	case s = <-d.slots:
	case <-d.dev.Done():
		return 0, d.dev.Err()
	}
	from, to := s.request, s.reply
	if out > slotRequest {
		from = b
	} else if long {
		to = b
	}
	copy(from.p[copy(from.p, request[0]):], request[1])
	if err := d.submit(s, platform.Segment{Addr: from.addr, Len: uint32(out)}, platform.Segment{Addr: to.addr, Len: uint32(in)}); err != nil {
		return 0, err
	}
	<-s.done
	if s.err != nil {
		return 0, s.err // the memory is not used again
	}
	// Each byte is read once, for the device may still write there.
	got := to.p[:s.written]
	copy(reply[1], got[copy(reply[0], got):])
	d.slots <- s
	if long {
		d.long <- b
	}
	return len(got), nil
}

// submit gives the device a request.
func (d *Device) submit(s *slot, request, reply platform.Segment) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return d.dev.Err()
	}
	d.segments = [2]platform.Segment{request, reply}
	head, err := d.queue.Add(d.segments[:], 1)
	if err != nil {
		return err
	}
	d.waiting[head] = s
	d.options.Busy()
	d.queue.Kick()
	return nil
}

// serve takes the replies.
func (d *Device) serve() {
	t := d.dev.Transport()
	interrupt := t.Interrupts()[d.interrupt()]
	shared := len(t.Interrupts()) == 1
	for {
		n, err := d.take()
		if err != nil {
			return // abandon sees to the rest
		}
		if n > 0 {
			continue
		}
		interrupt.Wait()
		if shared && t.Acknowledge()&virtio.VIRTIO_ISR_CONFIG != 0 && d.dev.CheckStatus() != nil {
			return
		}
	}
}

// take wakes those whose replies are there, and returns how many. If there are
// none, the device interrupts for the next one.
func (d *Device) take() (n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue.DisableInterrupts()
	for {
		head, written, ok, err := d.queue.Next()
		if err != nil {
			return n, err
		}
		if ok {
			d.waiting[head].written = written
			d.wake(head)
			n++
			continue
		}
		if n > 0 || !d.queue.EnableInterrupts(1) {
			return n, nil
		}
	}
}

// wake ends a request. d.mu is held.
func (d *Device) wake(head uint16) {
	s := d.waiting[head]
	d.waiting[head] = nil
	s.done <- struct{}{}
	d.options.Done()
}

// watch waits for a report of the device, if that has an interrupt of its own.
func (d *Device) watch() {
	for changed := d.dev.Transport().Interrupts()[0]; ; {
		changed.Wait()
		if d.dev.CheckStatus() != nil {
			return
		}
	}
}

// abandon fails all requests when the device is out of service.
func (d *Device) abandon() {
	<-d.dev.Done()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
	for head, s := range d.waiting {
		if s != nil {
			s.err = d.dev.Err()
			d.wake(uint16(head))
		}
	}
}
