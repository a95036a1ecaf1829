package linux

import (
	"syscall"
	"unsafe"

	"github.com/goshawk-os/goshawk/fs/vfs"
	"github.com/goshawk-os/goshawk/net/socket"
)

// kindMask is SOCK_TYPE_MASK: what is no flag in the type of a socket (linux/net.h).
const kindMask = 0xf

// maxBacklog is what listen cuts the backlog to (/proc/sys/net/core/somaxconn).
const maxBacklog = 4096

// socketKind splits the second argument of socket and socketpair.
func (a *args) socketKind() (kind, flags int, err syscall.Errno) {
	kind = a.int(1) & kindMask
	flags = a.int(1) &^ kindMask
	if flags&^(syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC) != 0 || kind > syscall.SOCK_PACKET {
		return 0, 0, syscall.EINVAL
	}
	return kind, flags, 0
}

// The flags have the numbers of those of open.
var _ = [1]struct{}{}[syscall.SOCK_NONBLOCK-syscall.O_NONBLOCK+syscall.SOCK_CLOEXEC-syscall.O_CLOEXEC]

// family returns the address family of argument 0.
func (a *args) family() (socket.Family, syscall.Errno) {
	f := socket.Lookup(a.int(0))
	if f == nil {
		space() // of a program that makes sockets before the kernel has started
		f = socket.Lookup(a.int(0))
	}
	if f == nil {
		return nil, syscall.EAFNOSUPPORT
	}
	return f, 0
}

func sysSocket(a args) (uintptr, syscall.Errno) {
	kind, flags, err := a.socketKind()
	if err != 0 {
		return 0, err
	}
	family, err := a.family()
	if err != 0 {
		return 0, err
	}
	s, err := family.Socket(kind, a.int(2))
	if err != 0 {
		return 0, err
	}
	return process.install(newSocketFile(s, flags), flags)
}

func sysSocketpair(a args) (uintptr, syscall.Errno) {
	kind, flags, err := a.socketKind()
	if err != 0 {
		return 0, err
	}
	fds, err := array[int32](a.p[3], 2)
	if err != 0 {
		return 0, err
	}
	family, err := a.family()
	if err != 0 {
		return 0, err
	}
	pair, ok := family.(socket.PairFamily)
	if !ok {
		return 0, syscall.EOPNOTSUPP
	}
	s, t, err := pair.Pair(kind, a.int(2))
	if err != 0 {
		return 0, err
	}
	first, second := newSocketFile(s, flags), newSocketFile(t, flags)
	one, err := process.install(first, flags)
	if err != 0 {
		second.Close()
		return 0, err
	}
	two, err := process.install(second, flags)
	if err != 0 {
		closeFD(int(one))
		return 0, err
	}
	fds[0], fds[1] = int32(one), int32(two)
	return 0, 0
}

// address returns the caller's socket address at argument i, whose length is argument i+1.
func (a *args) address(i int) ([]byte, syscall.Errno) {
	n := a.int(i + 1)
	if n < 0 || n > socket.AddressSize {
		return nil, syscall.EINVAL
	}
	return memory(a.p[i], uintptr(n))
}

// storeAddress stores address in the caller's memory at to, which has room for *length bytes, and its
// real length in *length.
func storeAddress(to, length unsafe.Pointer, address *socket.Address) syscall.Errno {
	n := (*int32)(length)
	if n == nil {
		return syscall.EFAULT
	}
	if *n < 0 {
		return syscall.EINVAL
	}
	out, err := memory(to, uintptr(min(int(*n), address.Length)))
	copy(out, address.Bytes())
	*n = int32(address.Length)
	return err
}

func sysBind(s *socketFile, f *vfs.File, a *args) (uintptr, syscall.Errno) {
	address, err := a.address(1)
	if err != 0 {
		return 0, err
	}
	err = s.socket.Bind(address)
	if configuring(err) {
		err = s.socket.Bind(address)
	}
	return 0, err
}

// configuring reports whether a call that ended with err should be tried again: it lacked an address or
// a route, and the machine was not configured yet when it was made. It waits until the machine is.
func configuring(err syscall.Errno) bool {
	switch err {
	case syscall.EADDRNOTAVAIL, syscall.ENETUNREACH, syscall.EHOSTUNREACH:
		return socket.AwaitNetwork()
	}
	return false
}

func sysListen(s *socketFile, f *vfs.File, a *args) (uintptr, syscall.Errno) {
	return 0, s.socket.Listen(int(min(a.uint32(1), maxBacklog)))
}

