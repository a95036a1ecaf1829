package tcp

import (
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// waitQueue holds the endpoints in TIME-WAIT, the oldest first; one timer serves all. Each takes some
// kilobytes for a minute, so a server that closes connections itself would fill any memory: where there
// are too many the oldest ends early, as with Linux's tcp_max_tw_buckets.
type waitQueue struct {
	mu           sync.Mutex
	first, last  *Endpoint
	count, limit int // limit 0 is none
	timer        tcpip.Timer
}

// waitState is an endpoint's place in the queue, guarded by waitQueue.mu.
type waitState struct {
	previous, next *Endpoint
	queued         bool
	due            int64 // when TIME-WAIT ends, in nanoseconds of the stack's clock
}

// LimitTimeWait sets how many endpoints may be in TIME-WAIT at once.
func (p *protocol) LimitTimeWait(n int) {
	p.waits.mu.Lock()
	p.waits.limit = n
	p.waits.mu.Unlock()
}

// startWaiting begins TIME-WAIT, or begins it anew. No other timer of the endpoint is of use any more.
//
// +checklocks:e.mu
func (e *Endpoint) startWaiting() {
	for _, t := range []*timer{&e.snd.resendTimer, &e.snd.probeTimer, &e.snd.reorderTimer, &e.snd.corkTimer} {
		t.halt()
	}
	e.keepalive.Lock()
	e.keepalive.timer.halt()
	e.keepalive.Unlock()

	q := &e.protocol.waits
	clock := e.stack.Clock()
	due := sinceStart(clock) + int64(e.getTimeWaitDuration())
	q.mu.Lock()
	defer q.mu.Unlock()
	q.remove(e)
	w := &e.wait
	*w = waitState{previous: q.last, queued: true, due: due}
	if q.last != nil {
		q.last.wait.next = e
	} else {
		q.first = e
		q.start(clock, due)
	}
	q.last = e
	q.count++
	if oldest := q.first; q.limit > 0 && q.count > q.limit {
		q.remove(oldest)
		go oldest.timeWaitTimerExpired() // which locks it
	}
}

// halt disables a timer which will hardly be used again.
func (t *timer) halt() {
	if t.timer != nil {
		t.timer.Stop()
	}
	if !t.isUninitialized() {
		t.state = timerStateDisabled
	}
}

// moved notes that e has gone from one state to another.
//
// +checklocks:e.mu
func (q *waitQueue) moved(e *Endpoint, from, to EndpointState) {
	if from == StateTimeWait && to != StateTimeWait {
		q.mu.Lock()
		q.remove(e)
		q.mu.Unlock()
	}
}

// start starts the timer for a moment. q is locked.
func (q *waitQueue) start(clock tcpip.Clock, due int64) {
	d := time.Duration(due - sinceStart(clock))
	if q.timer == nil {
		q.timer = clock.AfterFunc(d, func() { q.expired(clock) })
	} else {
		q.timer.Reset(d)
	}
}

// expired ends TIME-WAIT for the endpoints for which it is time.
func (q *waitQueue) expired(clock tcpip.Clock) {
	for {
		q.mu.Lock()
		e := q.first
		if e == nil || e.wait.due > sinceStart(clock) {
			if e != nil {
				q.start(clock, e.wait.due)
			}
			q.mu.Unlock()
			return
		}
		q.remove(e)
		q.mu.Unlock()
		e.timeWaitTimerExpired()
	}
}

// remove takes e out of the queue, if it is there. q is locked.
func (q *waitQueue) remove(e *Endpoint) {
	w := &e.wait
	if !w.queued {
		return
	}
	if w.previous != nil {
		w.previous.wait.next = w.next
	} else {
		q.first = w.next
	}
	if w.next != nil {
		w.next.wait.previous = w.previous
	} else {
		q.last = w.previous
	}
	*w = waitState{}
	q.count--
}
