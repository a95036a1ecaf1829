package tcp

import (
	"sync"
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
	replied bool // the endpoint has sent data; guarded by its mu

	// Guarded by ackQueue.mu:
	queued bool
	next   *Endpoint
	sent   seqnum.Value // what was acknowledged when it began to wait
	due    int64        // when its acknowledgement is to be sent, in nanoseconds of the stack's clock
}

// An ackQueue holds the endpoints that may owe an acknowledgement. One timer serves all, and looks at
// them every ackDelay as long as there are any. An endpoint that sends its acknowledgement with data
// stays in the queue until its turn comes, so an answered request costs no timer.
type ackQueue struct {
	mu          sync.Mutex
	first, last *Endpoint
	count       int
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
	e.protocol.acks.add(e)
}

func sinceStart(c tcpip.Clock) int64 { return int64(c.NowMonotonic().Sub(tcpip.MonotonicTime{})) }

// add has e's acknowledgement sent in ackDelay or up to twice that; if e waits already, then counted from
// the first segment that is not acknowledged.
//
// +checklocks:e.mu
func (q *ackQueue) add(e *Endpoint) {
	q.mu.Lock()
	defer q.mu.Unlock()
	a := &e.ack
	if a.queued && a.sent == e.snd.MaxSentAck {
		return
	}
	clock := e.stack.Clock()
	a.sent, a.due = e.snd.MaxSentAck, sinceStart(clock)+int64(ackDelay)
	if a.queued {
		return
	}
	if q.first == nil {
		q.start(clock)
	}
	q.push(e)
}

// push puts e at the end of the queue. q is locked.
func (q *ackQueue) push(e *Endpoint) {
	e.ack.queued = true
	if q.last != nil {
		q.last.ack.next = e
	} else {
		q.first = e
	}
	q.last = e
	q.count++
}

// pop takes the first endpoint, if any, out of the queue. q is locked.
func (q *ackQueue) pop() *Endpoint {
	e := q.first
	if e == nil {
		return nil
	}
	if q.first = e.ack.next; q.first == nil {
		q.last = nil
	}
	e.ack.queued, e.ack.next = false, nil
	q.count--
	return e
}

// start starts the timer. q is locked.
func (q *ackQueue) start(clock tcpip.Clock) {
	if q.timer == nil {
		q.timer = clock.AfterFunc(ackDelay, func() { q.expired(clock) })
	} else {
		q.timer.Reset(ackDelay)
	}
}

// expired looks at each endpoint of the queue once: it sends the acknowledgements that are due and still
// owed. Endpoints whose acknowledgement is not due yet stay.
func (q *ackQueue) expired(clock tcpip.Clock) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := sinceStart(clock)
	for range q.count {
		e := q.pop()
		if e == nil {
			break
		}
		if e.ack.due > now {
			q.push(e)
			continue
		}
		q.mu.Unlock()
		e.LockUser()
		if e.EndpointState().connected() && e.rcv.RcvNxt != e.snd.MaxSentAck {
			e.snd.sendAck()
		}
		e.UnlockUser()
		q.mu.Lock()
	}
	if q.first != nil {
		q.start(clock)
	}
}
