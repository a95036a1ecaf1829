package linux

import (
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/goshawk-os/goshawk/fs/vfs"
)

// Options of sockets that package syscall lacks (asm-generic/socket.h).
const (
	soProtocol          = 38
	soDomain            = 39
	soReceiveTimeoutNew = 66
	soSendTimeoutNew    = 67
)

func sysSetsockopt(s *socketFile, f *vfs.File, a *args) (uintptr, syscall.Errno) {
	if a.int(4) < 0 {
		return 0, syscall.EINVAL
	}
	value, err := memory(a.p[3], uintptr(a.int(4)))
	if err != 0 {
		return 0, err
	}
	level, name := a.int(1), a.int(2)
	if level == syscall.SOL_SOCKET {
		switch name {
		case syscall.SO_RCVTIMEO, soReceiveTimeoutNew:
			return 0, setTimeout(&s.receiveTimeout, value)
		case syscall.SO_SNDTIMEO, soSendTimeoutNew:
			return 0, setTimeout(&s.sendTimeout, value)
		case syscall.SO_TYPE, soProtocol, soDomain:
			return 0, syscall.ENOPROTOOPT
		}
	}
	return 0, s.socket.SetOption(level, name, value)
}

func sysGetsockopt(s *socketFile, f *vfs.File, a *args) (uintptr, syscall.Errno) {
	length := (*int32)(a.p[4])
	if length == nil {
		return 0, syscall.EFAULT
	}
	if *length < 0 {
		return 0, syscall.EINVAL
	}
	value, err := memory(a.p[3], uintptr(*length))
	if err != 0 {
		return 0, err
	}
	n, err := s.option(a.int(1), a.int(2), value)
	if err == 0 {
		*length = int32(n)
	}
	return 0, err
}

// option writes an option's value to value and returns how many bytes it wrote.
func (s *socketFile) option(level, name int, value []byte) (int, syscall.Errno) {
	if level == syscall.SOL_SOCKET {
		switch name {
		case syscall.SO_TYPE:
			return putInt(value, s.kind), 0
		case soProtocol:
			return putInt(value, s.protocol), 0
		case soDomain:
			return putInt(value, s.domain), 0
		case syscall.SO_RCVTIMEO, soReceiveTimeoutNew:
			return putTimeout(value, s.receiveTimeout.Load()), 0
		case syscall.SO_SNDTIMEO, soSendTimeoutNew:
			return putTimeout(value, s.sendTimeout.Load()), 0
		}
	}
	return s.socket.GetOption(level, name, value)
}

func putInt(value []byte, v int) int {
	word := int32(v)
	return copy(value, unsafe.Slice((*byte)(unsafe.Pointer(&word)), 4))
}

// putTimeout writes a timeout as struct timeval.
func putTimeout(value []byte, timeout int64) int {
	tv := syscall.NsecToTimeval(max(0, timeout))
	return copy(value, unsafe.Slice((*byte)(unsafe.Pointer(&tv)), unsafe.Sizeof(tv)))
}

// setTimeout sets a timeout to the struct timeval in value. A negative one does not wait at all.
func setTimeout(timeout *atomic.Int64, value []byte) syscall.Errno {
	var tv syscall.Timeval
	if len(value) < int(unsafe.Sizeof(tv)) {
		return syscall.EINVAL
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&tv)), unsafe.Sizeof(tv)), value)
	switch {
	case tv.Usec < 0 || tv.Usec >= 1e6:
		return syscall.EDOM
	case tv.Sec < 0:
		timeout.Store(-1)
	case tv.Sec > longestTimeout:
		timeout.Store(0)
	default:
		timeout.Store(tv.Nano())
	}
	return 0
}

// longestTimeout is how many seconds a timeout may last: a longer one is none.
const longestTimeout = 1 << 33
