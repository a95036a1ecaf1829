package qemu

import (
	"net/netip"
	"strings"
	"sync"
)

// reports takes apart what the guest writes to its debug port (docs/design.md section 8): lines about
// what goes on, and as the last one the exit status.
type reports struct {
	listening func(network string, addr netip.AddrPort) // may be nil

	mu    sync.Mutex
	line  []byte // the beginning of a line
	last  string // the last line that is no other report
	ended bool   // there is one
}

// maxReport is how long a line can be. What is longer is cut: a guest that writes at random must not
// fill the memory.
const maxReport = 256

func (r *reports) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range b {
		switch {
		case c == '\n':
			r.take(string(r.line))
			r.line = r.line[:0]
		case len(r.line) < maxReport:
			r.line = append(r.line, c)
		}
	}
	return len(b), nil
}

func (r *reports) take(line string) {
	rest, ok := strings.CutPrefix(line, "listen ")
	if network, text, found := strings.Cut(rest, " "); ok && found {
		if addr, err := netip.ParseAddrPort(text); err == nil {
			if r.listening != nil {
				r.listening(network, addr)
			}
			return
		}
	}
	r.last, r.ended = line, true
}

// status returns the exit status as the guest wrote it.
func (r *reports) status() (text string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last, r.ended && len(r.line) == 0
}
