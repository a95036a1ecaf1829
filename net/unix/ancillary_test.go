package unix

import (
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/net/socket"
)

// TestSegments compares what a stream hands over with a plain model of it.
func TestSegments(t *testing.T) {
	start(t)
	type piece struct {
		length int
		ancillary
	}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		byCredentials := seed%2 == 0
		a, b := pair(t, syscall.SOCK_STREAM)
		b.passCredentials.Store(byCredentials)
		a.SetOption(syscall.SOL_SOCKET, syscall.SO_SNDBUF, []byte{0, 16, 0, 0})
		var model []piece
		next := byte(0)
		expected := byte(0)
		for range 200 {
			if r.IntN(2) == 0 {
				p := piece{length: 1 + r.IntN(6)}
				p.credentials, p.known = Credentials{UID: uint32(r.IntN(2))}, byCredentials || r.IntN(3) == 0
				if r.IntN(4) == 0 {
					p.files = []socket.File{new(counted), new(counted)}
				}
				data := make([]byte, p.length)
				for i := range data {
					data[i] = next
					next++
				}
				n, err := a.writeStream([][]byte{data[:1], data[1:]}, p.ancillary)
				if err == syscall.EAGAIN {
					next -= byte(p.length)
					continue
				}
				next -= byte(p.length - n)
				p.length = n
				model = append(model, p)
				continue
			}
			size := 1 + r.IntN(12)
			want := ancillary{}
			n := 0
			for i := 0; i < len(model) && n < size; i++ {
				p := &model[i]
				if i == 0 {
					want.credentials, want.known = p.credentials, p.known
				} else if byCredentials && !p.sameSender(want) {
					break
				}
				k := min(p.length, size-n)
				n += k
				p.length -= k
				if p.files != nil {
					want.files, p.files = p.files, nil
					break
				}
			}
			for len(model) > 0 && model[0].length == 0 {
				model = model[1:]
			}
			var got ancillary
			buf := make([]byte, size)
			m, _, err := b.readStream([][]byte{buf[:size/2], buf[size/2:]}, false, &got)
			if n == 0 {
				require.Equal(t, syscall.EAGAIN, err)
				continue
			}
			require.Equal(t, n, m)
			require.Equal(t, want.files, got.files)
			if byCredentials {
				require.True(t, got.sameSender(want))
			}
			for _, c := range buf[:m] {
				require.Equal(t, expected, c)
				expected++
			}
		}
		a.Close()
		b.Close()
	}
}

// counted is a file that counts how often it is closed.
type counted struct{ closed int }

func (c *counted) Close() error { c.closed++; return nil }

func TestFilesAreClosed(t *testing.T) {
	start(t)
	for _, kind := range []int{syscall.SOCK_STREAM, syscall.SOCK_SEQPACKET, syscall.SOCK_DGRAM} {
		var files []*counted
		send := func(a *watched) {
			f := new(counted)
			files = append(files, f)
			m := socket.Message{Parts: [][]byte{[]byte("x")}, Files: []socket.File{f}}
			_, err := a.Send(&m, 0)
			require.Zero(t, err)
		}
		a, b := pair(t, kind)
		send(a)
		_, err := b.Read(make([]byte, 1))
		require.Zero(t, err)
		send(a)
		m := socket.Message{Parts: [][]byte{make([]byte, 1)}}
		_, err = b.Receive(&m, 0)
		require.Zero(t, err)
		assert.Equal(t, syscall.MSG_CTRUNC, m.Flags)
		send(a)
		send(a)
		b.Close()
		for _, f := range files {
			assert.Equal(t, 1, f.closed)
		}
		a.Close()
	}
}
