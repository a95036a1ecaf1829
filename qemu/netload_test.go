package qemu_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/qemu"
	"github.com/goshawk-os/goshawk/qemu/relay"
)

// request asks for a page on an open connection.
func request(c net.Conn, path string) (string, error) {
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: guest\r\n\r\n", path); err != nil {
		return "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

// TestNetConnections has 1,000 connections open at once, each of which is served.
func TestNetConnections(t *testing.T) {
	const count = 1000
	n, peer := onWire(t, relay.Faults{})
	before := n.measure()
	connections := make([]net.Conn, count)
	each := func(do func(i int) error) {
		t.Helper()
		var wg sync.WaitGroup
		errs := make([]error, count)
		for i := range count {
			wg.Go(func() { errs[i] = do(i) })
		}
		wg.Wait()
		for i, err := range errs {
			require.NoError(t, err, "connection %d", i)
		}
	}
	each(func(i int) (err error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		connections[i], err = peer.DialContext(ctx, "tcp", guestAddr+":80")
		return err
	})
	for range 3 {
		each(func(i int) error {
			text, err := request(connections[i], "/")
			if err == nil && text != "HTTP/1.1 from linux\n" {
				err = fmt.Errorf("it says %q", text)
			}
			return err
		})
	}
	assert.GreaterOrEqual(t, n.measure().Descriptors, count)
	each(func(i int) error { return connections[i].Close() })
	n.settles(before)
}

// TestNetSequential makes 10,000 connections one after the other, which leave nothing behind.
func TestNetSequential(t *testing.T) {
	const count = 10000
	n, peer := onWire(t, relay.Faults{})
	before := n.measure()
	for i := range count {
		c, err := peer.DialContext(t.Context(), "tcp", guestAddr+":80")
		require.NoError(t, err, "connection %d", i)
		text, err := request(c, "/")
		require.NoError(t, err, "connection %d", i)
		require.Equal(t, "HTTP/1.1 from linux\n", text)
		require.NoError(t, c.Close())
	}
	n.settles(before)
}

// twoHosts boots the server on a wire with a peer, and returns the peer's end to send more frames by.
func twoHosts(t *testing.T) (*netd, relay.End) {
	t.Helper()
	nic, accept := newWire(t)
	nic.Config = wireConfig
	n := startServer(t, qemu.Network(nic))
	end := accept()
	peer := newPeer(t, end)
	n.url = "http://" + guestAddr
	n.client = http.Client{Transport: &http.Transport{DialContext: peer.DialContext}, Timeout: time.Minute}
	t.Cleanup(n.client.CloseIdleConnections)
	return n, end
}

var target = relay.Target{MAC: guestMAC, Addr: netip.MustParseAddr(guestAddr), Port: 80}

// TestNetGarbage: frames that are wrong in all ways cost nothing but time.
func TestNetGarbage(t *testing.T) {
	t.Parallel() // it waits much
	n, end := twoHosts(t)
	before := n.measure()
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 10 {
		for range 10000 {
			require.NoError(t, end.WriteFrame(target.Garbage(rng)))
		}
		require.Equal(t, "HTTP/1.1 from linux\n", n.get("/"), "after round %d", round)
	}
	n.settles(before)
}

// TestNetFlood: 100,000 connections that nobody means, while others are served.
func TestNetFlood(t *testing.T) {
	t.Parallel() // it waits much
	n, end := twoHosts(t)
	before := n.measure()
	flooded := make(chan error, 1)
	go func() { flooded <- relay.Flood(end, target, 100000, 3) }()
	served := 0
	for done := false; !done; {
		select {
		case err := <-flooded:
			require.NoError(t, err)
			done = true
		default:
		}
		n.client.CloseIdleConnections() // each request on a connection of its own
		require.Equal(t, "HTTP/1.1 from linux\n", n.get("/"))
		served++
	}
	t.Logf("served meanwhile: %d", served)
	n.settles(before)
}

// TestNetSlowReaders: clients that ask for much and read nothing hold up nobody, and what waits for
// them is bounded.
func TestNetSlowReaders(t *testing.T) {
	const count = 200
	n, peer := onWire(t, relay.Faults{})
	before := n.measure()
	var slow []net.Conn
	for range count {
		c, err := peer.DialContext(t.Context(), "tcp", guestAddr+":80")
		require.NoError(t, err)
		_, err = io.WriteString(c, "GET /download?size=1000000000 HTTP/1.1\r\nHost: guest\r\n\r\n")
		require.NoError(t, err)
		slow = append(slow, c)
	}
	time.Sleep(2 * time.Second)
	start := time.Now()
	for range 100 {
		require.Equal(t, "HTTP/1.1 from linux\n", n.get("/"))
	}
	assert.Less(t, time.Since(start), 20*time.Second)
	during := n.measure()
	each := (int64(before.FreeMemory) - int64(during.FreeMemory)) / count
	t.Logf("memory taken for each: %d KiB", each>>10)
	assert.Less(t, each, int64(qemu.DefaultMemory)/256, "more than a connection's buffer may grow to")
	for _, c := range slow {
		c.Close()
	}
	n.settles(before)
}
