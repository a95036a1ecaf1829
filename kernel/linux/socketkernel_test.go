//go:build !goshawk

package linux

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"unsafe"

	"github.com/stretchr/testify/require"
)

const sockCalls = syscall.SOCK_NONBLOCK | syscall.SOCK_CLOEXEC

// unixAddress returns a struct sockaddr_un without bytes behind name.
func unixAddress(name string) []byte {
	return append([]byte{syscall.AF_UNIX, 0}, name...)
}

// abstract returns a name that no other process uses.
func (k *kernel) abstract(name string) string {
	return fmt.Sprintf("\x00%s/%d/%s", k.dir, os.Getpid(), name)
}

// autobound is an address that the kernel has chosen.
var autobound = regexp.MustCompile(`^\x01\x00\x00[0-9a-f]{5}$`)

// readable returns text with what differs from run to run replaced.
func (k *kernel) readable(text string) string {
	text = autobound.ReplaceAllString(text, "@AUTO")
	text = strings.ReplaceAll(text, k.abstract(""), "@ABSTRACT/")
	return strings.ReplaceAll(text, k.dir, "DIR")
}

func (k *kernel) socket(kind int) int {
	return k.fd(fmt.Sprint("socket ", kind), syscall.SYS_SOCKET, syscall.AF_UNIX, kind|sockCalls, 0)
}

func (k *kernel) socketpair(kind int) (a, b int) {
	fds := new([2]int32)
	_, err := k.do(fmt.Sprint("socketpair ", kind), syscall.SYS_SOCKETPAIR, syscall.AF_UNIX, kind|sockCalls, 0, unsafe.Pointer(fds))
	require.Zero(k.t, err)
	return int(fds[0]), int(fds[1])
}

func (k *kernel) bind(fd int, name string) {
	b := unixAddress(name)
	k.do("bind "+fmt.Sprintf("%q", k.readable(name)), syscall.SYS_BIND, fd, b, len(b))
}

func (k *kernel) connect(fd int, name string) {
	b := unixAddress(name)
	k.do("connect "+fmt.Sprintf("%q", k.readable(name)), syscall.SYS_CONNECT, fd, b, len(b))
}

func (k *kernel) listen(fd, backlog int) { k.do("listen", syscall.SYS_LISTEN, fd, backlog) }

func (k *kernel) names(fd int) {
	k.nameOf("getsockname", syscall.SYS_GETSOCKNAME, fd)
	k.nameOf("getpeername", syscall.SYS_GETPEERNAME, fd)
}

func (k *kernel) nameOf(call string, num uintptr, fd int) {
	b, n := make([]byte, 128), new(int32)
	*n = int32(len(b))
	if _, err := k.do(call, num, fd, b, unsafe.Pointer(n)); err == 0 {
		k.logf("  %q", k.readable(string(b[:*n])))
	}
}

func (k *kernel) accept(fd int) int {
	b, n := make([]byte, 128), new(int32)
	*n = int32(len(b))
	r := k.fd("accept", syscall.SYS_ACCEPT4, fd, b, unsafe.Pointer(n), sockCalls)
	if r >= 0 {
		k.logf("  %q", k.readable(string(b[:*n])))
	}
	return r
}

func (k *kernel) option(fd, level, name, size int) {
	b, n := make([]byte, 32), new(int32)
	*n = int32(size)
	if _, err := k.do(fmt.Sprintf("getsockopt %d %d", level, name), syscall.SYS_GETSOCKOPT, fd, level, name, b, unsafe.Pointer(n)); err == 0 {
		k.logf("  %d %v", *n, b[:*n])
	}
}

func (k *kernel) setOption(fd, level, name int, value ...int32) {
	b := make([]byte, 4*len(value)+4)
	for i, v := range value {
		*(*int32)(unsafe.Pointer(&b[4*i])) = v
	}
	k.do(fmt.Sprintf("setsockopt %d %d %v", level, name, value), syscall.SYS_SETSOCKOPT, fd, level, name, b, 4*len(value))
}

func (k *kernel) poll(fd int) {
	p := &pollFD{fd: int32(fd), events: -1}
	k.do("poll", syscall.SYS_POLL, unsafe.Pointer(p), 1, 0)
	k.logf("  %#x", uint16(p.revents)&^(0x200|0x80)) // not POLLWRBAND, POLLRDBAND
}

