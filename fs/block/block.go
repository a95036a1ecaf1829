// Package block says what a disk is, to drivers below and file systems above.
//
// # For drivers
//
// A Device takes requests of any number at a time and completes them in any
// order. It accepts reads and writes of any length and any number of parts and
// splits what its hardware does not take at once; discards and requests for
// zeroes are at most as long as its Info says. Check refuses what no device
// accepts. A request with FUA is completed when its data would survive a power
// cut: a device that knows no such writes flushes before it completes it.
//
// # Order
//
// Requests in flight together have no order. A flush makes lasting what was
// completed before it was submitted, and nothing else. A power cut may lose any
// blocks written since then, whatever their order, and only some of the logical
// blocks of one request; it does not damage a logical block.
//
// # Errors
//
// All are syscall.Errno: EIO (the device could not; also what lies beyond its
// end), EINVAL (not in whole logical blocks), EROFS, EOPNOTSUPP (an operation
// the device lacks), ENXIO (the device is gone), ENOSPC (what the device
// stores in is full). After a failed write or flush nobody knows which blocks
// have their new content.
package block

import (
	"math"
	"sync"
	"syscall"
)

// Op is what a request asks for.
type Op uint8

const (
	// Read fills Parts with what begins at Off.
	Read Op = iota
	// Write writes Parts at Off.
	Write
	// FlushCache makes all writes lasting that were completed before.
	FlushCache
	// Discard says that the content of Length bytes at Off is of no use any
	// more. What is read there later is undefined.
	Discard
	// WriteZeroes makes Length bytes at Off zero.
	WriteZeroes
)

// String returns the operation's name.
func (o Op) String() string {
	return [...]string{"read", "write", "flush", "discard", "write-zeroes"}[o]
}

// A Request is work for a device. It and its parts belong to the device from
// Submit until Done is called.
type Request struct {
	Op Op
	// Off is the first byte, a multiple of LogicalBlock.
	Off int64
	// Parts are the data of Read and Write, one after the other in memory's
	// order and adjacent on the device. Their lengths are multiples of
	// LogicalBlock. They may not lie on a goroutine's stack.
	Parts [][]byte
	// Length is that of Discard and WriteZeroes in bytes, a multiple of
	// LogicalBlock. Read and Write do without.
	Length int64
	// FUA makes a Write or WriteZeroes lasting before it is completed.
	FUA bool
	// Done is called once, by any goroutine, possibly before Submit
	// returns. It must not wait. It may submit other requests, and the same again.
	Done func(r *Request, err error)
}

// Bytes returns how many bytes of the device a request is about.
func (r *Request) Bytes() int64 {
	if r.Op == Discard || r.Op == WriteZeroes {
		return r.Length
	}
	n := int64(0)
	for _, p := range r.Parts {
		n += int64(len(p))
	}
	return n
}

// Info is what does not change about a device.
type Info struct {
	// Size in bytes, a multiple of LogicalBlock.
	Size int64
	// LogicalBlock is the unit of requests and PhysicalBlock the unit that
	// the device writes without reading it first; both in bytes, powers of two.
	LogicalBlock, PhysicalBlock int
	ReadOnly                    bool
	// VolatileCache says that a power cut loses completed writes that were
	// not flushed. Without it, flushes do nothing.
	VolatileCache bool
	// MaxDiscard is the longest Discard in bytes, a multiple of LogicalBlock; 0
	// if there is none. Discards aligned to DiscardAlign bytes do most.
	MaxDiscard, DiscardAlign int64
	// MaxWriteZeroes is the longest WriteZeroes in bytes, a multiple of
	// LogicalBlock; 0 if there is none. Do writes zeroes then.
	MaxWriteZeroes int64
}

// A Device is a disk or a part of one. Its methods may be called by many
// goroutines at a time.
type Device interface {
	Info() Info
	// Submit starts a request. It does not wait for its end.
	Submit(r *Request)
}

