package inet

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/loopback"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/raw"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/goshawk-os/goshawk/net/socket"
)

// A machine has sockets: Linux itself, or a family over a stack.
type machine interface {
	socket(domain, kind, protocol int) (fd, syscall.Errno)
}

// An fd is a descriptor that does not wait.
type fd interface {
	bind(addr []byte) syscall.Errno
	listen(backlog int) syscall.Errno
	accept() (fd, []byte, syscall.Errno)
	connect(addr []byte) syscall.Errno
	shutdown(how int) syscall.Errno
	local() ([]byte, syscall.Errno)
	peer() ([]byte, syscall.Errno)
	read(p []byte) (int, syscall.Errno)
	write(p []byte) (int, syscall.Errno)
	receive(m *message, flags int) (int, syscall.Errno)
	send(m *message, flags int) (int, syscall.Errno)
	getOption(level, name, size int) ([]byte, syscall.Errno)
	setOption(level, name int, value []byte) syscall.Errno
	ioctl(request uint, arg unsafe.Pointer) syscall.Errno
	poll() uint32
	close()
}

// A message is a struct msghdr.
type message struct {
	data, name, control []byte
	flags               int
}

// linux is the host.
type linux struct{}

type linuxFD int

func call(n uintptr, a ...uintptr) (int, syscall.Errno) {
	var b [6]uintptr
	copy(b[:], a)
	r, _, e := syscall.Syscall6(n, b[0], b[1], b[2], b[3], b[4], b[5])
	if e != 0 {
		return 0, e
	}
	return int(r), 0
}

func address(p []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(p))) }

func (linux) socket(domain, kind, protocol int) (fd, syscall.Errno) {
	r, e := call(syscall.SYS_SOCKET, uintptr(domain), uintptr(kind|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC), uintptr(protocol))
	if e != 0 {
		return nil, e
	}
	return linuxFD(r), 0
}

func (f linuxFD) bind(addr []byte) syscall.Errno {
	_, e := call(syscall.SYS_BIND, uintptr(f), address(addr), uintptr(len(addr)))
	return e
}

func (f linuxFD) listen(backlog int) syscall.Errno {
	_, e := call(syscall.SYS_LISTEN, uintptr(f), uintptr(backlog))
	return e
}

