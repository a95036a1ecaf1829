package nucleus

import (
	"runtime"
	"syscall"
	"unsafe"

	"github.com/goshawk-os/goshawk/arch/amd64"
	"github.com/goshawk-os/goshawk/kernel/machine/acpi"
	"github.com/goshawk-os/goshawk/kernel/machine/phys"
	"github.com/goshawk-os/goshawk/kernel/machine/pvh"
)

// What drivers need of the machine, for thread mode; boot/devices makes the
// interfaces of drivers/platform of it.

// MaxContiguous is the most that Contiguous returns, in bytes.
const MaxContiguous = hugeSize

// Contiguous returns n bytes, up to MaxContiguous, of zeroed memory that begins at
// a page boundary and has consecutive physical addresses, of which the first is
// addr. It is nil if there is no such memory. It is never freed.
func Contiguous(n int) (block []byte, addr uint64) {
	if n <= 0 || n > MaxContiguous {
		return nil, 0
	}
	p, err := Raw(callAllocate, uintptr(n), 0, 0, 0, 0, 0)
	if err != 0 {
		return nil, 0
	}
	block = unsafe.Slice((*byte)(at(directMap+p)), n)
	clear(block)
	return block, uint64(p)
}

// allocateContiguous returns the physical address of memory for Contiguous.
func allocateContiguous(n uintptr) uintptr {
	pages := (n + pageSize - 1) >> pageShift
	order := 0
	for 1<<order < pages {
		order++
	}
	if order > maxOrder {
		return errno(syscall.ENOMEM)
	}
	memory.lock()
	p := uintptr(0)
	if freeFrames > reserve+1<<order {
		p = allocFrames(order)
	}
	if p == 0 {
		memory.unlock()
		return errno(syscall.ENOMEM)
	}
	// Halves that are not needed go back.
	for q := p; order > 0 && pages != 1<<order; {
		order--
		if half := uintptr(1) << order; pages <= half {
			freeBlock(q+half<<pageShift, order)
		} else {
			q += half << pageShift
			pages -= half
		}
	}
	memory.unlock()
	return p
}

// Physical returns the physical address of the memory at p, and how many of p's
// bytes have consecutive physical addresses from there on. Pages that have never
// been touched get memory first. The answer holds as long as p is referenced, or,
// if p is memory that the program has mapped itself, as long as it is mapped and
// not given back by madvise. n is 0 if p may not be accessed.
//
// It reads the page tables without a lock: the entries that lead to p stay as long
// as p does, or are replaced by others that mean the same.
func Physical(p []byte) (addr uint64, n int) {
	a := uintptr(unsafe.Pointer(unsafe.SliceData(p)))
	// Each piece of each frame comes by here.
	if addr = physicalInPage(a, uintptr(len(p))); addr != 0 {
		return addr, len(p)
	}
	if a-directMap < threadArea-directMap {
		return uint64(a - directMap), len(p)
	}
	addr, n = translateRange(a, len(p))
	runtime.KeepAlive(p)
	return addr, n
}

// physicalInPage returns the physical address of a, or 0 unless the n bytes there
// lie in one page of the program that has memory.
func physicalInPage(a, n uintptr) uint64 {
	if a >= userEnd {
		return 0
	}
	const next = amd64.PTE_P | amd64.PTE_PS // of an entry that leads to a table: the first alone
	e := load64(directMap + rootTable + a>>39&511*8)
	if e&amd64.PTE_P == 0 {
		return 0
	}
	e = load64(directMap + uintptr(e&amd64.PTE_ADDR) + a>>30&511*8)
	if e&next != amd64.PTE_P {
		return 0
	}
	e = load64(directMap + uintptr(e&amd64.PTE_ADDR) + a>>21&511*8)
	off, size := a&(hugeSize-1), uintptr(hugeSize)
	if e&next == amd64.PTE_P {
		e = load64(directMap + uintptr(e&amd64.PTE_ADDR) + a>>12&511*8)
		off, size = a&(pageSize-1), pageSize
	}
	if e&amd64.PTE_P == 0 || n > size-off {
		return 0
	}
	return e&amd64.PTE_ADDR + uint64(off)
}

