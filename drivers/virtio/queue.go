package virtio

import (
	"math"
	"math/bits"

	"github.com/goshawk-os/goshawk/drivers/platform"
)

// Chains of more than directLimit segments, up to indirectLimit, take one
// descriptor and an indirect table (2.7.5.3); shorter ones are cheaper for the
// device without, longer ones are rare.
const (
	directLimit   = 2
	indirectLimit = 16
)

// A Queue is a split virtqueue (2.7). It is not safe for concurrent use.
//
// A chain goes round like this:
//
//	Add      free -> added       the chain is in the ring, the device sees nothing
//	Kick     added -> published  the device may use it; it is told if it wants to be
//	Next     published -> free   the device has used it
//	Reclaim  any -> free         after the device was put out of service
//
// A chain is known by its head, a number below Size, from Add to Next; a
// driver keeps what belongs to the chain in an array of its own. None of these
// four allocates.
type Queue struct {
	dev        *Device
	index      int
	ring       ring
	tables     []Descriptor // indirect tables of indirectLimit each, by head
	tablesAddr uint64
	eventIndex bool

	// Private copies: the device may write to the ring as it likes.
	chains   []chain  // by head
	links    []uint16 // next free descriptor, next descriptor of a chain
	free     uint16   // first free descriptor if numFree > 0
	numFree  int
	inFlight int // chains published and not used
	flags    uint16

	// Counts of chains, whose low 16 bits are the indexes of the rings.
	added     uint64
	published uint64
	taken     uint64 // by Next
	seen      uint64 // used idx when it was last read; taken <= seen

	reclaim int // first head that Reclaim has not looked at
}

type chain struct {
	position uint64 // value of added before it
	writable uint32 // bytes the device may write
	descs    uint16 // descriptors taken, 0: no chain
}

// QueueOptions are what a driver chooses for a queue.
type QueueOptions struct {
	// Limit is the largest size, a power of two of at least 2.
	Limit int
	// Interrupt is an index into Transport.Interrupts, or NoInterrupt.
	Interrupt int
	// Long says that chains often have more than two segments: they get
	// indirect tables, 256 bytes for each descriptor, if the device can.
	Long bool
}

// NewQueue enables a queue (3.1.1, step 7; 4.1.5.1.3). Its size is the largest
// that the device allows up to the limit. Interrupts are off.
func (d *Device) NewQueue(index int, o QueueOptions) (*Queue, error) {
	if err := d.Err(); err != nil {
		return nil, err
	}
	largest := d.transport.QueueMax(index)
	if largest == 0 {
		return nil, d.Fail(index, ErrNoQueue, 0, 0)
	}
	if largest < 2 || largest > MaxQueueSize || bits.OnesCount32(largest) != 1 {
		return nil, d.Fail(index, ErrQueueSize, uint64(largest), 0)
	}
	n := min(int(largest), o.Limit)

	block, addr, err := d.memory.Allocate(ringSize(n))
	if err != nil {
		return nil, err
	}
	q := &Queue{
		dev:        d,
		index:      index,
		ring:       newRing(block, n),
		eventIndex: d.Has(VIRTIO_F_EVENT_IDX),
		chains:     make([]chain, n),
		links:      make([]uint16, n),
		numFree:    n,
	}
	for i := range q.links {
		q.links[i] = uint16(i + 1)
	}
	if o.Long && d.Has(VIRTIO_F_INDIRECT_DESC) {
		table, tableAddr, err := d.memory.Allocate(n * indirectLimit * 16)
		if err != nil {
			return nil, err
		}
		q.tables, q.tablesAddr = descriptors(table), tableAddr
	}
	q.DisableInterrupts()
	err = d.transport.EnableQueue(index, QueueRegisters{
		Size:      uint16(n),
		Desc:      addr,
		Avail:     addr + uint64(q.ring.availOffset),
		Used:      addr + uint64(q.ring.usedOffset),
		Interrupt: o.Interrupt,
	})
	if err != nil {
		return nil, d.Fail(index, err, 0, 0)
	}
	return q, nil
}

