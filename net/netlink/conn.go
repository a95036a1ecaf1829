package netlink

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/goshawk-os/goshawk/net/socket"
)

const (
	// defaultBuffer and maxBuffer are net.core.rmem_default and rmem_max: how much may wait in a
	// socket.
	defaultBuffer = 212992
	maxBuffer     = 212992
	// overhead is what a waiting datagram counts beside its bytes: Linux counts its book-keeping.
	overhead = 576
	// goodSize is the least size to which parts of a list are filled (NLMSG_GOODSIZE), and maxPart
	// the largest: netlink_dump makes use of the room that the reader has shown to have.
	goodSize = 3776
	maxPart  = 32 << 10
)

// A datagram waits in a socket. Its bytes are not changed any more.
type datagram struct {
	data  []byte
	port  uint32 // of the sender; 0 is the kernel
	group uint32 // multicast group, or 0
}

// A conn is an AF_NETLINK socket.
type conn struct {
	bus    *bus
	kind   int
	port   atomic.Uint32 // 0 before it is bound
	groups atomic.Uint64 // multicast groups; bit 0 is group 1
	flags  atomic.Uint32 // options of SOL_NETLINK that are on, a bit for each
	pass   atomic.Bool   // SO_PASSCRED
	notify func(events uint32)

	released bool // by the bus, whose lock guards it

	mu         sync.Mutex
	peer       unix.RawSockaddrNetlink // default destination
	queue      []datagram
	waiting    int // bytes in queue, with overhead
	receive    int // most bytes that may wait: SO_RCVBUF
	send       int // most bytes in a request: SO_SNDBUF
	room       int // largest buffer that a reader came with
	problem    syscall.Errno
	overflowed bool   // nothing that nobody asked for is queued until all is read
	list       []byte // messages of a list that are still to be read, each padded
	listing    bool   // a list is not complete: its end is still to come
	closed     bool
}

func newConn(b *bus, kind int) *conn {
	return &conn{bus: b, kind: kind, receive: defaultBuffer, send: defaultBuffer, notify: func(uint32) {}}
}

// Kind implements socket.Socket.
func (c *conn) Kind() (domain, kind, protocol int) { return syscall.AF_NETLINK, c.kind, c.bus.number }

// Watch implements socket.Socket.
func (c *conn) Watch(notify func(events uint32)) { c.notify = notify }

// Ready implements socket.Socket.
func (c *conn) Ready() uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	events := uint32(socket.Out | socket.WrNorm)
	if len(c.queue) > 0 {
		events |= socket.In | socket.RdNorm
	}
	if c.problem != 0 {
		events |= socket.Err
	}
	return events
}

