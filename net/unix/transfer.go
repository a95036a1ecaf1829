package unix

import (
	"syscall"
	"unsafe"

	"github.com/goshawk-os/goshawk/net/socket"
)

// Read implements socket.Socket.
func (s *Socket) Read(p []byte) (int, syscall.Errno) {
	parts := [1][]byte{p}
	if s.kind == syscall.SOCK_STREAM {
		n, _, err := s.readStream(parts[:], false, nil)
		return n, err
	}
	if err := s.mayReceive(); err != 0 {
		return 0, err
	}
	n, _, err := s.receiveMessage(parts[:], false, nil, nil)
	return n, err
}

// Write implements socket.Socket.
func (s *Socket) Write(p []byte) (int, syscall.Errno) {
	parts := [1][]byte{p}
	return s.send(parts[:], nil, ancillary{})
}

// mayReceive returns the error of a socket of packets that is not connected.
func (s *Socket) mayReceive() syscall.Errno {
	if s.kind == syscall.SOCK_SEQPACKET && s.peer.Load() == nil {
		return syscall.ENOTCONN
	}
	return 0
}

// Receive implements socket.Socket.
func (s *Socket) Receive(m *socket.Message, flags int) (int, syscall.Errno) {
	if flags&syscall.MSG_OOB != 0 {
		return 0, syscall.EOPNOTSUPP
	}
	if flags&syscall.MSG_ERRQUEUE != 0 {
		return 0, syscall.EAGAIN
	}
	if err := s.mayReceive(); err != 0 {
		return 0, err
	}
	if s.kind == syscall.SOCK_STREAM {
		return s.receiveStream(m, flags)
	}
	return s.receivePacket(m, flags)
}

func (s *Socket) receiveStream(m *socket.Message, flags int) (int, syscall.Errno) {
	var got ancillary
	n, end, err := s.readStream(m.Parts, flags&syscall.MSG_PEEK != 0, &got)
	if err != 0 {
		return 0, err
	}
	if end {
		got.known = true // as Linux has it: process 0 of user 0
	} else if m.WantName {
		s.peer.Load().storeName(&m.Name, false)
	}
	s.deliver(m, got)
	return n, 0
}

func (s *Socket) receivePacket(m *socket.Message, flags int) (int, syscall.Errno) {
	var got ancillary
	var name *socket.Address
	if m.WantName {
		name = &m.Name
	}
	n, size, err := s.receiveMessage(m.Parts, flags&syscall.MSG_PEEK != 0, &got, name)
	if err != 0 || size < 0 {
		return 0, err
	}
	s.deliver(m, got)
	if size > n {
		m.Flags |= syscall.MSG_TRUNC
		if flags&syscall.MSG_TRUNC != 0 {
			n = size
		}
	}
	return n, 0
}

// deliver hands over what came with a message.
func (s *Socket) deliver(m *socket.Message, got ancillary) {
	if s.passCredentials.Load() {
		c := noCredentials
		if got.known {
			c = got.credentials
		}
		m.AppendControl(syscall.SOL_SOCKET, syscall.SCM_CREDENTIALS, unsafe.Slice((*byte)(unsafe.Pointer(&c)), unsafe.Sizeof(c)))
	}
	if len(got.files) > m.MaxFiles {
		m.Flags |= syscall.MSG_CTRUNC
		closeFiles(got.files[m.MaxFiles:])
		got.files = got.files[:m.MaxFiles]
	}
	m.Files = got.files
}

// Send implements socket.Socket.
func (s *Socket) Send(m *socket.Message, flags int) (int, syscall.Errno) {
	if flags&syscall.MSG_OOB != 0 {
		return 0, syscall.EOPNOTSUPP
	}
	a := ancillary{files: m.Files}
	if err := a.parse(m.Control); err != 0 {
		return 0, err
	}
	return s.send(m.Parts, m.Name.Bytes(), a)
}

// parse takes in the control messages of a call of send (__scm_send).
func (a *ancillary) parse(control []byte) syscall.Errno {
	for {
		level, kind, data, rest, ok, err := socket.NextControl(control)
		if !ok {
			return err
		}
		control = rest
		if level != syscall.SOL_SOCKET {
			continue
		}
		if kind != syscall.SCM_CREDENTIALS || len(data) != int(unsafe.Sizeof(a.credentials)) {
			return syscall.EINVAL
		}
		a.credentials, a.known = *(*Credentials)(unsafe.Pointer(&data[0])), true
		if err := unix.process.MayClaim(a.credentials); err != 0 {
			return err
		}
	}
}

// send sends parts, to the socket of address name if that is not empty.
func (s *Socket) send(parts [][]byte, name []byte, a ancillary) (int, syscall.Errno) {
	peer := s.peer.Load()
	switch s.kind {
	case syscall.SOCK_STREAM:
		if len(name) > 0 {
			if peer != nil {
				return 0, syscall.EISCONN
			}
			return 0, syscall.EOPNOTSUPP
		}
		s.addSender(&a, peer)
		return s.writeStream(parts, a)
	case syscall.SOCK_SEQPACKET:
		if err := s.takeFailure(); err != 0 {
			return 0, err
		}
		if peer == nil {
			return 0, syscall.ENOTCONN
		}
		name = nil
	}
	path := ""
	if len(name) > 0 {
		var err syscall.Errno
		if path, err = parse(name); err != 0 {
			return 0, err
		}
	}
	if err := s.autobindToPass(); err != 0 {
		return 0, err
	}
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	if err := s.maySend(size); err != 0 {
		return 0, err
	}
	to := peer
	if len(name) > 0 {
		var err syscall.Errno
		if to, err = unix.find(path, s.kind); err != 0 {
			return 0, err
		}
	}
	if to == nil {
		return 0, syscall.ENOTCONN
	}
	s.addSender(&a, to)
	n, err := s.sendMessage(to, parts, size, a)
	if err == syscall.ECONNREFUSED && len(name) == 0 {
		s.dissolve(peer)
	}
	return n, err
}

// addSender adds the sender's credentials if one of the two ends wants them, or may come to want them
// when it is accepted.
func (s *Socket) addSender(a *ancillary, peer *Socket) {
	if !a.known && (s.passCredentials.Load() || peer != nil && (peer.passCredentials.Load() || peer.notify.Load() == nil)) {
		a.credentials, _ = unix.process.Credentials()
		a.known = true
	}
}
