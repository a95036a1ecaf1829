package inet

import (
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/goshawk-os/goshawk/kernel/stackroom"
	"github.com/goshawk-os/goshawk/net/socket"
)

// Read implements socket.Socket.
func (t *stream) Read(p []byte) (int, syscall.Errno) {
	if t.empty() {
		return 0, syscall.EAGAIN
	}
	if len(p) == 0 {
		return 0, 0
	}
	stackroom.Grow()
	s := sink{p: p}
	return t.read(&s, len(p), false)
}

// read moves up to size bytes to s.
func (t *stream) read(s *sink, size int, peek bool) (int, syscall.Errno) {
	seen := t.arrived.Load()
	e := t.endpoint.Load()
	_, err := e.Read(s.writer(), tcpip.ReadOptions{Peek: peek})
	if err == nil {
		if s.n < size && !peek && t.open(e) {
			t.drained.Store(seen)
		}
		if !peek {
			t.moderate(e, s.n)
		}
		return s.n, 0
	}
	switch err.(type) {
	case *tcpip.ErrWouldBlock:
		t.drained.Store(seen)
		return 0, syscall.EAGAIN
	case *tcpip.ErrClosedForReceive:
		return 0, 0
	case *tcpip.ErrBadBuffer: // no room at all: size is 0
		return 0, 0
	}
	return 0, t.failed(e, err)
}

// open reports whether more may arrive, and not the end already has.
func (t *stream) open(e *tcp.Endpoint) bool {
	switch e.EndpointState() {
	case tcp.StateEstablished, tcp.StateFinWait1, tcp.StateFinWait2:
		return t.shut.Load()&uint32(tcpip.ShutdownRead) == 0
	}
	return false
}

// moderateEvery is how many bytes the program takes before the endpoint hears of it: small exchanges do
// not outgrow a buffer, and need not pay for the measurement.
const moderateEvery = 16 << 10

// moderate lets the endpoint size its receive buffer by what the program takes.
func (t *stream) moderate(e *tcp.Endpoint, n int) {
	if taken := t.taken.Add(int32(n)); taken >= moderateEvery {
		t.taken.Add(-taken)
		e.ModerateRecvBuf(int(taken))
	}
}

// failed returns the number of a reading or writing call's error, which is reported once.
func (t *stream) failed(e *tcp.Endpoint, err tcpip.Error) syscall.Errno {
	if t.pending.Load() != 0 {
		if p := t.pending.Swap(0); p != 0 {
			return syscall.Errno(p)
		}
	}
	if !dead(e) {
		return errno(err)
	}
	// A failed handshake leaves its error in a second place; and a reset after the peer's end is told by
	// the state only.
	if last := e.LastError(); last != nil {
		t.errorTaken.Store(true)
		if _, ok := err.(*tcpip.ErrClosedForSend); ok {
			err = last
		}
	} else if _, ok := err.(*tcpip.ErrClosedForSend); !ok {
		t.errorTaken.Store(true)
	}
	return errno(err)
}

// Write implements socket.Socket.
func (t *stream) Write(p []byte) (int, syscall.Errno) {
	stackroom.Grow()
	s := newSource(p)
	n, err := t.write(s, tcpip.WriteOptions{Atomic: true})
	s.release()
	return n, err
}

func (t *stream) write(s *source, o tcpip.WriteOptions) (int, syscall.Errno) {
	e := t.endpoint.Load()
	n, err := e.Write(s, o)
	if err != nil {
		return 0, t.failed(e, err)
	}
	return int(n), 0
}

// Receive implements socket.Socket.
func (t *stream) Receive(m *socket.Message, flags int) (int, syscall.Errno) {
	if flags&syscall.MSG_ERRQUEUE != 0 {
		return t.receiveError(m)
	}
	if flags&syscall.MSG_OOB != 0 {
		return 0, syscall.EINVAL // there are no urgent data
	}
	size := m.Size()
	peek := flags&syscall.MSG_PEEK != 0
	s := sink{}
	switch {
	case flags&syscall.MSG_TRUNC != 0 && !peek:
		return t.discard(size)
	case len(m.Parts) > 0:
		s.p, s.parts = m.Parts[0], m.Parts[1:]
	}
	if t.empty() {
		return 0, syscall.EAGAIN
	}
	if size == 0 {
		return 0, 0
	}
	return t.read(&s, size, peek)
}

// discard takes up to n bytes and loses them: MSG_TRUNC on a stream.
func (t *stream) discard(n int) (int, syscall.Errno) {
	var waste [4096]byte
	total := 0
	for total < n {
		size := min(n-total, len(waste))
		s := sink{p: waste[:size]}
		got, err := t.read(&s, size, false)
		total += got
		if err != 0 && total == 0 {
			return 0, err
		}
		if err != 0 || got < size {
			break
		}
	}
	return total, 0
}

// Send implements socket.Socket. A destination is ignored, as on Linux.
func (t *stream) Send(m *socket.Message, flags int) (int, syscall.Errno) {
	if flags&(syscall.MSG_OOB|syscall.MSG_FASTOPEN) != 0 {
		return 0, syscall.EOPNOTSUPP
	}
	s := newSourceParts(m.Parts)
	n, err := t.write(s, tcpip.WriteOptions{Atomic: true, More: flags&syscall.MSG_MORE != 0})
	s.release()
	return n, err
}
