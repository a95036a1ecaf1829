package net

import (
	"errors"
	"sync"

	"github.com/goshawk-os/goshawk/drivers/platform"
	"github.com/goshawk-os/goshawk/drivers/virtio"
)

// ErrFrame says that a frame has an impossible length or asks for an offload
// that the device does not have.
var ErrFrame = errors.New("virtio: frame has an impossible length or needs an offload that was not negotiated")

// A Completer is told when a frame has left memory.
type Completer interface {
	// Sent is called once: the device no longer reads the frame. err is nil,
	// or why the device went out of service, and then the frame may have
	// been sent or not. It is called without locks of the driver, on any
	// goroutine that sends or reaps; it must not wait.
	Sent(err error)
}

const (
	slotAlign = 16 // of the slots in memory
	// How many frames are completed with the lock held once: by Reap, and by Send.
	reapBatch, sendBatch = 32, 4
)

// A TxQueue sends. Its methods may be called by several goroutines at once.
type TxQueue struct {
	device *Device

	mu       sync.Mutex
	queue    *virtio.Queue
	sent     []Completer // by head
	slots    []byte      // slot bytes each, by head: the header, and a frame that is copied
	slot     int
	addr     uint64 // of slots
	segments []platform.Segment
	stats    TxStats
}

// TxStats counts what was given to a send queue.
type TxStats struct {
	Frames, Bytes uint64
	Notifications uint64 // exits to the device
}

func newTxQueue(d *Device, pair int) (*TxQueue, error) {
	queue, err := d.dev.NewQueue(2*pair+1, virtio.QueueOptions{
		Limit: d.options.QueueSize, Interrupt: d.interrupt(pair), Long: true,
	})
	if err != nil {
		return nil, err
	}
	slot := (HeaderSize + d.options.CopyLimit + slotAlign - 1) &^ (slotAlign - 1)
	slots, addr, err := d.dev.Memory().Allocate(queue.Size() * slot)
	if err != nil {
		return nil, err
	}
	return &TxQueue{
		device:   d,
		queue:    queue,
		sent:     make([]Completer, queue.Size()),
		slots:    slots,
		slot:     slot,
		addr:     addr,
		segments: make([]platform.Segment, 0, 64),
	}, nil
}

// Send gives a frame, the bytes of parts in order, to the device, which sees
// it at the next Kick. The bytes must not change until done.Sent was called,
// which is before Send returns if the frame is no longer than Options.CopyLimit;
// done may be nil. parts itself is not kept. Send also completes earlier
// frames. Errors are virtio.ErrFull, virtio.ErrChain for a frame in too many
// pieces, ErrFrame, one of platform.Memory, or why the device is out of
// service; then done is not called.
func (q *TxQueue) Send(h *Header, parts [][]byte, done Completer) error {
	var batch [sendBatch]Completer
	q.mu.Lock()
	n, failure := q.take(batch[:])
	copied, err := false, failure
	if err == nil {
		copied, err = q.add(h, parts, done)
	}
	q.mu.Unlock()
	if n > 0 {
		complete(batch[:n], failure)
	}
	if copied && done != nil {
		done.Sent(nil)
	}
	return err
}

// add is Send with q.mu held. It reports whether the frame was copied.
func (q *TxQueue) add(h *Header, parts [][]byte, done Completer) (copied bool, err error) {
	length := 0
	for _, p := range parts {
		length += len(p)
	}
	if length < ethernetHeader || length > maxFrame || !q.device.offloads.sendable(h, length) {
		return false, ErrFrame
	}
	head, ok := q.queue.Head()
	if !ok {
		return false, virtio.ErrFull
	}
	at := int(head) * q.slot
	slot := q.slots[at : at+q.slot]
	h.put(slot)
	segments := append(q.segments[:0], platform.Segment{Addr: q.addr + uint64(at), Len: HeaderSize})
	if length <= q.device.options.CopyLimit {
		n := HeaderSize
		for _, p := range parts {
			n += copy(slot[n:], p)
		}
		segments[0].Len, copied = uint32(n), true
	} else {
		for _, p := range parts {
			if len(p) == 0 {
				continue
			}
			if segments, err = q.device.dev.Memory().Translate(segments, p); err != nil {
				return false, err
			}
		}
		q.segments = segments // which may have grown
	}
	if _, err := q.queue.Add(segments, len(segments)); err != nil {
		return false, err
	}
	if !copied {
		q.sent[head] = done
	}
	q.stats.Frames++
	q.stats.Bytes += uint64(length)
	return copied, nil
}

// take moves the completers of frames that the device has done with, or that
// it is to give back, to done. q.mu is held.
func (q *TxQueue) take(done []Completer) (n int, failure error) {
	for n < len(done) {
		head, _, ok, err := q.queue.Next()
		if err != nil {
			failure = err
			head, ok = q.queue.Reclaim()
		}
		if !ok {
			break
		}
		done[n] = q.sent[head]
		q.sent[head] = nil
		n++
	}
	return n, failure
}

func complete(done []Completer, err error) {
	for _, c := range done {
		if c != nil {
			c.Sent(err)
		}
	}
}

// Kick shows frames to the device.
func (q *TxQueue) Kick() {
	q.mu.Lock()
	if q.queue.Kick() {
		q.stats.Notifications++
	}
	q.mu.Unlock()
}

// Reap completes the frames that the device has sent and returns how many. An
// error says why the device is out of service; its frames are then completed
// too, unless the device does not confirm its reset.
func (q *TxQueue) Reap() (n int, err error) {
	var batch [reapBatch]Completer
	// As many as the queue holds: the device may be as fast as the senders.
	for n < len(q.sent) {
		q.mu.Lock()
		k, failure := q.take(batch[:])
		q.mu.Unlock()
		complete(batch[:k], failure)
		n, err = n+k, failure
		if k < len(batch) {
			break
		}
	}
	return n, err
}

// InFlight returns how many frames the device was shown and Reap has not completed.
func (q *TxQueue) InFlight() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.queue.InFlight()
}

// EnableInterrupts asks for an interrupt when half of the frames under way are
// sent. It returns true if they are already: then Reap.
func (q *TxQueue) EnableInterrupts() (pending bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.queue.EnableInterrupts(q.queue.InFlight() / 2)
}

// DisableInterrupts asks for no more interrupts, as it is after Open.
func (q *TxQueue) DisableInterrupts() {
	q.mu.Lock()
	q.queue.DisableInterrupts()
	q.mu.Unlock()
}

// Stats returns the counts since Open.
func (q *TxQueue) Stats() TxStats {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.stats
}
