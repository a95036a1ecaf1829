package linux

import (
	"syscall"
	"unsafe"
)

const lastSignal = 64

// sysKill is kill: there is one process, of which the process group 0 and "all processes" consist.
func sysKill(a args) (uintptr, syscall.Errno) {
	id, sig := a.int(0), a.int(1)
	if sig < 0 || sig > lastSignal {
		return 0, syscall.EINVAL
	}
	switch id {
	case pid, 0, -pid:
		if sig == 0 {
			return 0, 0
		}
		return 0, send(0, sig)
	}
	return 0, syscall.ESRCH
}

func sysTkill(a args) (uintptr, syscall.Errno) { return signalThread(a.int(0), a.int(1)) }

func sysTgkill(a args) (uintptr, syscall.Errno) {
	if a.int(0) <= 0 {
		return 0, syscall.EINVAL
	}
	if a.int(0) != pid {
		return 0, syscall.ESRCH
	}
	return signalThread(a.int(1), a.int(2))
}

func signalThread(tid, sig int) (uintptr, syscall.Errno) {
	if tid <= 0 || sig < 0 || sig > lastSignal {
		return 0, syscall.EINVAL
	}
	return 0, send(tid, sig)
}

// killThread sends a signal to the calling thread.
func killThread(sig int) { send(gettid(), sig) }

// pauses are the calls that only a signal ends.
var pauses waitQueue

// send sends a signal to a thread, or to the process if tid is 0. One that has a handler ends pauses.
// No other call ends with EINTR: the runtime asks for restarts, and those calls that Linux does not
// restart (signal(7)) may go on waiting just as well.
func send(tid, sig int) syscall.Errno {
	err := kill(tid, sig)
	if err == 0 && sig != 0 && handled(sig) {
		pauses.fire(readable)
	}
	return err
}

// handled reports whether the runtime has a handler for a signal.
func handled(sig int) bool {
	var action struct { // struct sigaction of the kernel
		handler, flags, restorer uintptr
		mask                     uint64
	}
	_, _, err := raw(syscall.SYS_RT_SIGACTION, uintptr(sig), 0, uintptr(unsafe.Pointer(&action)), unsafe.Sizeof(action.mask), 0, 0)
	const ignore = 1 // SIG_IGN; SIG_DFL is 0
	return err == 0 && action.handler > ignore
}

// sysPause is pause: it waits for a signal.
func sysPause(args) (uintptr, syscall.Errno) {
	w := newWaiter()
	w.watch.mask = readable
	pauses.add(&w.watch)
	w.park(never)
	pauses.remove(&w.watch)
	w.release()
	return 0, syscall.EINTR
}
