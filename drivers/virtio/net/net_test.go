package net

import (
	"bytes"
	"errors"
	"math/rand"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/drivers/virtio"
	"github.com/goshawk-os/goshawk/drivers/virtio/internal/fake"
)

const everything = VIRTIO_NET_F_CSUM | VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_MTU | VIRTIO_NET_F_MAC |
	VIRTIO_NET_F_GUEST_TSO4 | VIRTIO_NET_F_GUEST_TSO6 | VIRTIO_NET_F_GUEST_ECN |
	VIRTIO_NET_F_HOST_TSO4 | VIRTIO_NET_F_HOST_TSO6 | VIRTIO_NET_F_HOST_ECN | VIRTIO_NET_F_MRG_RXBUF |
	VIRTIO_NET_F_STATUS | VIRTIO_NET_F_CTRL_VQ | VIRTIO_NET_F_CTRL_RX | VIRTIO_NET_F_MQ |
	virtio.VIRTIO_F_EVENT_IDX | virtio.VIRTIO_F_INDIRECT_DESC

var mac = []byte{0x52, 0x54, 0, 1, 2, 3}

// card is a fake network device that answers its control queue.
type card struct {
	*fake.Device
	mu       sync.Mutex
	commands [][]byte
	answer   byte
	silent   bool
}

func newCard(features uint64, pairs, vectors int) *card {
	c := &card{Device: fake.New(virtio.VIRTIO_ID_NET, features, 2*pairs+1, 64, vectors)}
	c.Config = append(bytes.Clone(mac), 1, 0, byte(pairs), 0, 0xdc, 5) // up, pairs, MTU 1500
	control := 2
	if features&VIRTIO_NET_F_MQ != 0 {
		control = 2 * pairs
	}
	c.OnNotify = func(queue int) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if queue != control || c.silent {
			return
		}
		for {
			chain, ok := c.Queues[queue].Pop()
			if !ok {
				return
			}
			c.commands = append(c.commands, chain.Bytes())
			c.Queues[queue].Push(chain.ID, chain.Fill([]byte{c.answer}))
		}
	}
	return c
}

// buffers posts n buffers of a size and returns them.
func buffers(t testing.TB, c *card, q *RxQueue, n, size int) []*Buffer {
	var list []*Buffer
	for range n {
		data, addr, err := c.Memory.Allocate(size)
		require.NoError(t, err)
		b := &Buffer{Data: data, Addr: addr}
		b.Tag = b
		list = append(list, b)
		require.NoError(t, q.Post(*b))
	}
	q.Kick()
	return list
}

// receive has the device deliver a header and a frame, in as many buffers as
// it takes.
func (c *card) receive(t testing.TB, queue int, header [HeaderSize]byte, frame []byte) {
	all := append(header[:], frame...)
	var used []virtio.UsedElement
	var first fake.Chain
	for len(all) > 0 || len(used) == 0 {
		chain, ok := c.Queues[queue].Pop()
		require.True(t, ok, "the device has no buffer")
		if len(used) == 0 {
			first = chain
		}
		n := chain.Fill(all)
		all = all[n:]
		used = append(used, virtio.UsedElement{ID: chain.ID, Len: n})
	}
	if header[hdrNumBuffers] == 0 && header[hdrNumBuffers+1] == 0 {
		put16(first.Write[0][hdrNumBuffers:], uint16(len(used)))
	}
	c.Queues[queue].PushAll(used...)
}

func join(f Frame) []byte {
	var all []byte
	for _, p := range f.Parts {
		all = append(all, p.Data...)
	}
	return all
}

func frameOf(n int) []byte {
	f := make([]byte, n)
	for i := range f {
		f[i] = byte(i * 7)
	}
	return f
}