// Close implements socket.Socket.
func (c *conn) Close() {
	c.bus.release(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.queue, c.waiting, c.list, c.listing = nil, 0, nil, false
}

// address reads a struct sockaddr_nl.
func address(addr []byte) (unix.RawSockaddrNetlink, syscall.Errno) {
	a, ok := get[unix.RawSockaddrNetlink](addr)
	if !ok || a.Family != syscall.AF_NETLINK {
		return a, syscall.EINVAL
	}
	return a, 0
}

// Bind implements socket.Socket.
func (c *conn) Bind(addr []byte) syscall.Errno {
	a, err := address(addr)
	if err == 0 {
		err = c.bus.bind(c, a.Pid)
	}
	if err == 0 {
		c.bus.join(c, 1<<32-1, uint64(a.Groups)&(1<<c.bus.groups-1))
	}
	return err
}

// bound gives c a port if it has none.
func (c *conn) bound() {
	if c.port.Load() == 0 {
		c.bus.bind(c, 0)
	}
}

// portID returns c's port.
func (c *conn) portID() uint32 { return c.port.Load() }

// Connect implements socket.Socket: it sets where datagrams go that are sent without an address.
func (c *conn) Connect(addr []byte) syscall.Errno {
	family, ok := get[uint16](addr)
	if !ok {
		return syscall.EINVAL
	}
	var a unix.RawSockaddrNetlink
	if family != syscall.AF_UNSPEC {
		var err syscall.Errno
		if a, err = address(addr); err != 0 {
			return err
		}
		c.bound()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peer = a
	return 0
}

// LocalAddress implements socket.Socket.
func (c *conn) LocalAddress(a *socket.Address) syscall.Errno {
	setAddress(a, c.port.Load(), uint32(c.groups.Load()))
	return 0
}

// PeerAddress implements socket.Socket.
func (c *conn) PeerAddress(a *socket.Address) syscall.Errno {
	c.mu.Lock()
	defer c.mu.Unlock()
	setAddress(a, c.peer.Pid, c.peer.Groups)
	return 0
}

func setAddress(a *socket.Address, port, groups uint32) {
	n := unix.RawSockaddrNetlink{Family: syscall.AF_NETLINK, Pid: port, Groups: groups}
	a.Set((*[unix.SizeofSockaddrNetlink]byte)(unsafe.Pointer(&n))[:])
}

// Listen implements socket.Socket.
func (c *conn) Listen(int) syscall.Errno { return syscall.EOPNOTSUPP }

// Accept implements socket.Socket.
func (c *conn) Accept(*socket.Address) (socket.Socket, syscall.Errno) {
	return nil, syscall.EOPNOTSUPP
}

// Shutdown implements socket.Socket.
func (c *conn) Shutdown(int) syscall.Errno { return syscall.EOPNOTSUPP }

// Ioctl implements socket.Socket.
func (c *conn) Ioctl(req uint, arg unsafe.Pointer) syscall.Errno {
	if err, ok := c.bus.family.Ioctl(req, arg); ok {
		return err
	}
	return syscall.ENOTTY
}

// deliver queues a datagram. Where there is no room it is lost, and the next read says ENOBUFS
// unless c has turned that off.
func (c *conn) deliver(d datagram) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	if c.waiting > c.receive || c.overflowed && d.group != 0 {
		if !c.option(unix.NETLINK_NO_ENOBUFS) && !c.overflowed {
			c.overflowed = true
			c.problem = syscall.ENOBUFS
			c.notify(socket.Err)
		}
		return false
	}
	c.push(d)
	return true
}

// push queues a datagram. The caller holds c.mu.
func (c *conn) push(d datagram) {
	c.queue = append(c.queue, d)
	c.waiting += len(d.data) + overhead
	c.notify(socket.In | socket.RdNorm)
}

// startList begins to answer with a list: messages that are padded, the last one NLMSG_DONE. EBUSY
// says that an earlier list has not been read to its end, ENOBUFS that there is no room.
func (c *conn) startList(messages []byte) syscall.Errno {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return 0
	case c.listing:
		return syscall.EBUSY
	case c.waiting > c.receive:
		return syscall.ENOBUFS
	}
	c.list, c.listing = messages, true
	c.moreList()
	return 0
}

// moreList queues the next part of the list, as much as a reader is sure to have room for. The
// caller holds c.mu.
func (c *conn) moreList() {
	limit := max(goodSize, min(c.room, maxPart))
	n := 0
	for n < len(c.list) {
		size, _ := get[uint32](c.list[n:])
		if n > 0 && n+align(int(size)) > limit {
			break
		}
		n += align(int(size))
	}
	c.push(datagram{data: c.list[:n:n]})
	if c.list = c.list[n:]; len(c.list) == 0 {
		c.list, c.listing = nil, false
	}
}

// take returns the next datagram for a reader that has room for that many bytes, and keeps it for the
// next one if peek. The reader's memory is not handed over: it may be on a stack, which moves.
func (c *conn) take(room int, peek bool) (datagram, syscall.Errno) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.problem; err != 0 {
		c.problem = 0
		return datagram{}, err
	}
	if len(c.queue) == 0 {
		return datagram{}, syscall.EAGAIN
	}
	c.room = max(c.room, room)
	d := c.queue[0]
	if peek {
		return d, 0
	}
	c.queue[0] = datagram{}
	c.queue = c.queue[1:]
	c.waiting -= len(d.data) + overhead
	if c.listing && c.waiting <= c.receive/2 {
		c.moreList()
	}
	if len(c.queue) == 0 {
		c.queue, c.overflowed = nil, false
	}
	return d, 0
}

// Read implements socket.Socket.
func (c *conn) Read(p []byte) (int, syscall.Errno) {
	d, err := c.take(len(p), false)
	return copy(p, d.data), err
}

