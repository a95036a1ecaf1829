package net

import (
	"errors"

	"github.com/goshawk-os/goshawk/drivers/platform"
	"github.com/goshawk-os/goshawk/drivers/virtio"
)

// ErrBuffer says that a receive buffer is shorter than MinBuffer.
var ErrBuffer = errors.New("virtio: receive buffer is too short")

// A Buffer is physically contiguous memory to receive into, from
// platform.Memory. While it is posted it belongs to the device.
type Buffer struct {
	Data []byte
	Addr uint64 // physical address of Data
	Tag  any    // the stack's, to know it by; a pointer costs no allocation
}

// A Part is a piece of a received frame, and the buffer it lies in.
type Part struct {
	Buffer Buffer
	Data   []byte // within Buffer.Data
}

// A Frame is a received Ethernet frame.
type Frame struct {
	Header Header
	Len    int    // bytes in all parts
	Parts  []Part // at least one; the slice is valid until the next Poll
}

// RxStats counts what a receive queue has seen.
type RxStats struct {
	Frames, Bytes uint64
	// Dropped frames had a length that no frame has or a header that does
	// not fit the frame or what was negotiated.
	Dropped uint64
}

// An RxQueue receives. One goroutine at a time uses it.
type RxQueue struct {
	device *Device
	queue  *virtio.Queue
	index  int      // of the queue
	posted []Buffer // by head
	parts  []Part
	want   int // buffers of the frame in parts, 0: parts belong to the stack
	length int // of the frame in parts
	stats  RxStats

	segment [1]platform.Segment
}

func newRxQueue(d *Device, pair int) (*RxQueue, error) {
	index := 2 * pair
	queue, err := d.dev.NewQueue(index, virtio.QueueOptions{Limit: d.options.QueueSize, Interrupt: d.interrupt(pair)})
	if err != nil {
		return nil, err
	}
	return &RxQueue{
		device: d,
		queue:  queue,
		index:  index,
		posted: make([]Buffer, queue.Size()),
		parts:  make([]Part, 0, queue.Size()),
	}, nil
}

// MinBuffer returns the least length of a buffer (5.1.6.3.1). Where frames may
// be merged longer ones need not be: a page does well.
func (q *RxQueue) MinBuffer() int {
	if q.device.dev.Has(VIRTIO_NET_F_MRG_RXBUF) {
		return HeaderSize + ethernetHeader
	}
	return HeaderSize + ethernetHeader + max(q.device.mtu, 1500)
}

// Free returns how many buffers may be posted now.
func (q *RxQueue) Free() int { return q.queue.Free() }

// Post gives a buffer to the device, which sees it at the next Kick. Errors
// are ErrBuffer, virtio.ErrFull, or why the device is out of service; then the
// buffer stays the stack's.
func (q *RxQueue) Post(b Buffer) error {
	if len(b.Data) < q.MinBuffer() {
		return ErrBuffer
	}
	q.segment[0] = platform.Segment{Addr: b.Addr, Len: uint32(len(b.Data))}
	head, err := q.queue.Add(q.segment[:], 0)
	if err != nil {
		return err
	}
	q.posted[head] = b
	return nil
}

// Kick shows posted buffers to the device.
func (q *RxQueue) Kick() { q.queue.Kick() }

// Poll takes the next received frame; its buffers are the stack's from now on.
// ok is false if there is none. An error says why the device is out of service.
func (q *RxQueue) Poll() (frame Frame, ok bool, err error) {
	if q.want == 0 {
		q.parts = q.parts[:0]
	}
	// Dropped frames post their buffers again, but the device does not see
	// them before Kick: the loop ends.
	for {
		head, n, ok, err := q.queue.Next()
		if !ok {
			return Frame{}, false, err
		}
		b := q.posted[head]
		q.posted[head] = Buffer{}
		skip := 0
		if q.want == 0 {
			skip, q.want, q.length = HeaderSize, 1, 0
			if n >= HeaderSize && q.device.dev.Has(VIRTIO_NET_F_MRG_RXBUF) {
				q.want = int(get16(b.Data[hdrNumBuffers:]))
			}
		}
		// Even a buffer that breaks the rules goes back, by Reclaim.
		q.parts = append(q.parts, Part{b, b.Data[min(skip, int(n)):n]})
		if n < uint32(max(skip, 1)) {
			return Frame{}, false, q.device.dev.Fail(q.index, ErrShort, uint64(n), 0)
		}
		if claimed := q.want; claimed == 0 || claimed > len(q.posted) {
			q.want = 1 // parts stay the driver's
			return Frame{}, false, q.device.dev.Fail(q.index, ErrMerge, uint64(claimed), uint64(len(q.posted)))
		}
		q.length += int(n) - skip
		if len(q.parts) < q.want {
			continue
		}
		q.want = 0

		header, ok := q.device.offloads.parse(q.parts[0].Buffer.Data, q.length)
		if ok && q.length >= ethernetHeader && q.length <= maxFrame {
			q.stats.Frames++
			q.stats.Bytes += uint64(q.length)
			return Frame{header, q.length, q.parts}, true, nil
		}
		q.stats.Dropped++
		for i, p := range q.parts {
			if err := q.Post(p.Buffer); err != nil {
				q.parts, q.want = q.parts[i:], 1
				return Frame{}, false, err
			}
		}
		q.parts = q.parts[:0]
	}
}

// EnableInterrupts asks for an interrupt at the next frame. It returns true if
// there may be one already, or the device is out of service: then Poll.
func (q *RxQueue) EnableInterrupts() (pending bool) { return q.queue.EnableInterrupts(1) }

// DisableInterrupts asks for no more interrupts.
func (q *RxQueue) DisableInterrupts() { q.queue.DisableInterrupts() }

// Stats returns the counts since Open.
func (q *RxQueue) Stats() RxStats { return q.stats }

// Reclaim gives all buffers back from a device that is out of service. If the
// device does not confirm its reset it may still write to the posted ones:
// they are lost.
func (q *RxQueue) Reclaim(give func(Buffer)) {
	if q.want != 0 {
		for _, p := range q.parts {
			give(p.Buffer)
		}
		q.parts, q.want = q.parts[:0], 0
	}
	for head, ok := q.queue.Reclaim(); ok; head, ok = q.queue.Reclaim() {
		b := q.posted[head]
		q.posted[head] = Buffer{}
		give(b)
	}
}
