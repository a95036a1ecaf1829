package netlink

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// minBuffer is the smallest size of a socket's buffer (SOCK_MIN_RCVBUF).
const minBuffer = 2304

// option reports whether an option of SOL_NETLINK is on.
func (c *conn) option(name int) bool { return c.flags.Load()>>name&1 != 0 }

// GetOption implements socket.Socket.
func (c *conn) GetOption(level, name int, value []byte) (int, syscall.Errno) {
	v := int32(0)
	switch level {
	case unix.SOL_NETLINK:
		switch name {
		case unix.NETLINK_LIST_MEMBERSHIPS:
			groups := c.groups.Load()
			return copy(value, (*[8]byte)(unsafe.Pointer(&groups))[:(c.bus.groups+31)/32*4]), 0
		case unix.NETLINK_PKTINFO, unix.NETLINK_BROADCAST_ERROR, unix.NETLINK_NO_ENOBUFS, unix.NETLINK_CAP_ACK,
			unix.NETLINK_EXT_ACK, unix.NETLINK_GET_STRICT_CHK:
			v = int32(c.flags.Load() >> name & 1)
		default:
			return 0, syscall.ENOPROTOOPT
		}
		if len(value) < 4 {
			return 0, syscall.EINVAL
		}
	case syscall.SOL_SOCKET:
		c.mu.Lock()
		defer c.mu.Unlock()
		switch name {
		case syscall.SO_RCVBUF:
			v = int32(c.receive)
		case syscall.SO_SNDBUF:
			v = int32(c.send)
		case syscall.SO_ERROR:
			v, c.problem = int32(c.problem), 0
		case syscall.SO_PASSCRED:
			if c.pass.Load() {
				v = 1
			}
		case syscall.SO_ACCEPTCONN:
		default:
			return 0, syscall.ENOPROTOOPT
		}
	default:
		return 0, syscall.ENOPROTOOPT
	}
	return copy(value, (*[4]byte)(unsafe.Pointer(&v))[:]), 0
}

// SetOption implements socket.Socket.
func (c *conn) SetOption(level, name int, value []byte) syscall.Errno {
	v, ok := get[int32](value)
	switch level {
	case unix.SOL_NETLINK:
		if !ok {
			return syscall.EINVAL
		}
		return c.setNetlink(name, v)
	case syscall.SOL_SOCKET:
		if !ok {
			return syscall.EINVAL
		}
		return c.setSocket(name, int(v))
	}
	return syscall.ENOPROTOOPT
}

func (c *conn) setNetlink(name int, v int32) syscall.Errno {
	switch name {
	case unix.NETLINK_ADD_MEMBERSHIP, unix.NETLINK_DROP_MEMBERSHIP:
		if v <= 0 || int(v) > c.bus.groups {
			return syscall.EINVAL
		}
		if bit := uint64(1) << (v - 1); name == unix.NETLINK_ADD_MEMBERSHIP {
			c.bus.join(c, 0, bit)
		} else {
			c.bus.join(c, bit, 0)
		}
	case unix.NETLINK_PKTINFO, unix.NETLINK_BROADCAST_ERROR, unix.NETLINK_NO_ENOBUFS, unix.NETLINK_CAP_ACK,
		unix.NETLINK_EXT_ACK, unix.NETLINK_GET_STRICT_CHK:
		if v != 0 {
			c.flags.Or(1 << name)
		} else {
			c.flags.And(^uint32(1 << name))
		}
	case unix.NETLINK_LISTEN_ALL_NSID: // there is one network namespace
	default:
		return syscall.ENOPROTOOPT
	}
	return 0
}

func (c *conn) setSocket(name, v int) syscall.Errno {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch name {
	case syscall.SO_RCVBUF:
		c.receive = max(2*min(v, maxBuffer), minBuffer)
	case syscall.SO_RCVBUFFORCE:
		c.receive = max(2*v, minBuffer)
	case syscall.SO_SNDBUF:
		c.send = max(2*min(v, maxBuffer), 2*minBuffer)
	case syscall.SO_SNDBUFFORCE:
		c.send = max(2*v, 2*minBuffer)
	case syscall.SO_PASSCRED:
		c.pass.Store(v != 0)
	case syscall.SO_REUSEADDR, syscall.SO_PRIORITY, syscall.SO_MARK: // have no effect here
	default:
		return syscall.ENOPROTOOPT
	}
	return 0
}
