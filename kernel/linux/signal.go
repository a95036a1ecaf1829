package linux

import "syscall"

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
		return 0, kill(0, sig)
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
	return 0, kill(tid, sig)
}

// killThread sends a signal to the calling thread.
func killThread(sig int) { kill(gettid(), sig) }

// sysPause is pause, which returns after a signal; the runtime handles every signal.
func sysPause(args) (uintptr, syscall.Errno) {
	blockEnter()
	select {}
}
