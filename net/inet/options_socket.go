package inet

import (
	"encoding/binary"
	"math"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
)

// Least sizes of buffers that setsockopt leaves (net/sock.h), in doubled bytes.
const (
	minSendBuffer    = 4608
	minReceiveBuffer = 2304
)

// cookies counts sockets that were asked for their SO_COOKIE.
var cookies atomic.Uint64

// getSocketOption carries out getsockopt for level SOL_SOCKET but for SO_ERROR.
func (b *base) getSocketOption(name int, value []byte) (int, syscall.Errno) {
	switch name {
	case syscall.SO_REUSEADDR:
		return putBool(value, b.ops.GetReuseAddress()), 0
	case unix.SO_REUSEPORT:
		return putBool(value, b.ops.GetReusePort()), 0
	case syscall.SO_KEEPALIVE:
		return putBool(value, b.ops.GetKeepAlive()), 0
	case syscall.SO_BROADCAST:
		return putBool(value, b.ops.GetBroadcast()), 0
	case unix.SO_NO_CHECK:
		return putBool(value, b.ops.GetNoChecksum()), 0
	case syscall.SO_SNDBUF:
		return putInt(value, int(b.ops.GetSendBufferSize())), 0
	case syscall.SO_RCVBUF:
		return putInt(value, int(b.ops.GetReceiveBufferSize())), 0
	case unix.SO_MARK:
		return putInt(value, int(b.ops.GetMark())), 0
	case syscall.SO_ACCEPTCONN:
		return putBool(value, b.ops.GetAcceptConn()), 0
	case syscall.SO_LINGER:
		l := b.ops.GetLinger()
		var v [8]byte
		binary.NativeEndian.PutUint32(v[:], uint32(toInt(l.Enabled)))
		binary.NativeEndian.PutUint32(v[4:], uint32(l.Timeout/time.Second))
		return copy(value, v[:]), 0
	case syscall.SO_BINDTODEVICE:
		return b.getDevice(value)
	case unix.SO_BINDTOIFINDEX:
		return putInt(value, int(b.ops.GetBindToDevice())), 0
	case unix.SO_COOKIE:
		return b.getCookie(value)
	case unix.SO_MEMINFO:
		var v [36]byte // SK_MEMINFO_VARS words: SK_MEMINFO_RCVBUF is number 1, SK_MEMINFO_SNDBUF 3
		binary.NativeEndian.PutUint32(v[4:], uint32(b.ops.GetReceiveBufferSize()))
		binary.NativeEndian.PutUint32(v[12:], uint32(b.ops.GetSendBufferSize()))
		return copy(value, v[:]), 0
	case syscall.SO_PEERCRED:
		v := [12]byte{4: 255, 5: 255, 6: 255, 7: 255, 8: 255, 9: 255, 10: 255, 11: 255} // struct ucred: nobody
		return copy(value, v[:]), 0
	case unix.SO_PASSCRED, unix.SO_PASSSEC, unix.SO_PASSPIDFD:
		return 0, syscall.EOPNOTSUPP
	case unix.SO_PEERGROUPS, unix.SO_PEERPIDFD:
		return 0, syscall.ENODATA
	case unix.SO_GET_FILTER:
		return 0, 0
	case syscall.SO_RCVLOWAT:
		return putInt(value, b.remembered(syscall.SOL_SOCKET, name, 1)), 0
	case unix.SO_TIMESTAMPING_OLD, unix.SO_TIMESTAMPING_NEW:
		return putInt(value, b.remembered(syscall.SOL_SOCKET, unix.SO_TIMESTAMPING_OLD, 0)), 0
	case unix.SO_BPF_EXTENSIONS:
		return putInt(value, extensionsLimit), 0
	case unix.SO_BSDCOMPAT:
		return putInt(value, 0), 0
	}
	return b.getKept(syscall.SOL_SOCKET, name, value)
}

