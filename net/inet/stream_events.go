package inet

import (
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/goshawk-os/goshawk/net/socket"
)

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
