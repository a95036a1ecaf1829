package nucleus

import (
	"sync/atomic"
	"syscall"

	"github.com/goshawk-os/goshawk/arch/amd64"
)

// Interrupt lines are the kernel's interrupts: a number below maxLines each. The
// handler marks a line, and a thread of the runtime takes all marked lines at
// once (goos/_src/runtime/zgoshawk.go), in memory that both share: the thread
// that waits in netpoll, one that looks there before it steals work, or, when all
// are asleep, the runtime's event thread.
const (
	// LineConsole is the line of the serial port.
	LineConsole = 1

	// lineRTC is the line of the real-time clock, which no goroutine waits for.
	lineRTC = 2

	// LineMemory is raised when memory gets short (WatchMemory).
	LineMemory = 3

	firstDeviceLine = 4
	maxLines        = 128
)

var (
	linesMarked [maxLines / 64]uint64 // bit per line

	// Protected by sched.
	pollBroken  bool       // a netpollBreak that no netpoll has seen
	pollWaiters threadList // threads in netpoll
	eventWaiter uintptr    // the event thread while it waits
)

// pollEvents as the time to wait says that the event thread asks.
const pollEvents = -2

// anyLine tells whether a line is marked.
func anyLine() bool {
	for i := range linesMarked {
		if atomic.LoadUint64(&linesMarked[i]) != 0 {
			return true
		}
	}
	return false
}

// raiseLine marks a line and wakes a thread that takes it. The event thread would
// only get in the way of a program that keeps all CPUs busy: that looks for lines
// itself when it runs out of goroutines, and after 10 ms at the latest, which is too late only for
// memory. A CPU that goes idle looks once more (idleLoop).
func raiseLine(line int) {
	atomic.OrUint64(&linesMarked[uint(line)/64%uint(len(linesMarked))], 1<<(uint(line)%64))
	sched.lock()
	if pollWaiters.head != 0 {
		unblock(threadAt(pollWaiters.head), 0)
	} else if eventWaiter != 0 && (line == LineMemory || anyIdle()) {
		unblock(threadAt(eventWaiter), 0)
	}
	sched.unlock()
}

// anyIdle tells whether a CPU has nothing to do. sched is held.
func anyIdle() bool {
	for i := int32(0); i < atomic.LoadInt32(&cpuCount); i++ {
		if cpus[i].idling != 0 {
			return true
		}
	}
	return false
}

// breakPoll makes a thread in netpoll, or the next that would wait there, return.
func breakPoll() {
	sched.lock()
	if pollWaiters.head != 0 {
		unblock(threadAt(pollWaiters.head), 0)
	} else {
		pollBroken = true
	}
	sched.unlock()
}

// pollWait waits until a line is marked, for up to ns nanoseconds; -1 and
// pollEvents are for ever.
func pollWait(ns int64) {
	sched.lock()
	if anyLine() || pollBroken && ns != pollEvents {
		pollBroken = pollBroken && ns == pollEvents
		sched.unlock()
		return
	}
	t := self()
	var deadline int64
	if ns == pollEvents {
		eventWaiter = addr(t)
	} else {
		if ns >= 0 {
			deadline = deadlineIn(ns/1_000_000_000, ns%1_000_000_000)
		}
		t.polling = true
		pollWaiters.push(t)
	}
	block(deadline)
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

// lineInterrupt is the handler of the vectors that lines have.
func lineInterrupt(vector uintptr) {
	line := int(cpuAt(thisCPU()).lines[(vector-vectorLine)%lineVectors])
	switch line {
	case 0: // a vector that nothing has
	case LineConsole:
		consoleInterrupt()
	case lineRTC:
		rtcInterrupt()
	default:
		if r := &routes[line%maxLines]; r.low&redirectLevel != 0 {
			maskRoute(r)
		}
		raiseLine(line)
	}
}

// A route is the I/O APIC's input of a line. Messages have none.
type route struct {
	ioapic uintptr // virtual address of the I/O APIC, 0 for none
	entry  uint32  // register of the redirection entry
	low    uint32  // lower half of the entry while it is not masked
	gsi    uint32
	masked uint32 // 1 from the interrupt of a level-triggered line to the next Wait
}

var (
	// routing protects vectors and lines, and the I/O APICs, whose registers
	// take two accesses each.
	routing   spinlock
	routes    [maxLines]route
	lineCount = firstDeviceLine
)

// newVector gives a line a vector of a CPU, 0 if all are taken. routing is held.
func newVector(c *cpu, line int) uint32 {
	if c.lineCount == lineVectors {
		return 0
	}
	v := c.lineCount
	c.lines[v] = uint8(line)
	c.lineCount++
	return vectorLine + v
}

// connect gives the I/O APIC's input with a global system interrupt number a line.
// Inputs are edge-triggered and active high, unless ACPI says otherwise of an ISA
// interrupt.
func connect(gsi uint32) uintptr {
	in := tables.ISA[0]
	in.GSI, in.Level, in.ActiveLow = gsi, false, false
	for i := range tables.ISA {
		if tables.ISA[i].GSI == gsi {
			in = tables.ISA[i]
		}
	}
	routing.lock()
	for i := range routes {
		if routes[i].ioapic != 0 && routes[i].gsi == gsi {
			routing.unlock()
			return errno(syscall.EBUSY)
		}
	}
	line := lineCount
	if line == maxLines {
		routing.unlock()
		return errno(syscall.ENOSPC)
	}
	lineCount++
	routing.unlock()
	c := &cpus[int32(line-firstDeviceLine)%atomic.LoadInt32(&cpuCount)]
	if !routeLine(line, c, in) {
		return errno(syscall.ENODEV)
	}
	return uintptr(line)
}

// A message of the local APICs (SDM 11.11): a write of the vector to this address,
// which bits 12 to 19 make that of the CPU with this APIC ID.
const (
	messageAddress  = 0xfee00000
	messageIDShift  = 12
	lastMessageAPIC = 254 // 255 means all
)

// newMessage returns a line and the message that raises it, in the upper half the
// address: on CPU number n modulo their number, or on another if that has no
// vector left.
func newMessage(n uintptr) uintptr {
	count := uintptr(atomic.LoadInt32(&cpuCount))
	routing.lock()
	if line := lineCount; line < maxLines {
		for i := uintptr(0); i < count; i++ {
			c := &cpus[(n+i)%count]
			if c.apicID > lastMessageAPIC {
				continue
			}
			if v := newVector(c, line); v != 0 {
				lineCount++
				routing.unlock()
				return uintptr(messageAddress|c.apicID<<messageIDShift)<<32 | uintptr(v)<<8 | uintptr(line)
			}
		}
	}
	routing.unlock()
	return errno(syscall.ENOSPC)
}

func maskRoute(r *route) {
	routing.lock()
	r.masked = 1
	amd64.Store32(r.ioapic+ioapicSelect, r.entry)
	amd64.Store32(r.ioapic+ioapicWindow, r.low|redirectMasked)
	routing.unlock()
}

// unmask ends what the interrupt of a level-triggered line began.
func unmask(line uintptr) {
	r := &routes[line%maxLines]
	routing.lock()
	if r.masked != 0 {
		r.masked = 0
		amd64.Store32(r.ioapic+ioapicSelect, r.entry)
		amd64.Store32(r.ioapic+ioapicWindow, r.low)
	}
	routing.unlock()
}
