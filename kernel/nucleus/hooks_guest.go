//go:build goshawk

package nucleus

import _ "unsafe" // for linkname

// What the overlay's part of package runtime supplies.

// waitLine parks the goroutine until a line is raised.
//
//go:linkname waitLine goshawk.waitLine
func waitLine(line int)

// symbol names the function, file and line of an instruction, without
// allocating. It may be called in nucleus mode.
//
//go:linkname symbol goshawk.symbol
func symbol(pc uintptr) (name, file string, line int)

//go:linkname nanotime runtime.nanotime
func nanotime() int64
