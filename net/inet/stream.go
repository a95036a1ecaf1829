package inet

import (
	"sync"
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/goshawk-os/goshawk/net/socket"
)

// A stream is a TCP socket.
type stream struct {
	base
	queue *waiter.Queue

	// endpoint is replaced when Linux would begin anew with the same socket: after a failed connect, a
	// dissolved connection, and when a listening socket is shut down.
	endpoint atomic.Pointer[tcp.Endpoint]

	// changing serialises Bind, Connect, Listen and what replaces the endpoint.
	changing sync.Mutex
	phase    phase
	// bound is the address that Bind was given, empty if it was not called.
	bound []byte
	// inherited are the options that differ from their defaults and that accepted connections have
	// from their listener: bits by the order of inheritedOptions.
	inherited atomic.Uint32
	// taken counts bytes read of which the endpoint has not heard (moderate).
	taken atomic.Int32
	// errorTaken says that the endpoint's fatal error was reported.
	errorTaken atomic.Bool
	// pending is an error that the endpoint does not know of: of a connection that was dissolved.
	pending atomic.Uint32
	// shut has bit SHUT_RD set once reading was shut down and SHUT_WR for writing.
	shut atomic.Uint32
}

// phase is what Linux calls the state of struct socket.
type phase uint8

const (
	unconnected phase = iota
	connecting
	connected
)

func newStream(s *stack.Stack, domain int) (*stream, syscall.Errno) {
	t := &stream{base: base{stack: s, domain: uint8(domain), kind: syscall.SOCK_STREAM, protocol: syscall.IPPROTO_TCP}, queue: new(waiter.Queue)}
	e, err := t.newEndpoint()
	if err != 0 {
		return nil, err
	}
	t.use(e)
	return t, 0
}

func (t *stream) newEndpoint() (*tcp.Endpoint, syscall.Errno) {
	e, err := t.stack.NewEndpoint(tcp.ProtocolNumber, network(int(t.domain)), t.queue)
	if err != nil {
		return nil, errno(err)
	}
	e.SocketOptions().SetDelayOption(true) // Nagle's algorithm, as on Linux
	return e.(*tcp.Endpoint), 0
}

func (t *stream) use(e *tcp.Endpoint) {
	t.ops = e.SocketOptions()
	t.endpoint.Store(e)
}

// Bind implements socket.Socket.
func (t *stream) Bind(addr []byte) syscall.Errno {
	a, err := bindAddress(int(t.domain), addr)
	if err != 0 {
		return err
	}
	t.changing.Lock()
	defer t.changing.Unlock()
	e := t.endpoint.Load()
	if s := e.EndpointState(); s != tcp.StateInitial {
		return syscall.EINVAL
	}
	if err := t.checkBind(a); err != 0 {
		return err
	}
	if err := errno(e.Bind(a)); err != 0 {
		return err
	}
	t.bound = append([]byte(nil), addr...)
	return 0
}

// Listen implements socket.Socket.
func (t *stream) Listen(backlog int) syscall.Errno {
	t.changing.Lock()
	defer t.changing.Unlock()
	if t.phase != unconnected {
		return syscall.EINVAL
	}
	if err := t.revive(); err != 0 {
		return err
	}
	e := t.endpoint.Load()
	again := e.EndpointState() == tcp.StateListen
	if uint(backlog) > maxBacklog { // negative ones are the largest
		backlog = maxBacklog
	}
	// Linux lets one connection more wait than the backlog says.
	if err := errno(e.Listen(backlog + 1)); err != 0 && !again {
		return err
	}
	if !again {
		t.announce(e)
	}
	return 0
}

// maxBacklog is net.core.somaxconn.
const maxBacklog = 4096

// announce tells the host that the socket listens, if the host can reach it.
func (t *stream) announce(e *tcp.Endpoint) {
	a, err := e.GetLocalAddress()
	if err != nil || isLoopback(a.Addr) {
		return
	}
	socket.NotifyHost("listen tcp " + addrPort(int(t.domain), a).String())
}