func (f linuxFD) accept() (fd, []byte, syscall.Errno) {
	var addr [128]byte
	size := uint32(len(addr))
	r, e := call(syscall.SYS_ACCEPT4, uintptr(f), address(addr[:]), uintptr(unsafe.Pointer(&size)), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
	if e != 0 {
		return nil, nil, e
	}
	return linuxFD(r), addr[:size], 0
}

func (f linuxFD) connect(addr []byte) syscall.Errno {
	_, e := call(syscall.SYS_CONNECT, uintptr(f), address(addr), uintptr(len(addr)))
	return e
}

func (f linuxFD) shutdown(how int) syscall.Errno {
	_, e := call(syscall.SYS_SHUTDOWN, uintptr(f), uintptr(how))
	return e
}

func (f linuxFD) name(n uintptr) ([]byte, syscall.Errno) {
	var addr [128]byte
	size := uint32(len(addr))
	_, e := call(n, uintptr(f), address(addr[:]), uintptr(unsafe.Pointer(&size)))
	return addr[:size], e
}

func (f linuxFD) local() ([]byte, syscall.Errno) { return f.name(syscall.SYS_GETSOCKNAME) }
func (f linuxFD) peer() ([]byte, syscall.Errno)  { return f.name(syscall.SYS_GETPEERNAME) }

func (f linuxFD) read(p []byte) (int, syscall.Errno) {
	return call(syscall.SYS_READ, uintptr(f), address(p), uintptr(len(p)))
}

func (f linuxFD) write(p []byte) (int, syscall.Errno) {
	return call(syscall.SYS_SENDTO, uintptr(f), address(p), uintptr(len(p)), syscall.MSG_NOSIGNAL)
}

func (f linuxFD) message(n uintptr, m *message, flags int) (int, syscall.Errno) {
	iov := syscall.Iovec{Base: unsafe.SliceData(m.data), Len: uint64(len(m.data))}
	h := syscall.Msghdr{Name: unsafe.SliceData(m.name), Namelen: uint32(len(m.name)), Iov: &iov, Iovlen: 1,
		Control: unsafe.SliceData(m.control), Controllen: uint64(len(m.control))}
	r, e := call(n, uintptr(f), uintptr(unsafe.Pointer(&h)), uintptr(flags))
	m.name, m.control, m.flags = m.name[:min(int(h.Namelen), len(m.name))], m.control[:h.Controllen], int(h.Flags)
	return r, e
}

func (f linuxFD) receive(m *message, flags int) (int, syscall.Errno) {
	return f.message(syscall.SYS_RECVMSG, m, flags)
}

func (f linuxFD) send(m *message, flags int) (int, syscall.Errno) {
	return f.message(syscall.SYS_SENDMSG, m, flags|syscall.MSG_NOSIGNAL)
}

func (f linuxFD) getOption(level, name, size int) ([]byte, syscall.Errno) {
	value := make([]byte, max(size, 1))
	n := uint32(size)
	_, e := call(syscall.SYS_GETSOCKOPT, uintptr(f), uintptr(level), uintptr(name), address(value), uintptr(unsafe.Pointer(&n)))
	return value[:n], e
}

func (f linuxFD) setOption(level, name int, value []byte) syscall.Errno {
	_, e := call(syscall.SYS_SETSOCKOPT, uintptr(f), uintptr(level), uintptr(name), address(value), uintptr(len(value)))
	return e
}

func (f linuxFD) ioctl(request uint, arg unsafe.Pointer) syscall.Errno {
	_, e := call(syscall.SYS_IOCTL, uintptr(f), uintptr(request), uintptr(arg))
	return e
}

// polled are the events that both sides know.
const polled = socket.In | socket.Pri | socket.Out | socket.Err | socket.Hup | socket.RdHup

func (f linuxFD) poll() uint32 {
	p := []unix.PollFd{{Fd: int32(f), Events: polled}}
	if _, err := unix.Poll(p, 0); err != nil {
		panic(err)
	}
	return uint32(uint16(p[0].Revents)) & polled
}

func (f linuxFD) close() { syscall.Close(int(f)) }

// ours is a family over a stack.
type ours struct{ stack *stack.Stack }

type ourFD struct {
	socket.Socket
	mu    sync.Mutex
	edges uint32 // events notified since they were last looked at
}

func wrap(s socket.Socket) *ourFD {
	f := &ourFD{Socket: s}
	s.Watch(func(events uint32) {
		f.mu.Lock()
		f.edges |= events
		f.mu.Unlock()
	})
	return f
}

func (o ours) socket(domain, kind, protocol int) (fd, syscall.Errno) {
	s, e := New(o.stack, domain).Socket(kind, protocol)
	if e != 0 {
		return nil, e
	}
	return wrap(s), 0
}

func (f *ourFD) bind(addr []byte) syscall.Errno   { return f.Bind(addr) }
func (f *ourFD) listen(backlog int) syscall.Errno { return f.Listen(backlog) }
func (f *ourFD) accept() (fd, []byte, syscall.Errno) {
	var a socket.Address
	s, e := f.Accept(&a)
	if e != 0 {
		return nil, nil, e
	}
	return wrap(s), a.Bytes(), 0
}
func (f *ourFD) connect(addr []byte) syscall.Errno { return f.Connect(addr) }
func (f *ourFD) shutdown(how int) syscall.Errno    { return f.Shutdown(how) }
func (f *ourFD) local() ([]byte, syscall.Errno) {
	var a socket.Address
	e := f.LocalAddress(&a)
	return a.Bytes(), e
}
func (f *ourFD) peer() ([]byte, syscall.Errno) {
	var a socket.Address
	e := f.PeerAddress(&a)
	return a.Bytes(), e
}
func (f *ourFD) read(p []byte) (int, syscall.Errno)  { return f.Read(p) }
func (f *ourFD) write(p []byte) (int, syscall.Errno) { return f.Write(p) }
func (f *ourFD) receive(m *message, flags int) (int, syscall.Errno) {
	sm := socket.Message{Parts: [][]byte{m.data}, WantName: len(m.name) > 0, Control: m.control[:0]}
	n, e := f.Receive(&sm, flags)
	m.name = m.name[:copy(m.name, sm.Name.Bytes())]
	m.control, m.flags = sm.Control, sm.Flags
	return n, e
}
func (f *ourFD) send(m *message, flags int) (int, syscall.Errno) {
	sm := socket.Message{Parts: [][]byte{m.data}, Control: m.control}
	sm.Name.Set(m.name)
	return f.Send(&sm, flags)
}
func (f *ourFD) getOption(level, name, size int) ([]byte, syscall.Errno) {
	value := make([]byte, size)
	n, e := f.GetOption(level, name, value)
	if e != 0 {
		return value, e
	}
	return value[:n], e
}
func (f *ourFD) setOption(level, name int, value []byte) syscall.Errno {
	return f.SetOption(level, name, value)
}
func (f *ourFD) ioctl(request uint, arg unsafe.Pointer) syscall.Errno { return f.Ioctl(request, arg) }
func (f *ourFD) poll() uint32                                         { return f.Ready() & polled }
func (f *ourFD) close()                                               { f.Close() }

// newStack returns a stack with a loopback link, index 1, as the kernel makes it.
func newStack(t testing.TB) *stack.Stack {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocolCUBIC, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
		HandleLocal:        true, RawFactory: &raw.EndpointFactory{}, AllowPacketEndpointWrite: true,
	})
	require.Nil(t, s.SetPortRange(32768, 60999))
	sack, recovery, moderate := tcpip.TCPSACKEnabled(true), tcpip.TCPRACKLossDetection, tcpip.TCPModerateReceiveBufferOption(true)
	reuse := tcpip.TCPTimeWaitReuseGlobal
	for _, o := range []tcpip.SettableTransportProtocolOption{&sack, &recovery, &moderate, &reuse,
		&tcpip.TCPReceiveBufferSizeRangeOption{Min: 4096, Default: 131072, Max: 6 << 20},
		&tcpip.TCPSendBufferSizeRangeOption{Min: 4096, Default: 64 << 10, Max: 4 << 20}} {
		require.Nil(t, s.SetTransportProtocolOption(tcp.ProtocolNumber, o))
	}
	require.Nil(t, s.SetOption(tcpip.SendBufferSizeOption{Min: 4096, Default: 212992, Max: sysctl("wmem_max")}))
	require.Nil(t, s.SetOption(tcpip.ReceiveBufferSizeOption{Min: 4096, Default: 212992, Max: sysctl("rmem_max")}))
	require.Nil(t, s.CreateNICWithOptions(1, loopback.New(), stack.NICOptions{Name: "lo", DeliverLinkPackets: true}))
	for _, a := range []tcpip.ProtocolAddress{
		{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: tcpip.AddressWithPrefix{Address: header.IPv4Loopback, PrefixLen: 8}},
		{Protocol: ipv6.ProtocolNumber, AddressWithPrefix: tcpip.AddressWithPrefix{Address: header.IPv6Loopback, PrefixLen: 128}},
	} {
		require.Nil(t, s.AddProtocolAddress(1, a, stack.AddressProperties{}))
		s.AddRoute(tcpip.Route{Destination: a.AddressWithPrefix.Subnet(), NIC: 1})
	}
	t.Cleanup(s.Destroy)
	return s
}

