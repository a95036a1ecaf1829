// Server is what the benchmarks of the network talk to, an ordinary program on net and net/http. It
// prints "ready" when it listens.
//
//	port 80    HTTP: 512 bytes for /, the end of the program for /exit; see marks.go for /mark
//	port 81    takes bytes until the client has no more, then says how many in eight bytes
//	port 82    sends as many bytes as the client's first eight say
//	port 83    sends back what it gets
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
)

func main() {
	body := make([]byte, 512)
	for i := range body {
		body[i] = byte('a' + i%26)
	}
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.Write(body) })
	http.HandleFunc("/exit", func(http.ResponseWriter, *http.Request) { os.Exit(0) })
	http.HandleFunc("/mark", mark)
	for port, serve := range map[int]func(net.Conn){81: sink, 82: source, 83: echo} {
		go accept(listen(port), serve)
	}
	l := listen(80)
	fmt.Println("ready")
	var server http.Server
	if len(os.Args) > 1 && os.Args[1] == "first" {
		server.ConnState = first
	}
	fail(server.Serve(l))
}

func fail(err error) {
	fmt.Println("server:", err)
	os.Exit(1)
}

func listen(port int) net.Listener {
	l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		fail(err)
	}
	return l
}

func accept(l net.Listener, serve func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			fail(err)
		}
		go func() {
			defer c.Close()
			serve(c)
		}()
	}
}

const block = 64 << 10

func sink(c net.Conn) {
	var total uint64
	buf := make([]byte, block)
	for {
		n, err := c.Read(buf)
		total += uint64(n)
		if err == io.EOF {
			c.Write(binary.BigEndian.AppendUint64(nil, total))
			return
		}
		if err != nil {
			return
		}
	}
}

func source(c net.Conn) {
	var size [8]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return
	}
	buf := make([]byte, block)
	for left := binary.BigEndian.Uint64(size[:]); left > 0; {
		n, err := c.Write(buf[:min(left, block)])
		if err != nil {
			return
		}
		left -= uint64(n)
	}
}

func echo(c net.Conn) {
	buf := make([]byte, 1)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}