// Check returns why a device of this kind cannot accept a request, or nil.
func (i *Info) Check(r *Request) error {
	n := r.Bytes()
	switch r.Op {
	case FlushCache:
		return nil
	case Read:
	case Write:
		if i.ReadOnly {
			return syscall.EROFS
		}
	case Discard, WriteZeroes:
		limit := i.MaxDiscard
		if r.Op == WriteZeroes {
			limit = i.MaxWriteZeroes
		}
		if i.ReadOnly {
			return syscall.EROFS
		}
		if limit == 0 {
			return syscall.EOPNOTSUPP
		}
		if n > limit {
			return syscall.EINVAL
		}
	default:
		return syscall.EOPNOTSUPP
	}
	mask := int64(i.LogicalBlock - 1)
	if (r.Off|n)&mask != 0 || r.Off < 0 || n < 0 {
		return syscall.EINVAL
	}
	for _, p := range r.Parts {
		if int64(len(p))&mask != 0 {
			return syscall.EINVAL
		}
	}
	if r.Off > i.Size || n > i.Size-r.Off {
		return syscall.EIO
	}
	return nil
}

// A waiter waits for one request at a time.
type waiter struct {
	done chan error
	// call is complete as a function, made once.
	call func(*Request, error)
}

var waiters = sync.Pool{New: func() any {
	w := &waiter{done: make(chan error, 1)}
	w.call = func(_ *Request, err error) { w.done <- err }
	return w
}}

// Do has a request done and waits for it; r.Done is not called. Discards and
// zeroes may have any length, and zeroes are written if the device does not
// know how to make them.
func Do(d Device, r *Request) error {
	switch r.Op {
	case Discard, WriteZeroes:
		return doLong(d, r)
	}
	return wait(d, r)
}

// wait submits a request and waits for it.
func wait(d Device, r *Request) error {
	w := waiters.Get().(*waiter)
	r.Done = w.call
	d.Submit(r)
	err := <-w.done
	r.Done = nil
	waiters.Put(w)
	return err
}

// zeroes are written to devices that cannot make zeroes: 64 KiB, on the heap
// while somebody needs them.
var zeroes = sync.Pool{New: func() any { p := make([]byte, 64<<10); return &p }}

// maxZeroParts is how many parts of zeroes are in one request.
const maxZeroParts = 16

// doLong does a discard or a write of zeroes of any length.
func doLong(d Device, r *Request) error {
	info := d.Info()
	part := *r
	limit := info.MaxDiscard
	if r.Op == WriteZeroes {
		limit = info.MaxWriteZeroes
	}
	// The whole must be right before a part of it is done.
	info.MaxWriteZeroes = math.MaxInt64
	if info.MaxDiscard > 0 {
		info.MaxDiscard = math.MaxInt64
	}
	if err := info.Check(r); err != nil {
		return err
	}
	if limit > 0 {
		for off, left := r.Off, r.Length; ; {
			part.Off, part.Length = off, min(left, limit)
			if err := wait(d, &part); err != nil {
				return err
			}
			off += part.Length
			if left -= part.Length; left <= 0 {
				return nil
			}
		}
	}
	z := zeroes.Get().(*[]byte)
	defer zeroes.Put(z)
	part.Op, part.Length = Write, 0
	for off, end := r.Off, r.Off+r.Length; off < end; {
		part.Off, part.Parts = off, part.Parts[:0]
		for off < end && len(part.Parts) < maxZeroParts {
			p := (*z)[:min(end-off, int64(len(*z)))]
			part.Parts = append(part.Parts, p)
			off += int64(len(p))
		}
		if err := wait(d, &part); err != nil {
			return err
		}
	}
	return nil
}

// ReadAt fills p with what begins at off.
func ReadAt(d Device, p []byte, off int64) error {
	return wait(d, &Request{Op: Read, Off: off, Parts: [][]byte{p}})
}

// WriteAt writes p at off.
func WriteAt(d Device, p []byte, off int64) error {
	return wait(d, &Request{Op: Write, Off: off, Parts: [][]byte{p}})
}

// Flush makes lasting what was written before.
func Flush(d Device) error {
	return wait(d, &Request{Op: FlushCache})
}
