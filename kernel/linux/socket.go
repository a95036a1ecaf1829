package linux

import (
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/vfs"
	"github.com/goshawk-os/goshawk/net/socket"
)

// socketFile is the open file description of a socket. What waits and what a descriptor stands for is
// here, all else in the socket of its family.
type socketFile struct {
	socket                 socket.Socket
	domain, kind, protocol int
	watchers               waitQueue

	// SO_RCVTIMEO and SO_SNDTIMEO in nanoseconds: 0 waits for ever, -1 not at all.
	receiveTimeout, sendTimeout atomic.Int64
}

// socketMode is the type and the permissions that fstat shows.
const socketMode = syscall.S_IFSOCK | 0o777

// newSocketFile returns an open file of s, for which flags may have O_NONBLOCK.
func newSocketFile(s socket.Socket, flags int) *vfs.File {
	o := &socketFile{socket: s}
	o.domain, o.kind, o.protocol = s.Kind()
	s.Watch(o.watchers.fire)
	f := vfs.NewFile(o, syscall.O_RDWR|flags&syscall.O_NONBLOCK, socketMode, "socket:")
	if n, ok := s.(socket.Numbered); ok {
		if st, err := f.Stat(); err == nil {
			n.SetInode(st.Ino)
		}
	}
	return f
}

// socketOf returns the socket behind descriptor fd, and its file with a reference, which the caller
// closes.
func socketOf(fd int) (*socketFile, *vfs.File, syscall.Errno) {
	f, err := process.files.get(fd)
	if err != 0 {
		return nil, nil, err
	}
	s, ok := f.Handle().(*socketFile)
	if !ok {
		err = syscall.ENOTSOCK
		if f.Flags()&abi.O_PATH != 0 {
			err = syscall.EBADF
		}
		f.Close()
		return nil, nil, err
	}
	return s, f, 0
}

// socketHandler carries out a system call on the socket s, whose file is f: the one behind the
// descriptor in argument 0. a is on the stack.
type socketHandler func(s *socketFile, f *vfs.File, a *args) (uintptr, syscall.Errno)

// onSocket has do carried out on the socket behind the descriptor in argument 0.
//
// Its argument is a copy, since dispatch's own serves other calls faster if nothing points to it.
func onSocket(do socketHandler, a args) (r1, r2, errno uintptr) {
	s, f, err := socketOf(a.int(0))
	if err != 0 {
		return ^uintptr(0), 0, uintptr(err)
	}
	defer f.Close()
	if r1, err = do(s, f, hidden(&a)); err != 0 {
		return ^uintptr(0), 0, uintptr(err)
	}
	return r1, 0, 0
}

func nonblocking(f *vfs.File) bool { return f.Flags()&syscall.O_NONBLOCK != 0 }

func (s *socketFile) queue() *waitQueue { return &s.watchers }
func (s *socketFile) ready() uint32     { return s.socket.Ready() }

func (s *socketFile) tryRead(p []byte) (int, syscall.Errno)  { return s.read(p, true) }
func (s *socketFile) tryWrite(p []byte) (int, syscall.Errno) { return s.write(p, true) }

func (s *socketFile) Read(p []byte, flags int) (int, error) {
	n, err := s.read(p, flags&syscall.O_NONBLOCK != 0)
	return n, failure(err)
}

func (s *socketFile) Write(p []byte, flags int) (int, error) {
	n, err := s.write(p, flags&syscall.O_NONBLOCK != 0)
	return n, failure(err)
}

func (s *socketFile) Close() error {
	forget(s)
	s.socket.Close()
	return nil
}

// Ioctl passes a request on to the family.
func (s *socketFile) Ioctl(request uint, arg unsafe.Pointer) error {
	return failure(s.socket.Ioctl(request, arg))
}

// read is read(2).
func (s *socketFile) read(p []byte, nonblocking bool) (int, syscall.Errno) {
	if len(p) == 0 {
		return 0, 0
	}
	n, err := s.socket.Read(p)
	if err == syscall.EAGAIN && !nonblocking {
		return s.readWaiting(p)
	}
	return n, err
}

