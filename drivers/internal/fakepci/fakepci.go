// Package fakepci is the machine's side of PCI for tests.
package fakepci

import (
	"errors"

	"github.com/goshawk-os/goshawk/drivers/platform"
)

// Bus holds functions by bus, device and function.
type Bus map[[3]uint8]*Function

// Ports is configuration mechanism 1 in front of a Bus.
type Ports struct {
	Bus     Bus
	address uint32
}

func (p *Ports) target() (*Function, int) {
	if p.address>>31 == 0 {
		panic("fakepci: data port without an address")
	}
	f := p.Bus[[3]uint8{uint8(p.address >> 16), uint8(p.address >> 11 & 31), uint8(p.address >> 8 & 7)}]
	return f, int(p.address & 0xfc / 4)
}

// In32 implements platform.Ports.
func (p *Ports) In32(port uint16) uint32 {
	switch port {
	case 0xcf8:
		return p.address
	case 0xcfc:
	default:
		panic("fakepci: unknown port")
	}
	f, word := p.target()
	if f == nil {
		return ^uint32(0)
	}
	return f.Words[word]
}

// Out32 implements platform.Ports.
func (p *Ports) Out32(port uint16, v uint32) {
	switch port {
	case 0xcf8:
		p.address = v
	case 0xcfc:
		if f, word := p.target(); f != nil {
			f.write(word, v)
		}
	default:
		panic("fakepci: unknown port")
	}
}

// A Function is the configuration space of one function.
type Function struct {
	Words [64]uint32
	Moved bool // a base address register was written while the function answered
	masks [6]uint32
	fixed [6]uint32
}

// SetBAR gives a base address register a value and the mask that a write of
// all ones leaves. The upper half of a 64-bit register is set after its lower.
func (f *Function) SetBAR(index int, value, mask uint32) {
	fixed := uint32(0xf)
	if value&1 != 0 {
		fixed = 3
	}
	if index > 0 && f.Words[4+index-1]&7 == 4 {
		fixed = 0
	}
	f.Words[4+index], f.masks[index], f.fixed[index] = value, mask, fixed
}

func (f *Function) write(word int, v uint32) {
	switch {
	case word == 1: // command is writable, a one clears a status bit
		f.Words[1] = f.Words[1]&0xffff0000&^(v&0xf9000000) | v&0xffff
	case word >= 4 && word < 10:
		if f.Words[1]&3 != 0 {
			f.Moved = true
		}
		fixed := f.fixed[word-4]
		f.Words[word] = v&f.masks[word-4]&^fixed | f.Words[word]&fixed
	case word >= 16:
		f.Words[word] = v
	}
}

// ErrMap is the error of a Mapper without registers at an address.
var ErrMap = errors.New("fakepci: nothing is mapped there")

// Mapper maps registers by their physical address.
type Mapper map[uint64]platform.Registers

// Map implements platform.Mapper.
func (m Mapper) Map(addr, size uint64) (platform.Registers, error) {
	if r, ok := m[addr]; ok {
		return r, nil
	}
	return nil, ErrMap
}

// Registers is plain memory.
type Registers []byte

// Load8 implements platform.Registers, as do the methods below.
func (r Registers) Load8(off uintptr) uint8 { return r[off] }

func (r Registers) Load16(off uintptr) uint16 { return uint16(r[off]) | uint16(r[off+1])<<8 }

func (r Registers) Load32(off uintptr) uint32 {
	return uint32(r.Load16(off)) | uint32(r.Load16(off+2))<<16
}

func (r Registers) Store8(off uintptr, v uint8) { r[off] = v }

func (r Registers) Store16(off uintptr, v uint16) { r[off], r[off+1] = byte(v), byte(v>>8) }

func (r Registers) Store32(off uintptr, v uint32) {
	r.Store16(off, uint16(v))
	r.Store16(off+2, uint16(v>>16))
}
