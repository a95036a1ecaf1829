package stackroom

import (
	"sync"
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
			for b.Loop() {
				wg.Go(func() {
					grow()
					deep(60)
				})
				wg.Wait()
			}
		})
	}
}
