package nucleus

import (
	"math/rand"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func list(l *threadList) (ids []int32) {
	for a := l.head; a != 0; a = threadAt(a).next {
		ids = append(ids, threadAt(a).tid)
	}
	return ids
}

// testThreads keeps the threads of a test on the heap: they are linked by address.
var testThreads []thread

func makeThreads(n int) []thread {
	testThreads = make([]thread, n)
	return testThreads
}

func TestThreadList(t *testing.T) {
	threads := makeThreads(6)
	for i := range threads {
		threads[i].tid = int32(i)
	}
	var l threadList
	require.Nil(t, l.pop())
	for i := 1; i < 5; i++ {
		l.push(&threads[i])
	}
	l.pushFront(&threads[0])
	require.Equal(t, []int32{0, 1, 2, 3, 4}, list(&l))
	l.remove(&threads[2])
	l.remove(&threads[4])
	l.remove(&threads[0])
	require.Equal(t, []int32{1, 3}, list(&l))
	l.push(&threads[5])
	require.Equal(t, []int32{1, 3, 5}, list(&l))
	for _, want := range []int32{1, 3, 5} {
		require.Equal(t, want, l.pop().tid)
	}
	require.True(t, l.empty())
	require.Zero(t, l.tail)
}

func TestTimersAreInOrder(t *testing.T) {
	threads := makeThreads(50)
	rnd := rand.New(rand.NewSource(3))
	// removeTimers finds the queue by the CPU's number.
	saved := cpus[0].timers
	defer func() { cpus[0].timers = saved }()
	queue := &cpus[0]
	queue.timers = 0
	for i := range threads {
		d := int64(rnd.Intn(1000) + 1)
		addTimer(queue, &threads[i], d)
	}
	for i := 0; i < len(threads); i += 3 {
		removeTimers(&threads[i])
		removeTimers(&threads[i]) // harmless
	}
	var want []int64
	for i := range threads {
		if threads[i].timed {
			want = append(want, threads[i].deadline)
		}
	}
	slices.Sort(want)
	var got []int64
	for a := queue.timers; a != 0; a = threadAt(a).nextTime {
		got = append(got, threadAt(a).deadline)
	}
	require.Equal(t, want, got)
}

func TestFutexQueue(t *testing.T) {
	threads := makeThreads(5)
	const word = 0x1234560
	l := futexBucket(word)
	for i := range threads {
		threads[i].tid = int32(i)
		threads[i].futex = word
		threads[i].prev = l.tail
		l.push(&threads[i])
	}
	for _, i := range []int{2, 0, 4} {
		unqueueFutex(&threads[i])
		unqueueFutex(&threads[i]) // harmless
	}
	require.Equal(t, []int32{1, 3}, list(l))
	unqueueFutex(&threads[1])
	unqueueFutex(&threads[3])
	require.True(t, l.empty())
}

func TestMulShift(t *testing.T) {
	require.Equal(t, uint64(1<<40), mulShift32(1<<40, 1<<32))
	require.Equal(t, uint64(3<<39), mulShift32(1<<40, 3<<31))
	// A counter of 3 GHz for 100 years.
	ticks := uint64(3_000_000_000 * 86400 * 36525)
	require.InDelta(t, float64(100*36525/100*86400)*1e9, float64(mulShift32(ticks, 1<<32/3)), 1e10)
}
