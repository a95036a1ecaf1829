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
	// shut has the tcpip.ShutdownFlags of what was shut down.
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
