package unix

import (
	"math"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/goshawk-os/goshawk/net/socket"
)

// Options that package syscall lacks (asm-generic/socket.h) and requests of ioctl (linux/sockios.h).
const (
	soReusePort          = 15
	soSendBufferForce    = 32
	soReceiveBufferForce = 33

	siocInQueue  = 0x541b // SIOCINQ
	siocOutQueue = 0x5411 // SIOCOUTQ
)

// options are a socket's options.
type options struct {
	sendBuffer, receiveBuffer atomic.Int64 // SO_SNDBUF, SO_RCVBUF
	passCredentials           atomic.Bool  // SO_PASSCRED
	flags                     atomic.Uint32
	lowWater                  atomic.Int32 // SO_RCVLOWAT, 0 for the default
	linger                    atomic.Uint64
	priority                  atomic.Int32
}

// flagOptions are options that are on or off and change nothing. The index is the bit in options.flags.
var flagOptions = [...]int{
	syscall.SO_DEBUG, syscall.SO_REUSEADDR, syscall.SO_DONTROUTE, syscall.SO_BROADCAST, syscall.SO_KEEPALIVE,
	syscall.SO_OOBINLINE,
}

func flagOption(name int) (bit uint32, ok bool) {
	for i, o := range flagOptions {
		if o == name {
			return 1 << i, true
		}
	}
	return 0, false
}

// put copies n bytes at v to value and returns how many it has copied.
func put(value []byte, v unsafe.Pointer, n uintptr) (int, syscall.Errno) {
	return copy(value, unsafe.Slice((*byte)(v), n)), 0
}

func toInt(on bool) int32 {
	if on {
		return 1
	}
	return 0
}

// GetOption implements socket.Socket.
func (s *Socket) GetOption(level, name int, value []byte) (int, syscall.Errno) {
	if level != syscall.SOL_SOCKET {
		return 0, syscall.EOPNOTSUPP
	}
	var v int32
	switch name {
	case syscall.SO_ERROR:
		v = int32(s.takeFailure())
	case syscall.SO_SNDBUF:
		v = int32(s.sendBuffer.Load())
	case syscall.SO_RCVBUF:
		v = int32(s.receiveBuffer.Load())
	case syscall.SO_RCVLOWAT:
		v = max(1, s.lowWater.Load())
	case syscall.SO_SNDLOWAT:
		v = 1
	case syscall.SO_PRIORITY:
		v = s.priority.Load()
	case syscall.SO_LINGER:
		linger := s.linger.Load()
		return put(value, unsafe.Pointer(&linger), unsafe.Sizeof(linger))
	case syscall.SO_PASSCRED:
		v = toInt(s.passCredentials.Load())
	case soReusePort:
	case syscall.SO_ACCEPTCONN:
		unix.mu.Lock()
		v = toInt(s.listening)
		unix.mu.Unlock()
	case syscall.SO_PEERCRED:
		unix.mu.Lock()
		c := s.peerCredentials
		unix.mu.Unlock()
		return put(value, unsafe.Pointer(&c), unsafe.Sizeof(c))
	default:
		bit, ok := flagOption(name)
		if !ok {
			return 0, syscall.ENOPROTOOPT
		}
		v = toInt(s.flags.Load()&bit != 0)
	}
	return put(value, unsafe.Pointer(&v), unsafe.Sizeof(v))
}

// SetOption implements socket.Socket.
func (s *Socket) SetOption(level, name int, value []byte) syscall.Errno {
	if level != syscall.SOL_SOCKET {
		return syscall.EOPNOTSUPP
	}
	if len(value) < 4 {
		return syscall.EINVAL
	}
	v := *(*int32)(unsafe.Pointer(&value[0]))
	if bit, ok := flagOption(name); ok {
		if v != 0 {
			s.flags.Or(bit)
		} else {
			s.flags.And(^bit)
		}
		return 0
	}
	switch name {
	case syscall.SO_SNDBUF:
		s.setSendBuffer(max(minSendBuffer, min(bufferSize(uint32(v)), maxBuffer)))
	case soSendBufferForce:
		s.setSendBuffer(max(minSendBuffer, bufferSize(uint32(max(v, 0)))))
	case syscall.SO_RCVBUF:
		s.receiveBuffer.Store(max(minReceiveBuffer, min(bufferSize(uint32(v)), maxBuffer)))
	case soReceiveBufferForce:
		s.receiveBuffer.Store(max(minReceiveBuffer, bufferSize(uint32(max(v, 0)))))
	case syscall.SO_RCVLOWAT:
		if v < 0 {
			v = math.MaxInt32
		}
		s.lowWater.Store(max(1, v))
	case syscall.SO_PRIORITY:
		s.priority.Store(v)
	case syscall.SO_LINGER:
		if len(value) < 8 {
			return syscall.EINVAL
		}
		s.linger.Store(*(*uint64)(unsafe.Pointer(&value[0])))
	case syscall.SO_PASSCRED:
		s.passCredentials.Store(v != 0)
	case soReusePort:
		if v != 0 {
			return syscall.EOPNOTSUPP
		}
	default:
		return syscall.ENOPROTOOPT
	}
	return 0
}

// bufferSize returns what a buffer of v bytes counts: twice that, for book-keeping (socket(7)).
func bufferSize(v uint32) int64 { return 2 * int64(min(v, math.MaxInt32/2)) }

func (s *Socket) setSendBuffer(n int64) {
	s.sendBuffer.Store(n)
	if s.hasRoom() {
		s.tell(writable)
	}
}

// Ioctl implements socket.Socket.
func (s *Socket) Ioctl(request uint, arg unsafe.Pointer) syscall.Errno {
	n := 0
	switch request {
	case siocInQueue:
		unix.mu.Lock()
		listening := s.listening
		unix.mu.Unlock()
		if listening {
			return syscall.EINVAL
		}
		n = s.in.pending(s.kind)
	case siocOutQueue:
		n = int(s.queued.Load())
	default:
		return syscall.ENOTTY
	}
	if arg == nil {
		return syscall.EFAULT
	}
	*(*int32)(arg) = int32(n)
	return 0
}

// pending returns how many bytes can be received: of datagrams those of the first.
func (q *queue) pending(kind int) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case kind == syscall.SOCK_STREAM:
		return q.length
	case kind == syscall.SOCK_SEQPACKET:
		return q.bytes
	case q.first != nil:
		return len(q.first.data)
	}
	return 0
}

var _ socket.Socket = (*Socket)(nil)
