package linux

import (
	"syscall"
	"unsafe"

	"github.com/goshawk-os/goshawk/fs/vfs"
	"github.com/goshawk-os/goshawk/net/socket"
)

// Flags of messages that package syscall lacks, and those that the families do not see.
const (
	msgWaitForOne = 0x10000
	msgCompat     = 0x80000000 // MSG_CMSG_COMPAT: of 32-bit programs

	ownFlags = syscall.MSG_DONTWAIT | syscall.MSG_WAITALL | syscall.MSG_NOSIGNAL |
		syscall.MSG_CMSG_CLOEXEC | msgWaitForOne | msgCompat
)

// receive is recvmsg(2) with m's parts set.
func (s *socketFile) receive(m *socket.Message, flags int, nonblocking bool) (int, syscall.Errno) {
	nonblocking = nonblocking || flags&syscall.MSG_DONTWAIT != 0
	n, err := s.socket.Receive(m, flags&^ownFlags)
	if nonblocking || flags&(syscall.MSG_ERRQUEUE|syscall.MSG_OOB) != 0 {
		return n, err
	}
	all := flags&syscall.MSG_WAITALL != 0 && s.kind == syscall.SOCK_STREAM
	if flags&syscall.MSG_PEEK != 0 && s.domain == syscall.AF_UNIX {
		all = false // as on Linux
	}
	if err == syscall.EAGAIN || all && err == 0 {
		return s.receiveWaiting(m, n, err, flags, all)
	}
	return n, err
}

// receiveWaiting goes on after a first Receive that returned n and err. all says that it waits for as
// many bytes as m has room for.
func (s *socketFile) receiveWaiting(m *socket.Message, n int, err syscall.Errno, flags int, all bool) (int, syscall.Errno) {
	var r retry
	peek := flags&syscall.MSG_PEEK != 0
	done := 0
	for {
		if err == 0 {
			if peek {
				done = 0 // the same bytes again
			}
			done += n
			if n == 0 || n >= m.Size() || !all || len(m.Control) > 0 || len(m.Files) > 0 {
				break
			}
			if !peek {
				m.Parts = skip(m.Parts, n)
			}
		} else if err != syscall.EAGAIN || s.ended() {
			err = unlessEnded(err)
			break
		}
		if (err != 0 || peek) && !r.again(s, readable, s.receiveTimeout.Load()) {
			break
		}
		if peek && done > 0 && s.socket.Ready()&(peerClosed|always) != 0 {
			break // no more will come
		}
		n, err = s.socket.Receive(m, flags&^ownFlags)
	}
	r.end(s)
	if done > 0 {
		return done, 0
	}
	return 0, err
}

// send is sendmsg(2) with m's parts set.
func (s *socketFile) send(m *socket.Message, flags int, nonblocking bool) (int, syscall.Errno) {
	nonblocking = nonblocking || flags&syscall.MSG_DONTWAIT != 0
	n, err := s.socket.Send(m, flags&^ownFlags)
	if configuring(err) {
		n, err = s.socket.Send(m, flags&^ownFlags)
	}
	if err == 0 && (nonblocking || s.kind != syscall.SOCK_STREAM) || err == syscall.EAGAIN && nonblocking {
		return n, err
	}
	var r retry
	done := 0
	for {
		done += n
		if err == 0 {
			m.Parts = skip(m.Parts, n)
			m.Files, m.Control = nil, nil // they went with the first bytes
			if s.kind != syscall.SOCK_STREAM || m.Size() == 0 {
				break
			}
		} else if err != syscall.EAGAIN || nonblocking || !r.again(s, writable, s.sendTimeout.Load()) {
			break
		}
		n, err = s.socket.Send(m, flags&^ownFlags)
	}
	r.end(s)
	return s.sent(done, err, flags)
}

// skip takes n bytes off the beginning of parts, which it changes in place.
func skip(parts [][]byte, n int) [][]byte {
	for len(parts) > 0 && n >= len(parts[0]) {
		n -= len(parts[0])
		parts = parts[1:]
	}
	if len(parts) > 0 {
		parts[0] = parts[0][n:]
	}
	return parts
}

// fewParts is how many parts of a vector are kept without a large stack.
const fewParts = 8

// mover is receive or send.
type mover func(s *socketFile, m *socket.Message, flags int, nonblocking bool) (int, syscall.Errno)

