package netlink

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A builder appends netlink messages to b.
type builder struct {
	b     []byte
	start int // of the message that is being built
}

// align rounds n up to the boundary of messages and attributes (NLMSG_ALIGNTO, NLA_ALIGNTO).
func align(n int) int { return (n + 3) &^ 3 }

// put appends the bytes of a structure, whose layout is Linux's.
func put[T any](m *builder, v T) { m.bytes(unsafe.Pointer(&v), unsafe.Sizeof(v)) }

// bytes appends n bytes at p. It is not inlined, nor are u8 and u32, since there are so many calls: it
// keeps images small.
//
//go:noinline
func (m *builder) bytes(p unsafe.Pointer, n uintptr) {
	m.b = append(m.b, unsafe.Slice((*byte)(p), n)...)
}

// get reads a structure from the start of p. What p is too short for is zero, and ok false.
func get[T any](p []byte) (v T, ok bool) {
	n := copy(unsafe.Slice((*byte)(unsafe.Pointer(&v)), unsafe.Sizeof(v)), p)
	return v, n == int(unsafe.Sizeof(v))
}

// begin starts a message.
//
//go:noinline
func (m *builder) begin(typ uint16, flags int, seq, port uint32) {
	m.start = len(m.b)
	put(m, unix.NlMsghdr{Type: typ, Flags: uint16(flags), Seq: seq, Pid: port})
}

// end completes the message that begin started.
//
//go:noinline
func (m *builder) end() {
	*(*uint32)(unsafe.Pointer(&m.b[m.start])) = uint32(len(m.b) - m.start)
	m.pad()
}

func (m *builder) pad() {
	for len(m.b)&3 != 0 {
		m.b = append(m.b, 0)
	}
}

// attr appends an attribute.
//
//go:noinline
func (m *builder) attr(typ uint16, value []byte) {
	put(m, unix.NlAttr{Len: uint16(unix.SizeofNlAttr + len(value)), Type: typ})
	m.b = append(m.b, value...)
	m.pad()
}

// text appends an attribute that holds a string and a zero byte.
func (m *builder) text(typ uint16, s string) { m.attr(typ, append([]byte(s), 0)) }

// u8 appends an attribute that holds a number of 8 bits.
//
//go:noinline
func (m *builder) u8(typ uint16, v uint8) { value(m, typ, v) }

// u32 appends an attribute that holds a number of 32 bits.
//
//go:noinline
func (m *builder) u32(typ uint16, v uint32) { value(m, typ, v) }

// value appends an attribute that holds a structure.
func value[T any](m *builder, typ uint16, v T) {
	m.attr(typ, unsafe.Slice((*byte)(unsafe.Pointer(&v)), unsafe.Sizeof(v)))
}

// typeMask takes NLA_F_NESTED and NLA_F_NET_BYTEORDER from an attribute's type.
const typeMask = 0x3fff

// attrs are a request's attributes by type; the last of a type counts.
type attrs [maxAttr + 1][]byte

// maxAttr is the highest attribute type that any request here knows.
const maxAttr = unix.IFLA_ALT_IFNAME

// parse reads the attributes in p. Types that nobody here knows are skipped, and so is a rest that
// is no attribute, as Linux does.
func parse(p []byte) *attrs {
	var a attrs
	for len(p) >= unix.SizeofNlAttr {
		h, _ := get[unix.NlAttr](p)
		n := int(h.Len)
		if n < unix.SizeofNlAttr || n > len(p) {
			break
		}
		if typ := h.Type & typeMask; typ <= maxAttr {
			a[typ] = p[unix.SizeofNlAttr:n:n]
		}
		p = p[min(align(n), len(p)):]
	}
	return &a
}

// u32 returns the number in an attribute, and ERANGE if it holds none.
func (a *attrs) u32(typ int) (uint32, syscall.Errno) {
	v, ok := get[uint32](a[typ])
	if !ok {
		return 0, syscall.ERANGE
	}
	return v, 0
}

// text returns the string in an attribute, which may end with a zero byte.
func (a *attrs) text(typ int) string { return text(a[typ]) }

// text returns a string that ends with a zero byte, or with b.
func text(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// A request is one message that a socket sent to the kernel.
type request struct {
	c       *conn
	header  unix.NlMsghdr
	whole   []byte // with header
	payload []byte
	// problem is what the answer says besides the error's number, to those who have asked for it
	// (NETLINK_EXT_ACK).
	problem string
}

// fail returns err and keeps what the answer is to say.
func (r *request) fail(err syscall.Errno, problem string) syscall.Errno {
	r.problem = problem
	return err
}

// is reports whether the request has all of these flags.
func (r *request) is(flags uint16) bool { return r.header.Flags&flags == flags }

// dumps reports whether the request asks for a list.
func (r *request) dumps() bool { return r.header.Flags&unix.NLM_F_DUMP != 0 }

// strict reports whether the sender wants its request for a list checked, and the list filtered
// (NETLINK_GET_STRICT_CHK).
func (r *request) strict() bool { return r.c.option(unix.NETLINK_GET_STRICT_CHK) }

// reply sends one message to the requester.
func (r *request) reply(typ uint16, build func(m *builder)) {
	var m builder
	m.begin(typ, 0, r.header.Seq, r.c.portID())
	build(&m)
	m.end()
	r.c.deliver(datagram{data: m.b})
}

// acknowledge sends the result of a request (struct nlmsgerr).
func (r *request) acknowledge(err syscall.Errno) {
	flags := 0
	body := r.whole
	if err == 0 || r.c.option(unix.NETLINK_CAP_ACK) {
		flags = unix.NLM_F_CAPPED
		body = body[:unix.SizeofNlMsghdr]
	}
	problem := ""
	if r.c.option(unix.NETLINK_EXT_ACK) && r.problem != "" {
		problem = r.problem
		flags |= unix.NLM_F_ACK_TLVS
	}
	var m builder
	m.begin(unix.NLMSG_ERROR, flags, r.header.Seq, r.c.portID())
	put(&m, -int32(err))
	m.b = append(m.b, body...)
	m.pad()
	if problem != "" {
		m.text(unix.NLMSGERR_ATTR_MSG, problem)
	}
	m.end()
	r.c.deliver(datagram{data: m.b})
}
