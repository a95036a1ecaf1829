package nucleus

import (
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/goshawk-os/goshawk/arch/amd64"
	"github.com/goshawk-os/goshawk/kernel/cmdline"
	"github.com/goshawk-os/goshawk/kernel/machine/acpi"
	"github.com/goshawk-os/goshawk/kernel/machine/phys"
	"github.com/goshawk-os/goshawk/kernel/machine/pvh"
)

var (
	info   pvh.Info
	tables acpi.Tables

	// Sizes of what the image and the loader gave, for api.go.
	commandLine, commandLineSize uintptr
	module, moduleSize           uintptr
	root, rootSize               uintptr
)

// bootMapped is how much physical memory the boot page tables map.
const bootMapped = 1 << 30

// boot is the first Go code, on the boot stack, which becomes the idle thread's.
// It brings up the machine and starts the program.
func boot(startInfo uintptr) {
	setupConsole()
	detectCPU()
	c := &cpus[0]
	c.online = 1
	setupIDT()
	setupCPU(c)
	sizeXSAVE()

	if why := pvh.Read(&info, phys.Memory{Base: directMap, Size: bootMapped}, uint64(startInfo)); why != pvh.OK {
		say("goshawk: the boot loader's PVH start info is unusable: ")
		say(why.String())
		say("; start the image by PVH (qemu -kernel)\n")
		powerOff(exitFailure)
	}
	readImage()
	collectMemory(startInfo)
	buildAddressSpace()
	c.fatalStack = nucleusStack(fatalStackSize)

	if why := acpi.Read(&tables, phys.Memory{Base: directMap, Size: uint64(topOfMemory())}, info.RSDP); why != acpi.OK {
		withoutACPI()
	}
	setupPower()
	if tables.HasPIC {
		maskPIC()
	}
	setupAPIC(tables.LocalAPIC)
	c.apicID = localAPICID()
	if !calibrate() {
		say("goshawk: no PIT and no ACPI timer to calibrate the clock with; time runs at the CPU's own pace (QEMU microvm: add pit=on)\n")
		setClock(1_000_000_000)
		timerScale = 1 << 32
	}
	readWallClock()
	seedRandom()
	startCPUs()
	listenConsole()
	startProgram()
	idleLoop()
}

// withoutACPI assumes a PC as it was before ACPI.
func withoutACPI() {
	tables = acpi.Tables{}
	tables.LocalAPIC = 0xfee00000
	tables.IOAPICs[0].Address = 0xfec00000
	tables.IOAPICCount = 1
	for i := range tables.ISA {
		tables.ISA[i].GSI = uint32(i)
	}
}

// The image's ELF header and program headers are where the linker put them: at
// the start of the first segment (System V ABI, ELF-64 object file format 1.5).
const (
	imageBase    = 0x400000
	elfPhoff     = 32
	elfShoff     = 40
	elfShnum     = 60 // and the index of the names, 2 bytes each
	elfPhentsize = 54
	elfPhnum     = 56
	phType       = 0
	phFlags      = 4
	phOffset     = 8
	phVaddr      = 16
	phFilesz     = 32
	phMemsz      = 40
	ptLoad       = 1
	ptRoot       = 0x606f5367 // boot/image's mark for the tar of -root
	ptZero       = 0x606f5368 // and for variables that get memory when touched
	pfX          = 1
	pfW          = 2
	maxSegments  = 8
)

// segments are the loaded parts of the image.
var (
	segments     [maxSegments]struct{ start, end, flags uintptr }
	segmentCount int

	// zeroStart to zeroEnd are the program's variables that no loader gives
	// memory to. Nothing in nucleus mode may touch them of its own.
	zeroStart, zeroEnd uintptr

	// imageSize is how much of the image's file lies in memory as it is.
	imageSize uintptr
)

