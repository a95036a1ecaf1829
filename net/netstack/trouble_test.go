package netstack

import (
	"bytes"
	"math/rand"
	"sync"
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

// TestBadWire moves data over a wire that loses, repeats, reorders and damages frames.
func TestBadWire(t *testing.T) {
	for name, offloads := range map[string]Offloads{"no offloads": {}, "everything": everything} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			random := rand.New(rand.NewSource(7))
			var late []byte
			ca, cb := newCard(1, offloads), newCard(2, offloads)
			join(t, ca.usePairs(1), cb.usePairs(1), func(f []byte) (frames [][]byte) {
				mu.Lock()
				defer mu.Unlock()
				switch random.Intn(200) {
				case 0: // lost
				case 1:
					frames = append(frames, f, f)
				case 2, 3:
					if late != nil {
						frames = append(frames, late)
					}
					late = f
				case 4:
					f = bytes.Clone(f)
					f[random.Intn(len(f))] ^= 1 << random.Intn(8)
					frames = append(frames, f)
				default:
					frames = append(frames, f)
				}
				return frames
			})
			a, b := newNode(t, ca, Options{}), newNode(t, cb, Options{})
			// Nothing protects ARP from damage but the checksum of an Ethernet, which is not here.
			neighbour(t, a, b)
			neighbour(t, b, a)
			transfer(t, a, b, b.ip4, header.IPv4ProtocolNumber, 1<<20)
			transfer(t, a, b, b.ip6, header.IPv6ProtocolNumber, 1<<20)
		})
	}
}

// neighbour makes n know the address of peer's card.
func neighbour(t testing.TB, n, peer *node) {
	require.Nil(t, n.AddStaticNeighbor(2, ipv4.ProtocolNumber, peer.ip4, peer.link.MAC()))
	require.Nil(t, n.AddStaticNeighbor(2, ipv6.ProtocolNumber, peer.ip6, peer.link.MAC()))
}

func TestFullQueue(t *testing.T) {
	ca, cb := newCard(1, Offloads{}), newCard(2, Offloads{})
	ca.slots = 8
	join(t, ca.usePairs(1), cb.usePairs(1), nil)
	a, b := newNode(t, ca, Options{}), newNode(t, cb, Options{})
	neighbour(t, a, b)
	to := tcpip.FullAddress{Addr: b.ip4, Port: 53}
	r, err := gonet.DialUDP(b.Stack.Stack, &to, nil, ipv4.ProtocolNumber)
	require.NoError(t, err)
	defer r.Close()
	s, err := gonet.DialUDP(a.Stack.Stack, nil, &to, ipv4.ProtocolNumber)
	require.NoError(t, err)
	defer s.Close()
	time.Sleep(50 * time.Millisecond) // what IPv6 sends has left

	ca.mu.Lock()
	ca.hold = true
	ca.mu.Unlock()
	const sent = 1500
	for i := range sent {
		s.Write([]byte{byte(i >> 8), byte(i)})
	}
	dropped := a.link.Statistics().TxDropped
	assert.InDelta(t, sent-backlogLimit-8, dropped, 8)
	go ca.release()
	for i := range sent - int(dropped) {
		var p [4]byte
		r.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := r.Read(p[:])
		require.NoError(t, err, "datagram %d", i)
		assert.Equal(t, []byte{byte(i >> 8), byte(i)}, p[:n])
	}
	transfer(t, a, b, b.ip4, header.IPv4ProtocolNumber, 1<<20)
}

// TestDeath puts a card out of service in the middle of a transfer.
func TestDeath(t *testing.T) {
	var mu sync.Mutex
	var warnings []string
	o := Options{Warn: func(text string) { mu.Lock(); warnings = append(warnings, text); mu.Unlock() }}
	ca, cb := newCard(1, everything).usePairs(2), newCard(2, everything).usePairs(2)
	join(t, ca, cb, nil)
	a, b := newNode(t, ca, o), newNode(t, cb, Options{})
	changes := make(chan *Link, 10)
	a.WatchLinks(func(l *Link) { changes <- l })

	to := tcpip.FullAddress{Addr: b.ip4, Port: 9}
	l, err := gonet.ListenTCP(b.Stack.Stack, to, ipv4.ProtocolNumber)
	require.NoError(t, err)
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		p := make([]byte, 1<<16)
		for err == nil {
			_, err = c.Read(p)
		}
	}()
	c, err := gonet.DialTCP(a.Stack.Stack, to, ipv4.ProtocolNumber)
	require.NoError(t, err)
	defer c.Close()
	data := make([]byte, 1<<20)
	for range 4 {
		_, err := c.Write(data)
		require.NoError(t, err)
	}
	assert.Equal(t, uint32(IFF_UP|IFF_BROADCAST|IFF_MULTICAST|IFF_RUNNING|IFF_LOWER_UP), a.link.Flags())
	ca.fail()
	select {
	case link := <-changes:
		assert.Same(t, a.link, link)
	case <-time.After(5 * time.Second):
		t.Fatal("nobody was told")
	}
	assert.False(t, a.link.Carrier())
	assert.Equal(t, uint32(IFF_BROADCAST|IFF_MULTICAST), a.link.Flags())
	mu.Lock()
	assert.Equal(t, []string{"eth0: test: card breaks the rules; it is out of service"}, warnings)
	mu.Unlock()
	ca.mu.Lock()
	for _, p := range ca.pairs {
		assert.Empty(t, p.posted)
		assert.Empty(t, p.published)
		assert.Empty(t, p.shown)
	}
	ca.mu.Unlock()
	transfer(t, &node{Stack: a.Stack}, &node{Stack: a.Stack}, header.IPv4Loopback, ipv4.ProtocolNumber, 1<<20)
	_, err = gonet.DialTCP(a.Stack.Stack, to, ipv4.ProtocolNumber)
	assert.Error(t, err)
}

