package nucleus

// Page frames: physical memory in blocks of 2^order pages, 4 KiB to 2 MiB, by the
// buddy method. Memory that was never used stays in its region, untouched, so
// that boot does not visit it; the free lists hold what came back. All state is
// protected by the memory lock.

const (
	pageShift = 12
	pageSize  = 1 << pageShift
	maxOrder  = 9 // 2 MiB
	hugeSize  = pageSize << maxOrder

	maxMemoryRegions = 32
)

// memoryRegion is physical memory, [next, end), that has not been handed out yet.
type memoryRegion struct{ next, end uintptr }

var (
	memory spinlock

	memoryRegions     [maxMemoryRegions]memoryRegion
	memoryRegionCount int

	// frameStates has a byte for each page frame: order+1 of the free block that
	// begins there, else 0. The bytes of a 2 MiB block are valid once a frame of
	// it has been in use.
	frameStates uintptr

	freeBlocks [maxOrder + 1]uintptr // physical addresses; links are in the blocks

	totalFrames uint64
	freeFrames  uint64

	// memoryMark is how few free frames raise LineMemory; 0: none.
	memoryMark uint64
)

// A free block begins with the physical addresses of its neighbours in the list.
func blockNext(p uintptr) uintptr { return directMap + p }
func blockPrev(p uintptr) uintptr { return directMap + p + 8 }

func frameState(p uintptr) *uint8 { return (*uint8)(at(frameStates + p>>pageShift)) }

func clearStates(p uintptr) {
	a := frameStates + p&^(hugeSize-1)>>pageShift
	for i := uintptr(0); i < hugeSize/pageSize; i += 8 {
		store64(a+i, 0)
	}
}

// addMemory hands the physical memory [start, end) to the allocator.
func addMemory(start, end uintptr) {
	start = (start + pageSize - 1) &^ (pageSize - 1)
	end &^= pageSize - 1
	if start >= end || memoryRegionCount == maxMemoryRegions {
		return
	}
	memoryRegions[memoryRegionCount] = memoryRegion{start, end}
	memoryRegionCount++
	totalFrames += uint64((end - start) >> pageShift)
	freeFrames += uint64((end - start) >> pageShift)
}

// prepareStates clears the states of the blocks that regions share at their ends.
// frameStates is set.
func prepareStates() {
	for i := 0; i < memoryRegionCount; i++ {
		clearStates(memoryRegions[i].next)
		clearStates(memoryRegions[i].end - pageSize)
	}
}

// allocFrames returns the physical address of a block of 2^order frames, with
// arbitrary content, or 0 if there is none. memory is held.
func allocFrames(order int) uintptr {
	for {
		for o := order; o <= maxOrder; o++ {
			p := freeBlocks[o]
			if p == 0 {
				continue
			}
			removeBlock(p, o)
			for o > order {
				o--
				insertBlock(p+pageSize<<o, o)
			}
			freeFrames -= 1 << order
			return p
		}
		if !refill() {
			return 0
		}
	}
}

// refill moves the next 2 MiB block of a region to the free lists.
func refill() bool {
	for i := 0; i < memoryRegionCount; i++ {
		r := &memoryRegions[i]
		if r.next == r.end {
			continue
		}
		end := r.next&^(hugeSize-1) + hugeSize
		if end > r.end {
			end = r.end
		}
		if end-r.next == hugeSize {
			clearStates(r.next)
		}
		for r.next < end {
			o := 0
			for o < maxOrder && r.next&(pageSize<<o) == 0 && r.next+pageSize<<(o+1) <= end {
				o++
			}
			insertBlock(r.next, o)
			r.next += pageSize << o
		}
		return true
	}
	return false
}

// freeBlock gives back a block that allocFrames returned, or an aligned part of
// one. memory is held.
func freeBlock(p uintptr, order int) {
	freeFrames += 1 << order
	for order < maxOrder {
		buddy := p ^ pageSize<<order
		if *frameState(buddy) != uint8(order+1) {
			break
		}
		removeBlock(buddy, order)
		p &^= pageSize << order
		order++
	}
	insertBlock(p, order)
}

func insertBlock(p uintptr, order int) {
	*frameState(p) = uint8(order + 1)
	next := freeBlocks[order]
	store64(blockNext(p), uint64(next))
	store64(blockPrev(p), 0)
	if next != 0 {
		store64(blockPrev(next), uint64(p))
	}
	freeBlocks[order] = p
}

func removeBlock(p uintptr, order int) {
	*frameState(p) = 0
	next, prev := uintptr(load64(blockNext(p))), uintptr(load64(blockPrev(p)))
	if prev == 0 {
		freeBlocks[order] = next
	} else {
		store64(blockNext(prev), uint64(next))
	}
	if next != 0 {
		store64(blockPrev(next), uint64(prev))
	}
}