// readImage learns from the program headers what the image consists of. The
// sections are not in memory, so the header there is made to say that there are
// none: it serves as the header of /proc/self/exe.
func readImage() {
	store64(imageBase+elfShoff, 0)
	store32(imageBase+elfShnum, 0)
	ph := imageBase + uintptr(load64(imageBase+elfPhoff))
	size := uintptr(load32(imageBase+elfPhentsize&^3) >> 16)
	count := uintptr(load32(imageBase+elfPhnum) & 0xffff)
	for ; count > 0; ph, count = ph+size, count-1 {
		start := uintptr(load64(ph + phVaddr))
		switch load32(ph + phType) {
		case ptLoad:
			if segmentCount == maxSegments {
				fatal("the image has too many segments")
			}
			s := &segments[segmentCount]
			segmentCount++
			s.start = start &^ (pageSize - 1)
			s.end = (start + uintptr(load64(ph+phMemsz)) + pageSize - 1) &^ (pageSize - 1)
			s.flags = uintptr(load32(ph + phFlags))
			if start == imageBase+uintptr(load64(ph+phOffset)) {
				imageSize = start - imageBase + uintptr(load64(ph+phFilesz))
			}
		case ptRoot:
			root, rootSize = directMap+start, uintptr(load64(ph+phFilesz))
		case ptZero:
			zeroStart = start
			zeroEnd = (start + uintptr(load64(ph+phMemsz)) + pageSize - 1) &^ (pageSize - 1)
		}
	}
}

// lowMemory is left alone: firmware tables, boot page tables, the trampoline.
const lowMemory = 1 << 20

// collectMemory hands the allocator all RAM that nothing is in.
func collectMemory(startInfo uintptr) {
	commandLine, commandLineSize = directMap+uintptr(info.CommandLine), uintptr(info.CommandLineSize)
	if info.ModuleCount > 0 {
		module, moduleSize = directMap+uintptr(info.Modules[0].Address), uintptr(info.Modules[0].Size)
	}
	for i := 0; i < info.RegionCount; i++ {
		if r := &info.Regions[i]; r.Type == pvh.RAM {
			start, end := uintptr(r.Address), uintptr(r.Address+r.Size)
			if start < lowMemory {
				start = lowMemory
			}
			if start < end {
				addFree(start, end, startInfo)
			}
		}
	}
	// The allocator's state needs a byte for each frame.
	need := (topOfMemory()>>pageShift + hugeSize) &^ (pageSize - 1)
	for i := 0; i < memoryRegionCount; i++ {
		r := &memoryRegions[i]
		if r.end-r.next >= need && r.next+need <= bootMapped {
			frameStates = directMap + r.next
			r.next += need
			totalFrames -= uint64(need >> pageShift)
			freeFrames -= uint64(need >> pageShift)
			break
		}
	}
	if frameStates == 0 || freeFrames < leastMemory>>pageShift {
		say("goshawk: not enough memory: the image leaves ")
		sayNumber(freeFrames<<pageShift>>10, 10)
		say(" KiB; give the machine at least ")
		sayNumber((leastMemory-freeFrames<<pageShift)>>20+1, 10)
		say(" MiB more (goshawk run -mem, qemu -m)\n")
		powerOff(exitFailure)
	}
	prepareStates()
}

// leastMemory is what has to be free for a program to reach main at all.
const leastMemory = 4 << 20

// addFree hands out the RAM [start, end) without the parts that are in use.
func addFree(start, end, startInfo uintptr) {
	for start < end {
		// The first used range that begins below the end and ends above start.
		from, to := end, end
		use := func(a, n uintptr) {
			b := (a + n + pageSize - 1) &^ (pageSize - 1)
			a &^= pageSize - 1
			if b > start && a < from {
				from, to = a, b
			}
		}
		for i := 0; i < segmentCount; i++ {
			use(segments[i].start, segments[i].end-segments[i].start)
		}
		for i := 0; i < info.ModuleCount; i++ {
			use(uintptr(info.Modules[i].Address), uintptr(info.Modules[i].Size))
		}
		use(uintptr(info.CommandLine), uintptr(info.CommandLineSize)+1)
		use(startInfo, pageSize)
		if from > start {
			addMemory(start, from)
		}
		start = to
	}
}

