// Package relay stands between machines of package qemu and whoever they talk to, at the level of
// Ethernet frames: it joins two ends by a link with faults (Join), is a host with a TCP/IP stack of its
// own (Peer), and makes frames that no decent host sends (Garbage, Flood).
//
// A machine reaches an end by qemu.Stream: Listen makes the socket, which the machine connects to.
package relay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/goshawk-os/goshawk/qemu"
)

// MaxFrame is the largest frame of an End in bytes, without checksum: what QEMU passes on at most.
const MaxFrame = 68 << 10

// An End is one end of a wire. Reading is for one goroutine, writing for any number.
type End interface {
	// ReadFrame reads the next frame into p, which should have room for MaxFrame. It returns io.EOF
	// when the other side has gone.
	ReadFrame(p []byte) (int, error)
	// WriteFrame sends a frame, and does not keep p. It returns io.EOF when the other side has gone.
	WriteFrame(p []byte) error
	Close() error
}

// A Listener waits for a machine to connect.
type Listener struct {
	l    net.Listener
	path string
}

// Listen makes a socket at path, which is short (108 bytes on Linux) and does not exist.
func Listen(path string) (*Listener, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	return &Listener{l, path}, nil
}

// Backend is what a machine's network device is to have as its backend.
func (l *Listener) Backend() qemu.Backend { return qemu.Stream{Network: "unix", Address: l.path} }

// Accept waits for a machine that has started, for at most a minute.
func (l *Listener) Accept() (End, error) {
	if err := l.l.(*net.UnixListener).SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return nil, err
	}
	c, err := l.l.Accept()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, errors.New("no machine has connected")
	}
	if err != nil {
		return nil, err
	}
	return NewStream(c), nil
}

// Close ends the waiting. Ends that were accepted stay.
func (l *Listener) Close() error { return l.l.Close() }

// A stream is an End on QEMU's stream netdev: each frame behind its length, 32 bits in network byte
// order (QEMU: net/stream.c).
type stream struct {
	c  net.Conn
	mu sync.Mutex // of writing
	w  []byte
}

// NewStream returns the End that a connection with a machine is. The connection is the End's from then.
func NewStream(c net.Conn) End { return &stream{c: c} }

func (s *stream) ReadFrame(p []byte) (int, error) {
	var length [4]byte
	if _, err := io.ReadFull(s.c, length[:]); err != nil {
		return 0, end(err)
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > uint32(len(p)) {
		return 0, fmt.Errorf("a frame of %d bytes", n)
	}
	_, err := io.ReadFull(s.c, p[:n])
	return int(n), end(err)
}

// end returns io.EOF for the ways in which a connection ends.
func end(err error) error {
	for _, gone := range []error{net.ErrClosed, io.ErrClosedPipe, io.ErrUnexpectedEOF, syscall.EPIPE, syscall.ECONNRESET} {
		if errors.Is(err, gone) {
			return io.EOF
		}
	}
	return err
}

func (s *stream) WriteFrame(p []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w = binary.BigEndian.AppendUint32(s.w[:0], uint32(len(p)))
	s.w = append(s.w, p...)
	_, err := s.c.Write(s.w)
	return end(err)
}

func (s *stream) Close() error { return s.c.Close() }
