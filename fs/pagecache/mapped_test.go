package pagecache

import (
	"bytes"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMap has reading, writing, truncation and the memory of a mapping agree.
func TestMap(t *testing.T) {
	for _, write := range []bool{false, true} {
		c := New(Options{Limit: 16})
		if write {
			c.SetLimit(1 << 20) // background writing would race with the stores below, as it does in a program
		}
		d := newDisk(t)
		m := c.NewMapping(d, 0)
		rnd := rand.New(rand.NewPCG(1, 2))
		var want []byte
		const pages = 12
		home := make([]byte, pages<<pageBits)
		var unmap func()
		for i := range 3000 {
			off, n := rnd.IntN(20<<pageBits), 1+rnd.IntN(3<<pageBits)
			switch rnd.IntN(6) {
			case 0, 1:
				p := bytes.Repeat([]byte{byte(i)}, n)
				require.NoError(t, writeBytes(m, p, int64(off)))
				if grow := off + n - len(want); grow > 0 {
					want = append(want, make([]byte, grow)...)
				}
				copy(want[off:], p)
			case 2:
				require.NoError(t, m.Truncate(int64(off), func() error { d.punch(int64(off+PageSize-1)>>pageBits, 1<<20); return nil }))
				if off < len(want) {
					want = want[:off:off]
				} else {
					want = append(want, make([]byte, off-len(want))...)
				}
			case 3:
				require.NoError(t, m.SyncAll())
				if !write {
					c.Shrink(20)
				}
			case 4:
				if unmap != nil {
					unmap()
					unmap = nil
					clear(home)
					break
				}
				var err error
				unmap, err = m.Map(4<<pageBits, home, write)
				require.NoError(t, err)
				_, err = m.Map(10<<pageBits, make([]byte, 1<<pageBits), false)
				require.Equal(t, syscall.EBUSY, err)
			case 5:
				if at := 4<<pageBits + rnd.IntN(len(home)); unmap != nil && write && at < len(want) {
					home[at-4<<pageBits] = byte(i)
					want[at] = byte(i)
				}
			}
			got := make([]byte, len(want)+1)
			n, err := m.ReadAt(got, 0)
			require.NoError(t, err)
			require.True(t, bytes.Equal(want, got[:n]), "step %d", i)
			if unmap != nil && len(want) > 4<<pageBits {
				seen := want[4<<pageBits : min(len(want), (4+pages)<<pageBits)]
				require.True(t, bytes.Equal(seen, home[:len(seen)]), "step %d: the mapped memory", i)
			}
		}
		if unmap != nil {
			unmap()
		}
		require.NoError(t, m.SyncAll())
		assert.True(t, bytes.Equal(want, d.content(int64(len(want)))))
		m.Close()
		c.Close()
	}
}

func writeBytes(m *Mapping, p []byte, off int64) error {
	_, _, err := m.WriteAt(p, off)
	return err
}