// topOfMemory returns the end of the highest RAM.
func topOfMemory() uintptr {
	top := uintptr(0)
	for i := 0; i < info.RegionCount; i++ {
		r := &info.Regions[i]
		if end := uintptr(r.Address + r.Size); mapped(r) && end > top {
			top = end
		}
	}
	return top
}

// mapped tells whether a region of the memory map belongs into the direct map:
// RAM and firmware tables, but not the large windows of devices.
func mapped(r *pvh.Region) bool {
	return r.Type == pvh.RAM || r.Type == pvh.ACPIReclaimable || r.Type == pvh.ACPINonvolatile ||
		r.Type == pvh.Reserved && r.Size <= 4<<20 && r.Address < 0xfe000000
}

// buildAddressSpace replaces the boot page tables: the image where it was linked,
// each segment with its own rights, and physical memory at directMap. The tar of
// -root is in the direct map only: where it was loaded may be zeroStart to zeroEnd.
func buildAddressSpace() {
	rootTable = newTable(0)
	data := leafBits(syscall.PROT_READ | syscall.PROT_WRITE)
	ok := mapRange(directMap, hugeSize, data|amd64.PTE_PS, 1)
	for i := 0; i < info.RegionCount; i++ {
		if r := &info.Regions[i]; mapped(r) {
			start := uintptr(r.Address) &^ (hugeSize - 1)
			ok = ok && mapRange(directMap+start, uintptr(r.Address+r.Size)-start, uint64(start)|data|amd64.PTE_PS, 1)
		}
	}
	for i := 0; i < segmentCount; i++ {
		s := &segments[i]
		prot := uint64(syscall.PROT_READ)
		if s.flags&pfW != 0 {
			prot |= syscall.PROT_WRITE
		}
		if s.flags&pfX != 0 {
			prot |= syscall.PROT_EXEC
		}
		// 2 MiB pages in the middle, small ones at the ends. What is read-only
		// there is read-only in the direct map too.
		for a := s.start; a < s.end; {
			level, next := 0, (a+hugeSize)&^(hugeSize-1)
			if a&(hugeSize-1) == 0 && s.end-a >= hugeSize {
				level, next = 1, s.end&^(hugeSize-1)
			}
			if next > s.end {
				next = s.end
			}
			size := uint64(0)
			if level == 1 {
				size = amd64.PTE_PS
			}
			if directMap+s.start != root {
				ok = ok && mapRange(a, next-a, uint64(a)|leafBits(prot)|size, level)
			}
			if prot&syscall.PROT_WRITE == 0 {
				ok = ok && mapRange(directMap+a, next-a, uint64(a)|leafBits(syscall.PROT_READ)|size, level)
			}
			a = next
		}
	}
	if zeroStart < zeroEnd {
		zero := change{kind: changeMap, prot: syscall.PROT_READ | syscall.PROT_WRITE}
		ok = ok && zero.apply(rootTable, 3, zeroStart, zeroEnd)
	}
	if !ok {
		fatal("no memory for the page tables")
	}
	forgetAll()
}

// mapDevice makes n bytes of device registers at a physical address accessible,
// uncached, and returns where.
func mapDevice(p, n uintptr) uintptr {
	memory.lock()
	for a := p &^ (pageSize - 1); a < p+n; a += pageSize {
		if _, e, _ := lookup(directMap + a); isPresent(e) {
			continue
		}
		if !mapRange(directMap+a, pageSize, uint64(a)|leafBits(syscall.PROT_READ|syscall.PROT_WRITE)|amd64.PTE_PCD|amd64.PTE_PWT, 0) {
			fatal("no memory for the page tables of a device")
		}
	}
	memory.unlock()
	return directMap + p
}

// nucleusStack returns the top of a stack in the direct map.
func nucleusStack(size uintptr) uintptr {
	order := 0
	for pageSize<<order < size {
		order++
	}
	memory.lock()
	p := allocFrames(order)
	memory.unlock()
	if p == 0 {
		fatal("no memory for a CPU's stacks")
	}
	return directMap + p + size
}

// The program's first stack.
const (
	programStackTop  = 0x7ffe_0000_0000
	programStackSize = 256 << 10
)

