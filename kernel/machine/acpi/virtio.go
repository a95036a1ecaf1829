package acpi

import "github.com/goshawk-os/goshawk/kernel/machine/phys"

// MaxVirtioSlots is how many devices ReadVirtioSlots keeps.
const MaxVirtioSlots = 32

// VirtioSlot is a virtio device with memory-mapped registers.
type VirtioSlot struct {
	Address uint64 // physical address of the registers
	Size    uint64 // bytes of registers
	GSI     uint32 // its global system interrupt
}

// VirtioSlots holds the devices in the order of the table.
type VirtioSlots struct {
	Slots [MaxVirtioSlots]VirtioSlot
	Count int
}

const (
	amlString = 0x0d
	amlBuffer = 0x11

	nameHID = 0x4449_485f // "_HID"
	nameCRS = 0x5352_435f // "_CRS"

	// The hardware ID of these devices, as QEMU gives it: "LNRO0005".
	virtioHID = 0x3530_3030_4f52_4e4c

	// Resource descriptors (section 6.4): the first byte of those with a length of
	// two bytes has bit 7 set, others have their length in bits 0 to 2.
	resourceLarge     = 1 << 7
	resourceMemory32  = 0x86 // fixed memory range (section 6.4.3.4)
	resourceInterrupt = 0x89 // extended interrupt (section 6.4.3.6)
	resourceEnd       = 0x79
)

// ReadVirtioSlots fills in slots, whose former content is lost, from the DSDT at an address of
// Tables. No AML is interpreted: it looks for
//
//	DefName := NameOp "_HID" StringPrefix "LNRO0005" NullChar
//
// and behind that, before the next "_HID", for the buffer named "_CRS" (sections 6.1.5 and 6.2.2).
// A device without a fixed memory range and an interrupt in it is left out.
func ReadVirtioSlots(slots *VirtioSlots, memory phys.Memory, dsdt uint64) {
	*slots = VirtioSlots{}
	end := dsdt + table(memory, dsdt, signatureDSDT)
	for at := dsdt + headerSize; at+15 <= end; at++ {
		if *(*byte)(memory.Pointer(at)) != amlName || memory.Uint32(at+1) != nameHID || memory.Byte(at+5) != amlString ||
			memory.Uint64(at+6) != virtioHID || memory.Byte(at+14) != 0 {
			continue
		}
		slot, ok := readSlot(memory, at+15, end)
		if ok && slots.Count < MaxVirtioSlots {
			slots.Slots[slots.Count] = slot
			slots.Count++
		}
	}
}

// readSlot reads the resources of the device whose hardware ID ends at address.
func readSlot(memory phys.Memory, at, end uint64) (VirtioSlot, bool) {
	for ; at+5 <= end; at++ {
		if memory.Byte(at) != amlName {
			continue
		}
		switch memory.Uint32(at + 1) {
		case nameHID:
			return VirtioSlot{}, false
		case nameCRS:
			if at+5 == end || memory.Byte(at+5) != amlBuffer {
				continue
			}
			first, last, ok := amlPackageBounds(memory, at+6, end)
			if !ok {
				return VirtioSlot{}, false
			}
			_, first, ok = integer(memory, first, last) // the buffer's size
			if !ok {
				return VirtioSlot{}, false
			}
			return readResources(memory, first, last)
		}
	}
	return VirtioSlot{}, false
}

func readResources(memory phys.Memory, at, end uint64) (slot VirtioSlot, ok bool) {
	interrupt := false
	for at < end {
		kind := memory.Byte(at)
		head, size := uint64(1), uint64(kind&7)
		if kind&resourceLarge != 0 {
			head, size = 3, uint64(memory.Uint16(at+1))
		}
		if kind == resourceEnd || size+head > end-at {
			break
		}
		switch data := at + head; {
		case kind == resourceMemory32 && size >= 9 && slot.Size == 0:
			slot.Address, slot.Size = uint64(memory.Uint32(data+1)), uint64(memory.Uint32(data+5))
		case kind == resourceInterrupt && size >= 6 && memory.Byte(data+1) > 0 && !interrupt:
			slot.GSI, interrupt = memory.Uint32(data+2), true
		}
		at += head + size
	}
	return slot, interrupt && slot.Size != 0
}