func sysConnect(s *socketFile, f *vfs.File, a *args) (uintptr, syscall.Errno) {
	address, err := a.address(1)
	if err != 0 {
		return 0, err
	}
	err = s.socket.Connect(address)
	if configuring(err) {
		err = s.socket.Connect(address)
	}
	switch {
	case nonblocking(f):
		return 0, err
	case err == syscall.EAGAIN:
		err = s.connectWaiting(address)
	}
	if err == syscall.EINPROGRESS || err == syscall.EALREADY {
		err = s.connected()
	}
	return 0, err
}

// connectWaiting goes on after a first connect that returned EAGAIN: it connects as soon as the peer's
// queue has room.
func (s *socketFile) connectWaiting(address []byte) syscall.Errno {
	var r retry
	err := syscall.EAGAIN
	for err == syscall.EAGAIN && r.again(s, writable, s.sendTimeout.Load()) {
		err = s.socket.Connect(address)
	}
	r.end(s)
	return err
}

// connected waits for the end of a connect and returns its error.
func (s *socketFile) connected() syscall.Errno {
	var r retry
	for s.socket.Ready()&(writable|always) == 0 {
		if !r.again(s, writable, s.sendTimeout.Load()) {
			r.end(s)
			return syscall.EINPROGRESS
		}
	}
	r.end(s)
	return s.pendingError()
}

// pendingError takes the error that SO_ERROR tells.
func (s *socketFile) pendingError() syscall.Errno {
	var value int32
	p := (*byte)(unsafe.Pointer(hidden(&value)))
	if _, err := s.socket.GetOption(syscall.SOL_SOCKET, syscall.SO_ERROR, unsafe.Slice(p, 4)); err != 0 {
		return err
	}
	return syscall.Errno(value)
}

func sysAccept(s *socketFile, f *vfs.File, a *args) (uintptr, syscall.Errno) {
	return accept(s, f, a, 0)
}

func sysAccept4(s *socketFile, f *vfs.File, a *args) (uintptr, syscall.Errno) {
	return accept(s, f, a, a.int(3))
}

// accept opens a descriptor before it takes a connection: without one the connection goes on waiting.
func accept(s *socketFile, f *vfs.File, a *args, flags int) (uintptr, syscall.Errno) {
	if flags&^(syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC) != 0 {
		return 0, syscall.EINVAL
	}
	fd, err := process.files.reserve(process.maxFD(), flags&syscall.SOCK_CLOEXEC != 0)
	if err != 0 {
		return 0, err
	}
	accepted, err := s.accept(a, f, flags)
	if err != 0 {
		process.files.cancel(fd)
		return 0, err
	}
	process.files.open(fd, accepted)
	return uintptr(fd), 0
}

// accept takes a connection and stores the peer's address where arguments 1 and 2 say.
func (s *socketFile) accept(a *args, f *vfs.File, flags int) (*vfs.File, syscall.Errno) {
	var address socket.Address
	var peer *socket.Address
	if a.p[1] != nil {
		peer = hidden(&address)
	}
	var r retry
	for {
		c, err := s.socket.Accept(peer)
		if err == syscall.EAGAIN && !nonblocking(f) {
			if s.socket.Ready()&peerClosed != 0 {
				err = syscall.EINVAL // shut down: nobody will come
			} else if r.again(s, readable, s.receiveTimeout.Load()) {
				continue
			}
		}
		r.end(s)
		if err != 0 {
			return nil, err
		}
		accepted := newSocketFile(c, flags)
		if s.domain != syscall.AF_UNIX {
			o := accepted.Handle().(*socketFile)
			o.receiveTimeout.Store(s.receiveTimeout.Load())
			o.sendTimeout.Store(s.sendTimeout.Load())
		}
		if peer != nil {
			if err := storeAddress(a.p[1], a.p[2], &address); err != 0 {
				accepted.Close()
				return nil, err
			}
		}
		return accepted, 0
	}
}

// name stores the address that get finds where arguments 1 and 2 say.
func name(a *args, get func(*socket.Address) syscall.Errno) (uintptr, syscall.Errno) {
	var address socket.Address
	if err := get(hidden(&address)); err != 0 {
		return 0, err
	}
	return 0, storeAddress(a.p[1], a.p[2], &address)
}

func sysGetsockname(s *socketFile, f *vfs.File, a *args) (uintptr, syscall.Errno) {
	return name(a, s.socket.LocalAddress)
}

func sysGetpeername(s *socketFile, f *vfs.File, a *args) (uintptr, syscall.Errno) {
	return name(a, s.socket.PeerAddress)
}

func sysShutdown(s *socketFile, f *vfs.File, a *args) (uintptr, syscall.Errno) {
	how := a.int(1)
	if how < syscall.SHUT_RD || how > syscall.SHUT_RDWR {
		return 0, syscall.EINVAL
	}
	return 0, s.socket.Shutdown(how)
}
