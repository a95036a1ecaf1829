package acpi

import "github.com/goshawk-os/goshawk/kernel/machine/phys"

// Offsets in the MADT (table 5.19) and the types of its entries (table 5.21).
const (
	madtLocalAPIC = 36
	madtFlags     = 40
	madtEntries   = 44

	madtHasPIC = 1 << 0 // PCAT_COMPAT

	entryLocalAPIC         = 0
	entryIOAPIC            = 1
	entryOverride          = 2
	entryLocalAPICOverride = 5
	entryLocalX2APIC       = 9

	cpuEnabled = 1 << 0
)

func readMADT(t *Tables, memory phys.Memory, madt, length uint64) Failure {
	if length < madtEntries {
		return BadMADT
	}
	t.LocalAPIC = uint64(memory.Uint32(madt + madtLocalAPIC))
	t.HasPIC = memory.Uint32(madt+madtFlags)&madtHasPIC != 0
	for i := range t.ISA {
		t.ISA[i] = Interrupt{GSI: uint32(i)}
	}
	for at, end := madt+madtEntries, madt+length; at < end; {
		left := end - at
		if left < 2 {
			return BadMADT
		}
		size := uint64(memory.Byte(at + 1))
		if size < 2 || size > left || !readEntry(t, memory, at, size) {
			return BadMADT
		}
		at += size
	}
	if t.CPUCount == 0 {
		return NoCPU
	}
	return OK
}

// readEntry takes the entry of the given size in bytes over. It reports false if the entry is too
// short for its type.
func readEntry(t *Tables, memory phys.Memory, at, size uint64) bool {
	switch memory.Byte(at) {
	case entryLocalAPIC: // table 5.21
		if size < 8 {
			return false
		}
		if memory.Uint32(at+4)&cpuEnabled != 0 {
			addCPU(t, uint32(memory.Byte(at+3)))
		}
	case entryLocalX2APIC: // table 5.34
		if size < 16 {
			return false
		}
		if memory.Uint32(at+8)&cpuEnabled != 0 {
			addCPU(t, memory.Uint32(at+4))
		}
	case entryIOAPIC: // table 5.24
		if size < 12 {
			return false
		}
		if t.IOAPICCount < MaxIOAPICs {
			t.IOAPICs[t.IOAPICCount] = IOAPIC{
				ID:      uint32(memory.Byte(at + 2)),
				Address: uint64(memory.Uint32(at + 4)),
				GSIBase: memory.Uint32(at + 8),
			}
			t.IOAPICCount++
		}
	case entryOverride: // table 5.25
		if size < 10 {
			return false
		}
		const isaBus = 0
		if line := memory.Byte(at + 3); memory.Byte(at+2) == isaBus && line < ISALines {
			t.ISA[line] = override(memory.Uint32(at+4), memory.Uint16(at+8))
		}
	case entryLocalAPICOverride: // table 5.28
		if size < 12 {
			return false
		}
		t.LocalAPIC = memory.Uint64(at + 4)
	}
	return true
}

// addCPU adds a processor, unless it is there already: firmware may list one as both an APIC and an
// x2APIC.
func addCPU(t *Tables, id uint32) {
	for i := range t.CPUCount {
		if t.CPUs[i] == id {
			return
		}
	}
	if t.CPUCount == MaxCPUs {
		t.CPUsIgnored++
		return
	}
	t.CPUs[t.CPUCount] = id
	t.CPUCount++
}

// override decodes the MPS INTI flags (table 5.26). What conforms to the bus is, on the ISA bus,
// active high and edge-triggered.
func override(gsi uint32, flags uint16) Interrupt {
	const (
		polarityLow  = 3
		triggerLevel = 3
	)
	return Interrupt{
		GSI:       gsi,
		ActiveLow: flags&3 == polarityLow,
		Level:     flags>>2&3 == triggerLevel,
	}
}
