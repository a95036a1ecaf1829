package inet

import (
	"io"
	"sync"
	"unsafe"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// A caller's memory may lie on its goroutine's stack, which moves when it grows (net/socket). gVisor
// takes memory through interfaces: a sink stays in the caller's frames, hidden from escape analysis; a
// source is stored in the heap by gVisor while it copies, so that it takes the caller's memory as it is
// only if that is not on the stack.

// A sink receives what an endpoint reads: the io.Writer of tcpip.Endpoint.Read.
type sink struct {
	p     []byte   // what is free of the current part
	parts [][]byte // the parts after it
	n     int      // bytes received
	spill bool     // take and lose what does not fit, as of a datagram
}

// Write takes as much of b as fits.
func (s *sink) Write(b []byte) (int, error) {
	if len(s.p) >= len(b) {
		copy(s.p, b)
		s.p = s.p[len(b):]
		s.n += len(b)
		return len(b), nil
	}
	total := 0
	for {
		n := copy(s.p, b[total:])
		s.p = s.p[n:]
		total += n
		if total == len(b) || len(s.parts) == 0 {
			break
		}
		s.p, s.parts = s.parts[0], s.parts[1:]
	}
	s.n += total
	if total < len(b) {
		if s.spill {
			return len(b), nil
		}
		return total, io.ErrShortWrite
	}
	return total, nil
}

// writer returns s as a writer without letting it escape. The writer must not outlive the call that it
// is passed to.
func (s *sink) writer() io.Writer { return (*sink)(hidden(unsafe.Pointer(s))) }

// hidden returns p as escape analysis does not see it.
//
//go:nosplit
func hidden(p unsafe.Pointer) unsafe.Pointer {
	x := uintptr(p)
	return *(*unsafe.Pointer)(unsafe.Pointer(&x))
}

// A source is what an endpoint writes: a tcpip.Payloader over a caller's memory, or over copies of what of
// it lies on the stack.
type source struct {
	p     []byte
	parts [][]byte
	n     int      // bytes left
	list  [][]byte // the memory of parts
	copy  *[]byte  // the memory of copies

	// to is the destination of a message; here so that it needs no memory of its own.
	to tcpip.FullAddress
}

// Read implements tcpip.Payloader.
func (s *source) Read(b []byte) (int, error) {
	if s.n == 0 {
		return 0, io.EOF
	}
	total := 0
	for total < len(b) {
		if len(s.p) == 0 {
			if len(s.parts) == 0 {
				break
			}
			s.p, s.parts = s.parts[0], s.parts[1:]
			continue
		}
		n := copy(b[total:], s.p)
		s.p = s.p[n:]
		total += n
	}
	s.n -= total
	return total, nil
}

// Len implements tcpip.Payloader.
func (s *source) Len() int { return s.n }

// sources keeps sources for reuse.
var sources = sync.Pool{New: func() any { return new(source) }}

// newSource returns a source of p, to be released.
func newSource(p []byte) *source {
	s := sources.Get().(*source)
	if onStack(unsafe.Pointer(unsafe.SliceData(p))) {
		p = s.keep(p)
	}
	s.p, s.n = p, len(p)
	return s
}

// newSourceParts returns a source of all parts in order, to be released.
func newSourceParts(parts [][]byte) *source {
	if len(parts) == 1 {
		return newSource(parts[0])
	}
	s := sources.Get().(*source)
	for _, p := range parts {
		if onStack(unsafe.Pointer(unsafe.SliceData(p))) {
			p = s.keep(p)
		}
		s.n += len(p)
		s.list = append(s.list, p)
	}
	s.parts = s.list
	return s
}

// copies keeps memory for copies of what lies on a stack.
var copies = sync.Pool{New: func() any { return new([]byte) }}

// keep returns a copy of p that lasts until s is released.
func (s *source) keep(p []byte) []byte {
	if s.copy == nil {
		s.copy = copies.Get().(*[]byte)
		*s.copy = (*s.copy)[:0]
	}
	at := len(*s.copy)
	*s.copy = append(*s.copy, p...)
	return (*s.copy)[at:]
}

// maxKeptCopy is the size of the largest copy that is kept for reuse.
const maxKeptCopy = 64 << 10

// release gives s back.
func (s *source) release() {
	if c := s.copy; c != nil && cap(*c) <= maxKeptCopy {
		copies.Put(c)
	}
	list := s.list
	clear(list)
	*s = source{list: list[:0]}
	sources.Put(s)
}

// stackBounds returns the bounds of the calling goroutine's stack.
func stackBounds() (low, high uintptr)

// onStack reports whether p points into the calling goroutine's stack. The bounds must not be kept: any
// call may move the stack.
func onStack(p unsafe.Pointer) bool {
	low, high := stackBounds()
	return uintptr(p) >= low && uintptr(p) < high
}
