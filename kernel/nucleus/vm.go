package nucleus

import (
	"sync/atomic"
	"syscall"

	"github.com/goshawk-os/goshawk/arch/amd64"
)

// The address space. There is one, and the page tables are the only record of
// it. An entry, of any level, is one of:
//
//	0         nothing is mapped
//	reserved  not present, bit 1 set: all that the entry spans is mapped with the
//	          protection in bits 2 to 4, and has no memory yet
//	parked    a reserved entry of the lowest level with bit 5 set: its page has
//	          memory but may not be accessed (PROT_NONE)
//	present   a page, or the table of the next level
//
// A fault on a reserved entry gives it memory; a change of part of what it spans
// splits it. The memory lock protects the tables; the CPUs read them any time.

const (
	userEnd = 0x7fff_ffff_f000 // end of the program's half

	entryReserved = 1 << 1
	entryParked   = 1 << 5
	protShift     = 2 // PROT_READ, PROT_WRITE, PROT_EXEC as bits 2, 3, 4
	protMask      = 7 << protShift

	// mmapLow is where mappings without a wish go, upwards.
	mmapLow = 0x7e00_0000_0000
)

var (
	rootTable  uintptr // physical address of the top table
	mapCursor  uintptr = mmapLow
	flushCount uint32  // generation that TLBs must have reached
)

func reservedEntry(prot uint64) uint64 { return entryReserved | prot<<protShift }

func isPresent(e uint64) bool  { return e&amd64.PTE_P != 0 }
func isHuge(e uint64) bool     { return e&(amd64.PTE_P|amd64.PTE_PS) == amd64.PTE_P|amd64.PTE_PS }
func frameOf(e uint64) uintptr { return uintptr(e & amd64.PTE_ADDR) }

// leafBits returns the hardware bits for a protection, without address.
// PROT_NONE has none; the architecture cannot make a page unreadable otherwise.
func leafBits(prot uint64) uint64 {
	b := uint64(amd64.PTE_P | amd64.PTE_A | amd64.PTE_D)
	if prot&syscall.PROT_WRITE != 0 {
		b |= amd64.PTE_W
	}
	if prot&syscall.PROT_EXEC == 0 {
		b |= amd64.PTE_NX
	}
	return b
}

// leafProt is the inverse of leafBits.
func leafProt(e uint64) uint64 {
	p := uint64(syscall.PROT_READ)
	if e&amd64.PTE_W != 0 {
		p |= syscall.PROT_WRITE
	}
	if e&amd64.PTE_NX == 0 {
		p |= syscall.PROT_EXEC
	}
	return p
}

// Levels: 3 for the top table to 0 for the one whose entries are 4 KiB pages.
func levelShift(level int) uintptr { return pageShift + 9*uintptr(level) }

func entryAt(table, a uintptr, level int) uintptr {
	return directMap + table + a>>levelShift(level)&511*8
}

// newTable returns a table with all entries set to e, or 0. memory is held.
func newTable(e uint64) uintptr {
	t := allocFrames(0)
	if t == 0 {
		return 0
	}
	if e == 0 {
		clearPage(directMap+t, pageSize)
		return t
	}
	for p := directMap + t; p < directMap+t+pageSize; p += 64 {
		store64(p, e)
		store64(p+8, e)
		store64(p+16, e)
		store64(p+24, e)
		store64(p+32, e)
		store64(p+40, e)
		store64(p+48, e)
		store64(p+56, e)
	}
	return t
}

const tableBits = amd64.PTE_P | amd64.PTE_W | amd64.PTE_A

// split replaces the entry at p, of a level above 0, by a table that means the
// same, and returns the table, 0 if memory ran out. A table stays as it is.
func split(p uintptr, level int) uintptr {
	e := load64(p)
	if isPresent(e) && !isHuge(e) {
		return frameOf(e)
	}
	fill := e
	if isHuge(e) {
		fill = 0
	}
	t := newTable(fill)
	if t == 0 {
		return 0
	}
	if isHuge(e) {
		bits := e &^ uint64(amd64.PTE_PS)
		step := uint64(1) << levelShift(level-1)
		if level > 1 {
			bits = e
		}
		for i := uint64(0); i < 512; i++ {
			store64(directMap+t+uintptr(i)*8, bits+i*step)
		}
	}
	store64(p, uint64(t)|tableBits)
	return t
}

