package relay

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/goshawk-os/goshawk/qemu"
)

// wire returns two ends that are joined without faults.
func wire() (a, b End) {
	x, y := net.Pipe()
	return NewStream(x), NewStream(y)
}

// through sends numbered frames through a relay and returns what arrives, and the counts.
func through(t *testing.T, f Faults, n int) ([][]byte, Counts) {
	t.Helper()
	a, left := wire()
	right, b := wire()
	r := Join(left, right, f, Faults{})
	arrived := make(chan [][]byte)
	var received atomic.Uint64
	go func() {
		var frames [][]byte
		for {
			p := make([]byte, MaxFrame)
			n, err := b.ReadFrame(p)
			if err != nil {
				arrived <- frames
				return
			}
			frames = append(frames, p[:n])
			received.Add(1)
		}
	}()
	for i := range n {
		frame := make([]byte, 60)
		binary.BigEndian.PutUint32(frame, uint32(i))
		require.NoError(t, a.WriteFrame(frame))
	}
	counts := func() Counts { c, _ := r.Counts(); return c }
	require.Eventually(t, func() bool {
		c := counts()
		return c.Frames == uint64(n) && received.Load() == c.Frames-c.Lost+c.Duplicated
	}, 10*time.Second, time.Millisecond)
	time.Sleep(2 * reorderTime) // for a frame too many
	require.NoError(t, r.Close())
	return <-arrived, counts()
}

func number(frame []byte) uint32 { return binary.BigEndian.Uint32(frame) }

func TestRelayCarries(t *testing.T) {
	frames, counts := through(t, Faults{}, 100)
	assert.Equal(t, Counts{Frames: 100}, counts)
	require.Len(t, frames, 100)
	for i, f := range frames {
		assert.EqualValues(t, i, number(f))
	}
}

func TestRelayFaults(t *testing.T) {
	const n = 5000
	frames, counts := through(t, Faults{Seed: 1, Lose: 0.1}, n)
	assert.InDelta(t, n/10, counts.Lost, 100)
	assert.Len(t, frames, n-int(counts.Lost))

	frames, counts = through(t, Faults{Seed: 1, Duplicate: 0.1}, n)
	assert.InDelta(t, n/10, counts.Duplicated, 100)
	assert.Len(t, frames, n+int(counts.Duplicated))

	frames, counts = through(t, Faults{Seed: 1, Reorder: 0.1}, n)
	assert.Greater(t, counts.Reordered, uint64(n/20))
	assert.Len(t, frames, n)
	late := 0
	for i := 1; i < len(frames); i++ {
		if number(frames[i]) < number(frames[i-1]) {
			late++
		}
	}
	assert.InDelta(t, counts.Reordered, late, 2)

	frames, counts = through(t, Faults{Seed: 1, Corrupt: 0.1}, n)
	assert.InDelta(t, n/10, counts.Corrupted, 100)
	wrong := 0
	for i, f := range frames {
		want := make([]byte, 60)
		binary.BigEndian.PutUint32(want, uint32(i))
		if !bytes.Equal(want, f) {
			wrong++
		}
	}
	assert.EqualValues(t, counts.Corrupted, wrong)

	same, again := through(t, Faults{Seed: 1, Corrupt: 0.1}, n)
	assert.Equal(t, counts, again)
	assert.Equal(t, frames, same)
	_, other := through(t, Faults{Seed: 2, Corrupt: 0.1}, n)
	assert.NotEqual(t, counts, other)
	assert.Equal(t, fmt.Sprintf("5000 frames, 0 lost, 0 duplicated, 0 reordered, %d corrupted", counts.Corrupted), counts.String())
}

func TestRelayEnds(t *testing.T) {
	a, left := wire()
	right, b := wire()
	r := Join(left, right, Faults{}, Faults{})
	a.Close()
	_, err := b.ReadFrame(make([]byte, MaxFrame))
	assert.ErrorIs(t, err, io.EOF)
	assert.NoError(t, r.Close())
}

func TestFrameTooLong(t *testing.T) {
	x, y := net.Pipe()
	go x.Write([]byte{0xff, 0, 0, 0})
	_, err := NewStream(y).ReadFrame(make([]byte, MaxFrame))
	assert.ErrorContains(t, err, "a frame of 4278190080 bytes")
}

// peers returns two hosts on one wire with faults.
func peers(t *testing.T, f Faults) (a, b *Peer) {
	t.Helper()
	x, left := wire()
	right, y := wire()
	there, back := f, f
	back.Seed++
	r := Join(left, right, there, back)
	a, err := NewPeer(x, netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("fd00::1/64"))
	require.NoError(t, err)
	b, err = NewPeer(y, netip.MustParsePrefix("10.0.0.2/24"), netip.MustParsePrefix("fd00::2/64"))
	require.NoError(t, err)
	t.Cleanup(func() {
		there, back := r.Counts()
		t.Log("there:", there)
		t.Log("back:", back)
		assert.NoError(t, r.Close())
		assert.NoError(t, a.Close())
		assert.NoError(t, b.Close())
	})
	// Both have the same Ethernet address, which a wire of two does not mind.
	return a, b
}

