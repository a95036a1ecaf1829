package unix

import (
	"sync/atomic"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/vfs"
	"github.com/goshawk-os/goshawk/net/socket"
)

// A Socket is a socket of AF_UNIX.
type Socket struct {
	kind   int // SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET
	inode  atomic.Uint64
	notify atomic.Pointer[func(events uint32)]

	in       queue
	sendShut atomic.Bool            // nothing can be sent any more
	queued   atomic.Int64           // what this socket is charged for what it sent
	peer     atomic.Pointer[Socket] // whom this socket sends to; kept after that one is closed
	dead     atomic.Bool            // closed
	failure  atomic.Int32           // the error that is reported next
	name     atomic.Pointer[string] // sun_path; nil: none
	options

	// Guarded by family.mu:
	node            vfs.Inode // of a name in the file system
	listening       bool
	backlog         int
	pending         []*Socket // connections that wait for accept
	waiting         []*Socket // those who wait for room in pending
	credentials     Credentials
	peerCredentials Credentials
	next, previous  *Socket
}

// connectionOriented says that the two ends of a connection belong to each other for good.
func (s *Socket) connectionOriented() bool { return s.kind != syscall.SOCK_DGRAM }

// Kind implements socket.Socket.
func (s *Socket) Kind() (domain, kind, protocol int) { return syscall.AF_UNIX, s.kind, 0 }

// SetInode implements socket.Numbered.
func (s *Socket) SetInode(ino uint64) { s.inode.Store(ino) }

// Watch implements socket.Socket. The peer of an accepted socket may write to it at the same time.
func (s *Socket) Watch(notify func(events uint32)) { s.notify.Store(&notify) }

// tell reports events. No lock is held.
func (s *Socket) tell(events uint32) {
	if notify := s.notify.Load(); notify != nil {
		(*notify)(events)
	}
}

const (
	readable = socket.In | socket.RdNorm
	writable = socket.Out | socket.WrNorm
)

// Ready implements socket.Socket.
func (s *Socket) Ready() uint32 {
	events := uint32(0)
	s.in.mu.Lock()
	some, shut := s.in.some(), s.in.shut
	s.in.mu.Unlock()
	peer := s.peer.Load()
	if peer == nil && s.connectionOriented() {
		return s.readyUnconnected(shut)
	}
	if some {
		events |= readable
	}
	if shut {
		events |= readable | socket.RdHup
		if s.sendShut.Load() {
			events |= socket.Hup
		}
	}
	if s.failure.Load() != 0 {
		events |= socket.Err
	}
	if s.hasRoom() && !s.blockedBy(peer) {
		events |= writable
	}
	return events
}

// readyUnconnected is Ready of a socket that listens, or that is not connected yet.
func (s *Socket) readyUnconnected(shut bool) uint32 {
	unix.mu.Lock()
	listening, pending := s.listening, len(s.pending)
	unix.mu.Unlock()
	events := uint32(0)
	if pending > 0 {
		events |= readable
	}
	if shut {
		events |= readable | socket.RdHup
		if s.sendShut.Load() {
			events |= socket.Hup
		}
	}
	if !listening {
		events |= socket.Hup | writable
	}
	return events
}

// hasRoom reports whether s is writable as far as its own charge goes.
func (s *Socket) hasRoom() bool { return s.queued.Load()*4 <= s.sendBuffer.Load() }

// charge adds n, which may be negative, to what s is charged and tells if that makes it writable.
func (s *Socket) charge(n int) {
	after := s.queued.Add(int64(n))
	limit := s.sendBuffer.Load()
	if after*4 <= limit && (after-int64(n))*4 > limit {
		s.tell(writable)
	}
}

// takeFailure returns the pending error and clears it.
func (s *Socket) takeFailure() syscall.Errno {
	if s.failure.Load() == 0 {
		return 0
	}
	return syscall.Errno(s.failure.Swap(0))
}

// Shutdown implements socket.Socket. A socket that is not connected takes it as well.
func (s *Socket) Shutdown(how int) syscall.Errno {
	read := how == syscall.SHUT_RD || how == syscall.SHUT_RDWR
	write := how == syscall.SHUT_WR || how == syscall.SHUT_RDWR
	unix.mu.Lock()
	peer := s.peer.Load()
	if !s.connectionOriented() {
		peer = nil
	}
	if read {
		s.in.shutDown()
		if peer != nil {
			peer.sendShut.Store(true)
		}
	}
	if write {
		s.sendShut.Store(true)
		if peer != nil {
			peer.in.shutDown()
		}
	}
	waiting := s.waiting
	if read {
		s.waiting = nil
	}
	unix.mu.Unlock()
	s.tell(s.Ready() &^ socket.Err)
	if peer != nil {
		peer.tell(peer.Ready() &^ socket.Err)
	}
	if read {
		s.in.wakeSenders()
		for _, w := range waiting {
			w.tell(writable)
		}
	}
	return 0
}

// Close implements socket.Socket.
func (s *Socket) Close() {
	unix.mu.Lock()
	s.dead.Store(true)
	unix.unbind(s)
	unix.unlink(s)
	pending, waiting := s.pending, s.waiting
	s.pending, s.waiting, s.listening = nil, nil, false
	unix.mu.Unlock()

	for _, p := range pending {
		p.abort()
	}
	for _, w := range waiting {
		w.tell(writable) // it is refused now
	}
	s.disconnect(false)
}

// abort closes a connection that nobody has accepted.
func (s *Socket) abort() {
	unix.mu.Lock()
	s.dead.Store(true)
	unix.unlink(s)
	unix.mu.Unlock()
	s.disconnect(true)
}

// disconnect ends the connection and empties the queue. The peer gets ECONNRESET if reset is set, or if
// bytes that it has sent were not read.
func (s *Socket) disconnect(reset bool) {
	s.in.shutDown()
	_, unread := s.in.drain()
	s.sendShut.Store(true)
	if peer := s.peer.Load(); peer != nil && s.connectionOriented() {
		if reset || unread {
			peer.failure.Store(int32(syscall.ECONNRESET))
		}
		if s.kind == syscall.SOCK_STREAM {
			peer.queued.Store(0)
		}
		peer.sendShut.Store(true)
		peer.in.shutDown()
		peer.tell(peer.Ready())
	}
	s.in.wakeSenders()
}

// LocalAddress implements socket.Socket.
func (s *Socket) LocalAddress(a *socket.Address) syscall.Errno {
	s.storeName(a, true)
	return 0
}

// PeerAddress implements socket.Socket.
func (s *Socket) PeerAddress(a *socket.Address) syscall.Errno {
	peer := s.peer.Load()
	if peer == nil {
		return syscall.ENOTCONN
	}
	peer.storeName(a, true)
	return 0
}