// setSocketOption carries out setsockopt for level SOL_SOCKET.
func (b *base) setSocketOption(name int, value []byte) syscall.Errno {
	switch name {
	case syscall.SO_BINDTODEVICE:
		return b.setDevice(value)
	case unix.SO_PASSCRED, unix.SO_PASSSEC, unix.SO_PASSPIDFD:
		return syscall.EOPNOTSUPP
	case unix.SO_DETACH_FILTER:
		return syscall.ENOENT
	}
	v, err := getInt(value)
	if err != 0 {
		return err
	}
	on := v != 0
	switch name {
	case syscall.SO_REUSEADDR:
		b.ops.SetReuseAddress(on)
	case unix.SO_REUSEPORT:
		b.ops.SetReusePort(on)
	case syscall.SO_KEEPALIVE:
		b.ops.SetKeepAlive(on)
	case syscall.SO_BROADCAST:
		b.ops.SetBroadcast(on)
	case unix.SO_NO_CHECK:
		b.ops.SetNoChecksum(on)
	case syscall.SO_SNDBUF:
		var o tcpip.SendBufferSizeOption
		b.stack.Option(&o)
		b.setSendBuffer(min(uint32(v), uint32(o.Max)))
	case unix.SO_SNDBUFFORCE:
		b.setSendBuffer(uint32(max(v, 0)))
	case syscall.SO_RCVBUF:
		var o tcpip.ReceiveBufferSizeOption
		b.stack.Option(&o)
		b.setReceiveBuffer(min(uint32(v), uint32(o.Max)))
	case unix.SO_RCVBUFFORCE:
		b.setReceiveBuffer(uint32(max(v, 0)))
	case unix.SO_MARK:
		b.ops.SetMark(uint32(v))
	case syscall.SO_LINGER:
		return b.setLinger(value)
	case unix.SO_BINDTOIFINDEX:
		if v < 0 {
			return syscall.EINVAL
		}
		return b.bindToDevice(int32(v))
	case syscall.SO_RCVLOWAT:
		switch {
		case v < 0:
			v = math.MaxInt32
		case v == 0:
			v = 1
		}
		b.remember(syscall.SOL_SOCKET, name, v)
	case unix.SO_TIMESTAMPING_OLD, unix.SO_TIMESTAMPING_NEW:
		// Stamps of what is sent come through the error queue, which the stack does not feed with them.
		const sent = unix.SOF_TIMESTAMPING_TX_HARDWARE | unix.SOF_TIMESTAMPING_TX_SOFTWARE | unix.SOF_TIMESTAMPING_TX_SCHED | unix.SOF_TIMESTAMPING_TX_ACK
		if v&sent != 0 || v < 0 {
			return syscall.EINVAL
		}
		b.remember(syscall.SOL_SOCKET, unix.SO_TIMESTAMPING_OLD, v)
	case unix.SO_BSDCOMPAT, unix.SO_CNX_ADVICE:
	default:
		return b.setKept(syscall.SOL_SOCKET, name, v)
	}
	return 0
}

// setSendBuffer sets the size of the send buffer to twice n, which Linux does for its book-keeping.
func (b *base) setSendBuffer(n uint32) {
	b.ops.SetSendBufferSize(max(int64(min(n, math.MaxInt32/2))*2, minSendBuffer), true)
}

// setReceiveBuffer does the same for the receive buffer.
func (b *base) setReceiveBuffer(n uint32) {
	b.ops.SetReceiveBufferSize(max(int64(min(n, math.MaxInt32/2))*2, minReceiveBuffer), true)
}

// setLinger sets SO_LINGER, a struct linger.
func (b *base) setLinger(value []byte) syscall.Errno {
	if len(value) < 8 {
		return syscall.EINVAL
	}
	l := b.ops.GetLinger()
	if l.Enabled = binary.NativeEndian.Uint32(value) != 0; l.Enabled {
		l.Timeout = time.Duration(int32(binary.NativeEndian.Uint32(value[4:]))) * time.Second
	}
	b.ops.SetLinger(l)
	return 0
}

// getCookie writes a number that no other socket has.
func (b *base) getCookie(value []byte) (int, syscall.Errno) {
	if len(value) < 8 {
		return 0, syscall.EINVAL
	}
	b.settings.mu.Lock()
	defer b.settings.mu.Unlock()
	if b.settings.cookie == 0 {
		b.settings.cookie = cookies.Add(1)
	}
	binary.NativeEndian.PutUint64(value, b.settings.cookie)
	return 8, 0
}

// maxDeviceName is IFNAMSIZ, the zero byte included.
const maxDeviceName = 16

// setDevice binds the socket to the interface of a name, or to none if the name is empty.
func (b *base) setDevice(value []byte) syscall.Errno {
	name := unix.ByteSliceToString(value[:min(len(value), maxDeviceName-1)])
	if name == "" {
		return b.bindToDevice(0)
	}
	for id, info := range b.stack.NICInfo() {
		if info.Name == name {
			return b.bindToDevice(int32(id))
		}
	}
	return syscall.ENODEV
}

func (b *base) bindToDevice(index int32) syscall.Errno {
	if index != 0 && !b.stack.HasNIC(tcpip.NICID(index)) {
		return syscall.ENODEV
	}
	return errno(b.ops.SetBindToDevice(index))
}

// getDevice writes the name of the interface that the socket is bound to.
func (b *base) getDevice(value []byte) (int, syscall.Errno) {
	index := b.ops.GetBindToDevice()
	if index == 0 {
		return 0, 0
	}
	if len(value) < maxDeviceName {
		return 0, syscall.EINVAL
	}
	name := b.stack.FindNICNameFromID(tcpip.NICID(index))
	n := copy(value, name)
	value[n] = 0
	return n + 1, 0
}
