package netstack

import (
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	// backlogLimit is how many packets wait for room in the device's queue, as Linux's txqueuelen.
	backlogLimit = 1000
	// maxParts is how many pieces a frame is sent in at most; others are copied into one.
	maxParts = 16
	// lazyBytes may stay with the device unreaped while nothing happens.
	lazyBytes = 128 << 10
)

// A sender gives packets to a device's send queue. Those for which there is no room wait in a
// backlog, and further ones are dropped.
type sender struct {
	ethernet *ethernet
	tx       TxQueue

	mu      sync.Mutex
	closed  bool
	backlog []*stack.PacketBuffer // owned references
	parts   [maxParts][]byte
	offload Offload
	pending int // bytes given since no frame was seen under way
	held    int // frames given and not shown
	holding int // how many may be
	counts  counts
}

func (s *sender) init(e *ethernet, tx TxQueue) { s.ethernet, s.tx = e, tx }

// WritePackets sends packets with their headers complete. gVisor has single packets only, for WritePacket.
func (e *ethernet) WritePackets(pkts stack.PacketBufferList) (n int, err tcpip.Error) {
	return writeEach(e, pkts)
}

// writeEach sends packets up to the first that cannot be sent.
func writeEach(l linkEndpoint, pkts stack.PacketBufferList) (n int, err tcpip.Error) {
	for _, p := range pkts.AsSlice() {
		if err := l.WritePacket(p); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// WritePacket sends a packet with its headers complete.
func (e *ethernet) WritePacket(p *stack.PacketBuffer) tcpip.Error {
	s := e.sender(p)
	if s.observed() {
		s.observe(p)
	}
	s.mu.Lock()
	err := s.write(p)
	s.show()
	s.mu.Unlock()
	return err
}

// sender returns the queue of a packet: the same for all packets of a connection.
func (e *ethernet) sender(p *stack.PacketBuffer) *sender {
	if len(e.pairs) == 1 {
		return &e.pairs[0].send
	}
	return &e.pairs[p.Hash%uint32(len(e.pairs))].send
}

// observed reports whether somebody looks at packets.
func (s *sender) observed() bool {
	st := s.ethernet.link.stack
	return st.capture.Load() != nil || st.packetSockets.Load() > 0
}

// observe shows a packet to those who look at them.
func (s *sender) observe(p *stack.PacketBuffer) {
	l := s.ethernet.link
	if c := l.stack.capture.Load(); c != nil {
		c.sent(l, p)
	}
	if d := s.ethernet.dispatcher.Load(); d != nil && l.stack.packetSockets.Load() > 0 {
		(*d).DeliverLinkPacket(p.NetworkProtocolNumber, p)
	}
}

// write gives a packet to the device, or keeps it in the backlog. s.mu is held.
func (s *sender) write(p *stack.PacketBuffer) tcpip.Error {
	switch {
	case s.closed:
		return &tcpip.ErrClosedForSend{}
	case len(s.backlog) == 0 && s.give(p):
		return nil
	case len(s.backlog) >= backlogLimit:
		s.counts.txDropped.Add(1)
		return &tcpip.ErrNoBufferSpace{}
	}
	s.backlog = append(s.backlog, p.IncRef())
	return nil
}

// show shows the device what it was given, unless more is about to come. s.mu is held.
func (s *sender) show() {
	if s.held <= s.holding && len(s.backlog) == 0 {
		return
	}
	s.held = 0
	s.tx.Kick()
	if len(s.backlog) > 0 {
		s.drain()
	}
}

// hold lets n frames be given before the device is shown them. The caller releases them soon.
func (s *sender) hold(n int) {
	s.mu.Lock()
	s.holding = n
	s.mu.Unlock()
}

// give gives a packet to the device. It returns false if there is no room. s.mu is held.
func (s *sender) give(p *stack.PacketBuffer) bool {
	n := s.split(p)
	s.describe(p)
	err := s.tx.Send(&s.offload, s.parts[:n], (*sentPacket)(p.IncRef()))
	clear(s.parts[:n])
	if err == nil {
		s.counts.tx(uint64(p.Size()))
		s.pending += p.Size()
		s.held++
		return true
	}
	p.DecRef()
	if err == ErrFull {
		return false
	}
	s.counts.txErrors.Add(1)
	return true
}

// sentPacket is a packet that the device reads from.
type sentPacket stack.PacketBuffer

// Sent gives the reference up.
func (p *sentPacket) Sent(error) { (*stack.PacketBuffer)(p).DecRef() }

// split puts the bytes of a packet into s.parts and returns their number.
func (s *sender) split(p *stack.PacketBuffer) int {
	views, skip := p.AsViewList()
	n := 0
	for v := views.Front(); v != nil; v = v.Next() {
		b := v.AsSlice()
		if skip >= len(b) {
			skip -= len(b)
			continue
		}
		if n == maxParts {
			s.parts[0] = p.ToView().AsSlice()
			clear(s.parts[1:])
			return 1
		}
		s.parts[n] = b[skip:]
		skip = 0
		n++
	}
	return n
}

// describe sets s.offload to what the device is to do for a packet.
func (s *sender) describe(p *stack.PacketBuffer) {
	o := &s.offload
	*o = Offload{}
	g := &p.GSOOptions
	if g.Type == stack.GSONone || !g.NeedsCsum {
		return
	}
	start := ethernetHeader + len(p.NetworkHeader().Slice())
	headers := start + len(p.TransportHeader().Slice())
	o.Checksum, o.ChecksumStart, o.ChecksumOffset = ChecksumPartial, uint16(start), g.CsumOffset
	if p.Size()-headers > int(g.MSS) {
		o.Type, o.HeaderLen, o.SegmentSize = g.Type, uint16(headers), g.MSS
	}
}

// drain gives the device what waits in the backlog, as far as there is room, and asks for an
// interrupt if something is left. s.mu is held.
func (s *sender) drain() {
	for {
		n := 0
		for n < len(s.backlog) && s.give(s.backlog[n]) {
			s.backlog[n].DecRef()
			n++
		}
		s.backlog = append(s.backlog[:0], s.backlog[n:]...)
		s.tx.Kick()
		if len(s.backlog) == 0 || !s.tx.EnableInterrupts() {
			return
		}
		if s.tx.Reap() != nil {
			return
		}
	}
}

// release ends hold. It completes what the device has sent.
func (s *sender) release() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holding = 0
	if err := s.tx.Reap(); err != nil {
		return err
	}
	s.show()
	return nil
}

// park is called before the pair's goroutine waits. Frames under way are reaped when something
// happens next; only many bytes are worth an interrupt. It returns true if there is something to do
// already.
func (s *sender) park() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tx.InFlight() == 0 {
		s.pending = 0
	}
	return s.pending > lazyBytes && s.tx.EnableInterrupts()
}

// unpark is called when the pair's goroutine has waited.
func (s *sender) unpark() {
	s.mu.Lock()
	s.tx.DisableInterrupts()
	s.mu.Unlock()
}

// close drops what waits and takes back what the device has.
func (s *sender) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, p := range s.backlog {
		s.counts.txDropped.Add(1)
		p.DecRef()
	}
	s.backlog = nil
	_ = s.tx.Reap() // the reason is known
}
