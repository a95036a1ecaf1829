package nucleus

import (
	"sync/atomic"
	"syscall"
)

// sched protects threads, queues, futexes, timers and signals.
var sched spinlock

// timeSlice is how long a thread runs while others wait for its CPU, in
// nanoseconds.
const timeSlice = 10_000_000

// makeReady gives a thread that is in no queue to a CPU: this one if it is idle,
// else the one it ran on last if that is, else any idle one, else this one's
// queue. sched is held.
func makeReady(t *thread) {
	t.state = stateReady
	me := cpuAt(thisCPU())
	c := &cpus[t.cpu]
	if me.idling != 0 && me.queue.empty() {
		c = me // in an interrupt: this CPU is awake, another would have to be woken
	} else if c.idling == 0 || c.online == 0 {
		if me.idling == 0 {
			c = me
		}
		for i := int32(0); i < atomic.LoadInt32(&cpuCount); i++ {
			if cpus[i].idling != 0 && cpus[i].queue.empty() {
				c = &cpus[i]
				break
			}
		}
	}
	c.queue.push(t)
	if c == me {
		if c.cur != addr(&c.idle) && c.sliceEnd == 0 {
			c.sliceEnd = clockNow() + timeSlice
			armTimer(c)
		}
		return
	}
	if c.idling != 0 {
		c.idling = 0
		sendIPI(c.apicID, vectorReschedule)
	} else if c.sliceEnd == 0 {
		c.sliceEnd = clockNow() + timeSlice
		sendIPI(c.apicID, vectorReschedule)
	}
}

// takeReady returns the thread that c runs next: its own first, then another
// CPU's. sched is held.
func takeReady(c *cpu) *thread {
	if t := c.queue.pop(); t != nil {
		return t
	}
	for i := int32(0); i < atomic.LoadInt32(&cpuCount); i++ {
		if t := cpus[i].queue.pop(); t != nil {
			return t
		}
	}
	return nil
}

// schedule gives the CPU to the next thread. The caller holds sched and has put
// the current thread where it belongs; schedule returns, with sched released,
// when that thread runs again.
func schedule() {
	c := cpuAt(thisCPU())
	old := self()
	next := takeReady(c)
	if next == nil {
		next = &c.idle
	}
	now := clockNow()
	old.used += now - old.started
	next.started = now
	c.reschedule = 0
	c.sliceEnd = 0
	if !c.queue.empty() && next != &c.idle {
		c.sliceEnd = now + timeSlice
	}
	next.state = stateRunning
	next.cpu = c.id
	c.cur = addr(next)
	armTimer(c)
	if next == old {
		sched.unlock()
		return
	}
	c.kstack = next.hi - vectorSpace
	switchThread(addr(&old.sp), next.sp, next.fsBase)
	afterSwitch()
}

// afterSwitch is the first thing a thread does when it is given a CPU: it ends
// what the thread before it began.
func afterSwitch() {
	c := cpuAt(thisCPU())
	if c.dead != 0 {
		freeThread(threadAt(c.dead))
		c.dead = 0
	}
	sched.unlock()
	flushIfAsked()
}

// preempt lets another thread run if the time slice has ended. It is called at
// the end of a trap from thread mode, so the vector registers that the entry
// code has not saved are the thread's.
func preempt() {
	c := cpuAt(thisCPU())
	if c.reschedule == 0 {
		return
	}
	t := self()
	sched.lock()
	c.reschedule = 0
	if c.queue.empty() {
		c.sliceEnd = 0
		sched.unlock()
		return
	}
	saveVectors(t.xsave)
	t.state = stateReady
	c.queue.push(t)
	schedule()
	loadVectors(t.xsave)
}

// yield is sched_yield.
func yield() {
	c := cpuAt(thisCPU())
	if atomic.LoadUintptr(&c.queue.head) == 0 {
		return
	}
	sched.lock()
	t := self()
	t.state = stateReady
	c.queue.push(t)
	schedule()
}

// block takes the current thread off its CPU until unblock, or until the
// deadline (0 = none), or until a signal comes that it has not masked. sched is
// held and is released. It returns 0 for unblock, ETIMEDOUT or EINTR.
func block(deadline int64) syscall.Errno {
	t := self()
	if t.deliverable() != 0 {
		unqueueFutex(t)
		unqueuePoll(t)
		sched.unlock()
		return syscall.EINTR
	}
	t.state = stateBlocked
	t.wake = 0
	if deadline != 0 {
		addTimer(cpuAt(thisCPU()), t, deadline)
	}
	schedule()
	return syscall.Errno(t.wake)
}

// unblock makes a blocked thread ready with a result for block. sched is held.
func unblock(t *thread, why syscall.Errno) {
	removeTimers(t)
	unqueueFutex(t)
	unqueuePoll(t)
	t.wake = int32(why)
	makeReady(t)
}

// idleLoop is what a CPU does without threads: it waits for interrupts. It runs
// on the idle thread.
func idleLoop() {
	c := cpuAt(thisCPU())
	for {
		sched.lock()
		if t := takeReady(c); t != nil {
			c.queue.pushFront(t) // schedule takes it again: one place that switches
			c.idling = 0
			c.idle.state = stateReady
			schedule()
			continue
		}
		if eventWaiter != 0 && anyLine() {
			// Raised while all CPUs were busy, and nobody looked since.
			unblock(threadAt(eventWaiter), 0)
			sched.unlock()
			continue
		}
		c.idling = 1
		armTimer(c)
		sched.unlock()
		waitForInterrupt()
		c.idling = 0
	}
}

