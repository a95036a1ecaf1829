package inet

import (
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/waiter"
)

// base is what all sockets over an endpoint consist of.
type base struct {
	stack  *stack.Stack
	ops    *tcpip.SocketOptions // of the endpoint
	notify func(events uint32)
	entry  waiter.Entry

	// arrived counts the endpoint's notifications. drained is the count at which the endpoint was seen
	// empty: while they are equal there is nothing to read. They are compared only if the socket is
	// watched.
	arrived, drained atomic.Uint32
	watched          bool

	domain, kind uint8
	protocol     uint16

	settings settings
}

// settings are options of which the endpoint knows nothing, or not all.
type settings struct {
	mu     sync.Mutex
	values map[option]int32 // those that are remembered as they were set
	stamp  atomic.Int64     // when the last message that was read arrived, in nanoseconds since 1970; 0 for none
	cookie uint64           // SO_COOKIE, 0 until it is asked for
}

// An option is a level and a name of setsockopt(2).
type option struct{ level, name int32 }

// Kind implements socket.Socket.
func (b *base) Kind() (domain, kind, protocol int) {
	return int(b.domain), int(b.kind), int(b.protocol)
}

// observe has the queue of an endpoint tell listener.
func (b *base) observe(queue *waiter.Queue, listener waiter.EventListener, notify func(uint32)) {
	b.notify, b.watched = notify, true
	b.arrived.Store(1)
	b.entry.Init(listener, events)
	queue.EventRegister(&b.entry)
}

// empty reports whether it is certain that there is nothing to read.
func (b *base) empty() bool { return b.arrived.Load() == b.drained.Load() && b.watched }
