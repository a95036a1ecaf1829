package nucleus

import (
	"sync/atomic"
	"syscall"
)

// LineConsole is the line of the serial port.
const LineConsole = 0

// lineRTC is the line of the real-time clock, which no goroutine waits for.
const lineRTC = 1

// Interrupt lines. The handler marks a line; a thread of the runtime takes all
// marked lines at once: the one that waits in netpoll, or when there is none the
// runtime's event thread. netpollBreak is a mark too, for netpoll alone.
var (
	linesPending uint64     // bit per line
	pollWaiters  threadList // threads in netpoll
	eventWaiter  uintptr    // the event thread while it waits
)

const (
	lineBreak = 63

	// pollEvents as the time to wait says that the event thread asks.
	pollEvents = -2
)

// raiseLine marks a line and wakes a waiting thread.
func raiseLine(line uint) {
	sched.lock()
	linesPending |= 1 << line
	if pollWaiters.head != 0 {
		unblock(threadAt(pollWaiters.head), 0)
	} else if line != lineBreak && eventWaiter != 0 {
		unblock(threadAt(eventWaiter), 0)
	}
	sched.unlock()
}

// lineInterrupt is the handler of the I/O APIC's lines.
func lineInterrupt(line int) {
	switch line {
	case LineConsole:
		consoleInterrupt()
	case lineRTC:
		rtcInterrupt()
	}
}

// pollWait returns the marked lines and unmarks them. If there are none it waits
// for up to ns nanoseconds; 0 means not at all, -1 and pollEvents for ever.
func pollWait(ns int64) uintptr {
	if ns == 0 && atomic.LoadUint64(&linesPending) == 0 {
		return 0
	}
	mask := ^uint64(0)
	if ns == 0 || ns == pollEvents {
		mask = 1<<lineBreak - 1
	}
	sched.lock()
	if linesPending&mask == 0 && ns != 0 {
		t := self()
		var deadline int64
		switch {
		case ns > 0:
			deadline = deadlineIn(ns/1_000_000_000, ns%1_000_000_000)
			fallthrough
		case ns == -1:
			t.polling = true
			pollWaiters.push(t)
		default:
			eventWaiter = addr(t)
		}
		if block(deadline) == syscall.EINTR {
			return 0
		}
		sched.lock()
	}
	p := linesPending & mask
	linesPending &^= mask
	sched.unlock()
	return uintptr(p)
}

// unqueuePoll takes t out of the waiting pollers. sched is held.
func unqueuePoll(t *thread) {
	if eventWaiter == addr(t) {
		eventWaiter = 0
	}
	if t.polling {
		t.polling = false
		pollWaiters.remove(t)
	}
}
