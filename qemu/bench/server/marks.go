package main

import (
	"net"
	"net/http"
	"sync"
)

// Functions whose first execution QEMU's plugin sees: each is called once in a run.

//go:noinline
func markServed() {}

//go:noinline
func markBegin() {}

//go:noinline
func markEnd() {}

var served sync.Once

// first notes that the first response has been sent.
func first(_ net.Conn, s http.ConnState) {
	if s == http.StateIdle {
		served.Do(markServed)
	}
}

// mark brackets what is counted: /mark?begin and /mark?end.
func mark(_ http.ResponseWriter, r *http.Request) {
	switch r.URL.RawQuery {
	case "begin":
		markBegin()
	case "end":
		markEnd()
	}
}
