// Package acpi reads the facts a kernel needs at boot from the ACPI tables: processors, interrupt
// controllers, interrupt routing, power-off and reset. Sections and tables are those of the ACPI
// specification 6.5.
//
// It can be called before the Go runtime exists. It interprets no AML; the sleep type for power-off
// and virtio devices are found by their encoding.
package acpi

import "github.com/goshawk-os/goshawk/kernel/machine/phys"

// Limits of what Tables keeps.
const (
	MaxCPUs    = 64
	MaxIOAPICs = 8
	ISALines   = 16
)

// Tables is what the ACPI tables say. All addresses are physical.
type Tables struct {
	// LocalAPIC is the address of the local APICs' registers.
	LocalAPIC uint64
	// CPUs holds the local APIC IDs of the enabled processors, in the tables' order. Processors
	// beyond MaxCPUs are only counted, in CPUsIgnored.
	CPUs        [MaxCPUs]uint32
	CPUCount    int
	CPUsIgnored int

	IOAPICs     [MaxIOAPICs]IOAPIC
	IOAPICCount int

	// ISA says, for each of the 16 ISA interrupts, how it reaches the I/O APICs.
	ISA [ISALines]Interrupt

	// HasPIC says that the machine also has two 8259 interrupt controllers, which must be masked.
	HasPIC bool

	// HardwareReduced says that the machine has none of the PM1 and PM timer registers, and sleeps
	// by SleepControl.
	HardwareReduced bool
	SCI             uint16 // the interrupt of ACPI events: an ISA line if HasPIC, else a GSI
	PM1aControl     uint16 // I/O port of the PM1a control register, 0 if there is none
	PM1bControl     uint16 // I/O port of the PM1b control register, 0 if there is none
	PMTimer         uint16 // I/O port of the timer that counts at PMTimerFrequency, 0 if there is none
	PMTimer32       bool   // it counts with 32 bits, otherwise with 24
	Century         byte   // the RTC's register for the century, 0 if there is none

	// SleepControl is the register that a hardware-reduced machine sleeps by.
	SleepControl Register
	// Reset is the register that resets the machine when ResetValue is written to it.
	Reset      Register
	ResetValue byte

	// DSDT is the address of the table that describes devices, for ReadVirtioSlots; 0 if there is
	// none. It has not been checked.
	DSDT uint64

	// HasSleepTypes says that the values that power the machine off (state S5) were found.
	HasSleepTypes          bool
	SleepTypeA, SleepTypeB byte
}

// IOAPIC is an I/O APIC. Its first input is the global system interrupt GSIBase.
type IOAPIC struct {
	Address uint64
	ID      uint32
	GSIBase uint32
}

// Interrupt says how an interrupt reaches the I/O APICs.
type Interrupt struct {
	GSI       uint32
	ActiveLow bool
	Level     bool // level-triggered, otherwise edge-triggered
}

// Space says how a register is reached.
type Space byte

// The address spaces of registers (table 5.1). NoRegister stands for an absent register.
const (
	NoRegister  Space = 0
	MemorySpace Space = 1
	PortSpace   Space = 2
)

// Register is a register of one byte: the memory address or I/O port is in Address.
type Register struct {
	Space   Space
	Address uint64
}

// PMTimerFrequency is the frequency of the power management timer in hertz (section 4.8.3.3).
const PMTimerFrequency = 3_579_545

// PM1Sleep returns the value to write to a PM1 control register to enter the sleep state with the
// given type (table 4.13): the type in bits 10 to 12, and SLP_EN.
func PM1Sleep(sleepType byte) uint16 {
	return uint16(sleepType&7)<<10 | 1<<13
}

// SleepControlSleep returns the value to write to the sleep control register to enter the sleep
// state with the given type (table 4.19): the type in bits 2 to 4, and SLP_EN.
func SleepControlSleep(sleepType byte) byte {
	return sleepType&7<<2 | 1<<5
}

// Failure says why the tables were refused. OK is its zero value.
type Failure uint8

// The failures of Read.
const (
	OK Failure = iota
	NoRSDP
	BadRSDP
	BadRootTable
	NoMADT
	BadMADT
	NoCPU
	BadFADT
)

// String describes the failure in words for the console.
func (f Failure) String() string {
	switch f {
	case OK:
		return "ok"
	case NoRSDP:
		return "ACPI: no root pointer found"
	case BadRSDP:
		return "ACPI: the root pointer is damaged"
	case BadRootTable:
		return "ACPI: the table of tables (XSDT or RSDT) is missing or damaged"
	case NoMADT:
		return "ACPI: the table of processors (MADT) is missing or damaged"
	case BadMADT:
		return "ACPI: an entry of the table of processors (MADT) is damaged"
	case NoCPU:
		return "ACPI: the table of processors (MADT) names no enabled processor"
	case BadFADT:
		return "ACPI: the fixed description table (FADT) is missing or damaged"
	}
	return "ACPI: unknown failure"
}

// Signatures, as little-endian words.
const (
	signatureRSDP = 0x2052_5450_2044_5352 // "RSD PTR "
	signatureXSDT = 0x5444_5358
	signatureRSDT = 0x5444_5352
	signatureMADT = 0x4349_5041 // "APIC"
	signatureFADT = 0x5043_4146 // "FACP"
	signatureDSDT = 0x5444_5344
	signatureSSDT = 0x5444_5353
)

