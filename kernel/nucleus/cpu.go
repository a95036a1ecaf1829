package nucleus

import (
	"sync/atomic"
	"unsafe"

	"github.com/goshawk-os/goshawk/arch/amd64"
)

const (
	maxCPUs        = 64
	bootStackSize  = 16 << 10
	idleStackSize  = 16 << 10
	stackGuard     = 928 // runtime's stackGuard (internal/abi.StackNosplitBase + StackSystem + StackSmall)
	fatalStackSize = 16 << 10
	istStackSize   = 1 << 10 // holds one trap's frame until it has moved

	gsBaseMSR = amd64.IA32_GS_BASE
	fsBaseMSR = amd64.IA32_FS_BASE

	vectorNMI = amd64.VectorNMI
	vectorDF  = amd64.VectorDF
	vectorMC  = amd64.VectorMC
)

// cpu is what a processor has of its own. GS points at it. The assembly code
// uses the fields of the first block.
type cpu struct {
	self       uintptr
	cur        uintptr // the running thread
	kstack     uintptr // where a trap frame of the running thread ends
	fatalStack uintptr // top of the stack for NMI, double fault, machine check

	id     int32 // index in cpus
	apicID uint32
	online uint32 // 1 when it takes work
	idling uint32 // 1 while it waits in HLT or is about to

	// Protected by sched.
	queue      threadList // ready threads
	timers     uintptr    // threads with a deadline, the earliest first
	sliceEnd   int64      // when the running thread's time slice ends, 0 = not running out
	armed      int64      // what the timer is set to, 0 = off
	dead       uintptr    // thread that exited and is still on its stack
	reschedule uint32     // a time slice has ended or a better thread is ready

	// Lines by vector, from vectorLine on; 0 is none. Protected by routing.
	lines     [lineVectors]uint8
	lineCount uint32 // vectors that have lines

	flushed uint32 // generation of the address space that this CPU's TLB has seen

	idle thread // runs when nothing else does

	tss     [13]uint64 // task state segment, 104 bytes, on an 8-byte boundary
	istArea [4 * istStackSize / 8]uint64
}

var (
	cpus      [maxCPUs]cpu
	cpuCount  int32 = 1 // CPUs that are online
	bootStack [bootStackSize]byte

	hasXSAVE    uint32
	hasFSGSBASE uint32
	xsaveSize   uintptr = 512
)

func current() uintptr
func thisCPU() uintptr
func waitForInterrupt()
func switchThread(save, sp, fs uintptr)
func saveVectors(area uintptr)
func loadVectors(area uintptr)
func clearPage(addr, n uintptr)
func clockNow() int64

// The names by which the runtime's assembly reaches the nucleus (goos/edits.go).
// Go 1.27's linker lets only declared names be used across packages.
//
//go:linkname seamSyscall goshawk.syscall
func seamSyscall()

//go:linkname seamNanotime1 goshawk.nanotime1
func seamNanotime1()

//go:linkname seamNow goshawk.now
func seamNow()

// What only the assembly code uses.
var (
	_ = [...]uintptr{gsBaseMSR, fsBaseMSR, vectorSyscall}
	_ = &bootStack
	_ = boot
	_ = apMain
	_ = syscallEntry
	_ = trapEntry
	_ = signals
	_ = afterSwitch
)

// entryPoints returns the addresses of the assembly code that only the CPU or a
// thread switch enters.
func entryPoints() (vectors, syscallInstruction, threadStart, apEntry uintptr)

// at turns an address into a pointer. The address is one of the nucleus's own
// or has been checked to lie in the program's part of the address space.
func at(a uintptr) unsafe.Pointer { return unsafe.Add(unsafe.Pointer(nil), a) }

func addr[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) }

func cpuAt(a uintptr) *cpu { return (*cpu)(at(a)) }

func load64(a uintptr) uint64     { return *(*uint64)(at(a)) }
func store64(a uintptr, v uint64) { *(*uint64)(at(a)) = v }
func load32(a uintptr) uint32     { return *(*uint32)(at(a)) }
func store32(a uintptr, v uint32) { *(*uint32)(at(a)) = v }

// spinlock is a lock for nucleus mode. Its holder has interrupts off and does
// not switch threads, except that sched is handed over by a switch.
type spinlock struct{ held uint32 }

func (l *spinlock) lock() {
	for !atomic.CompareAndSwapUint32(&l.held, 0, 1) {
		// Another CPU may hold the lock while it waits for our TLB.
		flushIfAsked()
		amd64.Pause()
	}
}

func (l *spinlock) unlock() { atomic.StoreUint32(&l.held, 0) }

// The segment descriptors all CPUs share: null, code, data, and a task state
// segment of two words for each CPU (SDM 3.4.5, 7.2.3).
var gdt = [3 + 2*maxCPUs]uint64{0, 0x00af9b000000ffff, 0x00cf93000000ffff}

