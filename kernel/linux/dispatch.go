// Package linux is the Linux personality: what stands behind syscall.Syscall in the guest.
//
// dispatch receives every system call of the program as an ordinary Go call on the calling
// goroutine's stack, so a call that waits parks a goroutine and holds no thread.
//
// # Pointers of the caller
//
// A caller hands over pointers as uintptr, and they may point into its stack, which moves when it
// grows. dispatch is nosplit and turns them into pointers before anything can grow the stack; from
// there on they must live in parameters and local variables only. A handler never stores a pointer
// of its caller in the heap, in a closure that outlives it, or where another goroutine finds it:
// nothing would adjust it there.
//
// # Waiting
//
// The operations of a descriptor's object never wait: they answer EAGAIN. Waiting is in await,
// and for the calls on sockets in retry, on top of the readiness that the object pushes to its wait
// queue. The runtime's poller, epoll, poll and select stand on the same queue.
package linux

import (
	"math/bits"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// args are the arguments of a system call. One that the call table declares to be a pointer is in p,
// and its number 0; one that cannot be a pointer, because it is too small, is in n all the same.
type args struct {
	n [6]uintptr
	p [6]unsafe.Pointer
}

// handler carries out a system call. Its result is ignored if the error is not zero.
type handler func(a args) (uintptr, syscall.Errno)

// level says how much of a call is supported.
type level uint8

const (
	missing level = iota // answers ENOSYS and is counted
	refused              // answers always with the same error, as a locked-down Linux does
	partial              // what the note leaves out is missing
	full
)

// call is an entry of the call table.
type call struct {
	name   string
	do     handler
	socket socketHandler // in place of do: a call on a socket
	ptrs   uint8         // bit i set: argument i is a pointer
	raw    bool          // a call of the runtime's seam, which the nucleus carries out
	level
	note string // for docs/syscalls.md
}

// Which arguments are pointers.
const (
	p0 = 1 << iota
	p1
	p2
	p3
	p4
	p5
)

// lowest is the lowest address that a pointer may have: page zero is never mapped.
const lowest = 4096

// pointer makes a pointer of the address that a caller passed. The form keeps the compiler from
// keeping only the integer.
//
//go:nosplit
func pointer(addr uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&addr)) }

// dispatch carries out system call num for the overlaid package syscall. r1 is ^0 if errno is not 0,
// as package syscall expects.
//
//go:linkname dispatch goshawk.dispatch
//go:nosplit
func dispatch(num, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2, errno uintptr) {
	if num >= uintptr(len(calls)) {
		return unsupported(num)
	}
	switch num {
	case syscall.SYS_READ, syscall.SYS_WRITE: // what servers do most, without the detour by args
		if a2 >= lowest && int(a3) > 0 {
			return quick(num, int(int32(a1)), pointer(a2), int(a3))
		}
	}
	c := &calls[num]
	if c.raw {
		return raw(num, a1, a2, a3, a4, a5, a6)
	}
	if c.do == nil && c.socket == nil {
		return unsupported(num)
	}
	a := args{n: [6]uintptr{a1, a2, a3, a4, a5, a6}}
	for ptrs := c.ptrs; ptrs != 0; ptrs &= ptrs - 1 {
		if i := bits.TrailingZeros8(ptrs); a.n[i] >= lowest {
			a.p[i] = pointer(a.n[i])
			a.n[i] = 0
		}
	}
	if c.socket != nil {
		return onSocket(c.socket, a)
	}
	r, e := c.do(a)
	if e != 0 {
		return ^uintptr(0), 0, uintptr(e)
	}
	return r, 0, 0
}

// unsupportedCalls counts the calls answered with ENOSYS by number; those past the end of the call
// table in its last element.
var unsupportedCalls [len(calls) + 1]atomic.Uint32

//go:nosplit
func unsupported(num uintptr) (r1, r2, errno uintptr) {
	unsupportedCalls[min(num, uintptr(len(calls)))].Add(1)
	return ^uintptr(0), 0, uintptr(syscall.ENOSYS)
}

// UnsupportedCalls calls yield with the name and count of each system call that was asked for and
// answered with ENOSYS since boot. Calls without a name are summed up under "unknown".
func UnsupportedCalls(yield func(name string, count uint32) bool) {
	for i := range unsupportedCalls {
		n := unsupportedCalls[i].Load()
		if n == 0 {
			continue
		}
		name := "unknown"
		if i < len(calls) && calls[i].name != "" {
			name = calls[i].name
		}
		if !yield(name, n) {
			return
		}
	}
}

// int returns argument i, a descriptor or another C int.
func (a *args) int(i int) int { return int(int32(a.n[i])) }

// uint32 returns argument i, a C unsigned int.
func (a *args) uint32(i int) uint32 { return uint32(a.n[i]) }

// word returns argument i, declared to be a pointer, of a call in which it may also be a number.
func (a *args) word(i int) uintptr { return a.n[i] | uintptr(a.p[i]) }

// maxTransfer is the most that one read or write moves (read(2)).
const maxTransfer = 0x7ffff000

// bytes returns the caller's memory that starts at argument ptr, of a length that argument length
// gives.
func (a *args) bytes(ptr, length int) ([]byte, syscall.Errno) {
	return memory(a.p[ptr], a.n[length])
}

// memory returns the caller's n bytes at p, at most maxTransfer of them.
func memory(p unsafe.Pointer, n uintptr) ([]byte, syscall.Errno) {
	if n == 0 {
		return nil, 0
	}
	if p == nil {
		return nil, syscall.EFAULT
	}
	if int(n) < 0 {
		return nil, syscall.EINVAL
	}
	return unsafe.Slice((*byte)(p), min(n, maxTransfer)), 0
}

// array returns the caller's n values at p.
func array[T any](p unsafe.Pointer, n int) ([]T, syscall.Errno) {
	if n == 0 {
		return nil, 0
	}
	if p == nil {
		return nil, syscall.EFAULT
	}
	return unsafe.Slice((*T)(p), n), 0
}

// maxPath is PATH_MAX, the zero byte included (path_resolution(7)).
const maxPath = 4096

// path returns a copy of the zero-terminated string at argument i, a path.
func (a *args) path(i int) (string, syscall.Errno) {
	return text(a.p[i], maxPath, syscall.ENAMETOOLONG)
}

// text returns a copy of the zero-terminated string at p, or tooLong if no zero byte is among its
// first size bytes.
func text(p unsafe.Pointer, size int, tooLong syscall.Errno) (string, syscall.Errno) {
	if p == nil {
		return "", syscall.EFAULT
	}
	for n := range size {
		if *(*byte)(unsafe.Add(p, n)) == 0 {
			return string(unsafe.Slice((*byte)(p), n)), 0
		}
	}
	return "", tooLong
}