func TestOpen(t *testing.T) {
	c := newCard(everything, 4, 1+4)
	d, err := Open(c, c.Memory, Options{Pairs: 3})
	require.NoError(t, err)
	assert.Equal(t, uint64(everything|virtio.VIRTIO_F_VERSION_1), c.Accepted())
	got, ok := d.MAC()
	assert.True(t, ok)
	assert.Equal(t, mac, got[:])
	assert.Equal(t, 1500, d.MTU())
	assert.True(t, d.Link())
	assert.Equal(t, Offloads{true, true, true, true, true, true, true, true}, d.Offloads())
	assert.Len(t, d.Rx(), 3)
	assert.Len(t, d.Tx(), 3)
	for i, want := range []bool{true, true, true, true, true, true, false, false, true} {
		assert.Equal(t, want, c.Enabled(i), "queue %d", i)
	}
	assert.Equal(t, [][]byte{{VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 3, 0}}, c.commands)

	require.NoError(t, d.SetReceive(true, false))
	assert.Equal(t, [][]byte{{0, 0, 1}, {0, 1, 0}}, c.commands[1:])
	c.answer = 1
	assert.ErrorIs(t, d.SetReceive(false, false), ErrCommand)
	assert.NoError(t, d.Err(), "a refusal is no fault")
}

func TestOpenWithLess(t *testing.T) {
	t.Run("one interrupt allows one pair", func(t *testing.T) {
		c := newCard(everything, 4, 1)
		d, err := Open(c, c.Memory, Options{Pairs: 4})
		require.NoError(t, err)
		assert.Len(t, d.Rx(), 1)
		assert.Empty(t, c.commands)
		assert.False(t, d.HasConfigInterrupt())
	})
	t.Run("features that depend on others", func(t *testing.T) {
		c := newCard(VIRTIO_NET_F_GUEST_TSO4|VIRTIO_NET_F_GUEST_ECN|VIRTIO_NET_F_HOST_TSO4|VIRTIO_NET_F_HOST_ECN|VIRTIO_NET_F_MQ|VIRTIO_NET_F_GUEST_CSUM, 2, 3)
		d, err := Open(c, c.Memory, Options{Pairs: 2})
		require.NoError(t, err)
		assert.Equal(t, uint64(VIRTIO_NET_F_GUEST_CSUM|virtio.VIRTIO_F_VERSION_1), c.Accepted())
		assert.Len(t, d.Rx(), 1)
		_, ok := d.MAC()
		assert.False(t, ok)
		assert.True(t, d.Link(), "without status the link is up")
		assert.Equal(t, 1526, d.Rx()[0].MinBuffer())
		assert.ErrorIs(t, d.Rx()[0].Post(Buffer{Data: make([]byte, 1525)}), ErrBuffer)
		assert.ErrorIs(t, d.SetReceive(true, true), ErrCommand)
	})
}

func TestOpenBrokenDevice(t *testing.T) {
	tests := map[string]struct {
		breakIt func(*card)
		want    error
	}{
		"MTU of 67":         {func(c *card) { c.Config[configMTU], c.Config[configMTU+1] = 67, 0 }, ErrMTU},
		"no pairs":          {func(c *card) { c.Config[configMaxPairs] = 0 }, ErrPairs},
		"too many pairs":    {func(c *card) { c.Config[configMaxPairs+1] = 0x81 }, ErrPairs},
		"no send queue":     {func(c *card) { c.Queues = c.Queues[:1] }, virtio.ErrNoQueue},
		"no control queue":  {func(c *card) { c.Queues = c.Queues[:4] }, virtio.ErrNoQueue},
		"control is silent": {func(c *card) { c.silent = true }, ErrControl},
		"control refuses":   {func(c *card) { c.answer = 1 }, ErrCommand},
		"restless":          {func(c *card) { c.Restless = true }, virtio.ErrConfigUnstable},
		"no memory":         {func(c *card) { c.Memory = fake.NewMemory(8192) }, fake.ErrNoMemory},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCard(everything, 2, 3)
			test.breakIt(c)
			_, err := Open(c, c.Memory, Options{Pairs: 2})
			require.ErrorIs(t, err, test.want)
			assert.False(t, c.Enabled(0), "the device was reset")
		})
	}
}

