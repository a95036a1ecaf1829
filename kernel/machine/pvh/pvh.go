// Package pvh reads what a PVH loader hands over: the structure hvm_start_info of Xen's
// public/arch-x86/hvm/start_info.h, versions 0 and 1.
//
// It can be called before the Go runtime exists.
package pvh

import "github.com/goshawk-os/goshawk/kernel/machine/phys"

// Limits of what Info keeps. A boot loader that hands over more is refused, since a memory map with
// a missing entry could give away memory that is in use.
const (
	MaxRegions = 128
	MaxModules = 8
	// MaxCommandLine bounds the search for the command line's end, in bytes.
	MaxCommandLine = 1 << 16
)

// RegionType says what a region of the memory map is for, with the numbers of the E820 interface.
type RegionType uint32

// The types of the memory map.
const (
	RAM              RegionType = 1
	Reserved         RegionType = 2
	ACPIReclaimable  RegionType = 3
	ACPINonvolatile  RegionType = 4
	Unusable         RegionType = 5
	Disabled         RegionType = 6
	PersistentMemory RegionType = 7
)

// Region is one entry of the memory map. Address+Size does not overflow.
type Region struct {
	Address uint64
	Size    uint64 // bytes
	Type    RegionType
}

// Module is a file that the loader put into memory. Address+Size does not overflow.
type Module struct {
	Address     uint64
	Size        uint64 // bytes
	CommandLine uint64 // physical address of a NUL-terminated string, 0 if there is none
}

// Info is the content of the start info structure. All addresses are physical.
type Info struct {
	// CommandLine is where the command line begins, 0 if there is none; CommandLineSize is its
	// length in bytes without the terminating NUL.
	CommandLine     uint64
	CommandLineSize uint64
	// RSDP is the address of ACPI's root pointer, 0 if the loader did not say.
	RSDP uint64

	Regions     [MaxRegions]Region
	RegionCount int
	Modules     [MaxModules]Module
	ModuleCount int
}

// Failure says why a start info structure was refused. OK is its zero value.
type Failure uint8

// The failures of Read.
const (
	OK Failure = iota
	OutOfMemoryMap
	BadMagic
	NoMemoryMap
	TooManyRegions
	BadRegion
	TooManyModules
	BadModule
	UnterminatedCommandLine
)

// String describes the failure in words for the console.
func (f Failure) String() string {
	switch f {
	case OK:
		return "ok"
	case OutOfMemoryMap:
		return "PVH start info: a structure lies outside the mapped memory"
	case BadMagic:
		return "PVH start info: wrong magic number, the loader does not speak PVH"
	case NoMemoryMap:
		return "PVH start info: no memory map, the loader is too old (version 0)"
	case TooManyRegions:
		return "PVH start info: more than 128 memory map entries"
	case BadRegion:
		return "PVH start info: a memory map entry exceeds the address space"
	case TooManyModules:
		return "PVH start info: more than 8 modules"
	case BadModule:
		return "PVH start info: a module exceeds the address space"
	case UnterminatedCommandLine:
		return "PVH start info: the command line has no end"
	}
	return "PVH start info: unknown failure"
}

// Offsets in hvm_start_info, hvm_modlist_entry and hvm_memmap_table_entry.
const (
	magic = 0x336ec578

	startMagic        = 0
	startVersion      = 4
	startModuleCount  = 12
	startModules      = 16
	startCommandLine  = 24
	startRSDP         = 32
	startRegions      = 40
	startRegionCount  = 48
	startSizeVersion0 = 40
	startSizeVersion1 = 56
	moduleAddress     = 0
	moduleSize        = 8
	moduleCommandLine = 16
	moduleEntrySize   = 32
	regionAddress     = 0
	regionSize        = 8
	regionType        = 16
	regionEntrySize   = 24
	maxUint64         = 1<<64 - 1
)

// Read fills in info from the start info structure at the physical address start, which the loader
// passed in EBX. On a failure the content of info is not to be used.
func Read(info *Info, memory phys.Memory, start uint64) Failure {
	if !memory.Has(start, startSizeVersion0) {
		return OutOfMemoryMap
	}
	if memory.Uint32(start+startMagic) != magic {
		return BadMagic
	}
	if memory.Uint32(start+startVersion) < 1 {
		return NoMemoryMap
	}
	if !memory.Has(start, startSizeVersion1) {
		return OutOfMemoryMap
	}
	info.RSDP = memory.Uint64(start + startRSDP)
	if f := readRegions(info, memory, start); f != OK {
		return f
	}
	if f := readModules(info, memory, start); f != OK {
		return f
	}
	return readCommandLine(info, memory, memory.Uint64(start+startCommandLine))
}

func readRegions(info *Info, memory phys.Memory, start uint64) Failure {
	table := memory.Uint64(start + startRegions)
	n := memory.Uint32(start + startRegionCount)
	if table == 0 || n == 0 {
		return NoMemoryMap
	}
	if n > MaxRegions {
		return TooManyRegions
	}
	if !memory.Has(table, uint64(n)*regionEntrySize) {
		return OutOfMemoryMap
	}
	info.RegionCount = int(n)
	for i := range info.RegionCount {
		entry := table + uint64(i)*regionEntrySize
		r := &info.Regions[i]
		r.Address = memory.Uint64(entry + regionAddress)
		r.Size = memory.Uint64(entry + regionSize)
		r.Type = RegionType(memory.Uint32(entry + regionType))
		if r.Size > maxUint64-r.Address {
			return BadRegion
		}
	}
	return OK
}

func readModules(info *Info, memory phys.Memory, start uint64) Failure {
	table := memory.Uint64(start + startModules)
	n := memory.Uint32(start + startModuleCount)
	if n > MaxModules {
		return TooManyModules
	}
	if !memory.Has(table, uint64(n)*moduleEntrySize) {
		return OutOfMemoryMap
	}
	info.ModuleCount = int(n)
	for i := range info.ModuleCount {
		entry := table + uint64(i)*moduleEntrySize
		m := &info.Modules[i]
		m.Address = memory.Uint64(entry + moduleAddress)
		m.Size = memory.Uint64(entry + moduleSize)
		m.CommandLine = memory.Uint64(entry + moduleCommandLine)
		if m.Size > maxUint64-m.Address {
			return BadModule
		}
	}
	return OK
}

func readCommandLine(info *Info, memory phys.Memory, line uint64) Failure {
	info.CommandLine = line
	info.CommandLineSize = 0
	if line == 0 {
		return OK
	}
	for n := range uint64(MaxCommandLine) {
		if !memory.Has(line, n+1) {
			return OutOfMemoryMap
		}
		if memory.Byte(line+n) == 0 {
			info.CommandLineSize = n
			return OK
		}
	}
	return UnterminatedCommandLine
}
