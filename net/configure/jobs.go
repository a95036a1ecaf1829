package configure

import (
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// maxJobs bounds what a flood of packets can queue.
const maxJobs = 64

// jobs runs functions one after the other, in the order in which they were posted: what timers,
// received packets and gVisor's neighbour discovery have to say. They all call with locks of the
// stack held or may not wait, while a job may call the stack as it likes. There is no goroutine while
// there is no job.
type jobs struct {
	mu      sync.Mutex
	clock   tcpip.Clock // nil until start
	queue   []func()
	running bool
	after   func() // called after each job, or nil
}

// start runs first as the first job, on the caller's goroutine, and then those posted before.
func (j *jobs) start(clock tcpip.Clock, first func()) {
	j.mu.Lock()
	j.clock, j.running = clock, true
	j.mu.Unlock()
	j.do(first)
	j.run()
}

// post queues f.
func (j *jobs) post(f func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.queue = append(j.queue, f)
	j.wake()
}

// tryPost queues f, which may be lost: if there is much to do already, it is.
func (j *jobs) tryPost(f func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.queue) < maxJobs {
		j.queue = append(j.queue, f)
		j.wake()
	}
}

func (j *jobs) wake() {
	if j.clock != nil && !j.running && len(j.queue) > 0 {
		j.running = true
		j.clock.AfterFunc(0, j.run)
	}
}

func (j *jobs) run() {
	for {
		j.mu.Lock()
		if len(j.queue) == 0 {
			j.queue, j.running = nil, false
			j.mu.Unlock()
			return
		}
		f := j.queue[0]
		j.queue = j.queue[1:]
		j.mu.Unlock()
		j.do(f)
	}
}

func (j *jobs) do(f func()) {
	f()
	if j.after != nil {
		j.after()
	}
}

// A timer runs a job once, some time after it was set. Its methods are called by jobs only.
type timer struct {
	jobs  *jobs
	timer tcpip.Timer
	epoch int // of the last set or stop: what was queued before it is void
}

func (t *timer) set(d time.Duration, f func()) {
	t.stop()
	epoch := t.epoch
	t.timer = t.jobs.clock.AfterFunc(d, func() {
		t.jobs.post(func() {
			if t.epoch == epoch {
				t.timer = nil
				f()
			}
		})
	})
}

func (t *timer) stop() {
	t.epoch++
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
}
