package proc

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// TestPipeCarriesAll sends much in pieces of all sizes and compares the sums.
func TestPipeCarriesAll(t *testing.T) {
	r, w := pipe(t)
	random := rand.NewChaCha8([32]byte{1})
	sizes := rand.New(rand.NewPCG(1, 2))
	sent := sha256.New()
	go func() {
		defer w.Close()
		piece := make([]byte, 200_000)
		for range 200 {
			n := sizes.IntN(1 << sizes.IntN(18))
			random.Read(piece[:n])
			sent.Write(piece[:n])
			if _, err := w.Write(piece[:n]); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	received := sha256.New()
	_, err := io.CopyBuffer(received, struct{ io.Reader }{r}, make([]byte, 4999))
	require.NoError(t, err)
	assert.Equal(t, sent.Sum(nil), received.Sum(nil))
}

func TestPipeEnds(t *testing.T) {
	r, w := pipe(t)
	_, err := w.WriteString("last words")
	require.NoError(t, err)
	require.NoError(t, w.Close())
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	assert.Equal(t, "last words", string(b))

	r, w = pipe(t)
	require.NoError(t, r.Close())
	_, err = w.WriteString("x")
	assert.ErrorIs(t, err, syscall.EPIPE)
	_, err = w.Seek(0, io.SeekStart)
	assert.ErrorIs(t, err, syscall.ESPIPE)
}

func TestPipeDeadlines(t *testing.T) {
	r, w := pipe(t)
	require.NoError(t, r.SetReadDeadline(time.Now().Add(5*time.Millisecond)))
	_, err := r.Read(make([]byte, 1))
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, r.SetReadDeadline(time.Time{}))

	require.NoError(t, w.SetWriteDeadline(time.Now().Add(20*time.Millisecond)))
	n, err := w.Write(make([]byte, 1<<20))
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded, "the pipe is full")
	assert.Less(t, n, 1<<20)
	assert.GreaterOrEqual(t, n, 4096)
	got, err := io.ReadFull(r, make([]byte, n))
	require.NoError(t, err)
	assert.Equal(t, n, got)
}

func TestCloseWakesReader(t *testing.T) {
	for range 100 {
		r, _ := pipe(t)
		result := make(chan error)
		go func() {
			_, err := r.Read(make([]byte, 1))
			result <- err
		}()
		require.NoError(t, r.Close())
		assert.ErrorIs(t, <-result, os.ErrClosed)
	}
}

// TestManyWaitingReaders: a goroutine that waits for input takes no thread.
func TestManyWaitingReaders(t *testing.T) {
	const n = 400
	var group sync.WaitGroup
	var writers []*os.File
	for i := range n {
		r, w := pipe(t)
		writers = append(writers, w)
		group.Go(func() {
			var b [4]byte
			_, err := io.ReadFull(r, b[:])
			assert.NoError(t, err)
			assert.EqualValues(t, i, binary.LittleEndian.Uint32(b[:]))
		})
	}
	for i := range n {
		b := binary.LittleEndian.AppendUint32(nil, uint32(i))
		for _, part := range [][]byte{b[:1], b[1:]} {
			_, err := writers[i].Write(part)
			require.NoError(t, err)
		}
	}
	group.Wait()
}

// TestSmallWritesAreWhole: what several writers write at once in pieces of up to 4096 bytes stays
// together (PIPE_BUF).
func TestSmallWritesAreWhole(t *testing.T) {
	r, w := pipe(t)
	const writers, pieces, size = 8, 50, 4096
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() {
			piece := make([]byte, size)
			for j := range piece {
				piece[j] = byte(i)
			}
			for range pieces {
				if _, err := w.Write(piece); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	go func() { group.Wait(); w.Close() }()
	piece := make([]byte, size)
	for n := range writers * pieces {
		_, err := io.ReadFull(r, piece)
		require.NoError(t, err)
		require.Equal(t, size, bytes.Count(piece, piece[:1]), "piece %d is mixed", n)
	}
	_, err := r.Read(piece)
	assert.Equal(t, io.EOF, err)
}

func TestBlockingPipe(t *testing.T) {
	var fds [2]int
	require.NoError(t, syscall.Pipe2(fds[:], syscall.O_CLOEXEC))
	defer syscall.Close(fds[0])
	go func() {
		time.Sleep(2 * time.Millisecond)
		syscall.Write(fds[1], []byte("late"))
		syscall.Close(fds[1])
	}()
	b := make([]byte, 10)
	n, err := syscall.Read(fds[0], b)
	require.NoError(t, err)
	assert.Equal(t, "late", string(b[:n]))
	n, err = syscall.Read(fds[0], b)
	require.NoError(t, err)
	assert.Zero(t, n)

	require.NoError(t, syscall.Pipe2(fds[:], syscall.O_NONBLOCK))
	_, err = syscall.Read(fds[0], b)
	assert.Equal(t, syscall.EAGAIN, err)
	require.NoError(t, syscall.Close(fds[0]))
	require.NoError(t, syscall.Close(fds[1]))
}
