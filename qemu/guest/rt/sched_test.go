package rt

import (
	"crypto/sha256"
	"crypto/sha512"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestProcessors(t *testing.T) {
	assert.Equal(t, runtime.NumCPU(), runtime.GOMAXPROCS(0))
}

func TestManyGoroutines(t *testing.T) {
	const n = 100_000
	start := make(chan struct{})
	sums := make(chan int, 64)
	before := runtime.NumGoroutine()
	for i := range n {
		go func() {
			<-start
			sums <- i
		}()
	}
	assert.GreaterOrEqual(t, runtime.NumGoroutine(), n)
	close(start)
	sum := 0
	for range n {
		sum += <-sums
	}
	assert.Equal(t, n*(n-1)/2, sum)
	eventually(t, "the end of the goroutines", func() bool {
		return runtime.NumGoroutine() <= before
	})
}

// TestTightLoopIsPreempted has loops that call nothing: only a signal can stop them. Without
// preemption it does not end.
func TestTightLoopIsPreempted(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var stop atomic.Bool
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			for !stop.Load() {
			}
		})
	}
	for range 5 {
		runtime.Gosched() // returns when each loop has been preempted
	}
	runtime.ReadMemStats(new(runtime.MemStats)) // stops the world
	stop.Store(true)
	group.Wait()
}

// TestSleepBesideTightLoop wants a timer to fire although all processors are busy.
func TestSleepBesideTightLoop(t *testing.T) {
	var stop atomic.Bool
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for !stop.Load() {
			}
		})
	}
	for range 5 {
		time.Sleep(time.Millisecond)
	}
	stop.Store(true)
	group.Wait()
}

// TestRegistersSurvivePreemption computes with vector and floating-point registers in more
// goroutines than there are processors, while the world is stopped over and over.
func TestRegistersSurvivePreemption(t *testing.T) {
	data := make([]byte, 64<<10)
	for i := range data {
		data[i] = byte(i * i)
	}
	sum256, sum512 := sha256.Sum256(data), sha512.Sum512(data)
	wave := func() (x float64) {
		for i := range 5_000 {
			x = x/2 + math.Sqrt(float64(i))*1.5
		}
		return x
	}
	want := wave()

	var stop atomic.Bool
	var group sync.WaitGroup
	for i := range 3 * runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for n := i; !stop.Load(); n++ {
				switch n % 3 {
				case 0:
					if sha256.Sum256(data) != sum256 {
						t.Error("SHA-256 differs")
						return
					}
				case 1:
					if sha512.Sum512(data) != sum512 {
						t.Error("SHA-512 differs")
						return
					}
				case 2:
					if got := wave(); got != want {
						t.Errorf("floating point: %v, want %v", got, want)
						return
					}
				}
			}
		})
	}
	for range 30 {
		for range 20 {
			runtime.ReadMemStats(new(runtime.MemStats)) // stops the world
		}
		time.Sleep(time.Millisecond)
	}
	stop.Store(true)
	group.Wait()
}

func TestLockOSThread(t *testing.T) {
	const n = 4
	var threads [n]int
	token := make(chan struct{}, 1)
	token <- struct{}{}
	var ready, group sync.WaitGroup
	ready.Add(n)
	for i := range n {
		group.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			threads[i] = syscall.Gettid()
			ready.Done()
			ready.Wait() // now all are locked at once
			for range 200 {
				<-token
				if got := syscall.Gettid(); got != threads[i] {
					t.Errorf("goroutine moved from thread %d to %d", threads[i], got)
				}
				token <- struct{}{}
				runtime.Gosched()
			}
		})
	}
	group.Wait()
	for i := range n {
		for j := range i {
			assert.NotEqual(t, threads[i], threads[j], "two locked goroutines on one thread")
		}
	}
}

// TestLockedThreadEnds: a goroutine that ends locked takes its thread along, unless it is the
// program's first, which the runtime keeps.
func TestLockedThreadEnds(t *testing.T) {
	for range 50 {
		thread := make(chan int)
		go func() {
			runtime.LockOSThread()
			thread <- syscall.Gettid()
		}()
		id := <-thread
		if id == syscall.Getpid() {
			continue
		}
		eventually(t, "the end of the thread", func() bool {
			return syscall.Tgkill(syscall.Getpid(), id, 0) == syscall.ESRCH
		})
	}
}

func TestMutualExclusion(t *testing.T) {
	var mutex sync.Mutex
	var rw sync.RWMutex
	var group sync.WaitGroup
	shared, guarded := 0, 0
	const goroutines, rounds = 50, 500
	for range goroutines {
		group.Go(func() {
			for range rounds {
				mutex.Lock()
				shared++
				mutex.Unlock()
				rw.Lock()
				guarded++
				rw.Unlock()
				rw.RLock()
				_ = guarded
				rw.RUnlock()
			}
		})
	}
	group.Wait()
	assert.Equal(t, goroutines*rounds, shared)
	assert.Equal(t, goroutines*rounds, guarded)
}

func TestChannelRing(t *testing.T) {
	const goroutines, laps = 1000, 50
	first := make(chan int)
	in := first
	for range goroutines {
		out := make(chan int)
		go func(in chan int) {
			for n := range in {
				out <- n + 1
			}
			close(out)
		}(in)
		in = out
	}
	for range laps {
		first <- 0
		require.Equal(t, goroutines, <-in)
	}
	close(first)
	_, open := <-in
	assert.False(t, open)
}

func TestCondWakesAll(t *testing.T) {
	var mutex sync.Mutex
	cond := sync.NewCond(&mutex)
	waiting, released, open := 0, 0, false
	const n = 1000
	var group sync.WaitGroup
	for range n {
		group.Go(func() {
			mutex.Lock()
			defer mutex.Unlock()
			waiting++
			for !open {
				cond.Wait()
			}
			released++
		})
	}
	eventually(t, "all to wait", func() bool {
		mutex.Lock()
		defer mutex.Unlock()
		return waiting == n
	})
	mutex.Lock()
	open = true
	mutex.Unlock()
	cond.Broadcast()
	group.Wait()
	assert.Equal(t, n, released)
}

func TestStackTrace(t *testing.T) {
	buffer := make([]byte, 1<<16)
	trace := string(buffer[:runtime.Stack(buffer, false)])
	assert.Contains(t, trace, "rt.TestStackTrace(")
	assert.Contains(t, trace, "sched_test.go:")

	release := make(chan struct{})
	defer close(release)
	started := make(chan struct{})
	go parked(started, release)
	<-started
	eventually(t, "the goroutine to park", func() bool {
		all := string(buffer[:runtime.Stack(buffer, true)])
		return strings.Contains(all, "[chan receive]:\ngithub.com/goshawk-os/goshawk/qemu/guest/rt.parked(")
	})
}

func parked(started, release chan struct{}) {
	close(started)
	<-release
}
