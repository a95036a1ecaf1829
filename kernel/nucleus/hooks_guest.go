//go:build goshawk

package nucleus

import (
	_ "unsafe" // for linkname

	"github.com/goshawk-os/goshawk/arch/amd64"
)

// directMap is where physical memory begins in the address space.
const directMap = 0xffff_8000_0000_0000

// forgetPage drops the translation of one page from this CPU's TLB, forgetAll all.
func forgetPage(a uintptr) { amd64.Invlpg(a) }
func forgetAll()           { amd64.WriteCR3(rootTable) }

// touch makes a page fault at a give memory to it. Thread mode.
func touch(a uintptr) { amd64.Load8(a) }

// What the overlay's part of package runtime supplies.

// waitLine parks the goroutine until a line is raised.
//
//go:linkname waitLine goshawk.waitLine
func waitLine(line int)

// DeviceBusy says that a device works on something that goroutines may wait
// for, DeviceDone that it has completed it and they were woken. Meanwhile the
// runtime takes waiting goroutines for no deadlock.
//
//go:linkname DeviceBusy goshawk.blockEnter
func DeviceBusy()

// DeviceDone is described at DeviceBusy.
//
//go:linkname DeviceDone goshawk.blockExit
func DeviceDone()

// linesMarked is where the runtime takes lines from.
//
//go:linkname linesMarked goshawk.linesMarked

// symbol names the function, file and line of an instruction, without
// allocating. It may be called in nucleus mode.
//
//go:linkname symbol goshawk.symbol
func symbol(pc uintptr) (name, file string, line int)

//go:linkname nanotime runtime.nanotime
func nanotime() int64
