//go:build goshawk

package linux

import (
	"syscall"
	_ "unsafe" // for linkname

	"github.com/goshawk-os/goshawk/kernel/nucleus"
)

// The runtime's side of the overlay.

// pollReady makes the runtime's poll descriptor pd ready for mode: 'r', 'w' or their sum.
//
//go:linkname pollReady goshawk.pollReady
func pollReady(pd, tag uintptr, mode int32)

// blockEnter and blockExit bracket a wait that only the outside ends, so that the runtime does not
// take it for a deadlock.
//
//go:linkname blockEnter goshawk.blockEnter
func blockEnter()

//go:linkname blockExit goshawk.blockExit
func blockExit()

// startKernel is package boot's part before the program. It must not depend on the initialisation of
// any package.
//
//go:linkname startKernel goshawk.startKernel
func startKernel()

//go:linkname pollOpen goshawk.pollOpen
//go:linkname pollClose goshawk.pollClose

// raw hands a call to the nucleus. It and nucleus.Raw are nosplit: the arguments may point into the
// caller's stack.
//
//go:nosplit
func raw(num, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2, errno uintptr) {
	r, err := nucleus.Raw(num, a1, a2, a3, a4, a5, a6)
	if err != 0 {
		return ^uintptr(0), 0, uintptr(err)
	}
	return r, 0, 0
}

func nanotime() int64                      { return nucleus.Nanotime() }
func walltime() (sec int64, nsec int32)    { return nucleus.Walltime() }
func cpuTime(tid int) int64                { return nucleus.CPUTime(tid) }
func random(p []byte)                      { nucleus.Random(p) }
func memInfo() (total, free uint64)        { return nucleus.MemInfo() }
func numCPU() int                          { return nucleus.NumCPU() }
func currentCPU() int                      { return nucleus.CPU() }
func gettid() int                          { return nucleus.Gettid() }
func kill(tid, sig int) syscall.Errno      { return nucleus.Kill(tid, sig) }
func exit(code int)                        { nucleus.Exit(code) }
func consoleWrite(p []byte)                { nucleus.ConsoleWrite(p) }
func consoleRead(p []byte) int             { return nucleus.ConsoleRead(p) }
func consoleWait()                         { nucleus.Wait(nucleus.LineConsole) }
func munmap(addr, n uintptr) syscall.Errno { return nucleus.Munmap(addr, n) }

// umask is the word of the umask, and publishIDs tells the nucleus of the ids: it answers the calls
// that x/sys/unix makes by instruction.
var umask = &nucleus.Identity.Umask

func publishIDs(user, group ids) {
	i := &nucleus.Identity
	for n, id := range [3]uint32{user.real, user.effective, user.saved} {
		i.User[n].Store(id)
	}
	for n, id := range [3]uint32{group.real, group.effective, group.saved} {
		i.Group[n].Store(id)
	}
}

// nextThread returns the lowest thread ID that is in use and at least tid, 0 if there is none.
func nextThread(tid int) int { return nucleus.NextThread(tid) }

func mmap(addr, n uintptr, prot, flags int) (uintptr, syscall.Errno) {
	return nucleus.Mmap(addr, n, prot, flags)
}

func mprotect(addr, n uintptr, prot int) syscall.Errno { return nucleus.Mprotect(addr, n, prot) }

func madvise(addr, n uintptr, advice int) syscall.Errno { return nucleus.Madvise(addr, n, advice) }
