// Zero has zeroed variables of all sizes, together more than the machine has memory, and uses some.
package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"runtime"
)

// Without pointers.
var (
	b1   [1]byte
	b64  [64]byte
	b4k  [4 << 10]byte
	b64k [64 << 10]byte
	b512 [512 << 10]byte
	b1m  [1 << 20]byte
	b2m  [2 << 20]byte
	b64m [64 << 20]byte
)

// With pointers.
var (
	p1   [1]*int
	p4k  [512]*int
	p64k [8 << 10]*int
	p1m  [128 << 10]*int
)

func main() {
	for _, b := range [][]byte{b1[:], b64[:], b4k[:], b64k[:], b512[:], b1m[:], b2m[:], b64m[:]} {
		step := max(len(b)/64, 1)
		for i := 0; i < len(b); i += step {
			check(b[i] == 0, "a variable is not zero")
			b[i] = byte(i / step)
		}
		check(b[len(b)-1] == 0 || len(b) <= 64, "the end of a variable is not zero")
		b[len(b)-1] = 1
	}
	for _, p := range [][]*int{p1[:], p4k[:], p64k[:], p1m[:]} {
		p[len(p)-1] = new(int)
		*p[len(p)-1] = len(p)
	}
	runtime.GC()
	check(*p1m[len(p1m)-1] == len(p1m) && *p1[0] == 1, "the collector has missed a variable")

	// The kernel is the first to touch these.
	r, w, err := os.Pipe()
	check(err == nil, "pipe")
	const untouched = 3<<20 + 4096
	_, err = w.Write(b64m[untouched : untouched+100])
	check(err == nil, "write from a variable")
	n, err := r.Read(b64m[untouched+8<<12-50 : untouched+8<<12+50])
	check(n == 100 && err == nil, "read into a variable")
	_, err = rand.Read(b64m[untouched+16<<12 : untouched+32<<12])
	check(err == nil, "random bytes")
	check(!bytes.Equal(b64m[untouched+31<<12:untouched+32<<12], b4k[:]), "random bytes do not arrive")
	for i := range 64 {
		check(b64m[i<<20] == byte(i) && b2m[i<<15] == byte(i), "a variable has changed")
	}
	fmt.Println("all as it should be")
}

func check(ok bool, what string) {
	if !ok {
		panic(what)
	}
}
