package netlink

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// generic is the controller of NETLINK_GENERIC (Documentation/userspace-api/netlink/intro.rst of
// Linux), which knows no family but itself. A program that looks for another one is told ENOENT, as
// on a Linux without it.
func generic(r *request) syscall.Errno {
	h, ok := get[unix.Genlmsghdr](r.payload)
	if r.header.Type != unix.GENL_ID_CTRL {
		return syscall.ENOENT
	}
	if !ok {
		return syscall.EINVAL
	}
	if h.Cmd != unix.CTRL_CMD_GETFAMILY {
		return syscall.EOPNOTSUPP
	}
	if r.dumps() {
		return r.list(func(l *lister) syscall.Errno {
			l.next(unix.GENL_ID_CTRL)
			putController(&l.builder)
			l.end()
			return 0
		})
	}
	a := parse(r.payload[unix.GENL_HDRLEN:])
	id, _ := get[uint16](a[unix.CTRL_ATTR_FAMILY_ID])
	switch name := a.text(unix.CTRL_ATTR_FAMILY_NAME); {
	case id == 0 && name == "":
		return syscall.EINVAL
	case id != unix.GENL_ID_CTRL && name != controller:
		return syscall.ENOENT
	}
	r.reply(unix.GENL_ID_CTRL, putController)
	return 0
}

// controller is the name of the family of the controller.
const controller = "nlctrl"

// putController appends the description of the controller.
func putController(m *builder) {
	put(m, unix.Genlmsghdr{Cmd: unix.CTRL_CMD_NEWFAMILY, Version: 2})
	m.text(unix.CTRL_ATTR_FAMILY_NAME, controller)
	value(m, unix.CTRL_ATTR_FAMILY_ID, uint16(unix.GENL_ID_CTRL))
	m.u32(unix.CTRL_ATTR_VERSION, uint32(2))
	m.u32(unix.CTRL_ATTR_HDRSIZE, uint32(0))
	m.u32(unix.CTRL_ATTR_MAXATTR, uint32(unix.CTRL_ATTR_OP))
}
