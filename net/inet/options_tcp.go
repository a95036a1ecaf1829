package inet

import (
	"math"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// GetOption implements socket.Socket.
func (t *stream) GetOption(level, name int, value []byte) (int, syscall.Errno) {
	e := t.endpoint.Load()
	switch level {
	case syscall.SOL_SOCKET:
		if name == syscall.SO_ERROR {
			return putInt(value, int(t.takeError(e))), 0
		}
		if name == unix.SO_PEERNAME {
			return t.peerName(value)
		}
		return t.getSocketOption(name, value)
	case syscall.IPPROTO_TCP:
		return t.getTCP(e, name, value)
	case syscall.IPPROTO_IP:
		return inet4Level{base: &t.base, e: e}.get(name, value)
	case syscall.IPPROTO_IPV6:
		if t.domain == syscall.AF_INET6 {
			return inet6Level{base: &t.base, e: e}.get(name, value)
		}
	}
	return 0, t.noLevel()
}

// noLevel returns what getsockopt says of a level that a socket does not have.
func (b *base) noLevel() syscall.Errno {
	if b.domain == syscall.AF_INET {
		return syscall.EOPNOTSUPP
	}
	return syscall.ENOPROTOOPT
}

// SetOption implements socket.Socket.
func (t *stream) SetOption(level, name int, value []byte) syscall.Errno {
	e := t.endpoint.Load()
	err := syscall.ENOPROTOOPT
	switch level {
	case syscall.SOL_SOCKET:
		err = t.setSocketOption(name, value)
	case syscall.IPPROTO_TCP:
		err = t.setTCP(e, name, value)
	case syscall.IPPROTO_IP:
		err = inet4Level{base: &t.base, e: e}.set(name, value)
	case syscall.IPPROTO_IPV6:
		if t.domain == syscall.AF_INET6 {
			err = inet6Level{base: &t.base, e: e}.set(name, value)
		}
	}
	if err == 0 {
		t.noteInherited(level, name)
	}
	return err
}

// getTCP carries out getsockopt for level IPPROTO_TCP (tcp(7)).
func (t *stream) getTCP(e *tcp.Endpoint, name int, value []byte) (int, syscall.Errno) {
	switch name {
	case syscall.TCP_NODELAY:
		return putBool(value, !t.ops.GetDelayOption()), 0
	case syscall.TCP_CORK:
		return putBool(value, t.ops.GetCorkOption()), 0
	case syscall.TCP_QUICKACK:
		return putBool(value, t.ops.GetQuickAck()), 0
	case syscall.TCP_MAXSEG:
		return getEndpointInt(e, tcpip.MaxSegOption, value)
	case syscall.TCP_KEEPIDLE:
		var o tcpip.KeepaliveIdleOption
		err := e.GetSockOpt(&o)
		return putInt(value, int(time.Duration(o)/time.Second)), errno(err)
	case syscall.TCP_KEEPINTVL:
		var o tcpip.KeepaliveIntervalOption
		err := e.GetSockOpt(&o)
		return putInt(value, int(time.Duration(o)/time.Second)), errno(err)
	case syscall.TCP_KEEPCNT:
		return getEndpointInt(e, tcpip.KeepaliveCountOption, value)
	case unix.TCP_USER_TIMEOUT:
		var o tcpip.TCPUserTimeoutOption
		err := e.GetSockOpt(&o)
		return putInt(value, int(time.Duration(o)/time.Millisecond)), errno(err)
	case syscall.TCP_SYNCNT:
		return getEndpointInt(e, tcpip.TCPSynCountOption, value)
	case syscall.TCP_LINGER2:
		var o tcpip.TCPLingerTimeoutOption
		err := e.GetSockOpt(&o)
		v := -1
		if o >= 0 {
			v = int(time.Duration(o) / time.Second)
		}
		return putInt(value, v), errno(err)
	case syscall.TCP_DEFER_ACCEPT, syscall.TCP_WINDOW_CLAMP:
		return putInt(value, t.remembered(syscall.IPPROTO_TCP, name, 0)), 0
	case syscall.TCP_CONGESTION:
		var o tcpip.CongestionControlOption
		if err := e.GetSockOpt(&o); err != nil {
			return 0, errno(err)
		}
		var b [maxCongestionName]byte
		copy(b[:], o)
		return copy(value, b[:]), 0
	case syscall.TCP_INFO:
		return t.info(e, value), 0
	case unix.TCP_CC_INFO, unix.TCP_SAVED_SYN, unix.TCP_ULP:
		return 0, 0
	case unix.TCP_TIMESTAMP:
		return putInt(value, int(uint32(time.Now().UnixMilli()))), 0
	case unix.TCP_FASTOPEN:
		return putInt(value, min(t.remembered(levelTCP, name, 0), maxBacklog)), 0
	case unix.TCP_THIN_DUPACK, unix.TCP_REPAIR:
		return putInt(value, 0), 0
	}
	return t.getKept(levelTCP, name, value)
}

// maxCongestionName is TCP_CA_NAME_MAX (net/tcp.h).
const maxCongestionName = 16

// Bounds of keep-alive options (net/tcp.h), in seconds and probes.
const (
	maxKeepIdle     = 32767
	maxKeepInterval = 32767
	maxKeepCount    = 127
	maxSynCount     = 127
	maxLinger2      = 120
)

// setTCP carries out setsockopt for level IPPROTO_TCP.
func (t *stream) setTCP(e *tcp.Endpoint, name int, value []byte) syscall.Errno {
	switch name {
	case syscall.TCP_CONGESTION:
		if len(value) == 0 {
			return syscall.EINVAL
		}
		o := tcpip.CongestionControlOption(unix.ByteSliceToString(value[:min(len(value), maxCongestionName-1)]))
		return errno(e.SetSockOpt(&o))
	case unix.TCP_ULP:
		return syscall.ENOENT
	case unix.TCP_REPAIR:
		return syscall.EPERM
	}
	v, err := getInt(value)
	if err != 0 {
		return err
	}
	on := v != 0
	switch name {
	case syscall.TCP_NODELAY:
		t.ops.SetDelayOption(!on)
	case syscall.TCP_CORK:
		t.ops.SetCorkOption(on)
	case syscall.TCP_QUICKACK:
		t.ops.SetQuickAck(on)
	case syscall.TCP_MAXSEG:
		const least, most = 88, 32767 // TCP_MIN_MSS, MAX_TCP_WINDOW
		if v != 0 && (v < least || v > most) {
			return syscall.EINVAL
		}
		if v == 0 {
			return 0
		}
		return setEndpointInt(e, tcpip.MaxSegOption, v)
	case syscall.TCP_KEEPIDLE:
		if v < 1 || v > maxKeepIdle {
			return syscall.EINVAL
		}
		o := tcpip.KeepaliveIdleOption(time.Duration(v) * time.Second)
		return errno(e.SetSockOpt(&o))
	case syscall.TCP_KEEPINTVL:
		if v < 1 || v > maxKeepInterval {
			return syscall.EINVAL
		}
		o := tcpip.KeepaliveIntervalOption(time.Duration(v) * time.Second)
		return errno(e.SetSockOpt(&o))
	case syscall.TCP_KEEPCNT:
		if v < 1 || v > maxKeepCount {
			return syscall.EINVAL
		}
		return setEndpointInt(e, tcpip.KeepaliveCountOption, v)
	case unix.TCP_USER_TIMEOUT:
		if v < 0 {
			return syscall.EINVAL
		}
		o := tcpip.TCPUserTimeoutOption(time.Duration(v) * time.Millisecond)
		return errno(e.SetSockOpt(&o))
	case syscall.TCP_SYNCNT:
		if v < 1 || v > maxSynCount {
			return syscall.EINVAL
		}
		return setEndpointInt(e, tcpip.TCPSynCountOption, v)
	case syscall.TCP_LINGER2:
		o := tcpip.TCPLingerTimeoutOption(time.Duration(min(v, maxLinger2)) * time.Second)
		return errno(e.SetSockOpt(&o))
	case syscall.TCP_DEFER_ACCEPT:
		o := tcpip.TCPDeferAcceptOption(deferred(v))
		t.remember(levelTCP, name, int(time.Duration(o)/time.Second))
		return errno(e.SetSockOpt(&o))
	case syscall.TCP_WINDOW_CLAMP:
		if v == 0 && !idle(e) {
			return syscall.EINVAL
		}
		if v != 0 {
			v = max(v, minReceiveBuffer/2)
		}
		t.remember(syscall.IPPROTO_TCP, name, v)
		return setEndpointInt(e, tcpip.TCPWindowClampOption, v)
	case unix.TCP_FASTOPEN:
		if v < 0 || !idle(e) && e.EndpointState() != tcp.StateListen {
			return syscall.EINVAL
		}
		t.remember(syscall.IPPROTO_TCP, name, v)
	case unix.TCP_FASTOPEN_CONNECT, unix.TCP_FASTOPEN_NO_COOKIE:
		if !idle(e) {
			return syscall.EINVAL
		}
		return t.setKept(levelTCP, name, v)
	case unix.TCP_THIN_DUPACK:
		if v < 0 || v > 1 {
			return syscall.EINVAL
		}
	default:
		return t.setKept(levelTCP, name, v)
	}
	return 0
}

// idle reports whether e was neither connected nor set to listen.
func idle(e *tcp.Endpoint) bool {
	switch e.EndpointState() {
	case tcp.StateInitial, tcp.StateBound, tcp.StateClose, tcp.StateError:
		return true
	}
	return false
}

// deferred returns what Linux makes of TCP_DEFER_ACCEPT's seconds: the time that a number of
// retransmissions takes, each twice as long as the one before.
func deferred(seconds int) time.Duration {
	const longest = 120
	period, timeout := 0, 1
	for n := 0; period < seconds && n < math.MaxUint8; n++ {
		period += timeout
		timeout = min(timeout*2, longest)
	}
	return time.Duration(period) * time.Second
}

// inheritedOptions are what a connection has from its listener.
var inheritedOptions = [...]option{
	{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE}, {syscall.SOL_SOCKET, syscall.SO_LINGER},
	{syscall.SOL_SOCKET, syscall.SO_SNDBUF}, {syscall.SOL_SOCKET, syscall.SO_RCVBUF},
	{syscall.SOL_SOCKET, syscall.SO_BROADCAST}, {syscall.SOL_SOCKET, syscall.SO_OOBINLINE},
	{syscall.SOL_SOCKET, syscall.SO_DONTROUTE}, {syscall.SOL_SOCKET, syscall.SO_RCVLOWAT},
	{syscall.IPPROTO_TCP, syscall.TCP_NODELAY}, {syscall.IPPROTO_TCP, syscall.TCP_CORK},
	{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE}, {syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL}, {syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT},
	{syscall.IPPROTO_TCP, unix.TCP_USER_TIMEOUT}, {syscall.IPPROTO_TCP, syscall.TCP_CONGESTION}, {syscall.IPPROTO_TCP, syscall.TCP_LINGER2},
	{syscall.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT}, {syscall.IPPROTO_TCP, syscall.TCP_WINDOW_CLAMP},
	{syscall.IPPROTO_IP, syscall.IP_TOS}, {syscall.IPPROTO_IP, syscall.IP_TTL}, {syscall.IPPROTO_IP, syscall.IP_MTU_DISCOVER},
	{syscall.IPPROTO_IP, syscall.IP_RECVERR},
	{syscall.IPPROTO_IPV6, unix.IPV6_TCLASS}, {syscall.IPPROTO_IPV6, syscall.IPV6_UNICAST_HOPS},
	{syscall.IPPROTO_IPV6, syscall.IPV6_RECVERR}, {syscall.IPPROTO_IPV6, syscall.IPV6_MTU_DISCOVER},
}

// A new socket needs these as well when it takes the place of another.
var keptOptions = [...]option{
	{syscall.SOL_SOCKET, syscall.SO_REUSEADDR}, {syscall.SOL_SOCKET, unix.SO_REUSEPORT}, {syscall.SOL_SOCKET, unix.SO_MARK},
	{syscall.SOL_SOCKET, unix.SO_BINDTOIFINDEX}, {syscall.IPPROTO_IPV6, syscall.IPV6_V6ONLY},
	{syscall.IPPROTO_TCP, syscall.TCP_SYNCNT}, {syscall.IPPROTO_TCP, syscall.TCP_DEFER_ACCEPT},
}

// noteInherited notes that an option was set.
func (t *stream) noteInherited(level, name int) {
	for i, o := range inheritedOptions {
		if o == (option{int32(level), int32(name)}) {
			t.inherited.Or(1 << i)
			return
		}
	}
}

// inherit sets the options of the listener from, those whose bits are set.
func (t *stream) inherit(from *stream, set uint32) {
	for i, o := range inheritedOptions {
		if set&(1<<i) != 0 {
			copyOption(t, from, o)
		}
	}
}

// copyOption sets an option of to as it is set at from.
func copyOption(to, from *stream, o option) {
	var value [maxCongestionName]byte
	n, err := from.GetOption(int(o.level), int(o.name), value[:])
	if err != 0 {
		return
	}
	if o.level == syscall.SOL_SOCKET && (o.name == syscall.SO_SNDBUF || o.name == syscall.SO_RCVBUF) {
		v, _ := getInt(value[:n])
		putInt(value[:], v/2) // which is doubled again
	}
	_ = to.SetOption(int(o.level), int(o.name), value[:n])
}

// copyOptions makes e, which is to take the place of t's endpoint, have its options.
func (t *stream) copyOptions(e *tcp.Endpoint) {
	n := &stream{base: base{stack: t.stack, domain: t.domain, kind: t.kind, protocol: t.protocol}}
	n.use(e)
	n.inherit(t, t.inherited.Load())
	for _, o := range keptOptions {
		copyOption(n, t, o)
	}
}

// peerName writes the address of the peer: SO_PEERNAME.
func (t *stream) peerName(value []byte) (int, syscall.Errno) {
	a, err := t.endpoint.Load().GetRemoteAddress()
	if err != nil {
		return 0, errno(err)
	}
	return putAddress(value, int(t.domain), &a)
}
