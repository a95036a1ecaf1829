// Package drbg is the kernel's random number generator: ChaCha20 with fast key erasure
// (D. J. Bernstein, "Fast-key-erasure random-number generators", 2017).
//
// Each request overwrites the key with the generator's own output before it hands out the rest, so
// that the state reveals nothing of what was handed out before. It can be called before the Go
// runtime exists.
package drbg

import "unsafe"

const (
	keyWords   = 8
	blockWords = 16
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

// Read fills the n bytes at p with random bytes. The first block of output gives the next key and
// the first 32 bytes.
func (d *DRBG) Read(p *byte, n uintptr) {
	key := d.key
	var out [blockWords]uint32
	block(&out, &key, 0)
	d.rekey(&out)
	p, n = store(p, n, out[keyWords:])
	for counter := uint64(1); n > 0; counter++ {
		block(&out, &key, counter)
		p, n = store(p, n, out[:])
	}
	wipe(out[:])
	wipe(key[:])
}

// store writes up to n bytes of words to p, and returns what is left to do.
func store(p *byte, n uintptr, words []uint32) (*byte, uintptr) {
	for _, w := range words {
		if n >= 4 {
			*(*uint32)(unsafe.Pointer(p)) = w
			p = (*byte)(unsafe.Add(unsafe.Pointer(p), 4))
			n -= 4
			continue
		}
		for ; n > 0; n-- {
			*p = byte(w)
			p = (*byte)(unsafe.Add(unsafe.Pointer(p), 1))
			w >>= 8
		}
	}
	return p, n
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
	tail := [4]uint32{uint32(counter), uint32(counter >> 32)}
	chacha20(out, key, &tail)
}

// chacha20 is the block function with the words 12 to 15 of the state, counter and nonce, in tail.
//
//go:noescape
func chacha20(out *[blockWords]uint32, key *[keyWords]uint32, tail *[4]uint32)
