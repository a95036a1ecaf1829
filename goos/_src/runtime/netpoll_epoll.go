package runtime

import "unsafe"

// The network poller of Goshawk, in place of epoll. The objects behind
// descriptors push their readiness (zgoshawk.go, goshawk_pollReady); what is
// left to poll for is the nucleus's interrupt lines.

// goshawk_pollOpen makes the object behind fd report its readiness to pd, and
// returns 0 or an error number: EPERM for what is always ready, like files.
//
//go:linkname goshawk_pollOpen goshawk.pollOpen
func goshawk_pollOpen(fd, pd, tag uintptr) int32

//go:linkname goshawk_pollClose goshawk.pollClose
func goshawk_pollClose(fd, pd uintptr) int32

func netpollinit() {
	// The event thread looks for lines when no thread is in netpoll. Like
	// sysmon it has no P and does not count as one that could make progress.
	systemstack(func() {
		newm(goshawkEvents, nil, -1)
	})
}

func netpollIsPollDescriptor(fd uintptr) bool { return false }

func netpollopen(fd uintptr, pd *pollDesc) uintptr {
	return uintptr(goshawk_pollOpen(fd, uintptr(unsafe.Pointer(pd)), pd.fdseq.Load()))
}

func netpollclose(fd uintptr) uintptr {
	return uintptr(goshawk_pollClose(fd, 0))
}

func netpollarm(pd *pollDesc, mode int) {
	throw("runtime: unused")
}

func netpollBreak() {
	goshawkSyscall(goshawkPollBreak, 0)
}

// netpoll returns the goroutines whose line was raised. delay is as for every
// netpoller: negative waits for ever, 0 does not wait, else nanoseconds.
func netpoll(delay int64) (gList, int32) {
	if delay != 0 {
		goshawkSyscall(goshawkPollWait, uintptr(max(delay, -1)))
	}
	return goshawkLines(), 0
}
