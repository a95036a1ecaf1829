//go:build !goshawk

package nucleus

import "time"

// Stand-ins for the machine and for what the overlay supplies, so that the data
// structures, and packages that use the nucleus, can be tested on the host.

// directMap is where a test keeps what is physical memory to the allocator.
var directMap uintptr

// forgotten counts what TLBs are told.
var forgotten struct{ pages, all int }

func forgetPage(a uintptr) { forgotten.pages++ }
func forgetAll()           { forgotten.all++ }

func touch(a uintptr) { fault(a, false, false) }

func waitLine(line int) { select {} }

// DeviceBusy and DeviceDone matter to the guest's runtime.
func DeviceBusy() {}

// DeviceDone is described at DeviceBusy.
func DeviceDone() {}

func symbol(pc uintptr) (name, file string, line int) { return "", "", 0 }

var hostStart = time.Now()

func nanotime() int64 { return int64(time.Since(hostStart)) }
