package netstack

import (
	"encoding/binary"
	"runtime"
	"sync"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/stack/gro"

	"github.com/goshawk-os/goshawk/kernel/stackroom"
)

const (
	// budget is how many frames are received before what was sent is reaped and buffers are posted.
	budget = 64
	// copyBreak is the longest frame that is copied: a socket that keeps it then pins no more memory
	// than gVisor accounts for, and the device's buffer is posted again at once.
	copyBreak = 512
	// groBreak is the shortest frame that begins a merged segment. Shorter ones are requests and
	// acknowledgements, for which looking costs more than it saves.
	groBreak = 1024
	// fewBuffers are posted at first; twice as many each time the device has used half of them.
	fewBuffers = 32
	// How many frames are sent before the device is shown them: while frames are received, and while
	// answers to them may come.
	holdPolling, holdAnswers = 16, 4
)

// A pair serves a queue pair of a device.
type pair struct {
	ethernet *ethernet
	rx       RxQueue
	wait     func()
	send     sender

	// mu is held while the pair's goroutine runs, and guards what follows.
	mu     sync.Mutex
	closed bool
	size   int // of buffers
	posted int
	target int // how many buffers are to be posted
	most   int
	spare  []Buffer // buffers whose frames were copied
	frame  Frame
	gro    gro.GRO
	held   bool // gro may hold packets
	counts counts
}

// newPair returns one of count pairs.
func newPair(e *ethernet, p Pair, count int) *pair {
	r := &pair{ethernet: e, rx: p.Rx, wait: p.Wait, size: p.Rx.BufferSize()}
	r.send.init(e, p.Tx)
	r.most = p.Rx.Free()
	if memory := e.link.stack.options.Memory; memory != 0 {
		// All buffers of a device take no more than 1/32 of memory.
		r.most = max(fewBuffers, min(r.most, int(memory/32)/count/r.size))
	}
	r.target = min(fewBuffers, r.most)
	r.gro.Init(!e.offloads.ReceiveTSO)
	r.gro.Dispatcher = groOutput{r}
	return r
}

func (r *pair) start() {
	r.rx.DisableInterrupts()
	r.fill()
	go r.run()
}

// run receives until the device is out of service.
//
// What is sent meanwhile is shown to the device together: during a poll after some frames, since poll
// ends soon, and after a poll that received several frames, since those who got them are about to
// answer. They run first, and then this goroutine again, before it waits.
func (r *pair) run() {
	stackroom.Grow()
	r.mu.Lock()
	defer r.mu.Unlock()
	for again := false; !r.closed; {
		r.send.hold(holdPolling)
		n, err := r.poll()
		if n > 1 || n == 1 && again {
			r.send.hold(holdAnswers)
			runtime.Gosched()
		}
		if e := r.send.release(); err != nil || e != nil {
			return // the device closes Done
		}
		if again = n > 0; again || r.rx.EnableInterrupts() {
			continue
		}
		if r.send.park() {
			r.rx.DisableInterrupts()
			continue
		}
		r.mu.Unlock()
		r.wait()
		r.mu.Lock()
		if !r.closed {
			r.rx.DisableInterrupts()
			r.send.unpark()
		}
	}
}

// poll receives up to budget frames and returns how many there were. What TCP does about them is done
// at the end, on this goroutine, where gVisor has been taught to (goos/_modules).
func (r *pair) poll() (n int, err error) {
	tcp := r.ethernet.link.stack.tcp
	for ; n < budget; n++ {
		ok, err := r.rx.Poll(&r.frame)
		if err != nil {
			if n > 0 && tcp != nil {
				tcp.Process()
			}
			return n, err
		}
		if !ok {
			break
		}
		if n == 0 && tcp != nil {
			tcp.Defer()
		}
		r.posted -= len(r.frame.Parts)
		r.receive(&r.frame)
	}
	if r.held {
		r.gro.Flush()
		r.held = false
	}
	if n > 0 {
		if tcp != nil {
			tcp.Process()
		}
		if r.posted < r.target/2 {
			r.target = min(2*r.target, r.most)
		}
		r.fill()
	}
	return n, nil
}

