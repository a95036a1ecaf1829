package acpi

import "github.com/goshawk-os/goshawk/kernel/machine/phys"

// AML opcodes (section 20.2).
const (
	amlZero    = 0x00
	amlOne     = 0x01
	amlName    = 0x08
	amlByte    = 0x0a
	amlWord    = 0x0b
	amlDword   = 0x0c
	amlPackage = 0x12
	amlRoot    = '\\'

	nameS5 = 0x5f35_535f // "_S5_"
)

// readSleepTypes searches the definition of \_S5_ in the DSDT and then in the SSDTs.
func readSleepTypes(t *Tables, memory phys.Memory, root root, dsdt uint64) {
	if length := table(memory, dsdt, signatureDSDT); length != 0 && findS5(t, memory, dsdt, length) {
		return
	}
	for i := range root.entries {
		ssdt := root.entry(memory, i)
		length := table(memory, ssdt, signatureSSDT)
		if length != 0 && findS5(t, memory, ssdt, length) {
			return
		}
	}
}

// findS5 searches a table for
//
//	DefName    := NameOp ['\'] "_S5_" DefPackage
//	DefPackage := PackageOp PkgLength NumElements Integer Integer ...
//
// (sections 7.4.2 and 20.2.5) and takes its first two integers, the values for PM1a and PM1b. The
// name alone is not enough: it also occurs where methods mention it.
func findS5(t *Tables, memory phys.Memory, address, length uint64) bool {
	end := address + length
	for at := address + headerSize; at+4 <= end; at++ {
		if *(*byte)(memory.Pointer(at)) != '_' || memory.Uint32(at) != nameS5 {
			continue
		}
		before := memory.Byte(at - 1)
		if before == amlRoot {
			before = memory.Byte(at - 2)
		}
		if before != amlName {
			continue
		}
		if a, b, ok := sleepPackage(memory, at+4, end); ok {
			t.HasSleepTypes, t.SleepTypeA, t.SleepTypeB = true, a, b
			return true
		}
	}
	return false
}

// sleepPackage decodes the package at address, which ends before end, to its first two elements. A
// package of one element stands for both (old firmware has both in one word).
func sleepPackage(memory phys.Memory, at, end uint64) (a, b byte, ok bool) {
	if at+2 > end || memory.Byte(at) != amlPackage {
		return 0, 0, false
	}
	if at, end, ok = amlPackageBounds(memory, at+1, end); !ok {
		return 0, 0, false
	}
	elements := memory.Byte(at)
	at++
	first, at, ok := integer(memory, at, end)
	if !ok {
		return 0, 0, false
	}
	if elements < 2 {
		return byte(first), byte(first >> 8), elements == 1
	}
	second, _, ok := integer(memory, at, end)
	return byte(first), byte(second), ok
}

// amlPackageBounds decodes the PkgLength at address (section 20.2.4), whose package ends before end,
// and returns where the rest of the package begins and ends. It has at least one byte.
func amlPackageBounds(memory phys.Memory, at, end uint64) (first, last uint64, ok bool) {
	if at >= end {
		return 0, 0, false
	}
	// The top two bits of its first byte say how many bytes follow it. It counts itself.
	lead := memory.Byte(at)
	more := uint64(lead >> 6)
	if at+1+more > end {
		return 0, 0, false
	}
	length := uint64(lead & 0x3f)
	if more > 0 {
		length &= 0xf
		for i := range more {
			length |= uint64(memory.Byte(at+1+i)) << (4 + 8*i)
		}
	}
	if length > end-at {
		return 0, 0, false
	}
	first, last = at+1+more, at+length
	return first, last, first < last
}

// integer decodes the integer constant at address, which ends before end, and returns the address
// after it.
func integer(memory phys.Memory, at, end uint64) (value uint32, next uint64, ok bool) {
	if at >= end {
		return 0, 0, false
	}
	size := uint64(0)
	switch memory.Byte(at) {
	case amlZero:
		return 0, at + 1, true
	case amlOne:
		return 1, at + 1, true
	case amlByte:
		size = 1
	case amlWord:
		size = 2
	case amlDword:
		size = 4
	default:
		return 0, 0, false
	}
	at++
	if end-at < size {
		return 0, 0, false
	}
	for i := range size {
		value |= uint32(memory.Byte(at+i)) << (8 * i)
	}
	return value, at + size, true
}
