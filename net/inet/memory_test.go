package inet

import (
	"bytes"
	"io"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/net/socket"
)

// onThisStack returns p as the personality passes a caller's memory on: its address is not known to
// escape.
func onThisStack(p []byte) []byte {
	return unsafe.Slice((*byte)(hidden(unsafe.Pointer(unsafe.SliceData(p)))), len(p))
}

// Goroutines are fresh, so that their small stacks move while memory on them is written and read.
func TestCallersStacksMayMove(t *testing.T) {
	a, b := connection(t, ours{newStack(t)}, ip4, "127.0.0.1:0")
	x, y := a.(*ourFD).Socket, b.(*ourFD).Socket
	for i := range 200 {
		var done sync.WaitGroup
		done.Add(2)
		go func() {
			defer done.Done()
			var data [600]byte
			for j := range data {
				data[j] = byte(i + j)
			}
			p := onThisStack(data[:])
			parts := [3][]byte{p[:100], append([]byte(nil), p[100:200]...), p[200:]} // on the stack and not
			var n int
			var e syscall.Errno
			if i%2 == 0 {
				n, e = x.Write(p)
			} else {
				n, e = x.Send(&socket.Message{Parts: parts[:]}, 0)
			}
			if n != len(data) || e != 0 {
				t.Error(n, e)
			}
		}()
		go func() {
			defer done.Done()
			var data [600]byte
			for n := 0; n < len(data); {
				got, e := y.Read(onThisStack(data[n:]))
				if e != 0 && e != syscall.EAGAIN {
					t.Error(e)
					return
				}
				n += got
			}
			for j := range data {
				if data[j] != byte(i+j) {
					t.Errorf("byte %d is %d", j, data[j])
					return
				}
			}
		}()
		done.Wait()
	}
}

func TestOnStack(t *testing.T) {
	var local [10]byte
	assert.True(t, onStack(hidden(unsafe.Pointer(&local))))
	heap := make([]byte, 10)
	sinkForTest = heap
	assert.False(t, onStack(unsafe.Pointer(&heap[0])))
	assert.False(t, onStack(nil))
}

var sinkForTest []byte

// The stack's own allocations are the only ones: a reader that escaped would be one more, and its
// pointers into the caller's stack would be wrong.
func TestNoAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("pools forget under the race detector")
	}
	a, b := connection(t, ours{newStack(t)}, ip4, "127.0.0.1:0")
	x, y := a.(*ourFD).Socket, b.(*ourFD).Socket
	p, q := make([]byte, 1000), make([]byte, 2000)
	parts := &socket.Message{Parts: [][]byte{q[:300], q[300:]}}
	move := func(read func()) {
		x.Write(p)
		eventually(func() bool { return y.Ready()&socket.In != 0 })
		read()
	}
	for name, read := range map[string]func(){
		"read":    func() { y.Read(q) },
		"receive": func() { y.Receive(parts, 0) },
		"discard": func() { y.Receive(parts, syscall.MSG_TRUNC) },
	} {
		for range 100 {
			move(read)
		}
		n := testing.AllocsPerRun(200, func() { move(read) })
		assert.LessOrEqual(t, n, 3.0, name)
		t.Logf("%s: %v allocations for a write and a read", name, n)
	}
	assert.Zero(t, testing.AllocsPerRun(100, func() { y.Read(q) }), "of nothing")
	assert.Zero(t, testing.AllocsPerRun(100, func() { y.Ready() }))
}

func TestSource(t *testing.T) {
	parts := [][]byte{[]byte("one"), nil, []byte("two"), []byte("three")}
	s := newSourceParts(parts)
	assert.Equal(t, 11, s.Len())
	b := make([]byte, 4)
	n, err := s.Read(b)
	require.NoError(t, err)
	assert.Equal(t, "onet", string(b[:n]))
	n, err = s.Read(nil)
	require.NoError(t, err)
	require.Zero(t, n)
	rest, err := io.ReadAll(s)
	require.NoError(t, err)
	assert.Equal(t, "wothree", string(rest))
	assert.Equal(t, "two", string(parts[2]), "the parts stay as they were")
	s.release()
}

func TestSink(t *testing.T) {
	one, two := make([]byte, 3), make([]byte, 4)
	s := sink{p: one, parts: [][]byte{nil, two}}
	n, err := s.Write([]byte("hello"))
	require.NoError(t, err)
	require.Equal(t, 5, n)
	n, err = s.Write([]byte("world"))
	assert.Equal(t, io.ErrShortWrite, err)
	assert.Equal(t, 2, n)
	assert.Equal(t, "hello wo", string(bytes.Join([][]byte{one, two}, nil))[:5]+" "+string(two[2:]))
	spilling := sink{p: one, spill: true}
	n, err = spilling.Write([]byte("too much"))
	require.NoError(t, err)
	assert.Equal(t, 8, n)
	assert.Equal(t, 3, spilling.n)
}
