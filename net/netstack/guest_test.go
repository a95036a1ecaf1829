package netstack

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// onlyEdited skips a test of what the guest's gVisor does better. TestEditedStack of package goos runs it.
func onlyEdited(t *testing.T, s *Stack) {
	if s.inline == nil {
		t.Skip("gVisor is not the one of the guest; for that: go test ./goos -run TestEditedStack")
	}
}

// serve answers connections to n's port 80 by f until the test ends.
func serve(t *testing.T, n *node, f func(c *gonet.TCPConn)) tcpip.FullAddress {
	address := tcpip.FullAddress{Addr: n.ip4, Port: 80}
	l, err := gonet.ListenTCP(n.Stack.Stack, address, ipv4.ProtocolNumber)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go f(c.(*gonet.TCPConn))
		}
	}()
	return address
}

func TestAcknowledgementsTravelWithData(t *testing.T) {
	ca, cb := newCard(1, everything).usePairs(1), newCard(2, everything).usePairs(1)
	join(t, ca, cb, nil)
	a, b := newNode(t, ca, Options{}), newNode(t, cb, Options{})
	onlyEdited(t, a.Stack)
	c, err := gonet.DialTCP(a.Stack.Stack, serve(t, b, func(c *gonet.TCPConn) { io.Copy(c, c) }), ipv4.ProtocolNumber)
	require.NoError(t, err)
	defer c.Close()
	const exchanges = 200
	var p [100]byte
	before := b.link.Statistics()
	for range exchanges {
		_, err := c.Write(p[:])
		require.NoError(t, err)
		_, err = io.ReadFull(c, p[:])
		require.NoError(t, err)
	}
	after := b.link.Statistics()
	assert.InDelta(t, exchanges, after.TxPackets-before.TxPackets, exchanges/4)
	assert.InDelta(t, exchanges, after.RxPackets-before.RxPackets, exchanges/4)

	// What is not answered is acknowledged all the same.
	sent := b.Stats().TCP.SegmentsSent.Value()
	silent, err := gonet.DialTCP(a.Stack.Stack, tcpip.FullAddress{Addr: b.ip4, Port: 80}, ipv4.ProtocolNumber)
	require.NoError(t, err)
	defer silent.Close()
	_, err = silent.Write(p[:1])
	require.NoError(t, err)
	assert.Eventually(t, func() bool { return b.Stats().TCP.SegmentsSent.Value() > sent+1 }, time.Second, time.Millisecond)
}

func TestTimeWaitIsBounded(t *testing.T) {
	ca, cb := newCard(1, Offloads{}).usePairs(1), newCard(2, Offloads{}).usePairs(1)
	join(t, ca, cb, nil)
	a, b := newNode(t, ca, Options{}), newNode(t, cb, Options{Memory: 1 << 20})
	onlyEdited(t, a.Stack)
	address := serve(t, b, func(c *gonet.TCPConn) { c.Close() })
	limit := timeWaitLimit(1 << 20)
	for range limit + 100 {
		c, err := gonet.DialTCP(a.Stack.Stack, address, ipv4.ProtocolNumber)
		require.NoError(t, err)
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		require.NoError(t, c.Close())
	}
	assert.Eventually(t, func() bool {
		n := 0
		for _, e := range b.RegisteredEndpoints() {
			if e, ok := e.(*tcp.Endpoint); ok && e.EndpointState() == tcp.StateTimeWait {
				n++
			}
		}
		return n == limit
	}, 5*time.Second, 10*time.Millisecond)
}

func TestErrorQueueIsBounded(t *testing.T) {
	s := New(Options{})
	t.Cleanup(s.Destroy)
	onlyEdited(t, s)
	var o tcpip.SocketOptions
	for range 1000 {
		o.QueueErr(&tcpip.SockError{})
	}
	queued := 0
	for o.DequeueErr() != nil {
		queued++
	}
	assert.Equal(t, 64, queued)
}
