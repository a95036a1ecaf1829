package rt

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSleepIsOnTime: never early, and of several tries the best is close.
func TestSleepIsOnTime(t *testing.T) {
	for _, d := range []time.Duration{time.Microsecond, 100 * time.Microsecond, time.Millisecond,
		10 * time.Millisecond, 100 * time.Millisecond} {
		best := patience
		for range 10 {
			start := time.Now()
			time.Sleep(d)
			late := time.Since(start) - d
			require.GreaterOrEqual(t, late, time.Duration(0), "slept too short a time")
			best = min(best, late)
		}
		assert.Less(t, best, 5*time.Millisecond, "sleeping %v", d)
	}
}

func TestTimersFireInOrder(t *testing.T) {
	const n = 2000
	start := time.Now()
	fired := make(chan time.Duration, n)
	for i := range n {
		d := time.Duration((i*7919)%n) * 50 * time.Microsecond
		time.AfterFunc(d, func() { fired <- time.Since(start) - d })
	}
	late := make([]time.Duration, 0, n)
	for range n {
		late = append(late, <-fired)
	}
	slices.Sort(late)
	assert.GreaterOrEqual(t, late[0], time.Duration(0), "a timer fired early")
	assert.Less(t, late[n/2], 500*time.Millisecond, "half of the timers are late")
}

func TestTicker(t *testing.T) {
	const period, ticks = 5 * time.Millisecond, 20
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	start := time.Now()
	for range ticks {
		tick := <-ticker.C
		require.True(t, tick.After(start))
	}
	elapsed := time.Since(start)
	assert.GreaterOrEqual(t, elapsed, (ticks-1)*period)
	ticker.Reset(time.Hour)
	select {
	case <-ticker.C:
		t.Error("ticks after Reset")
	default:
	}
}

func TestStopAndReset(t *testing.T) {
	timer := time.NewTimer(time.Hour)
	assert.True(t, timer.Stop())
	assert.False(t, timer.Stop())
	timer.Reset(time.Millisecond)
	<-timer.C
	assert.False(t, timer.Stop())

	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	<-ctx.Done()
	assert.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
}

// TestClockNeverGoesBack reads the clock on all processors, each reading after another one.
func TestClockNeverGoesBack(t *testing.T) {
	var mutex sync.Mutex
	var group sync.WaitGroup
	last := time.Now()
	for range 2 * runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for range 5000 {
				mutex.Lock()
				now := time.Now()
				if now.Before(last) {
					t.Errorf("the clock went back by %v", last.Sub(now))
				}
				last = now
				mutex.Unlock()
				runtime.Gosched()
			}
		})
	}
	group.Wait()
}

// TestWallAndMonotonicAgree: over a while both clocks advance by the same time.
func TestWallAndMonotonicAgree(t *testing.T) {
	start := time.Now()
	time.Sleep(200 * time.Millisecond)
	end := time.Now()
	monotonic := end.Sub(start)
	wall := end.Round(0).Sub(start.Round(0))
	assert.InDelta(t, float64(monotonic), float64(wall), float64(20*time.Millisecond))
}

func TestWallClockIsPlausible(t *testing.T) {
	now := time.Now()
	assert.True(t, now.After(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)), now)
	assert.True(t, now.Before(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)), now)
}

func TestTimeZones(t *testing.T) {
	moment := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for name, want := range map[string]string{
		"Europe/Berlin":    "2026-07-01 14:00 CEST",
		"America/New_York": "2026-07-01 08:00 EDT",
		"Asia/Kolkata":     "2026-07-01 17:30 IST",
		"UTC":              "2026-07-01 12:00 UTC",
	} {
		location, err := time.LoadLocation(name)
		require.NoError(t, err)
		assert.Equal(t, want, moment.In(location).Format("2006-01-02 15:04 MST"))
	}
	_, err := time.LoadLocation("Nowhere/Nothing")
	assert.Error(t, err)
}
