//go:build large

package main

import "os"

// large lies behind what the kernel needs.
var large [64 << 20]byte

func init() {
	if len(os.Args) > 1 {
		println(large[len(os.Args)])
	}
}