// idt holds the gates of the vectors that have stubs.
var idt [2 * 128]uint64

// pseudoDescriptor is the operand of LGDT and LIDT: two bytes of limit in front
// of the address. The first six bytes of the structure are padding.
type pseudoDescriptor struct {
	_     [6]byte
	limit uint16
	base  uint64
}

// Interrupt stacks (IST numbers). Faults on memory and interrupts may nest once,
// so they have one each; traps leave their stack before Go code runs.
const (
	istInterrupt = 1
	istPageFault = 2
	istFatal     = 3
	istException = 4
)

// setupIDT fills the interrupt descriptor table, once.
func setupIDT() {
	base, _, _, _ := entryPoints()
	for v := uintptr(0); v < uintptr(len(idt)/2); v++ {
		ist := uint64(istInterrupt)
		switch v {
		case amd64.VectorPF:
			ist = istPageFault
		case vectorNMI, vectorDF, vectorMC:
			ist = istFatal
		default:
			if v < 32 {
				ist = istException
			}
		}
		stub := uint64(base + 16*v)
		// Type 14: interrupt gate, which turns interrupts off (SDM 6.14.1).
		idt[2*v] = stub&0xffff | amd64.KernelCS<<16 | ist<<32 | 0x8e<<40 | (stub>>16&0xffff)<<48
		idt[2*v+1] = stub >> 32
	}
}

// setupCPU loads the tables and sets the registers that a CPU needs to take
// traps.
func setupCPU(c *cpu) {
	base := addr(&c.istArea[0])
	// IST1 is at byte 36 of the segment; the fields are not aligned to 8.
	for i := uintptr(0); i < 4; i++ {
		top := uint64(base + (i+1)*istStackSize)
		p := addr(&c.tss[0]) + 36 + 8*i
		store32(p, uint32(top))
		store32(p+4, uint32(top>>32))
	}
	store32(addr(&c.tss[0])+100, 104<<16) // no I/O permission bitmap
	tss := uint64(addr(&c.tss[0]))
	slot := 3 + 2*c.id
	gdt[slot] = 103 | (tss&0xffffff)<<16 | 0x89<<40 | (tss>>24&0xff)<<56
	gdt[slot+1] = tss >> 32

	var d pseudoDescriptor
	d.limit = uint16(unsafe.Sizeof(gdt) - 1)
	d.base = uint64(addr(&gdt[0]))
	amd64.Lgdt(addr(&d.limit))
	d.limit = uint16(unsafe.Sizeof(idt) - 1)
	d.base = uint64(addr(&idt[0]))
	amd64.Lidt(addr(&d.limit))
	amd64.Ltr(uint16(8 * slot))

	_, syscallInstruction, _, _ := entryPoints()
	// SYSCALL enters at syscallInstruction with interrupts off.
	amd64.Wrmsr(amd64.IA32_STAR, amd64.KernelCS<<32)
	amd64.Wrmsr(amd64.IA32_LSTAR, uint64(syscallInstruction))
	amd64.Wrmsr(amd64.IA32_FMASK, amd64.FlagIF|amd64.FlagDF|amd64.FlagTF|amd64.FlagAC)

	cr4 := amd64.ReadCR4()
	if hasFSGSBASE != 0 {
		cr4 |= amd64.CR4_FSGSBASE
	}
	if hasXSAVE != 0 {
		cr4 |= amd64.CR4_OSXSAVE
	}
	amd64.WriteCR4(cr4)
	if hasXSAVE != 0 {
		amd64.Xsetbv(xcr0)
	}
}

// xcr0 is the set of vector states that threads have.
var xcr0 uint64

// detectCPU learns what the boot CPU offers. All CPUs are taken to be alike.
func detectCPU() {
	maxLeaf, _, _, _ := amd64.Cpuid(0, 0)
	_, _, c1, _ := amd64.Cpuid(1, 0)
	hasRdrand = c1>>30&1 != 0
	hasX2APIC = c1>>21&1 != 0
	hasTSCDeadline = c1>>24&1 != 0
	if maxLeaf >= 7 {
		_, b7, _, _ := amd64.Cpuid(7, 0)
		hasFSGSBASE = b7 & 1
		hasRdseed = b7>>18&1 != 0
	}
	if c1>>26&1 != 0 && maxLeaf >= 0xd {
		// x87, SSE, AVX, AVX-512 (SDM 13.1); not the 8 KiB of AMX, which
		// Go code does not use.
		lo, _, _, _ := amd64.Cpuid(0xd, 0)
		xcr0 = uint64(lo) & 0xe7
		if xcr0&0xe0 != 0xe0 {
			xcr0 &= 7
		}
		hasXSAVE = 1
	}
}

// sizeXSAVE asks for the size of the save area, which depends on XCR0.
func sizeXSAVE() {
	if hasXSAVE != 0 {
		_, b, _, _ := amd64.Cpuid(0xd, 0)
		xsaveSize = uintptr(b)
	}
}
