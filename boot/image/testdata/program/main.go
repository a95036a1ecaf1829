// Command program contains what boot/image looks for, and a PVH entry that
// says over QEMU's isa-debug-exit what it found: 42, or the first byte of the
// root directory's tar.
package main

var pvhNote [24]byte

func main() {
	println("hello", len(pvhNote), pvhNote[0])
}
