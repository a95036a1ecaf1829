//go:build !goshawk

package linux

import (
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// The personality on a host stands on the host's Linux in place of the nucleus, for tests.

// host records what the personality asked of the runtime and of the machine.
var host struct {
	mu      sync.Mutex
	polls   []hostPoll
	signals []hostSignal
	output  []byte
}

type hostPoll struct {
	pd, tag uintptr
	mode    int32
}

type hostSignal struct{ tid, sig int }

func pollReady(pd, tag uintptr, mode int32) {
	host.mu.Lock()
	host.polls = append(host.polls, hostPoll{pd, tag, mode})
	host.mu.Unlock()
}

func blockEnter() {}
func blockExit()  {}

func startKernel() { panic("kernel/linux: a call before Start") }

//go:nosplit
func raw(num, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2, errno uintptr) {
	r1, r2, err := syscall.RawSyscall6(num, a1, a2, a3, a4, a5, a6)
	return r1, r2, uintptr(err)
}

var start = time.Now()

func nanotime() int64 { return int64(time.Since(start)) + 1 }

func walltime() (sec int64, nsec int32) {
	t := time.Now()
	return t.Unix(), int32(t.Nanosecond())
}

func cpuTime(int) int64             { return nanotime() }
func memInfo() (total, free uint64) { return 64 << 20, 32 << 20 }
func numCPU() int                   { return 2 }
func currentCPU() int               { return 0 }
func gettid() int                   { return syscall.Gettid() }

func random(p []byte) {
	const getrandom = 318
	if len(p) > 0 {
		syscall.RawSyscall(getrandom, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), 0)
	}
}

var umask = new(atomic.Uint32)

func publishIDs(user, group ids) {}

// nextThread: on a host there is a thread 1 and a thread 7.
func nextThread(tid int) int {
	switch {
	case tid <= 1:
		return 1
	case tid <= 7:
		return 7
	}
	return 0
}

func kill(tid, sig int) syscall.Errno {
	host.mu.Lock()
	host.signals = append(host.signals, hostSignal{tid, sig})
	host.mu.Unlock()
	return 0
}

func exit(code int) { syscall.Exit(code) }

func consoleWrite(p []byte) {
	host.mu.Lock()
	host.output = append(host.output, p...)
	host.mu.Unlock()
}

func mmap(addr, n uintptr, prot, flags int) (uintptr, syscall.Errno) {
	at, _, err := syscall.RawSyscall6(syscall.SYS_MMAP, addr, n, uintptr(prot), uintptr(flags), ^uintptr(0), 0)
	return at, err
}

func munmap(addr, n uintptr) syscall.Errno {
	_, _, err := syscall.RawSyscall(syscall.SYS_MUNMAP, addr, n, 0)
	return err
}

func mprotect(addr, n uintptr, prot int) syscall.Errno {
	_, _, err := syscall.RawSyscall(syscall.SYS_MPROTECT, addr, n, uintptr(prot))
	return err
}

func madvise(addr, n uintptr, advice int) syscall.Errno {
	_, _, err := syscall.RawSyscall(syscall.SYS_MADVISE, addr, n, uintptr(advice))
	return err
}

// The console receives nothing on a host: tests feed the terminal.
func consoleRead([]byte) int { return 0 }
func consoleWait()           { select {} }
