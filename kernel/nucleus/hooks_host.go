//go:build !goshawk

package nucleus

import "time"

// Stand-ins for what the overlay supplies, so that packages that use the nucleus
// can be tested on the host.

func waitLine(line int) { select {} }

func symbol(pc uintptr) (name, file string, line int) { return "", "", 0 }

var hostStart = time.Now()

func nanotime() int64 { return int64(time.Since(hostStart)) }