// moveVector calls move with the parts of list in m. They are pointers of the caller, so the slices of
// them are kept on the stack.
func (s *socketFile) moveVector(move mover, m *socket.Message, list []iovec, flags int, nonblocking bool) (int, syscall.Errno) {
	if len(list) > fewParts {
		return s.moveLongVector(move, m, list, flags, nonblocking)
	}
	var parts [fewParts][]byte
	return s.moveParts(move, m, unsafe.Slice(hidden(&parts[0]), fewParts), list, flags, nonblocking)
}

//go:noinline
func (s *socketFile) moveLongVector(move mover, m *socket.Message, list []iovec, flags int, nonblocking bool) (int, syscall.Errno) {
	var parts [maxVectors][]byte
	return s.moveParts(move, m, unsafe.Slice(hidden(&parts[0]), maxVectors), list, flags, nonblocking)
}

func (s *socketFile) moveParts(move mover, m *socket.Message, parts [][]byte, list []iovec, flags int, nonblocking bool) (int, syscall.Errno) {
	left := uint64(maxTransfer)
	for i := range list {
		size := min(list[i].size, left)
		p, err := memory(unsafe.Pointer(list[i].base), uintptr(size))
		if err != 0 {
			return 0, err
		}
		parts[i] = p
		left -= size
	}
	m.Parts = parts[:len(list)]
	n, err := move(s, m, flags, nonblocking)
	m.Parts = nil
	return n, err
}

// vector is readv and writev.
func (s *socketFile) vector(list []iovec, f *vfs.File, write bool) (uintptr, syscall.Errno) {
	var m socket.Message
	move := (*socketFile).receive
	if write {
		move = (*socketFile).send
	}
	n, err := s.moveVector(move, hidden(&m), list, 0, nonblocking(f)) // no files: m.MaxFiles is 0
	return uintptr(n), err
}

func sysSendto(s *socketFile, f *vfs.File, a *args) (uintptr, syscall.Errno) {
	p, err := a.bytes(1, 2)
	if err != 0 {
		return 0, err
	}
	var m socket.Message
	if a.p[4] != nil {
		name, err := a.address(4)
		if err != 0 {
			return 0, err
		}
		m.Name.Set(name)
	}
	part := [1][]byte{p}
	m.Parts = unsafe.Slice(hidden(&part[0]), 1)
	n, err := s.send(hidden(&m), a.int(3), nonblocking(f))
	return uintptr(n), err
}

func sysRecvfrom(s *socketFile, f *vfs.File, a *args) (uintptr, syscall.Errno) {
	p, err := a.bytes(1, 2)
	if err != 0 {
		return 0, err
	}
	var m socket.Message
	m.WantName = a.p[4] != nil
	part := [1][]byte{p}
	m.Parts = unsafe.Slice(hidden(&part[0]), 1)
	n, err := s.receive(hidden(&m), a.int(3), nonblocking(f))
	if err == 0 && m.WantName {
		err = storeAddress(a.p[4], a.p[5], &m.Name)
	}
	return uintptr(n), err
}

// messageHeader is struct user_msghdr.
type messageHeader struct {
	name          *byte
	nameLength    int32
	_             int32
	vector        *iovec
	vectorLength  uint64
	control       *byte
	controlLength uint64
	flags         int32
	_             int32
}

// parts returns the I/O vector of h.
func (h *messageHeader) parts() ([]iovec, syscall.Errno) {
	if h.vectorLength > maxVectors {
		return nil, syscall.EMSGSIZE
	}
	list, err := array[iovec](unsafe.Pointer(h.vector), int(h.vectorLength))
	if err != 0 {
		return nil, err
	}
	return list, checkVector(list)
}

// sendMessage sends one message.
func (s *socketFile) sendMessage(h *messageHeader, flags int, nonblocking bool) (int, syscall.Errno) {
	list, err := h.parts()
	if err != 0 {
		return 0, err
	}
	var m socket.Message
	if h.name != nil {
		if h.nameLength < 0 {
			return 0, syscall.EINVAL
		}
		m.Name.Set(unsafe.Slice(h.name, min(int(h.nameLength), socket.AddressSize)))
	}
	if h.controlLength > 1<<31-1 {
		return 0, syscall.ENOBUFS
	}
	if m.Control, err = memory(unsafe.Pointer(h.control), uintptr(h.controlLength)); err != 0 {
		return 0, err
	}
	if s.domain == syscall.AF_UNIX && len(m.Control) > 0 {
		if m.Control, m.Files, err = takeFiles(m.Control); err != 0 {
			return 0, err
		}
	}
	files := m.Files
	n, err := s.moveVector((*socketFile).send, hidden(&m), list, flags, nonblocking)
	if err != 0 {
		closeFiles(files)
	}
	return n, err
}

