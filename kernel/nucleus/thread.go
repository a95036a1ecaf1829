package nucleus

import (
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/goshawk-os/goshawk/arch/amd64"
)

// thread is a thread of the program: one M of the runtime, or a CPU's idle
// thread. Its first fields are those of the runtime's g that compiled code uses
// (internal: stack bounds and guards); the rest of a g is zero, so that code
// which takes it for one of the runtime's faults at once.
type thread struct {
	lo, hi         uintptr // nucleus stack
	guard0, guard1 uintptr
	_              [12]uintptr

	attention uint32 // nonzero: signals must run before thread mode continues
	fpValid   uint32 // the save area holds the vector registers
	xsave     uintptr
	fsBase    uintptr
	tls       [2]uintptr // what FS refers to until the program sets it
	sp        uintptr    // where the nucleus stack stands while the thread does not run

	// Protected by sched.
	tid       int32
	state     threadState
	cpu       int32 // where it runs, or ran last
	preempted bool  // its vector registers are in the save area
	next      uintptr
	prev      uintptr // in a futex queue

	deadline int64 // when the wait ends, 0 = never
	nextTime uintptr
	timed    bool  // is in a timer queue
	timerCPU int32 // of this CPU

	polling bool    // is in pollWaiters
	futex   uintptr // address waited for, 0 = none
	wake    int32   // result of the wait: 0 woken, else errno
	started int64   // when it was last given a CPU
	used    int64   // nanoseconds of CPU time before that

	signalState
}

type threadState uint8

const (
	stateFree threadState = iota
	stateReady
	stateRunning
	stateBlocked
	stateDead
)

func threadAt(a uintptr) *thread { return (*thread)(at(a)) }

func self() *thread { return threadAt(current()) }

// The nucleus memory of threads, one slot each, in the upper half:
//
//	+0      guard, not mapped (12 KiB)
//	+12 KiB nucleus stack (16 KiB)
//	+28 KiB thread structure and vector save area (4 KiB)
const (
	threadArea      = 0xffff_8080_0000_0000
	threadSlotSize  = 32 << 10
	threadStackLow  = 12 << 10
	threadStackHigh = 28 << 10
	maxThreads      = 16 << 10
)

// threads tells which slots are in use; a thread's ID is its slot's number plus
// one. All protected by sched.
var (
	threadUsed  [maxThreads]bool
	threadMade  int32 // slots below this number have memory
	threadCount int32 // threads that have not exited
	threadFree  threadList
)

func threadByID(tid int32) *thread {
	if tid < 1 || tid > threadMade || !threadUsed[tid-1] {
		return nil
	}
	return threadAt(threadArea + uintptr(tid-1)*threadSlotSize + threadStackHigh)
}

// newThread returns a thread that is in no queue yet, with an ID, a stack and a
// save area, or nil if memory or slots have run out. sched is held.
func newThread() *thread {
	t := threadFree.pop()
	if t == nil {
		if threadMade == maxThreads {
			return nil
		}
		slot := uintptr(threadArea) + uintptr(threadMade)*threadSlotSize
		if !mapNucleus(slot+threadStackLow, threadSlotSize-threadStackLow) {
			return nil
		}
		t = threadAt(slot + threadStackHigh)
		t.tid = threadMade + 1
		threadMade++
		t.lo = slot + threadStackLow
		t.hi = slot + threadStackHigh
		t.guard0 = t.lo + stackGuard
		t.guard1 = t.guard0
		t.xsave = (addr(t) + unsafe.Sizeof(thread{}) + 63) &^ 63
		if t.xsave+xsaveSize > slot+threadSlotSize {
			fatal("the CPU's vector state does not fit a thread's save area")
		}
	}
	threadUsed[t.tid-1] = true
	threadCount++
	t.fsBase = addr(&t.tls[1])
	t.tls[0] = addr(t)
	t.attention = 0
	t.fpValid = 0
	t.preempted = false
	t.used = 0
	for p, end := addr(&t.signalState), addr(t)+unsafe.Sizeof(*t); p < end; p += 8 {
		store64(p, 0)
	}
	return t
}

// freeThread takes back an exited thread that no CPU runs on. sched is held.
func freeThread(t *thread) {
	t.state = stateFree
	threadUsed[t.tid-1] = false
	threadFree.push(t)
}

// prepare makes t start in thread mode with the registers in from when it is
// first given a CPU.
func (t *thread) prepare(from *regs) {
	_, _, threadStart, _ := entryPoints()
	frame := t.hi - vectorSpace - unsafe.Sizeof(regs{})
	to := addr(from)
	for i := uintptr(0); i < unsafe.Sizeof(regs{}); i += 8 {
		store64(frame+i, load64(to+i))
	}
	r := (*regs)(at(frame))
	r.self = frame
	store64(frame-8, uint64(threadStart))
	store64(frame-16, 0) // frame pointer
	t.sp = frame - 16
}

