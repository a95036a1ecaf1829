package inet

import (
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"

	"github.com/goshawk-os/goshawk/net/socket"
)

// Read implements socket.Socket.
func (d *datagram) Read(p []byte) (int, syscall.Errno) {
	if d.empty() {
		return 0, syscall.EAGAIN
	}
	if len(p) == 0 {
		return 0, 0
	}
	s := sink{p: p, spill: true}
	_, err := d.read(&s, tcpip.ReadOptions{})
	return s.n, err
}

// read takes a message that the socket's filters let pass.
func (d *datagram) read(s *sink, o tcpip.ReadOptions) (tcpip.ReadResult, syscall.Errno) {
	if d.filters.active.Load() {
		return d.readFiltered(s, o)
	}
	return d.readOne(s, o)
}

// readOne takes a message.
func (d *datagram) readOne(s *sink, o tcpip.ReadOptions) (tcpip.ReadResult, syscall.Errno) {
	seen := d.arrived.Load()
	r, err := d.endpoint.Read(s.writer(), o)
	switch err.(type) {
	case nil:
		return r, 0
	case *tcpip.ErrWouldBlock:
		d.drained.Store(seen)
		return r, syscall.EAGAIN
	case *tcpip.ErrClosedForReceive:
		return r, 0
	}
	return r, errno(err)
}

// Receive implements socket.Socket.
func (d *datagram) Receive(m *socket.Message, flags int) (int, syscall.Errno) {
	if flags&syscall.MSG_ERRQUEUE != 0 {
		n, err := d.receiveError(m)
		if err == 0 && d.ops.PeekErr() == nil {
			d.endpoint.LastError() // which the queue has told
		}
		return n, err
	}
	if d.empty() {
		return 0, syscall.EAGAIN
	}
	s := sink{spill: true}
	if len(m.Parts) > 0 {
		s.p, s.parts = m.Parts[0], m.Parts[1:]
	}
	r, err := d.read(&s, tcpip.ReadOptions{Peek: flags&syscall.MSG_PEEK != 0, NeedRemoteAddr: m.WantName})
	if err != 0 {
		return 0, err
	}
	if r.ControlMessages.HasTimestamp {
		if m.WantName {
			if d.raw() {
				r.RemoteAddr.Port = 0
			}
			setAddress(&m.Name, int(d.domain), &r.RemoteAddr)
		}
		d.control(m, &r)
	}
	if r.Total > s.n {
		m.Flags |= syscall.MSG_TRUNC
		if flags&syscall.MSG_TRUNC != 0 {
			return r.Total, 0
		}
	}
	return s.n, 0
}

// Write implements socket.Socket.
func (d *datagram) Write(p []byte) (int, syscall.Errno) {
	s := newSource(p)
	n, err := d.send(s, sendable{}, false, false)
	s.release()
	return n, err
}

// Send implements socket.Socket.
func (d *datagram) Send(m *socket.Message, flags int) (int, syscall.Errno) {
	if flags&syscall.MSG_OOB != 0 {
		return 0, syscall.EOPNOTSUPP
	}
	var c sendable
	if len(m.Control) > 0 {
		var err syscall.Errno
		if c, err = parseControl(m.Control, d.domain); err != 0 {
			return 0, err
		}
	}
	s := newSourceParts(m.Parts)
	defer s.release()
	named := false
	if name := m.Name.Bytes(); len(name) > 0 {
		to, n, err := d.sendTo(name)
		if err != 0 {
			return 0, err
		}
		s.to, named = to, n
	}
	return d.send(s, c, named, flags&syscall.MSG_MORE != 0)
}

// sendTo reads the destination of a message. named is false if the name says that there is none.
func (d *datagram) sendTo(name []byte) (to tcpip.FullAddress, named bool, err syscall.Errno) {
	f, err := family(name)
	if err != 0 {
		return to, false, err
	}
	switch {
	case f == syscall.AF_UNSPEC && d.domain == syscall.AF_INET6:
		return to, false, 0
	case f != syscall.AF_INET && f != syscall.AF_INET6 && f != syscall.AF_UNSPEC && d.domain == syscall.AF_INET6:
		return to, false, syscall.EINVAL
	case f == syscall.AF_UNSPEC:
		if len(name) < sizeofSockaddr4 {
			return to, false, syscall.EINVAL
		}
		var b [sizeofSockaddr4]byte
		copy(b[:], name)
		b[0], b[1] = syscall.AF_INET, 0
		to, err = d.destination(b[:])
	default:
		to, err = d.destination(name)
	}
	if err == 0 && d.protocol == syscall.IPPROTO_UDP && to.Port == 0 && !d.raw() {
		err = syscall.EINVAL
	}
	return to, true, err
}

// send sends what s holds: to s.to if named is set, else to the peer.
func (d *datagram) send(s *source, c sendable, named, more bool) (int, syscall.Errno) {
	if tcpip.ShutdownFlags(d.shut.Load())&tcpip.ShutdownWrite != 0 {
		return 0, syscall.EPIPE // the endpoint knows only while it is connected
	}
	if d.udp() {
		if more || d.corked.Load() {
			return d.hold(s, c, named, more)
		}
		segment := c.segment
		if segment == 0 {
			segment = int(d.segment.Load())
		}
		if segment != 0 && s.n > segment {
			return d.sendSegments(s, c, named, segment)
		}
	}
	return d.sendOne(s, c, named)
}

// sendOne sends one message.
func (d *datagram) sendOne(s *source, c sendable, named bool) (int, syscall.Errno) {
	if d.udp() && (c.has4 || c.hasTOS) {
		return d.sendRouted(s, c, named)
	}
	o := tcpip.WriteOptions{ControlMessages: c.SendableControlMessages}
	if named {
		o.To = &s.to
		if c.has4 && s.to.NIC == 0 {
			s.to.NIC = c.nic4
		}
	}
	n, err := d.endpoint.Write(s, o)
	if _, ok := err.(*tcpip.ErrBadLocalAddress); ok && c.HasIPv6PacketInfo {
		return 0, syscall.EINVAL
	}
	return int(n), errno(err)
}

// udp reports whether d is a UDP socket.
func (d *datagram) udp() bool { return d.protocol == syscall.IPPROTO_UDP && !d.raw() }

// Bounds of UDP_SEGMENT (linux/udp.h), and the most that a datagram carries.
const (
	maxSegments    = 128
	maxPayload     = 65507
	maxSegmentSize = 65535
)

// sendSegments sends what s holds in datagrams of at most size bytes.
func (d *datagram) sendSegments(s *source, c sendable, named bool, size int) (int, syscall.Errno) {
	total := s.n
	if total > maxPayload {
		return 0, syscall.EMSGSIZE
	}
	if total > size*maxSegments {
		return 0, syscall.EINVAL
	}
	for sent := 0; sent < total; {
		s.n = min(size, total-sent)
		n, err := d.sendOne(s, c, named)
		if err != 0 {
			if sent > 0 {
				break // as datagrams that were lost on the way
			}
			return 0, err
		}
		sent += n
	}
	return total, 0
}
