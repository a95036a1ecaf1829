// Package drbg is the kernel's random number generator: ChaCha20 with fast key erasure
// (D. J. Bernstein, "Fast-key-erasure random-number generators", 2017).
//
// Each request overwrites the key with the generator's own output before it hands out the rest, so
// that the state reveals nothing of what was handed out before. It can be called before the Go
// runtime exists.
package drbg

import (
	"math/bits"
	"unsafe"
)

const (
	keyWords   = 8
	blockWords = 16
	blockSize  = 4 * blockWords // bytes
)

// DRBG is a generator. Its zero value works but is predictable: seed it. It has no lock; the caller
// keeps calls apart.
type DRBG struct {
	key [keyWords]uint32
}

// Seed mixes 32 bytes into the state. It never loses what was there: after several calls the state
// is unpredictable if any one of the inputs was. The input need not be uniform.
func (d *DRBG) Seed(mix *[32]byte) {
	for i := range d.key {
		d.key[i] ^= uint32(mix[4*i]) | uint32(mix[4*i+1])<<8 |
			uint32(mix[4*i+2])<<16 | uint32(mix[4*i+3])<<24
	}
	var out [blockWords]uint32
	block(&out, &d.key, 0)
	d.rekey(&out)
	wipe(out[:])
}

// Read fills the n bytes at p with random bytes.
func (d *DRBG) Read(p *byte, n uintptr) {
	key := d.key
	var out [blockWords]uint32
	block(&out, &key, 0)
	d.rekey(&out)
	counter := uint64(1)
	for ; n >= blockSize; n -= blockSize {
		block(&out, &key, counter)
		counter++
		*(*[blockWords]uint32)(unsafe.Pointer(p)) = out
		p = (*byte)(unsafe.Add(unsafe.Pointer(p), blockSize))
	}
	if n > 0 {
		block(&out, &key, counter)
		for i := range n {
			*(*byte)(unsafe.Add(unsafe.Pointer(p), i)) = byte(out[i/4] >> (8 * (i % 4)))
		}
	}
	wipe(out[:])
	wipe(key[:])
}

func (d *DRBG) rekey(out *[blockWords]uint32) {
	copy(d.key[:], out[:keyWords])
}

// wipe overwrites what must not stay on the stack. It is not inlined, so that the compiler cannot
// see that the words are not read again.
//
//go:noinline
func wipe(words []uint32) {
	clear(words)
}

// block computes the ChaCha20 block function (RFC 8439, section 2.3) with a 64-bit counter in the
// words 12 and 13, as in the original cipher, and a nonce of zero.
func block(out *[blockWords]uint32, key *[keyWords]uint32, counter uint64) {
	chacha20(out, key, [4]uint32{uint32(counter), uint32(counter >> 32), 0, 0})
}

// chacha20 is the block function with the words 12 to 15 of the state, counter and nonce, in tail.
func chacha20(out *[blockWords]uint32, key *[keyWords]uint32, tail [4]uint32) {
	const c0, c1, c2, c3 = 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 // "expand 32-byte k"
	var (
		x0, x1, x2, x3     = uint32(c0), uint32(c1), uint32(c2), uint32(c3)
		x4, x5, x6, x7     = key[0], key[1], key[2], key[3]
		x8, x9, x10, x11   = key[4], key[5], key[6], key[7]
		x12, x13, x14, x15 = tail[0], tail[1], tail[2], tail[3]
	)
	for range 10 {
		x0, x4, x8, x12 = quarterRound(x0, x4, x8, x12)
		x1, x5, x9, x13 = quarterRound(x1, x5, x9, x13)
		x2, x6, x10, x14 = quarterRound(x2, x6, x10, x14)
		x3, x7, x11, x15 = quarterRound(x3, x7, x11, x15)
		x0, x5, x10, x15 = quarterRound(x0, x5, x10, x15)
		x1, x6, x11, x12 = quarterRound(x1, x6, x11, x12)
		x2, x7, x8, x13 = quarterRound(x2, x7, x8, x13)
		x3, x4, x9, x14 = quarterRound(x3, x4, x9, x14)
	}
	*out = [blockWords]uint32{
		x0 + c0, x1 + c1, x2 + c2, x3 + c3,
		x4 + key[0], x5 + key[1], x6 + key[2], x7 + key[3],
		x8 + key[4], x9 + key[5], x10 + key[6], x11 + key[7],
		x12 + tail[0], x13 + tail[1], x14 + tail[2], x15 + tail[3],
	}
}

// quarterRound is RFC 8439, section 2.1.
func quarterRound(a, b, c, d uint32) (uint32, uint32, uint32, uint32) {
	a += b
	d = bits.RotateLeft32(d^a, 16)
	c += d
	b = bits.RotateLeft32(b^c, 12)
	a += b
	d = bits.RotateLeft32(d^a, 8)
	c += d
	b = bits.RotateLeft32(b^c, 7)
	return a, b, c, d
}