// What change does to a range.
const (
	changeMap     = iota // replace what is there by a reservation
	changeUnmap          // remove what is there
	changeProtect        // set the protection of what is mapped
	changeDiscard        // give memory back, keep the mapping
)

// change is one modification of the address space. Its methods run with memory
// held. The zero value has seen nothing that TLBs could remember.
type change struct {
	kind  int
	prot  uint64
	pages int  // present pages that changed
	freed bool // a table was freed
	hole  bool // something in the range was not mapped
}

// maxInvalidate is how many pages are dropped from the TLB one by one.
const maxInvalidate = 16

// apply changes [a, end) below a table. It reports false when memory for a table
// ran out; what was changed until then stays.
func (c *change) apply(table uintptr, level int, a, end uintptr) bool {
	size := uintptr(1) << levelShift(level)
	for a < end {
		next := a&^(size-1) + size
		if next > end {
			next = end
		}
		p := entryAt(table, a, level)
		e := load64(p)
		isTable := level > 0 && isPresent(e) && !isHuge(e)
		switch {
		case next-a == size && e&(amd64.PTE_P|entryParked) == 0:
			// Nothing behind it, as in most of what the runtime changes.
			switch {
			case c.kind == changeMap || c.kind == changeProtect && e != 0:
				store64(p, reservedEntry(c.prot))
			case c.kind == changeUnmap:
				store64(p, 0)
			}
			c.hole = c.hole || e == 0
		case next-a == size && (!isTable || c.kind <= changeUnmap):
			c.entry(p, e, level, a)
		case e == 0 && c.kind != changeMap:
			c.hole = true
		default:
			t := split(p, level)
			if t == 0 {
				return false
			}
			if isHuge(e) {
				c.pages++
				forgetPage(a)
			}
			if !c.apply(t, level-1, a, next) {
				return false
			}
			if c.kind == changeUnmap && emptyTable(t) {
				store64(p, 0)
				freeBlock(t, 0)
				c.freed = true
			}
		}
		a = next
	}
	return true
}

// entry changes all that the entry e, at p, spans: memory, or a table if
// everything goes.
func (c *change) entry(p uintptr, e uint64, level int, a uintptr) {
	switch c.kind {
	case changeMap:
		store64(p, reservedEntry(c.prot))
	case changeUnmap:
		store64(p, 0)
	case changeDiscard:
		if isPresent(e) {
			store64(p, reservedEntry(leafProt(e)))
		} else {
			store64(p, e&(entryReserved|protMask))
		}
	case changeProtect:
		keep := e & (amd64.PTE_ADDR | amd64.PTE_PS)
		switch {
		case c.prot != 0:
			store64(p, keep|leafBits(c.prot))
		case level == 1: // only small pages can be parked
			if t := split(p, level); t != 0 {
				c.apply(t, 0, a, a+hugeSize)
			} else {
				c.hole = true
			}
			return
		default:
			store64(p, keep|entryReserved|entryParked)
		}
		c.touched(e, a)
		return
	}
	c.release(e, level, a)
}

// touched notes that a TLB may hold the old entry e.
func (c *change) touched(e uint64, a uintptr) {
	if !isPresent(e) {
		return
	}
	c.pages++
	if c.pages <= maxInvalidate {
		forgetPage(a)
	}
}

// release frees the memory behind an entry that is no longer in its table.
func (c *change) release(e uint64, level int, a uintptr) {
	switch {
	case e == 0:
	case !isPresent(e):
		if e&entryParked != 0 {
			freeBlock(frameOf(e), 0)
		}
	case level == 0:
		c.touched(e, a)
		freeBlock(frameOf(e), 0)
	case isHuge(e):
		c.touched(e, a)
		freeBlock(frameOf(e), maxOrder)
	default:
		t := frameOf(e)
		for i := uintptr(0); i < 512; i++ {
			if x := load64(directMap + t + i*8); x != 0 {
				c.release(x, level-1, a+i<<levelShift(level-1))
			}
		}
		freeBlock(t, 0)
		c.freed = true
	}
}