const (
	atNull   = 0
	atPagesz = 6
	atRandom = 25
)

// startProgram makes the first thread, which begins in the runtime's entry for
// Linux: the stack pointer at argc, then argv, the environment and the auxiliary
// vector (System V ABI for AMD64, figure 3.9).
func startProgram() {
	low := uintptr(programStackTop - programStackSize)
	if mapMemory(low, programStackSize, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_FIXED) != low {
		fatal("no memory for the program's stack")
	}
	if commandLineSize > cmdline.MaxLen*8 {
		say("goshawk: the command line is too long; keep arguments and environment below 32 KiB\n")
		powerOff(exitFailure)
	}
	line := unsafe.String((*byte)(at(commandLine)), commandLineSize)

	// The strings, then space for a pointer to each word and the fixed words.
	text := uintptr(programStackTop) - commandLineSize - 256
	words := commandLineSize/2 + 16
	sp := (text - 8*words) &^ 15
	next := sp
	push := func(v uintptr) {
		store64(next, uint64(v))
		next += 8
	}
	str := func(word string) uintptr {
		s := text
		n := uintptr(cmdline.Decode(unsafe.Slice((*byte)(at(s)), len(word)), word))
		*(*byte)(at(s + n)) = 0
		text += n + 1
		return s
	}
	push(0) // argc, filled in below
	argv0 := "/program"
	for w := cmdline.Parse(line); ; {
		word, arg, ok := w.Next()
		if !ok {
			break
		}
		if v, is := cmdline.Option(word, "argv0"); is && !arg {
			argv0 = v
		}
	}
	push(str(argv0))
	argc := uint64(1)
	for w := cmdline.Parse(line); ; {
		word, arg, ok := w.Next()
		if !ok {
			break
		}
		// QEMU's microvm without ACPI appends its devices.
		if _, device := cmdline.Option(word, "virtio_mmio.device"); arg && !device {
			push(str(word))
			argc++
		}
	}
	push(0)
	store64(sp, argc)
	for w := cmdline.Parse(line); ; {
		word, arg, ok := w.Next()
		if !ok {
			break
		}
		if v, is := cmdline.Option(word, "env"); is && !arg {
			push(str(v))
		}
	}
	push(str("HOME=/")) // a later one does not replace an earlier one
	push(0)
	push(atPagesz)
	push(pageSize)
	push(atRandom)
	push(text)
	random(text, 16)
	push(atNull)
	push(0)

	sched.lock()
	t := newThread()
	if t == nil {
		fatal("no memory for the first thread")
	}
	var r regs
	r.rip = programEntry()
	r.rsp = sp
	r.cs, r.ss, r.rflags = amd64.KernelCS, amd64.KernelSS, amd64.FlagIF|2
	t.prepare(&r)
	makeReady(t)
	sched.unlock()
}

// programEntry returns the address of the runtime's entry point for Linux.
func programEntry() uintptr

// The trampoline for application processors lies at a page below 1 MiB, whose
// number the startup interrupt carries. It is assembled from the source beside
// each line; the variables at its end are filled in here.
const (
	trampoline      = 0x65000
	trampolineRoot  = trampoline + 0xf00 // page-table root, 32 bits
	trampolineEntry = trampoline + 0xf08
	trampolineGDT   = trampoline + 0xf20 // pseudo-descriptor
	bootRoot        = 0x60000            // the boot page tables of entry_amd64.s
	bootGDT         = 0x63000
)

