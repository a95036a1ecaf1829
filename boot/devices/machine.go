package devices

import (
	"errors"
	"strconv"
	"syscall"

	"github.com/goshawk-os/goshawk/arch/amd64"
	"github.com/goshawk-os/goshawk/drivers/platform"
	"github.com/goshawk-os/goshawk/drivers/virtio/mmio"
	"github.com/goshawk-os/goshawk/kernel/cmdline"
	"github.com/goshawk-os/goshawk/kernel/machine/acpi"
	"github.com/goshawk-os/goshawk/kernel/nucleus"
)

// memory and registers have pointer receivers: calls by way of an interface cost
// less then.
type memory struct{ _ byte }

var theMemory memory

// Allocate implements platform.Memory.
func (*memory) Allocate(size int) (block []byte, addr uint64, err error) {
	block, addr = nucleus.Contiguous(size)
	if block == nil {
		return nil, 0, errors.New("no " + strconv.Itoa(size) + " bytes of contiguous memory are left (at most " +
			strconv.Itoa(nucleus.MaxContiguous) + " at once)")
	}
	return block, addr, nil
}

// Translate implements platform.Memory.
func (*memory) Translate(dst []platform.Segment, p []byte) ([]platform.Segment, error) {
	for len(p) > 0 {
		addr, n := nucleus.Physical(p)
		if n == 0 {
			return dst, unmapped(p)
		}
		if i := len(dst) - 1; i >= 0 && dst[i].Addr+uint64(dst[i].Len) == addr && uint64(dst[i].Len)+uint64(n) < 1<<32 {
			dst[i].Len += uint32(n)
		} else {
			n = min(n, 1<<31)
			dst = append(dst, platform.Segment{Addr: addr, Len: uint32(n)})
		}
		p = p[n:]
	}
	return dst, nil
}

type mapper struct{}

// Map implements platform.Mapper.
func (mapper) Map(addr, size uint64) (platform.Registers, error) {
	base, err := nucleus.MapDevice(addr, size)
	if err != 0 {
		reason := "it is no device memory"
		if err == syscall.ENOMEM {
			reason = "memory has run out"
		}
		return nil, errors.New("cannot map " + strconv.FormatUint(size, 10) + " bytes of device memory at 0x" +
			strconv.FormatUint(addr, 16) + ": " + reason)
	}
	return &registers{base}, nil
}

// registers is device memory at a virtual address.
type registers struct{ base uintptr }

func (r *registers) Load8(off uintptr) uint8       { return amd64.Load8(r.base + off) }
func (r *registers) Load16(off uintptr) uint16     { return amd64.Load16(r.base + off) }
func (r *registers) Load32(off uintptr) uint32     { return amd64.Load32(r.base + off) }
func (r *registers) Store8(off uintptr, v uint8)   { amd64.Store8(r.base+off, v) }
func (r *registers) Store16(off uintptr, v uint16) { amd64.Store16(r.base+off, v) }
func (r *registers) Store32(off uintptr, v uint32) { amd64.Store32(r.base+off, v) }

type ports struct{}

func (ports) In32(port uint16) uint32     { return amd64.In32(port) }
func (ports) Out32(port uint16, v uint32) { amd64.Out32(port, v) }

// interrupt is a line of the nucleus.
type interrupt int

// Wait implements platform.Interrupt.
func (i interrupt) Wait() { nucleus.Wait(int(i)) }

type lines struct{}

// Connect implements platform.Lines.
func (lines) Connect(irq int) (platform.Interrupt, error) {
	line, err := nucleus.Connect(uint32(irq))
	if err != 0 {
		return nil, errors.New("interrupt " + strconv.Itoa(irq) + ": " + reason(err))
	}
	return interrupt(line), nil
}

type messages struct{}

// Allocate implements platform.Messages.
func (messages) Allocate(cpu int) (platform.Message, platform.Interrupt, error) {
	line, addr, data, err := nucleus.Message(cpu)
	if err != 0 {
		return platform.Message{}, nil, errors.New(reason(err))
	}
	return platform.Message{Addr: addr, Data: data}, interrupt(line), nil
}

func reason(err syscall.Errno) string {
	switch err {
	case syscall.EBUSY:
		return "another device has it already"
	case syscall.ENODEV:
		return "no I/O APIC has such an input, or its CPU has no vector left"
	}
	return "all interrupt lines are in use"
}

// unmapped is apart so that Translate, which does not fail, is small.
//
//go:noinline
func unmapped(p []byte) error {
	return errors.New("memory at 0x" + strconv.FormatUint(uint64(nucleus.Address(p)), 16) + " cannot be translated for a device")
}

// slots returns where the machine may have virtio-mmio devices: ACPI tells, or, without ACPI, QEMU's
// microvm on the command line. Both name them as QEMU's command line does.
func slots() []mmio.Slot {
	var named acpi.VirtioSlots
	nucleus.VirtioSlots(&named)
	var list []mmio.Slot
	for _, s := range named.Slots[:named.Count] {
		list = append(list, mmio.Slot{Addr: s.Address, Size: s.Size, IRQ: int(s.GSI)})
	}
	for w := cmdline.Parse(nucleus.CommandLine()); ; {
		word, _, ok := w.Next()
		if !ok {
			return list
		}
		if v, ok := cmdline.Option(word, "virtio_mmio.device"); ok {
			if s, ok := mmio.ParseSlot(v); ok {
				list = append(list, s)
			}
		}
	}
}
