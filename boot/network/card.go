//go:build goshawk

package network

import (
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/goshawk-os/goshawk/boot/devices"
	"github.com/goshawk-os/goshawk/drivers/platform"
	"github.com/goshawk-os/goshawk/drivers/virtio"
	virtionet "github.com/goshawk-os/goshawk/drivers/virtio/net"
	"github.com/goshawk-os/goshawk/kernel/nucleus"
	"github.com/goshawk-os/goshawk/net/netstack"
)

// card makes a virtio network device a netstack.Device. The driver's buffers are the stack's views.
type card struct {
	*virtionet.Device
	watch func()
}

// addLink takes a virtio network device into service, with a pair of queues for each CPU.
func addLink(s *netstack.Stack, name string, t virtio.Transport) (*netstack.Link, error) {
	c := &card{watch: func() {}}
	d, err := virtionet.Open(t, devices.Memory(), virtionet.Options{
		Pairs:       nucleus.NumCPU(),
		CopyLimit:   copyLimit,
		LinkChanged: func(bool) { c.watch() },
	})
	if err != nil {
		return nil, err
	}
	c.Device = d
	return s.AddLink(name, c)
}

// Offloads implements netstack.Device.
func (c *card) Offloads() netstack.Offloads {
	o := c.Device.Offloads()
	return netstack.Offloads{
		SendChecksum:    o.SendChecksum,
		SendTSO4:        o.SendTSO4,
		SendTSO6:        o.SendTSO6,
		ReceiveChecksum: o.ReceiveChecksum,
		ReceiveTSO:      o.ReceiveTSO4 && o.ReceiveTSO6,
	}
}

// MTU implements netstack.Device. Where a frame must fit in one buffer, the buffer must fit in a page.
func (c *card) MTU() int {
	if rx := c.Rx()[0]; rx.MinBuffer() > largeBuffer {
		return c.Device.MTU() - (rx.MinBuffer() - largeBuffer)
	}
	return c.Device.MTU()
}

// Carrier implements netstack.Device.
func (c *card) Carrier() bool { return c.Link() }

// Watch implements netstack.Device.
func (c *card) Watch(changed func()) {
	c.watch = changed
	if c.HasConfigInterrupt() {
		go func() {
			for c.WaitConfig() == nil {
			}
		}()
	}
}

// Pairs implements netstack.Device.
func (c *card) Pairs() []netstack.Pair {
	pairs := make([]netstack.Pair, len(c.Rx()))
	for i := range pairs {
		rx := &rxQueue{RxQueue: c.Rx()[i], size: smallBuffer}
		if c.Device.Offloads().ReceiveTSO4 {
			rx.size = largeBuffer
		}
		if rx.MinBuffer() > smallBuffer {
			rx.size = largeBuffer
		}
		pairs[i] = netstack.Pair{Rx: rx, Tx: txQueue{c.Tx()[i]}, Wait: func() { c.Wait(i) }}
	}
	return pairs
}

const (
	// copyLimit lets a short answer be copied, which costs less than to tell the device where its
	// pieces are, and to wait until it has read them.
	copyLimit = 1024 - virtionet.HeaderSize
	// smallBuffer holds an ordinary frame. gVisor's views of this size begin at a multiple of it, so
	// that they lie within a page, and so do those of largeBuffer.
	smallBuffer = 2048
	// largeBuffer is for devices that merge segments, of which many buffers hold one.
	largeBuffer = platform.PageSize
)

// rxQueue is a netstack.RxQueue.
type rxQueue struct {
	*virtionet.RxQueue
	size     int
	segments [2]platform.Segment
	parts    []netstack.Buffer
}

// BufferSize implements netstack.RxQueue.
func (q *rxQueue) BufferSize() int { return q.size }

// Post implements netstack.RxQueue.
func (q *rxQueue) Post(b netstack.Buffer) error {
	b.View.Reset()
	b.View.Grow(q.size)
	data := b.View.AsSlice()
	if b.Address == 0 {
		s, err := devices.Memory().Translate(q.segments[:0], data)
		if err != nil {
			return err
		}
		if len(s) != 1 {
			return virtionet.ErrBuffer
		}
		b.Address = s[0].Addr
	}
	return q.RxQueue.Post(virtionet.Buffer{Data: data, Addr: b.Address, Tag: b.View})
}

// Poll implements netstack.RxQueue.
func (q *rxQueue) Poll(f *netstack.Frame) (bool, error) {
	received, ok, err := q.RxQueue.Poll()
	if !ok {
		return false, err
	}
	h := &received.Header
	f.Offload = netstack.Offload{
		Checksum:       netstack.Checksum(h.Checksum),
		SegmentSize:    h.SegmentSize,
		ChecksumStart:  h.ChecksumStart,
		ChecksumOffset: h.ChecksumOffset,
	}
	switch h.GSO {
	case virtionet.GSOTCP4:
		f.Type = stack.GSOTCPv4
	case virtionet.GSOTCP6:
		f.Type = stack.GSOTCPv6
	}
	q.parts = q.parts[:0]
	for i := range received.Parts {
		p := &received.Parts[i]
		v := p.Buffer.Tag.(*buffer.View)
		skip := 0
		if i == 0 {
			skip = virtionet.HeaderSize
		}
		v.CapLength(skip + len(p.Data))
		v.TrimFront(skip)
		q.parts = append(q.parts, netstack.Buffer{View: v, Address: p.Buffer.Addr})
	}
	f.Parts = q.parts
	return true, nil
}

// Dropped implements netstack.RxQueue.
func (q *rxQueue) Dropped() uint64 { return q.Stats().Dropped }

// Reclaim implements netstack.RxQueue.
func (q *rxQueue) Reclaim(give func(netstack.Buffer)) {
	q.RxQueue.Reclaim(func(b virtionet.Buffer) { give(netstack.Buffer{View: b.Tag.(*buffer.View), Address: b.Addr}) })
}

// txQueue is a netstack.TxQueue.
type txQueue struct{ *virtionet.TxQueue }

// Send implements netstack.TxQueue.
func (q txQueue) Send(o *netstack.Offload, parts [][]byte, done netstack.Completer) error {
	h := virtionet.Header{
		Checksum:       virtionet.Checksum(o.Checksum),
		ChecksumStart:  o.ChecksumStart,
		ChecksumOffset: o.ChecksumOffset,
	}
	if o.Type != stack.GSONone {
		h.GSO, h.HeaderLen, h.SegmentSize = virtionet.GSOTCP4, o.HeaderLen, o.SegmentSize
		if o.Type == stack.GSOTCPv6 {
			h.GSO = virtionet.GSOTCP6
		}
	}
	err := q.TxQueue.Send(&h, parts, done)
	if err == virtio.ErrFull {
		return netstack.ErrFull
	}
	return err
}

// Reap implements netstack.TxQueue.
func (q txQueue) Reap() error {
	_, err := q.TxQueue.Reap()
	return err
}
