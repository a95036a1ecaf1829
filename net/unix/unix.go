// Package unix is AF_UNIX: sockets of a machine's own, with names in the file system or in a name
// space of their own (unix(7)).
//
// # Shape
//
// What arrives for a socket is in its queue: bytes of a stream, or messages. A sender appends to its
// peer's queue, so one lock is taken for a write and one for a read. All else that connects sockets
// (names, who listens, who is the peer) changes under one lock for the whole family.
//
// Locks, outermost first: family.mu, queue.mu. Neither is held while a socket's readiness is told,
// while a file that was in flight is closed, or while the file system is asked.
//
// # Limits
//
// A sender is charged for what it has sent until it is received, and may be charged SO_SNDBUF. As on
// Linux a socket is writable for poll while a quarter of that is used. A socket of datagrams keeps
// maxQueue messages besides. SO_RCVBUF has no effect, as on Linux.
//
// # Files in flight
//
// A file in a queue is closed when the socket of the queue is. A socket that is passed into its own
// queue, or two that are passed into each other's, are never closed if their descriptors are: there is
// no search for such circles, as there is on Linux. What they hold is lost.
package unix

import (
	"sync"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/vfs"
	"github.com/goshawk-os/goshawk/net/socket"
)

// Credentials are struct ucred: the process ID and the user and group ID of a process.
type Credentials struct {
	PID      int32
	UID, GID uint32
}

// noCredentials are those of an unknown sender: the overflow IDs. The peer of a socket that has none
// has -1 in their place.
var (
	noCredentials = Credentials{UID: 65534, GID: 65534}
	noPeer        = Credentials{UID: 1<<32 - 1, GID: 1<<32 - 1}
)

// A Process tells of the program that uses the sockets. Its fields are all set.
type Process struct {
	// Space is where socket nodes are.
	Space *vfs.Namespace
	// Credentials returns the process ID with the real IDs, which go with messages, and with the
	// effective IDs, which SO_PEERCRED tells.
	Credentials func() (real, effective Credentials)
	// MayClaim returns 0 if the process may send c as its credentials, EPERM, EINVAL or ESRCH
	// if not.
	MayClaim func(c Credentials) syscall.Errno
}

// family is AF_UNIX. Its zero value has no sockets.
type family struct {
	process Process

	mu       sync.Mutex
	paths    map[vfs.Inode]*Socket
	abstract map[abstractName]*Socket
	last     uint32  // number of the last name that autobind made
	first    *Socket // all sockets, linked by next and previous
}

// abstractName is a name that is not in the file system. Kinds do not share names.
type abstractName struct {
	kind int
	name string
}

var unix family

// Start registers the family for p.
func Start(p Process) {
	unix.process = p
	socket.Register(syscall.AF_UNIX, &unix)
}

// check returns the kind of socket that the arguments of socket(2) mean.
func check(kind, protocol int) (int, syscall.Errno) {
	if protocol != 0 && protocol != syscall.AF_UNIX {
		return 0, syscall.EPROTONOSUPPORT
	}
	switch kind {
	case syscall.SOCK_STREAM, syscall.SOCK_DGRAM, syscall.SOCK_SEQPACKET:
		return kind, 0
	case syscall.SOCK_RAW: // as BSD has it
		return syscall.SOCK_DGRAM, 0
	}
	return 0, syscall.ESOCKTNOSUPPORT
}

// Socket implements socket.Family.
func (f *family) Socket(kind, protocol int) (socket.Socket, syscall.Errno) {
	kind, err := check(kind, protocol)
	if err != 0 {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.newSocket(kind), 0
}

// Pair implements socket.PairFamily.
func (f *family) Pair(kind, protocol int) (a, b socket.Socket, err syscall.Errno) {
	kind, err = check(kind, protocol)
	if err != 0 {
		return nil, nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s, t := f.newSocket(kind), f.newSocket(kind)
	s.peer.Store(t)
	t.peer.Store(s)
	_, s.peerCredentials = f.process.Credentials()
	t.peerCredentials = s.peerCredentials
	return s, t, 0
}

// newSocket makes a socket, with f locked.
func (f *family) newSocket(kind int) *Socket {
	s := &Socket{kind: kind, peerCredentials: noPeer}
	s.sendBuffer.Store(defaultBuffer)
	s.receiveBuffer.Store(defaultBuffer)
	if s.next = f.first; s.next != nil {
		s.next.previous = s
	}
	f.first = s
	return s
}

// unlink takes s off the list of all sockets, with f locked.
func (f *family) unlink(s *Socket) {
	if s.previous != nil {
		s.previous.next = s.next
	} else {
		f.first = s.next
	}
	if s.next != nil {
		s.next.previous = s.previous
	}
}
