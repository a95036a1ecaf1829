// Package amd64 names the registers and instructions of 64-bit x86 that the
// nucleus needs. Every function is one instruction, or the few that belong
// together; none touches the stack, a lock or the Go heap, so they may be
// called in any mode. References are to the Intel 64 and IA-32 Architectures
// Software Developer's Manual (SDM), order number 325462, volume 3 unless said.
package amd64

// Control register bits (SDM 2.5).
const (
	CR0_MP = 1 << 1
	CR0_NE = 1 << 5
	CR0_WP = 1 << 16

	CR4_OSFXSR     = 1 << 9
	CR4_OSXMMEXCPT = 1 << 10
	CR4_FSGSBASE   = 1 << 16
	CR4_OSXSAVE    = 1 << 18
)

// Model-specific registers (SDM volume 4).
const (
	IA32_APIC_BASE    = 0x1b
	IA32_TSC_DEADLINE = 0x6e0
	IA32_EFER         = 0xc0000080
	IA32_STAR         = 0xc0000081
	IA32_LSTAR        = 0xc0000082
	IA32_FMASK        = 0xc0000084
	IA32_FS_BASE      = 0xc0000100
	IA32_GS_BASE      = 0xc0000101

	EFER_SCE = 1 << 0
	EFER_LME = 1 << 8
	EFER_NXE = 1 << 11

	APIC_BASE_ENABLE = 1 << 11
	APIC_BASE_X2APIC = 1 << 10
	X2APIC_MSR       = 0x800 // first MSR of the x2APIC register space (SDM 11.12.1.2)
)

// Page-table entry bits (SDM 4.5).
const (
	PTE_P   = 1 << 0
	PTE_W   = 1 << 1
	PTE_PWT = 1 << 3
	PTE_PCD = 1 << 4
	PTE_A   = 1 << 5
	PTE_D   = 1 << 6
	PTE_PS  = 1 << 7
	PTE_G   = 1 << 8
	PTE_NX  = 1 << 63

	PTE_ADDR = 0x000ffffffffff000
)

// Segment selectors of the global descriptor table that every CPU loads.
// SYSCALL loads CS from STAR and SS from the selector after it (SDM 5.8.8).
const (
	KernelCS = 0x08
	KernelSS = 0x10
	FirstTSS = 0x18
)

// RFLAGS bits.
const (
	FlagTF = 1 << 8
	FlagIF = 1 << 9
	FlagDF = 1 << 10
	FlagAC = 1 << 18
)

// Exception vectors (SDM 6.3.1).
const (
	VectorDE  = 0
	VectorDB  = 1
	VectorNMI = 2
	VectorBP  = 3
	VectorUD  = 6
	VectorDF  = 8
	VectorSS  = 12
	VectorGP  = 13
	VectorPF  = 14
	VectorMF  = 16
	VectorAC  = 17
	VectorMC  = 18
	VectorXM  = 19
)

// In8 reads an I/O port.
func In8(port uint16) uint8

// Out8 writes an I/O port.
func Out8(port uint16, v uint8)

// In16 reads an I/O port of 16 bits.
func In16(port uint16) uint16

// Out16 writes an I/O port of 16 bits.
func Out16(port uint16, v uint16)

// In32 reads an I/O port of 32 bits.
func In32(port uint16) uint32

// Out32 writes an I/O port of 32 bits.
func Out32(port uint16, v uint32)

// OutBytes writes n bytes from addr to one I/O port (REP OUTSB).
func OutBytes(port uint16, addr, n uintptr)

// Rdmsr reads a model-specific register.
func Rdmsr(msr uint32) uint64

// Wrmsr writes a model-specific register.
func Wrmsr(msr uint32, v uint64)

// Cpuid executes CPUID for a leaf and subleaf.
func Cpuid(leaf, sub uint32) (a, b, c, d uint32)

// Rdtsc reads the time-stamp counter, after all earlier loads.
func Rdtsc() uint64

// Rdrand returns a random number, or false when the generator had none.
// CPUID.1:ECX bit 30 must be set.
func Rdrand() (uint64, bool)

// Rdseed is Rdrand for the seed generator. CPUID.7:EBX bit 18 must be set.
func Rdseed() (uint64, bool)

// Invlpg drops the translation of one page from this CPU's TLB.
func Invlpg(addr uintptr)

// ReadCR2 returns the address of the last page fault.
func ReadCR2() uintptr

// ReadCR3 returns the physical address of the page-table root.
func ReadCR3() uintptr

// WriteCR3 sets the page-table root and drops all non-global translations.
func WriteCR3(v uintptr)

// ReadCR0 reads control register 0.
func ReadCR0() uintptr

// WriteCR0 writes control register 0.
func WriteCR0(v uintptr)

// ReadCR4 reads control register 4.
func ReadCR4() uintptr

// WriteCR4 writes control register 4.
func WriteCR4(v uintptr)

// Lgdt loads the global descriptor table from a 10-byte pseudo-descriptor and
// reloads the data segment registers with KernelSS. CS must already be KernelCS
// or is reloaded by a far return.
func Lgdt(desc uintptr)

// Lidt loads the interrupt descriptor table from a 10-byte pseudo-descriptor.
func Lidt(desc uintptr)

// Ltr loads the task register.
func Ltr(sel uint16)

// Xsetbv writes extended control register 0 (SDM 13.3).
func Xsetbv(v uint64)

// Pause tells the CPU that it spins.
func Pause()

// Halt stops this CPU for good, interrupts off.
func Halt()

// Undefined raises the invalid-opcode exception.
func Undefined()

// Load8 reads a device register: exactly one access of 8 bits. So do the functions
// below with their width, and each is in program order with the others, since
// device memory is uncached (SDM 12.3).
func Load8(addr uintptr) uint8

// Store8 writes a device register.
func Store8(addr uintptr, v uint8)

// Load16 reads a device register.
func Load16(addr uintptr) uint16

// Store16 writes a device register.
func Store16(addr uintptr, v uint16)

// Load32 reads a device register.
func Load32(addr uintptr) uint32

// Store32 writes a device register.
func Store32(addr uintptr, v uint32)
