// Package nucleus is what an operating system owes the Go runtime: threads with
// futexes, memory, time, exceptions as signals; and the machine under them.
//
// # Programming here
//
// Code of this package runs in one of two modes (docs/design.md section 3).
//
// Nucleus mode: interrupts off, on the nucleus stack of the current thread, the
// idle thread's or the fatal stack. R14 and the TLS slot hold the thread
// structure, which begins like a runtime g with the bounds of that stack, so
// stack checks work and functions need no nosplit. There is no Go heap: nothing
// may allocate, store a pointer to memory (addresses are uintptr), defer, use
// maps, build strings or convert to interfaces. A panic is fatal. Structures
// of more than a few words are not copied: the copy would use vector registers
// above XMM15's low half, which trap entry does not save.
//
// Thread mode: ordinary Go code, interrupts on. The functions of api.go run
// there and enter the nucleus by goshawk.syscall.
//
// # Locks
//
// All are spinlocks, taken in nucleus mode only, in this order:
//
//	sched   threads, run queues, futexes, timers, signals
//	  memory  page tables and page frames
//	    console  the serial port
//	routing  interrupt vectors and I/O APICs; nothing is taken under it
//	generatorLock  the random generator; nothing is taken under it
//
// The program's memory may be touched in nucleus mode: a fault on it takes the
// memory lock. So it is not touched with that lock held.
package nucleus
