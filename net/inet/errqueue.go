package inet

import (
	"encoding/binary"
	"syscall"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/goshawk-os/goshawk/net/socket"
)

// sizeofExtendedErr is the size of struct sock_extended_err (linux/errqueue.h).
const sizeofExtendedErr = 16

// receiveError takes the first error of the error queue: recvmsg(2) with MSG_ERRQUEUE. The data are
// those of the packet that caused it, the name where it was sent.
func (b *base) receiveError(m *socket.Message) (int, syscall.Errno) {
	e := b.ops.DequeueErr()
	if e == nil {
		return 0, syscall.EAGAIN
	}
	s := sink{spill: true}
	if len(m.Parts) > 0 {
		s.p, s.parts = m.Parts[0], m.Parts[1:]
	}
	if e.Payload != nil {
		_, _ = s.Write(e.Payload.AsSlice())
		if e.Payload.Size() > s.n {
			m.Flags |= syscall.MSG_TRUNC
		}
		e.Payload.Release()
	}
	m.Flags |= syscall.MSG_ERRQUEUE
	if m.WantName {
		setAddress(&m.Name, int(b.domain), &e.Dst)
	}
	level, kind, domain := syscall.IPPROTO_IP, syscall.IP_RECVERR, syscall.AF_INET
	if e.NetProto == header.IPv6ProtocolNumber {
		level, kind, domain = syscall.IPPROTO_IPV6, unix.IPV6_RECVERR, syscall.AF_INET6
	}
	var data [sizeofExtendedErr + sizeofSockaddr6]byte
	binary.NativeEndian.PutUint32(data[:], uint32(errno(e.Err)))
	data[4], data[5], data[6] = uint8(e.Cause.Origin()), e.Cause.Type(), e.Cause.Code()
	binary.NativeEndian.PutUint32(data[8:], e.Cause.Info())
	size := sizeofExtendedErr + sizeofSockaddr4
	if domain == syscall.AF_INET6 {
		size = sizeofExtendedErr + sizeofSockaddr6
	}
	if e.Cause.Origin() != tcpip.SockExtErrorOriginLocal {
		var offender socket.Address
		from := e.Offender
		from.Port = 0
		setAddress(&offender, domain, &from)
		copy(data[sizeofExtendedErr:], offender.Bytes())
	}
	m.AppendControl(level, kind, data[:size])
	return s.n, 0
}
