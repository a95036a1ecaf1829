package nucleus

import (
	"math/bits"
	"syscall"
	"unsafe"

	"github.com/goshawk-os/goshawk/arch/amd64"
)

// signalState is a thread's part of the signals. Protected by sched, except
// that a thread changes its own mask and stack without: it takes the lock, in
// signals, before it returns to thread mode with a mask that lets more through.
type signalState struct {
	mask    uint64 // bit n-1: signal n waits
	pending uint64
	codes   [65]int16 // si_code of each pending signal

	altLow, altSize uintptr // signal stack, size 0 = none

	// A signal that the thread's last instruction caused, 0 = none.
	fault      int32
	faultCode  int32
	faultAddr  uintptr
	faultTrap  uintptr
	faultError uintptr

	// CPU-time timer (timer_create), in nanoseconds of the thread's CPU time.
	timerSignal   int32 // 0 = no timer
	timerInterval int64
	timerNext     int64 // 0 = stopped
}

// action is struct sigaction of the kernel's interface (Linux,
// include/linux/signal_types.h, with SA_RESTORER).
type action struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

var actions [65]action

const (
	sigDFL = 0
	sigIGN = 1

	saOnStack = 0x08000000
	saNoDefer = 0x40000000

	siUser   = 0
	siTimer  = -2
	siTkill  = -6
	siKernel = 0x80

	ssDisable = 2

	maskNever = 1<<(syscall.SIGKILL-1) | 1<<(syscall.SIGSTOP-1)
)

// ignoredByDefault is the set of signals whose default action does nothing here.
// Stopping a process that is the whole machine would be no use to anyone.
const ignoredByDefault = 1<<(syscall.SIGCHLD-1) | 1<<(syscall.SIGURG-1) | 1<<(syscall.SIGWINCH-1) |
	1<<(syscall.SIGCONT-1) | 1<<(syscall.SIGTSTP-1) | 1<<(syscall.SIGTTIN-1) | 1<<(syscall.SIGTTOU-1) |
	1<<(syscall.SIGSTOP-1)

func (t *thread) deliverable() uint64 { return t.pending &^ t.mask }

// post gives a signal to a thread. sched is held.
func post(t *thread, sig int, code int16) {
	h := actions[sig].handler
	if h == sigIGN || h == sigDFL && ignoredByDefault>>(sig-1)&1 != 0 {
		return
	}
	t.pending |= 1 << (sig - 1)
	t.codes[sig] = code
	if t.deliverable()>>(sig-1)&1 == 0 {
		return
	}
	t.attention = 1
	switch t.state {
	case stateBlocked:
		unblock(t, syscall.EINTR)
	case stateRunning:
		if c := &cpus[t.cpu]; addr(c) != thisCPU() {
			sendIPI(c.apicID, vectorReschedule)
		}
	}
}

// kill sends a signal to one thread, or with tid 0 to the process: to the first
// thread that does not mask it.
func kill(tid int32, sig int, code int16) syscall.Errno {
	if sig < 0 || sig > 64 {
		return syscall.EINVAL
	}
	sched.lock()
	result := syscall.ESRCH
	if tid != 0 {
		if t := threadByID(tid); t != nil && t.state != stateDead {
			result = 0
			if sig != 0 {
				post(t, sig, code)
			}
		}
		sched.unlock()
		return result
	}
	var to *thread
	for id := int32(1); id <= threadMade; id++ {
		t := threadByID(id)
		if t == nil || t.state == stateDead {
			continue
		}
		if to == nil {
			to = t
		}
		if sig != 0 && t.mask>>(sig-1)&1 == 0 {
			to = t
			break
		}
	}
	if sig != 0 {
		post(to, sig, code)
	}
	sched.unlock()
	return 0
}

// raiseFault turns an exception into a signal for the current thread, to be
// handled before its next instruction.
func raiseFault(r *regs, sig syscall.Signal, code int32, address uintptr) {
	t := self()
	t.fault = int32(sig)
	t.faultCode = code
	t.faultAddr = address
	t.faultTrap = r.vector
	t.faultError = r.err
	t.attention = 1
}

