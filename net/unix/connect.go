package unix

import (
	"syscall"

	"github.com/goshawk-os/goshawk/net/socket"
)

// Listen implements socket.Socket. It may be called again to change the backlog.
func (s *Socket) Listen(backlog int) syscall.Errno {
	if !s.connectionOriented() {
		return syscall.EOPNOTSUPP
	}
	unix.mu.Lock()
	if s.name.Load() == nil || s.peer.Load() != nil {
		unix.mu.Unlock()
		return syscall.EINVAL
	}
	s.listening, s.backlog = true, backlog
	_, s.credentials = unix.process.Credentials()
	waiting := s.waiting
	s.waiting = nil
	unix.mu.Unlock()
	for _, w := range waiting {
		w.tell(writable)
	}
	return 0
}

// Accept implements socket.Socket.
func (s *Socket) Accept(peer *socket.Address) (socket.Socket, syscall.Errno) {
	if !s.connectionOriented() {
		return nil, syscall.EOPNOTSUPP
	}
	c, waiting, err := s.takePending()
	if err != 0 {
		return nil, err
	}
	for _, w := range waiting {
		w.tell(writable)
	}
	if peer != nil {
		c.peer.Load().storeName(peer, true)
	}
	return c, 0
}

// takePending takes the first waiting connection, and those who wait for its place.
func (s *Socket) takePending() (c *Socket, waiting []*Socket, err syscall.Errno) {
	unix.mu.Lock()
	defer unix.mu.Unlock()
	switch {
	case !s.listening:
		return nil, nil, syscall.EINVAL
	case len(s.pending) == 0:
		return nil, nil, syscall.EAGAIN
	}
	c = s.pending[0]
	s.pending[0] = nil
	if s.pending = s.pending[1:]; len(s.pending) == 0 {
		s.pending = nil
	}
	waiting, s.waiting = s.waiting, nil
	return c, waiting, 0
}

func (q *queue) isShut() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.shut
}

// Connect implements socket.Socket. It never is in progress: EAGAIN says that the queue of the one who
// listens is full, and Out comes when it is worth trying again.
func (s *Socket) Connect(addr []byte) syscall.Errno {
	if len(addr) < nameOffset {
		return syscall.EINVAL
	}
	if !s.connectionOriented() {
		return s.connectDatagram(addr)
	}
	name, err := parse(addr)
	if err != 0 {
		return err
	}
	if err := s.autobindToPass(); err != 0 {
		return err
	}
	to, err := unix.find(name, s.kind)
	if err != 0 {
		return err
	}
	if err := unix.connect(s, to); err != 0 {
		return err
	}
	to.tell(readable)
	s.tell(writable)
	return 0
}

// autobindToPass gives a socket with SO_PASSCRED a name, so that who gets its credentials can answer.
func (s *Socket) autobindToPass() syscall.Errno {
	if !s.passCredentials.Load() || s.name.Load() != nil {
		return 0
	}
	unix.mu.Lock()
	defer unix.mu.Unlock()
	return unix.autobind(s)
}

// connect makes the other end of a connection of s and puts it into the queue of to, which listens.
func (f *family) connect(s, to *Socket) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case !to.listening || to.in.isShut():
		return syscall.ECONNREFUSED
	case len(to.pending) > to.backlog:
		to.waiting = join(to.waiting, s)
		return syscall.EAGAIN
	case s.listening:
		return syscall.EINVAL
	case s.peer.Load() != nil:
		return syscall.EISCONN
	}
	c := f.newSocket(s.kind)
	c.name.Store(to.name.Load())
	c.passCredentials.Store(to.passCredentials.Load())
	_, c.peerCredentials = f.process.Credentials()
	s.peerCredentials = to.credentials
	c.peer.Store(s)
	s.peer.Store(c)
	to.pending = append(to.pending, c)
	return 0
}

// connectDatagram sets whom a socket of datagrams sends to and receives from, nobody with AF_UNSPEC.
func (s *Socket) connectDatagram(addr []byte) syscall.Errno {
	var to *Socket
	if addressFamily(addr) != syscall.AF_UNSPEC {
		name, err := parse(addr)
		if err != 0 {
			return err
		}
		if err := s.autobindToPass(); err != 0 {
			return err
		}
		if to, err = unix.find(name, s.kind); err != 0 {
			return err
		}
	}
	unix.mu.Lock()
	if to != nil {
		if peer := to.peer.Load(); peer != nil && peer != s {
			unix.mu.Unlock()
			return syscall.EPERM
		}
	}
	old := s.peer.Swap(to)
	unix.mu.Unlock()
	if old != nil && old != to {
		s.disconnected(old)
	}
	s.tell(s.Ready())
	return 0
}

// dissolve ends the connection of a socket of datagrams to a peer that is closed.
func (s *Socket) dissolve(peer *Socket) {
	if s.peer.CompareAndSwap(peer, nil) {
		s.disconnected(peer)
		s.tell(s.Ready())
	}
}

// disconnected drops what came from a former peer, and lets that one know if it was connected too.
func (s *Socket) disconnected(old *Socket) {
	if some, _ := s.in.drain(); !some {
		return
	}
	s.in.wakeSenders()
	if !old.dead.Load() && old.peer.Load() == s {
		old.failure.Store(int32(syscall.ECONNRESET))
		old.tell(socket.Err)
	}
}