// Accept implements socket.Socket.
func (t *stream) Accept(peer *socket.Address) (socket.Socket, syscall.Errno) {
	if t.empty() {
		return nil, syscall.EAGAIN
	}
	seen := t.arrived.Load()
	e := t.endpoint.Load()
	var from tcpip.FullAddress
	c, queue, err := e.Accept(&from)
	if err != nil {
		if _, ok := err.(*tcpip.ErrWouldBlock); ok {
			t.drained.Store(seen)
		}
		return nil, errno(err)
	}
	n := &stream{base: base{stack: t.stack, domain: t.domain, kind: t.kind, protocol: t.protocol}, queue: queue, phase: connected}
	n.use(c.(*tcp.Endpoint))
	n.ops.SetDelayOption(true)
	// The endpoint has these but does not say so.
	if t.ops.GetReuseAddress() {
		n.ops.SetReuseAddress(true)
	}
	if t.ops.GetReusePort() {
		n.ops.SetReusePort(true)
	}
	if set := t.inherited.Load(); set != 0 {
		n.inherit(t, set)
	}
	if peer != nil {
		setAddress(peer, int(t.domain), &from)
	}
	return n, 0
}

// Connect implements socket.Socket.
func (t *stream) Connect(addr []byte) syscall.Errno {
	f, err := family(addr)
	if err != 0 {
		return err
	}
	t.changing.Lock()
	defer t.changing.Unlock()
	if f == syscall.AF_UNSPEC {
		return t.disconnect()
	}
	e := t.endpoint.Load()
	switch t.phase {
	case connected:
		return syscall.EISCONN
	case connecting:
		switch e.EndpointState() {
		case tcp.StateConnecting, tcp.StateSynSent, tcp.StateSynRecv:
			return syscall.EALREADY
		case tcp.StateError, tcp.StateClose:
			err := t.takeError(e)
			if err == 0 {
				err = syscall.ECONNABORTED
			}
			if failed := t.replace(); failed != 0 {
				return failed
			}
			return err
		}
		t.phase = connected
		return 0
	}
	if e.EndpointState() == tcp.StateListen {
		return syscall.EISCONN
	}
	a, err := parse(int(t.domain), addr)
	if err != 0 {
		return err
	}
	if err := t.checkConnect(&a); err != 0 {
		return err
	}
	if err := t.revive(); err != 0 {
		return err
	}
	e = t.endpoint.Load()
	switch err := errno(e.Connect(a)); err {
	case syscall.EINPROGRESS:
		t.phase = connecting
		return err
	case syscall.EADDRINUSE: // no port is left
		return syscall.EADDRNOTAVAIL
	default:
		return err
	}
}

// takeError takes the fatal error of e, 0 if there is none.
func (t *stream) takeError(e *tcp.Endpoint) syscall.Errno {
	if p := t.pending.Swap(0); p != 0 {
		return syscall.Errno(p)
	}
	err := errno(e.LastError())
	if err != 0 && dead(e) {
		// A failed handshake leaves its error in two places.
		e.LastError()
		t.errorTaken.Store(true)
	}
	return err
}

// dead reports whether e has ended.
func dead(e *tcp.Endpoint) bool {
	s := e.EndpointState()
	return s == tcp.StateError || s == tcp.StateClose
}

// revive replaces an endpoint that has ended by a fresh one with the same options and, if the socket
// was bound to one, address.
func (t *stream) revive() syscall.Errno {
	if !dead(t.endpoint.Load()) {
		return 0
	}
	return t.replace()
}

func (t *stream) replace() syscall.Errno {
	old := t.endpoint.Load()
	e, err := t.newEndpoint()
	if err != 0 {
		return err
	}
	t.copyOptions(e)
	old.Abort()
	if t.bound != nil {
		a, _ := bindAddress(int(t.domain), t.bound)
		if local, err := old.GetLocalAddress(); err == nil && a.Port == 0 {
			a.Port = local.Port
		}
		if err := errno(e.Bind(a)); err != 0 {
			e.Close()
			return err
		}
	}
	t.phase = unconnected
	t.errorTaken.Store(false)
	t.shut.Store(0)
	t.use(e)
	return 0
}

// disconnect dissolves a connection with a reset: connect(2) to AF_UNSPEC, and shutdown(2) before there
// is one.
func (t *stream) disconnect() syscall.Errno {
	s := t.endpoint.Load().EndpointState()
	if err := t.replace(); err != 0 {
		return err
	}
	switch s {
	case tcp.StateInitial, tcp.StateBound, tcp.StateListen, tcp.StateError, tcp.StateClose, tcp.StateTimeWait:
	default:
		t.pending.Store(uint32(syscall.ECONNRESET))
	}
	t.changed(t.Ready())
	return 0
}

// changed tells the watcher of events that no endpoint notifies of.
func (t *stream) changed(events uint32) {
	t.arrived.Add(1)
	if t.watched {
		t.notify(events)
	}
}