// readWaiting goes on after a first read that returned EAGAIN.
func (s *socketFile) readWaiting(p []byte) (n int, err syscall.Errno) {
	var r retry
	err = syscall.EAGAIN
	for err == syscall.EAGAIN {
		if s.ended() {
			err = 0
			break
		}
		if !r.again(s, readable, s.receiveTimeout.Load()) {
			break
		}
		n, err = s.socket.Read(p)
	}
	r.end(s)
	return n, err
}

// ended reports whether nothing will ever arrive at a socket of datagrams, which says EAGAIN for ever:
// a call that waits returns 0 then (shutdown(2)).
func (s *socketFile) ended() bool {
	return s.kind == syscall.SOCK_DGRAM && s.socket.Ready()&(peerClosed|failed) == peerClosed
}

// unlessEnded returns the error of a call that waits, given that of one that does not.
func unlessEnded(err syscall.Errno) syscall.Errno {
	if err == syscall.EAGAIN {
		return 0
	}
	return err
}

// write is write(2).
func (s *socketFile) write(p []byte, nonblocking bool) (int, syscall.Errno) {
	n, err := s.socket.Write(p)
	if err == 0 && (n == len(p) || nonblocking) {
		return n, 0
	}
	if err == syscall.EAGAIN && nonblocking {
		return 0, err
	}
	return s.writeWaiting(p, n, err, nonblocking)
}

// writeWaiting goes on after a first write that returned n and err. All bytes of a stream are written
// unless something fails.
func (s *socketFile) writeWaiting(p []byte, n int, err syscall.Errno, nonblocking bool) (int, syscall.Errno) {
	var r retry
	done := n
	for !nonblocking && (err == syscall.EAGAIN && r.again(s, writable, s.sendTimeout.Load()) || err == 0 && done < len(p)) {
		n, err = s.socket.Write(p[done:])
		done += n
	}
	r.end(s)
	return s.sent(done, err, 0)
}

// sent returns the result of a call that has sent n bytes before err, which counts if n is 0. EPIPE of
// a stream comes with a signal (send(2)).
func (s *socketFile) sent(n int, err syscall.Errno, flags int) (int, syscall.Errno) {
	if n > 0 {
		return n, 0
	}
	if err == syscall.EPIPE && s.kind == syscall.SOCK_STREAM && flags&syscall.MSG_NOSIGNAL == 0 {
		killThread(int(syscall.SIGPIPE))
	}
	return n, err
}

// tryWriteParts is tryWrite of several parts, which lie in the heap.
func (s *socketFile) tryWriteParts(parts [][]byte) (int, syscall.Errno) {
	m := socket.Message{Parts: parts}
	n, err := s.socket.Send(hidden(&m), 0)
	return s.sent(n, err, 0)
}

// retry waits for a call that was answered EAGAIN. Its zero value has not waited yet.
//
// A socket may be ready as poll sees it and yet answer EAGAIN: a datagram finds the receiver's queue
// full, a message is longer than what has come of it. So what counts is that something happens, and
// not what Ready says.
type retry struct {
	waiter   *waiter
	deadline int64
}

// again reports whether to repeat the call: at once the first time, for what happened before the
// waiter was in the queue has not reached it; then each time one of events came. It returns false
// when timeout nanoseconds have passed, which may be those of receiveTimeout.
func (r *retry) again(s *socketFile, events uint32, timeout int64) bool {
	if r.waiter != nil {
		return r.waiter.park(r.deadline)
	}
	switch {
	case timeout < 0:
		return false
	case timeout == 0:
		r.deadline = never
	default:
		r.deadline = nanotime() + timeout
	}
	r.waiter = newWaiter()
	r.waiter.watch.mask = events | peerClosed | always
	s.watchers.add(&r.waiter.watch)
	return true
}

// end takes the waiter off the queue.
func (r *retry) end(s *socketFile) {
	if r.waiter != nil {
		s.watchers.remove(&r.waiter.watch)
		r.waiter.release()
	}
}

// hidden returns p so that the compiler does not move what it points to to the heap, which it does
// for all that a method of an interface is handed. Who gets it keeps to the rules of socket.Socket.
func hidden[T any](p *T) *T { return (*T)(pointer(uintptr(unsafe.Pointer(p)))) }
