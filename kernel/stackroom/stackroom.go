// Package stackroom makes room on a goroutine's stack before a deep call.
//
// The runtime doubles a goroutine's stack where it ends, copying all the frames there are by then, and for
// a call that is deep it does so several times. What grows the stack here copies few frames, once. It costs
// six instructions where there is room.
package stackroom

const (
	call    = 3 << 10
	program = 17 << 10
)

var never bool // a variable, so that the compiler keeps the arrays below in the functions' frames

// Grow makes room for what the TCP/IP engine and a driver need below a socket's call: 3 KiB.
//
//go:noinline
func Grow() {
	if never {
		var room [call]byte
		touch(&room[0])
	}
}

// GrowProgram makes room for what the main goroutine needs to initialise packages: 17 KiB.
//
//go:noinline
func GrowProgram() {
	if never {
		var room [program]byte
		touch(&room[0])
	}
}

//go:noinline
func touch(*byte) {}
