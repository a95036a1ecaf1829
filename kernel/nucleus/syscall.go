package nucleus

import (
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
	case syscall.SYS_GETPID:
		result = processID
	case syscall.SYS_GETPPID, syscall.SYS_GETUID, syscall.SYS_GETGID, syscall.SYS_GETEUID, syscall.SYS_GETEGID:
		result = 0
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
	case syscall.SYS_FCNTL:
		// The runtime makes sure that descriptors 0 to 2 are open before
		// anything else exists.
		result = errno(syscall.EBADF)
		if a1 <= 2 && a2 == syscall.F_GETFD {
			result = 0
		}
	case callPollWait:
		result = pollWait(int64(a1))
	case callPollBreak:
		raiseLine(lineBreak)
	case callConsoleRead:
		result = consoleRead(a1, a2)
	case callRandom:
		random(a1, a2)
	case callCPUTime:
		result = cpuTime(int32(a1))
	case callCPU:
		result = uintptr(cpuAt(thisCPU()).id)
	default:
		result = errno(syscall.ENOSYS)
	}
	r.ax = result
}

// Calls that Linux does not have, for the kernel above the nucleus.
const (
	callPollWait = 0x676f0000 + iota // wait for a line: result is the set of lines
	callPollBreak
	callConsoleRead
	callRandom
	callCPUTime
	callCPU
)

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
