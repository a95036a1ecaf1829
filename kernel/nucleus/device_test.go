package nucleus

import (
	"math/rand"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestContiguousMemory(t *testing.T) {
	useArena(t, 64<<20)
	free := freeFrames
	rnd := rand.New(rand.NewSource(1))
	owner := map[uintptr]bool{}
	pages := uint64(0)
	for range 300 {
		n := uintptr(rnd.Intn(100*pageSize) + 1)
		if rnd.Intn(20) == 0 {
			n = uintptr(rnd.Intn(hugeSize) + 1)
		}
		p := allocateContiguous(n)
		if p == errno(syscall.ENOMEM) {
			continue
		}
		require.Zero(t, p&(pageSize-1))
		for f := p; f < p+n; f += pageSize {
			require.False(t, owner[f], "frame %#x handed out twice", f)
			owner[f] = true
			pages++
			store64(directMap+f, ^uint64(0))
		}
	}
	require.Greater(t, pages, uint64(4000))
	require.Equal(t, free-pages, freeFrames, "no more than asked for is gone")
	require.Equal(t, errno(syscall.ENOMEM), allocateContiguous(hugeSize+1))
	for allocateContiguous(pageSize) != errno(syscall.ENOMEM) {
	}
	require.GreaterOrEqual(t, freeFrames, uint64(reserve), "the reserve is not for devices")
}

func TestTranslate(t *testing.T) {
	useArena(t, 64<<20)
	const a = 0x40_0000_0000
	const rw = syscall.PROT_READ | syscall.PROT_WRITE
	fixed := syscall.MAP_ANON | syscall.MAP_PRIVATE | syscall.MAP_FIXED
	require.Equal(t, uintptr(a), mapMemory(a, 16<<20, rw, fixed))

	// What is behind each address is what a CPU would find there.
	quicks := 0
	check := func(a uintptr, most int) int {
		addr, n := translateRange(a, most)
		require.Positive(t, n)
		if quick := physicalInPage(a, uintptr(most)); quick != 0 {
			require.Equal(t, addr, quick)
			require.Equal(t, most, n)
			quicks++
		}
		require.LessOrEqual(t, n, most)
		for off := uintptr(0); off < uintptr(n); off += pageSize - (a+off)&(pageSize-1) {
			_, e, level := lookup(a + off)
			require.True(t, isPresent(e), "the page at %#x has no memory", a+off)
			size := uintptr(1) << levelShift(level)
			require.Equal(t, uint64(frameOf(e)+(a+off)&(size-1)), addr+uint64(off))
		}
		if n < most {
			next, _ := translate(a + uintptr(n))
			require.NotEqual(t, addr+uint64(n), next, "neighbours were not joined")
		}
		return n
	}
	require.Equal(t, 100, check(a+pageSize-50, 100), "consecutive pages of fresh memory")
	rnd := rand.New(rand.NewSource(1))
	for range 2000 {
		off := rnd.Intn(16<<20 - 1)
		check(a+uintptr(off), min(rnd.Intn(20*pageSize)+1, 16<<20-off))
	}
	for off := uintptr(0); off < 16<<20; off += hugeSize { // pages of 2 MiB
		require.Zero(t, unmapMemory(a+off, hugeSize))
		require.Equal(t, a+off, mapMemory(a+off, hugeSize, rw, fixed))
		for p := a + off; p < a+off+hugeSize; p += pageSize {
			require.Zero(t, fault(p, true, false))
		}
	}
	_, _, level := lookup(a + 15<<20)
	require.Equal(t, 1, level)
	require.Greater(t, check(a+15<<20+123, 1<<20-123), 1<<19)

	// Memory that is not there, not to be read, or not the program's.
	require.Zero(t, protectMemory(a, pageSize, syscall.PROT_NONE))
	require.Equal(t, uintptr(a+32<<20), mapMemory(a+32<<20, pageSize, syscall.PROT_NONE, fixed))
	for _, bad := range []uintptr{a, a - 1, a + 16<<20, a + 32<<20, 0, userEnd, ^uintptr(0)} {
		_, n := translateRange(bad, 10)
		assert.Zero(t, n, "%#x", bad)
		assert.Zero(t, physicalInPage(bad, 10), "%#x", bad)
	}
	require.Equal(t, 10, check(a+pageSize, 10))
	require.Greater(t, quicks, 20)
	_, n := translateRange(a+16<<20-10, 20)
	require.Equal(t, 10, n, "up to where the memory ends")
}

func TestVectors(t *testing.T) {
	savedCount, savedRoutes := lineCount, routes
	t.Cleanup(func() {
		lineCount, routes, cpuCount = savedCount, savedRoutes, 1
		for i := range cpus[:3] {
			cpus[i] = cpu{}
		}
	})
	cpuCount = 3
	for i := range cpus[:3] {
		cpus[i].apicID = uint32(10 * i)
	}
	cpus[2].apicID = 300 // beyond what a message can name
	type source struct {
		apicID uint64
		vector uint32
	}
	seen := map[source]bool{}
	lines := map[int]bool{}
	for n := uintptr(0); ; n++ {
		r := newMessage(n)
		if r == errno(syscall.ENOSPC) {
			break
		}
		line, s := int(r&0xff), source{uint64(r>>32) >> 12 & 0xff, uint32(r >> 8 & 0xff)}
		require.Equal(t, uint64(0xfee00000), uint64(r>>32)&^(0xff<<12))
		require.False(t, seen[s], "%+v is shared", s)
		require.False(t, lines[line])
		seen[s], lines[line] = true, true
		require.Contains(t, []uint64{0, 10}, s.apicID)
		c := &cpus[s.apicID/10]
		require.EqualValues(t, line, c.lines[s.vector-vectorLine])
		require.Less(t, s.vector, uint32(vectorLine+lineVectors))
		if n == 1 {
			require.EqualValues(t, 10, s.apicID, "the CPU asked for")
		}
	}
	require.Len(t, lines, maxLines-firstDeviceLine, "all lines, though one CPU alone has fewer vectors")
}

// registers are of an I/O APIC: select at byte 0, window at byte 16. A stack might move.
var registers [8]uint32

// TestLevelTriggeredLine: such an input stays masked from the interrupt to the next Wait.
func TestLevelTriggeredLine(t *testing.T) {
	saved := routes
	t.Cleanup(func() { routes = saved })
	const line = 5
	const low = redirectLevel | 0x33
	routes[line] = route{ioapic: addr(&registers[0]), entry: 0x1a, low: low}
	maskRoute(&routes[line])
	assert.Equal(t, [8]uint32{0: 0x1a, 4: low | redirectMasked}, registers)
	unmask(line)
	assert.Equal(t, [8]uint32{0: 0x1a, 4: low}, registers)
	registers = [8]uint32{}
	unmask(line)
	assert.Equal(t, [8]uint32{}, registers, "it was not masked")
}

var testSeed [32]byte

// TestSeed: what an entropy device gives changes what the generator does.
func TestSeed(t *testing.T) {
	seed := &testSeed
	var first, second [32]byte
	other := generator
	seed[7] = 1
	seedFrom(addr(seed))
	other.Seed(seed)
	generator.Read(&first[0], 32)
	other.Read(&second[0], 32)
	assert.Equal(t, second, first)
	plain := generator
	seedFrom(addr(seed))
	generator.Read(&first[0], 32)
	plain.Read(&second[0], 32)
	assert.NotEqual(t, second, first)
}
