package block_test

import (
	"bytes"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/fs/block"
)

func TestMemoryAndPartition(t *testing.T) {
	data := make([]byte, 64<<10)
	whole := block.NewMemory(data, 512)
	part, err := block.NewPartition(whole, 4096, 8192)
	require.NoError(t, err)
	_, err = block.NewPartition(whole, 4096, 64<<10)
	assert.Equal(t, syscall.EINVAL, err)
	_, err = block.NewPartition(whole, 100, 512)
	assert.Equal(t, syscall.EINVAL, err)

	a, b := bytes.Repeat([]byte{1}, 512), bytes.Repeat([]byte{2}, 1024)
	r := &block.Request{Op: block.Write, Off: 512, Parts: [][]byte{a, b}}
	require.NoError(t, block.Do(part, r))
	assert.Equal(t, int64(512), r.Off, "a partition changed its request")
	assert.Equal(t, append(append([]byte{}, a...), b...), data[4096+512:][:1536])
	got := make([]byte, 1536)
	require.NoError(t, block.ReadAt(part, got, 512))
	assert.Equal(t, data[4096+512:][:1536], got)
	require.NoError(t, block.Flush(part))

	assert.Equal(t, syscall.EIO, block.ReadAt(part, got, 8192))
	assert.Equal(t, syscall.EIO, block.WriteAt(part, got, 8192-512))
	assert.Equal(t, syscall.EINVAL, block.WriteAt(part, got, 1))
	assert.Equal(t, syscall.EINVAL, block.WriteAt(part, got[:5], 0))
	assert.Equal(t, syscall.EINVAL, block.WriteAt(part, got, -512))
	require.NoError(t, block.Do(part, &block.Request{Op: block.WriteZeroes, Off: 512, Length: 512}))
	assert.Equal(t, make([]byte, 512), data[4096+512:][:512])
	assert.Equal(t, b, data[4096+1024:][:1024])
}

// limited is a device that cannot do much at once.
type limited struct {
	*block.Memory
	info block.Info
	ops  []block.Op
}

func (l *limited) Info() block.Info { return l.info }

func (l *limited) Submit(r *block.Request) {
	if err := l.info.Check(r); err != nil {
		r.Done(r, err)
		return
	}
	l.ops = append(l.ops, r.Op)
	l.Memory.Submit(r)
}

func TestLongZeroesAndDiscards(t *testing.T) {
	data := bytes.Repeat([]byte{7}, 4<<20)
	l := &limited{Memory: block.NewMemory(data, 4096)}
	l.info = l.Memory.Info()
	l.info.MaxDiscard, l.info.MaxWriteZeroes = 0, 0
	zeroes := &block.Request{Op: block.WriteZeroes, Off: 4096, Length: 4<<20 - 8192}
	require.NoError(t, block.Do(l, zeroes))
	assert.Equal(t, []block.Op{block.Write, block.Write, block.Write, block.Write}, l.ops)
	assert.Equal(t, byte(7), data[4095])
	assert.Equal(t, make([]byte, zeroes.Length), data[4096:][:zeroes.Length])
	assert.Equal(t, byte(7), data[4<<20-4096])
	assert.Equal(t, syscall.EOPNOTSUPP, block.Do(l, &block.Request{Op: block.Discard, Length: 4096}))
	assert.Equal(t, syscall.EIO, block.Do(l, &block.Request{Op: block.WriteZeroes, Length: 8 << 20}))

	l.ops, l.info.MaxDiscard = nil, 1<<20
	require.NoError(t, block.Do(l, &block.Request{Op: block.Discard, Length: 4 << 20}))
	assert.Len(t, l.ops, 4)
	l.info.ReadOnly = true
	assert.Equal(t, syscall.EROFS, block.Do(l, zeroes))
	assert.Equal(t, syscall.EROFS, block.WriteAt(l, data[:4096], 0))
	require.NoError(t, block.ReadAt(l, data[:4096], 0))
}

func BenchmarkRead(b *testing.B) {
	m := block.NewMemory(make([]byte, 1<<20), 4096)
	p, err := block.NewPartition(m, 4096, 1<<19)
	require.NoError(b, err)
	r := &block.Request{Op: block.Read, Parts: [][]byte{make([]byte, 4096)}}
	b.ReportAllocs()
	for b.Loop() {
		if err := block.Do(p, r); err != nil {
			b.Fatal(err)
		}
	}
}
