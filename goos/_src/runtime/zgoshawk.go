package runtime

import (
	"internal/runtime/atomic"
	"internal/runtime/syscall/linux"
	"unsafe"
)

// What the kernel needs of the runtime, under names of its own.

// Calls of the nucleus (kernel/nucleus/syscall.go).
const (
	goshawkPollWait   = 0x676f0000
	goshawkPollBreak  = 0x676f0001
	goshawkPollEvents = ^uintptr(1) // time to wait: the event thread asks
)

func goshawkSyscall(num, a uintptr) uintptr {
	r, _, _ := linux.Syscall6(num, a, 0, 0, 0, 0, 0)
	return r
}

// goshawk_pollReady makes a poll descriptor ready for mode 'r', 'w' or 'r'+'w',
// unless it has been closed since tag was current.
//
//go:linkname goshawk_pollReady goshawk.pollReady
func goshawk_pollReady(pda, tag uintptr, mode int32) {
	pd := *(**pollDesc)(unsafe.Pointer(&pda))
	if pd.fdseq.Load() != tag {
		return
	}
	systemstack(func() {
		var list gList
		delta := netpollready(&list, pd, mode)
		injectglist(&list)
		netpollAdjustWaiters(delta)
	})
}

// goshawk_blockEnter and goshawk_blockExit bracket the parking of a goroutine in
// what is a blocking system call elsewhere: a thread blocked in one keeps the
// deadlock detector quiet.
//
//go:linkname goshawk_blockEnter goshawk.blockEnter
func goshawk_blockEnter() { netpollGenericInit(); netpollAdjustWaiters(1) }

//go:linkname goshawk_blockExit goshawk.blockExit
func goshawk_blockExit() { netpollAdjustWaiters(-1) }

// Interrupt lines: for each the g that waits for it, or one of these.
const (
	goshawkIdle   = 0
	goshawkRaised = 1
	goshawkParks  = 2
)

var goshawkLineStates [64]uintptr

// goshawk_waitLine parks the calling goroutine until the line has been raised
// since the last call.
//
//go:linkname goshawk_waitLine goshawk.waitLine
func goshawk_waitLine(line int) {
	netpollGenericInit()
	p := &goshawkLineStates[line]
	for {
		if atomic.Casuintptr(p, goshawkRaised, goshawkIdle) {
			return
		}
		if atomic.Casuintptr(p, goshawkIdle, goshawkParks) {
			gopark(goshawkParkLine, unsafe.Pointer(p), waitReasonIOWait, traceBlockNet, 1)
		}
	}
}

// goshawkParkLine puts gp into the state, unless the line was raised meanwhile.
func goshawkParkLine(gp *g, p unsafe.Pointer) bool {
	return atomic.Casuintptr((*uintptr)(p), goshawkParks, uintptr(unsafe.Pointer(gp)))
}

// goshawkLines marks lines as raised and returns the goroutines that wait.
//
//go:nowritebarrierrec
func goshawkLines(set uintptr) gList {
	var list gList
	for line := 0; set != 0; line++ {
		if set&1 != 0 && line < 63 {
			p := &goshawkLineStates[line]
			old := atomic.Xchguintptr(p, goshawkRaised)
			if old > goshawkParks {
				gp := guintptr(old).ptr()
				list.push(gp)
			}
		}
		set >>= 1
	}
	return list
}

// goshawkEvents is the event thread.
//
//go:nowritebarrierrec
func goshawkEvents() {
	lock(&sched.lock)
	sched.nmsys++
	checkdead()
	unlock(&sched.lock)
	for {
		list := goshawkLines(goshawkSyscall(goshawkPollWait, goshawkPollEvents))
		if !list.empty() {
			injectglist(&list)
		}
	}
}

// goshawk_goSystem starts a goroutine of the kernel: like the runtime's own it is
// neither counted nor shown in traces.
//
//go:linkname goshawk_goSystem goshawk.goSystem
func goshawk_goSystem(f func()) { go goshawkSystem(f) }

func goshawkSystem(f func()) { f() }

// goshawk_symbol names an instruction's function, file and line. It may be called
// in nucleus mode, where the g is the nucleus's: it does not allocate, and gets
// along with the first m for the lock counts and caches that hang off one.
//
//go:linkname goshawk_symbol goshawk.symbol
func goshawk_symbol(pc uintptr) (name, file string, line int) {
	if gp := getg(); gp.m == nil {
		*(*uintptr)(unsafe.Pointer(&gp.m)) = uintptr(unsafe.Pointer(&m0))
	}
	f := findfunc(pc)
	if !f.valid() {
		return "", "", 0
	}
	file, n := funcline1(f, pc, false)
	return funcname(f), file, int(n)
}