func TestReceive(t *testing.T) {
	c := newCard(everything, 1, 1)
	d, err := Open(c, c.Memory, Options{Pairs: 1})
	require.NoError(t, err)
	rx := d.Rx()[0]
	posted := buffers(t, c, rx, 40, 2048)
	assert.Equal(t, 24, rx.Free())

	_, ok, err := rx.Poll()
	require.NoError(t, err)
	assert.False(t, ok)

	small := frameOf(60)
	c.receive(t, 0, [HeaderSize]byte{VIRTIO_NET_HDR_F_DATA_VALID}, small)
	f, ok, err := rx.Poll()
	require.NoError(t, err)
	require.True(t, ok)
	assert.Equal(t, Header{Checksum: ChecksumValid}, f.Header)
	require.Len(t, f.Parts, 1)
	assert.Same(t, posted[0], f.Parts[0].Buffer.Tag)
	assert.Same(t, &posted[0].Data[HeaderSize], &f.Parts[0].Data[0], "not copied")
	assert.Equal(t, small, join(f))
	assert.Equal(t, 60, f.Len)

	large := frameOf(65549)
	header := [HeaderSize]byte{VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN, 74, 0, 0xa0, 5, 54, 0, 16, 0}
	c.receive(t, 0, header, large)
	f, ok, err = rx.Poll()
	require.NoError(t, err)
	require.True(t, ok)
	assert.Equal(t, Header{Checksum: ChecksumPartial, GSO: GSOTCP6, ECN: true, HeaderLen: 74, SegmentSize: 1440, ChecksumStart: 54, ChecksumOffset: 16}, f.Header)
	assert.Len(t, f.Parts, 33)
	assert.Equal(t, large, join(f))
	assert.Equal(t, RxStats{Frames: 2, Bytes: 60 + 65549}, rx.Stats())
	assert.Equal(t, 64-40+34, rx.Free())
}

// TestReceiveMergedInPieces: the buffers of one frame become visible one after
// the other.
func TestReceiveMergedInPieces(t *testing.T) {
	c := newCard(everything, 1, 1)
	d, err := Open(c, c.Memory, Options{Pairs: 1})
	require.NoError(t, err)
	rx := d.Rx()[0]
	buffers(t, c, rx, 4, 64)
	frame := frameOf(100)
	a, _ := c.Queues[0].Pop()
	b, _ := c.Queues[0].Pop()
	header := [HeaderSize]byte{hdrNumBuffers: 2}
	c.Queues[0].Push(a.ID, a.Fill(append(header[:], frame[:52]...)))
	_, ok, err := rx.Poll()
	require.NoError(t, err)
	require.False(t, ok)
	c.Queues[0].Push(b.ID, b.Fill(frame[52:]))
	f, ok, err := rx.Poll()
	require.NoError(t, err)
	require.True(t, ok)
	assert.Equal(t, frame, join(f))
}

// TestReceiveDrops: a header that cannot be true costs the frame, not the
// device, since it may come from a peer; the buffers are used again.
func TestReceiveDrops(t *testing.T) {
	const needs, tcp4 = VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV4
	bad := map[string]struct {
		without uint64
		header  [HeaderSize]byte
		length  int
	}{
		"runt":                        {0, [HeaderSize]byte{}, 13},
		"giant":                       {0, [HeaderSize]byte{}, 65551},
		"checksum behind the frame":   {0, [HeaderSize]byte{hdrFlags: needs, hdrCsumStart: 50, hdrCsumOffset: 9}, 60},
		"checksum start overflows":    {0, [HeaderSize]byte{hdrFlags: needs, 6: 0xff, 7: 0xff, 8: 0xff, 9: 0xff}, 60},
		"checksum not negotiated":     {VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_GUEST_TSO4 | VIRTIO_NET_F_GUEST_TSO6 | VIRTIO_NET_F_GUEST_ECN, [HeaderSize]byte{hdrFlags: needs}, 60},
		"unknown segmentation":        {0, [HeaderSize]byte{hdrFlags: needs, hdrGSOType: 3, hdrGSOSize: 1}, 60},
		"segments of no size":         {0, [HeaderSize]byte{hdrFlags: needs, hdrGSOType: tcp4}, 60},
		"segmentation not negotiated": {VIRTIO_NET_F_GUEST_TSO4, [HeaderSize]byte{hdrFlags: needs, hdrGSOType: tcp4, hdrGSOSize: 1}, 60},
		"ECN not negotiated":          {VIRTIO_NET_F_GUEST_ECN, [HeaderSize]byte{hdrFlags: needs, hdrGSOType: tcp4 | VIRTIO_NET_HDR_GSO_ECN, hdrGSOSize: 1}, 60},
		"ECN without segmentation":    {0, [HeaderSize]byte{hdrGSOType: VIRTIO_NET_HDR_GSO_ECN}, 60},
	}
	for name, test := range bad {
		t.Run(name, func(t *testing.T) {
			c := newCard(everything&^test.without, 1, 1)
			d, err := Open(c, c.Memory, Options{Pairs: 1})
			require.NoError(t, err)
			rx := d.Rx()[0]
			buffers(t, c, rx, 40, 2048)
			for range 3 {
				c.receive(t, 0, test.header, frameOf(test.length))
				_, ok, err := rx.Poll()
				require.NoError(t, err)
				require.False(t, ok)
				require.Equal(t, 24, rx.Free())
				rx.Kick()
			}
			assert.Equal(t, RxStats{Dropped: 3}, rx.Stats())
			c.receive(t, 0, [HeaderSize]byte{}, frameOf(60))
			_, ok, err := rx.Poll()
			assert.NoError(t, err)
			assert.True(t, ok, "the next good frame")
		})
	}
}

