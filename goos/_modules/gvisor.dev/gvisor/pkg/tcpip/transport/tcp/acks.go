package tcp

import (
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
)

// gVisor acknowledges each batch of segments with a segment of its own. Here an acknowledgement waits for
// data to travel with, as RFC 1122, section 4.2.3.2, and RFC 5681, section 4.2, allow.

// ackDelay is how long an acknowledgement waits: Linux's TCP_DELACK_MIN.
const ackDelay = 40 * time.Millisecond

// ackState is an endpoint's part in ackQueue.
type ackState struct {
	replied bool         // the endpoint has sent data; guarded by its mu
	due     atomic.Int64 // when the acknowledgement is to be sent, in nanoseconds of the stack's clock

	// Guarded by ackQueue.mu:
	queued bool
	next   *Endpoint
}

// An ackQueue holds the endpoints that may owe an acknowledgement, in the order in which they were
// queued. One timer serves all. An endpoint that sends its acknowledgement with data stays in the queue
// until its turn comes, so an answered request costs no timer.
type ackQueue struct {
	mu          sync.Mutex
	first, last *Endpoint
	timer       tcpip.Timer
}

// acknowledge sends an acknowledgement of what has arrived, or delays it: of no more than one full
// segment, in order, on a connection that sends data of its own.
//
// +checklocks:e.mu
func (e *Endpoint) acknowledge() {
	pending := e.snd.MaxSentAck.Size(e.rcv.RcvNxt)
	if pending > seqnum.Size(e.amss) || !e.ack.replied || len(e.rcv.pendingRcvdSegments) > 0 ||
		e.EndpointState() != StateEstablished {
		e.snd.sendAck()
		return
	}
	e.ack.due.Store(sinceStart(e.stack.Clock()) + int64(ackDelay))
	e.protocol.acks.add(e)
}

func sinceStart(c tcpip.Clock) int64 { return int64(c.NowMonotonic().Sub(tcpip.MonotonicTime{})) }

// add queues e, unless it is queued.
func (q *ackQueue) add(e *Endpoint) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e.ack.queued {
		return
	}
	e.ack.queued = true
	if q.last != nil {
		q.last.ack.next = e
	} else {
		q.first = e
		q.start(e.stack.Clock(), ackDelay)
	}
	q.last = e
}

// start starts the timer. q is locked.
func (q *ackQueue) start(clock tcpip.Clock, d time.Duration) {
	if q.timer == nil {
		q.timer = clock.AfterFunc(d, func() { q.expired(clock) })
	} else {
		q.timer.Reset(d)
	}
}

// expired sends the acknowledgements that are due and still owed.
func (q *ackQueue) expired(clock tcpip.Clock) {
	for e := q.next(clock); e != nil; e = q.next(clock) {
		e.LockUser()
		if e.EndpointState().connected() && e.rcv.RcvNxt != e.snd.MaxSentAck {
			e.snd.sendAck()
		}
		e.UnlockUser()
	}
}

// next takes the first endpoint out of the queue. If it is not due yet it stays, next returns nil, and
// the timer runs.
func (q *ackQueue) next(clock tcpip.Clock) *Endpoint {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.first
	if e == nil {
		return nil
	}
	if left := e.ack.due.Load() - sinceStart(clock); left > 0 {
		q.start(clock, time.Duration(left))
		return nil
	}
	q.first = e.ack.next
	if q.first == nil {
		q.last = nil
	}
	e.ack.queued, e.ack.next = false, nil
	return e
}
