package unix

import (
	"slices"
	"sync"

	"github.com/goshawk-os/goshawk/net/socket"
)

const (
	// defaultBuffer is what a new socket may be charged (/proc/sys/net/core/wmem_default), maxBuffer
	// the most that SO_SNDBUF and SO_RCVBUF set (wmem_max and rmem_max, doubled).
	defaultBuffer    = 212992
	maxBuffer        = 8 << 20
	minSendBuffer    = 4608
	minReceiveBuffer = 2304

	// maxQueue is how many messages a socket of datagrams keeps for a sender that it is not connected
	// to (/proc/sys/net/unix/max_dgram_qlen).
	maxQueue = 512

	// messageCharge is what a sender is charged for a message besides its bytes.
	messageCharge = 768

	// The ring of a stream begins with minRing bytes; an empty one of more than keptRing bytes is given
	// back.
	minRing  = 4 << 10
	keptRing = 64 << 10
)

// A queue is what has arrived for a socket and was not received yet: bytes if the socket is a stream,
// else messages.
type queue struct {
	mu   sync.Mutex
	shut bool // nothing more will arrive

	ring          []byte // its length is a power of two
	start, length int    // the bytes in the ring
	position      uint64 // of the first of them in the stream
	segments      []segment

	first, last *message
	messages    int
	bytes       int       // of all messages
	senders     []*Socket // those who wait for room
}

// ancillary is what goes with bytes or with a message.
type ancillary struct {
	files       []socket.File
	credentials Credentials
	known       bool // credentials were sent along
}

// A segment is a piece of the stream with something ancillary. Its files are handed over with its
// first byte, and a read that has got them ends where the segment ends.
type segment struct {
	ancillary
	start, end uint64 // in the stream
}

func (q *queue) some() bool { return q.length > 0 || q.first != nil }

func (q *queue) shutDown() {
	q.mu.Lock()
	q.shut = true
	q.mu.Unlock()
}

// wakeSenders tells those who wait for room that there is some, or that they are in vain.
func (q *queue) wakeSenders() {
	q.mu.Lock()
	senders := q.senders
	q.senders = nil
	q.mu.Unlock()
	for _, s := range senders {
		s.tell(writable)
	}
}

// await has s told when there is room, with q locked.
func (q *queue) await(s *Socket) { q.senders = join(q.senders, s) }

// join adds s to those who wait, and drops those who were closed meanwhile: nobody else does as long as
// there is no room.
func join(waiting []*Socket, s *Socket) []*Socket {
	waiting = slices.DeleteFunc(waiting, func(w *Socket) bool { return w.dead.Load() })
	if slices.Contains(waiting, s) {
		return waiting
	}
	return append(waiting, s)
}

// drain empties the queue. It returns whether something was in it, and whether that counts as unread:
// a single empty message does not.
func (q *queue) drain() (some, unread bool) {
	q.mu.Lock()
	some, unread = q.some(), q.length+q.bytes > 0 || q.messages > 1
	segments, m := q.segments, q.first
	q.ring, q.segments, q.start, q.length = nil, nil, 0, 0
	q.first, q.last, q.messages, q.bytes = nil, nil, 0, 0
	q.mu.Unlock()
	for _, s := range segments {
		closeFiles(s.files)
	}
	for m != nil {
		next := m.next
		closeFiles(m.files)
		m.sender.charge(-m.charge())
		m.free()
		m = next
	}
	return some, unread
}

func closeFiles(files []socket.File) {
	for _, f := range files {
		f.Close()
	}
}

// share returns files with references of its own.
func share(files []socket.File) []socket.File {
	for _, f := range files {
		f.(interface{ IncRef() }).IncRef()
	}
	return slices.Clone(files)
}

// grow makes room for n more bytes in the ring, with q locked.
func (q *queue) grow(n int) {
	need := q.length + n
	if need <= len(q.ring) {
		return
	}
	size := max(len(q.ring), minRing)
	for size < need {
		size *= 2
	}
	ring := make([]byte, size)
	q.copyOut(ring[:q.length], 0)
	q.ring, q.start = ring, 0
}

// put appends p, for which the ring has room, with q locked.
func (q *queue) put(p []byte) {
	at := (q.start + q.length) & (len(q.ring) - 1)
	n := copy(q.ring[at:], p)
	copy(q.ring, p[n:])
	q.length += len(p)
}

// copyOut copies the bytes from offset on to p, all of which are there, with q locked.
func (q *queue) copyOut(p []byte, offset int) {
	if len(p) == 0 {
		return
	}
	at := (q.start + offset) & (len(q.ring) - 1)
	n := copy(p, q.ring[at:])
	copy(p[n:], q.ring)
}

// discard takes the first n bytes off the ring, with q locked.
func (q *queue) discard(n int) {
	q.length -= n
	q.position += uint64(n)
	if q.length > 0 {
		q.start = (q.start + n) & (len(q.ring) - 1)
		return
	}
	q.start = 0
	if len(q.ring) > keptRing {
		q.ring = nil
	}
}

// note says that the last n bytes of the ring came with a, with q locked.
func (q *queue) note(n int, a ancillary) {
	end := q.position + uint64(q.length)
	if i := len(q.segments) - 1; i >= 0 {
		last := &q.segments[i]
		if last.end == end-uint64(n) && last.files == nil && a.files == nil && last.sameSender(a) {
			last.end = end
			return
		}
	}
	q.segments = append(q.segments, segment{a, end - uint64(n), end})
}

// reach returns how many of the first limit bytes a read gets, the sender of the first one, and the
// segment whose files come with them, nil if there are none. byCredentials says that it does not get
// bytes of several senders. With q locked.
func (q *queue) reach(limit int, byCredentials bool) (n int, from ancillary, with *segment) {
	at, end, i := q.position, q.position+uint64(min(limit, q.length)), 0
	if limit == 0 && q.segments[0].start <= at { // no bytes, and yet all that comes with them
		if from = q.segments[0].ancillary; from.files != nil {
			with = &q.segments[0]
		}
		return 0, from, with
	}
	for at < end && i < len(q.segments) {
		piece := ancillary{}
		next := min(end, q.segments[i].start)
		var s *segment
		if at >= q.segments[i].start {
			s = &q.segments[i]
			piece, next = s.ancillary, min(end, s.end)
			i++
		}
		if at == q.position {
			from = piece
		} else if byCredentials && !piece.sameSender(from) {
			return int(at - q.position), from, nil
		}
		if piece.files != nil {
			return int(next - q.position), from, s
		}
		at = next
	}
	if byCredentials && at < end && at > q.position && from.known {
		end = at // what follows is of an unknown sender
	}
	return int(end - q.position), from, nil
}

func (a ancillary) sameSender(b ancillary) bool {
	return a.known == b.known && a.credentials == b.credentials
}

// pass drops the segments that have been read, with q locked.
func (q *queue) pass() {
	n := 0
	for n < len(q.segments) && q.segments[n].end <= q.position {
		n++
	}
	if n > 0 {
		q.segments = slices.Delete(q.segments, 0, n)
	}
}
