// Package socket is what the Linux personality expects of a protocol family: the personality turns
// system calls on descriptors into calls of a Socket, and waits where a Socket says EAGAIN.
//
// Addresses and options keep Linux's layout (struct sockaddr_*, setsockopt's values), because they
// are the program's own bytes: a family checks their length and reads them. Errors are Linux's
// numbers, 0 for none.
//
// Nothing here waits. A family pushes readiness (Socket.Watch), and the personality's descriptors,
// epoll, poll and the runtime's poller stand on it.
package socket

import (
	"syscall"
	"unsafe"
)

// A Family makes the sockets of one address family.
type Family interface {
	// Socket returns a new socket. kind is SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET or SOCK_RAW
	// without flags. Errors: EPROTONOSUPPORT for a protocol, ESOCKTNOSUPPORT for a kind that the
	// family does not have.
	Socket(kind, protocol int) (Socket, syscall.Errno)
}

// A PairFamily is a Family that socketpair knows.
type PairFamily interface {
	Pair(kind, protocol int) (a, b Socket, err syscall.Errno)
}

// Events, with the numbers of poll(2) and epoll(7).
const (
	In     = 0x1
	Pri    = 0x2
	Out    = 0x4
	Err    = 0x8
	Hup    = 0x10
	RdNorm = 0x40
	WrNorm = 0x100
	RdHup  = 0x2000
)

// A Socket is an open socket. Its methods may be called by several goroutines at once. None waits:
// what would is EAGAIN.
//
// Memory that a method is handed, Messages and Addresses included, belongs to the caller: a family
// copies what it keeps before it returns. It may lie on the caller's stack, which moves: a pointer to
// it may neither reach another goroutine nor be stored in the heap, not even for the time of the
// call. Closures and interface values that escape are in the heap.
type Socket interface {
	// Kind returns what getsockopt says of SO_DOMAIN, SO_TYPE and SO_PROTOCOL.
	Kind() (domain, kind, protocol int)

	Bind(addr []byte) syscall.Errno
	Listen(backlog int) syscall.Errno
	// Accept takes the first waiting connection: EAGAIN if there is none. peer may be nil.
	Accept(peer *Address) (Socket, syscall.Errno)
	// Connect starts to connect, or finishes it at once: EINPROGRESS, then EALREADY while it lasts.
	// It ends with Out and the result in SO_ERROR. With AF_UNSPEC it dissolves a datagram socket's
	// connection. A family whose queue is full answers EAGAIN.
	Connect(addr []byte) syscall.Errno
	// Shutdown ends the directions that how says: SHUT_RD, SHUT_WR or SHUT_RDWR.
	Shutdown(how int) syscall.Errno
	LocalAddress(*Address) syscall.Errno
	PeerAddress(*Address) syscall.Errno

	// Read and Write are read(2) and write(2): Receive and Send without addresses, control messages
	// and flags. Read returns 0 at the end of a stream. Write may take less than all of a stream's
	// bytes; EPIPE is returned as it is, the signal is the personality's.
	Read(p []byte) (int, syscall.Errno)
	Write(p []byte) (int, syscall.Errno)
	// Receive and Send are recvmsg(2) and sendmsg(2), with the MSG_ flags given; MSG_DONTWAIT,
	// MSG_WAITALL, MSG_NOSIGNAL and MSG_CMSG_CLOEXEC are the personality's. Receive's count is the
	// real length of a datagram with MSG_TRUNC.
	Receive(m *Message, flags int) (int, syscall.Errno)
	Send(m *Message, flags int) (int, syscall.Errno)

	// GetOption writes an option's value to value, cut to its length, and returns how many bytes it
	// wrote. SO_DOMAIN, SO_TYPE, SO_PROTOCOL, SO_RCVTIMEO and SO_SNDTIMEO are the personality's.
	GetOption(level, name int, value []byte) (int, syscall.Errno)
	SetOption(level, name int, value []byte) syscall.Errno
	// Ioctl carries out a request that is not the personality's own; arg may be nil. ENOTTY if
	// there is none of that number.
	Ioctl(request uint, arg unsafe.Pointer) syscall.Errno

	// Ready returns all events that are true now.
	Ready() uint32
	// Watch has notify called with the events that became true, each time some may have: after each
	// transition, and on arrival of more too. notify neither waits nor calls the socket, and may be
	// called with the family's locks held. Watch is called once, before any other goroutine knows
	// the socket.
	Watch(notify func(events uint32))
	// Close is called once, when the last descriptor is closed. Other methods may still be running.
	Close()
}

// A Numbered is a Socket that wants to know the number of its inode, which fstat(2), /proc/self/fd
// and /proc/net show. SetInode is called once, after Watch; a socket that was not accepted yet has 0.
type Numbered interface {
	SetInode(ino uint64)
}

// AddressSize is the size of struct sockaddr_storage, in which every address fits.
const AddressSize = 128

// An Address is a struct sockaddr_*. Length 0 says that there is none.
type Address struct {
	Length int // may exceed AddressSize: of an address that was cut
	Data   [AddressSize]byte
}

// Set makes a the address that p holds.
func (a *Address) Set(p []byte) { a.Length = len(p); copy(a.Data[:], p) }

// Bytes returns the address, nil if there is none.
func (a *Address) Bytes() []byte { return a.Data[:min(a.Length, AddressSize)] }

// A Message is what sendmsg and recvmsg move.
type Message struct {
	// Parts hold the data, or receive it: the caller's I/O vector.
	Parts [][]byte
	// Name is the destination of Send (Length 0: none) and the source after Receive.
	Name Address
	// WantName says that the caller of Receive has room for a name.
	WantName bool
	// Control holds control messages (struct cmsghdr, cmsg(3)) to send. Receive appends those that it
	// has as far as the capacity goes, and sets MSG_CTRUNC in Flags if that is too little.
	Control []byte
	// Files are the open files of SCM_RIGHTS. Send takes references over if it succeeds, Receive
	// hands them over. They are never in Control: the personality translates descriptors.
	Files []File
	// MaxFiles is how many Files the caller of Receive has room for.
	MaxFiles int
	// Flags are what recvmsg returns in msg_flags: MSG_TRUNC, MSG_CTRUNC, MSG_OOB, MSG_EOR,
	// MSG_ERRQUEUE.
	Flags int
}

// A File is an open file that travels in a message: a reference, given up by Close.
type File interface{ Close() error }

// families are the registered ones; a later registration wins. They are complete before the program
// runs.
var families [46]Family // AF_MAX is 46 (linux/socket.h)

// Register makes f the family of that number. It is called while the kernel starts.
func Register(family int, f Family) { families[family] = f }

// Lookup returns the family of that number, nil if there is none: EAFNOSUPPORT.
func Lookup(family int) Family {
	if uint(family) >= uint(len(families)) {
		return nil
	}
	return families[family]
}

// NotifyHost is called with a line for the machine's host when a socket starts to listen on an
// address of the network: "listen tcp 0.0.0.0:80". It is set once, while the kernel starts.
var NotifyHost = func(line string) {}

// AwaitNetwork is called when a bind, connect or send fails for want of an address or a route. While the
// machine is still being configured it waits for the end of that and returns true: try again. It is set
// once, while the kernel starts.
var AwaitNetwork = func() bool { return false }