// TestReceiveHostile: what only the device itself can get wrong ends its
// service, and every buffer comes back exactly once.
func TestReceiveHostile(t *testing.T) {
	tests := map[string]struct {
		attack func(q *fake.Queue, a fake.Chain)
		want   error
	}{
		"nothing":          {func(q *fake.Queue, a fake.Chain) { q.Push(a.ID, 0) }, ErrShort},
		"half a header":    {func(q *fake.Queue, a fake.Chain) { q.Push(a.ID, HeaderSize-1) }, ErrShort},
		"no buffers":       {func(q *fake.Queue, a fake.Chain) { q.Push(a.ID, 60) }, ErrMerge},
		"too many buffers": {func(q *fake.Queue, a fake.Chain) { a.Write[0][hdrNumBuffers] = 65; q.Push(a.ID, 60) }, ErrMerge},
		"65535 buffers": {func(q *fake.Queue, a fake.Chain) {
			put16(a.Write[0][hdrNumBuffers:], 0xffff)
			q.Push(a.ID, 60)
		}, ErrMerge},
		"second buffer empty": {func(q *fake.Queue, a fake.Chain) {
			a.Write[0][hdrNumBuffers] = 2
			q.Push(a.ID, 60)
			b, _ := q.Pop()
			q.Push(b.ID, 0)
		}, ErrShort},
		"longer than its buffer": {func(q *fake.Queue, a fake.Chain) { q.Push(a.ID, 2049) }, virtio.ErrUsedLength},
		"second buffer unknown": {func(q *fake.Queue, a fake.Chain) {
			a.Write[0][hdrNumBuffers] = 2
			q.Push(a.ID, 60)
			q.Push(63, 60)
		}, virtio.ErrUsedHead},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCard(everything, 1, 1)
			d, err := Open(c, c.Memory, Options{Pairs: 1})
			require.NoError(t, err)
			rx := d.Rx()[0]
			posted := buffers(t, c, rx, 8, 2048)
			a, _ := c.Queues[0].Pop()
			test.attack(c.Queues[0], a)
			_, ok, err := rx.Poll()
			require.ErrorIs(t, err, test.want)
			assert.False(t, ok)
			assert.Equal(t, err, d.Err())
			_, _, again := rx.Poll()
			assert.Equal(t, err, again)

			count := make(map[any]int)
			rx.Reclaim(func(b Buffer) { count[b.Tag]++ })
			rx.Reclaim(func(b Buffer) { count[b.Tag]++ })
			assert.Len(t, count, 8)
			for _, b := range posted {
				assert.Equal(t, 1, count[b])
			}
			assert.ErrorIs(t, d.Tx()[0].Send(&Header{}, [][]byte{frameOf(60)}, nil), test.want, "the other queues know")
		})
	}
}

type sent struct {
	calls []error
}

func (s *sent) Sent(err error) { s.calls = append(s.calls, err) }

