package netlink

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/net/netstack"
	"github.com/goshawk-os/goshawk/net/socket"
)

// card is a network card that receives nothing and loses what it sends.
type card struct {
	rx rxQueue
	tx txQueue
}

func (*card) MAC() ([6]byte, bool)        { return [6]byte{2, 0, 0, 0, 0, 1}, true }
func (*card) MTU() int                    { return 1500 }
func (*card) Offloads() netstack.Offloads { return netstack.Offloads{} }
func (*card) Carrier() bool               { return true }
func (*card) Watch(func())                {}
func (*card) SetReceive(bool, bool) error { return nil }
func (*card) Err() error                  { return nil }
func (*card) Done() <-chan struct{}       { return nil }
func (c *card) Pairs() []netstack.Pair {
	return []netstack.Pair{{Rx: &c.rx, Tx: &c.tx, Wait: func() { select {} }}}
}

// rxQueue never has a buffer posted.
type rxQueue struct{ netstack.RxQueue }

func (*rxQueue) BufferSize() int                    { return 2048 }
func (*rxQueue) Free() int                          { return 0 }
func (*rxQueue) Kick()                              {}
func (*rxQueue) Poll(*netstack.Frame) (bool, error) { return false, nil }
func (*rxQueue) EnableInterrupts() bool             { return false }
func (*rxQueue) DisableInterrupts()                 {}
func (*rxQueue) Dropped() uint64                    { return 0 }

type txQueue struct{ netstack.TxQueue }

func (*txQueue) Send(_ *netstack.Offload, _ [][]byte, done netstack.Completer) error {
	done.Sent(nil)
	return nil
}
func (*txQueue) InFlight() int          { return 0 }
func (*txQueue) Kick()                  {}
func (*txQueue) Reap() error            { return nil }
func (*txQueue) EnableInterrupts() bool { return false }
func (*txQueue) DisableInterrupts()     {}

// newFamily returns a family over a stack that has lo, and eth0 if wanted.
func newFamily(t *testing.T, ethernet bool) *Family {
	t.Helper()
	s := netstack.New(netstack.Options{})
	if ethernet {
		_, err := s.AddLink("eth0", new(card))
		require.Nil(t, err)
	}
	return New(s)
}

// dial returns a socket that is not watched.
func dial(t *testing.T, f *Family, protocol int) *conn {
	t.Helper()
	s, err := f.Socket(syscall.SOCK_RAW, protocol)
	require.Zero(t, err)
	t.Cleanup(s.Close)
	return s.(*conn)
}

var _ socket.Family = (*Family)(nil)
