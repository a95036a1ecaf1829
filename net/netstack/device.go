package netstack

import (
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// A Device is a network interface card as its driver offers it: Ethernet frames go out and come in
// through pairs of queues. What it says is checked by the driver, what arrives by the stack.
type Device interface {
	// MAC returns the card's address; false if the stack must choose one.
	MAC() (mac [6]byte, ok bool)
	// MTU returns the longest IP packet in bytes.
	MTU() int
	// Offloads returns what the card does for the stack.
	Offloads() Offloads
	// Carrier reports whether the link is up.
	Carrier() bool
	// Watch has changed called whenever the carrier may have changed. It is called once, before
	// frames are received or sent; changed does not wait.
	Watch(changed func())
	// SetReceive chooses which frames arrive beyond those addressed to the card: those for others,
	// all those for groups.
	SetReceive(promiscuous, allMulticast bool) error
	// Pairs returns the queues: at least one pair.
	Pairs() []Pair
	// Err returns why the card is out of service, nil while it serves.
	Err() error
	// Done returns a channel that is closed when the card is out of service. Pair.Wait may then
	// never return.
	Done() <-chan struct{}
}

// A Pair is a receive and a send queue which share an interrupt.
type Pair struct {
	Rx RxQueue
	Tx TxQueue
	// Wait parks until the pair has interrupted. It may return without cause.
	Wait func()
}

// An RxQueue receives. One goroutine at a time uses it.
type RxQueue interface {
	// BufferSize returns the length of the buffers to post.
	BufferSize() int
	// Free returns how many buffers may be posted now.
	Free() int
	// Post gives a buffer to the card, which sees it at the next Kick. An error says why the card is
	// out of service; the buffer stays the caller's.
	Post(Buffer) error
	// Kick shows posted buffers to the card.
	Kick()
	// Poll takes the next received frame; its views are the caller's from then on. ok is false if
	// there is none. An error says why the card is out of service.
	Poll(f *Frame) (ok bool, err error)
	// EnableInterrupts asks for an interrupt at the next frame. It returns true if there may be one
	// already, or the card is out of service: then Poll.
	EnableInterrupts() (pending bool)
	// DisableInterrupts asks for no more interrupts.
	DisableInterrupts()
	// Dropped returns how many frames the driver has refused since the card was opened.
	Dropped() uint64
	// Reclaim gives all buffers back from a card that is out of service, but for those that the card
	// may still write to.
	Reclaim(give func(Buffer))
}

// A Buffer is memory to receive into: BufferSize bytes, which a view of its own holds.
type Buffer struct {
	View *buffer.View
	// Address is the driver's: 0 for a buffer that was never posted, else what Poll or Reclaim said
	// of the same view.
	Address uint64
}

// A TxQueue sends. Its methods may be called by several goroutines at once.
type TxQueue interface {
	// Send gives a frame, the bytes of parts in order, to the card, which sees it at the next Kick.
	// The bytes do not change until done.Sent was called. parts itself is not kept. ErrFull says
	// that there is no room now, any other error that this frame cannot be sent, or why the card is
	// out of service; then done is not called. Earlier frames may be completed.
	Send(o *Offload, parts [][]byte, done Completer) error
	// Kick shows frames to the card.
	Kick()
	// InFlight returns how many frames the card has been shown and are not completed.
	InFlight() int
	// Reap completes the frames that the card has sent. An error says why the card is out of
	// service; its frames are then completed too, but for those that it may still read.
	Reap() error
	// EnableInterrupts asks for an interrupt when about half of the frames under way are sent. It
	// returns true if they are already: then Reap.
	EnableInterrupts() (pending bool)
	// DisableInterrupts asks for no more interrupts.
	DisableInterrupts()
}

// A Completer is told when a frame has left memory: Sent is called once, on any goroutine that sends
// or reaps. err says why the card went out of service. It does not wait.
type Completer = interface{ Sent(err error) }

// ErrFull says that a send queue has no room until the card has sent something.
const ErrFull = deviceError("send queue is full")

type deviceError string

func (e deviceError) Error() string { return string(e) }

// Offloads are the abilities of a card.
type Offloads struct {
	SendChecksum    bool // ChecksumPartial may be sent
	SendTSO4        bool // TCP over IPv4 may be sent unsegmented
	SendTSO6        bool // TCP over IPv6 may be sent unsegmented
	ReceiveChecksum bool // ChecksumPartial and ChecksumValid may arrive
	ReceiveTSO      bool // TCP may arrive in merged segments
}

// Checksum says what is known of a frame's TCP or UDP checksum.
type Checksum uint8

const (
	// ChecksumNone: nothing. Received frames must be verified; frames to be sent are complete.
	ChecksumNone Checksum = iota
	// ChecksumPartial: the checksum's field holds the sum of the pseudo header only. A received frame
	// with this is intact: it comes from the same host.
	ChecksumPartial
	// ChecksumValid: the card has verified it. Only in received frames.
	ChecksumValid
)

// An Offload is what stack and card say to each other about a frame. Lengths are in bytes.
type Offload struct {
	Checksum       Checksum
	Type           stack.GSOType // GSONone, GSOTCPv4 or GSOTCPv6
	HeaderLen      uint16        // with Type: before the TCP payload; only of frames to be sent
	SegmentSize    uint16        // with Type: payload of each segment but the last
	ChecksumStart  uint16        // with ChecksumPartial: from the frame's begin to what is summed
	ChecksumOffset uint16        // with ChecksumPartial: from ChecksumStart to the checksum's field
}

// A Frame is a received Ethernet frame.
type Frame struct {
	Offload
	// Parts hold the frame and nothing else, in order; at least one. The slice is valid until the
	// next Poll.
	Parts []Buffer
}