// fill posts buffers.
func (r *pair) fill() {
	for r.posted < r.target && r.rx.Free() > 0 {
		var b Buffer
		if n := len(r.spare); n > 0 {
			b = r.spare[n-1]
			r.spare = r.spare[:n-1]
		} else {
			b.View = buffer.NewView(r.size)
		}
		if err := r.rx.Post(b); err != nil {
			b.View.Release()
			break
		}
		r.posted++
	}
	r.rx.Kick()
}

// receive hands a frame to the stack.
func (r *pair) receive(f *Frame) {
	e := r.ethernet
	pkt := r.packet(f)
	size := pkt.Data().Size()
	r.counts.rx(uint64(size))
	h, ok := pkt.LinkHeader().Consume(ethernetHeader)
	d := e.dispatcher.Load()
	if !ok || d == nil {
		r.counts.rxDropped.Add(1)
		pkt.DecRef()
		return
	}
	pkt.NetworkProtocolNumber = tcpip.NetworkProtocolNumber(binary.BigEndian.Uint16(h[12:]))
	switch destination := linkBits(h); {
	case destination == e.address.Load().bits:
		pkt.PktType = tcpip.PacketHost
	case destination == broadcastBits:
		pkt.PktType = tcpip.PacketBroadcast
	case destination&groupBit != 0:
		pkt.PktType = tcpip.PacketMulticast
		r.counts.multicast.Add(1)
	default:
		pkt.PktType = tcpip.PacketOtherHost
	}
	pkt.RXChecksumValidated = f.Checksum != ChecksumNone
	s := e.link.stack
	if c := s.capture.Load(); c != nil {
		c.received(e.link, pkt, f.Checksum == ChecksumPartial)
	}
	if s.packetSockets.Load() > 0 {
		(*d).DeliverLinkPacket(pkt.NetworkProtocolNumber, pkt)
	}
	if pkt.PktType == tcpip.PacketOtherHost {
		pkt.DecRef()
		return
	}
	if r.held || size >= groBreak && f.Type == stack.GSONone && !e.offloads.ReceiveTSO {
		r.held = true
		r.gro.Enqueue(pkt)
	} else {
		r.deliver(pkt)
	}
	pkt.DecRef()
}

// packet makes a packet of a frame's buffers, or of a copy if that is short.
func (r *pair) packet(f *Frame) *stack.PacketBuffer {
	var payload buffer.Buffer
	if b := f.Parts[0]; len(f.Parts) == 1 && b.View.Size() <= copyBreak {
		payload = buffer.MakeWithView(buffer.NewViewWithData(b.View.AsSlice()))
		r.spare = append(r.spare, b)
	} else {
		for _, b := range f.Parts {
			payload.Append(b.View)
		}
	}
	return stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: payload})
}

// deliver hands a packet to its protocol. IP packets do not go through gVisor's NIC, which would
// forget what is known of their checksums.
func (r *pair) deliver(pkt *stack.PacketBuffer) {
	e := r.ethernet
	if e.direct != nil && e.direct.DeliverDirect(pkt) {
		return
	}
	switch pkt.NetworkProtocolNumber {
	case header.IPv4ProtocolNumber:
		e.ip4.HandlePacket(pkt)
	case header.IPv6ProtocolNumber:
		e.ip6.HandlePacket(pkt)
	default:
		if d := e.dispatcher.Load(); d != nil {
			(*d).DeliverNetworkPacket(pkt.NetworkProtocolNumber, pkt)
		}
	}
}

// groOutput takes what GRO has merged.
type groOutput struct{ *pair }

func (o groOutput) DeliverNetworkPacket(_ tcpip.NetworkProtocolNumber, pkt *stack.PacketBuffer) {
	o.deliver(pkt)
}

func (groOutput) DeliverLinkPacket(tcpip.NetworkProtocolNumber, *stack.PacketBuffer) {}

// close ends the pair's service: its buffers come back.
func (r *pair) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.rx.Reclaim(func(b Buffer) { b.View.Release() })
	for _, b := range r.spare {
		b.View.Release()
	}
	r.spare = nil
	r.send.close()
}

func (r *pair) addStatistics(sum *Statistics) {
	r.counts.addTo(sum)
	r.send.counts.addTo(sum)
	sum.RxDropped += r.rx.Dropped()
}