func TestSend(t *testing.T) {
	c := newCard(everything, 1, 1)
	d, err := Open(c, c.Memory, Options{Pairs: 1})
	require.NoError(t, err)
	tx := d.Tx()[0]
	payload := frameOf(30_000) // spread over pages
	parts := [][]byte{frameOf(54), nil, payload}
	h := Header{Checksum: ChecksumPartial, ChecksumStart: 34, ChecksumOffset: 16, GSO: GSOTCP4, ECN: true, HeaderLen: 54, SegmentSize: 1460}
	var done sent
	require.NoError(t, tx.Send(&h, parts, &done))
	_, ok := c.Queues[1].Pop()
	assert.False(t, ok, "not before Kick")
	tx.Kick()
	chain, ok := c.Queues[1].Pop()
	require.True(t, ok)
	assert.True(t, chain.Indirect)
	got := chain.Bytes()
	assert.Equal(t, []byte{1, 0x81, 54, 0, 0xb4, 5, 34, 0, 16, 0, 0, 0}, got[:HeaderSize])
	assert.Equal(t, append(frameOf(54), payload...), got[HeaderSize:])
	assert.Same(t, &payload[0], &chain.Read[2][0], "not copied")

	n, err := tx.Reap()
	require.NoError(t, err)
	assert.Zero(t, n)
	assert.Empty(t, done.calls)
	c.Queues[1].Push(chain.ID, 0)
	n, err = tx.Reap()
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	assert.Equal(t, []error{nil}, done.calls)
	assert.Equal(t, TxStats{Frames: 1, Bytes: 30_054, Notifications: 1}, tx.Stats())
}

func TestSendCopies(t *testing.T) {
	const limit = 100
	c := newCard(everything, 1, 1)
	d, err := Open(c, c.Memory, Options{Pairs: 1, CopyLimit: limit})
	require.NoError(t, err)
	tx := d.Tx()[0]
	var done sent
	for i := range 2 * tx.queue.Size() { // each place twice
		frame := frameOf(limit)
		frame[0] = byte(i)
		require.NoError(t, tx.Send(&Header{}, [][]byte{frame[:54], nil, frame[54:]}, &done))
		assert.Len(t, done.calls, i+1, "done at once")
		want := bytes.Clone(frame)
		clear(frame)
		tx.Kick()
		assert.Equal(t, 1, tx.InFlight())
		chain, ok := c.Queues[1].Pop()
		require.True(t, ok)
		assert.Len(t, chain.Read, 1)
		assert.Equal(t, want, chain.Bytes()[HeaderSize:])
		c.Queues[1].Push(chain.ID, 0)
		_, err = tx.Reap()
		require.NoError(t, err)
		assert.Len(t, done.calls, i+1, "and not again")
		assert.Zero(t, tx.InFlight())
	}
	longer := frameOf(limit + 1)
	done.calls = nil
	require.NoError(t, tx.Send(&Header{}, [][]byte{longer}, &done))
	tx.Kick()
	assert.Empty(t, done.calls)
	chain, ok := c.Queues[1].Pop()
	require.True(t, ok)
	assert.Same(t, &longer[0], &chain.Read[1][0], "not copied")
}

func TestSendRefuses(t *testing.T) {
	frame := [][]byte{frameOf(100)}
	partial := Header{Checksum: ChecksumPartial, ChecksumStart: 34, ChecksumOffset: 16}
	segmented := partial
	segmented.GSO, segmented.SegmentSize = GSOTCP4, 10
	six, ecn, zero, bare, valid, odd, behind := segmented, segmented, segmented, segmented, partial, segmented, partial
	six.GSO, ecn.ECN, zero.SegmentSize, bare.Checksum, valid.Checksum, odd.GSO = GSOTCP6, true, 0, ChecksumNone, ChecksumValid, 9
	behind.ChecksumStart = 83
	tests := map[string]struct {
		without uint64
		h       Header
		parts   [][]byte
	}{
		"too short":               {0, Header{}, [][]byte{frameOf(13)}},
		"too long":                {0, Header{}, [][]byte{frameOf(65551)}},
		"no checksum offload":     {VIRTIO_NET_F_CSUM, partial, frame},
		"checksum behind frame":   {0, behind, frame},
		"checksum valid":          {0, valid, frame},
		"no TSO4":                 {VIRTIO_NET_F_HOST_TSO4, segmented, frame},
		"no TSO6":                 {VIRTIO_NET_F_HOST_TSO6, six, frame},
		"no ECN":                  {VIRTIO_NET_F_HOST_ECN, ecn, frame},
		"segments of no size":     {0, zero, frame},
		"segmented, no checksum":  {0, bare, frame},
		"unknown segmentation":    {0, odd, frame},
		"ECN without segments":    {0, Header{ECN: true}, frame},
		"header longer than that": {0, func() Header { h := segmented; h.HeaderLen = 101; return h }(), frame},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCard(everything&^test.without, 1, 1)
			d, err := Open(c, c.Memory, Options{Pairs: 1})
			require.NoError(t, err)
			var done sent
			assert.ErrorIs(t, d.Tx()[0].Send(&test.h, test.parts, &done), ErrFrame)
			d.Tx()[0].Kick()
			_, ok := c.Queues[1].Pop()
			assert.False(t, ok)
			assert.NoError(t, d.Tx()[0].Send(&Header{}, frame, nil), "the next good frame")
		})
	}
}