func TestCarrier(t *testing.T) {
	c := newCard(1, Offloads{})
	n := newNode(t, c, Options{})
	changes := make(chan bool, 10)
	n.WatchLinks(func(l *Link) { changes <- l.Carrier() })
	c.setCarrier(false)
	assert.False(t, <-changes)
	assert.Equal(t, uint32(IFF_UP|IFF_BROADCAST|IFF_MULTICAST), n.link.Flags())
	c.setCarrier(false)
	c.setCarrier(true)
	assert.True(t, <-changes)
	assert.Empty(t, changes)

	assert.NotNil(t, n.link.SetMTU(67))
	assert.NotNil(t, n.link.SetMTU(1501))
	assert.Nil(t, n.link.SetMTU(1280))
	assert.Equal(t, 1280, n.link.MTU())
	<-changes
	require.Nil(t, n.link.SetUp(false))
	<-changes
	assert.False(t, n.link.Up())
	require.Nil(t, n.link.SetUp(true))
}

func TestAddLink(t *testing.T) {
	s := New(Options{})
	defer s.Close()
	c := newCard(1, Offloads{})
	defer c.fail()
	c.noMAC = true
	l, err := s.AddLink("eth0", c)
	require.NoError(t, err)
	mac := []byte(l.MAC())
	assert.Len(t, mac, 6)
	assert.Equal(t, byte(2), mac[0]&3, "local, not of a group")
	assert.Equal(t, []any{2, "eth0", 1500, 1500}, []any{l.Index(), l.Name(), l.MTU(), l.MaxMTU()})

	c = newCard(2, Offloads{})
	defer c.fail()
	_, err = s.AddLink("eth0", c)
	assert.Error(t, err, "the name is taken")
	assert.Len(t, s.Links(), 2)
	l, err = s.AddLink("eth1", c)
	require.NoError(t, err)
	assert.Equal(t, 3, l.Index())
	assert.Nil(t, s.Link(4))
	assert.Nil(t, s.LinkByName("eth2"))
	c = newCard(3, Offloads{})
	c.mtu = 67
	_, err = s.AddLink("eth2", c)
	assert.ErrorContains(t, err, "67")
}

// TestGarbage receives what no network should send.
func TestGarbage(t *testing.T) {
	random := rand.New(rand.NewSource(3))
	for name, offloads := range map[string]Offloads{"no offloads": {}, "everything": everything} {
		t.Run(name, func(t *testing.T) {
			ca, cb := newCard(1, offloads).usePairs(1), newCard(2, offloads).usePairs(1)
			join(t, ca, cb, nil)
			a, b := newNode(t, ca, Options{}), newNode(t, cb, Options{})
			kinds := []uint16{0x800, 0x86dd, 0x806, 0x8100, 0}
			for range 3000 {
				f := make([]byte, 14+random.Intn(200))
				random.Read(f)
				copy(f, ca.mac[:])
				if random.Intn(3) == 0 {
					f[0] = byte(random.Int())
				}
				kind := kinds[random.Intn(len(kinds))]
				f[12], f[13] = byte(kind>>8), byte(kind)
				if len(f) > 60 && random.Intn(2) == 0 { // nearly right
					switch kind {
					case 0x800:
						copy(f[14:], []byte{0x45, 0, 0, byte(len(f) - 14), 0, 0, 0, 0, 64, []byte{1, 2, 6, 17}[random.Intn(4)]})
						copy(f[30:], a.ip4.AsSlice())
					case 0x86dd:
						copy(f[14:], []byte{0x60, 0, 0, 0, 0, byte(len(f) - 54), []byte{0, 6, 17, 43, 44, 58, 60}[random.Intn(7)], 255})
						copy(f[38:], a.ip6.AsSlice())
					}
				}
				o := Offload{}
				if offloads.ReceiveChecksum {
					o.Checksum = Checksum(random.Intn(3))
				}
				ca.receive(0, f, o)
			}
			transfer(t, a, b, b.ip4, ipv4.ProtocolNumber, 1<<20)
		})
	}
}

// TestSmallMachine opens many connections on a machine of little memory.
func TestSmallMachine(t *testing.T) {
	assert.Equal(t, 96<<10, bufferLimit(24<<20))
	assert.Equal(t, 1<<20, bufferLimit(256<<20))
	assert.Equal(t, 4<<20, bufferLimit(1<<40))
	assert.Equal(t, 4<<20, bufferLimit(0))
	assert.Equal(t, 256, timeWaitLimit(24<<20))
	assert.Equal(t, 2048, timeWaitLimit(256<<20))
	assert.Equal(t, 1<<16, timeWaitLimit(0))
	ca, cb := newCard(1, Offloads{}), newCard(2, Offloads{})
	ca.slots = 256
	join(t, ca.usePairs(1), cb.usePairs(1), nil)
	a, b := newNode(t, ca, Options{Memory: 24 << 20}), newNode(t, cb, Options{Memory: 24 << 20})
	transfer(t, a, b, b.ip4, ipv4.ProtocolNumber, 4<<20)
	assert.LessOrEqual(t, a.link.endpoint.(*ethernet).pairs[0].target, 256)
}

var _ stack.LinkEndpoint = (*ethernet)(nil)
var _ stack.GSOEndpoint = (*ethernet)(nil)
