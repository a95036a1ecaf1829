package ext4

import (
	"math/bits"

	"github.com/goshawk-os/goshawk/fs/ext4/disk"
)

// A hasher computes the hashes of names that order a directory's index
// (directory.rst, "Hash Tree Directories"; fs/ext4/hash.c of Linux 6.12 has the functions).
type hasher struct {
	version  uint8 // disk.DX_HASH_LEGACY, ...
	unsigned bool  // bytes are
	seed     [4]uint32
}

// hasher returns that of a directory whose index has a version.
func (fs *FS) hasher(version uint8) hasher {
	s := hasher{version: version, unsigned: fs.super.S_flags&disk.FLAGS_UNSIGNED_HASH != 0, seed: fs.super.S_hash_seed}
	if s.seed == [4]uint32{} {
		s.seed = [4]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}
	}
	return s
}

// hash returns the hash of a name. Its lowest bit is 0.
func (s *hasher) hash(name []byte) uint32 {
	var h uint32
	var in [8]uint32
	buf := s.seed
	switch s.version {
	case disk.DX_HASH_LEGACY:
		h = s.legacy(name)
	case disk.DX_HASH_HALF_MD4:
		for rest := name; len(rest) > 0; rest = rest[min(len(rest), 32):] {
			s.words(rest, in[:])
			halfMD4(&buf, &in)
		}
		h = buf[1]
	case disk.DX_HASH_TEA:
		for rest := name; len(rest) > 0; rest = rest[min(len(rest), 16):] {
			s.words(rest, in[:4])
			tea(&buf, &in)
		}
		h = buf[0]
	}
	const last = 0x7fffffff << 1 // means the end of a directory
	if h &^= 1; h == last {
		h -= 2
	}
	return h
}

func (s *hasher) value(c byte) uint32 {
	if s.unsigned {
		return uint32(c)
	}
	return uint32(int32(int8(c)))
}

func (s *hasher) legacy(name []byte) uint32 {
	h0, h1 := uint32(0x12a3fe2d), uint32(0x37abe8f9)
	for _, c := range name {
		h := h1 + (h0 ^ s.value(c)*7152373)
		if h&0x80000000 != 0 {
			h -= 0x7fffffff
		}
		h1, h0 = h0, h
	}
	return h0 << 1
}

// words makes words of the beginning of a name, and fills up with its length.
func (s *hasher) words(name []byte, out []uint32) {
	pad := uint32(len(name)) | uint32(len(name))<<8
	pad |= pad << 16
	name = name[:min(len(name), 4*len(out))]
	for i := range out {
		v := pad
		for _, c := range name[:min(len(name), 4)] {
			v = s.value(c) + v<<8
		}
		out[i] = v
		name = name[min(len(name), 4):]
	}
}

// halfMD4 is a transformation of MD4 (RFC 1320) with half of the steps.
func halfMD4(buf *[4]uint32, in *[8]uint32) {
	a, b, c, d := buf[0], buf[1], buf[2], buf[3]
	rounds := [3]struct {
		f     func(x, y, z uint32) uint32
		k     uint32
		order [8]uint8
		shift [4]int
	}{
		{func(x, y, z uint32) uint32 { return z ^ x&(y^z) }, 0, [8]uint8{0, 1, 2, 3, 4, 5, 6, 7}, [4]int{3, 7, 11, 19}},
		{func(x, y, z uint32) uint32 { return x&y + (x^y)&z }, 0x5a827999, [8]uint8{1, 3, 5, 7, 0, 2, 4, 6}, [4]int{3, 5, 9, 13}},
		{func(x, y, z uint32) uint32 { return x ^ y ^ z }, 0x6ed9eba1, [8]uint8{3, 7, 2, 6, 1, 5, 0, 4}, [4]int{3, 9, 11, 15}},
	}
	for i := range rounds {
		r := &rounds[i]
		for j, n := range r.order {
			a = bits.RotateLeft32(a+r.f(b, c, d)+in[n]+r.k, r.shift[j%4])
			a, b, c, d = d, a, b, c
		}
	}
	buf[0], buf[1], buf[2], buf[3] = buf[0]+a, buf[1]+b, buf[2]+c, buf[3]+d
}

// tea is the Tiny Encryption Algorithm with 16 rounds.
func tea(buf *[4]uint32, in *[8]uint32) {
	x, y, sum := buf[0], buf[1], uint32(0)
	for range 16 {
		sum += 0x9e3779b9
		x += (y<<4 + in[0]) ^ (y + sum) ^ (y>>5 + in[1])
		y += (x<<4 + in[2]) ^ (x + sum) ^ (x>>5 + in[3])
	}
	buf[0] += x
	buf[1] += y
}
