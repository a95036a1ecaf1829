// Package phys reads physical memory through the kernel's direct map.
//
// Like all packages under kernel/machine it can be called before the Go runtime exists: it
// allocates nothing, stores no pointers and needs no initialisation.
package phys

import "unsafe"

// Memory says where physical memory can be read: the byte at physical address a, for a below Size,
// is at virtual address Base+a. The map may have holes below Size; reading a hole is the caller's
// fault to avoid.
type Memory struct {
	Base uintptr
	Size uint64 // bytes
}

// Has reports whether the n bytes from address on lie in the map.
func (m Memory) Has(address, n uint64) bool {
	return n <= m.Size && address <= m.Size-n
}

// Pointer returns the place where the physical address can be read. The caller has checked it
// with Has.
func (m Memory) Pointer(address uint64) unsafe.Pointer {
	return unsafe.Add(unsafe.Pointer(nil), m.Base+uintptr(address))
}

// Byte reads the byte at address, or 0 if it is outside the map.
func (m Memory) Byte(address uint64) byte {
	if !m.Has(address, 1) {
		return 0
	}
	return *(*byte)(m.Pointer(address))
}

// Uint16 reads the 16-bit word at address, or 0 if it is outside the map. It need not be aligned.
func (m Memory) Uint16(address uint64) uint16 {
	if !m.Has(address, 2) {
		return 0
	}
	return *(*uint16)(m.Pointer(address))
}

// Uint32 reads the 32-bit word at address, or 0 if it is outside the map. It need not be aligned.
func (m Memory) Uint32(address uint64) uint32 {
	if !m.Has(address, 4) {
		return 0
	}
	return *(*uint32)(m.Pointer(address))
}

// Uint64 reads the 64-bit word at address, or 0 if it is outside the map. It need not be aligned.
func (m Memory) Uint64(address uint64) uint64 {
	if !m.Has(address, 8) {
		return 0
	}
	return *(*uint64)(m.Pointer(address))
}
