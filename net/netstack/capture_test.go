package netstack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// file is a writer that can be read meanwhile.
type file struct {
	mu   sync.Mutex
	data bytes.Buffer
	err  error
}

func (f *file) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return 0, f.err
	}
	return f.data.Write(p)
}

func (f *file) bytes() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return bytes.Clone(f.data.Bytes())
}

// captured is a packet of a pcapng file.
type captured struct {
	link      string
	direction uint32
	frame     []byte
}

// readCapture reads a pcapng file as draft-ietf-opsawg-pcapng tells.
func readCapture(t *testing.T, p []byte) (packets []captured) {
	le := binary.LittleEndian
	var links []string
	for first := true; len(p) > 0; first = false {
		require.GreaterOrEqual(t, len(p), 12)
		kind, n := le.Uint32(p), int(le.Uint32(p[4:]))
		require.True(t, n%4 == 0 && n <= len(p), "length of block")
		require.Equal(t, n, int(le.Uint32(p[n-4:])), "length at its end")
		require.Equal(t, first, kind == blockSection)
		body := p[8 : n-4]
		p = p[n:]
		options := func(at int) map[uint16][]byte {
			m := make(map[uint16][]byte)
			for {
				code, size := le.Uint16(body[at:]), int(le.Uint16(body[at+2:]))
				if code == 0 {
					assert.Equal(t, len(body), at+4)
					return m
				}
				m[code] = body[at+4 : at+4+size]
				at += 4 + (size+3)&^3
			}
		}
		switch kind {
		case blockSection:
			assert.Equal(t, uint32(byteOrderMagic), le.Uint32(body))
			assert.Equal(t, []uint16{1, 0}, []uint16{le.Uint16(body[4:]), le.Uint16(body[6:])})
		case blockInterface:
			assert.Equal(t, uint16(linkEthernet), le.Uint16(body))
			o := options(8)
			assert.Equal(t, []byte{9}, o[9], "nanoseconds")
			links = append(links, string(o[2]))
		case blockPacket:
			id, size := le.Uint32(body), int(le.Uint32(body[12:]))
			require.Less(t, int(id), len(links))
			assert.Equal(t, size, int(le.Uint32(body[16:])))
			packets = append(packets, captured{links[id], le.Uint32(options(20 + (size+3)&^3)[2]), body[20 : 20+size]})
		default:
			t.Fatalf("block of type %#x", kind)
		}
	}
	return packets
}

func TestCapture(t *testing.T) {
	for name, offloads := range map[string]Offloads{"no offloads": {}, "everything": everything} {
		t.Run(name, func(t *testing.T) {
			ca, cb := newCard(1, offloads).usePairs(1), newCard(2, offloads).usePairs(1)
			join(t, ca, cb, nil)
			a, b := newNode(t, ca, Options{}), newNode(t, cb, Options{})
			var f file
			a.Capture(&f, func(err error) { t.Error(err) })
			transfer(t, a, b, b.ip4, header.IPv4ProtocolNumber, 1<<16)
			transfer(t, a, b, b.ip6, header.IPv6ProtocolNumber, 1<<16)
			lo := &node{Stack: a.Stack}
			transfer(t, lo, lo, header.IPv4Loopback, header.IPv4ProtocolNumber, 1<<16)
			payload := make(map[string]map[uint32]int)
			for _, p := range readCapture(t, f.bytes()) {
				l := dissect(t, p.frame)
				if l.tcp == nil {
					continue
				}
				assert.Equal(t, uint16(0xffff), checksum.Checksum(p.frame[l.start:], l.pseudo(len(p.frame)-l.start)), "checksum")
				if payload[p.link] == nil {
					payload[p.link] = make(map[uint32]int)
				}
				payload[p.link][p.direction] += len(l.payload)
			}
			// A busy machine retransmits.
			assert.Len(t, payload, 2)
			for direction := uint32(inbound); direction <= outbound; direction++ {
				assert.InDelta(t, 2<<16, payload["eth0"][direction], 1<<14)
			}
			assert.InDelta(t, 2<<16, payload["lo"][outbound], 1<<14)
			assert.Zero(t, payload["lo"][inbound], "a packet is captured once")
		})
	}
}

func TestCaptureFails(t *testing.T) {
	s := New(Options{})
	defer s.Close()
	var f file
	var failures []error
	s.Capture(&f, func(err error) { failures = append(failures, err) })
	f.mu.Lock()
	f.err = errors.New("disk is full")
	f.mu.Unlock()
	n := &node{Stack: s}
	transfer(t, n, n, header.IPv4Loopback, header.IPv4ProtocolNumber, 1<<16)
	assert.Equal(t, []error{f.err}, failures)
}
