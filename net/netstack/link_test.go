package netstack

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// node is a stack with one card.
type node struct {
	*Stack
	card *card
	link *Link
	ip4  tcpip.Address
	ip6  tcpip.Address
}

func newNode(t testing.TB, c *card, o Options) *node {
	s := New(o)
	n := &node{Stack: s, card: c}
	l, err := s.AddLink("eth0", c)
	require.NoError(t, err)
	n.link = l
	last := c.mac[5]
	n.ip4 = tcpip.AddrFrom4([4]byte{10, 0, 0, last})
	n.ip6 = tcpip.AddrFrom16([16]byte{0: 0xfd, 15: last})
	ip6, failed := s.GetNetworkEndpoint(2, ipv6.ProtocolNumber)
	require.Nil(t, failed)
	ip6.(stack.DuplicateAddressDetector).SetDADConfigurations(stack.DADConfigurations{}) // usable at once
	for _, a := range []tcpip.ProtocolAddress{
		{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: tcpip.AddressWithPrefix{Address: n.ip4, PrefixLen: 24}},
		{Protocol: ipv6.ProtocolNumber, AddressWithPrefix: tcpip.AddressWithPrefix{Address: n.ip6, PrefixLen: 64}},
	} {
		require.Nil(t, s.AddProtocolAddress(2, a, stack.AddressProperties{}))
		s.AddRoute(tcpip.Route{Destination: a.AddressWithPrefix.Subnet(), NIC: 2})
	}
	t.Cleanup(func() {
		c.fail()
		assert.Eventually(t, func() bool { return !l.Up() }, 5*time.Second, time.Millisecond)
		s.Close()
		s.Wait()
	})
	return n
}

// join connects two cards: what one sends the other receives, as its offloads allow.
func join(t testing.TB, a, b *card, change func(frame []byte) [][]byte) {
	wire := func(to *card) func(c *card, pair int, data []byte, o Offload) {
		return func(c *card, pair int, data []byte, o Offload) {
			frames := carry(t, c, data, o)
			for _, f := range frames {
				out := [][]byte{f}
				if change != nil {
					out = change(f)
				}
				for _, f := range out {
					o := Offload{}
					if to.offloads.ReceiveChecksum && change == nil {
						o.Checksum = ChecksumValid
					}
					to.receive(pair%len(to.pairs), f, o)
				}
			}
		}
	}
	a.wire, b.wire = wire(b), wire(a)
}

var everything = Offloads{SendChecksum: true, SendTSO4: true, SendTSO6: true, ReceiveChecksum: true, ReceiveTSO: true}

// transfer sends data over a TCP connection to server and back, and compares.
func transfer(t testing.TB, client, server *node, address tcpip.Address, proto tcpip.NetworkProtocolNumber, size int) {
	to := tcpip.FullAddress{Addr: address, Port: 80}
	var l *gonet.TCPListener
	require.Eventually(t, func() (ok bool) { // when duplicate address detection has ended
		var err error
		l, err = gonet.ListenTCP(server.Stack.Stack, to, proto)
		return err == nil
	}, 5*time.Second, 10*time.Millisecond)
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		if data, err := io.ReadAll(c); err == nil {
			c.Write(data)
		}
	}()
	c, err := gonet.DialTCP(client.Stack.Stack, to, proto)
	require.NoError(t, err)
	defer c.Close()
	data := make([]byte, size)
	rand.New(rand.NewSource(1)).Read(data)
	go func() {
		for rest := data; len(rest) > 0; {
			n := min(len(rest), 100_000)
			if _, err := c.Write(rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
		}
		c.CloseWrite()
	}()
	c.SetReadDeadline(time.Now().Add(time.Minute))
	h := sha256.New()
	n, err := io.Copy(h, c)
	require.NoError(t, err)
	assert.Equal(t, int64(size), n)
	want := sha256.Sum256(data)
	assert.Equal(t, want[:], h.Sum(nil))
}

func TestOffloads(t *testing.T) {
	some := func(f func(o *Offloads)) Offloads { o := everything; f(&o); return o }
	matrix := map[string]Offloads{
		"nothing":             {},
		"everything":          everything,
		"no receive offloads": some(func(o *Offloads) { o.ReceiveTSO, o.ReceiveChecksum = false, false }),
		"checksums only":      {SendChecksum: true, ReceiveChecksum: true},
		"TSO4 only":           some(func(o *Offloads) { o.SendTSO6 = false }),
		"receive only":        {ReceiveChecksum: true, ReceiveTSO: true},
	}
	for name, offloads := range matrix {
		for _, pairs := range []int{1, 3} {
			t.Run(fmt.Sprint(name, ", pairs: ", pairs), func(t *testing.T) {
				ca, cb := newCard(1, offloads).usePairs(pairs), newCard(2, offloads).usePairs(pairs)
				join(t, ca, cb, nil)
				a, b := newNode(t, ca, Options{}), newNode(t, cb, Options{})
				transfer(t, a, b, b.ip4, header.IPv4ProtocolNumber, 1<<20)
				transfer(t, a, b, b.ip6, header.IPv6ProtocolNumber, 1<<20)
				st := b.link.Statistics()
				assert.Greater(t, st.RxBytes, uint64(2<<20))
				assert.Greater(t, st.TxBytes, uint64(2<<20))
			})
		}
	}
}

func TestLoopback(t *testing.T) {
	s := New(Options{})
	defer s.Close()
	n := &node{Stack: s}
	transfer(t, n, n, header.IPv4Loopback, header.IPv4ProtocolNumber, 1<<20)
	transfer(t, n, n, header.IPv6Loopback, header.IPv6ProtocolNumber, 1<<20)
	lo := s.LinkByName("lo")
	assert.Same(t, lo, s.Link(1))
	assert.Equal(t, uint32(IFF_UP|IFF_LOOPBACK|IFF_RUNNING|IFF_LOWER_UP), lo.Flags())
	st := lo.Statistics()
	assert.Equal(t, st.RxBytes, st.TxBytes)
	assert.Greater(t, st.RxBytes, uint64(4<<20))
}

var _ net.Conn = (*gonet.TCPConn)(nil)

// TestLoopbackIsQuiet waits for longer than a host waits before it asks for routers (RFC 4861, section 6.3.7).
func TestLoopbackIsQuiet(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	t.Cleanup(s.Destroy)
	time.Sleep(1100 * time.Millisecond)
	assert.Zero(t, s.Stats().ICMP.V6.PacketsSent.RouterSolicit.Value())
	assert.NoError(t, s.Link(Loopback).SetPromiscuous(true))
}
