package netstack

import (
	"crypto/rand"
	"io"
	"sync"
)

// random hands out bytes of a source that is expensive to ask for few.
type random struct {
	source io.Reader

	mu   sync.Mutex
	left []byte // not handed out, at the end of data
	data [256]byte
}

func newRandom(source io.Reader) *random {
	if source == nil {
		source = rand.Reader
	}
	return &random{source: source}
}

// Read fills p.
func (r *random) Read(p []byte) (int, error) {
	if len(p) > len(r.data)/4 {
		return io.ReadFull(r.source, p)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.left) < len(p) {
		if _, err := io.ReadFull(r.source, r.data[:]); err != nil {
			return 0, err
		}
		r.left = r.data[:]
	}
	n := copy(p, r.left)
	clear(r.left[:n]) // what was a key is in no other place
	r.left = r.left[n:]
	return n, nil
}
