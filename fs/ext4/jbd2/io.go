package jbd2

import (
	"sync"

	"github.com/goshawk-os/goshawk/fs/block"
)

// maxBatch is how many bytes are read or written at once.
const maxBatch = 1 << 20

// requests are in flight at a time.
type requests struct {
	wg  sync.WaitGroup
	mu  sync.Mutex
	err error
}

// submit starts one request of one part.
func (g *requests) submit(dev block.Device, op block.Op, off int64, p []byte) {
	g.wg.Add(1)
	dev.Submit(&block.Request{Op: op, Off: off, Parts: [][]byte{p}, Done: func(_ *block.Request, err error) {
		if err != nil {
			g.mu.Lock()
			g.err = err
			g.mu.Unlock()
		}
		g.wg.Done()
	}})
}

// wait waits for all requests and returns an error if one failed.
func (g *requests) wait() error {
	g.wg.Wait()
	return g.err
}

// writeBlocks writes blocks of the file system, in ascending order, whose
// contents follow each other in buf, with few requests, and waits.
func (c *Cache) writeBlocks(blocks []uint64, buf []byte) error {
	var g requests
	for i := 0; i < len(blocks); {
		n := i + 1
		for n < len(blocks) && blocks[n] == blocks[n-1]+1 {
			n++
		}
		g.submit(c.dev, block.Write, int64(blocks[i])*int64(c.size), buf[i*c.size:n*c.size])
		i = n
	}
	return g.wait()
}

// zero writes zeroes.
func zero(dev block.Device, off, n int64) error {
	return block.Do(dev, &block.Request{Op: block.WriteZeroes, Off: off, Length: n})
}
