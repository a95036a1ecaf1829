package netstack

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// card is a Device for tests. What it sends goes to its wire.
type card struct {
	mac      [6]byte
	noMAC    bool
	mtu      int
	offloads Offloads
	size     int // of receive buffers
	slots    int // of each queue
	merge    bool
	wire     func(c *card, pair int, data []byte, o Offload)
	hold     bool // sent frames are not completed before release

	mu      sync.Mutex
	down    bool
	changed func()
	pairs   []*cardPair
	failure error
	done    chan struct{}
}

type cardPair struct {
	card    *card
	index   int
	wake    chan struct{}
	sending sync.Mutex
	rxArmed bool
	txArmed bool

	posted, published []Buffer
	arrived           []arrival

	added, shown []sending
	completed    []sending
	kicks        int
	interrupts   int
}

type arrival struct {
	o     Offload
	views []Buffer
}

type sending struct {
	data []byte
	o    Offload
	done Completer
}

func newCard(last byte, offloads Offloads) *card {
	return &card{mac: [6]byte{2, 0, 0, 0, 0, last}, mtu: 1500, offloads: offloads, size: 2048, slots: 64, merge: true, done: make(chan struct{})}
}

func (c *card) MAC() ([6]byte, bool) { return c.mac, !c.noMAC }
func (c *card) MTU() int             { return c.mtu }
func (c *card) Offloads() Offloads   { return c.offloads }
func (c *card) Watch(changed func()) { c.changed = changed }
func (c *card) Done() <-chan struct{} {
	return c.done
}
func (c *card) SetReceive(_, _ bool) error { return nil }

func (c *card) Carrier() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.down
}

func (c *card) setCarrier(up bool) {
	c.mu.Lock()
	c.down = !up
	c.mu.Unlock()
	c.changed()
}

func (c *card) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}

// fail puts the card out of service.
func (c *card) fail() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failLocked()
}

func (c *card) failLocked() {
	if c.failure == nil {
		c.failure = errors.New("test: card breaks the rules; it is out of service")
		close(c.done)
	}
}

func (c *card) usePairs(n int) *card {
	for i := range n {
		c.pairs = append(c.pairs, &cardPair{card: c, index: i, wake: make(chan struct{}, 1)})
	}
	return c
}

func (c *card) Pairs() (pairs []Pair) {
	if c.pairs == nil {
		c.usePairs(1)
	}
	for _, p := range c.pairs {
		pairs = append(pairs, Pair{cardRx{p}, cardTx{p}, func() { <-p.wake }})
	}
	return pairs
}

func (p *cardPair) interrupt() {
	p.interrupts++
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// receive has a frame arrive, when there is room.
func (c *card) receive(pair int, data []byte, o Offload) {
	for c.Err() == nil && !c.tryReceive(pair, data, o) {
		time.Sleep(20 * time.Microsecond)
	}
}

// tryReceive has a frame arrive, if there is room.
func (c *card) tryReceive(pair int, data []byte, o Offload) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pairs[pair]
	a := arrival{o: o}
	for len(data) > 0 {
		if len(p.published) == 0 {
			for _, v := range a.views {
				v.View.Reset()
				v.View.Grow(c.size)
			}
			p.published = append(a.views, p.published...)
			return false
		}
		v := p.published[0]
		p.published = p.published[1:]
		b := v.View.AsSlice()
		n := copy(b, data)
		data = data[n:]
		v.View.CapLength(n)
		a.views = append(a.views, v)
	}
	p.arrived = append(p.arrived, a)
	if p.rxArmed {
		p.rxArmed = false
		p.interrupt()
	}
	return true
}

// release completes what was sent while hold was true.
func (c *card) release() {
	c.mu.Lock()
	c.hold = false
	c.mu.Unlock()
	for _, p := range c.pairs {
		p.transmit()
	}
}

// transmit puts on the wire what was shown, in order.
func (p *cardPair) transmit() {
	c := p.card
	p.sending.Lock()
	defer p.sending.Unlock()
	for {
		c.mu.Lock()
		if c.hold || len(p.shown) == 0 || c.failure != nil {
			c.mu.Unlock()
			return
		}
		s := p.shown[0]
		p.shown = p.shown[1:]
		p.completed = append(p.completed, s)
		if p.txArmed && len(p.completed) >= (len(p.shown)+len(p.completed)+1)/2 {
			p.txArmed = false
			p.interrupt()
		}
		c.mu.Unlock()
		if c.wire != nil {
			c.wire(c, p.index, s.data, s.o)
		}
	}
}