// Shutdown implements socket.Socket.
func (t *stream) Shutdown(how int) syscall.Errno {
	if how < syscall.SHUT_RD || how > syscall.SHUT_RDWR {
		return syscall.EINVAL
	}
	e := t.endpoint.Load()
	switch e.EndpointState() {
	case tcp.StateInitial, tcp.StateBound, tcp.StateError, tcp.StateClose, tcp.StateTimeWait:
		return syscall.ENOTCONN
	case tcp.StateListen, tcp.StateConnecting, tcp.StateSynSent:
		if how == syscall.SHUT_WR && e.EndpointState() == tcp.StateListen {
			return 0
		}
		t.changing.Lock()
		defer t.changing.Unlock()
		return t.disconnect()
	}
	var flags tcpip.ShutdownFlags
	if how != syscall.SHUT_WR {
		flags |= tcpip.ShutdownRead
	}
	if how != syscall.SHUT_RD {
		flags |= tcpip.ShutdownWrite
	}
	t.shut.Or(uint32(flags))
	return errno(e.Shutdown(flags))
}

// LocalAddress implements socket.Socket.
func (t *stream) LocalAddress(to *socket.Address) syscall.Errno {
	a, err := t.endpoint.Load().GetLocalAddress()
	if err != nil {
		return errno(err)
	}
	setAddress(to, int(t.domain), &a)
	return 0
}

// PeerAddress implements socket.Socket.
func (t *stream) PeerAddress(to *socket.Address) syscall.Errno {
	e := t.endpoint.Load()
	a, err := e.GetRemoteAddress()
	if err != nil {
		return errno(err)
	}
	if e.EndpointState() == tcp.StateTimeWait {
		return syscall.ENOTCONN
	}
	setAddress(to, int(t.domain), &a)
	return 0
}

// Watch implements socket.Socket.
func (t *stream) Watch(notify func(events uint32)) { t.observe(t.queue, t, notify) }

// NotifyEvent implements waiter.EventListener.
func (t *stream) NotifyEvent(mask waiter.EventMask) {
	t.arrived.Add(1)
	if mask == waiter.ReadableEvents {
		// The end of what the peer sends arrives as data does, and only the endpoint's state tells.
		if e := t.endpoint.Load(); e.EndpointState() != tcp.StateListen && e.RcvClosed {
			mask |= waiter.EventRdHUp
		}
	}
	t.notify(uint32(mask))
}

// Ready implements socket.Socket.
func (t *stream) Ready() uint32 {
	const readable, writable = socket.In | socket.RdNorm, socket.Out | socket.WrNorm
	e := t.endpoint.Load()
	r := uint32(0)
	if t.pending.Load() != 0 {
		r = socket.Err
	}
	switch s := e.EndpointState(); s {
	case tcp.StateInitial, tcp.StateBound:
		return r | writable | socket.Hup
	case tcp.StateConnecting, tcp.StateSynSent, tcp.StateSynRecv:
		return r
	case tcp.StateListen:
		return r | uint32(e.Readiness(waiter.ReadableEvents))&readable
	case tcp.StateError, tcp.StateClose, tcp.StateTimeWait:
		r |= readable | writable | socket.RdHup | socket.Hup
		// A reset after the peer's end leaves a closed endpoint with an error; closed in order it is
		// only after both sides have shut down.
		if s == tcp.StateError || s == tcp.StateClose && t.shut.Load()&uint32(tcpip.ShutdownWrite) == 0 {
			if !t.errorTaken.Load() {
				r |= socket.Err
			}
		}
		return r
	case tcp.StateCloseWait:
		r |= readable | socket.RdHup
	case tcp.StateLastAck, tcp.StateClosing:
		r |= readable | socket.RdHup | socket.Hup
	default:
		if t.shut.Load()&uint32(tcpip.ShutdownRead) != 0 {
			r |= readable | socket.RdHup
			if s != tcp.StateEstablished {
				r |= socket.Hup
			}
		}
	}
	r |= uint32(e.Readiness(waiter.ReadableEvents|waiter.WritableEvents)) & (readable | writable)
	if t.ops.PeekErr() != nil {
		r |= socket.Err
	}
	return r
}

// Close implements socket.Socket.
func (t *stream) Close() {
	t.changing.Lock()
	defer t.changing.Unlock()
	if t.watched {
		t.queue.EventUnregister(&t.entry)
	}
	t.endpoint.Load().Close()
}
