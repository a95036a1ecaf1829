package p9

import (
	"sync"
	"sync/atomic"
)

// A Transport carries messages to a server, and replies back. Several
// goroutines may call it at once.
type Transport interface {
	// MaxMessage returns the length of the longest message that it carries, in
	// bytes: at least 4096, and no more than 1 MiB.
	MaxMessage() int
	// RoundTrip sends the message that the two parts of request make up, waits
	// for the reply and copies it into the parts of reply, the second one where
	// the first one is full. It returns the length of the reply, which is at
	// most that of the parts. The memory may be a goroutine's stack: nothing of
	// it is kept or touched by another goroutine. After an error the server is
	// given up.
	RoundTrip(request, reply [2][]byte) (n int, err error)
}

const (
	// maxTags is how many requests are under way at most.
	maxTags = 256
	// maxDead is how many fids wait to be clunked in the background before those
	// who have another one clunk it themselves.
	maxDead = 64
	// minMessage is the smallest msize that a server may ask for, bytes.
	minMessage = 4096
)

// client speaks with a server.
type client struct {
	transport Transport
	log       func(string)
	payload   int // most data of one Tread, Twrite or Treaddir, bytes
	broken    atomic.Bool
	tags      chan uint16 // those that are free
	calls     sync.Pool

	mu       sync.Mutex
	lastFid  uint32
	free     []uint32 // fids up to lastFid that are not in use
	dead     []uint32 // fids that are to be clunked
	clunking bool     // a goroutine is at it
}

func newClient(t Transport, log func(string)) *client {
	c := &client{transport: t, log: log, tags: make(chan uint16, maxTags)}
	for tag := range uint16(maxTags) {
		c.tags <- tag
	}
	return c
}

// fail takes the server out of service: from now on everything is EIO.
func (c *client) fail(why string) {
	if !c.broken.Swap(true) && c.log != nil {
		c.log("9p: " + why + "; the share is out of service")
	}
}

// newFid returns a number that the server does not know yet.
func (c *client) newFid() uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := len(c.free) - 1; i >= 0 {
		f := c.free[i]
		c.free = c.free[:i]
		return f
	}
	c.lastFid++
	return c.lastFid
}

// freeFid gives back a number that the server does not know any more.
func (c *client) freeFid(f uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.free = append(c.free, f)
}

// discard has a fid clunked in the background.
func (c *client) discard(f uint32) {
	c.mu.Lock()
	c.dead = append(c.dead, f)
	start := !c.clunking
	c.clunking = true
	c.mu.Unlock()
	if start {
		go c.clunkDead()
	}
}

func (c *client) clunkDead() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.dead) > 0 {
		f := c.dead[len(c.dead)-1]
		c.dead = c.dead[:len(c.dead)-1]
		c.mu.Unlock()
		c.clunk(f)
		c.mu.Lock()
	}
	c.clunking = false
}

// A fid is the server's handle of a file. It is clunked when nobody uses it any
// more.
type fid struct {
	c    *client
	id   uint32
	unit int // most bytes to be read or written at once, if it is open
	refs atomic.Int32
}

// newFidFor returns a fid that its caller uses.
func (c *client) newFidFor(id uint32) *fid {
	f := &fid{c: c, id: id}
	f.refs.Store(1)
	return f
}

// drop ends a use of f, which may be nil. It waits for the server if many fids
// are to be clunked already.
func (f *fid) drop() {
	if !f.release() {
		return
	}
	f.c.mu.Lock()
	busy := len(f.c.dead) >= maxDead
	f.c.mu.Unlock()
	if busy {
		f.c.clunk(f.id)
	} else {
		f.c.discard(f.id)
	}
}

// release ends a use of f, which may be nil, and reports whether it was the last.
func (f *fid) release() bool { return f != nil && f.refs.Add(-1) == 0 }
