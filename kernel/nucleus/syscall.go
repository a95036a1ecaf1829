package nucleus

import (
	"sync/atomic"
	"syscall"
)

// processID is the process ID of the program, which is also the first thread's.
const processID = 1

// errno returns the result of a system call that failed, as the kernel hands it
// over: the negated number.
func errno(e syscall.Errno) uintptr { return -uintptr(e) }

const archSetFS = 0x1002

// syscallEntry executes a system call from thread mode: those that the Go
// runtime makes itself. The rest belong to kernel/linux.
func syscallEntry(r *regs) {
	a1, a2, a3, a4 := r.di, r.si, r.dx, r.r10
	var result uintptr
	switch r.ax {
	case syscall.SYS_FUTEX:
		result = futex(a1, int32(a2), uint32(a3), a4)
	case syscall.SYS_MMAP:
		result = mapMemory(a1, a2, uint64(a3), int(int32(a4)))
	case syscall.SYS_MUNMAP:
		result = unmapMemory(a1, a2)
	case syscall.SYS_MPROTECT:
		result = protectMemory(a1, a2, uint64(a3))
	case syscall.SYS_MADVISE:
		result = adviseMemory(a1, a2, int(int32(a3)))
	case syscall.SYS_MINCORE:
		result = resident(a1, a2, a3)
	case syscall.SYS_CLONE:
		result = clone(r, a1, a2, r.r8)
	case syscall.SYS_EXIT:
		exitThread(a1)
	case syscall.SYS_EXIT_GROUP:
		powerOff(int(uint8(a1)))
	case syscall.SYS_GETTID:
		result = uintptr(self().tid)
	case syscall.SYS_GETPID, syscall.SYS_GETPGRP:
		result = processID
	case syscall.SYS_GETPPID, syscall.SYS_SYNC:
		result = 0
	case syscall.SYS_GETUID:
		result = uintptr(Identity.User[0].Load())
	case syscall.SYS_GETEUID:
		result = uintptr(Identity.User[1].Load())
	case syscall.SYS_GETGID:
		result = uintptr(Identity.Group[0].Load())
	case syscall.SYS_GETEGID:
		result = uintptr(Identity.Group[1].Load())
	case syscall.SYS_GETRESUID:
		result = storeIDs(&Identity.User, a1, a2, a3)
	case syscall.SYS_GETRESGID:
		result = storeIDs(&Identity.Group, a1, a2, a3)
	case syscall.SYS_UMASK:
		result = uintptr(Identity.Umask.Swap(uint32(a1) & 0o777))
	case syscall.SYS_SCHED_YIELD:
		yield()
	case syscall.SYS_NANOSLEEP:
		result = sleep(a1)
	case syscall.SYS_SCHED_GETAFFINITY:
		result = affinity(a2, a3)
	case syscall.SYS_TGKILL:
		result = errno(kill(int32(a2), int(int32(a3)), siTkill))
	case syscall.SYS_KILL:
		result = errno(kill(0, int(int32(a2)), siUser))
	case syscall.SYS_RT_SIGACTION:
		result = sigaction(int(int32(a1)), a2, a3, a4)
	case syscall.SYS_RT_SIGPROCMASK:
		result = sigprocmask(int(int32(a1)), a2, a3, a4)
	case syscall.SYS_SIGALTSTACK:
		result = sigaltstack(a1, a2)
	case syscall.SYS_RT_SIGRETURN:
		sigreturn(r)
		return
	case syscall.SYS_TIMER_CREATE:
		result = timerCreate(int(int32(a1)), a2, a3)
	case syscall.SYS_TIMER_SETTIME:
		result = timerSet(int32(a1), a3, a4)
	case syscall.SYS_TIMER_DELETE:
		result = timerDelete(int32(a1))
	case syscall.SYS_SETITIMER:
		// The runtime sets the process's profiling timer besides those of its
		// threads, for threads that have none. Here all have one.
		result = errno(syscall.ENOSYS)
		if a1 == 2 { // ITIMER_PROF
			result = 0
		}
	case syscall.SYS_ARCH_PRCTL:
		result = errno(syscall.EINVAL)
		if a1 == archSetFS {
			result = setFS(r, a2)
		}
	case syscall.SYS_WRITE:
		result = errno(syscall.EBADF)
		if a1 == 1 || a1 == 2 {
			if !userRange(a2, a3) {
				result = errno(syscall.EFAULT)
				break
			}
			consoleWrite(a2, a3)
			result = a3
		}
	case syscall.SYS_READ, syscall.SYS_CLOSE:
		result = errno(syscall.EBADF)
	case syscall.SYS_FCNTL:
		// The runtime makes sure that descriptors 0 to 2 are open before
		// anything else exists.
		result = errno(syscall.EBADF)
		if a1 <= 2 && a2 == syscall.F_GETFD {
			result = 0
		}
	case callPollWait:
		pollWait(int64(a1))
		result = 0
	case callPollBreak:
		breakPoll()
		result = 0
	case callConsoleRead:
		result = consoleRead(a1, a2)
	case callRandom:
		random(a1, a2)
	case callCPUTime:
		result = cpuTime(int32(a1))
	case callNextThread:
		result = nextThread(int32(a1))
	case callCPU:
		result = uintptr(cpuAt(thisCPU()).id)
	case callSeed:
		seedFrom(a1)
		result = 0
	case callAllocate:
		result = allocateContiguous(a1)
	case callMapDevice:
		result = mapDeviceMemory(a1, a2)
	case callConnect:
		result = connect(uint32(a1))
	case callMessage:
		result = newMessage(a1)
	case callUnmask:
		unmask(a1)
		result = 0
	default:
		result = errno(syscall.ENOSYS)
	}
	r.ax = result
}

// Calls that Linux does not have, for the kernel above the nucleus.
const (
	callPollWait = 0x676f0000 + iota // wait until a line is marked
	callPollBreak
	callConsoleRead
	callRandom
	callCPUTime
	callNextThread
	callCPU
	callSeed
	callAllocate
	callMapDevice
	callConnect
	callMessage
	callUnmask
)

// Identity is what the kernel above the nucleus knows of the process and the
// nucleus answers itself: golang.org/x/sys/unix asks for it by a real SYSCALL
// instruction (its RawSyscallNoError).
var Identity struct {
	User, Group [3]atomic.Uint32 // real, effective and saved ID
	Umask       atomic.Uint32
}

// storeIDs is getresuid and getresgid.
func storeIDs(ids *[3]atomic.Uint32, to1, to2, to3 uintptr) uintptr {
	for i, to := range [3]uintptr{to1, to2, to3} {
		if !userRange(to, 4) {
			return errno(syscall.EFAULT)
		}
		store32(to, ids[i].Load())
	}
	return 0
}

// nextThread returns the lowest ID of a thread that is at least tid, 0 if there
// is none.
func nextThread(tid int32) uintptr {
	sched.lock()
	next := int32(0)
	for id := max(tid, 1); id <= threadMade && next == 0; id++ {
		if t := threadByID(id); t != nil && t.state != stateDead {
			next = id
		}
	}
	sched.unlock()
	return uintptr(next)
}

// cpuTime returns the CPU time of a thread, or of all that exist with tid -1.
func cpuTime(tid int32) uintptr {
	sched.lock()
	now := clockNow()
	var sum int64
	for id := int32(1); id <= threadMade; id++ {
		if t := threadByID(id); t != nil && (tid == id || tid == -1) {
			sum += t.cpuTime(now)
		}
	}
	sched.unlock()
	return uintptr(sum)
}
