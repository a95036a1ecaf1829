package jbd2

import (
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/block"
)

// A Buffer is one metadata block in memory. It is valid from Get or Create
// until the same caller's Release.
type Buffer struct {
	Block uint64 // number of the block on the file system's device
	// Data is the block's content, always the same slice. The file system's own
	// locks order its readers and writers; writers call Handle.Modify first and
	// stop writing before that handle ends.
	Data []byte

	cache    *Cache
	refs     atomic.Int32
	used     atomic.Bool // since the hand of the shard's clock passed
	verified atomic.Bool
	index    int // in shard.ring; the shard's mu

	load   sync.Mutex // held by who reads the block while loaded is false
	loaded atomic.Bool
	err    error // of reading; written before load is unlocked

	mu sync.Mutex // cur and cp change under it
	// cur is the entry of the newest transaction, running or committing, that
	// has changed the block; nil: none.
	cur atomic.Pointer[entry]
	// cp is the newest committed transaction with the block in the log, when
	// that state has not been written to its place; nil: written.
	cp atomic.Pointer[transaction]
}

// Release ends the caller's use of the buffer.
func (b *Buffer) Release() {
	if b.refs.Add(-1) < 0 {
		panic("jbd2: a buffer was released more often than got")
	}
}

// Verified reports whether SetVerified was called since the block was read
// from the device: checksums need to be checked only once. A buffer from
// Handle.Create is verified from the start.
func (b *Buffer) Verified() bool { return b.verified.Load() }

// SetVerified notes that the caller has found the content in order.
func (b *Buffer) SetVerified() { b.verified.Store(true) }

// clean reports whether the device has the block as it is in memory.
func (b *Buffer) clean() bool {
	return b.cur.Load() == nil && b.cp.Load() == nil && b.loaded.Load()
}

// A Cache holds metadata blocks of one file system. All methods may be called
// by many goroutines at once.
type Cache struct {
	dev    block.Device
	size   int // of a block, bytes
	blocks uint64
	limit  int64 // buffers
	count  atomic.Int64
	shards [shardCount]shard

	pressure atomic.Pointer[func()] // called when dirty buffers alone pass the limit
	// writing is held while a checkpoint's writes are in flight: who makes a block
	// reusable for other content takes it so that no old write comes after.
	writing sync.Mutex
}

const shardCount = 16

// evictSteps is how many buffers are looked at to make room for one.
const evictSteps = 64

type shard struct {
	mu   sync.Mutex
	m    map[uint64]*Buffer
	ring []*Buffer // the buffers of m in the order of the clock's hand
	hand int
	_    [16]byte // two shards do not share a cache line
}

// NewCache returns an empty cache of the blocks 0 to blocks-1, each blockSize
// bytes (a power of two, not below the device's logical block). It keeps up to
// limit bytes, and more when that many are dirty or referenced.
func NewCache(dev block.Device, blockSize int, blocks uint64, limit int64) *Cache {
	c := &Cache{dev: dev, size: blockSize, blocks: blocks, limit: max(limit/int64(blockSize), shardCount)}
	for i := range c.shards {
		c.shards[i].m = make(map[uint64]*Buffer)
	}
	return c
}

// BlockSize returns the size of a block, bytes.
func (c *Cache) BlockSize() int { return c.size }

// Device returns the file system's device.
func (c *Cache) Device() block.Device { return c.dev }

func (c *Cache) shard(n uint64) *shard { return &c.shards[(n^n>>4^n>>11)%shardCount] }

// Get returns the buffer of a block with a reference for the caller, and reads
// it if it is not in memory. Errors: EUCLEAN for a number past the file
// system's end, else what the device says (EIO).
func (c *Cache) Get(n uint64) (*Buffer, error) {
	b, fresh, err := c.reference(n)
	if err != nil {
		return nil, err
	}
	if fresh {
		b.finish(block.ReadAt(c.dev, b.Data, int64(n)*int64(c.size)))
	}
	if !b.loaded.Load() {
		if err := b.wait(); err != nil {
			b.Release()
			return nil, err
		}
	}
	return b, nil
}

// Prefetch starts to read those of the blocks n to n+count-1 (1 MiB at most)
// that are not in memory, and does not wait. Errors are found by a later Get.
func (c *Cache) Prefetch(n uint64, count int) {
	if n >= c.blocks {
		return
	}
	count = int(min(uint64(count), c.blocks-n, maxBatch/uint64(c.size)))
	for count > 0 {
		var run []*Buffer
		var parts [][]byte
		for ; count > 0; n, count = n+1, count-1 {
			b, fresh, _ := c.reference(n)
			if !fresh {
				b.Release()
				if len(run) > 0 {
					break
				}
				continue
			}
			run, parts = append(run, b), append(parts, b.Data)
		}
		if len(run) > 0 {
			c.dev.Submit(&block.Request{
				Op: block.Read, Off: int64(run[0].Block) * int64(c.size), Parts: parts,
				Done: func(_ *block.Request, err error) {
					for _, b := range run {
						b.finish(err)
						b.Release()
					}
				},
			})
		}
	}
}

