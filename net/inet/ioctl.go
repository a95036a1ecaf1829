package inet

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// Requests that golang.org/x/sys does not name (asm-generic/sockios.h, linux/sockios.h).
const (
	siocAtMark    = 0x8905
	siocGetStamp  = 0x8906
	siocGetStampN = 0x8907
)

// InterfaceIoctl carries out the requests about interfaces, routes and neighbours that any socket takes
// (netdevice(7)). It is set while the kernel starts.
var InterfaceIoctl = func(request uint, arg unsafe.Pointer) syscall.Errno { return syscall.ENOTTY }

// Ioctl implements socket.Socket.
func (t *stream) Ioctl(request uint, arg unsafe.Pointer) syscall.Errno {
	e := t.endpoint.Load()
	switch request {
	case unix.SIOCINQ, unix.SIOCOUTQ, siocAtMark:
		if e.EndpointState() == tcp.StateListen && request != siocAtMark {
			return syscall.EINVAL
		}
		return ioctlInt(e, request, arg)
	}
	return InterfaceIoctl(request, arg)
}

// Ioctl implements socket.Socket.
func (d *datagram) Ioctl(request uint, arg unsafe.Pointer) syscall.Errno {
	switch request {
	case unix.SIOCINQ:
		return ioctlInt(d.endpoint, request, arg)
	case unix.SIOCOUTQ: // a datagram is with the link once it is sent
		if arg == nil {
			return syscall.EFAULT
		}
		*(*int32)(arg) = 0
		return 0
	case siocGetStamp, siocGetStampN:
		return getStamp(d.settings.stamp.Load(), request, arg)
	}
	return InterfaceIoctl(request, arg)
}

// ioctlInt carries out a request that answers a C int. What waits to be sent the stack does not tell.
func ioctlInt(e tcpip.Endpoint, request uint, arg unsafe.Pointer) syscall.Errno {
	if arg == nil {
		return syscall.EFAULT
	}
	v := 0
	switch request {
	case unix.SIOCINQ:
		n, err := e.GetSockOptInt(tcpip.ReceiveQueueSizeOption)
		if err != nil {
			return errno(err)
		}
		v = n
	case unix.SIOCOUTQ:
		n, err := e.GetSockOptInt(tcpip.SendQueueSizeOption)
		if err != nil {
			return syscall.ENOTTY
		}
		v = n
	}
	*(*int32)(arg) = int32(v)
	return 0
}

// getStamp writes when the last message that was read arrived.
func getStamp(last int64, request uint, arg unsafe.Pointer) syscall.Errno {
	if last == 0 {
		return syscall.ENOENT
	}
	if arg == nil {
		return syscall.EFAULT
	}
	b := (*[16]byte)(arg)
	putTime(b[:], time.Unix(0, last), request == siocGetStampN)
	return 0
}