func emptyTable(t uintptr) bool {
	for p := directMap + t; p < directMap+t+pageSize; p += 8 {
		if load64(p) != 0 {
			return false
		}
	}
	return true
}

// finish makes all TLBs forget what changed. Freed memory is handed out only
// after the memory lock is released, so after this.
func (c *change) finish() {
	if c.pages == 0 && !c.freed {
		return
	}
	if c.pages > maxInvalidate || c.freed {
		forgetAll()
	}
	flushOthers(c.freed)
}

// run makes the change to [a, a+n), which the caller has checked.
func (c *change) run(a, n uintptr) bool {
	memory.lock()
	ok := c.apply(rootTable, 3, a, a+n)
	c.finish()
	memory.unlock()
	return ok
}

// flushOthers asks the other CPUs to flush their TLBs and waits until they have.
// An idle CPU flushes before it runs a thread; it is only bothered when tables
// were freed, since a CPU may walk tables any time.
func flushOthers(tablesFreed bool) {
	n := atomic.LoadInt32(&cpuCount)
	if n == 1 {
		return
	}
	gen := atomic.AddUint32(&flushCount, 1)
	me := cpuAt(thisCPU())
	me.flushed = gen
	for i := int32(0); i < n; i++ {
		c := &cpus[i]
		if c == me || !tablesFreed && atomic.LoadUint32(&c.idling) != 0 {
			continue
		}
		sendIPI(c.apicID, vectorFlush)
	}
	for i := int32(0); i < n; i++ {
		c := &cpus[i]
		if c == me {
			continue
		}
		for int32(atomic.LoadUint32(&c.flushed)-gen) < 0 && (tablesFreed || atomic.LoadUint32(&c.idling) == 0) {
			amd64.Pause()
		}
	}
}

// flushIfAsked flushes this CPU's TLB if another CPU waits for that.
func flushIfAsked() {
	if cpuCount == 1 {
		return
	}
	c := cpuAt(thisCPU())
	gen := atomic.LoadUint32(&flushCount)
	if c.flushed != gen {
		forgetAll()
		atomic.StoreUint32(&c.flushed, gen)
	}
}

// userRange tells whether [a, a+n) lies in the program's half.
func userRange(a, n uintptr) bool {
	return a >= pageSize && a < userEnd && n <= userEnd-a
}

// unused tells whether nothing is mapped in [a, end) below a table.
func unused(table uintptr, level int, a, end uintptr) bool {
	size := uintptr(1) << levelShift(level)
	for a < end {
		next := a&^(size-1) + size
		if next > end {
			next = end
		}
		e := load64(entryAt(table, a, level))
		if e != 0 {
			if level == 0 || !isPresent(e) || isHuge(e) || !unused(frameOf(e), level-1, a, next) {
				return false
			}
		}
		a = next
	}
	return true
}

// mapMemory is mmap of anonymous private memory.
func mapMemory(a, n uintptr, prot uint64, flags int) uintptr {
	if flags&(syscall.MAP_ANON|syscall.MAP_PRIVATE) != syscall.MAP_ANON|syscall.MAP_PRIVATE {
		return errno(syscall.ENODEV)
	}
	if n == 0 || prot&^7 != 0 {
		return errno(syscall.EINVAL)
	}
	if n > userEnd {
		return errno(syscall.ENOMEM)
	}
	n = (n + pageSize - 1) &^ (pageSize - 1)
	fixed := flags&syscall.MAP_FIXED != 0
	if fixed && (a&(pageSize-1) != 0 || !userRange(a, n)) {
		return errno(syscall.EINVAL)
	}
	memory.lock()
	if !fixed {
		a &^= pageSize - 1
		if !userRange(a, n) || !unused(rootTable, 3, a, a+n) {
			if a = place(n); a == 0 {
				memory.unlock()
				return errno(syscall.ENOMEM)
			}
		}
	}
	c := change{kind: changeMap, prot: prot}
	ok := c.apply(rootTable, 3, a, a+n)
	c.finish()
	memory.unlock()
	if !ok {
		return errno(syscall.ENOMEM)
	}
	return a
}