// The header of every table but the RSDP (table 5.4).
const (
	tableLength   = 4
	tableRevision = 8
	headerSize    = 36
	// maxTableSize bounds the tables that are read; a longer one is taken for damaged.
	maxTableSize = 16 << 20
)

// Offsets in the RSDP (table 5.3).
const (
	rsdpRevision = 15
	rsdpRSDT     = 16
	rsdpLength   = 20
	rsdpXSDT     = 24
	rsdpSize1    = 20 // bytes of revision 0
	rsdpSize2    = 36 // bytes of revision 2
)

// Find searches the RSDP where PC firmware puts it (section 5.2.5.1): on 16-byte boundaries in the
// first KiB of the extended BIOS data area and in the area 0xE0000 to 0xFFFFF. It returns its
// address, or 0.
func Find(memory phys.Memory) uint64 {
	const ebdaSegment = 0x40e // the BIOS data area's word that holds the EBDA's segment
	if ebda := uint64(memory.Uint16(ebdaSegment)) << 4; ebda >= 0x80000 {
		if at := findIn(memory, ebda, ebda+1024); at != 0 {
			return at
		}
	}
	return findIn(memory, 0xe0000, 0x100000)
}

func findIn(memory phys.Memory, from, to uint64) uint64 {
	for at := from; at < to; at += 16 {
		if memory.Uint64(at) == signatureRSDP && rsdpIsValid(memory, at) {
			return at
		}
	}
	return 0
}

func rsdpIsValid(memory phys.Memory, rsdp uint64) bool {
	if memory.Uint64(rsdp) != signatureRSDP || !sumsToZero(memory, rsdp, rsdpSize1) {
		return false
	}
	if memory.Byte(rsdp+rsdpRevision) < 2 {
		return true
	}
	length := uint64(memory.Uint32(rsdp + rsdpLength))
	return length >= rsdpSize2 && length <= 4096 && sumsToZero(memory, rsdp, length)
}

// sumsToZero reports whether the bytes are in memory and add up to 0 modulo 256.
func sumsToZero(memory phys.Memory, address, n uint64) bool {
	if !memory.Has(address, n) {
		return false
	}
	sum := byte(0)
	for i := range n {
		sum += *(*byte)(memory.Pointer(address + i))
	}
	return sum == 0
}

// table returns the length of the valid table with the given signature at address, or 0.
func table(memory phys.Memory, address uint64, signature uint32) uint64 {
	if address == 0 || memory.Uint32(address) != signature {
		return 0
	}
	length := uint64(memory.Uint32(address + tableLength))
	if length < headerSize || length > maxTableSize || !sumsToZero(memory, address, length) {
		return 0
	}
	return length
}

// root is the XSDT or RSDT.
type root struct {
	address   uint64
	entrySize uint64 // bytes: 8 or 4
	entries   uint64
}

func (r root) entry(memory phys.Memory, i uint64) uint64 {
	at := r.address + headerSize + i*r.entrySize
	if r.entrySize == 8 {
		return memory.Uint64(at)
	}
	return uint64(memory.Uint32(at))
}

// find returns the address and length of the first valid table with the signature, or 0.
func (r root) find(memory phys.Memory, signature uint32) (address, length uint64) {
	for i := range r.entries {
		address = r.entry(memory, i)
		if length = table(memory, address, signature); length != 0 {
			return address, length
		}
	}
	return 0, 0
}

func readRoot(memory phys.Memory, rsdp uint64) (root, Failure) {
	if !rsdpIsValid(memory, rsdp) {
		return root{}, BadRSDP
	}
	if memory.Byte(rsdp+rsdpRevision) >= 2 {
		xsdt := memory.Uint64(rsdp + rsdpXSDT)
		if length := table(memory, xsdt, signatureXSDT); length != 0 {
			return root{xsdt, 8, (length - headerSize) / 8}, OK
		}
	}
	rsdt := uint64(memory.Uint32(rsdp + rsdpRSDT))
	if length := table(memory, rsdt, signatureRSDT); length != 0 {
		return root{rsdt, 4, (length - headerSize) / 4}, OK
	}
	return root{}, BadRootTable
}

// Read fills in tables, whose former content is lost. rsdp is the address of the root pointer that
// the boot loader named, or 0 to search for it. On a failure the content of tables is not to be
// used.
func Read(tables *Tables, memory phys.Memory, rsdp uint64) Failure {
	*tables = Tables{}
	if rsdp == 0 {
		if rsdp = Find(memory); rsdp == 0 {
			return NoRSDP
		}
	}
	root, failure := readRoot(memory, rsdp)
	if failure != OK {
		return failure
	}
	madt, length := root.find(memory, signatureMADT)
	if length == 0 {
		return NoMADT
	}
	if failure = readMADT(tables, memory, madt, length); failure != OK {
		return failure
	}
	fadt, length := root.find(memory, signatureFADT)
	if length == 0 {
		return BadFADT
	}
	return readFADT(tables, memory, root, fadt, length)
}