// sysctl returns the value of net.core.name on the host.
func sysctl(name string) int {
	v := 212992
	if b, err := os.ReadFile("/proc/sys/net/core/" + name); err == nil {
		fmt.Sscan(string(b), &v)
	}
	return v
}

// sockaddr returns the struct sockaddr of an address with port, of a domain.
func sockaddr(domain int, text string) []byte {
	ap := netip.MustParseAddrPort(text)
	var b [sizeofSockaddr6]byte
	binary.NativeEndian.PutUint16(b[:], uint16(domain))
	binary.BigEndian.PutUint16(b[2:], ap.Port())
	if domain == syscall.AF_INET {
		a := ap.Addr().As4()
		copy(b[4:], a[:])
		return b[:sizeofSockaddr4]
	}
	a := ap.Addr().As16()
	copy(b[8:], a[:])
	if z := ap.Addr().Zone(); z != "" {
		var n uint32
		fmt.Sscan(z, &n)
		binary.NativeEndian.PutUint32(b[24:], n)
	}
	return b[:]
}

// port returns the port of a struct sockaddr.
func port(addr []byte) uint16 { return binary.BigEndian.Uint16(addr[2:]) }

// patience is how long what should happen may take.
const patience = 5 * time.Second

// eventually waits until f is true.
func eventually(f func() bool) bool {
	for end := time.Now().Add(patience); ; time.Sleep(200 * time.Microsecond) {
		if f() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}
