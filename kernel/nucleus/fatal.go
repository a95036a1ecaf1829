package nucleus

import (
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/goshawk-os/goshawk/arch/amd64"
)

// say prints a string constant. It needs no lock that a failing CPU may hold.
func say(s string) { send(uintptr(unsafe.Pointer(unsafe.StringData(s))), uintptr(len(s))) }

// sayNumber prints n in a base of 10 or 16.
func sayNumber(n uint64, base uint64) {
	var digits [20]byte
	i := len(digits)
	for {
		i--
		digits[i] = "0123456789abcdef"[n%base]
		n /= base
		if n == 0 {
			break
		}
	}
	send(addr(&digits[i]), uintptr(len(digits)-i))
}

func sayHex(name string, v uintptr) {
	say(name)
	say("0x")
	sayNumber(uint64(v), 16)
}

// stopping is set by the first CPU that fails.
var stopping uint32

// stopOthers makes the other CPUs halt, whatever they do.
func stopOthers() {
	if !atomic.CompareAndSwapUint32(&stopping, 0, 1) {
		amd64.Halt()
	}
	me := thisCPU()
	for i := int32(0); i < atomic.LoadInt32(&cpuCount); i++ {
		if c := &cpus[i]; addr(c) != me {
			sendCommand(c.apicID, icrAssert|icrNMI)
		}
	}
}

// stopIfAsked ends a CPU that another one has stopped.
func stopIfAsked() {
	if atomic.LoadUint32(&stopping) != 0 {
		amd64.Halt()
	}
}

// fatal reports a condition that the nucleus cannot go on with.
func fatal(why string) {
	stopOthers()
	say("\ngoshawk: fatal: ")
	say(why)
	say("\n")
	powerOff(exitFailure)
}

// fatalTrap reports a trap in nucleus mode, or one that nothing handles: what,
// registers, and where.
func fatalTrap(r *regs, why string) {
	stopOthers()
	say("\ngoshawk: fatal: ")
	say(why)
	sayHex(" (vector ", r.vector)
	sayHex(", error ", r.err)
	sayHex(") address ", amd64.ReadCR2())
	say(", CPU ")
	sayNumber(uint64(cpuAt(thisCPU()).id), 10)
	say(", thread ")
	sayNumber(uint64(self().tid), 10)
	say("\n")
	sayRegisters(r)
	sayBacktrace(r)
	powerOff(exitFailure)
}

func sayRegisters(r *regs) {
	sayHex("  rip ", r.rip)
	sayHex("  rsp ", r.rsp)
	sayHex("  rflags ", r.rflags)
	sayHex("\n  rax ", r.ax)
	sayHex("  rbx ", r.bx)
	sayHex("  rcx ", r.cx)
	sayHex("  rdx ", r.dx)
	sayHex("\n  rsi ", r.si)
	sayHex("  rdi ", r.di)
	sayHex("  rbp ", r.bp)
	sayHex("  r8 ", r.r8)
	sayHex("\n  r9 ", r.r9)
	sayHex("  r10 ", r.r10)
	sayHex("  r11 ", r.r11)
	sayHex("  r12 ", r.r12)
	sayHex("\n  r13 ", r.r13)
	sayHex("  r14 ", r.r14)
	sayHex("  r15 ", r.r15)
	sayHex("  cr3 ", amd64.ReadCR3())
	say("\n")
}

// sayBacktrace follows the frame pointers that Go functions keep.
func sayBacktrace(r *regs) {
	sayFrame(r.rip)
	fp := r.bp
	for i := 0; i < 30 && fp != 0 && fp&7 == 0 && readable(fp) && readable(fp+8); i++ {
		pc := uintptr(load64(fp + 8))
		if pc == 0 {
			return
		}
		sayFrame(pc - 1)
		next := uintptr(load64(fp))
		if next <= fp {
			return
		}
		fp = next
	}
}

func sayFrame(pc uintptr) {
	name, file, line := symbol(pc)
	if name == "" {
		sayHex("  ", pc)
		say("\n")
		return
	}
	say("  ")
	say(name)
	say("\n      ")
	say(file)
	say(":")
	sayNumber(uint64(line), 10)
	sayHex(" ", pc)
	say("\n")
}

// readable tells whether an address can be read without a fault.
func readable(a uintptr) bool {
	if a >= userEnd && a < directMap {
		return false
	}
	_, e, _ := lookup(a)
	return isPresent(e)
}

// unhandledFault ends the program on a fault that has no handler or is masked,
// as Linux does: the exit status is 128 plus the signal.
func unhandledFault(r *regs, sig int) {
	stopOthers()
	say("\ngoshawk: the program died of signal ")
	sayNumber(uint64(sig), 10)
	sayHex(" at address ", self().faultAddr)
	say("\n")
	sayRegisters(r)
	sayBacktrace(r)
	powerOff(128 + sig)
}

// outOfMemory tells that a page the program may use has no memory left to come
// from. The first time the reserve is opened and the program gets SIGBUS, so that
// the runtime says where and ends with status 2; after that it ends here, with
// the status of a process that Linux kills for the same reason.
func outOfMemory(r *regs, a uintptr, nested bool) {
	again := exhausted || nested
	exhausted = true
	say("\ngoshawk: out of memory: all ")
	sayNumber(totalFrames>>8, 10)
	say(" MiB are in use; give the machine more (goshawk run -mem)\n")
	if again {
		stopOthers()
		powerOff(128 + 9)
	}
	raiseFault(r, syscall.SIGBUS, 2 /* BUS_ADRERR */, a)
}