func TestPeers(t *testing.T) {
	for name, f := range map[string]Faults{
		"good wire": {},
		"bad wire":  {Seed: 7, Lose: 0.02, Duplicate: 0.02, Reorder: 0.02, Corrupt: 0.02},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := peers(t, f)
			content := make([]byte, 256<<10)
			rand.NewChaCha8([32]byte{1}).Read(content)
			for _, addr := range []string{"10.0.0.2:80", "[fd00::2]:80"} {
				l, err := b.Listen(netip.MustParseAddrPort(addr))
				require.NoError(t, err)
				server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(content) })}
				go server.Serve(l)
				client := http.Client{Transport: &http.Transport{DialContext: a.DialContext}, Timeout: 2 * time.Minute}
				resp, err := client.Get("http://" + addr + "/")
				require.NoError(t, err)
				got, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				assert.Equal(t, sha256.Sum256(content), sha256.Sum256(got))
				client.CloseIdleConnections()
				server.Close()
			}
		})
	}
}

func TestPeerUDP(t *testing.T) {
	a, b := peers(t, Faults{})
	at := netip.MustParseAddrPort("10.0.0.2:53")
	packets, err := b.ListenPacket(at)
	require.NoError(t, err)
	defer packets.Close()
	c, err := a.DialContext(t.Context(), "udp", at.String())
	require.NoError(t, err)
	defer c.Close()
	large := bytes.Repeat([]byte("fragment"), 1000) // which needs six frames
	_, err = c.Write(large)
	require.NoError(t, err)
	got := make([]byte, 65536)
	packets.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, from, err := packets.ReadFrom(got)
	require.NoError(t, err)
	assert.Equal(t, large, got[:n])
	_, err = packets.WriteTo([]byte("answer"), from)
	require.NoError(t, err)
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, err = c.Read(got)
	require.NoError(t, err)
	assert.Equal(t, "answer", string(got[:n]))

	_, err = a.DialContext(t.Context(), "unix", at.String())
	assert.ErrorContains(t, err, "unknown network")
	_, err = a.DialContext(t.Context(), "tcp", "name:80")
	assert.Error(t, err)
}

func TestSYN(t *testing.T) {
	target := Target{net.HardwareAddr{2, 0, 0, 0, 0, 1}, netip.MustParseAddr("10.0.0.2"), 80}
	frame := target.SYN(netip.MustParseAddrPort("198.18.0.1:1024"), 5)
	ip := header.IPv4(frame[header.EthernetMinimumSize:])
	assert.True(t, ip.IsValid(len(ip)))
	assert.True(t, ip.IsChecksumValid())
	segment := header.TCP(ip.Payload())
	assert.True(t, segment.IsChecksumValid(ip.SourceAddress(), ip.DestinationAddress(), 0, 0))
	assert.Equal(t, header.TCPFlagSyn, segment.Flags())
	assert.EqualValues(t, 80, segment.DestinationPort())
	assert.Equal(t, "02:00:00:00:00:01", net.HardwareAddr(frame[:6]).String())
}

// TestGarbage throws garbage at a Peer, whose stack is known to stand it, and floods it.
func TestGarbage(t *testing.T) {
	a, b := wire()
	p, err := NewPeer(b, netip.MustParsePrefix("10.0.0.2/24"))
	require.NoError(t, err)
	target := Target{PeerMAC, netip.MustParseAddr("10.0.0.2"), 80}
	l, err := p.Listen(netip.AddrPortFrom(target.Addr, target.Port))
	require.NoError(t, err)
	defer l.Close()
	go func() { // what it answers
		frame := make([]byte, MaxFrame)
		for {
			if _, err := a.ReadFrame(frame); err != nil {
				return
			}
		}
	}()
	rng := rand.New(rand.NewPCG(1, 0))
	for range 20000 {
		require.NoError(t, a.WriteFrame(target.Garbage(rng)))
	}
	require.NoError(t, Flood(a, target, 1000, 1))
	assert.NoError(t, p.Close())
	assert.ErrorIs(t, Flood(a, target, 1, 1), io.EOF)
}

func TestListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wire")
	l, err := Listen(path)
	require.NoError(t, err)
	assert.Equal(t, qemu.Stream{Network: "unix", Address: path}, l.Backend())
	c, err := net.Dial("unix", path)
	require.NoError(t, err)
	e, err := l.Accept()
	require.NoError(t, err)
	require.NoError(t, e.WriteFrame([]byte("frame")))
	got := make([]byte, 9)
	_, err = io.ReadFull(c, got)
	require.NoError(t, err)
	assert.Equal(t, "\x00\x00\x00\x05frame", string(got))
	require.NoError(t, l.Close())
	_, err = l.Accept()
	assert.Error(t, err)
	c.Close()
	_, err = e.ReadFrame(got)
	assert.ErrorIs(t, err, io.EOF)
	_, err = Listen(filepath.Join(t.TempDir(), "no", "where"))
	assert.Error(t, err)
}
