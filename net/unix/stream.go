package unix

import (
	"syscall"

	"github.com/goshawk-os/goshawk/net/socket"
)

// writeStream appends as much of parts as there is room for to the peer's queue. It takes over a.files
// if it returns no error.
func (s *Socket) writeStream(parts [][]byte, a ancillary) (int, syscall.Errno) {
	peer := s.peer.Load()
	if peer == nil {
		return 0, syscall.ENOTCONN
	}
	if s.sendShut.Load() {
		return 0, syscall.EPIPE
	}
	if err := s.takeFailure(); err != 0 {
		return 0, err
	}
	total := 0
	for _, p := range parts {
		total += len(p)
	}
	if total == 0 {
		closeFiles(a.files) // descriptors need a byte to go with
		return 0, 0
	}
	q := &peer.in
	q.mu.Lock()
	if q.shut {
		q.mu.Unlock()
		return 0, syscall.EPIPE
	}
	room := int(s.sendBuffer.Load()) - q.length
	if room <= 0 {
		q.mu.Unlock()
		return 0, syscall.EAGAIN
	}
	total = min(total, room)
	q.grow(total)
	for left, i := total, 0; left > 0; i++ {
		p := parts[i][:min(left, len(parts[i]))]
		q.put(p)
		left -= len(p)
	}
	if a.known || a.files != nil {
		q.note(total, a)
	}
	s.queued.Store(int64(q.length))
	q.mu.Unlock()
	peer.tell(readable)
	return total, 0
}

// readStream copies as many bytes as there are and parts have room for, and takes them out of the queue
// unless peek is set. got, if not nil, gets what comes with them. end says that this is the end.
func (s *Socket) readStream(parts [][]byte, peek bool, got *ancillary) (n int, end bool, err syscall.Errno) {
	peer := s.peer.Load()
	if peer == nil {
		return 0, false, syscall.EINVAL
	}
	total := 0
	for _, p := range parts {
		total += len(p)
	}
	q := &s.in
	q.mu.Lock()
	if q.length == 0 {
		shut := q.shut
		q.mu.Unlock()
		if err := s.takeFailure(); err != 0 {
			return 0, false, err
		}
		if shut {
			return 0, true, 0
		}
		return 0, false, syscall.EAGAIN
	}
	var lost []socket.File
	if len(q.segments) == 0 {
		total = min(total, q.length)
	} else {
		total, lost = q.withSegments(total, peek, s.passCredentials.Load(), got)
	}
	for _, p := range parts {
		p = p[:min(len(p), total-n)]
		q.copyOut(p, n)
		n += len(p)
	}
	room := false
	if !peek {
		limit := int(peer.sendBuffer.Load())
		room = q.length*4 > limit && (q.length-n)*4 <= limit
		q.discard(n)
		q.pass()
		peer.queued.Store(int64(q.length))
	}
	q.mu.Unlock()
	if room {
		peer.tell(writable)
	}
	closeFiles(lost)
	return n, false, 0
}

// withSegments returns how many bytes a read of up to limit bytes gets, and hands over what comes with
// them: to got, or for the caller to close if nobody wants it. With q locked.
func (q *queue) withSegments(limit int, peek, byCredentials bool, got *ancillary) (n int, lost []socket.File) {
	n, from, with := q.reach(limit, byCredentials)
	if got != nil {
		got.credentials, got.known = from.credentials, from.known
	}
	if with == nil {
		return n, nil
	}
	switch {
	case peek && got != nil:
		got.files = share(with.files)
	case peek:
	case got != nil:
		got.files, with.files = with.files, nil
	default:
		lost, with.files = with.files, nil
	}
	return n, lost
}
