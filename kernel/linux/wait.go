package linux

import (
	"sync"
	"time"
)

// Readiness, with the numbers of poll(2) and epoll(7).
const (
	readable   = 0x1
	priority   = 0x2
	writable   = 0x4
	failed     = 0x8
	hungUp     = 0x10
	invalid    = 0x20
	readNorm   = 0x40
	writeNorm  = 0x100
	peerClosed = 0x2000

	always = failed | hungUp // reported whether asked for or not
)

// sink is told of an object's readiness.
type sink interface {
	// fire reports that the object became ready for events. It is called with locks of the object
	// held: it neither waits nor calls the object.
	fire(events uint32)
}

// watch connects a sink with one wait queue.
type watch struct {
	sink       sink
	mask       uint32 // events that the sink wants to hear of
	queue      *waitQueue
	next, prev *watch
}

// waitQueue is the list of those who watch an object.
type waitQueue struct {
	mu   sync.Mutex
	head *watch
}

// add joins w to the queue. An event that came before is not reported: look at the object after add.
func (q *waitQueue) add(w *watch) {
	q.mu.Lock()
	q.link(w)
	q.mu.Unlock()
}

func (q *waitQueue) link(w *watch) {
	w.queue = q
	w.prev, w.next = nil, q.head
	if q.head != nil {
		q.head.prev = w
	}
	q.head = w
}

// remove takes w off the queue, if it is there.
func (q *waitQueue) remove(w *watch) {
	q.mu.Lock()
	q.unlink(w)
	q.mu.Unlock()
}

func (q *waitQueue) unlink(w *watch) {
	if w.queue != q {
		return
	}
	if w.prev == nil {
		q.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	}
	w.queue, w.next, w.prev = nil, nil, nil
}

// fire tells the watchers of events. It allocates nothing.
func (q *waitQueue) fire(events uint32) {
	q.mu.Lock()
	for w := q.head; w != nil; w = w.next {
		if w.mask&events != 0 {
			w.sink.fire(events & w.mask)
		}
	}
	q.mu.Unlock()
}

// waiter is the sink of a goroutine that waits.
type waiter struct {
	watch   watch // for the waiter on a single object
	arrived chan struct{}
}

func (w *waiter) fire(uint32) {
	select {
	case w.arrived <- struct{}{}:
	default:
	}
}

var waiters = sync.Pool{New: func() any {
	w := &waiter{arrived: make(chan struct{}, 1)}
	w.watch.sink = w
	return w
}}

func newWaiter() *waiter { return waiters.Get().(*waiter) }

// release gives up w, which no queue may hold any more.
func (w *waiter) release() {
	select {
	case <-w.arrived:
	default:
	}
	waiters.Put(w)
}

// park waits until the waiter is fired or the monotonic clock reaches deadline, in nanoseconds;
// forever if deadline is never. It reports whether the waiter was fired.
func (w *waiter) park(deadline int64) bool {
	if deadline == never {
		blockEnter()
		<-w.arrived
		blockExit()
		return true
	}
	left := deadline - nanotime()
	if left <= 0 {
		return false
	}
	t := time.NewTimer(time.Duration(left))
	defer t.Stop()
	select {
	case <-w.arrived:
		return true
	case <-t.C:
		return false
	}
}

// never is the deadline of a wait without one.
const never = 1<<63 - 1

// await waits until o is ready for one of events.
func await(o object, events uint32) {
	q := o.queue()
	w := newWaiter()
	w.watch.mask = events | always
	q.add(&w.watch)
	for o.ready()&w.watch.mask == 0 {
		w.park(never)
	}
	q.remove(&w.watch)
	w.release()
}
