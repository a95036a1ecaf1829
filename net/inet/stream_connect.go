package inet

import (
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

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
