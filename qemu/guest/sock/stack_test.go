package sock

import (
	"runtime"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestPointersIntoTheStack: what a call is handed may lie on the stack of its goroutine. Here the stack
// is used up to all degrees, so that it grows, and all pointers move, somewhere in the call.
func TestPointersIntoTheStack(t *testing.T) {
	a, b := socketpair(t, unix.SOCK_STREAM)
	c, d := socketpair(t, unix.SOCK_DGRAM)
	require.NoError(t, unix.Bind(d, &unix.SockaddrUnix{Name: "@" + t.Name()}))
	for _, fds := range [][2]int{{a, b}, {c, d}, {d, c}} {
		for depth := range 80 {
			done := make(chan string)
			go func() { done <- descend(depth, fds[0], fds[1]) }()
			require.Equal(t, "ok", <-done, "depth %d", depth)
		}
	}
}

// descend calls exchange with some more of the stack used.
//
//go:noinline
func descend(depth, from, to int) string {
	var use [100]byte
	if depth == 0 {
		return exchange(from, to)
	}
	result := descend(depth-1, from, to)
	runtime.KeepAlive(&use)
	return result
}

// exchange sends from one socket to the other by several calls, all of it in variables.
//
//go:noinline
func exchange(from, to int) string {
	out, in := [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, [8]byte{}
	var name [110]byte
	length := int32(len(name))
	outVector := [2]unix.Iovec{{Base: &out[0], Len: 3}, {Base: &out[3], Len: 5}}
	var inVector [12]unix.Iovec
	for i := range in {
		inVector[i] = unix.Iovec{Base: &in[i], Len: 1}
	}
	var control [64]byte
	sent := unix.Msghdr{Iov: &outVector[0], Iovlen: 2}
	received := unix.Msghdr{Iov: &inVector[0], Iovlen: 12, Name: &name[0], Namelen: 110, Control: &control[0], Controllen: 64}
	// Each address is taken in the call that it is for: only as an argument does it move with the stack.
	n, _, err := unix.Syscall(unix.SYS_WRITE, uintptr(from), uintptr(unsafe.Pointer(&out)), 8)
	if n != 8 || err != 0 {
		return "write: " + err.Error()
	}
	n, _, err = unix.Syscall(unix.SYS_READ, uintptr(to), uintptr(unsafe.Pointer(&in)), 8)
	if n != 8 || err != 0 || in != out {
		return "read: " + err.Error()
	}
	in = [8]byte{}
	n, _, err = unix.Syscall6(unix.SYS_SENDTO, uintptr(from), uintptr(unsafe.Pointer(&out)), 8, 0, 0, 0)
	if n != 8 || err != 0 {
		return "sendto: " + err.Error()
	}
	n, _, err = unix.Syscall6(unix.SYS_RECVFROM, uintptr(to), uintptr(unsafe.Pointer(&in)), 8, 0,
		uintptr(unsafe.Pointer(&name)), uintptr(unsafe.Pointer(&length)))
	if n != 8 || err != 0 || in != out {
		return "recvfrom: " + err.Error()
	}
	in = [8]byte{}
	n, _, err = unix.Syscall(unix.SYS_SENDMSG, uintptr(from), uintptr(unsafe.Pointer(&sent)), 0)
	if n != 8 || err != 0 {
		return "sendmsg: " + err.Error()
	}
	n, _, err = unix.Syscall(unix.SYS_RECVMSG, uintptr(to), uintptr(unsafe.Pointer(&received)), 0)
	if n != 8 || err != 0 || in != out {
		return "recvmsg: " + err.Error()
	}
	in = [8]byte{}
	n, _, err = unix.Syscall(unix.SYS_WRITEV, uintptr(from), uintptr(unsafe.Pointer(&outVector)), 2)
	if n != 8 || err != 0 {
		return "writev: " + err.Error()
	}
	n, _, err = unix.Syscall(unix.SYS_READV, uintptr(to), uintptr(unsafe.Pointer(&inVector)), 12)
	if n != 8 || err != 0 || in != out {
		return "readv: " + err.Error()
	}
	return "ok"
}
