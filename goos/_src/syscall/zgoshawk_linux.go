package syscall

import "unsafe"

// goshawkDispatch is the kernel's entry for the calls of programs. An
// ordinary Go call: a handler that waits parks its goroutine. It is nosplit
// until each pointer among the arguments has its type again.
//
//go:linkname goshawkDispatch goshawk.dispatch
func goshawkDispatch(num, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2, errno uintptr)

//go:uintptrkeepalive
//go:nosplit
//go:norace
func rawSyscallNoError(trap, a1, a2, a3 uintptr) (r1, r2 uintptr) {
	r1, r2, _ = goshawkDispatch(trap, a1, a2, a3, 0, 0, 0)
	return
}

//go:uintptrkeepalive
//go:nosplit
//go:norace
func rawVforkSyscall(trap, a1, a2, a3 uintptr) (r1 uintptr, err Errno) {
	r1, _, errno := goshawkDispatch(trap, a1, a2, a3, 0, 0, 0)
	return r1, Errno(errno)
}

// goshawkGettimeofday is gettimeofday, which is declared for assembly.
//
//go:nosplit
func goshawkGettimeofday(tv *Timeval) (err Errno) {
	_, _, errno := goshawkDispatch(SYS_GETTIMEOFDAY, uintptr(unsafe.Pointer(tv)), 0, 0, 0, 0, 0)
	return Errno(errno)
}
