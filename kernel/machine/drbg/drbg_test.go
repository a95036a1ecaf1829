package drbg

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	require.NoError(t, err)
	return b
}

// TestBlock has the vectors of RFC 8439, section 2.3.2 and appendix A.1.
func TestBlock(t *testing.T) {
	const counting = `000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f`
	const zero = `0000000000000000000000000000000000000000000000000000000000000000`
	tests := []struct {
		name, key, nonce, want string
		counter                uint32
	}{
		{"2.3.2", counting, "000000090000004a00000000", `
			10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e
			d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e`, 1},
		{"A.1 #1", zero, "000000000000000000000000", `
			76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7
			da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586`, 0},
		{"A.1 #2", zero, "000000000000000000000000", `
			9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed
			29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f`, 1},
		{"A.1 #3", strings.Repeat("00", 31) + "01", "000000000000000000000000", `
			3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a
			8eca00bbb4a73bdad192b5c42f73f2fd4e273644c8b36125a64addeb006c13a0`, 1},
		{"A.1 #4", "00ff" + strings.Repeat("00", 30), "000000000000000000000000", `
			72d54dfbf12ec44b362692df94137f328fea8da73990265ec1bbbea1ae9af0ca
			13b25aa26cb4a648cb9b9d1be65b2c0924a66c54d545ec1b7374f4872e99f096`, 2},
		{"A.1 #5", zero, "000000000000000000000002", `
			c2c64d378cd536374ae204b9ef933fcd1a8b2288b3dfa49672ab765b54ee27c7
			8a970e0e955c14f3a88e741b97c286f75f8fc299e8148362fa198a39531bed6d`, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var key [keyWords]uint32
			for i, b := 0, unhex(t, test.key); i < keyWords; i++ {
				key[i] = binary.LittleEndian.Uint32(b[4*i:])
			}
			tail := [4]uint32{test.counter}
			for i, b := 0, unhex(t, test.nonce); i < 3; i++ {
				tail[1+i] = binary.LittleEndian.Uint32(b[4*i:])
			}
			var out [blockWords]uint32
			chacha20(&out, &key, &tail)
			assert.Equal(t, unhex(t, test.want), toBytes(out[:]))
		})
	}
}

func toBytes(words []uint32) (b []byte) {
	for _, w := range words {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return b
}

// TestReadIsTheKeyStream checks for every length around the block size that Read gives the key
// stream after its first 32 bytes, writes no byte more, and replaces the key by those.
func TestReadIsTheKeyStream(t *testing.T) {
	for n := range 3*4*blockWords + 2 {
		d := DRBG{key: [keyWords]uint32{1, 2, 3, 4, 5, 6, 7, 8}}
		key := d.key
		var stream []byte
		for counter := range uint64(5) {
			var out [blockWords]uint32
			block(&out, &key, counter)
			stream = append(stream, toBytes(out[:])...)
		}
		got := bytes.Repeat([]byte{0xaa}, n+8)
		d.Read(&got[0], uintptr(n))
		require.Equal(t, stream[4*keyWords:4*keyWords+n], got[:n])
		require.Equal(t, bytes.Repeat([]byte{0xaa}, 8), got[n:])
		require.Equal(t, stream[:4*keyWords], toBytes(d.key[:]))
	}
}

func TestCounterIsWide(t *testing.T) {
	key := [keyWords]uint32{}
	var low, high, want [blockWords]uint32
	block(&low, &key, 5)
	block(&high, &key, 1<<32|5)
	chacha20(&want, &key, &[4]uint32{5, 1, 0, 0})
	assert.NotEqual(t, low, high)
	assert.Equal(t, want, high)
}

func TestSeed(t *testing.T) {
	read := func(seeds ...[32]byte) [32]byte {
		var d DRBG
		for i := range seeds {
			d.Seed(&seeds[i])
		}
		var out [32]byte
		d.Read(&out[0], 32)
		return out
	}
	a, b, zero := [32]byte{0: 1}, [32]byte{31: 1}, [32]byte{}
	seen := map[[32]byte]bool{}
	for _, seeds := range [][][32]byte{nil, {zero}, {a}, {b}, {a, b}, {b, a}, {a, a}, {zero, zero}} {
		out := read(seeds...)
		assert.False(t, seen[out], "two different seedings give the same bytes")
		seen[out] = true
		assert.Equal(t, out, read(seeds...))
	}
}

func TestNoAllocation(t *testing.T) {
	var d DRBG
	var mix [32]byte
	var out [200]byte
	assert.Zero(t, testing.AllocsPerRun(10, func() {
		d.Seed(&mix)
		d.Read(&out[0], uintptr(len(out)))
	}))
}

func BenchmarkRead(b *testing.B) {
	var d DRBG
	for _, size := range []int{8, 32, 4096} {
		b.Run(map[int]string{8: "8", 32: "32", 4096: "4096"}[size], func(b *testing.B) {
			out := make([]byte, size)
			b.SetBytes(int64(size))
			for b.Loop() {
				d.Read(&out[0], uintptr(size))
			}
		})
	}
}
