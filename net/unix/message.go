package unix

import (
	"sync"
	"syscall"

	"github.com/goshawk-os/goshawk/net/socket"
)

// A message is a datagram or a packet in the queue of its receiver.
type message struct {
	next   *message
	data   []byte
	sender *Socket
	ancillary
}

// charge is what the sender is charged for m.
func (m *message) charge() int { return len(m.data) + messageCharge }

// keptMessage is the size up to which a message's memory is used again.
const keptMessage = 8 << 10

var messages = sync.Pool{New: func() any { return new(message) }}

// newMessage returns a message of size bytes, which are the caller's to set.
func newMessage(size int) *message {
	m := messages.Get().(*message)
	if cap(m.data) < size {
		m.data = make([]byte, size)
	}
	m.data = m.data[:size]
	return m
}

// free gives up m, which is in no queue any more.
func (m *message) free() {
	data := m.data
	*m = message{}
	if cap(data) <= keptMessage {
		m.data = data
	}
	messages.Put(m)
}

// push appends m, with q locked.
func (q *queue) push(m *message) {
	if q.last == nil {
		q.first = m
	} else {
		q.last.next = m
	}
	q.last = m
	q.messages++
	q.bytes += len(m.data)
}

// pop takes the first message, with q locked.
func (q *queue) pop() {
	m := q.first
	if q.first = m.next; q.first == nil {
		q.last = nil
	}
	q.messages--
	q.bytes -= len(m.data)
}

// full reports whether the queue takes no more messages of one to whom its socket is not connected,
// with q locked.
func (q *queue) full() bool { return q.messages > maxQueue }

// blockedBy reports whether s, a socket of datagrams, has to wait for its peer to receive some. It is
// told when the peer has.
func (s *Socket) blockedBy(peer *Socket) bool {
	if peer == nil || s.connectionOriented() || peer.peer.Load() == s {
		return false
	}
	peer.in.mu.Lock()
	defer peer.in.mu.Unlock()
	if peer.dead.Load() || !peer.in.full() {
		return false
	}
	peer.in.await(s)
	return true
}

// maySend returns the error of a message of size bytes that s sends, whoever it is for.
func (s *Socket) maySend(size int) syscall.Errno {
	limit := s.sendBuffer.Load()
	if int64(size) > limit-32 {
		return syscall.EMSGSIZE
	}
	if err := s.takeFailure(); err != 0 {
		return err
	}
	if s.sendShut.Load() {
		return syscall.EPIPE
	}
	if s.queued.Load() >= limit {
		return syscall.EAGAIN
	}
	return 0
}

// sendMessage puts a message of parts, size bytes, into the queue of to. It takes over a.files if it
// returns no error.
func (s *Socket) sendMessage(to *Socket, parts [][]byte, size int, a ancillary) (int, syscall.Errno) {
	m := newMessage(size)
	at := 0
	for _, p := range parts {
		at += copy(m.data[at:], p)
	}
	m.sender, m.ancillary = s, a

	q := &to.in
	q.mu.Lock()
	err := syscall.Errno(0)
	switch peer := to.peer.Load(); {
	case to.dead.Load() && !s.connectionOriented():
		err = syscall.ECONNREFUSED
	case peer != nil && peer != s:
		err = syscall.EPERM
	case q.shut:
		err = syscall.EPIPE
	case peer != s && q.full():
		q.await(s)
		err = syscall.EAGAIN
	}
	if err != 0 {
		q.mu.Unlock()
		m.free()
		return 0, err
	}
	s.queued.Add(int64(m.charge()))
	q.push(m)
	q.mu.Unlock()
	to.tell(readable)
	return size, 0
}

// receiveMessage copies the first message to parts and takes it out of the queue unless peek is set.
// It returns how many bytes were copied and how many the message has, -1 at the end. got, if not nil,
// gets what comes with it, and name, if not nil, the address of its sender.
func (s *Socket) receiveMessage(parts [][]byte, peek bool, got *ancillary, name *socket.Address) (n, size int, err syscall.Errno) {
	if err := s.takeFailure(); err != 0 {
		return 0, 0, err
	}
	q := &s.in
	q.mu.Lock()
	m := q.first
	if m == nil {
		shut := q.shut
		q.mu.Unlock()
		if shut && s.connectionOriented() {
			return 0, -1, 0
		}
		return 0, 0, syscall.EAGAIN
	}
	size = len(m.data)
	for _, p := range parts {
		n += copy(p, m.data[n:])
	}
	if name != nil {
		m.sender.storeName(name, false)
	}
	files := m.files
	if got != nil {
		*got = m.ancillary
		if peek {
			got.files = share(files)
		}
	}
	if peek {
		q.mu.Unlock()
		return n, size, 0
	}
	q.pop()
	var senders []*Socket
	if len(q.senders) > 0 && !q.full() {
		senders, q.senders = q.senders, nil
	}
	q.mu.Unlock()
	m.sender.charge(-m.charge())
	if got == nil {
		closeFiles(files)
	}
	m.free()
	for _, w := range senders {
		w.tell(writable)
	}
	return n, size, 0
}
