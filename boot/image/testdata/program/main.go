// Command program contains what boot/image looks for, and a PVH entry that
// says over QEMU's isa-debug-exit what it found: 42, or the first byte of the
// root directory's tar.
package main

var (
	pvhNote [32]byte
	kernel  [1 << 20]byte // what the kernel needs ends behind it
)

func main() {
	println("hello", len(pvhNote), pvhNote[0], kernel[len(pvhNote)])
}
