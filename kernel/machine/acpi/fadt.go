package acpi

import "github.com/goshawk-os/goshawk/kernel/machine/phys"

// Offsets in the FADT (table 5.9).
const (
	fadtDSDT         = 40
	fadtSCI          = 46
	fadtPM1aControl  = 64
	fadtPM1bControl  = 68
	fadtPMTimer      = 76
	fadtPMTimerSize  = 91
	fadtCentury      = 108
	fadtFlags        = 112
	fadtReset        = 116
	fadtResetValue   = 128
	fadtXDSDT        = 140
	fadtXPM1aControl = 172
	fadtXPM1bControl = 184
	fadtXPMTimer     = 208
	fadtSleepControl = 244

	fadtMinSize = 116 // bytes of revision 1
)

// Bits of the FADT's flags (table 5.10).
const (
	flagPMTimer32       = 1 << 8
	flagReset           = 1 << 10
	flagHardwareReduced = 1 << 20
)

// Offsets in a generic address structure (table 5.1).
const (
	gasSpace   = 0
	gasAddress = 4
	gasSize    = 12
)

func readFADT(t *Tables, memory phys.Memory, root root, fadt, length uint64) Failure {
	if length < fadtMinSize {
		return BadFADT
	}
	flags := memory.Uint32(fadt + fadtFlags)
	t.SCI = memory.Uint16(fadt + fadtSCI)
	t.Century = memory.Byte(fadt + fadtCentury)
	t.HardwareReduced = flags&flagHardwareReduced != 0
	if t.HardwareReduced {
		t.SleepControl = register(memory, fadt, length, fadtSleepControl)
	} else {
		t.PM1aControl = port(memory, fadt, length, fadtPM1aControl, fadtXPM1aControl)
		t.PM1bControl = port(memory, fadt, length, fadtPM1bControl, fadtXPM1bControl)
		if memory.Byte(fadt+fadtPMTimerSize) == 4 {
			t.PMTimer = port(memory, fadt, length, fadtPMTimer, fadtXPMTimer)
			t.PMTimer32 = flags&flagPMTimer32 != 0
		}
	}
	if flags&flagReset != 0 && length > fadtResetValue {
		t.Reset = register(memory, fadt, length, fadtReset)
		t.ResetValue = memory.Byte(fadt + fadtResetValue)
	}
	t.DSDT = dsdt(memory, fadt, length)
	readSleepTypes(t, memory, root, t.DSDT)
	return OK
}

// register reads the generic address structure at the offset of the FADT. A register that the FADT
// is too short for, or that is in another space than memory and ports, is absent.
func register(memory phys.Memory, fadt, length, offset uint64) Register {
	if length < offset+gasSize {
		return Register{}
	}
	r := Register{
		Space:   space(memory.Byte(fadt + offset + gasSpace)),
		Address: memory.Uint64(fadt + offset + gasAddress),
	}
	if r.Address == 0 || r.Space == PortSpace && r.Address > 0xffff {
		return Register{}
	}
	return r
}

func space(number byte) Space {
	const (
		systemMemory = 0
		systemIO     = 1
	)
	switch number {
	case systemMemory:
		return MemorySpace
	case systemIO:
		return PortSpace
	}
	return NoRegister
}

// port returns the I/O port of a register block: from its generic address structure if there is
// one, or from the older 32-bit field.
func port(memory phys.Memory, fadt, length, offset, extended uint64) uint16 {
	if r := register(memory, fadt, length, extended); r.Space == PortSpace {
		return uint16(r.Address)
	}
	if p := memory.Uint32(fadt + offset); p <= 0xffff {
		return uint16(p)
	}
	return 0
}

// dsdt returns the address of the DSDT, or 0.
func dsdt(memory phys.Memory, fadt, length uint64) uint64 {
	if length >= fadtXDSDT+8 {
		if address := memory.Uint64(fadt + fadtXDSDT); address != 0 {
			return address
		}
	}
	return uint64(memory.Uint32(fadt + fadtDSDT))
}
