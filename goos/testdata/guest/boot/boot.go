// Package boot is a guest for the tests of goos: a program built with it
// still runs on Linux, its system calls counted.
package boot

import (
	"unsafe"

	"github.com/goshawk-os/goshawk/kernel/count"
)

var pvhNote [32]byte

var _ = unsafe.Pointer(&pvhNote)

func init() {
	if pvhNote[0] != 'g' {
		panic("no mark")
	}
}

func syscall6(num, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2, errno uintptr)

// The linker of Go 1.27 lets the assembly of another package refer to an
// assembly function only if it is declared with a linkname.

//go:linkname runtimeSyscall goshawk.syscall
func runtimeSyscall()

//go:linkname nanotime1 goshawk.nanotime1
func nanotime1() int64

//go:linkname dispatch goshawk.dispatch
//go:nosplit
func dispatch(num, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2, errno uintptr) {
	const sysGetpid, sysUmask = 39, 95
	switch num {
	case sysGetpid:
		return 1000000, 0, 0 // no Linux process has this number by default
	case sysUmask:
		return count.Calls(), 0, 0
	}
	count.Add()
	return syscall6(num, a1, a2, a3, a4, a5, a6)
}
