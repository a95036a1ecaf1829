package unix

import (
	"strings"
	"syscall"
	"unsafe"

	"github.com/goshawk-os/goshawk/fs/vfs"
	"github.com/goshawk-os/goshawk/net/socket"
)

const (
	nameOffset  = 2                          // of sun_path in struct sockaddr_un
	addressSize = syscall.SizeofSockaddrUnix // of struct sockaddr_un
	maxName     = addressSize - nameOffset   // bytes in sun_path
	autobindMax = 1 << 20                    // names that autobind makes: five hexadecimal digits
	digits      = "0123456789abcdef"
)

// addressFamily returns the first field of a socket address that has one.
func addressFamily(addr []byte) uint16 { return *(*uint16)(unsafe.Pointer(&addr[0])) }

// parse returns the name that a struct sockaddr_un holds: sun_path up to the zero byte, or with the
// zero byte in front all of it, for a name that is not in the file system.
func parse(addr []byte) (name string, err syscall.Errno) {
	if len(addr) <= nameOffset || len(addr) > addressSize || addressFamily(addr) != syscall.AF_UNIX {
		return "", syscall.EINVAL
	}
	name = string(addr[nameOffset:])
	if name[0] == 0 {
		return name, 0
	}
	name, _, _ = strings.Cut(name, "\x00")
	return name, 0
}

func isAbstract(name string) bool { return name[0] == 0 }

// storeName stores the socket's own address. Without a name it is that of the family, or nothing unless
// family is set.
func (s *Socket) storeName(a *socket.Address, family bool) {
	name := s.name.Load()
	if name == nil && !family {
		a.Length = 0
		return
	}
	*(*uint16)(unsafe.Pointer(&a.Data[0])) = syscall.AF_UNIX
	a.Length = nameOffset
	if name == nil {
		return
	}
	n := copy(a.Data[nameOffset:], *name)
	if !isAbstract(*name) {
		a.Data[nameOffset+n] = 0
		n++
	}
	a.Length += n
}

// Bind implements socket.Socket. An address of the family alone asks for a name of the kernel's choice.
func (s *Socket) Bind(addr []byte) syscall.Errno {
	if len(addr) == nameOffset && addressFamily(addr) == syscall.AF_UNIX {
		unix.mu.Lock()
		defer unix.mu.Unlock()
		return unix.autobind(s)
	}
	name, err := parse(addr)
	if err != 0 {
		return err
	}
	if isAbstract(name) {
		unix.mu.Lock()
		defer unix.mu.Unlock()
		if s.name.Load() != nil {
			return syscall.EINVAL
		}
		return unix.bindAbstract(s, name)
	}
	return unix.bindPath(s, name)
}

// bindAbstract gives s a name that is not in the file system, with f locked.
func (f *family) bindAbstract(s *Socket, name string) syscall.Errno {
	key := abstractName{s.kind, name}
	if f.abstract[key] != nil {
		return syscall.EADDRINUSE
	}
	if f.abstract == nil {
		f.abstract = make(map[abstractName]*Socket)
	}
	f.abstract[key] = s
	s.name.Store(&name)
	return 0
}

// autobind gives s a name if it has none, with f locked.
func (f *family) autobind(s *Socket) syscall.Errno {
	if s.name.Load() != nil {
		return 0
	}
	for range autobindMax {
		f.last = (f.last + 1) % autobindMax
		var b [6]byte
		for i, n := len(b)-1, f.last; i > 0; i, n = i-1, n/16 {
			b[i] = digits[n%16]
		}
		if f.bindAbstract(s, string(b[:])) == 0 {
			return 0
		}
	}
	return syscall.ENOSPC
}

// bindPath makes a socket node at path.
func (f *family) bindPath(s *Socket, path string) syscall.Errno {
	space := f.process.Space
	err := space.Mknod(nil, path, syscall.S_IFSOCK|0o777, 0)
	if err == syscall.EEXIST {
		return syscall.EADDRINUSE
	}
	var node vfs.Inode
	if err == nil {
		node, err = space.Inode(nil, path, 0)
	}
	if err != nil {
		return number(err)
	}
	if !f.setNode(s, node, path) {
		space.Unlink(nil, path, 0)
		return syscall.EINVAL
	}
	return 0
}

// setNode gives s the name path of a node, and reports whether it had none.
func (f *family) setNode(s *Socket, node vfs.Inode, path string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.name.Load() != nil {
		return false
	}
	if f.paths == nil {
		f.paths = make(map[vfs.Inode]*Socket)
	}
	f.paths[node] = s
	s.node = node
	s.name.Store(&path)
	return true
}

// number returns the number of an error of package vfs.
func number(err error) syscall.Errno {
	if e, ok := err.(syscall.Errno); ok {
		return e
	}
	return syscall.EIO
}

// unbind lets go of the name of s, with f locked. A node stays in the file system, where connect finds
// nobody behind it.
func (f *family) unbind(s *Socket) {
	name := s.name.Load()
	switch {
	case name == nil:
	case s.node != nil:
		if f.paths[s.node] == s {
			delete(f.paths, s.node)
		}
	case f.abstract[abstractName{s.kind, *name}] == s:
		delete(f.abstract, abstractName{s.kind, *name})
	}
}

// find returns the socket of that name to which one of a kind can be connected.
func (f *family) find(name string, kind int) (*Socket, syscall.Errno) {
	if isAbstract(name) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if s := f.abstract[abstractName{kind, name}]; s != nil {
			return s, 0
		}
		return nil, syscall.ECONNREFUSED
	}
	node, err := f.process.Space.Inode(nil, name, 0)
	if err != nil {
		return nil, number(err)
	}
	f.mu.Lock()
	s := f.paths[node]
	f.mu.Unlock()
	if s == nil {
		return nil, syscall.ECONNREFUSED
	}
	if s.kind != kind {
		return nil, syscall.EPROTOTYPE
	}
	return s, 0
}