type cardRx struct{ *cardPair }

func (r cardRx) BufferSize() int { return r.card.size }

func (r cardRx) Free() int {
	r.card.mu.Lock()
	defer r.card.mu.Unlock()
	return r.card.slots - len(r.posted) - len(r.published) - len(r.arrived)
}

func (r cardRx) Post(b Buffer) error {
	r.card.mu.Lock()
	defer r.card.mu.Unlock()
	if r.card.failure != nil {
		return r.card.failure
	}
	b.View.Reset()
	b.View.Grow(r.card.size)
	r.posted = append(r.posted, b)
	return nil
}

func (r cardRx) Kick() {
	r.card.mu.Lock()
	defer r.card.mu.Unlock()
	r.published = append(r.published, r.posted...)
	r.posted = nil
}

func (r cardRx) Poll(f *Frame) (bool, error) {
	r.card.mu.Lock()
	defer r.card.mu.Unlock()
	if r.card.failure != nil {
		return false, r.card.failure
	}
	if len(r.arrived) == 0 {
		return false, nil
	}
	f.Offload, f.Parts = r.arrived[0].o, r.arrived[0].views
	r.arrived = r.arrived[1:]
	return true, nil
}

func (r cardRx) EnableInterrupts() bool {
	r.card.mu.Lock()
	defer r.card.mu.Unlock()
	r.rxArmed = true
	return len(r.arrived) > 0 || r.card.failure != nil
}

func (r cardRx) DisableInterrupts() {
	r.card.mu.Lock()
	r.rxArmed = false
	r.card.mu.Unlock()
}

func (r cardRx) Dropped() uint64 { return 0 }

func (r cardRx) Reclaim(give func(Buffer)) {
	r.card.mu.Lock()
	defer r.card.mu.Unlock()
	for _, v := range slices.Concat(r.posted, r.published) {
		give(v)
	}
	for _, a := range r.arrived {
		for _, v := range a.views {
			give(v)
		}
	}
	r.posted, r.published, r.arrived = nil, nil, nil
}

type cardTx struct{ *cardPair }

func (q cardTx) Send(o *Offload, parts [][]byte, done Completer) error {
	q.card.mu.Lock()
	defer q.card.mu.Unlock()
	if q.card.failure != nil {
		return q.card.failure
	}
	if len(q.added)+len(q.shown)+len(q.completed) >= q.card.slots {
		q.takeLocked()
	}
	if len(q.added)+len(q.shown)+len(q.completed) >= q.card.slots {
		return ErrFull
	}
	q.added = append(q.added, sending{slices.Concat(parts...), *o, done})
	return nil
}

func (q cardTx) takeLocked() {
	for _, s := range q.completed {
		s.done.Sent(q.card.failure)
	}
	q.completed = nil
}

func (q cardTx) Kick() {
	q.card.mu.Lock()
	if len(q.added) > 0 {
		q.kicks++
	}
	q.shown = append(q.shown, q.added...)
	q.added = nil
	q.card.mu.Unlock()
	go q.transmit()
}

func (q cardTx) InFlight() int {
	q.card.mu.Lock()
	defer q.card.mu.Unlock()
	return len(q.shown) + len(q.completed)
}

func (q cardTx) Reap() error {
	q.card.mu.Lock()
	defer q.card.mu.Unlock()
	if q.card.failure != nil {
		q.completed = slices.Concat(q.added, q.shown, q.completed)
		q.added, q.shown = nil, nil
	}
	q.takeLocked()
	return q.card.failure
}

func (q cardTx) EnableInterrupts() bool {
	q.card.mu.Lock()
	defer q.card.mu.Unlock()
	q.txArmed = true
	return len(q.completed) >= (len(q.shown)+len(q.completed)+1)/2
}

func (q cardTx) DisableInterrupts() {
	q.card.mu.Lock()
	q.txArmed = false
	q.card.mu.Unlock()
}

// network layers of a frame, as a test reads them.
type layers struct {
	ip4     header.IPv4
	ip6     header.IPv6
	tcp     header.TCP
	udp     header.UDP
	payload []byte
	start   int // of the transport header in the frame
}