// place returns a free range of n bytes, 0 if there is none. memory is held.
func place(n uintptr) uintptr {
	for round := 0; round < 2; round++ {
		for a := mapCursor; a < userEnd && n <= userEnd-a; {
			if unused(rootTable, 3, a, a+n) {
				mapCursor = a + n
				return a
			}
			step := n
			if step > 1<<30 {
				step = 1 << 30
			}
			a += step
		}
		mapCursor = mmapLow
	}
	return 0
}

// unmapMemory is munmap.
func unmapMemory(a, n uintptr) uintptr {
	if a&(pageSize-1) != 0 || n == 0 || !userRange(a, n) {
		return errno(syscall.EINVAL)
	}
	c := change{kind: changeUnmap}
	if !c.run(a, (n+pageSize-1)&^(pageSize-1)) {
		return errno(syscall.ENOMEM)
	}
	return 0
}

// protectMemory is mprotect.
func protectMemory(a, n uintptr, prot uint64) uintptr {
	if a&(pageSize-1) != 0 || prot&^7 != 0 {
		return errno(syscall.EINVAL)
	}
	if n == 0 {
		return 0
	}
	if !userRange(a, n) {
		return errno(syscall.ENOMEM)
	}
	c := change{kind: changeProtect, prot: prot}
	if !c.run(a, (n+pageSize-1)&^(pageSize-1)) || c.hole {
		return errno(syscall.ENOMEM)
	}
	return 0
}

const (
	madvDontneed = 4
	madvFree     = 8
)

// adviseMemory is madvise: memory that is not needed is given back at once, other
// advice is taken for granted where the range is mapped.
func adviseMemory(a, n uintptr, advice int) uintptr {
	if a&(pageSize-1) != 0 || advice < 0 || advice > 25 {
		return errno(syscall.EINVAL)
	}
	if n == 0 {
		return 0
	}
	if !userRange(a, n) {
		return errno(syscall.ENOMEM)
	}
	if advice != madvDontneed && advice != madvFree {
		return 0
	}
	c := change{kind: changeDiscard}
	if !c.run(a, (n+pageSize-1)&^(pageSize-1)) || c.hole {
		return errno(syscall.ENOMEM)
	}
	return 0
}

// resident is mincore: one byte for each page, 1 if it has memory.
func resident(a, n, vec uintptr) uintptr {
	if a&(pageSize-1) != 0 {
		return errno(syscall.EINVAL)
	}
	if !userRange(a, n) {
		return errno(syscall.ENOMEM)
	}
	pages := (n + pageSize - 1) >> pageShift
	if !userRange(vec, pages) {
		return errno(syscall.EFAULT)
	}
	for i := uintptr(0); i < pages; i++ {
		memory.lock()
		_, e, _ := lookup(a + i<<pageShift)
		memory.unlock()
		if e == 0 {
			return errno(syscall.ENOMEM)
		}
		*(*uint8)(at(vec + i)) = uint8(e & amd64.PTE_P)
	}
	return 0
}

// lookup returns where the entry that decides about the address a is, the entry,
// and its level. memory is held.
func lookup(a uintptr) (p uintptr, e uint64, level int) {
	table := rootTable
	for level = 3; ; level-- {
		p = entryAt(table, a, level)
		e = load64(p)
		if level == 0 || !isPresent(e) || isHuge(e) {
			return p, e, level
		}
		table = frameOf(e)
	}
}

const (
	mapErr   = 1 // SEGV_MAPERR
	accErr   = 2 // SEGV_ACCERR
	noMemory = -1
)

// reserve is how many frames are kept back so that the runtime can still report
// that memory has run out.
const reserve = 64

// exhausted is set when memory has run out once: the reserve is open.
var exhausted bool

// memoryLeft tells whether a fault may take another frame. memory is held.
func memoryLeft() bool { return exhausted || freeFrames > reserve }

