package runtime

import (
	"internal/runtime/atomic"
	"internal/runtime/exithook"
	"internal/runtime/sys"
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
	if (mode == 'w' || pd.rg.Load() == pdReady) && (mode == 'r' || pd.wg.Load() == pdReady) {
		return // it is, as after most packets that a busy goroutine gets
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

// goshawkLinesMarked has a bit for each interrupt line, which the handler sets.
//
//go:linkname goshawkLinesMarked goshawk.linesMarked
var goshawkLinesMarked [2]uint64

// Interrupt lines: for each the g that waits for it, or one of these.
const (
	goshawkIdle   = 0
	goshawkRaised = 1
	goshawkParks  = 2
)

var goshawkLineStates [64 * len(goshawkLinesMarked)]uintptr

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

// goshawkLines takes the marked lines and returns the goroutines that wait.
//
//go:nowritebarrierrec
func goshawkLines() gList {
	var list gList
	for i := range goshawkLinesMarked {
		if atomic.Load64(&goshawkLinesMarked[i]) == 0 {
			continue
		}
		for set := atomic.Xchg64(&goshawkLinesMarked[i], 0); set != 0; set &= set - 1 {
			p := &goshawkLineStates[i*64+sys.TrailingZeros64(set)]
			if old := atomic.Xchguintptr(p, goshawkRaised); old > goshawkParks {
				list.push(guintptr(old).ptr())
			}
		}
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
		goshawkSyscall(goshawkPollWait, goshawkPollEvents)
		list := goshawkLines()
		if !list.empty() {
			injectglist(&list)
		}
	}
}

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

// goshawkAtExit has f run when main.main returns, when os.Exit is called, whatever the status, and
// before a panic ends the program. f may wait, and may be called more than once.
//
//go:linkname goshawkAtExit goshawk.atExit
func goshawkAtExit(f func()) {
	goshawkDying = f
	exithook.Add(exithook.Hook{F: f, RunOnFailure: true})
}
