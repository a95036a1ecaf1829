package inet

import (
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// cork holds the parts of a UDP datagram until it is complete: MSG_MORE and UDP_CORK.
type cork struct {
	set     bool // UDP_CORK
	pending bool
	named   bool
	data    []byte
	to      tcpip.FullAddress
	control sendable
}

// hold appends what s holds to the datagram in the making, and sends it if no more is to come.
func (d *datagram) hold(s *source, c sendable, named, more bool) (int, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := &d.cork
	n := s.n
	if len(k.data)+n > maxPayload {
		return 0, syscall.EMSGSIZE
	}
	if !k.pending {
		// The first part decides where to.
		if !named {
			if _, err := d.endpoint.GetRemoteAddress(); err != nil {
				return 0, syscall.EDESTADDRREQ
			}
		}
		k.pending, k.named, k.to, k.control = true, named, s.to, c
	}
	at := len(k.data)
	k.data = append(k.data, make([]byte, n)...)
	_, _ = s.Read(k.data[at:])
	d.corked.Store(true)
	if more || k.set {
		return n, 0
	}
	if err := d.push(); err != 0 {
		return 0, err
	}
	return n, 0
}

// push sends the datagram in the making. d.mu is held.
func (d *datagram) push() syscall.Errno {
	k := d.cork
	d.cork = cork{set: k.set}
	d.corked.Store(k.set)
	if !k.pending {
		return 0
	}
	s := newSource(k.data)
	defer s.release()
	s.to = k.to
	_, err := d.sendOne(s, k.control, k.named)
	return err
}

// setCork sets or clears UDP_CORK, which sends what is held.
func (d *datagram) setCork(set bool) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cork.set = set
	if set {
		d.corked.Store(true)
		return 0
	}
	return d.push()
}