// Receive implements socket.Socket.
func (c *conn) Receive(m *socket.Message, flags int) (int, syscall.Errno) {
	if flags&syscall.MSG_OOB != 0 {
		return 0, syscall.EOPNOTSUPP
	}
	d, err := c.take(m.Size(), flags&syscall.MSG_PEEK != 0)
	if err != 0 {
		return 0, err
	}
	n := 0
	for _, p := range m.Parts {
		n += copy(p, d.data[n:])
	}
	m.Flags = 0
	if n < len(d.data) {
		m.Flags = syscall.MSG_TRUNC
		if flags&syscall.MSG_TRUNC != 0 {
			n = len(d.data)
		}
	}
	if m.WantName {
		groups := uint32(0)
		if d.group != 0 && d.group <= 32 {
			groups = 1 << (d.group - 1)
		}
		setAddress(&m.Name, d.port, groups)
	}
	if c.pass.Load() {
		credentials := syscall.Ucred{Pid: int32(d.port)}
		m.AppendControl(syscall.SOL_SOCKET, syscall.SCM_CREDENTIALS, (*[syscall.SizeofUcred]byte)(unsafe.Pointer(&credentials))[:])
	}
	if c.option(unix.NETLINK_PKTINFO) {
		m.AppendControl(unix.SOL_NETLINK, unix.NETLINK_PKTINFO, (*[4]byte)(unsafe.Pointer(&d.group))[:])
	}
	return n, 0
}

// Write implements socket.Socket.
func (c *conn) Write(p []byte) (int, syscall.Errno) {
	return c.transmit(append([]byte(nil), p...), nil)
}

// Send implements socket.Socket.
func (c *conn) Send(m *socket.Message, flags int) (int, syscall.Errno) {
	if flags&syscall.MSG_OOB != 0 {
		return 0, syscall.EOPNOTSUPP
	}
	data := make([]byte, 0, m.Size())
	for _, p := range m.Parts {
		data = append(data, p...)
	}
	if m.Name.Length == 0 {
		return c.transmit(data, nil)
	}
	to, err := address(m.Name.Bytes())
	if err != 0 {
		return 0, err
	}
	return c.transmit(data, &to)
}

// transmit sends a datagram to an address, or if that is nil to the one of Connect. The kernel answers
// before it returns.
func (c *conn) transmit(data []byte, to *unix.RawSockaddrNetlink) (int, syscall.Errno) {
	if len(data) == 0 {
		return 0, syscall.ENODATA
	}
	c.mu.Lock()
	limit := c.send
	if to == nil {
		to = &unix.RawSockaddrNetlink{Pid: c.peer.Pid, Groups: c.peer.Groups}
	}
	c.mu.Unlock()
	c.bound()
	if len(data) > limit-32 {
		return 0, syscall.EMSGSIZE
	}
	if to.Groups != 0 {
		c.bus.multicast(datagram{data: data, port: c.portID(), group: uint32(bits.TrailingZeros32(to.Groups) + 1)}, c)
	}
	if to.Pid != 0 {
		if err := c.bus.unicast(datagram{data: data, port: c.portID()}, to.Pid); err != 0 {
			return 0, err
		}
		return len(data), 0
	}
	c.ask(data)
	return len(data), 0
}

// ask has the kernel carry out the requests in p, one after the other.
func (c *conn) ask(p []byte) {
	for len(p) >= unix.SizeofNlMsghdr {
		h, _ := get[unix.NlMsghdr](p)
		n := int(h.Len)
		if n < unix.SizeofNlMsghdr || n > len(p) {
			return
		}
		r := &request{c: c, header: h, whole: p[:n:n], payload: p[unix.SizeofNlMsghdr:n:n]}
		err := syscall.Errno(0)
		if r.is(unix.NLM_F_REQUEST) && h.Type >= unix.NLMSG_MIN_TYPE {
			err = c.bus.handle(r)
		}
		if err != errAnswered && (err != 0 || r.is(unix.NLM_F_ACK)) {
			r.acknowledge(err)
		}
		p = p[min(align(n), len(p)):]
	}
}

// errAnswered says that a request needs no acknowledgement: its answer is a list. Linux uses the
// same number for it.
const errAnswered = syscall.EINTR