// Shrink gives up to n bytes of clean buffers that nobody references back to
// the garbage collector and returns how many bytes it was. If there are too few
// it asks for a checkpoint. It takes locks: it is not for the memory allocator.
func (c *Cache) Shrink(n int64) int64 {
	var freed int64
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for freed < n && c.evictOne(s, 2*len(s.ring)) {
			freed += int64(c.size)
		}
		s.mu.Unlock()
	}
	if freed < n {
		c.press()
	}
	return freed
}

// Cached returns how many buffers are in memory, and how many of them have a
// reference now (zero when no operation runs: others were not released).
func (c *Cache) Cached() (buffers, referenced int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		buffers += len(s.ring)
		for _, b := range s.ring {
			if b.refs.Load() > 0 {
				referenced++
			}
		}
		s.mu.Unlock()
	}
	return buffers, referenced
}

// reference finds or makes the buffer of a block and takes a reference. Of a
// fresh one load is locked, and the caller must finish it.
func (c *Cache) reference(n uint64) (b *Buffer, fresh bool, err error) {
	if n >= c.blocks {
		return nil, false, syscall.EUCLEAN
	}
	s := c.shard(n)
	s.mu.Lock()
	if b = s.m[n]; b != nil {
		b.refs.Add(1)
		if !b.used.Load() {
			b.used.Store(true)
		}
		s.mu.Unlock()
		return b, false, nil
	}
	b = &Buffer{Block: n, Data: make([]byte, c.size), cache: c, index: len(s.ring)}
	b.refs.Store(1)
	b.load.Lock()
	s.m[n] = b
	s.ring = append(s.ring, b)
	full := false
	if c.count.Add(1) > c.limit {
		// Two for one: so the cache gets back to its limit after a time of many dirty ones.
		full = !c.evictOne(s, evictSteps) || c.count.Load() > c.limit && !c.evictOne(s, evictSteps)
	}
	s.mu.Unlock()
	if full {
		c.press()
	}
	return b, true, nil
}

// peek returns the buffer of a block if there is one, without a reference.
func (c *Cache) peek(n uint64) *Buffer {
	s := c.shard(n)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m[n]
}

// wait waits until somebody else has read the block.
func (b *Buffer) wait() error {
	b.load.Lock()
	defer b.load.Unlock()
	return b.err
}

// finish ends the reading of a fresh buffer.
func (b *Buffer) finish(err error) {
	if err != nil {
		b.err = err
		b.cache.remove(b)
	} else {
		b.loaded.Store(true)
	}
	b.load.Unlock()
}

// evictOne takes one clean buffer without references out of the shard after a
// look at so many at most. The caller holds s.mu.
func (c *Cache) evictOne(s *shard, steps int) bool {
	for range min(steps, 2*len(s.ring)) {
		if s.hand >= len(s.ring) {
			s.hand = 0
		}
		b := s.ring[s.hand]
		if b.refs.Load() == 0 && b.clean() && !b.used.Swap(false) {
			c.unlink(s, b)
			return true
		}
		s.hand++
	}
	return false
}

// remove takes a buffer out of the cache whatever its state.
func (c *Cache) remove(b *Buffer) {
	s := c.shard(b.Block)
	s.mu.Lock()
	if s.m[b.Block] == b {
		c.unlink(s, b)
	}
	s.mu.Unlock()
}

// unlink takes a buffer out of the shard, whose mu the caller holds.
func (c *Cache) unlink(s *shard, b *Buffer) {
	delete(s.m, b.Block)
	last := len(s.ring) - 1
	s.ring[b.index] = s.ring[last]
	s.ring[b.index].index = b.index
	s.ring[last] = nil
	s.ring = s.ring[:last]
	c.count.Add(-1)
}

// drop takes all buffers out of the cache.
func (c *Cache) drop() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		c.count.Add(-int64(len(s.ring)))
		clear(s.m)
		clear(s.ring)
		s.ring, s.hand = s.ring[:0], 0
		s.mu.Unlock()
	}
}

func (c *Cache) press() {
	if f := c.pressure.Load(); f != nil {
		(*f)()
	}
}
