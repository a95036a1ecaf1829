package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"

	"github.com/coder/websocket"
)

func handlers() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s from %s\n", r.Proto, runtime.GOOS)
	})
	mux.HandleFunc("GET /peer", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, r.RemoteAddr) })
	mux.HandleFunc("GET /download", download)
	mux.HandleFunc("POST /upload", upload)
	mux.HandleFunc("GET /websocket", webSocket)
	mux.HandleFunc("GET /status", status)
	mux.HandleFunc("GET /call", func(w http.ResponseWriter, r *http.Request) {
		text, err := call(r.FormValue("name"), r.FormValue("argument"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		io.WriteString(w, text)
	})
	mux.HandleFunc("POST /exit", func(http.ResponseWriter, *http.Request) { os.Exit(0) })
	return mux
}

// download sends size bytes that the seed 0 makes.
func download(w http.ResponseWriter, r *http.Request) {
	size, err := strconv.ParseInt(r.FormValue("size"), 10, 64)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	io.CopyN(w, rand.NewChaCha8([32]byte{}), size) // fails when the client has gone
}

func upload(w http.ResponseWriter, r *http.Request) {
	sum := sha256.New()
	n, err := io.Copy(sum, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%d %x\n", n, sum.Sum(nil))
}

// webSocket sends messages back.
func webSocket(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	c.SetReadLimit(-1)
	for {
		kind, message, err := c.Read(r.Context())
		if err != nil {
			return
		}
		if err := c.Write(r.Context(), kind, message); err != nil {
			return
		}
	}
}

// A Status is what /status tells of the program, after a collection.
type Status struct {
	Goroutines  int
	Descriptors int    // open files
	Heap        uint64 // bytes in use
	FreeMemory  uint64 // of the machine
}

func status(w http.ResponseWriter, _ *http.Request) {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s := Status{Goroutines: runtime.NumGoroutine(), Heap: m.HeapAlloc}
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.Descriptors = len(files) - 1 // the directory's own
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.FreeMemory = info.Freeram * uint64(info.Unit)
	json.NewEncoder(w).Encode(s)
}
