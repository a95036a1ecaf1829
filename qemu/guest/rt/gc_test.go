package rt

import (
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// patience bounds the wait for something that must happen. It says nothing about speed: an emulated
// machine on a busy host is slow.
const patience = 60 * time.Second

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		require.False(t, time.Now().After(deadline), "still waiting: %s", what)
	}
}

type tree struct {
	left, right *tree
	value       int
}

func grow(depth, value int) *tree {
	if depth == 0 {
		return &tree{value: value}
	}
	return &tree{grow(depth-1, 2*value), grow(depth-1, 2*value+1), value}
}

func (t *tree) sum() int {
	if t == nil {
		return 0
	}
	return t.value + t.left.sum() + t.right.sum()
}

// TestCollectorUnderPressure allocates from several goroutines while the collector runs nearly all
// the time, and checks that what is reachable stays as it was.
func TestCollectorUnderPressure(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(2))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)

	const depth, goroutines, rounds = 10, 8, 20
	const nodes = 1<<(depth+1) - 1 // numbered 1 to nodes
	var group sync.WaitGroup
	for range goroutines {
		group.Go(func() {
			kept := grow(depth, 1)
			for range rounds {
				assert.Equal(t, nodes*(nodes+1)/2, grow(depth, 1).sum())
			}
			assert.Equal(t, nodes*(nodes+1)/2, kept.sum())
		})
	}
	group.Wait()
	runtime.ReadMemStats(&after)
	assert.Greater(t, after.NumGC, before.NumGC+2)
}

// TestStacksAreScanned keeps data reachable from deep stacks only, which move while they grow.
func TestStacksAreScanned(t *testing.T) {
	var descend func(depth int, pointer *int) int
	descend = func(depth int, pointer *int) int {
		own := new(int)
		*own = depth
		if depth == 0 {
			runtime.GC()
			return *pointer
		}
		return descend(depth-1, pointer) + *own - depth
	}
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			value := 1000 + i
			assert.Equal(t, value, descend(20_000, &value))
		})
	}
	group.Wait()
}

func TestCleanupsAndWeakPointers(t *testing.T) {
	var cleaned atomic.Int32
	const objects = 100
	var pointers [objects]weak.Pointer[[64]int]
	func() {
		for i := range pointers {
			object := new([64]int)
			pointers[i] = weak.Make(object)
			runtime.AddCleanup(object, func(n int32) { cleaned.Add(n) }, 1)
		}
	}()
	eventually(t, "cleanups", func() bool {
		runtime.GC()
		return cleaned.Load() == objects
	})
	for _, p := range pointers {
		assert.Nil(t, p.Value())
	}
}

// TestFreshMemoryIsZero allocates and frees more than the machine has, in large pieces.
func TestFreshMemoryIsZero(t *testing.T) {
	const size, rounds = 8 << 20, 200
	for range rounds {
		piece := make([]byte, size)
		for i := 0; i < size; i += 512 {
			if piece[i] != 0 {
				require.Failf(t, "not zero", "byte %d is %#x", i, piece[i])
			}
			piece[i] = 0xff
		}
	}
}

func TestMemoryGoesBack(t *testing.T) {
	var before, after runtime.MemStats
	piece := make([]byte, 16<<20)
	for i := 0; i < len(piece); i += 4096 {
		piece[i] = 1
	}
	runtime.ReadMemStats(&before)
	runtime.KeepAlive(piece)
	debug.FreeOSMemory()
	runtime.ReadMemStats(&after)
	assert.GreaterOrEqual(t, after.HeapReleased, before.HeapReleased+8<<20)
}

func TestMemoryLimit(t *testing.T) {
	var now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&now)
	limit := int64(now.Sys-now.HeapReleased) + 8<<20
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(limit))
	for range 100 {
		_ = make([]byte, 1<<20)
	}
	var after runtime.MemStats
	runtime.ReadMemStats(&after)
	assert.Greater(t, after.NumGC, now.NumGC)
}