// fault tries to give memory to the address a after a page fault. It returns 0
// if the access can be tried again, else the si_code of the SIGSEGV to come, or
// noMemory.
func fault(a uintptr, write, exec bool) int32 {
	if a >= userEnd {
		return mapErr
	}
	memory.lock()
	for {
		p, e, level := lookup(a)
		if e == 0 {
			memory.unlock()
			return mapErr
		}
		var prot uint64
		if isPresent(e) {
			prot = leafProt(e)
		} else {
			prot = e >> protShift & 7
		}
		if prot == 0 || write && prot&syscall.PROT_WRITE == 0 || exec && prot&syscall.PROT_EXEC == 0 {
			memory.unlock()
			return accErr
		}
		if isPresent(e) {
			// Another CPU was first, or the TLB remembered.
			forgetPage(a)
			memory.unlock()
			return 0
		}
		if level == 1 && wantHuge(p, a) {
			if f := allocFrames(maxOrder); f != 0 {
				memory.unlock()
				clearPage(directMap+f, hugeSize)
				memory.lock()
				if load64(p) == e {
					store64(p, uint64(f)|leafBits(prot)|amd64.PTE_PS)
					memory.unlock()
					return 0
				}
				freeBlock(f, maxOrder)
				continue
			}
		}
		if level > 0 {
			if !memoryLeft() || split(p, level) == 0 {
				memory.unlock()
				return noMemory
			}
			continue
		}
		for n := faultAround(p, e); n > 0; n-- {
			f := uintptr(0)
			if memoryLeft() {
				f = allocFrames(0)
			}
			if f == 0 {
				memory.unlock()
				return noMemory
			}
			clearPage(directMap+f, pageSize)
			store64(p, uint64(f)|leafBits(prot))
			p += 8
		}
		memory.unlock()
		if mark := atomic.LoadUint64(&memoryMark); freeFrames < mark && atomic.CompareAndSwapUint64(&memoryMark, mark, 0) {
			raiseLine(LineMemory)
		}
		return 0
	}
}

// faultAround returns how many pages to fill from the entry at p on: a program
// that walks through memory gets as many as it has just used, up to 16.
func faultAround(p uintptr, e uint64) int {
	first := p &^ (pageSize - 1)
	n := 1
	for q := p - 8; q >= first && n < 16 && load64(q)&amd64.PTE_P != 0; q -= 8 {
		n++
	}
	if freeFrames < 1024 {
		return 1
	}
	for i := 1; i < n; i++ {
		q := p + uintptr(i)*8
		if q >= first+pageSize || load64(q) != e {
			return i
		}
	}
	return n
}

// wantHuge decides whether the reserved 2 MiB whose entry is at p become one
// page: when memory is plentiful and the 2 MiB before are in full use, that is,
// the program walks through memory.
func wantHuge(p uintptr, a uintptr) bool {
	if freeFrames < totalFrames/4 || p&(pageSize-1) == 0 {
		return false
	}
	before := load64(p - 8)
	if !isPresent(before) {
		return false
	}
	if isHuge(before) {
		return true
	}
	t := directMap + frameOf(before)
	used := 0
	for i := uintptr(0); i < 512; i += 8 {
		used += int(load64(t+i*8) & amd64.PTE_P)
	}
	return used >= 56
}

// mapNucleus gives memory to [a, a+n) in the upper half, readable and writable.
// It reports false if there is none.
func mapNucleus(a, n uintptr) bool {
	memory.lock()
	ok := true
	for ; n > 0 && ok; a, n = a+pageSize, n-pageSize {
		f := allocFrames(0)
		if f == 0 {
			ok = false
			break
		}
		clearPage(directMap+f, pageSize)
		ok = mapRange(a, pageSize, uint64(f)|leafBits(syscall.PROT_READ|syscall.PROT_WRITE), 0)
	}
	memory.unlock()
	return ok
}

// mapRange maps [a, a+n) by pages of a level to the consecutive memory that begins
// with the page of the entry e. It reports false if there is no memory for tables.
// memory is held, or only the boot CPU runs.
func mapRange(a, n uintptr, e uint64, level int) bool {
	size := uintptr(1) << levelShift(level)
	for end := a + n; a < end; {
		table := rootTable
		for l := 3; l > level; l-- {
			if table = split(entryAt(table, a, l), l); table == 0 {
				return false
			}
		}
		for p := entryAt(table, a, level); ; p += 8 {
			store64(p, e)
			a, e = a+size, e+uint64(size)
			if a >= end || a>>levelShift(level)&511 == 0 {
				break
			}
		}
	}
	return true
}