// signals prepares the current thread's signals: r becomes the state in which
// the handler begins, and what it was is saved in a frame on the signal stack.
// The thread's vector registers are in its save area.
func signals(r *regs) {
	t := self()
	t.fpValid = 0
	if sig := int(t.fault); sig != 0 {
		t.fault = 0
		if t.mask>>(sig-1)&1 != 0 || actions[sig].handler <= sigIGN {
			unhandledFault(r, sig)
		}
		deliver(t, r, sig, t.faultCode, t.faultAddr)
	}
	for {
		// The lock orders the mask, which has just been changed perhaps, before
		// what another CPU posts: it sees the mask, or we see the signal.
		sched.lock()
		t.attention = 0
		ready := t.deliverable()
		if ready == 0 {
			sched.unlock()
			return
		}
		sig := bits.TrailingZeros64(ready) + 1
		t.pending &^= 1 << (sig - 1)
		code := t.codes[sig]
		sched.unlock()
		switch actions[sig].handler {
		case sigIGN:
		case sigDFL:
			if ignoredByDefault>>(sig-1)&1 == 0 {
				powerOff(128 + sig)
			}
		default:
			deliver(t, r, sig, int32(code), 0)
		}
	}
}

// sigframe is what a handler finds on its stack: Linux's struct rt_sigframe
// (arch/x86/include/asm/sigframe.h, include/uapi/asm/{ucontext,sigcontext}.h).
type sigframe struct {
	restorer uintptr // return address of the handler
	uc       ucontext
	info     siginfo
}

type ucontext struct {
	flags     uint64
	link      uintptr
	stackLow  uintptr
	stackFlag uint64
	stackSize uintptr

	r8, r9, r10, r11, r12, r13, r14, r15       uintptr
	di, si, bp, bx, dx, ax, cx, sp, ip, eflags uintptr
	csgsfs                                     uint64
	err, trapno                                uintptr
	oldmask                                    uint64
	cr2                                        uintptr
	fpstate                                    uintptr
	reserved                                   [8]uint64

	sigmask [16]uint64
}

type siginfo struct {
	signo, errno, code, _ int32
	addr                  uintptr // of a fault; for signals from programs, pid and uid
	_                     [13]uint64
}

// deliver builds a frame for sig and makes r begin its handler.
func deliver(t *thread, r *regs, sig int, code int32, address uintptr) {
	a := &actions[sig]
	sp := r.rsp
	if a.flags&saOnStack != 0 && t.altSize != 0 && (sp <= t.altLow || sp > t.altLow+t.altSize) {
		sp = t.altLow + t.altSize
	}
	fp := (sp - xsaveSize) &^ 63
	f := (*sigframe)(at((fp-unsafe.Sizeof(sigframe{}))&^15 - 8))
	for i := uintptr(0); i < xsaveSize; i += 8 {
		store64(fp+i, load64(t.xsave+i))
	}
	f.restorer = a.restorer
	u := &f.uc
	u.flags, u.link = 0, 0
	u.stackLow, u.stackSize, u.stackFlag = t.altLow, t.altSize, 0
	if t.altSize == 0 {
		u.stackFlag = ssDisable
	}
	u.r8, u.r9, u.r10, u.r11 = r.r8, r.r9, r.r10, r.r11
	u.r12, u.r13, u.r14, u.r15 = r.r12, r.r13, r.r14, r.r15
	u.di, u.si, u.bp, u.bx = r.di, r.si, r.bp, r.bx
	u.dx, u.ax, u.cx, u.sp = r.dx, r.ax, r.cx, r.rsp
	u.ip, u.eflags = r.rip, r.rflags
	u.csgsfs = amd64.KernelCS | amd64.KernelSS<<48
	u.err, u.trapno, u.cr2 = t.faultError, t.faultTrap, t.faultAddr
	u.oldmask = t.mask
	u.fpstate = fp
	u.sigmask[0] = t.mask
	f.info.signo, f.info.errno, f.info.code = int32(sig), 0, code
	f.info.addr = address
	if code == siUser || code == siTkill {
		f.info.addr = processID // pid in the low half, uid 0 in the high one
	}

	t.mask |= a.mask &^ maskNever
	if a.flags&saNoDefer == 0 {
		t.mask |= 1 << (sig - 1)
	}
	r.di = uintptr(sig)
	r.si = addr(&f.info)
	r.dx = addr(u)
	r.ax = 0
	r.rsp = addr(f)
	r.rip = a.handler
	r.rflags = amd64.FlagIF | 2
}