func (k *kernel) queues(fd int) {
	n := new(int32)
	k.do("SIOCINQ", syscall.SYS_IOCTL, fd, fioNRead, unsafe.Pointer(n))
	k.logf("  %d", *n)
}

// message is what a test sends and wants to receive with sendmsg and recvmsg.
type message struct {
	parts   []string
	name    string
	control []byte
}

func rights(fds ...int) []byte {
	var words []int
	words = append(words, fds...)
	return syscall.UnixRights(words...)
}

func (k *kernel) sendmsg(fd int, m message, flags int) {
	var h messageHeader
	list := make([]iovec, len(m.parts)+1)
	for i, p := range m.parts {
		if p != "" {
			b := []byte(p)
			keep(b)
			list[i] = iovec{&b[0], uint64(len(b))}
		}
	}
	h.vector, h.vectorLength = &list[0], uint64(len(m.parts))
	if m.name != "" {
		b := unixAddress(m.name)
		h.name, h.nameLength = &b[0], int32(len(b))
	}
	if len(m.control) > 0 {
		h.control, h.controlLength = &m.control[0], uint64(len(m.control))
	}
	k.do(fmt.Sprintf("sendmsg %q %#x", m.parts, flags), syscall.SYS_SENDMSG, fd, unsafe.Pointer(&h), flags)
}

// recvmsg receives into parts of the sizes and logs all about it. It returns the descriptors.
func (k *kernel) recvmsg(fd, control, flags int, sizes ...int) (fds []int) {
	var h messageHeader
	name := make([]byte, 128)
	h.name, h.nameLength = &name[0], 128
	list := make([]iovec, len(sizes)+1)
	var buffers [][]byte
	for i, n := range sizes {
		b := make([]byte, n+1)
		buffers = append(buffers, b)
		list[i] = iovec{&b[0], uint64(n)}
	}
	h.vector, h.vectorLength = &list[0], uint64(len(sizes))
	c := make([]byte, control+1)
	h.control, h.controlLength = &c[0], uint64(control)
	n, err := k.do(fmt.Sprintf("recvmsg %v %#x", sizes, flags), syscall.SYS_RECVMSG, fd, unsafe.Pointer(&h), flags)
	if err != 0 {
		return nil
	}
	var text []string
	for i, b := range buffers {
		text = append(text, string(b[:min(n, sizes[i])]))
		n -= min(n, sizes[i])
	}
	k.logf("  %q flags %#x name %q control %d", text, h.flags, k.readable(string(name[:h.nameLength])), h.controlLength)
	messages, e := syscall.ParseSocketControlMessage(c[:h.controlLength])
	if e != nil {
		k.logf("  control messages: %v", e)
	}
	for _, m := range messages {
		switch m.Header.Type {
		case syscall.SCM_RIGHTS:
			got, _ := syscall.ParseUnixRights(&m)
			k.logf("  %d descriptors", len(got))
			fds = append(fds, got...)
		case syscall.SCM_CREDENTIALS:
			if len(m.Data) < syscall.SizeofUcred {
				k.logf("  %d bytes of credentials", len(m.Data))
				continue
			}
			u := *(*syscall.Ucred)(unsafe.Pointer(&m.Data[0]))
			k.logf("  credentials pid %v uid %d gid %d", u.Pid != 0, u.Uid, u.Gid)
		}
	}
	return fds
}

func (k *kernel) sendto(fd int, text, name string) {
	b := []byte(text)
	to := []byte(nil)
	if name != "" {
		to = unixAddress(name)
	}
	k.do(fmt.Sprintf("sendto %q %q", text, k.readable(name)), syscall.SYS_SENDTO, fd, b, len(b), syscall.MSG_NOSIGNAL, to, len(to))
}

func (k *kernel) recvfrom(fd, size, flags int) {
	b, name, n := make([]byte, size+1), make([]byte, 128), new(int32)
	*n = 128
	r, err := k.do(fmt.Sprintf("recvfrom %d %#x", size, flags), syscall.SYS_RECVFROM, fd, b, size, flags, name, unsafe.Pointer(n))
	if err == 0 {
		k.logf("  %q from %q", b[:min(r, size)], k.readable(string(name[:*n])))
	}
}
