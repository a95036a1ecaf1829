package inet

import (
	"sync"
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/goshawk-os/goshawk/net/socket"
)

// A datagram is a socket of messages: UDP, ICMP echo ("ping sockets"), and raw IP.
type datagram struct {
	base
	queue    waiter.Queue
	endpoint tcpip.Endpoint

	corked  atomic.Bool  // UDP_CORK is set, or data are held for MSG_MORE
	segment atomic.Int32 // UDP_SEGMENT
	wanted  atomic.Uint32
	shut    atomic.Uint32 // tcpip.ShutdownFlags
	filters filters

	// mu guards the fields below.
	mu          sync.Mutex
	cork        cork
	memberships []*membership
}

// raw reports whether d is a raw socket.
func (d *datagram) raw() bool { return d.kind == syscall.SOCK_RAW }

// Bind implements socket.Socket.
func (d *datagram) Bind(addr []byte) syscall.Errno {
	a, err := bindAddress(int(d.domain), addr)
	if err != 0 {
		return err
	}
	if d.raw() {
		a.Port = 0
	}
	if err := d.checkBind(a); err != 0 {
		return err
	}
	return errno(d.endpoint.Bind(a))
}

// Listen implements socket.Socket.
func (*datagram) Listen(int) syscall.Errno { return syscall.EOPNOTSUPP }

// Accept implements socket.Socket.
func (*datagram) Accept(*socket.Address) (socket.Socket, syscall.Errno) {
	return nil, syscall.EOPNOTSUPP
}

// Connect implements socket.Socket.
func (d *datagram) Connect(addr []byte) syscall.Errno {
	f, err := family(addr)
	if err != 0 {
		return err
	}
	if f == syscall.AF_UNSPEC {
		if d.state() == transport.DatagramEndpointStateConnected {
			return errno(d.endpoint.Disconnect())
		}
		return 0
	}
	a, err := d.destination(addr)
	if err != 0 {
		return err
	}
	if linkLocal(a.Addr) && a.NIC == 0 {
		if !multicast(a.Addr) {
			return syscall.EINVAL
		}
		nic, _ := d.multicastSource(ipv6.ProtocolNumber)
		if a.NIC = nic; nic == 0 {
			return syscall.EINVAL
		}
	}
	return errno(d.endpoint.Connect(a))
}

func (d *datagram) state() transport.DatagramEndpointState {
	return transport.DatagramEndpointState(d.endpoint.State())
}

// destination reads the address of a peer.
func (d *datagram) destination(addr []byte) (tcpip.FullAddress, syscall.Errno) {
	if d.domain == syscall.AF_INET6 && len(addr) >= sizeofSockaddr4 {
		// An IPv6 socket takes a plain IPv4 destination as well.
		if f, _ := family(addr); f == syscall.AF_INET {
			if d.ops.GetV6Only() {
				return tcpip.FullAddress{}, syscall.ENETUNREACH
			}
			a, err := parse4(addr)
			a.Addr = mapped(a.Addr)
			return a, err
		}
	}
	a, err := parse(int(d.domain), addr)
	if err != 0 {
		return a, err
	}
	if d.raw() {
		a.Port = 0
	}
	if d.domain == syscall.AF_INET6 && unmapped(a.Addr) != a.Addr && d.ops.GetV6Only() {
		return a, syscall.ENETUNREACH
	}
	return a, d.checkScope(&a)
}

// Shutdown implements socket.Socket.
func (d *datagram) Shutdown(how int) syscall.Errno {
	if how < syscall.SHUT_RD || how > syscall.SHUT_RDWR {
		return syscall.EINVAL
	}
	flags := tcpip.ShutdownFlags(how + 1)
	d.shut.Or(uint32(flags))
	err := errno(d.endpoint.Shutdown(flags))
	d.arrived.Add(1)
	if d.watched {
		d.notify(d.Ready())
	}
	return err
}

// LocalAddress implements socket.Socket.
func (d *datagram) LocalAddress(to *socket.Address) syscall.Errno {
	a, err := d.endpoint.GetLocalAddress()
	if err != nil {
		return errno(err)
	}
	if d.raw() {
		a.Port = d.protocol
	}
	setAddress(to, int(d.domain), &a)
	return 0
}

// PeerAddress implements socket.Socket.
func (d *datagram) PeerAddress(to *socket.Address) syscall.Errno {
	a, err := d.endpoint.GetRemoteAddress()
	if err != nil {
		return errno(err)
	}
	setAddress(to, int(d.domain), &a)
	return 0
}

// Watch implements socket.Socket.
func (d *datagram) Watch(notify func(events uint32)) { d.observe(&d.queue, d, notify) }

// NotifyEvent implements waiter.EventListener.
func (d *datagram) NotifyEvent(mask waiter.EventMask) {
	d.arrived.Add(1)
	d.notify(uint32(mask))
}

// Ready implements socket.Socket.
func (d *datagram) Ready() uint32 {
	const readable, writable = socket.In | socket.RdNorm, socket.Out | socket.WrNorm
	r := uint32(d.endpoint.Readiness(waiter.ReadableEvents | waiter.WritableEvents | waiter.EventErr))
	if d.ops.PeekErr() != nil {
		r |= socket.Err
	}
	shut := tcpip.ShutdownFlags(d.shut.Load())
	if shut&tcpip.ShutdownRead != 0 {
		r |= readable | socket.RdHup
		if shut&tcpip.ShutdownWrite != 0 {
			r |= socket.Hup
		}
	}
	return r & (readable | writable | socket.Err | socket.RdHup | socket.Hup)
}

// Close implements socket.Socket.
func (d *datagram) Close() {
	if d.watched {
		d.queue.EventUnregister(&d.entry)
	}
	d.endpoint.Close()
}