// flagsProgram is what a program may change in RFLAGS.
const flagsProgram = 0xcd5 | amd64.FlagAC

// sigreturn ends a handler: r becomes what the frame says. The handler's return
// has taken the restorer off the stack, so the ucontext is next.
func sigreturn(r *regs) {
	t := self()
	if !userRange(r.rsp, unsafe.Sizeof(ucontext{})) {
		raiseFault(r, syscall.SIGSEGV, siKernel, 0)
		return
	}
	u := (*ucontext)(at(r.rsp))
	r.r8, r.r9, r.r10, r.r11 = u.r8, u.r9, u.r10, u.r11
	r.r12, r.r13, r.r14, r.r15 = u.r12, u.r13, u.r14, u.r15
	r.di, r.si, r.bp, r.bx = u.di, u.si, u.bp, u.bx
	r.dx, r.ax, r.cx, r.rip = u.dx, u.ax, u.cx, u.ip
	r.rflags = u.eflags&flagsProgram | amd64.FlagIF | 2
	t.mask = u.sigmask[0] &^ maskNever
	fp := u.fpstate
	r.rsp = u.sp
	if fp&63 == 0 && userRange(fp, xsaveSize) {
		for i := uintptr(0); i < xsaveSize; i += 8 {
			store64(t.xsave+i, load64(fp+i))
		}
		// A bad state would fault in the nucleus: MXCSR's reserved bits, and
		// the header of the extended area (SDM 13.4.2) must be clean.
		store32(t.xsave+24, load32(t.xsave+24)&0xffff)
		if hasXSAVE != 0 {
			store64(t.xsave+512, load64(t.xsave+512)&xcr0)
			for i := uintptr(520); i < 576; i += 8 {
				store64(t.xsave+i, 0)
			}
		}
	} else {
		saveVectors(t.xsave)
	}
	t.fpValid = 1
	t.attention = 1
}

// sigaction is rt_sigaction.
func sigaction(sig int, act, old, size uintptr) uintptr {
	if sig < 1 || sig > 64 || size != 8 {
		return errno(syscall.EINVAL)
	}
	const n = unsafe.Sizeof(action{})
	if act != 0 && !userRange(act, n) || old != 0 && !userRange(old, n) {
		return errno(syscall.EFAULT)
	}
	if act != 0 && maskNever>>(sig-1)&1 != 0 {
		return errno(syscall.EINVAL)
	}
	sched.lock()
	p := addr(&actions[sig])
	for i := uintptr(0); i < n; i += 8 {
		was := load64(p + i)
		if act != 0 {
			store64(p+i, load64(act+i))
		}
		if old != 0 {
			store64(old+i, was)
		}
	}
	sched.unlock()
	return 0
}

// sigprocmask is rt_sigprocmask.
func sigprocmask(how int, set, old, size uintptr) uintptr {
	if size != 8 {
		return errno(syscall.EINVAL)
	}
	if set != 0 && !userRange(set, 8) || old != 0 && !userRange(old, 8) {
		return errno(syscall.EFAULT)
	}
	t := self()
	was := t.mask
	if set != 0 {
		v := load64(set) &^ maskNever
		switch how {
		case 0: // SIG_BLOCK
			t.mask |= v
		case 1: // SIG_UNBLOCK
			t.mask &^= v
		case 2: // SIG_SETMASK
			t.mask = v
		default:
			return errno(syscall.EINVAL)
		}
	}
	if old != 0 {
		store64(old, was)
	}
	sched.lock()
	if t.deliverable() != 0 {
		t.attention = 1
	}
	sched.unlock()
	return 0
}

