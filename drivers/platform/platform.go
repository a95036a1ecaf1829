// Package platform is what drivers need from the machine below them: memory
// that devices can reach, device registers, I/O ports and interrupts. The
// nucleus implements these interfaces for the guest, fakes do for tests.
package platform

// PageSize is the alignment of memory from Memory.Allocate in bytes.
const PageSize = 4096

// A Segment is a run of physical memory.
type Segment struct {
	Addr uint64 // physical address
	Len  uint32 // bytes
}

// Memory gives devices access to main memory. Its methods may be called by
// several goroutines at once.
type Memory interface {
	// Allocate returns size bytes of zeroed, physically contiguous memory
	// that begins at a page boundary, and its physical address. It is
	// cacheable, never moved, never collected and lives as long as the
	// machine. size is positive. An error says how much was asked for.
	Allocate(size int) (block []byte, addr uint64, err error)

	// Translate appends to dst the physical memory below p, in order,
	// neighbouring pages of p that are contiguous joined, and returns the
	// longer dst; only beyond dst's capacity it allocates. p may be any memory of the
	// program except a goroutine's stack. Pages that have never been touched
	// get memory first. The answer stays true as long as p is referenced.
	// Pages that cannot be translated are an error that names the address.
	Translate(dst []Segment, p []byte) ([]Segment, error)
}

// Registers is a window of device memory, uncached. Each method is exactly one
// access of its width, in program order with all earlier and later accesses of
// the calling CPU to registers and, as stores to uncached memory are, behind
// all its earlier stores to memory. off is in bytes, a multiple of the width,
// and inside the window.
type Registers interface {
	Load8(off uintptr) uint8
	Load16(off uintptr) uint16
	Load32(off uintptr) uint32
	Store8(off uintptr, v uint8)
	Store16(off uintptr, v uint16)
	Store32(off uintptr, v uint32)
}

// A Mapper makes device memory accessible.
type Mapper interface {
	// Map returns a window on size bytes from a physical address, which need
	// not be page aligned. An error says which range cannot be mapped.
	Map(addr uint64, size uint64) (Registers, error)
}

// Ports is the I/O port space of x86, as far as PCI needs it.
type Ports interface {
	In32(port uint16) uint32
	Out32(port uint16, v uint32)
}

// An Interrupt is one source of interrupts: an input of an interrupt
// controller or a message.
type Interrupt interface {
	// Wait parks the calling goroutine until the interrupt has been raised
	// since the last Wait returned. It may return without cause. One
	// goroutine at a time waits for an Interrupt.
	Wait()
}

// Lines gives access to the inputs of the interrupt controllers.
type Lines interface {
	// Connect enables an input, known by its global system interrupt number.
	// The trigger mode is the machine layer's business; a level-triggered
	// input must stay masked from the interrupt to the next Wait.
	Connect(irq int) (Interrupt, error)
}

// A Message is what a device writes to memory to interrupt (MSI, MSI-X).
type Message struct {
	Addr uint64
	Data uint32
}

// Messages hands out message-signalled interrupts.
type Messages interface {
	// Allocate returns a message that no other device sends and the
	// interrupt it raises. cpu counts from 0 and says which CPU should take
	// it; the machine reduces it modulo the CPUs it has.
	Allocate(cpu int) (Message, Interrupt, error)
}