func TestSendFullAndFailure(t *testing.T) {
	c := newCard(everything, 1, 1)
	d, err := Open(c, c.Memory, Options{Pairs: 1})
	require.NoError(t, err)
	tx := d.Tx()[0]
	var done sent
	n := 0
	for ; err == nil; n++ {
		err = tx.Send(&Header{}, [][]byte{frameOf(60)}, &done)
	}
	n--
	require.ErrorIs(t, err, virtio.ErrFull)
	assert.Equal(t, 32, n, "two descriptors each")
	tx.Kick()
	assert.False(t, tx.EnableInterrupts())
	for i := range 16 {
		chain, ok := c.Queues[1].Pop()
		require.True(t, ok)
		c.Queues[1].Push(chain.ID, 0)
		assert.Equal(t, i == 15, c.Vectors[0].Count() > 0, "the interrupt comes at half")
	}
	require.NoError(t, d.Wait(0))
	n, err = tx.Reap()
	require.NoError(t, err)
	assert.Equal(t, 16, n)

	c.Queues[1].Push(12345, 0)
	n, err = tx.Reap()
	require.ErrorIs(t, err, virtio.ErrUsedID)
	assert.Equal(t, 16, n)
	assert.Len(t, done.calls, 32)
	for i, call := range done.calls {
		assert.Equal(t, i >= 16, call != nil)
	}
	assert.ErrorIs(t, tx.Send(&Header{}, [][]byte{frameOf(60)}, &done), virtio.ErrUsedID)
	assert.Len(t, done.calls, 32)
}

func TestLinkChanges(t *testing.T) {
	for name, vectors := range map[string]int{"shared interrupt": 1, "own interrupt": 3} {
		t.Run(name, func(t *testing.T) {
			c := newCard(everything, 1, vectors)
			var changes []bool
			d, err := Open(c, c.Memory, Options{Pairs: 1, LinkChanged: func(up bool) { changes = append(changes, up) }})
			require.NoError(t, err)
			wait := d.WaitConfig
			if !d.HasConfigInterrupt() {
				wait = func() error { return d.Wait(0) }
			}
			c.SetConfig(configStatus, 0)
			require.NoError(t, wait())
			assert.False(t, d.Link())
			c.SetConfig(configStatus, VIRTIO_NET_S_LINK_UP)
			require.NoError(t, wait())
			assert.True(t, d.Link())
			c.SetNeedsReset()
			assert.ErrorIs(t, wait(), virtio.ErrNeedsReset)
			assert.False(t, d.Link())
			assert.Equal(t, []bool{true, false, true, false}, changes)
			<-d.Done()
		})
	}
}

