package virtio

import (
	"sync/atomic"
	"unsafe"
)

// ring is a split virtqueue in memory (2.7): one block, the parts that the
// driver writes before those that the device writes.
//
//	descriptors     16 bytes each         driver writes
//	flags, idx      one word
//	avail ring      2 bytes each
//	used_event      one word
//	(to a cache line)
//	flags, idx      one word              device writes
//	used ring       8 bytes each
//	avail_event     one word
//
// Every word is a 32-bit word, aligned because sizes are even, though flags,
// idx and the events have 16 bits each: sync/atomic has no operations of 16
// bits. The other half of the event words is padding.
//
// Ordering. The other observer is the device: another CPU under a hypervisor,
// or hardware. The operations of sync/atomic are sequentially consistent, and fence
// makes them so where an emulator takes the barriers away; so
//   - the store of avail idx makes descriptors and ring entries written before
//     it visible first (2.7.13.3), and is visible before avail_event or used
//     flags are read (2.7.13.4.1),
//   - the load of used idx comes before the loads of the used ring (2.7.14),
//   - the store of used_event is visible before used idx is read again, so no
//     completion falls between the two (2.7.14).
type ring struct {
	desc  []Descriptor
	avail []uint16
	used  []UsedElement

	availHead  *uint32 // flags in bits 0-15, idx in bits 16-31
	usedEvent  *uint32 // in bits 0-15
	usedHead   *uint32 // flags in bits 0-15, idx in bits 16-31
	availEvent *uint32 // in bits 0-15

	availOffset, usedOffset int // of the two rings, from the start
}

const cacheLine = 64

// ringSize returns the bytes that a ring of n descriptors takes.
func ringSize(n int) int { return ringUsedOffset(n) + 4 + 8*n + 4 }

func ringUsedOffset(n int) int {
	return (16*n + 4 + 2*n + 4 + cacheLine - 1) &^ (cacheLine - 1)
}

// newRing lays a ring of n descriptors over zeroed memory, page aligned.
func newRing(block []byte, n int) ring {
	_ = block[ringSize(n)-1]
	at := func(off int) unsafe.Pointer { return unsafe.Pointer(&block[off]) }
	avail, used := 16*n, ringUsedOffset(n)
	return ring{
		desc:        unsafe.Slice((*Descriptor)(at(0)), n),
		avail:       unsafe.Slice((*uint16)(at(avail+4)), n),
		used:        unsafe.Slice((*UsedElement)(at(used+4)), n),
		availHead:   (*uint32)(at(avail)),
		usedEvent:   (*uint32)(at(avail + 4 + 2*n)),
		usedHead:    (*uint32)(at(used)),
		availEvent:  (*uint32)(at(used + 4 + 8*n)),
		availOffset: avail,
		usedOffset:  used,
	}
}

func (r *ring) publish(idx, flags uint16) {
	atomic.StoreUint32(r.availHead, uint32(idx)<<16|uint32(flags))
	fence()
}

func (r *ring) setUsedEvent(idx uint16) {
	atomic.StoreUint32(r.usedEvent, uint32(idx))
	fence()
}

func (r *ring) usedIndex() uint16 { return uint16(atomic.LoadUint32(r.usedHead) >> 16) }

func (r *ring) usedFlags() uint16 { return uint16(atomic.LoadUint32(r.usedHead)) }

func (r *ring) availEventIndex() uint16 { return uint16(atomic.LoadUint32(r.availEvent)) }

// descriptors lays an indirect table over memory.
func descriptors(block []byte) []Descriptor {
	return unsafe.Slice((*Descriptor)(unsafe.Pointer(&block[0])), len(block)/int(unsafe.Sizeof(Descriptor{})))
}
