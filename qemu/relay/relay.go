package relay

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Faults say what befalls the frames of one direction. Each number is the share of frames, from 0 to 1,
// to which it happens.
type Faults struct {
	Seed      uint64  // the same seed decides the same for the same frames
	Lose      float64 // does not arrive
	Duplicate float64 // arrives twice
	Reorder   float64 // arrives behind up to three that came later, or 20 ms later
	// Corrupt is for frames of which one bit is wrong. The sums of IP, TCP and UDP find each single bit;
	// a real wire's own sum would have found more.
	Corrupt float64
}

// Counts are what has happened to frames.
type Counts struct {
	Frames, Lost, Duplicated, Reordered, Corrupted uint64
}

func (c Counts) String() string {
	return fmt.Sprintf("%d frames, %d lost, %d duplicated, %d reordered, %d corrupted", c.Frames, c.Lost, c.Duplicated, c.Reordered, c.Corrupted)
}

// reorderTime is how long a frame waits for others to overtake it.
const reorderTime = 20 * time.Millisecond

// A direction carries frames from one end to the other.
type direction struct {
	from, to End
	faults   Faults
	rng      *rand.Rand

	frames, lost, duplicated, reordered, corrupted atomic.Uint64

	held      []byte // the frame that others overtake, nil if there is none
	overtaken int    // how many more may
}

// A Relay joins two ends.
type Relay struct {
	ends       [2]End
	directions [2]*direction
	done       sync.WaitGroup
	err        [2]error
}

// Join carries frames between two ends, which are the relay's from then, until one closes or Close is
// called.
func Join(a, b End, aToB, bToA Faults) *Relay {
	r := &Relay{ends: [2]End{a, b}, directions: [2]*direction{
		{from: a, to: b, faults: aToB, rng: rand.New(rand.NewPCG(aToB.Seed, 0))},
		{from: b, to: a, faults: bToA, rng: rand.New(rand.NewPCG(bToA.Seed, 1))},
	}}
	for i, d := range r.directions {
		r.done.Go(func() {
			r.err[i] = d.run()
			a.Close()
			b.Close()
		})
	}
	return r
}

// Counts returns what has happened so far from a to b and from b to a.
func (r *Relay) Counts() (aToB, bToA Counts) {
	return r.directions[0].counts(), r.directions[1].counts()
}

// Close closes both ends, waits, and returns what went wrong but for an end that closed.
func (r *Relay) Close() error {
	r.ends[0].Close()
	r.ends[1].Close()
	r.done.Wait()
	return errors.Join(r.err[0], r.err[1])
}

func (d *direction) counts() Counts {
	return Counts{d.frames.Load(), d.lost.Load(), d.duplicated.Load(), d.reordered.Load(), d.corrupted.Load()}
}

// run carries frames until an end closes.
func (d *direction) run() error {
	frames := make(chan []byte, 64)
	failed := make(chan error, 1)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			p := make([]byte, MaxFrame)
			n, err := d.from.ReadFrame(p)
			if err != nil {
				failed <- err
				return
			}
			select {
			case frames <- p[:n:n]:
			case <-stop:
				return
			}
		}
	}()
	late := time.NewTimer(0)
	<-late.C
	for {
		var err error
		select {
		case p := <-frames:
			if err = d.carry(p); d.held != nil {
				late.Reset(reorderTime)
			}
		case <-late.C:
			err = d.release()
		case err = <-failed:
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// happens decides by the share of frames. It takes a random number in any case, so that one share does
// not change what the others decide.
func (d *direction) happens(share float64) bool { return d.rng.Float64() < share }

// carry decides on one frame.
func (d *direction) carry(p []byte) error {
	d.frames.Add(1)
	lose, duplicate, reorder, corrupt := d.happens(d.faults.Lose), d.happens(d.faults.Duplicate), d.happens(d.faults.Reorder), d.happens(d.faults.Corrupt)
	bit := d.rng.Uint64()
	if lose {
		d.lost.Add(1)
		return nil
	}
	if corrupt && len(p) > 0 {
		d.corrupted.Add(1)
		bit %= uint64(len(p)) * 8
		p[bit/8] ^= 1 << (bit % 8)
	}
	if reorder && d.held == nil {
		d.reordered.Add(1)
		d.held, d.overtaken = p, 1+d.rng.IntN(3)
		return nil
	}
	times := 1
	if duplicate {
		d.duplicated.Add(1)
		times = 2
	}
	for range times {
		if err := d.to.WriteFrame(p); err != nil {
			return err
		}
	}
	if d.held != nil {
		if d.overtaken--; d.overtaken == 0 {
			return d.release()
		}
	}
	return nil
}

// release sends the frame that was held back.
func (d *direction) release() error {
	p := d.held
	d.held = nil
	if p == nil {
		return nil
	}
	return d.to.WriteFrame(p)
}