// Size returns the number of descriptors.
func (q *Queue) Size() int { return len(q.chains) }

// Free returns the number of free descriptors.
func (q *Queue) Free() int { return q.numFree }

// Room returns how many segments the longest chain has that Add takes now. A
// chain of two needs two free descriptors all the same.
func (q *Queue) Room() int {
	if q.tables != nil && q.numFree > 0 {
		return max(q.numFree, min(indirectLimit, len(q.chains)))
	}
	return q.numFree
}

// InFlight returns the number of chains published that Next has not taken.
func (q *Queue) InFlight() int { return q.inFlight }

// Head returns the head that the next Add will use; false if the queue is full.
func (q *Queue) Head() (uint16, bool) { return q.free, q.numFree > 0 }

// Add puts a chain into the queue: the device may read the first readable
// segments and write the rest. Errors are ErrFull, ErrChain, or why the device
// is out of service; then the queue is unchanged.
func (q *Queue) Add(segments []platform.Segment, readable int) (head uint16, err error) {
	if q.dev.failure.Load() != nil {
		return 0, q.dev.Err()
	}
	n := len(segments)
	if n == 0 || n > len(q.chains) {
		return 0, ErrChain
	}
	head = q.free
	at, descs := head, n
	var total, writable uint64
	if q.tables != nil && n > directLimit && n <= indirectLimit {
		if descs = 1; q.numFree == 0 {
			return 0, ErrFull
		}
		first := int(head) * indirectLimit
		total, writable = describe(q.tables[first:first+n], segments, readable)
		q.ring.desc[head] = Descriptor{
			Addr: q.tablesAddr + uint64(first)*16, Len: uint32(n) * 16, Flags: VIRTQ_DESC_F_INDIRECT,
		}
		at = q.links[head]
	} else {
		if n > q.numFree {
			return 0, ErrFull
		}
		for i := range segments {
			s := &segments[i]
			d := Descriptor{Addr: s.Addr, Len: s.Len}
			if total += uint64(s.Len); i >= readable {
				writable += uint64(s.Len)
				d.Flags = VIRTQ_DESC_F_WRITE
			}
			next := q.links[at]
			if i < n-1 {
				d.Flags |= VIRTQ_DESC_F_NEXT
				d.Next = next
			}
			q.ring.desc[at] = d
			at = next
		}
	}
	if total > math.MaxUint32 {
		return 0, ErrChain // what was written is free still
	}
	q.free = at
	q.numFree -= descs
	q.chains[head] = chain{position: q.added, writable: uint32(writable), descs: uint16(descs)}
	q.ring.avail[int(q.added)&(len(q.chains)-1)] = head
	q.added++
	return head, nil
}

// describe writes the descriptors of a chain into an indirect table (2.7.5.3), and
// returns the bytes of all segments and of those that the device may write.
func describe(table []Descriptor, segments []platform.Segment, readable int) (total, writable uint64) {
	for i := range segments {
		s := &segments[i]
		d := Descriptor{Addr: s.Addr, Len: s.Len}
		if total += uint64(s.Len); i >= readable {
			writable += uint64(s.Len)
			d.Flags = VIRTQ_DESC_F_WRITE
		}
		if i < len(segments)-1 {
			d.Flags |= VIRTQ_DESC_F_NEXT
			d.Next = uint16(i + 1)
		}
		table[i] = d
	}
	return total, writable
}

// Kick publishes all chains added and, unless the device does not want to
// know, notifies it (2.7.13). It reports whether it did.
func (q *Queue) Kick() (notified bool) {
	if q.added == q.published || q.dev.failure.Load() != nil {
		return false
	}
	before, now := uint16(q.published), uint16(q.added)
	q.inFlight += int(q.added - q.published)
	q.published = q.added
	q.ring.publish(now, q.flags)
	if q.eventIndex {
		// Notify if idx has moved past avail_event (2.7.10).
		notified = now-q.ring.availEventIndex()-1 < now-before
	} else {
		notified = q.ring.usedFlags()&VIRTQ_USED_F_NO_NOTIFY == 0
	}
	if notified {
		q.dev.transport.Notify(q.index)
	}
	return notified
}