// dissect takes a frame apart and fails the test if it is malformed.
func dissect(t testing.TB, frame []byte) (l layers) {
	require.GreaterOrEqual(t, len(frame), 14)
	p := frame[14:]
	var proto uint8
	switch binary.BigEndian.Uint16(frame[12:]) {
	case 0x800:
		l.ip4 = header.IPv4(p)
		require.True(t, l.ip4.IsValid(len(p)))
		assert.True(t, l.ip4.IsChecksumValid(), "IP header's checksum")
		require.Equal(t, len(p), int(l.ip4.TotalLength()))
		proto, l.start = l.ip4.Protocol(), 14+int(l.ip4.HeaderLength())
	case 0x86dd:
		l.ip6 = header.IPv6(p)
		require.True(t, l.ip6.IsValid(len(p)))
		require.Equal(t, len(p)-40, int(l.ip6.PayloadLength()))
		proto, l.start = l.ip6.NextHeader(), 54
	default:
		return l
	}
	switch p = frame[l.start:]; proto {
	case 6:
		l.tcp = header.TCP(p)
		l.payload = p[l.tcp.DataOffset():]
	case 17:
		l.udp = header.UDP(p)
		l.payload = p[8:]
	}
	return l
}

// pseudo returns the sum of a frame's pseudo header.
func (l *layers) pseudo(length int) uint16 {
	if l.ip4 != nil {
		return header.PseudoHeaderChecksum(tcpip.TransportProtocolNumber(l.ip4.Protocol()), l.ip4.SourceAddress(), l.ip4.DestinationAddress(), uint16(length))
	}
	return header.PseudoHeaderChecksum(tcpip.TransportProtocolNumber(l.ip6.NextHeader()), l.ip6.SourceAddress(), l.ip6.DestinationAddress(), uint16(length))
}

// carry does what a card does with a frame: it completes the checksum and segments. It fails the test
// if what the stack asks for is not what the card offers, or does not fit the frame.
func carry(t testing.TB, c *card, frame []byte, o Offload) (frames [][]byte) {
	if o.Checksum == ChecksumPartial {
		require.True(t, c.offloads.SendChecksum)
		l := dissect(t, frame)
		require.Equal(t, l.start, int(o.ChecksumStart))
		at := l.start + int(o.ChecksumOffset)
		assert.Equal(t, l.pseudo(len(frame)-l.start), binary.BigEndian.Uint16(frame[at:]), "the field holds the pseudo header's sum")
		if o.Type == stack.GSONone {
			binary.BigEndian.PutUint16(frame[at:], ^checksum.Checksum(frame[l.start:], 0))
		}
	}
	if o.Type == stack.GSONone {
		assert.LessOrEqual(t, len(frame), c.mtu+14)
		l := dissect(t, frame)
		if l.tcp != nil || l.udp != nil {
			assert.Equal(t, uint16(0xffff), checksum.Checksum(frame[l.start:], l.pseudo(len(frame)-l.start)), "the checksum is right")
		}
		return [][]byte{frame}
	}
	require.Equal(t, ChecksumPartial, o.Checksum)
	l := dissect(t, frame)
	require.True(t, o.Type == stack.GSOTCPv4 && c.offloads.SendTSO4 && l.ip4 != nil || o.Type == stack.GSOTCPv6 && c.offloads.SendTSO6 && l.ip6 != nil)
	require.Equal(t, len(frame)-len(l.payload), int(o.HeaderLen))
	require.Greater(t, len(l.payload), int(o.SegmentSize), "nothing to segment")
	for at := 0; at < len(l.payload); at += int(o.SegmentSize) {
		part := l.payload[at:min(at+int(o.SegmentSize), len(l.payload))]
		f := slices.Concat(frame[:o.HeaderLen], part)
		if l.ip4 != nil {
			ip := header.IPv4(f[14:])
			ip.SetTotalLength(uint16(len(f) - 14))
			ip.SetChecksum(0)
			ip.SetChecksum(^ip.CalculateChecksum())
		} else {
			header.IPv6(f[14:]).SetPayloadLength(uint16(len(f) - 54))
		}
		s := dissect(t, f)
		s.tcp.SetSequenceNumber(s.tcp.SequenceNumber() + uint32(at))
		s.tcp.SetChecksum(0)
		s.tcp.SetChecksum(^checksum.Checksum(f[s.start:], s.pseudo(len(f)-s.start)))
		frames = append(frames, carry(t, c, f, Offload{})...)
	}
	return frames
}