// receiveMessage receives one message.
func (s *socketFile) receiveMessage(h *messageHeader, flags int, nonblocking bool) (int, syscall.Errno) {
	list, err := h.parts()
	if err != 0 {
		return 0, err
	}
	if h.nameLength < 0 {
		return 0, syscall.EINVAL
	}
	control, err := memory(unsafe.Pointer(h.control), uintptr(h.controlLength))
	if err != 0 {
		return 0, err
	}
	var m socket.Message
	m.WantName = h.name != nil
	m.Control = control[:0]
	m.MaxFiles = maxFiles(len(control))
	n, err := s.moveVector((*socketFile).receive, hidden(&m), list, flags, nonblocking)
	if err != 0 {
		return 0, err
	}
	if len(m.Files) > 0 {
		storeFiles(&m, flags&syscall.MSG_CMSG_CLOEXEC != 0)
	}
	if h.name != nil {
		copy(unsafe.Slice(h.name, h.nameLength), m.Name.Bytes())
		h.nameLength = int32(m.Name.Length)
	}
	h.controlLength = uint64(len(m.Control))
	h.flags = int32(m.Flags | flags&syscall.MSG_CMSG_CLOEXEC)
	return n, 0
}

func sysSendmsg(s *socketFile, f *vfs.File, a *args) (uintptr, syscall.Errno) {
	return oneMessage(a, nonblocking(f), s.sendMessage)
}

func sysRecvmsg(s *socketFile, f *vfs.File, a *args) (uintptr, syscall.Errno) {
	return oneMessage(a, nonblocking(f), s.receiveMessage)
}

func oneMessage(a *args, nonblocking bool, move func(*messageHeader, int, bool) (int, syscall.Errno)) (uintptr, syscall.Errno) {
	if a.p[1] == nil {
		return 0, syscall.EFAULT
	}
	if a.n[2]&msgCompat != 0 {
		return 0, syscall.EINVAL
	}
	n, err := move((*messageHeader)(a.p[1]), a.int(2), nonblocking)
	return uintptr(n), err
}

// countedMessage is struct mmsghdr.
type countedMessage struct {
	header messageHeader
	length uint32
	_      uint32
}

func sysSendmmsg(s *socketFile, f *vfs.File, a *args) (uintptr, syscall.Errno) {
	list, err := array[countedMessage](a.p[1], int(min(a.uint32(2), maxVectors)))
	if err != 0 {
		return 0, err
	}
	for i := range list {
		n, err := s.sendMessage(&list[i].header, a.int(3), nonblocking(f))
		if err != 0 {
			if i > 0 {
				err = 0
			}
			return uintptr(i), err
		}
		list[i].length = uint32(n)
	}
	return uintptr(len(list)), 0
}

// sysRecvmmsg is recvmmsg. As on Linux it looks at the time when a message has come, and does not wait
// for the next one if the time is over.
func sysRecvmmsg(s *socketFile, f *vfs.File, a *args) (uintptr, syscall.Errno) {
	list, err := array[countedMessage](a.p[1], int(min(a.uint32(2), maxVectors)))
	if err != 0 {
		return 0, err
	}
	deadline, err := deadlineTimespec(a.p[4])
	if err != 0 {
		return 0, err
	}
	flags := a.int(3)
	done := 0
	for done < len(list) && err == 0 {
		n := 0
		if n, err = s.receiveMessage(&list[done].header, flags, nonblocking(f)); err != 0 {
			break
		}
		list[done].length = uint32(n)
		done++
		if flags&msgWaitForOne != 0 {
			flags |= syscall.MSG_DONTWAIT
		}
		if deadline != never && nanotime() >= deadline || list[done-1].header.flags&syscall.MSG_OOB != 0 {
			break
		}
	}
	storeTimeLeft(a.p[4], deadline)
	if done > 0 {
		err = 0
	}
	return uintptr(done), err
}
