// Netd is the server of the network's tests, an ordinary program on package net.
//
// Usage: netd [server | call CALL [ARGUMENT]]
//
// The server prints "ready" when it listens: HTTP on port 80; HTTPS on port 443 if the environment
// has CERT and KEY, in PEM; on port 7 what sends back what it gets, by TCP and by UDP. What it does
// for HTTP is in handlers. A call is one of calls, whose result it prints: what the server does for
// /call?name=CALL&argument=ARGUMENT.
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == "call" {
		text, err := call(os.Args[2], append(os.Args, "")[3])
		if err != nil {
			fail(err)
		}
		fmt.Print(text)
		return
	}
	go echoStreams(must(net.Listen("tcp", ":7")))
	go echoPackets(must(net.ListenPacket("udp", ":7")))
	handler := handlers()
	if cert, key := os.Getenv("CERT"), os.Getenv("KEY"); cert != "" {
		pair := must(tls.X509KeyPair([]byte(cert), []byte(key)))
		server := http.Server{Handler: handler, TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}}}
		l := must(net.Listen("tcp", ":443"))
		go func() { fail(server.ServeTLS(l, "", "")) }()
	}
	l := must(net.Listen("tcp", ":80"))
	fmt.Println("ready")
	fail(http.Serve(l, handler))
}

func fail(err error) {
	fmt.Println("netd:", err)
	os.Exit(1)
}

func must[T any](v T, err error) T {
	if err != nil {
		fail(err)
	}
	return v
}

func echoStreams(l net.Listener) {
	for {
		c := must(l.Accept())
		go func() {
			defer c.Close()
			io.Copy(c, c)
		}()
	}
}

func echoPackets(c net.PacketConn) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := c.ReadFrom(buf)
		if err == nil {
			_, err = c.WriteTo(buf[:n], from)
		}
		if err != nil { // a peer that is gone is reported here too
			fmt.Println("netd: udp:", err)
		}
	}
}
