package main

import (
	"crypto/rand"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A row is one measurement. Units of time are per operation.
type row struct {
	name, unit string
	measure    func() float64
}

var rows = []row{
	{"first-touch", "MiB/s", firstTouch}, // first, while the heap has nothing to give
	{"first-touch-mmap", "MiB/s", firstTouchMmap},
	{"trees", "ms", per(time.Millisecond, trees)},
	{"gc-cycle", "ms", gcCycle},
	{"gc-pause", "µs", gcPause},
	{"channel-round-trip", "ns", per(1, channelRoundTrip)},
	{"channel-cross-thread", "ns", per(1, channelCrossThread)},
	{"thread-wakeup-round-trip", "ns", per(1, threadWakeup)},
	{"mutex-contended", "ns", per(1, mutexContended)},
	{"goroutine-start", "ns", per(1, goroutineStart)},
	{"timer-start-stop", "ns", per(1, timerStartStop)},
	{"sleep-1ms", "µs", per(time.Microsecond, sleep)},
	{"time-now", "ns", per(1, timeNow)},
	{"crypto-rand-32", "ns", per(1, cryptoRand)},
	{"crypto-rand-64k", "µs", per(time.Microsecond, cryptoRandBulk)},
}

// per measures the time of one operation of a benchmark, in a unit.
func per(unit time.Duration, f func(*testing.B)) func() float64 {
	return func() float64 {
		r := testing.Benchmark(f)
		return float64(r.T) / float64(r.N) / float64(unit)
	}
}

const (
	pageSize = 4096
	mib      = 1 << 20
)

// touch writes to each page.
func touch(b []byte) {
	for i := 0; i < len(b); i += pageSize {
		b[i] = 1
	}
}

// firstTouch takes fresh memory from the Go heap, and touches it.
func firstTouch() float64 {
	const pieces, size = 16, 8
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var live [pieces][]byte
	start := time.Now()
	for i := range live {
		live[i] = make([]byte, size*mib)
		touch(live[i])
	}
	d := time.Since(start)
	runtime.KeepAlive(&live)
	return pieces * size / d.Seconds()
}

// firstTouchMmap takes fresh memory from the system, several times.
func firstTouchMmap() float64 {
	const size = 64
	var speeds []float64
	for range 5 {
		start := time.Now()
		b, err := syscall.Mmap(-1, 0, size*mib, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
		if err != nil {
			fatal(err)
		}
		touch(b)
		speeds = append(speeds, size/time.Since(start).Seconds())
		if err := syscall.Munmap(b); err != nil {
			fatal(err)
		}
	}
	return median(speeds)
}

type tree struct{ left, right *tree }

func newTree(depth int) *tree {
	if depth == 0 {
		return &tree{}
	}
	return &tree{newTree(depth - 1), newTree(depth - 1)}
}

func (t *tree) count() int {
	if t.left == nil {
		return 1
	}
	return 1 + t.left.count() + t.right.count()
}

// trees allocates binary trees of several depths while one lives on, some 20 MiB in all.
func trees(b *testing.B) {
	for b.Loop() {
		lasting := newTree(14)
		for depth := 4; depth <= 14; depth += 2 {
			for range 1 << (14 - depth) {
				if n := newTree(depth).count(); n != 2<<depth-1 {
					b.Fatal("a tree has lost nodes")
				}
			}
		}
		runtime.KeepAlive(lasting)
	}
}

// withLiveHeap calls f while trees of some 48 MiB live.
func withLiveHeap(f func() float64) float64 {
	var live [12]*tree
	for i := range live {
		live[i] = newTree(17)
	}
	defer runtime.KeepAlive(&live)
	return f()
}

// gcCycle is the time of a whole collection.
func gcCycle() float64 {
	return withLiveHeap(func() float64 {
		return per(time.Millisecond, func(b *testing.B) {
			for b.Loop() {
				runtime.GC()
			}
		})()
	})
}

// gcPause is the median of the times for which a collection stops the program.
func gcPause() float64 {
	return withLiveHeap(func() float64 {
		for range 10 {
			runtime.GC()
		}
		var stats debug.GCStats
		debug.ReadGCStats(&stats)
		var pauses []float64
		for _, p := range stats.Pause[:10] {
			pauses = append(pauses, float64(p)/float64(time.Microsecond))
		}
		return median(pauses)
	})
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// echo starts a goroutine that sends back what it gets, on a thread of its own if locked. Closing to
// ends it.
func echo(locked bool) (to chan<- int, from <-chan int) {
	there, back := make(chan int), make(chan int)
	go func() {
		if locked {
			runtime.LockOSThread()
		}
		for v := range there {
			back <- v
		}
	}()
	return there, back
}

func roundTrips(b *testing.B, locked bool) {
	to, from := echo(locked)
	defer close(to)
	for b.Loop() {
		to <- 1
		<-from
	}
}

// channelRoundTrip has two goroutines that the scheduler may run on one thread.
func channelRoundTrip(b *testing.B) { roundTrips(b, false) }

// channelCrossThread has one of the two bound to a thread.
func channelCrossThread(b *testing.B) { roundTrips(b, true) }

// threadWakeup has both bound to threads: each message wakes a thread.
func threadWakeup(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	roundTrips(b, true)
}

// mutexContended has eight goroutines that want one mutex.
func mutexContended(b *testing.B) {
	const goroutines = 8
	var (
		lock  sync.Mutex
		total int
		wg    sync.WaitGroup
	)
	for range goroutines {
		wg.Go(func() {
			for range b.N / goroutines {
				lock.Lock()
				total++
				lock.Unlock()
			}
		})
	}
	wg.Wait()
	if total != b.N/goroutines*goroutines {
		b.Fatal("the mutex let two in")
	}
}

// goroutineStart starts goroutines and waits for them, a hundred at a time.
func goroutineStart(b *testing.B) {
	var wg sync.WaitGroup
	for i := 0; b.Loop(); i++ {
		wg.Go(func() {})
		if i%100 == 99 {
			wg.Wait()
		}
	}
	wg.Wait()
}

func timerStartStop(b *testing.B) {
	for b.Loop() {
		time.NewTimer(time.Hour).Stop()
	}
}

func sleep(b *testing.B) {
	for b.Loop() {
		time.Sleep(time.Millisecond)
	}
}

func timeNow(b *testing.B) {
	var now time.Time
	for b.Loop() {
		now = time.Now()
	}
	if now.IsZero() {
		b.Fatal("no time")
	}
}

func cryptoRand(b *testing.B) {
	var buf [32]byte
	for b.Loop() {
		rand.Read(buf[:])
	}
}

func cryptoRandBulk(b *testing.B) {
	buf := make([]byte, 64*1024)
	for b.Loop() {
		rand.Read(buf)
	}
}
