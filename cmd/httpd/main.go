// Httpd is an HTTP server that shows what the standard library's net/http does in a guest.
//
// Usage:
//
//	httpd [-addr ADDRESS] [-dir DIRECTORY]
//
// Its pages:
//
//	/               what it is and how it does: uptime, requests, memory
//	/files/         the files below DIRECTORY; of the whole machine, if not told otherwise
//	/download?size= so many bytes, pseudo-random and always the same
//	/upload         takes what is sent, and answers with its length and SHA-256
//	/debug/pprof/   profiles of the program and of the kernel below it
package main

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	_ "net/http/pprof"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	started  = time.Now()
	requests atomic.Int64
)

func main() {
	addr := flag.String("addr", ":80", "listen at this `address`")
	dir := flag.String("dir", "/", "serve the files of this `directory` below /files/")
	flag.Parse()

	http.HandleFunc("GET /{$}", home)
	http.Handle("GET /files/", http.StripPrefix("/files", http.FileServer(http.Dir(*dir))))
	http.HandleFunc("GET /download", download)
	http.HandleFunc("POST /upload", upload)
	http.HandleFunc("PUT /upload", upload)
	server := &http.Server{
		Addr: *addr,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			http.DefaultServeMux.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	interrupted, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-interrupted.Done()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		server.Shutdown(ctx)
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		fmt.Fprintln(os.Stderr, "httpd:", err)
		os.Exit(1)
	}
	<-stopped
}

const homePage = `<!DOCTYPE html>
<meta charset="utf-8">
<title>Goshawk</title>
<style>body { font: 16px/1.5 sans-serif; max-width: 40em; margin: 3em auto } td { padding-right: 2em }</style>
<h1>Hello from %s</h1>
<p>This is net/http in a Go program with no operating system underneath.
<table>
<tr><td>Go<td>%s %s/%s
<tr><td>CPUs<td>%d
<tr><td>Up for<td>%v
<tr><td>Requests<td>%d
<tr><td>Goroutines<td>%d
<tr><td>Memory of the Go heap<td>%.1f MiB of %.1f MiB
<tr><td>You are<td>%s
</table>
<p><a href="/files/">Files</a>, <a href="/debug/pprof/">profiles</a>, <a href="/download?size=1000000">a million bytes</a>
`

func home(w http.ResponseWriter, r *http.Request) {
	const mib = 1 << 20
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	name, _ := os.Hostname() // "" if there is none
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, homePage, name, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(),
		time.Since(started).Round(time.Millisecond), requests.Load(), runtime.NumGoroutine(),
		float64(m.HeapAlloc)/mib, float64(m.Sys)/mib, r.RemoteAddr)
}

// download sends bytes that a seed makes, so that both ends can tell whether they are right.
func download(w http.ResponseWriter, r *http.Request) {
	size, err := strconv.ParseInt(r.FormValue("size"), 10, 64)
	if err != nil || size < 0 {
		http.Error(w, "write /download?size=BYTES", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	io.CopyN(w, rand.NewChaCha8([32]byte{}), size) // fails when the client has gone
}

func upload(w http.ResponseWriter, r *http.Request) {
	sum := sha256.New()
	size, err := io.Copy(sum, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%d %x\n", size, sum.Sum(nil))
}
