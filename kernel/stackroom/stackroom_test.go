package stackroom

import (
	"sync"
	"sync/atomic"
	"testing"
)

//go:noinline
func deep(n int) int {
	if n == 0 {
		return 0
	}
	return deep(n-1) + 1
}

// BenchmarkDeepCall is a deep call from some frames down a new goroutine, with and without Grow.
func BenchmarkDeepCall(b *testing.B) {
	for name, grow := range map[string]func(){"grown before": Grow, "grown on the way": func() {}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var wg sync.WaitGroup
			var reached atomic.Int64
			for b.Loop() {
				wg.Go(func() {
					grow()
					reached.Store(int64(deep(60)))
				})
				wg.Wait()
			}
			if reached.Load() != 60 {
				b.Fatal("the call was not made")
			}
		})
	}
}