// TestEcho runs stack and device at once over two pairs: the device sends all
// frames back, the stack counts them by content.
func TestEcho(t *testing.T) {
	const frames = 10_000
	c := newCard(everything, 2, 3)
	d, err := Open(c, c.Memory, Options{Pairs: 2})
	require.NoError(t, err)
	stop := make(chan struct{})
	var devices, stacks sync.WaitGroup
	for pair := range 2 {
		devices.Add(1)
		go func() {
			defer devices.Done()
			rx, tx := c.Queues[2*pair], c.Queues[2*pair+1]
			for {
				for {
					out, ok := tx.Pop()
					if !ok {
						break
					}
					data := out.Bytes()
					data[hdrFlags], data[hdrNumBuffers] = VIRTIO_NET_HDR_F_DATA_VALID, 1
					in, ok := rx.Pop()
					for !ok {
						select {
						case <-rx.Notified:
						case <-stop:
							return
						}
						in, ok = rx.Pop()
					}
					rx.Push(in.ID, in.Fill(data))
					tx.Push(out.ID, 0)
				}
				select {
				case <-tx.Notified:
				case <-stop:
					return
				}
			}
		}()

		rx, tx := d.Rx()[pair], d.Tx()[pair]
		buffers(t, c, rx, 32, 2048)
		stacks.Add(1)
		go func() {
			defer stacks.Done()
			random := rand.New(rand.NewSource(int64(pair)))
			pending := make(map[byte]int)
			for out, in := 0, 0; in < frames; {
				for out < frames && out < in+20 {
					frame := bytes.Repeat([]byte{byte(out)}, 60+random.Intn(1400))
					err := tx.Send(&Header{}, [][]byte{frame[:14], frame[14:]}, nil)
					if errors.Is(err, virtio.ErrFull) {
						break
					}
					if !assert.NoError(t, err) {
						return
					}
					pending[byte(out)] = len(frame)
					out++
				}
				tx.Kick()
				polled := 0
				for {
					f, ok, err := rx.Poll()
					if !assert.NoError(t, err) {
						return
					}
					if !ok {
						break
					}
					polled++
					first := f.Parts[0].Data[0]
					if !assert.Equal(t, pending[first], f.Len) || !assert.Equal(t, bytes.Repeat([]byte{first}, f.Len), join(f)) {
						return
					}
					in++
					if !assert.NoError(t, rx.Post(f.Parts[0].Buffer)) {
						return
					}
				}
				rx.Kick()
				if _, err := tx.Reap(); !assert.NoError(t, err) {
					return
				}
				if polled == 0 && out > in && !rx.EnableInterrupts() && !tx.EnableInterrupts() {
					assert.NoError(t, d.Wait(pair))
					rx.DisableInterrupts()
					tx.DisableInterrupts()
				}
			}
		}()
	}
	stacks.Wait()
	close(stop)
	devices.Wait()
	for pair := range 2 {
		assert.Equal(t, uint64(frames), d.Rx()[pair].Stats().Frames)
	}
	t.Logf("interrupts: %d of %d frames; notifications: %d", c.Vectors[1].Count(), frames, d.Tx()[0].Stats().Notifications)
}

func TestHotPathAllocatesNothing(t *testing.T) {
	c := newCard(everything, 1, 1)
	d, err := Open(c, c.Memory, Options{Pairs: 1})
	require.NoError(t, err)
	rx, tx := d.Rx()[0], d.Tx()[0]
	buffers(t, c, rx, 4, 2048)
	chain, _ := c.Queues[0].Pop()
	block, _, err := c.Memory.Allocate(2048) // the fake allocates for other memory
	require.NoError(t, err)
	h, parts, done := &Header{}, [][]byte{block[:54], block[54:]}, &silent{}
	out := uint32(0) // the queue hands out the head that came back last
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		chain.Write[0][hdrNumBuffers] = 1
		c.Queues[0].Push(chain.ID, 100)
		f, ok, err := rx.Poll()
		if !ok {
			panic(err)
		}
		if err := rx.Post(f.Parts[0].Buffer); err != nil {
			panic(err)
		}
		rx.Kick()
		if err := tx.Send(h, parts, done); err != nil {
			panic(err)
		}
		tx.Kick()
		c.Queues[1].Push(out, 0)
		if n, err := tx.Reap(); n != 1 {
			panic(err)
		}
	}))
}

type silent struct{}

func (*silent) Sent(error) {}

func FuzzHeader(f *testing.F) {
	f.Add([]byte{1, 1, 54, 0, 0xb4, 5, 34, 0, 16, 0, 1, 0}, 1514)
	f.Fuzz(func(t *testing.T, p []byte, length int) {
		if len(p) < HeaderSize || length < 0 || length > maxFrame {
			return
		}
		o := Offloads{true, true, true, true, true, true, true, true}
		h, ok := o.parse(p, length)
		if ok && h.Checksum == ChecksumPartial {
			assert.LessOrEqual(t, int(h.ChecksumStart)+int(h.ChecksumOffset)+2, length)
		}
		if ok && h.Checksum == ChecksumPartial && h.GSO != GSONone && int(h.HeaderLen) <= length {
			var again [HeaderSize]byte
			assert.True(t, o.sendable(&h, length), "what is received can be forwarded")
			h.put(again[:])
			h2, ok := o.parse(again[:], length)
			assert.True(t, ok)
			assert.Equal(t, h, h2)
		}
	})
}
