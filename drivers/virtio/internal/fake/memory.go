// Package fake is the device's side of virtio for tests: memory, interrupts,
// and devices that do as they are told, also what no device may do.
package fake

import (
	"errors"
	"sync"
	"unsafe"

	"github.com/goshawk-os/goshawk/drivers/platform"
)

const (
	page = platform.PageSize

	arenaBase   = 0x4000_0000
	foreignBase = 0x80_0000_0000
)

// ErrNoMemory is the error of an exhausted Memory.
var ErrNoMemory = errors.New("fake: no memory left")

// Memory is a platform.Memory. Blocks come from an arena that is contiguous;
// all other memory gets a new physical address at each translation, with a
// hole behind each page.
type Memory struct {
	mu      sync.Mutex
	arena   []byte
	used    int
	foreign map[uint64][]byte // by physical page
	next    uint64
}

// NewMemory returns memory whose arena has size bytes.
func NewMemory(size int) *Memory {
	raw := make([]byte, size+page)
	skip := int(-uintptr(unsafe.Pointer(&raw[0])) % page)
	return &Memory{arena: raw[skip : skip+size], foreign: make(map[uint64][]byte), next: foreignBase}
}

// Allocate implements platform.Memory.
func (m *Memory) Allocate(size int) ([]byte, uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rounded := (size + page - 1) &^ (page - 1)
	if m.used+rounded > len(m.arena) {
		return nil, 0, ErrNoMemory
	}
	at := m.used
	m.used += rounded
	return m.arena[at : at+size : at+size], arenaBase + uint64(at), nil
}

// Translate implements platform.Memory.
func (m *Memory) Translate(dst []platform.Segment, p []byte) ([]platform.Segment, error) {
	if off := uintptr(unsafe.Pointer(unsafe.SliceData(p))) - uintptr(unsafe.Pointer(&m.arena[0])); off < uintptr(len(m.arena)) {
		return append(dst, platform.Segment{Addr: arenaBase + uint64(off), Len: uint32(len(p))}), nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(p) > 0 {
		off := int(uintptr(unsafe.Pointer(&p[0])) % page)
		n := min(page-off, len(p))
		m.foreign[m.next+uint64(off)] = p[:n]
		dst = append(dst, platform.Segment{Addr: m.next + uint64(off), Len: uint32(n)})
		m.next += 2 * page
		p = p[n:]
	}
	return dst, nil
}

// At returns what a device finds at a physical address. A range that is not
// memory is a panic: no driver may name one.
func (m *Memory) At(addr uint64, n int) []byte {
	if off := addr - arenaBase; off <= uint64(len(m.arena)) && uint64(n) <= uint64(len(m.arena))-off {
		return m.arena[off : off+uint64(n)]
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.foreign[addr]
	if !ok || len(p) < n {
		panic("fake: the device was given an address that is not memory")
	}
	return p[:n]
}

// Interrupt is a platform.Interrupt.
type Interrupt struct {
	raised chan struct{}
	mu     sync.Mutex
	count  int
}

// NewInterrupt returns an interrupt.
func NewInterrupt() *Interrupt { return &Interrupt{raised: make(chan struct{}, 1)} }

// Wait implements platform.Interrupt.
func (i *Interrupt) Wait() { <-i.raised }

// Raise interrupts.
func (i *Interrupt) Raise() {
	i.mu.Lock()
	i.count++
	i.mu.Unlock()
	select {
	case i.raised <- struct{}{}:
	default:
	}
}

// Count returns how often it was raised.
func (i *Interrupt) Count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.count
}
