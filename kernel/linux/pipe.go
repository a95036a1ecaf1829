package linux

import (
	"sync"
	"syscall"
	"unsafe"

	"github.com/goshawk-os/goshawk/fs/vfs"
)

const (
	// atomicWrite is PIPE_BUF: writes of up to this many bytes are not interleaved (pipe(7)).
	atomicWrite = 4096
	// pipeSize is the capacity of a new pipe, maxPipeSize the most that F_SETPIPE_SZ grants.
	pipeSize    = 64 << 10
	maxPipeSize = 1 << 20
)

// pipe is the buffer between the two ends of a pipe or FIFO.
type pipe struct {
	mu               sync.Mutex
	ring             []byte // grows up to capacity; its length is a power of two
	start, length    int    // the bytes in the ring
	capacity         int
	readers, writers int
	opened           [2]uint64 // how often a reading and a writing end was opened
	key              any       // of a FIFO in fifos
	watchers         waitQueue
	times            pipeTimes
}

type pipeTimes struct{ created, written, read syscall.Timespec }

func newPipe() *pipe {
	now := wallTimespec()
	return &pipe{capacity: pipeSize, times: pipeTimes{now, now, now}}
}

// pipeEnd is an open description of a pipe, with the access mode of its file.
type pipeEnd struct {
	*pipe
	reads, writes bool
}

// end opens an end of p.
func (p *pipe) end(reads, writes bool) *pipeEnd {
	p.mu.Lock()
	if reads {
		p.readers++
		p.opened[0]++
	}
	if writes {
		p.writers++
		p.opened[1]++
	}
	p.mu.Unlock()
	return &pipeEnd{p, reads, writes}
}

func (e *pipeEnd) Read(p []byte, flags int) (int, error)  { return readWaiting(e, p, flags) }
func (e *pipeEnd) Write(p []byte, flags int) (int, error) { return writeWaiting(e, p, flags) }

// Close closes the end; the last reader and the last writer tell the other side.
func (e *pipeEnd) Close() error {
	forget(e)
	e.mu.Lock()
	if e.reads {
		e.readers--
	}
	if e.writes {
		e.writers--
	}
	events := uint32(0)
	if e.writers == 0 {
		events |= hungUp | readable
	}
	if e.readers == 0 {
		events |= failed | writable
	}
	unused := e.readers == 0 && e.writers == 0
	e.mu.Unlock()
	if events != 0 {
		e.watchers.fire(events)
	}
	if unused && e.key != nil {
		fifos.forget(e.pipe)
	}
	return nil
}

// Reopen opens the pipe again through /proc/self/fd.
func (e *pipeEnd) Reopen(flags int) (vfs.Handle, error) {
	mode := flags & syscall.O_ACCMODE
	return e.end(mode != syscall.O_WRONLY, mode != syscall.O_RDONLY), nil
}

func (e *pipeEnd) queue() *waitQueue { return &e.watchers }

func (e *pipeEnd) ready() uint32 {
	e.mu.Lock()
	defer e.mu.Unlock()
	events := uint32(0)
	if e.reads {
		if e.length > 0 {
			events |= readable | readNorm
		}
		if e.writers == 0 {
			events |= hungUp
		}
	}
	if e.writes {
		if e.capacity-e.length >= atomicWrite {
			events |= writable | writeNorm
		}
		if e.readers == 0 {
			events |= failed
		}
	}
	return events
}

func (e *pipeEnd) tryRead(b []byte) (int, syscall.Errno) {
	if len(b) == 0 {
		return 0, 0
	}
	e.mu.Lock()
	if e.length == 0 {
		defer e.mu.Unlock()
		if e.writers == 0 {
			return 0, 0
		}
		return 0, syscall.EAGAIN
	}
	was := e.capacity - e.length
	n := e.peek(b)
	e.discard(n)
	e.times.read = wallTimespec()
	room := was < atomicWrite && e.capacity-e.length >= atomicWrite
	e.mu.Unlock()
	if room {
		e.watchers.fire(writable | writeNorm)
	}
	return n, 0
}