// regs is the state of a thread that entered the nucleus, as the entry code
// lays it out. The general registers below are those of thread mode.
type regs struct {
	self                                  uintptr // address of this structure: the argument of the handlers
	g                                     uintptr // the TLS slot, that is the runtime's g
	r15, r14, r13, r12, r11, r10, r9, r8  uintptr
	bp, di, si, dx, cx, bx, ax            uintptr
	vector, err, rip, cs, rflags, rsp, ss uintptr
}

// vectorSpace is the room above a regs structure for XMM0 to XMM15.
const vectorSpace = 256

// vectorSyscall is the vector number of a regs structure that a system call
// made.
const vectorSyscall = 255

// inNucleus tells whether r was made by a trap in nucleus mode.
func (t *thread) inNucleus(r *regs) bool { return r.rsp > t.lo && r.rsp <= t.hi }

// Clone flags (Linux, include/uapi/linux/sched.h) that the runtime uses.
const (
	cloneThreadFlags = syscall.CLONE_VM | syscall.CLONE_FS | syscall.CLONE_FILES |
		syscall.CLONE_SIGHAND | syscall.CLONE_THREAD
)

// clone is the system call for threads: the new one continues like this one,
// with result 0, on the given stack.
func clone(r *regs, flags, stack, tls uintptr) uintptr {
	if flags&cloneThreadFlags != cloneThreadFlags {
		return errno(syscall.ENOSYS)
	}
	sched.lock()
	t := newThread()
	if t == nil {
		sched.unlock()
		return errno(syscall.EAGAIN)
	}
	ax, rsp, g := r.ax, r.rsp, r.g
	r.ax, r.rsp, r.g = 0, stack, 0
	t.prepare(r)
	r.ax, r.rsp, r.g = ax, rsp, g
	t.mask = self().mask
	tid := t.tid
	if flags&syscall.CLONE_SETTLS != 0 {
		t.fsBase = tls
		store64(tls-8, uint64(addr(t)))
	}
	makeReady(t)
	sched.unlock()
	return uintptr(tid)
}

// exitThread ends this thread. If word is an address, the runtime frees the
// thread's stack and TLS slot once the word there is zero.
func exitThread(word uintptr) {
	t := self()
	if userRange(word, 4) {
		t.fsBase = addr(&t.tls[1])
		t.tls[0] = addr(t)
		amd64.Wrmsr(amd64.IA32_FS_BASE, uint64(t.fsBase))
		atomic.StoreUint32((*uint32)(at(word)), 0)
	}
	sched.lock()
	removeTimers(t)
	t.state = stateDead
	threadCount--
	if threadCount == 0 {
		sched.unlock()
		powerOff(0)
	}
	cpuAt(thisCPU()).dead = addr(t)
	schedule()
}

// setFS is arch_prctl(ARCH_SET_FS). The nucleus keeps its own g in the TLS slot
// while it runs, so both slots change with the base.
func setFS(r *regs, base uintptr) uintptr {
	t := self()
	if base < 4096 || base >= userEnd {
		return errno(syscall.EPERM)
	}
	g := uintptr(load64(base - 8))
	store64(base-8, uint64(addr(t)))
	old := t.fsBase
	t.fsBase = base
	amd64.Wrmsr(amd64.IA32_FS_BASE, uint64(base))
	store64(old-8, uint64(r.g))
	r.g = g
	return 0
}

// threadList is a list of threads linked by next, first in first out.
type threadList struct{ head, tail uintptr }

func (l *threadList) empty() bool { return l.head == 0 }

func (l *threadList) push(t *thread) {
	t.next = 0
	if l.tail == 0 {
		l.head = addr(t)
	} else {
		threadAt(l.tail).next = addr(t)
	}
	l.tail = addr(t)
}

func (l *threadList) pushFront(t *thread) {
	t.next = l.head
	l.head = addr(t)
	if l.tail == 0 {
		l.tail = addr(t)
	}
}

// remove takes t, which is in the list, out of it.
func (l *threadList) remove(t *thread) {
	var prev uintptr
	for a := l.head; a != addr(t); a = threadAt(a).next {
		prev = a
	}
	if prev == 0 {
		l.head = t.next
	} else {
		threadAt(prev).next = t.next
	}
	if l.tail == addr(t) {
		l.tail = prev
	}
	t.next = 0
}

func (l *threadList) pop() *thread {
	if l.head == 0 {
		return nil
	}
	t := threadAt(l.head)
	l.head = t.next
	if l.head == 0 {
		l.tail = 0
	}
	t.next = 0
	return t
}
