package linux

import (
	"sync"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/vfs"
)

// fifos are the pipes behind the FIFOs that are open, by the key that package vfs gives a node.
// Its lock is taken before that of a pipe.
var fifos fifoTable

type fifoTable struct {
	mu    sync.Mutex
	pipes map[any]*pipe
}

// forget drops the pipe of a FIFO that has no open end any more.
func (t *fifoTable) forget(p *pipe) {
	t.mu.Lock()
	p.mu.Lock()
	if p.readers == 0 && p.writers == 0 && t.pipes[p.key] == p {
		delete(t.pipes, p.key)
	}
	p.mu.Unlock()
	t.mu.Unlock()
}

// open opens an end of the FIFO key. If the other side is not open it returns in seen how often it
// was opened so far.
func (t *fifoTable) open(key any, reads, writes, nonblocking bool) (e *pipeEnd, alone bool, seen uint64, err syscall.Errno) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.pipes[key]
	if p == nil {
		p = newPipe()
		p.key = key
	}
	p.mu.Lock()
	others, other := p.writers, 1
	if writes {
		others, other = p.readers, 0
	}
	alone = others == 0 && reads != writes
	seen = p.opened[other]
	p.mu.Unlock()
	if alone && writes && nonblocking {
		return nil, false, 0, syscall.ENXIO
	}
	if t.pipes == nil {
		t.pipes = make(map[any]*pipe)
	}
	t.pipes[key] = p
	return p.end(reads, writes), alone, seen, 0
}

// openFifo opens a FIFO node. It waits for the other side unless flags have O_NONBLOCK (fifo(7)).
func openFifo(key any, flags int) (vfs.Handle, error) {
	mode := flags & syscall.O_ACCMODE
	nonblocking := flags&syscall.O_NONBLOCK != 0
	e, alone, seen, err := fifos.open(key, mode != syscall.O_WRONLY, mode != syscall.O_RDONLY, nonblocking)
	if err != 0 {
		return nil, err
	}
	e.watchers.fire(opened)
	if alone && !nonblocking {
		e.awaitOther(seen)
	}
	return e, nil
}

// opened is the event that an end of the pipe was opened. It is not among those of poll(2).
const opened = 1 << 20

// awaitOther waits until the other side has been opened once more than seen times.
func (e *pipeEnd) awaitOther(seen uint64) {
	other := 1
	if e.writes {
		other = 0
	}
	w := newWaiter()
	w.watch.mask = opened
	e.watchers.add(&w.watch)
	for {
		e.mu.Lock()
		n := e.opened[other]
		e.mu.Unlock()
		if n != seen {
			break
		}
		w.park(never)
	}
	e.watchers.remove(&w.watch)
	w.release()
}
