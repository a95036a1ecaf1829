package nucleus

import (
	"syscall"

	"github.com/goshawk-os/goshawk/arch/amd64"
)

// Interrupt vectors. A vector's upper half is its priority.
const (
	vectorLine       = 0x20 // first of those that lines have
	lineVectors      = 0x40
	vectorReschedule = 0x60
	vectorFlush      = 0x61
	vectorTimer      = 0x70
	vectorSpurious   = 0x7f
)

// trapEntry handles every exception and interrupt.
func trapEntry(r *regs) {
	t := self()
	nested := t.inNucleus(r)
	switch {
	case r.vector == amd64.VectorPF:
		pageFault(t, r, nested)
	case r.vector < 32:
		exception(r, nested)
	case r.vector == vectorTimer:
		endInterrupt()
		timerInterrupt()
	case r.vector == vectorReschedule:
		endInterrupt()
		rescheduleInterrupt()
	case r.vector == vectorFlush:
		endInterrupt()
		flushIfAsked()
	case r.vector == vectorSpurious:
	default:
		lineInterrupt(r.vector)
		endInterrupt()
	}
	if !nested {
		preempt()
	}
}

// Page-fault error code bits (SDM 4.7).
const (
	pfWrite = 1 << 1
	pfRsvd  = 1 << 3
	pfExec  = 1 << 4
)

func pageFault(t *thread, r *regs, nested bool) {
	a := amd64.ReadCR2()
	if r.err&pfRsvd != 0 {
		fatalTrap(r, "page tables are broken")
	}
	if nested && memory.held != 0 && a >= userEnd {
		fatalTrap(r, "page fault")
	}
	code := fault(a, r.err&pfWrite != 0, r.err&pfExec != 0)
	if code == 0 {
		return
	}
	if code == noMemory {
		outOfMemory(r, a, nested)
		return
	}
	if nested {
		fatalTrap(r, "page fault")
	}
	raiseFault(r, syscall.SIGSEGV, code, a)
}

// exception turns the CPU's complaints about the program into the signals of
// Linux (arch/x86/kernel/traps.c), and those about the nucleus into a report.
func exception(r *regs, nested bool) {
	if nested {
		fatalTrap(r, "exception")
	}
	switch r.vector {
	case amd64.VectorDE:
		raiseFault(r, syscall.SIGFPE, 1 /* FPE_INTDIV */, r.rip)
	case amd64.VectorMF, amd64.VectorXM:
		raiseFault(r, syscall.SIGFPE, 7 /* FPE_FLTINV */, r.rip)
	case amd64.VectorDB:
		raiseFault(r, syscall.SIGTRAP, 2 /* TRAP_TRACE */, r.rip)
	case amd64.VectorBP:
		raiseFault(r, syscall.SIGTRAP, siKernel, 0)
	case amd64.VectorUD:
		raiseFault(r, syscall.SIGILL, 2 /* ILL_ILLOPN */, r.rip)
	case amd64.VectorAC:
		raiseFault(r, syscall.SIGBUS, 1 /* BUS_ADRALN */, 0)
	case amd64.VectorSS, amd64.VectorGP:
		// An address that is not canonical: no CR2 tells which.
		raiseFault(r, syscall.SIGSEGV, siKernel, 0)
	case vectorNMI:
		stopIfAsked()
		fatalTrap(r, "non-maskable interrupt")
	case vectorDF:
		fatalTrap(r, "double fault (nucleus stack overflow?)")
	case vectorMC:
		fatalTrap(r, "machine check: broken hardware")
	default:
		fatalTrap(r, "exception")
	}
}
