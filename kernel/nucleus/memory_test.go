package nucleus

import (
	"math/rand"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// useArena makes n bytes of host memory the physical memory of the test, and
// gives the allocator all but the part for its own state.
func useArena(t *testing.T, n uintptr) {
	t.Helper()
	b, err := syscall.Mmap(-1, 0, int(n+hugeSize), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	require.NoError(t, err)
	base := (uintptr(unsafe.Pointer(&b[0])) + hugeSize - 1) &^ (hugeSize - 1)
	directMap = base
	memoryRegionCount, totalFrames, freeFrames = 0, 0, 0
	freeBlocks = [maxOrder + 1]uintptr{}
	frameStates = directMap
	// Physical address 0 means "none", and the state is at the start.
	addMemory(hugeSize+3*pageSize, n/2-5*pageSize)
	addMemory(n/2+pageSize, n)
	prepareStates()
	rootTable = newTable(0)
	mapCursor = mmapLow
	t.Cleanup(func() {
		directMap = 0
		require.NoError(t, syscall.Munmap(b))
	})
}

func TestFramesComeBack(t *testing.T) {
	useArena(t, 64<<20)
	free := freeFrames
	rnd := rand.New(rand.NewSource(1))
	held := map[uintptr]int{}
	owner := map[uintptr]bool{} // frames in use
	for i := 0; i < 20000; i++ {
		if rnd.Intn(2) == 0 {
			order := rnd.Intn(maxOrder + 1)
			if rnd.Intn(3) > 0 {
				order = 0
			}
			p := allocFrames(order)
			if p == 0 {
				continue
			}
			require.Zero(t, p&(pageSize<<order-1), "block of order %d at %#x", order, p)
			for f := p; f < p+pageSize<<order; f += pageSize {
				require.False(t, owner[f], "frame %#x handed out twice", f)
				owner[f] = true
			}
			held[p] = order
			store64(directMap+p, ^uint64(0)) // what the program does with it
		} else {
			for p, order := range held {
				freeBlock(p, order)
				for f := p; f < p+pageSize<<order; f += pageSize {
					delete(owner, f)
				}
				delete(held, p)
				break
			}
		}
	}
	for p, order := range held {
		freeBlock(p, order)
	}
	require.Equal(t, free, freeFrames)
	n := 0
	for allocFrames(maxOrder) != 0 {
		n++
	}
	require.GreaterOrEqual(t, n, 25, "neighbours were not joined: 2 MiB blocks left")
}

func TestExhaustedMemory(t *testing.T) {
	useArena(t, 8<<20)
	n := freeFrames
	for i := uint64(0); i < n; i++ {
		require.NotZero(t, allocFrames(0))
	}
	require.Zero(t, allocFrames(0))
	require.Zero(t, freeFrames)
}

// TestAddressSpace does random things to the address space and to a model of it,
// page by page.
func TestAddressSpace(t *testing.T) {
	useArena(t, 256<<20)
	free := freeFrames
	type page struct {
		prot uint64
		data byte // what the program has written, 0 = nothing
	}
	model := map[uintptr]*page{}
	rnd := rand.New(rand.NewSource(2))
	const base, pages = 0x40_0000_0000 - 700*pageSize, 3000
	check := func() {
		for i := uintptr(0); i < pages; i++ {
			a := uintptr(base + i*pageSize)
			_, e, level := lookup(a)
			m := model[a]
			if m == nil {
				require.Zero(t, e, "page %d", i)
				continue
			}
			require.NotZero(t, e, "page %d", i)
			if isPresent(e) {
				require.Equal(t, m.prot, leafProt(e), "page %d", i)
				p := frameOf(e)
				if level == 1 {
					p += a & (hugeSize - 1)
				}
				require.Equal(t, m.data, *(*byte)(at(directMap + p)), "page %d", i)
			} else {
				require.Equal(t, m.prot, e>>protShift&7, "page %d", i)
				if e&entryParked != 0 {
					require.Equal(t, m.data, *(*byte)(at(directMap + frameOf(e))), "page %d", i)
				} else {
					require.Zero(t, m.data, "page %d lost its content", i)
				}
			}
		}
	}
	for step := 0; step < 1500; step++ {
		first := uintptr(rnd.Intn(pages))
		n := uintptr(rnd.Intn(40) + 1)
		if rnd.Intn(4) == 0 {
			n = uintptr(rnd.Intn(pages))
		}
		n = min(n, pages-first)
		a := uintptr(base) + first*pageSize
		each := func(f func(a uintptr, m *page)) {
			for i := uintptr(0); i < n; i++ {
				if m := model[a+i*pageSize]; m != nil {
					f(a+i*pageSize, m)
				}
			}
		}
		switch op := rnd.Intn(10); {
		case op < 2: // map over whatever is there
			prot := uint64(rnd.Intn(4))
			if prot != 0 {
				prot |= syscall.PROT_READ
			}
			require.Equal(t, a, mapMemory(a, n*pageSize, prot, syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_FIXED))
			for i := uintptr(0); i < n; i++ {
				model[a+i*pageSize] = &page{prot: prot}
			}
		case op < 3:
			require.Zero(t, unmapMemory(a, n*pageSize))
			each(func(a uintptr, m *page) { delete(model, a) })
		case op < 4:
			adviseMemory(a, n*pageSize, madvDontneed)
			each(func(a uintptr, m *page) { m.data = 0 })
		case op < 6:
			prot := []uint64{0, syscall.PROT_READ, syscall.PROT_READ | syscall.PROT_WRITE}[rnd.Intn(3)]
			protectMemory(a, n*pageSize, prot)
			each(func(a uintptr, m *page) { m.prot = prot })
		default: // write, in order
			each(func(a uintptr, m *page) {
				code := fault(a, true, false)
				if m.prot&syscall.PROT_WRITE == 0 {
					require.NotZero(t, code)
					return
				}
				require.Zero(t, code)
				_, e, level := lookup(a)
				p := frameOf(e)
				if level == 1 {
					p += a & (hugeSize - 1)
				}
				was := (*byte)(at(directMap + p))
				require.Equal(t, m.data, *was, "fresh memory is not zero, or lost")
				*was = byte(rnd.Intn(255) + 1)
				m.data = *was
			})
		}
		if step%50 == 0 {
			check()
		}
	}
	check()
	require.NotZero(t, forgotten.pages)
	require.Zero(t, unmapMemory(base, pages*pageSize))
	require.Equal(t, free, freeFrames, "frames or tables leaked")
}

func TestHugePagesForSequentialUse(t *testing.T) {
	useArena(t, 256<<20)
	const a = 0x40_0000_0000
	require.Equal(t, uintptr(a), mapMemory(a, 16<<20, 3, syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_FIXED))
	faults := 0
	for p := uintptr(a); p < a+16<<20; p += pageSize {
		if _, e, _ := lookup(p); !isPresent(e) {
			faults++
			require.Zero(t, fault(p, true, false))
		}
	}
	_, _, level := lookup(a + 15<<20)
	require.Equal(t, 1, level, "not a 2 MiB page")
	require.Less(t, faults, 70)
}

func TestMappingFailures(t *testing.T) {
	useArena(t, 16<<20)
	anon := syscall.MAP_ANON | syscall.MAP_PRIVATE
	for name, c := range map[string]struct {
		got  uintptr
		want syscall.Errno
	}{
		"no length":            {mapMemory(0, 0, 3, anon), syscall.EINVAL},
		"unaligned, fixed":     {mapMemory(0x10001, 4096, 3, anon|syscall.MAP_FIXED), syscall.EINVAL},
		"page zero":            {mapMemory(0, 4096, 3, anon|syscall.MAP_FIXED), syscall.EINVAL},
		"beyond the end":       {mapMemory(userEnd-4096, 8192, 3, anon|syscall.MAP_FIXED), syscall.EINVAL},
		"larger than all":      {mapMemory(0, 1<<48, 3, anon), syscall.ENOMEM},
		"file":                 {mapMemory(0, 4096, 3, syscall.MAP_PRIVATE), syscall.ENODEV},
		"protect nothing":      {protectMemory(0x10000, 4096, 1), syscall.ENOMEM},
		"advise nothing":       {adviseMemory(0x10000, 4096, madvDontneed), syscall.ENOMEM},
		"unmap, unaligned":     {unmapMemory(0x10001, 4096), syscall.EINVAL},
		"unknown advice":       {adviseMemory(0x10000, 4096, 99), syscall.EINVAL},
		"unknown protection":   {mapMemory(0, 4096, 8, anon), syscall.EINVAL},
		"unmap the upper half": {unmapMemory(1<<63, 4096), syscall.EINVAL},
	} {
		require.Equal(t, errno(c.want), c.got, name)
	}
	require.Equal(t, int32(1), fault(0, true, false), "page zero")
	require.Equal(t, int32(1), fault(1<<47, false, false), "upper half")
}
