package qemu

import (
	"bytes"
	"io"
	"sync"
)

// Codes of framed console input (docs/design.md section 8).
const (
	frameEscape    = 0x10 // begins a code, and stands for itself if doubled
	frameStart     = 's'
	frameEnd       = 'e'
	frameInterrupt = 'i'
)

// startMark begins framed input. A 16550 takes in bytes before the guest sets it up and forgets them
// when the guest does, up to the 17 that its buffers hold; so the guest ignores all up to the first
// start code, and there are enough of them for one to arrive.
var startMark = bytes.Repeat([]byte{frameEscape, frameStart}, 17)

// A feeder writes input to the guest's console. Its methods do not block.
type feeder struct {
	framed     bool
	w          io.WriteCloser
	interrupts chan struct{}
	done       chan struct{} // closed when the machine has stopped
	stop       sync.Once
}

func newFeeder(w io.WriteCloser, framed bool) *feeder {
	return &feeder{framed: framed, w: w, interrupts: make(chan struct{}, 1), done: make(chan struct{})}
}

// start feeds what r gives, then the end of input. A read from r that is under way when the machine
// stops goes on, and what it gives is lost.
func (f *feeder) start(r io.Reader) {
	data := make(chan []byte)
	go f.read(r, data)
	go f.write(data)
}

func (f *feeder) read(r io.Reader, data chan<- []byte) {
	defer close(data)
	if r == nil {
		return
	}
	for {
		buf := make([]byte, 4096)
		n, err := r.Read(buf)
		if n > 0 {
			select {
			case data <- buf[:n]:
			case <-f.done:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// write frames the data. The pipe to QEMU stays open after the end of input, for interrupts.
func (f *feeder) write(data <-chan []byte) {
	if f.framed && !f.put(startMark) {
		return
	}
	for {
		select {
		case b, ok := <-data:
			switch {
			case !ok:
				data = nil
				if f.framed && !f.put([]byte{frameEscape, frameEnd}) {
					return
				}
			case f.framed:
				if !f.put(bytes.ReplaceAll(b, []byte{frameEscape}, []byte{frameEscape, frameEscape})) {
					return
				}
			default:
				if !f.put(b) {
					return
				}
			}
		case <-f.interrupts:
			if !f.put([]byte{frameEscape, frameInterrupt}) {
				return
			}
		case <-f.done:
			return
		}
	}
}

// put reports whether the machine still takes input. The pipe holds back the writer while the guest
// does not read.
func (f *feeder) put(b []byte) bool {
	_, err := f.w.Write(b)
	return err == nil
}

// interrupt asks for an interrupt code behind the data that is on its way.
func (f *feeder) interrupt() {
	select {
	case f.interrupts <- struct{}{}:
	default: // one is on its way
	}
}

// close ends the feeder.
func (f *feeder) close() {
	f.stop.Do(func() {
		close(f.done)
		f.w.Close() // also ends a write that waits
	})
}

// A tail keeps the last bytes that are written to it, and passes all on.
type tail struct {
	mu   sync.Mutex
	kept []byte
	size int
	next io.Writer // may be nil
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	t.kept = append(t.kept, b...)
	if over := len(t.kept) - t.size; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	t.mu.Unlock()
	if t.next != nil {
		return t.next.Write(b)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}
