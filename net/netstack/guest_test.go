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
	if s.tcp == nil {
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

// TestAcknowledgementsAreInTime: neither more segments of the connection nor a busy other one put an
// acknowledgement off.
func TestAcknowledgementsAreInTime(t *testing.T) {
	ca, cb := newCard(1, everything).usePairs(1), newCard(2, everything).usePairs(1)
	join(t, ca, cb, nil)
	a, b := newNode(t, ca, Options{}), newNode(t, cb, Options{})
	onlyEdited(t, a.Stack)
	atOnce := tcpip.TCPDelayEnabled(false) // each write is a segment
	require.Nil(t, a.SetTransportProtocolOption(tcp.ProtocolNumber, &atOnce))
	unprobed := tcpip.TCPRecovery(0) // nothing is sent again before the retransmission timeout
	require.Nil(t, a.SetTransportProtocolOption(tcp.ProtocolNumber, &unprobed))
	address := serve(t, b, func(c *gonet.TCPConn) { // answers all but zeros
		for p := make([]byte, 1); ; {
			if _, err := c.Read(p); err != nil {
				return
			}
			if p[0] != 0 {
				c.Write(p)
			}
		}
	})
	var p [1]byte
	exchange := func(c *gonet.TCPConn) {
		_, err := c.Write([]byte{1})
		require.NoError(t, err)
		_, err = io.ReadFull(c, p[:])
		require.NoError(t, err)
	}
	dial := func() *gonet.TCPConn {
		c, err := gonet.DialTCP(a.Stack.Stack, address, ipv4.ProtocolNumber)
		require.NoError(t, err)
		t.Cleanup(func() { c.Close() })
		exchange(c)
		return c
	}
	busy, silent := dial(), dial()
	before, resent := b.link.Statistics().TxPackets, a.Stats().TCP.Retransmits.Value()
	const exchanges = 100
	for i := range exchanges {
		exchange(busy)
		if i < exchanges/2 {
			_, err := silent.Write([]byte{0})
			require.NoError(t, err)
		}
		time.Sleep(4 * time.Millisecond)
	}
	acknowledgements := int(b.link.Statistics().TxPackets-before) - exchanges
	assert.GreaterOrEqual(t, acknowledgements, 3)
	assert.LessOrEqual(t, acknowledgements, exchanges/4)
	assert.Equal(t, resent, a.Stats().TCP.Retransmits.Value())
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
