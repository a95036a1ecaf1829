package crc32c

import (
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUpdate(t *testing.T) {
	table := crc32.MakeTable(crc32.Castagnoli)
	rnd := rand.New(rand.NewPCG(1, 2))
	p := make([]byte, 5000)
	for i := range p {
		p[i] = byte(rnd.Uint32())
	}
	for n := 0; n < 200; n++ {
		a, b := rnd.IntN(len(p)), rnd.IntN(len(p))
		if a > b {
			a, b = b, a
		}
		seed := rnd.Uint32()
		require.Equal(t, ^crc32.Update(^seed, table, p[a:b]), Update(seed, p[a:b]))
		require.Equal(t, Update(seed, p), Update(Update(seed, p[:a]), p[a:]), "in two pieces")
	}
	require.Equal(t, uint32(0xe3069283), ^Update(^uint32(0), []byte("123456789")), "the check value of the CRC catalogue")
}

func BenchmarkUpdate(b *testing.B) {
	p := make([]byte, 4096)
	b.SetBytes(4096)
	for b.Loop() {
		Update(0, p)
	}
}