// sigaltstack sets the stack for handlers. The structure is stack_t: address,
// flags, size.
func sigaltstack(set, old uintptr) uintptr {
	if set != 0 && !userRange(set, 24) || old != 0 && !userRange(old, 24) {
		return errno(syscall.EFAULT)
	}
	t := self()
	low, size := t.altLow, t.altSize
	if set != 0 {
		if load64(set+8)&ssDisable != 0 {
			t.altLow, t.altSize = 0, 0
		} else {
			if !userRange(uintptr(load64(set)), uintptr(load64(set+16))) {
				return errno(syscall.EFAULT)
			}
			t.altLow, t.altSize = uintptr(load64(set)), uintptr(load64(set+16))
		}
	}
	if old != 0 {
		store64(old, uint64(low))
		store64(old+8, 0)
		if size == 0 {
			store64(old+8, ssDisable)
		}
		store64(old+16, uint64(size))
	}
	return 0
}

// CPU-time timers, for profiles. A thread has at most one; its ID is the
// thread's.
const (
	clockThreadCPU = 3
	sigevThreadID  = 4
)

// timerCreate is timer_create for the CPU clock of a thread. The sigevent has
// the signal at byte 8, how to notify at 12, the thread at 16.
func timerCreate(clock int, event, id uintptr) uintptr {
	if clock != clockThreadCPU {
		return errno(syscall.ENOSYS)
	}
	if !userRange(event, 64) || !userRange(id, 4) {
		return errno(syscall.EFAULT)
	}
	sig, notify, tid := int32(load32(event+8)), load32(event+12), int32(load32(event+16))
	if notify != sigevThreadID || sig < 1 || sig > 64 {
		return errno(syscall.EINVAL)
	}
	sched.lock()
	t := threadByID(tid)
	if t == nil || t.timerSignal != 0 {
		sched.unlock()
		return errno(syscall.EAGAIN)
	}
	t.timerSignal = sig
	t.timerNext = 0
	sched.unlock()
	store32(id, uint32(tid))
	return 0
}

// timerSet is timer_settime. The itimerspec is two times: interval and first
// expiry, each seconds and nanoseconds.
func timerSet(id int32, spec, old uintptr) uintptr {
	if !userRange(spec, 32) || old != 0 {
		return errno(syscall.EINVAL)
	}
	interval := int64(load64(spec))*1_000_000_000 + int64(load64(spec+8))
	first := int64(load64(spec+16))*1_000_000_000 + int64(load64(spec+24))
	sched.lock()
	t := threadByID(id)
	if t == nil || t.timerSignal == 0 {
		sched.unlock()
		return errno(syscall.EINVAL)
	}
	t.timerInterval = interval
	t.timerNext = 0
	if first > 0 {
		t.timerNext = t.cpuTime(clockNow()) + first
	}
	if c := &cpus[t.cpu]; t.state == stateRunning {
		if addr(c) == thisCPU() {
			armTimer(c)
		} else {
			sendIPI(c.apicID, vectorReschedule)
		}
	}
	sched.unlock()
	return 0
}

// timerDelete is timer_delete.
func timerDelete(id int32) uintptr {
	sched.lock()
	t := threadByID(id)
	if t == nil || t.timerSignal == 0 {
		sched.unlock()
		return errno(syscall.EINVAL)
	}
	t.timerSignal, t.timerNext = 0, 0
	sched.unlock()
	return 0
}

// cpuTime returns how long t has run, in nanoseconds. sched is held.
func (t *thread) cpuTime(now int64) int64 {
	if t.state == stateRunning {
		return t.used + now - t.started
	}
	return t.used
}

// profileDeadline returns when the CPU-time timer of c's thread expires if the
// thread goes on running, 0 if never. sched is held.
func profileDeadline(c *cpu) int64 {
	t := threadAt(c.cur)
	if t.timerNext == 0 {
		return 0
	}
	return t.started + t.timerNext - t.used
}

// profileTick sends the signal of the running thread's timer if it is due.
func profileTick(c *cpu, now int64) {
	t := threadAt(c.cur)
	if t.timerNext == 0 || t.cpuTime(now) < t.timerNext {
		return
	}
	t.timerNext = 0
	if t.timerInterval != 0 {
		t.timerNext = t.cpuTime(now) + t.timerInterval
	}
	post(t, int(t.timerSignal), siTimer)
}
