package inet

import (
	"encoding/binary"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/goshawk-os/goshawk/net/socket"
)

// take returns the first packet of the queue. With peek it stays there, and the caller must not
// release it. p.mu is held.
func (p *packetSocket) take(peek bool) (capturedPacket, bool) {
	if len(p.queue) == 0 {
		return capturedPacket{}, false
	}
	c := p.queue[0]
	if !peek {
		p.queue[0] = capturedPacket{}
		if p.queue = p.queue[1:]; len(p.queue) == 0 {
			p.queue = nil
		}
		p.used -= c.length + perPacket
	}
	return c, true
}

// Read implements socket.Socket.
func (p *packetSocket) Read(b []byte) (int, syscall.Errno) {
	if len(b) == 0 {
		return 0, 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := p.take(false)
	if !ok {
		return 0, syscall.EAGAIN
	}
	defer c.data.Release()
	p.settings.stamp.Store(c.arrived.UnixNano())
	return copy(b, c.data.AsSlice()), 0
}

// Receive implements socket.Socket.
func (p *packetSocket) Receive(m *socket.Message, flags int) (int, syscall.Errno) {
	if flags&^(syscall.MSG_PEEK|syscall.MSG_TRUNC|syscall.MSG_ERRQUEUE) != 0 {
		return 0, syscall.EINVAL
	}
	if flags&syscall.MSG_ERRQUEUE != 0 {
		return p.receiveError(m)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := p.take(flags&syscall.MSG_PEEK != 0)
	if !ok {
		return 0, syscall.EAGAIN
	}
	s := sink{spill: true}
	if len(m.Parts) > 0 {
		s.p, s.parts = m.Parts[0], m.Parts[1:]
	}
	_, _ = s.Write(c.data.AsSlice())
	size := c.data.Size()
	if m.WantName {
		var b [sizeofSockaddrLink]byte
		n := linkName{c.ethernet, c.nic, c.hardware, c.kind, c.sourceLength, c.source}
		n.put(&b)
		m.Name.Set(b[:])
	}
	p.control(m, &c)
	if flags&syscall.MSG_PEEK == 0 {
		c.data.Release()
	}
	if size > s.n {
		m.Flags |= syscall.MSG_TRUNC
		if flags&syscall.MSG_TRUNC != 0 {
			return size, 0
		}
	}
	return s.n, 0
}

// statusUser and others are of struct tpacket_auxdata (linux/if_packet.h).
const (
	statusUser          = 1 << 0
	statusChecksumLater = 1 << 3
	sizeofAuxiliary     = 20
)

// control appends the control messages that the program asked for. p.mu is held.
func (p *packetSocket) control(m *socket.Message, c *capturedPacket) {
	p.settings.stamp.Store(c.arrived.UnixNano())
	switch {
	case p.stampNano:
		appendTime(m, unix.SO_TIMESTAMPNS, c.arrived, true)
	case p.stamp:
		appendTime(m, unix.SO_TIMESTAMP, c.arrived, false)
	}
	if p.drops && p.lost != 0 {
		appendInt(m, syscall.SOL_SOCKET, unix.SO_RXQ_OVFL, int32(p.lost))
	}
	if p.auxiliary {
		var b [sizeofAuxiliary]byte
		status := uint32(statusUser)
		if c.kind == packetOutgoing {
			status |= statusChecksumLater
		}
		binary.NativeEndian.PutUint32(b[:], status)
		binary.NativeEndian.PutUint32(b[4:], uint32(c.length))
		binary.NativeEndian.PutUint32(b[8:], uint32(c.data.Size()))
		binary.NativeEndian.PutUint16(b[14:], uint16(c.header))
		m.AppendControl(unix.SOL_PACKET, unix.PACKET_AUXDATA, b[:])
	}
}

// Write implements socket.Socket.
func (p *packetSocket) Write(b []byte) (int, syscall.Errno) {
	return p.Send(&socket.Message{Parts: [][]byte{b}}, 0)
}

// Send implements socket.Socket.
func (p *packetSocket) Send(m *socket.Message, _ int) (int, syscall.Errno) {
	p.mu.Lock()
	to := linkName{ethernet: p.ethernet, nic: p.nic}
	p.mu.Unlock()
	if name := m.Name.Bytes(); len(name) > 0 {
		n, err := parseLinkName(name)
		if err != 0 {
			return 0, err
		}
		to = n
	}
	info, ok := p.stack.SingleNICInfo(to.nic)
	if !ok {
		return 0, syscall.ENXIO
	}
	if !info.Flags.Running {
		return 0, syscall.ENETDOWN
	}
	size, front := m.Size(), 0
	if p.kind == syscall.SOCK_RAW {
		front = header.EthernetMinimumSize
	}
	switch {
	case size < front:
		return 0, syscall.EINVAL
	case size > int(info.MTU)+front:
		return 0, syscall.EMSGSIZE
	case p.kind == syscall.SOCK_DGRAM && to.length > len(to.address):
		return 0, syscall.EINVAL
	}
	v := buffer.NewViewSize(size)
	at := 0
	for _, part := range m.Parts {
		at += copy(v.AsSlice()[at:], part)
	}
	var failed tcpip.Error
	if p.kind == syscall.SOCK_RAW {
		if to.ethernet == 0 || to.ethernet == header.EthernetProtocolAll {
			to.ethernet = tcpip.NetworkProtocolNumber(binary.BigEndian.Uint16(v.AsSlice()[12:]))
		}
		if info.Flags.Loopback {
			v.TrimFront(front) // which the loopback does not have
		}
		failed = p.stack.WriteRawPacketWithMark(to.nic, to.ethernet, buffer.MakeWithView(v), p.options.GetMark())
	} else {
		remote := tcpip.LinkAddress(to.address[:to.length])
		failed = p.stack.WritePacketToRemoteWithMark(to.nic, remote, to.ethernet, buffer.MakeWithView(v), p.options.GetMark())
	}
	if failed != nil {
		return 0, errno(failed)
	}
	return size, 0
}

// Ioctl implements socket.Socket.
func (p *packetSocket) Ioctl(request uint, arg unsafe.Pointer) syscall.Errno {
	switch request {
	case unix.SIOCINQ, unix.SIOCOUTQ:
		if arg == nil {
			return syscall.EFAULT
		}
		n := 0
		if request == unix.SIOCINQ {
			p.mu.Lock()
			if len(p.queue) > 0 {
				n = p.queue[0].data.Size()
			}
			p.mu.Unlock()
		}
		*(*int32)(arg) = int32(n)
		return 0
	case siocGetStamp, siocGetStampN:
		return getStamp(p.settings.stamp.Load(), request, arg)
	}
	return InterfaceIoctl(request, arg)
}
