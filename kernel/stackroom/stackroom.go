// Package stackroom makes room on a goroutine's stack before a deep call.
package stackroom

// size is what the TCP/IP engine and a driver need below a socket's call, in bytes.
const size = 3 << 10

// Grow makes the caller's stack at least size bytes deep, if it is not. A new goroutine has less, and the
// runtime would double its stack where it ends, copying all the frames, and often do so twice; here the
// frames are few. It costs six instructions where there is room.
//
//go:noinline
func Grow() {
	if never {
		var room [size]byte
		touch(&room)
	}
}

var never bool // a variable, so that the compiler keeps room in Grow's frame

//go:noinline
func touch(*[size]byte) {}