// translateRange is Physical by address, of whatever is there.
func translateRange(a uintptr, most int) (addr uint64, n int) {
	addr, n = translate(a)
	for 0 < n && n < most {
		next, more := translate(a + uintptr(n))
		if more == 0 || next != addr+uint64(n) {
			break
		}
		n += more
	}
	return addr, min(n, most)
}

// Address returns the address of p, for messages.
func Address(p []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(p))) }

// translate returns the physical address of a and the bytes from there to the end
// of its page, 0 if it may not be accessed.
func translate(a uintptr) (addr uint64, n int) {
	if a >= userEnd {
		return 0, 0
	}
	for {
		_, e, level := lookup(a)
		switch {
		case isPresent(e):
			size := uintptr(1) << levelShift(level)
			off := a & (size - 1)
			return uint64(frameOf(e)&^(size-1) + off), int(size - off)
		case e&entryReserved == 0 || e&protMask == 0 || e&entryParked != 0:
			return 0, 0
		}
		touch(a)
	}
}

// deviceArea is where device memory for drivers is mapped, upwards.
const deviceArea = 0xffff_8100_0000_0000

var deviceCursor uintptr = deviceArea

// MapDevice makes n bytes of device memory from a physical address on accessible,
// uncached, and returns where. Errors are EINVAL for what is no device memory, and
// ENOMEM.
func MapDevice(addr, n uint64) (uintptr, syscall.Errno) {
	return Raw(callMapDevice, uintptr(addr), uintptr(n), 0, 0, 0, 0)
}

func mapDeviceMemory(p, n uintptr) uintptr {
	bits, _, _, _ := amd64.Cpuid(0x80000008, 0) // physical address bits (SDM volume 2, CPUID)
	limit := uintptr(1) << (bits & 0xff & 63)
	if n == 0 || p >= limit || n > limit-p || n > 1<<30 {
		return errno(syscall.EINVAL)
	}
	for i := 0; i < info.RegionCount; i++ {
		if r := &info.Regions[i]; r.Type == pvh.RAM && uint64(p) < r.Address+r.Size && r.Address < uint64(p+n) {
			return errno(syscall.EINVAL)
		}
	}
	first := p &^ (pageSize - 1)
	size := (p + n - first + pageSize - 1) &^ (pageSize - 1)
	memory.lock()
	a := deviceCursor
	deviceCursor += size
	ok := mapRange(a, size, uint64(first)|leafBits(syscall.PROT_READ|syscall.PROT_WRITE)|amd64.PTE_PCD|amd64.PTE_PWT, 0)
	memory.unlock()
	if !ok {
		return errno(syscall.ENOMEM)
	}
	return a + p - first
}

// Connect gives an input of the I/O APICs, by its global system interrupt number,
// a line. Errors are ENODEV if there is no such input, EBUSY if it has a line, and
// ENOSPC if lines have run out.
func Connect(gsi uint32) (line int, err syscall.Errno) {
	r, err := Raw(callConnect, uintptr(gsi), 0, 0, 0, 0, 0)
	return int(r), err
}

// Message returns a new line, and the message (MSI) that raises it: what a device
// writes and where. It interrupts the CPU with this number modulo the number of
// CPUs, or another if that has no vector left. The error is ENOSPC.
func Message(cpu int) (line int, addr uint64, data uint32, err syscall.Errno) {
	r, err := Raw(callMessage, uintptr(uint32(cpu)), 0, 0, 0, 0, 0)
	if err != 0 {
		return 0, 0, 0, err
	}
	return int(r & 0xff), uint64(r >> 32), uint32(r >> 8 & 0xff), 0
}

// Wait parks the calling goroutine until an interrupt line has been raised since
// the last Wait for it. It may return without cause. One goroutine may wait for a
// line.
func Wait(line int) {
	if routes[line].masked != 0 {
		Raw(callUnmask, uintptr(line), 0, 0, 0, 0, 0)
	}
	waitLine(line)
}

// Seed mixes entropy into the generator of Random.
func Seed(entropy *[32]byte) {
	Raw(callSeed, uintptr(unsafe.Pointer(entropy)), 0, 0, 0, 0, 0)
	runtime.KeepAlive(entropy)
}

// VirtioSlots fills in the virtio-mmio devices that ACPI names.
func VirtioSlots(slots *acpi.VirtioSlots) {
	acpi.ReadVirtioSlots(slots, phys.Memory{Base: directMap, Size: uint64(topOfMemory())}, tables.DSDT)
}
