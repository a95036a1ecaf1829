package blocktest_test

import (
	"bytes"
	"fmt"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/fs/block"
	"github.com/goshawk-os/goshawk/fs/block/blocktest"
)

const size = 512

func fill(c byte, blocks int) []byte { return bytes.Repeat([]byte{c}, blocks*size) }

// shown names each block of an image by its first byte.
func shown(image []byte) string {
	s := ""
	for i := 0; i < len(image); i += size {
		s += string(image[i])
		if !bytes.Equal(image[i:i+size], fill(image[i], 1)) {
			return fmt.Sprintf("block %d is broken", i/size)
		}
	}
	return s
}

func TestStatesAfterPowerCut(t *testing.T) {
	c := blocktest.NewRecorder(fill('.', 4), size)
	require.NoError(t, block.WriteAt(c, fill('a', 2), 0))
	require.NoError(t, block.Flush(c))
	require.NoError(t, block.WriteAt(c, fill('b', 2), size))
	require.NoError(t, block.Do(c, &block.Request{Op: block.Write, Off: 3 * size, Parts: [][]byte{fill('F', 1)}, FUA: true}))
	require.NoError(t, block.WriteAt(c, fill('c', 1), size))

	assert.Equal(t, 5, c.Len())
	assert.Equal(t, []int{2}, c.Flushes())
	for n, want := range []string{"....", "aa..", "aa..", "abb.", "abbF", "acbF"} {
		assert.Equal(t, want, shown(c.Image(n)), "after %d", n)
	}
	states := func(n int) map[string]bool {
		all := make(map[string]bool)
		for seed := range uint64(2000) {
			all[shown(c.Torn(n, seed))] = true
		}
		return all
	}
	assert.Equal(t, map[string]bool{"....": true, "a...": true, ".a..": true, "aa..": true}, states(1))
	assert.Equal(t, map[string]bool{"aa..": true}, states(2))
	want := make(map[string]bool)
	for _, second := range "abc" {
		for _, third := range ".b" {
			want["a"+string(second)+string(third)+"F"] = true
		}
	}
	assert.Equal(t, want, states(5), "each block has any content since the flush, and FUA lasts")
	assert.Equal(t, c.Torn(5, 9), c.Torn(5, 9), "a seed is a state")
}

func TestLostFlushesAreSeen(t *testing.T) {
	c := blocktest.NewRecorder(fill('.', 1), size)
	c.LoseFlushes = true
	require.NoError(t, block.WriteAt(c, fill('a', 1), 0))
	require.NoError(t, block.Flush(c))
	lost := false
	for seed := range uint64(100) {
		lost = lost || shown(c.Torn(c.Len(), seed)) == "."
	}
	assert.True(t, lost)
}

func TestFail(t *testing.T) {
	c := blocktest.NewRecorder(fill('.', 1), size)
	c.Fail = blocktest.Nth(block.Write, 2, true, syscall.EIO)
	require.NoError(t, block.WriteAt(c, fill('a', 1), 0))
	assert.Equal(t, syscall.EIO, block.WriteAt(c, fill('b', 1), 0))
	require.NoError(t, block.Flush(c))
	assert.Equal(t, syscall.EIO, block.WriteAt(c, fill('c', 1), 0))
	assert.Equal(t, "a", shown(c.Image(c.Len())))
	got := make([]byte, size)
	require.NoError(t, block.ReadAt(c, got, 0))
	assert.Equal(t, "a", shown(got))
}

func TestAsync(t *testing.T) {
	c := blocktest.NewRecorder(fill('.', 50), size)
	c.Async = true
	done := make(chan error)
	for i := range int64(50) {
		c.Submit(&block.Request{Op: block.Write, Off: i * size, Parts: [][]byte{fill('a', 1)}, Done: func(_ *block.Request, err error) { done <- err }})
	}
	for range 50 {
		require.NoError(t, <-done)
	}
	require.NoError(t, block.Flush(c))
	assert.Equal(t, shown(fill('a', 50)), shown(c.Torn(c.Len(), 1)))
	assert.Len(t, c.Entries(), 51)
}