// peek copies the first bytes of the pipe, which is locked, to b.
func (p *pipe) peek(b []byte) int {
	n := min(len(b), p.length)
	first := copy(b[:n], p.ring[p.start:])
	copy(b[first:n], p.ring)
	return n
}

// discard takes the first n bytes out of the pipe, which is locked.
func (p *pipe) discard(n int) {
	p.length -= n
	p.start = (p.start + n) & (len(p.ring) - 1)
	if p.length == 0 {
		p.start = 0
	}
}

func (e *pipeEnd) tryWrite(b []byte) (int, syscall.Errno) {
	if len(b) == 0 {
		return 0, 0
	}
	e.mu.Lock()
	if e.readers == 0 {
		e.mu.Unlock()
		killThread(int(syscall.SIGPIPE))
		return 0, syscall.EPIPE
	}
	room := e.capacity - e.length
	if room <= 0 || len(b) <= atomicWrite && room < len(b) {
		e.mu.Unlock()
		return 0, syscall.EAGAIN
	}
	n := min(room, len(b))
	e.append(b[:n])
	e.times.written = wallTimespec()
	e.mu.Unlock()
	e.watchers.fire(readable | readNorm)
	return n, 0
}

// append puts b, for which there is room, behind the bytes in the pipe, which is locked.
func (p *pipe) append(b []byte) {
	first := copy(p.space(len(b)), b)
	copy(p.ring, b[first:])
	p.length += len(b)
}

// space returns the ring's memory behind the bytes in the pipe, which is locked: n bytes, for which
// there is room, or fewer if the end of the ring comes first.
func (p *pipe) space(n int) []byte {
	if need := p.length + n; need > len(p.ring) {
		size := max(len(p.ring), 512)
		for size < need {
			size *= 2
		}
		ring := make([]byte, size)
		p.peek(ring)
		p.ring, p.start = ring, 0
	}
	at := (p.start + p.length) & (len(p.ring) - 1)
	return p.ring[at:min(at+n, len(p.ring))]
}

// Stat returns the attributes of a pipe without a name.
func (e *pipeEnd) Stat() vfs.Stat {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := &e.times
	return vfs.Stat{
		Mode: syscall.S_IFIFO | 0o600, Nlink: 1, Blksize: pageSize,
		Atime: t.read, Mtime: t.written, Ctime: t.written, Btime: t.created,
	}
}

// resize sets the capacity to at least size bytes, a power of two of pages (F_SETPIPE_SZ).
func (p *pipe) resize(size int) (int, syscall.Errno) {
	if size < 0 || size > maxPipeSize {
		if size > maxPipeSize {
			return 0, syscall.EPERM
		}
		return 0, syscall.EINVAL
	}
	capacity := atomicWrite
	for capacity < size {
		capacity *= 2
	}
	p.mu.Lock()
	if capacity < p.length {
		p.mu.Unlock()
		return 0, syscall.EBUSY
	}
	grown := capacity > p.capacity
	p.capacity = capacity
	p.mu.Unlock()
	if grown {
		p.watchers.fire(writable | writeNorm)
	}
	return capacity, 0
}

func sysPipe(a args) (uintptr, syscall.Errno) { return pipe2(a.p[0], 0) }

func sysPipe2(a args) (uintptr, syscall.Errno) { return pipe2(a.p[0], a.int(1)) }

func pipe2(result unsafe.Pointer, flags int) (uintptr, syscall.Errno) {
	if flags&^(syscall.O_CLOEXEC|syscall.O_NONBLOCK|syscall.O_DIRECT) != 0 {
		return 0, syscall.EINVAL
	}
	fds, err := array[int32](result, 2)
	if err != 0 {
		return 0, err
	}
	p := newPipe()
	status := flags & syscall.O_NONBLOCK
	in, out := vfs.NewFilePair(p.end(true, false), p.end(false, true),
		syscall.O_RDONLY|status, syscall.O_WRONLY|status, syscall.S_IFIFO|0o600, "pipe:")
	r, err := process.install(in, flags)
	if err != 0 {
		out.Close()
		return 0, err
	}
	w, err := process.install(out, flags)
	if err != 0 {
		closeFD(int(r))
		return 0, err
	}
	fds[0], fds[1] = int32(r), int32(w)
	return 0, 0
}
