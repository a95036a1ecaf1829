package socket

import (
	"syscall"
	"unsafe"
)

// controlAlign is what control messages and their data are aligned to: the size of C's size_t.
const controlAlign = int(unsafe.Sizeof(uintptr(0)))

func alignControl(n int) int { return (n + controlAlign - 1) &^ (controlAlign - 1) }

// ControlLength returns the length of a control message with n bytes of data, without the padding
// behind it (CMSG_LEN, cmsg(3)).
func ControlLength(n int) int { return syscall.SizeofCmsghdr + n }

// NextControl returns the first of the control messages in b and what is behind it. ok is false at the
// end, at which bytes that are too few for a message are ignored. EINVAL says that a length is wrong.
func NextControl(b []byte) (level, kind int, data, rest []byte, ok bool, err syscall.Errno) {
	if len(b) < syscall.SizeofCmsghdr {
		return 0, 0, nil, nil, false, 0
	}
	h := *(*syscall.Cmsghdr)(unsafe.Pointer(&b[0]))
	if h.Len < syscall.SizeofCmsghdr || h.Len > uint64(len(b)) {
		return 0, 0, nil, nil, false, syscall.EINVAL
	}
	size := int(h.Len)
	return int(h.Level), int(h.Type), b[syscall.SizeofCmsghdr:size], b[min(alignControl(size), len(b)):], true, 0
}

// AppendControl appends a control message to m.Control, as far as its capacity goes, and sets
// MSG_CTRUNC in m.Flags if that is too little (put_cmsg).
func (m *Message) AppendControl(level, kind int, data []byte) {
	room := cap(m.Control) - len(m.Control)
	if room < syscall.SizeofCmsghdr {
		m.Flags |= syscall.MSG_CTRUNC
		return
	}
	size := ControlLength(len(data))
	if size > room {
		m.Flags |= syscall.MSG_CTRUNC
		size = room
	}
	at := len(m.Control)
	m.Control = m.Control[:at+min(alignControl(size), room)]
	b := m.Control[at:]
	*(*syscall.Cmsghdr)(unsafe.Pointer(&b[0])) = syscall.Cmsghdr{Len: uint64(size), Level: int32(level), Type: int32(kind)}
	clear(b[syscall.SizeofCmsghdr+copy(b[syscall.SizeofCmsghdr:size], data):])
}

// Size returns how many bytes the parts of m have.
func (m *Message) Size() int {
	n := 0
	for _, p := range m.Parts {
		n += len(p)
	}
	return n
}