// Next takes the next chain that the device has used: its head and how many
// bytes the device has written. ok is false if there is none. An error says
// why the device is out of service.
func (q *Queue) Next() (head uint16, written uint32, ok bool, err error) {
	if q.dev.failure.Load() != nil {
		return 0, 0, false, q.dev.Err()
	}
	if q.taken == q.seen {
		moved := q.ring.usedIndex() - uint16(q.seen)
		if moved == 0 {
			return 0, 0, false, nil
		}
		if int(moved) > q.inFlight {
			return 0, 0, false, q.fail(ErrUsedIndex, uint64(moved), uint64(q.inFlight))
		}
		q.seen += uint64(moved)
	}
	e := q.ring.used[int(q.taken)&(len(q.chains)-1)]
	if e.ID >= uint32(len(q.chains)) {
		return 0, 0, false, q.fail(ErrUsedID, uint64(e.ID), uint64(len(q.chains)))
	}
	head = uint16(e.ID)
	c := q.chains[head]
	if c.descs == 0 || c.position >= q.published {
		return 0, 0, false, q.fail(ErrUsedHead, uint64(head), 0)
	}
	if e.Len > c.writable {
		return 0, 0, false, q.fail(ErrUsedLength, uint64(e.Len), uint64(c.writable))
	}
	q.taken++
	q.inFlight--
	q.release(head)
	return head, e.Len, true, nil
}

// release gives the descriptors of a chain back.
func (q *Queue) release(head uint16) {
	n := q.chains[head].descs
	last := head
	for range n - 1 {
		last = q.links[last]
	}
	q.links[last] = q.free
	q.free = head
	q.numFree += int(n)
	q.chains[head] = chain{}
}

func (q *Queue) fail(kind error, value, limit uint64) error {
	return q.dev.Fail(q.index, kind, value, limit)
}

// Pending reports whether Next has something to say.
func (q *Queue) Pending() bool {
	return q.taken != q.seen || q.ring.usedIndex() != uint16(q.seen) || q.dev.Err() != nil
}

// DisableInterrupts asks the device not to interrupt for this queue (2.7.7).
// It still may.
func (q *Queue) DisableInterrupts() {
	if q.eventIndex {
		// The index that is furthest away: one that the device has passed.
		q.ring.setUsedEvent(uint16(q.taken) - 1)
		return
	}
	q.flags = VIRTQ_AVAIL_F_NO_INTERRUPT
	q.ring.publish(uint16(q.published), q.flags)
}

// EnableInterrupts asks for an interrupt when the device has used after more
// chains than Next has taken; 1 means the next one. A device without event
// index interrupts for each. It returns true if that many are there already:
// the caller must look for them, since there may be no interrupt.
func (q *Queue) EnableInterrupts(after int) (pending bool) {
	after = max(1, min(after, q.inFlight))
	if q.eventIndex {
		q.ring.setUsedEvent(uint16(q.taken) + uint16(after) - 1)
	} else {
		q.flags = 0
		q.ring.publish(uint16(q.published), q.flags)
	}
	if q.dev.failure.Load() != nil {
		return true
	}
	return int(q.ring.usedIndex()-uint16(q.taken)) >= after
}

// Reclaim takes back one chain after the other from a device that is out of
// service. ok is false when none is left, and for ever if the device does not
// confirm its reset: it may still use the memory.
func (q *Queue) Reclaim() (head uint16, ok bool) {
	if !q.dev.stopped.Load() {
		return 0, false
	}
	for ; q.reclaim < len(q.chains); q.reclaim++ {
		if head := uint16(q.reclaim); q.chains[head].descs > 0 {
			q.release(head)
			return head, true
		}
	}
	return 0, false
}
