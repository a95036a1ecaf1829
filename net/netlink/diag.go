package netlink

import (
	"encoding/binary"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/goshawk-os/goshawk/net/netlink/inventory"
)

// socketID is struct inet_diag_sockid of linux/inet_diag.h. Ports and addresses are in network order.
type socketID struct {
	sourcePort, destinationPort [2]byte
	source, destination         [16]byte
	link                        uint32
	cookie                      [2]uint32
}

// diagRequest is struct inet_diag_req_v2.
type diagRequest struct {
	family, protocol, extensions, _ uint8
	states                          uint32
	id                              socketID
}

// diagMessage is struct inet_diag_msg.
type diagMessage struct {
	family, state uint8
	_             [2]uint8 // timer, retransmissions
	id            socketID
	_             uint32 // when the timer expires
	receive, send uint32
	_             uint32 // owner
	inode         uint32
}

const (
	diagShutdown = 8          // INET_DIAG_SHUTDOWN
	noCookie     = ^uint32(0) // INET_DIAG_NOCOOKIE
	allStates    = ^uint32(0)
)

// diagnose answers requests of NETLINK_SOCK_DIAG (sock_diag(7)) for sockets of TCP and UDP.
func (f *Family) diagnose(r *request) syscall.Errno {
	if r.header.Type != unix.SOCK_DIAG_BY_FAMILY {
		return syscall.EINVAL
	}
	ask, ok := get[diagRequest](r.payload)
	if len(r.payload) < 2 || ok && ask.family != syscall.AF_INET && ask.family != syscall.AF_INET6 {
		return syscall.ENOENT
	}
	if !ok {
		return syscall.EINVAL
	}
	if ask.protocol != syscall.IPPROTO_TCP && ask.protocol != syscall.IPPROTO_UDP {
		return syscall.ENOENT
	}
	sockets := inventory.List(f.stack.Stack, f.Sockets, int(ask.family), int(ask.protocol))
	if r.dumps() {
		return r.list(func(l *lister) syscall.Errno {
			for _, s := range sockets {
				id := idOf(&s)
				if ask.states>>s.State&1 == 0 ||
					ask.id.sourcePort != [2]byte{} && ask.id.sourcePort != id.sourcePort ||
					ask.id.destinationPort != [2]byte{} && ask.id.destinationPort != id.destinationPort {
					continue
				}
				l.next(unix.SOCK_DIAG_BY_FAMILY)
				putSocket(&l.builder, &s, ask.extensions)
				l.end()
			}
			return 0
		})
	}
	ask.id.cookie = [2]uint32{noCookie, noCookie}
	listening := -1
	for i, s := range sockets {
		id := idOf(&s)
		id.cookie = ask.id.cookie
		if id.link == 0 {
			id.link = ask.id.link
		}
		if id == ask.id {
			r.reply(unix.SOCK_DIAG_BY_FAMILY, func(m *builder) { putSocket(m, &sockets[i], ask.extensions) })
			return 0
		}
		if s.State == inventory.Listening && id.sourcePort == ask.id.sourcePort && (id.source == ask.id.source || id.source == [16]byte{}) {
			listening = i
		}
	}
	if listening < 0 {
		return syscall.ENOENT
	}
	r.reply(unix.SOCK_DIAG_BY_FAMILY, func(m *builder) { putSocket(m, &sockets[listening], ask.extensions) })
	return 0
}

func idOf(s *inventory.Socket) socketID {
	id := socketID{source: s.Local.IP, destination: s.Remote.IP, link: uint32(s.Device), cookie: [2]uint32{uint32(s.Inode), uint32(s.Inode >> 32)}}
	binary.BigEndian.PutUint16(id.sourcePort[:], s.Local.Port)
	binary.BigEndian.PutUint16(id.destinationPort[:], s.Remote.Port)
	return id
}

func putSocket(m *builder, s *inventory.Socket, extensions uint8) {
	put(m, diagMessage{
		family: uint8(s.Domain), state: s.State, id: idOf(s), receive: s.RxQueue, send: s.TxQueue, inode: uint32(s.Inode),
	})
	if extensions>>(diagShutdown-1)&1 != 0 {
		m.u8(diagShutdown, uint8(0))
	}
}
