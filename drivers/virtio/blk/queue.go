package blk

import (
	"runtime"
	"sync"
	"syscall"

	"github.com/goshawk-os/goshawk/drivers/platform"
	"github.com/goshawk-os/goshawk/drivers/virtio"
	"github.com/goshawk-os/goshawk/fs/block"
)

// Each command has a slot in memory that the device reads and writes, by its
// head: the header, the range of a discard, the status.
const (
	slotRange  = reqHeader
	slotStatus = slotRange + rangeSize
	slotSize   = 64

	noStatus = 0xff
)

// work is a request on its way.
type work struct {
	request *block.Request
	op      block.Op // FlushCache too for the second half of a request with FUA

	// What no command has yet. left is 1 for a flush that waits.
	off, left int64
	part, at  int // where the data of off lie in request.Parts

	commands   int // those with a part of it that the device has
	err        error
	prev, next *work // while it waits
}

// list is a list of work that waits: that with left > 0.
type list struct{ first, last *work }

func (l *list) push(w *work) {
	w.prev, w.next = l.last, nil
	if l.last == nil {
		l.first = w
	} else {
		l.last.next = w
	}
	l.last = w
}

func (l *list) remove(w *work) {
	if w.prev == nil {
		l.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		l.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next = nil, nil
}

// A command is what the device was given as one request.
type command struct {
	works   []*work
	written uint32 // bytes that the device writes if all is well
	bounced []byte // the memory that the bounce block stands for, or nil
	reads   bool
}

// result is a request to be completed.
type result struct {
	request *block.Request
	err     error
}

// A queue is a virtqueue with the work for it.
type queue struct {
	device *Device
	index  int

	mu        sync.Mutex
	vq        *virtio.Queue
	commands  []command // by head
	slots     []byte    // by head
	slotsAddr uint64
	segMax    int
	waiting   list
	spare     *work // unused, linked by next
	dead      bool  // the device is out of service, and abandon was here
	lost      [][][]byte

	// A block of memory for data that lies in too many pieces for the device.
	bounce     []byte // nil if that cannot be
	bounceAddr uint64
	bouncing   bool

	segments, pieces []platform.Segment // reused
	batch            []result           // serve's, reused
}

func newQueue(d *Device, index int) (*queue, error) {
	vq, err := d.dev.NewQueue(index, virtio.QueueOptions{
		Limit: d.options.QueueSize, Interrupt: d.interrupt(index), Long: true,
	})
	if err != nil {
		return nil, err
	}
	q := &queue{device: d, index: index, vq: vq, commands: make([]command, vq.Size())}
	q.segMax = min(d.segMax, vq.Room()-2) // beside header and status
	block := d.info.LogicalBlock
	pieces := (block + d.sizeMax - 1) / max(d.sizeMax, 1)
	if q.segMax < max(pieces, 1) || d.sizeMax == 0 {
		return nil, d.dev.Fail(index, ErrLimits, 0, 0)
	}
	if q.slots, q.slotsAddr, err = d.dev.Memory().Allocate(vq.Size() * slotSize); err != nil {
		return nil, err
	}
	// A block may lie across the border of two pages.
	if q.segMax < pieces+1 {
		if q.bounce, q.bounceAddr, err = d.dev.Memory().Allocate(block); err != nil {
			return nil, err
		}
	}
	q.segments = make([]platform.Segment, 0, q.segMax+2)
	return q, nil
}

// submit takes a request of n bytes.
func (q *queue) submit(r *block.Request, n int64) {
	q.mu.Lock()
	if q.dead {
		q.mu.Unlock()
		r.Done(r, syscall.ENXIO)
		return
	}
	w := q.spare
	if w == nil {
		w = new(work)
	} else {
		q.spare = w.next
	}
	*w = work{request: r, op: r.Op, off: r.Off, left: n}
	if r.Op == block.FlushCache {
		w.left = 1
	}
	q.waiting.push(w)
	q.device.options.Busy()
	failed := q.issue(nil)
	q.mu.Unlock()
	q.complete(failed)
}

// complete calls Done. No lock is held.
func (q *queue) complete(list []result) {
	for _, d := range list {
		d.request.Done(d.request, d.err)
		q.device.options.Done()
	}
}

// issue gives the device commands as long as there is work and room for them.
// It returns done with the requests that cannot be done. q.mu is held.
func (q *queue) issue(done []result) []result {
	for q.waiting.first != nil {
		head, ok := q.vq.Head()
		// Two segments are no indirect chain, and take two descriptors.
		if !ok || q.vq.Free() < 2 || q.vq.Room() < 3 {
			break
		}
		w := q.waiting.first
		writable := 1
		var err error
		switch w.op {
		case block.FlushCache:
			q.flush(head)
		case block.Discard, block.WriteZeroes:
			q.rangeOf(head, w)
		default:
			if w.op == block.Read {
				writable = -1
			}
			ok, err = q.transfer(head, w)
		}
		if err != nil {
			done = q.finish(head, syscall.EIO, done)
			continue
		}
		if !ok {
			break
		}
		status := q.slotsAddr + uint64(head)*slotSize + slotStatus
		q.slots[int(head)*slotSize+slotStatus] = noStatus
		q.segments = append(q.segments, platform.Segment{Addr: status, Len: 1})
		readable := len(q.segments) - 1
		if writable < 0 {
			readable = 1
		}
		if _, err := q.vq.Add(q.segments, readable); err != nil {
			break // out of service: abandon sees to it
		}
	}
	q.vq.Kick()
	return done
}

// header begins a command's segments.
func (q *queue) header(head uint16, kind uint32, off int64) {
	slot := q.slots[int(head)*slotSize:]
	put32(slot[reqType:], kind)
	put32(slot[reqType+4:], 0)
	put64(slot[reqSector:], uint64(off)/sectorSize)
	q.segments = append(q.segments[:0], platform.Segment{Addr: q.slotsAddr + uint64(head)*slotSize, Len: reqHeader})
	c := &q.commands[head]
	c.written, c.reads = 1, false
}

// give counts a command as one of w's, which has nothing left for another one.
func (q *queue) give(c *command, w *work) {
	w.left = 0
	w.commands++
	q.waiting.remove(w)
	c.works = append(c.works, w)
}

// flush makes a command for all flushes that wait: each was asked for before now.
func (q *queue) flush(head uint16) {
	q.header(head, VIRTIO_BLK_T_FLUSH, 0)
	for w := q.waiting.first; w != nil; {
		next := w.next
		if w.op == block.FlushCache {
			q.give(&q.commands[head], w)
		}
		w = next
	}
}

// rangeOf makes a command of a discard, or of zeroes that keep their space.
func (q *queue) rangeOf(head uint16, w *work) {
	kind := uint32(VIRTIO_BLK_T_DISCARD)
	if w.op == block.WriteZeroes {
		kind = VIRTIO_BLK_T_WRITE_ZEROES
	}
	q.header(head, kind, 0)
	p := q.slots[int(head)*slotSize+slotRange:]
	put64(p[rangeSector:], uint64(w.off)/sectorSize)
	put32(p[rangeNumSectors:], uint32(w.left/sectorSize))
	put32(p[rangeFlags:], 0)
	q.segments = append(q.segments, platform.Segment{Addr: q.slotsAddr + uint64(head)*slotSize + slotRange, Len: rangeSize})
	q.give(&q.commands[head], w)
}

// serve takes what the device has done.
func (q *queue) serve() {
	t := q.device.dev.Transport()
	interrupt := t.Interrupts()[q.device.interrupt(q.index)]
	shared := len(t.Interrupts()) == 1
	for {
		n, err := q.take()
		if err != nil {
			return // abandon sees to the rest
		}
		if n > 0 {
			runtime.Gosched() // who was woken may have more to ask for
			continue
		}
		q.mu.Lock()
		pending := q.vq.EnableInterrupts(1)
		q.mu.Unlock()
		if pending {
			continue
		}
		interrupt.Wait()
		if shared && t.Acknowledge()&virtio.VIRTIO_ISR_CONFIG != 0 && q.device.configChanged() != nil {
			return
		}
		q.mu.Lock()
		q.vq.DisableInterrupts()
		q.mu.Unlock()
	}
}

// take completes what the device has done, and gives it more. It returns how
// many commands were done, or why the device is out of service.
func (q *queue) take() (n int, err error) {
	done := q.batch[:0]
	q.mu.Lock()
	for {
		head, written, ok, failure := q.vq.Next()
		if failure != nil {
			err = failure
			break
		}
		if !ok {
			break
		}
		status := q.status(head, written)
		if err = q.device.dev.Err(); err != nil {
			status = syscall.EIO
		}
		done = q.finish(head, status, done)
		n++
	}
	done = q.issue(done)
	q.mu.Unlock()
	q.complete(done)
	clear(done)
	q.batch = done
	return n, err
}

// status returns the result of a command that the device has done.
func (q *queue) status(head uint16, written uint32) error {
	c := &q.commands[head]
	switch s := q.slots[int(head)*slotSize+slotStatus]; s {
	case VIRTIO_BLK_S_OK:
		if written < c.written {
			return q.device.dev.Fail(q.index, ErrShort, uint64(written), uint64(c.written))
		}
		return nil
	case VIRTIO_BLK_S_IOERR:
		return syscall.EIO
	case VIRTIO_BLK_S_UNSUPP:
		return syscall.EOPNOTSUPP
	default:
		return q.device.dev.Fail(q.index, ErrStatus, uint64(s), 0)
	}
}

// finish ends a command and appends the requests that are done by it to done.
// q.mu is held.
func (q *queue) finish(head uint16, err error, done []result) []result {
	c := &q.commands[head]
	if c.bounced != nil {
		if c.reads && err == nil {
			copy(c.bounced, q.bounce)
		}
		c.bounced, q.bouncing = nil, false
	}
	for i, w := range c.works {
		c.works[i] = nil
		w.commands--
		if err != nil && w.err == nil {
			w.err = err
		}
		if w.err != nil && w.left > 0 {
			q.waiting.remove(w)
			w.left = 0
		}
		switch {
		case w.commands > 0 || w.left > 0:
		case w.err == nil && w.op != block.FlushCache && w.op != block.Read && w.request.FUA && q.device.info.VolatileCache:
			w.op, w.left = block.FlushCache, 1
			q.waiting.push(w)
		default:
			done = q.end(w, w.err, done)
		}
	}
	c.works = c.works[:0]
	return done
}

// end appends a request to done.
func (q *queue) end(w *work, err error, done []result) []result {
	done = append(done, result{w.request, err})
	*w = work{next: q.spare}
	q.spare = w
	return done
}

// abandon fails all requests of a device that is out of service.
func (q *queue) abandon() {
	var done []result
	q.mu.Lock()
	q.dead = true
	for {
		head, ok := q.vq.Reclaim()
		if !ok {
			break
		}
		done = q.finish(head, syscall.EIO, done)
	}
	for head := range q.commands {
		for _, w := range q.commands[head].works {
			// A device that does not confirm its reset may still use their memory.
			q.lost = append(q.lost, w.request.Parts)
		}
		done = q.finish(uint16(head), syscall.EIO, done)
	}
	for w := q.waiting.first; w != nil; w = q.waiting.first {
		q.waiting.remove(w)
		done = q.end(w, syscall.ENXIO, done)
	}
	q.mu.Unlock()
	q.complete(done)
}

func put32(p []byte, v uint32) {
	_ = p[3]
	p[0], p[1], p[2], p[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
}

func put64(p []byte, v uint64) {
	put32(p, uint32(v))
	put32(p[4:], uint32(v>>32))
}