var trampolineCode = [...]byte{
	// 16-bit real mode, CS = trampoline / 16, IP = 0
	0xfa,       // cli
	0xfc,       // cld
	0x8c, 0xc8, // mov ax, cs
	0x8e, 0xd8, // mov ds, ax
	0x66, 0x0f, 0x01, 0x16, 0x20, 0x0f, // lgdt [0xf20]: trampolineGDT
	0x66, 0xa1, 0x00, 0x0f, // mov eax, [0xf00]: trampolineRoot
	0x0f, 0x22, 0xd8, // mov cr3, eax
	0x66, 0xb8, 0x20, 0x06, 0x00, 0x00, // mov eax, PAE | OSFXSR | OSXMMEXCPT
	0x0f, 0x22, 0xe0, // mov cr4, eax
	0x66, 0xb9, 0x80, 0x00, 0x00, 0xc0, // mov ecx, IA32_EFER
	0x0f, 0x32, // rdmsr
	0x66, 0x0d, 0x01, 0x09, 0x00, 0x00, // or eax, SCE | LME | NXE
	0x0f, 0x30, // wrmsr
	0x0f, 0x20, 0xc0, // mov eax, cr0
	0x66, 0x25, 0xfb, 0xff, 0xff, 0x9f, // and eax, not (EM | CD | NW)
	0x66, 0x0d, 0x23, 0x00, 0x01, 0x80, // or eax, PE | MP | NE | WP | PG
	0x0f, 0x22, 0xc0, // mov cr0, eax
	0x66, 0xea, 0x46, 0x50, 0x06, 0x00, 0x08, 0x00, // jmp 0x08:0x65046
	// 64-bit mode, at 0x65046
	0x66, 0xb8, 0x10, 0x00, // mov ax, KernelSS
	0x8e, 0xd8, // mov ds, ax
	0x8e, 0xc0, // mov es, ax
	0x8e, 0xd0, // mov ss, ax
	0x48, 0x8b, 0x04, 0x25, 0x08, 0x5f, 0x06, 0x00, // mov rax, [trampolineEntry]
	0xff, 0xe0, // jmp rax
}

// startingCPU is the cpu structure for the processor that comes up now.
var startingCPU uintptr

// startCPUs brings up the other processors, one after the other. One that does
// not answer is left out.
func startCPUs() {
	if tables.CPUCount <= 1 {
		return
	}
	_, _, _, apEntry := entryPoints()
	for i := range trampolineCode {
		*(*byte)(at(directMap + trampoline + uintptr(i))) = trampolineCode[i]
	}
	store64(directMap+trampolineRoot, bootRoot)
	store64(directMap+trampolineEntry, uint64(apEntry))
	store64(directMap+trampolineGDT, bootGDT<<16|0x17)
	for i := 0; i < tables.CPUCount && cpuCount < maxCPUs; i++ {
		id := tables.CPUs[i]
		if id == cpus[0].apicID {
			continue
		}
		c := &cpus[cpuCount]
		c.id = cpuCount
		c.apicID = id
		c.fatalStack = nucleusStack(fatalStackSize)
		c.idle.hi = nucleusStack(idleStackSize)
		c.idle.lo = c.idle.hi - idleStackSize
		c.idle.guard0 = c.idle.lo + stackGuard
		c.idle.guard1 = c.idle.guard0
		atomic.StoreUintptr(&startingCPU, addr(c))
		// SDM 9.4.4.1: INIT, then startup, and once more if nothing happens.
		sendCommand(id, icrAssert|icrINIT)
		wait(200_000)
		for try := 0; try < 2 && atomic.LoadUint32(&c.online) == 0; try++ {
			sendCommand(id, icrAssert|icrStartup|trampoline>>pageShift)
			for start := clockNow(); atomic.LoadUint32(&c.online) == 0 && clockNow()-start < 500_000_000; {
				amd64.Pause()
			}
		}
		if atomic.LoadUint32(&c.online) == 0 {
			say("goshawk: a CPU does not start; going on without it\n")
			continue
		}
		atomic.AddInt32(&cpuCount, 1)
	}
}

// wait spins for ns nanoseconds.
func wait(ns int64) {
	for start := clockNow(); clockNow()-start < ns; {
		amd64.Pause()
	}
}

// apMain is the first Go code of an application processor, on its idle stack.
func apMain() {
	forgetAll()
	c := cpuAt(thisCPU())
	setupCPU(c)
	setupAPIC(tables.LocalAPIC)
	c.flushed = atomic.LoadUint32(&flushCount)
	c.kstack = c.idle.hi - vectorSpace
	atomic.StoreUint32(&c.online, 1)
	idleLoop()
}
