package rt

import (
	"bytes"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// share returns how much of the profile's last value comes from stacks with the function on them.
func share(p *profile.Profile, function string) (of, total int64) {
	for _, sample := range p.Sample {
		value := sample.Value[len(sample.Value)-1]
		total += value
		for _, location := range sample.Location {
			for _, line := range location.Line {
				if strings.HasSuffix(line.Function.Name, "."+function) {
					of += value
					value = 0
				}
			}
		}
	}
	return of, total
}

// processorTime returns the time that the program's threads have run.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

//go:noinline
func hot(rounds int) (n int) {
	for range rounds {
		for i := range 100_000 {
			n += i ^ n
		}
	}
	return n
}

func TestCPUProfile(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, pprof.StartCPUProfile(&out))
	deadline := time.Now().Add(patience)
	start := processorTime(t)
	used := time.Duration(0)
	for used < 500*time.Millisecond {
		require.False(t, time.Now().After(deadline), "used %v of the processor", used)
		sink = hot(10)
		used = processorTime(t) - start
	}
	pprof.StopCPUProfile()
	p, err := profile.Parse(&out)
	require.NoError(t, err)
	of, total := share(p, "hot")
	assert.Greater(t, of, total/2)
	// A processor that the host takes away for a while, which counts as used, misses ticks: the timer
	// has one signal however many have passed.
	assert.GreaterOrEqual(t, total, int64(used/20), "samples for %v of %v", time.Duration(total), used)
	assert.LessOrEqual(t, total, int64(used*3/2), "samples for %v of %v", time.Duration(total), used)
}

var kept [][]byte

//go:noinline
func hoard(n int) {
	for range n {
		kept = append(kept, make([]byte, 2<<20))
	}
}

func TestHeapProfile(t *testing.T) {
	hoard(16)
	defer func() { kept = nil }()
	runtime.GC()
	runtime.GC()
	var out bytes.Buffer
	require.NoError(t, pprof.WriteHeapProfile(&out))
	p, err := profile.Parse(&out)
	require.NoError(t, err)
	of, _ := share(p, "hoard")
	// One in 512 KiB is sampled, so nearly all of 2 MiB each: the deviation is 1.2 MiB.
	assert.InDelta(t, 32<<20, float64(of), 8<<20)
}

func TestOtherProfiles(t *testing.T) {
	release := make(chan struct{})
	for range 50 {
		go func() { <-release }()
	}
	defer close(release)
	for _, name := range []string{"goroutine", "threadcreate", "allocs", "mutex", "block"} {
		var out bytes.Buffer
		require.NoError(t, pprof.Lookup(name).WriteTo(&out, 0), name)
		p, err := profile.Parse(&out)
		require.NoError(t, err, name)
		require.NoError(t, p.CheckValid(), name)
		if name == "goroutine" {
			_, total := share(p, "")
			assert.GreaterOrEqual(t, total, int64(50))
		}
	}
}

func TestTrace(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, trace.Start(&out))
	ctx, task := trace.NewTask(t.Context(), "a task of the test")
	done := make(chan int)
	go func() {
		defer close(done)
		trace.WithRegion(ctx, "a region of the test", func() { done <- hot(100) })
	}()
	for range done {
	}
	runtime.GC()
	task.End()
	trace.Stop()
	assert.True(t, strings.HasPrefix(out.String(), "go 1."), "header")
	assert.Contains(t, out.String(), "a task of the test")
	assert.Contains(t, out.String(), "a region of the test")
	assert.Contains(t, out.String(), "rt.TestTrace")
}
