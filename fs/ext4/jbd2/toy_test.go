package jbd2

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/fs/block"
)

// The toy is a file system of groups. A group's first block, its map, has a
// version and says of each other block what it is: free, metadata, or file
// data, and which operation wrote it. So a state of the disk proves by itself that
// it is one between two operations, and the versions of all groups together,
// that it is one between two transactions.
const (
	toyFree = iota
	toyMeta
	toyData

	toyBlocks = 12 // per group, with the map
)

type toy struct {
	j      *Journal
	dev    block.Device
	size   int
	groups []*toyGroup
	order  bool // data is written by Handle.Order
}

type toyGroup struct {
	mu       sync.Mutex
	blocks   []uint64 // the first is the map
	version  uint64
	free     []int // indexes that may be used: the commit of their freeing is on disk
	versions []TID // of each version
}

// fill is the content that operation op writes to block n.
func fill(p []byte, n, op uint64) {
	for i := 0; i < len(p); i += 8 {
		binary.LittleEndian.PutUint64(p[i:], op*0x9e3779b97f4a7c15+n*31+uint64(i))
	}
	if op%3 == 0 {
		putBE32(p, magic) // must be escaped
	}
}

func slot(m []byte, i int) []byte { return m[8+16*i:][:16] }

func newToy(j *Journal, dev block.Device, size int, pool []uint64, groups int) *toy {
	t := &toy{j: j, dev: dev, size: size}
	for g := range groups {
		gr := &toyGroup{blocks: pool[g*toyBlocks:][:toyBlocks], versions: []TID{0}}
		for i := 1; i < toyBlocks; i++ {
			gr.free = append(gr.free, i)
		}
		t.groups = append(t.groups, gr)
	}
	return t
}

// change does one operation in one group or two, and returns its transaction.
func (t *toy) change(rnd *rand.Rand) (TID, error) {
	ids := rnd.Perm(len(t.groups))[:1+rnd.IntN(2)]
	slices.Sort(ids)
	h, err := t.j.Begin(2 * 4)
	if err != nil {
		return 0, err
	}
	for _, g := range ids {
		t.groups[g].mu.Lock()
	}
	for _, g := range ids {
		if err == nil {
			err = t.changeGroup(h, t.groups[g], rnd)
		}
	}
	tid := h.TID()
	for _, g := range ids {
		t.groups[g].mu.Unlock()
	}
	if e := h.End(); err == nil {
		err = e
	}
	return tid, err
}

func (t *toy) changeGroup(h *Handle, g *toyGroup, rnd *rand.Rand) error {
	m, err := t.j.Cache().Get(g.blocks[0])
	if err != nil {
		return err
	}
	defer m.Release()
	if err := h.Modify(m); err != nil {
		return err
	}
	g.version++
	op := g.version
	g.versions = append(g.versions, h.TID())
	binary.LittleEndian.PutUint64(m.Data, op)
	for range 1 + rnd.IntN(2) {
		set := func(i int, kind byte) {
			s := slot(m.Data, i)
			s[0] = kind
			binary.LittleEndian.PutUint64(s[8:], op)
		}
		if i := 1 + rnd.IntN(toyBlocks-1); slot(m.Data, i)[0] != toyFree {
			n := g.blocks[i]
			if slot(m.Data, i)[0] == toyMeta {
				if rnd.IntN(2) == 0 { // overwritten
					b, err := t.j.Cache().Get(n)
					if err != nil {
						return err
					}
					if err := h.Modify(b); err != nil {
						return err
					}
					fill(b.Data, n, op)
					b.Release()
					set(i, toyMeta)
					continue
				}
				if err := h.Revoke(n, 1); err != nil {
					return err
				}
				if rnd.IntN(8) == 0 { // and allocated again by the same transaction
					b, err := h.Create(n)
					if err != nil {
						return err
					}
					fill(b.Data, n, op)
					b.Release()
					set(i, toyMeta)
					continue
				}
			}
			set(i, toyFree)
			h.OnCommit(func(err error) {
				if err == nil {
					go func() {
						g.mu.Lock()
						g.free = append(g.free, i)
						g.mu.Unlock()
					}()
				}
			})
			continue
		}
		if len(g.free) == 0 {
			continue
		}
		i := g.free[0]
		g.free = g.free[1:]
		n := g.blocks[i]
		if rnd.IntN(2) == 0 {
			b, err := h.Create(n)
			if err != nil {
				return err
			}
			fill(b.Data, n, op)
			b.Release()
			set(i, toyMeta)
			continue
		}
		p := make([]byte, t.size)
		fill(p, n, op)
		write := func() error { return block.WriteAt(t.dev, p, int64(n)*int64(t.size)) }
		if t.order {
			h.Order(write)
		} else if err := write(); err != nil {
			return err
		}
		set(i, toyData)
	}
	return nil
}

// verify checks a recovered disk: it must be the state between two
// transactions, of which the first is not before promised.
func (t *toy) verify(state []byte, promised TID) error {
	from, to := promised, TID(1<<62)
	want := make([]byte, t.size)
	for gi, g := range t.groups {
		at := func(i int) []byte { return state[int(g.blocks[i])*t.size:][:t.size] }
		m := at(0)
		version := binary.LittleEndian.Uint64(m)
		if version >= uint64(len(g.versions)) {
			return fmt.Errorf("group %d: version %d of %d", gi, version, len(g.versions)-1)
		}
		from = max(from, g.versions[version])
		if int(version) < len(g.versions)-1 {
			// Several versions of one transaction: only the last may be seen.
			to = min(to, g.versions[version+1])
		}
		for i := 1; i < toyBlocks; i++ {
			s := slot(m, i)
			if s[0] == toyFree {
				continue
			}
			op := binary.LittleEndian.Uint64(s[8:])
			if fill(want, g.blocks[i], op); !slices.Equal(want, at(i)) {
				return fmt.Errorf("group %d version %d: block %d (kind %d) is not of operation %d", gi, version, g.blocks[i], s[0], op)
			}
		}
	}
	if from >= to {
		return fmt.Errorf("no transaction is the last: not before %d (promised %d), before %d", from, promised, to)
	}
	return nil
}

// toyLayout is a disk of blocks: the journal in three runs, the toy's blocks
// between them.
func toyLayout(size, logBlocks, groups int) (d *disk, a Area, pool []uint64) {
	need := groups * toyBlocks
	d = newDisk((logBlocks + need + 2) * size)
	third := uint64(logBlocks / 3)
	a = Area{Device: d, BlockSize: size, Runs: []Run{{1, third}, {1 + third + uint64(need), uint64(logBlocks) - third}}}
	for i := range need {
		pool = append(pool, 1+third+uint64(i))
	}
	return d, a, pool
}

func start(t testing.TB, d block.Device, blocks uint64, a Area, o Options) *Journal {
	t.Helper()
	c := NewCache(d, a.BlockSize, blocks, 1<<20)
	l, err := Load(a)
	require.NoError(t, err)
	_, err = l.Recover(c)
	require.NoError(t, err)
	j, err := Start(c, l, o)
	require.NoError(t, err)
	return j
}

// recoverState recovers a state of the toy's disk, in place.
func recoverState(state []byte, a Area) (Recovery, error) {
	d := &disk{data: state, rnd: rand.New(rand.NewPCG(1, 1))}
	a.Device = d
	l, err := Load(a)
	if err != nil {
		return Recovery{}, err
	}
	return l.Recover(NewCache(d, a.BlockSize, uint64(len(state)/a.BlockSize), 1<<20))
}
