package jbd2

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// dirtyState is a disk with a log to recover.
func dirtyState(t testing.TB, c crashCase) ([]byte, Area, *toy) {
	d, a, pool := toyLayout(c.size, c.log, 4)
	require.NoError(t, Format(a, FormatOptions{Checksum: c.checksum, Wide: c.wide}))
	j := start(t, d, uint64(len(d.data)/c.size), a, Options{Checksum: c.checksum, Wide: c.wide})
	t.Cleanup(func() { assert.NoError(t, j.Close()) })
	d.record()
	toy := newToy(j, d, c.size, pool, 4)
	rnd := rand.New(rand.NewPCG(11, 11))
	var rec *disk
	for rec == nil {
		tid, err := toy.change(rnd)
		require.NoError(t, err)
		if rnd.IntN(4) > 0 {
			continue
		}
		require.NoError(t, j.CommitAndWait(tid))
		j.passMu.Lock() // no checkpoint makes the log shorter meanwhile
		j.mu.Lock()
		inLog := len(j.checkpoints)
		j.mu.Unlock()
		if inLog >= 4 && j.Stats().Checkpoints >= 3 {
			rec = d.recorded()
		}
		j.passMu.Unlock()
	}
	state, _ := rec.crash(len(rec.events), rand.New(rand.NewPCG(0, 0)), false)
	return state, a, toy
}

// TestBitFlips flips bits in every block of the log. With checksums, what is
// recovered without an error is right, or the last transaction is taken for one
// that was being written.
func TestBitFlips(t *testing.T) {
	for _, c := range []crashCase{{size: 1024, log: 96, checksum: true, wide: true}, {size: 1024, log: 96, checksum: false, wide: true}} {
		t.Run(c.String(), func(t *testing.T) {
			good, a, toy := dirtyState(t, c)
			r, err := recoverState(bytes.Clone(good), a)
			require.NoError(t, err)
			require.Greater(t, r.Transactions, 2)
			rnd := rand.New(rand.NewPCG(13, 13))
			refused, fine, shorter := 0, 0, 0
			for n := range uint32(c.log) {
				for try := range 24 {
					state := bytes.Clone(good)
					off, _ := a.locate(n)
					span := c.size
					if try%2 == 0 {
						span = 80 // headers
					}
					for range 1 + rnd.IntN(3) {
						state[int(off)+rnd.IntN(span)] ^= 1 << rnd.IntN(8)
					}
					got, err := recoverState(state, a)
					switch {
					case err == nil && c.checksum && got.Transactions < r.Transactions:
						// The last commit block looks as if the power was cut while it was written.
						shorter++
						require.Equal(t, r.Transactions-1, got.Transactions, "log block %d", n)
					case err == nil:
						fine++
						if c.checksum {
							require.NoError(t, toy.verify(state, 0), "log block %d", n)
						}
					default:
						refused++
						require.True(t, errors.Is(err, syscall.EUCLEAN) || errors.Is(err, ErrFeature) || errors.Is(err, syscall.EIO), "%v", err)
					}
				}
			}
			t.Logf("%d transactions; %d refused, %d recovered, %d without the last transaction", r.Transactions, refused, fine, shorter)
			assert.NotZero(t, refused)
			assert.NotZero(t, fine)
			assert.Less(t, shorter, 30)
		})
	}
}

// FuzzRecover recovers from a log with changes, each four bytes: where, in two
// bytes, and what. With seal, the checksums are made right afterwards.
func FuzzRecover(f *testing.F) {
	cases := []crashCase{{size: 1024, log: 80, checksum: true, wide: true}, {size: 1024, log: 80, checksum: false, wide: false}, {size: 1024, log: 80, checksum: false, wide: true}}
	var states [][]byte
	var a Area
	for i, c := range cases {
		var state []byte
		state, a, _ = dirtyState(f, c)
		states = append(states, state)
		f.Add(byte(i), false, []byte{0, superStart + 3, 0, 1})
		f.Add(byte(i), true, []byte{4, 12, 0, 9, 8, 7, 0, 5})
	}
	f.Fuzz(func(t *testing.T, kind byte, seal bool, edits []byte) {
		i := int(kind) % len(cases)
		c := cases[i]
		state := bytes.Clone(states[i])
		block := func(n int) []byte {
			off, _ := a.locate(uint32(n))
			return state[off:][:c.size]
		}
		for ; len(edits) >= 4; edits = edits[4:] {
			where := (int(edits[0])<<8 | int(edits[1])) * 4 % (c.log * c.size) // two units of two bytes: most fields
			p := block(where / c.size)[where%c.size:]
			p[2], p[3] = edits[2], edits[3]
		}
		a := a
		d := &disk{data: state, rnd: rand.New(rand.NewPCG(1, 1))}
		a.Device = d
		if seal && c.checksum {
			l := &Log{area: a}
			copy(l.super[:], block(0))
			l.setRecords()
			putBE32(block(0)[superSum:], sumWithout(^uint32(0), l.super[:], superSum))
			for n := 1; n < c.log; n++ {
				switch p := block(n); {
				case be32(p) != magic:
				case be32(p[4:]) == typeCommit:
					l.records.sealCommit(p)
				default:
					l.records.seal(p)
				}
			}
		}
		l, err := Load(a)
		if err != nil {
			return
		}
		cache := NewCache(d, c.size, uint64(len(state)/c.size), 1<<20)
		if _, err := l.Recover(cache); err != nil {
			return
		}
		assert.False(t, l.Dirty())
		j, err := Start(cache, l, Options{Checksum: true})
		require.NoError(t, err)
		assert.NoError(t, j.Close())
	})
}