// addTimer puts t into c's timer queue. sched is held.
func addTimer(c *cpu, t *thread, deadline int64) {
	t.deadline = deadline
	t.timed = true
	t.timerCPU = c.id
	p := addr(&c.timers)
	for {
		n := uintptr(load64(p))
		if n == 0 || threadAt(n).deadline > deadline {
			t.nextTime = n
			store64(p, uint64(addr(t)))
			return
		}
		p = addr(&threadAt(n).nextTime)
	}
}

// removeTimers takes t out of the timer queue it is in, if any. sched is held.
func removeTimers(t *thread) {
	if !t.timed {
		return
	}
	t.timed = false
	p := addr(&cpus[t.timerCPU].timers)
	for n := uintptr(load64(p)); n != addr(t); n = uintptr(load64(p)) {
		p = addr(&threadAt(n).nextTime)
	}
	store64(p, uint64(t.nextTime))
}

// armTimer sets c's timer to the earliest of its deadlines. c is this CPU;
// sched is held. A timer that is set too early only costs an interrupt, so a
// later deadline waits for the earlier one to fire.
func armTimer(c *cpu) {
	next := c.sliceEnd
	if c.timers != 0 {
		if d := threadAt(c.timers).deadline; next == 0 || d < next {
			next = d
		}
	}
	if d := profileDeadline(c); d != 0 && (next == 0 || d < next) {
		next = d
	}
	if next == 0 || c.armed != 0 && c.armed <= next {
		return
	}
	c.armed = next
	setTimer(next)
}

// timerInterrupt wakes the threads whose deadline has passed.
func timerInterrupt() {
	c := cpuAt(thisCPU())
	sched.lock()
	c.armed = 0
	now := clockNow()
	for c.timers != 0 {
		t := threadAt(c.timers)
		if t.deadline > now {
			break
		}
		unblock(t, syscall.ETIMEDOUT)
	}
	if c.sliceEnd != 0 && c.sliceEnd <= now {
		c.sliceEnd = 0
		c.reschedule = 1
	}
	profileTick(c, now)
	armTimer(c)
	sched.unlock()
}

// rescheduleInterrupt comes from another CPU that has put a thread into this
// one's queue or a signal to its thread.
func rescheduleInterrupt() {
	c := cpuAt(thisCPU())
	sched.lock()
	armTimer(c)
	sched.unlock()
}

// Futexes: threads that wait for a word of memory, in a hash table by address.
const futexBuckets = 256

var futexes [futexBuckets]threadList // linked by next and prev

func futexBucket(a uintptr) *threadList {
	h := uint64(a>>2) * 0x9e3779b97f4a7c15
	return &futexes[h>>56]
}

// unqueueFutex takes t out of the queue of the word it waits for. sched is held.
func unqueueFutex(t *thread) {
	if t.futex == 0 {
		return
	}
	l := futexBucket(t.futex)
	t.futex = 0
	if t.prev == 0 {
		l.head = t.next
	} else {
		threadAt(t.prev).next = t.next
	}
	if t.next == 0 {
		l.tail = t.prev
	} else {
		threadAt(t.next).prev = t.prev
	}
	t.next, t.prev = 0, 0
}

const (
	futexWait        = 0
	futexWake        = 1
	futexPrivateFlag = 128
)

// futex is the system call, for waiting with a relative timeout and for waking.
func futex(word uintptr, op int32, val uint32, timeout uintptr) uintptr {
	if word&3 != 0 {
		return errno(syscall.EINVAL)
	}
	if !userRange(word, 4) {
		return errno(syscall.EFAULT)
	}
	switch op &^ futexPrivateFlag {
	case futexWait:
		var deadline int64
		if timeout != 0 {
			if !userRange(timeout, 16) {
				return errno(syscall.EFAULT)
			}
			deadline = deadlineIn(int64(load64(timeout)), int64(load64(timeout+8)))
		}
		sched.lock()
		if load32(word) != val {
			sched.unlock()
			return errno(syscall.EAGAIN)
		}
		t := self()
		t.futex = word
		l := futexBucket(word)
		t.prev = l.tail
		l.push(t)
		return errno(block(deadline))
	case futexWake:
		n := uintptr(0)
		sched.lock()
		for a := futexBucket(word).head; a != 0 && n < uintptr(val); {
			t := threadAt(a)
			a = t.next
			if t.futex == word {
				unblock(t, 0)
				n++
			}
		}
		sched.unlock()
		return n
	}
	return errno(syscall.ENOSYS)
}

// deadlineIn returns the time in ns that is sec and nsec from now, at least 1.
func deadlineIn(sec, nsec int64) int64 {
	const farFuture = 1 << 62
	if sec < 0 || nsec < 0 {
		return 1
	}
	if sec >= farFuture/1_000_000_000 {
		return farFuture
	}
	return clockNow() + sec*1_000_000_000 + nsec
}

// sleep is nanosleep without the remaining time.
func sleep(req uintptr) uintptr {
	if !userRange(req, 16) {
		return errno(syscall.EFAULT)
	}
	deadline := deadlineIn(int64(load64(req)), int64(load64(req+8)))
	sched.lock()
	if err := block(deadline); err != syscall.ETIMEDOUT {
		return errno(err)
	}
	return 0
}

// affinity is sched_getaffinity: one bit for each CPU.
func affinity(size, buf uintptr) uintptr {
	if size < maxCPUs/8 || size%8 != 0 {
		return errno(syscall.EINVAL)
	}
	if !userRange(buf, maxCPUs/8) {
		return errno(syscall.EFAULT)
	}
	store64(buf, 1<<uint(atomic.LoadInt32(&cpuCount))-1)
	return maxCPUs / 8
}
