package ext4

import (
	"syscall"

	"github.com/goshawk-os/goshawk/fs/ext4/disk"
	"github.com/goshawk-os/goshawk/fs/ext4/jbd2"
)

// The life of a block: take finds a free one and keeps others away from it;
// place enters it in the bitmap on the disk, with the transaction that also says what
// it is for; free takes it out of there, and when that is on the disk it can be
// had again. So a crash never leaves a block with two owners, and data may be
// written to what was taken before any transaction knows of it.

// A purpose says how much of the free space an allocation must leave.
type purpose int

const (
	forNames purpose = iota // new structures: directories, links; not what is promised to others
	forFiles                // data that was promised room when it was written, and the maps of files

	slackPart = 50 // 1/50 of the file system, up to slackMost blocks, is for the maps of files
	slackMost = 4096
	// nearEnough is how many blocks make it worth to go on where the file ends, though more are wanted.
	nearEnough = 16
)

// slack is how many blocks data may not take.
func (fs *FS) slack() int64 { return int64(min(fs.blocks/slackPart, slackMost)) }

// promise sets n blocks aside for data that is to be written later: ENOSPC.
func (fs *FS) promise(n int64) error {
	for again := true; ; again = false {
		if fs.promised.Add(n)+fs.slack() <= fs.free.Load() {
			return nil
		}
		fs.promised.Add(-n)
		if !again || !fs.reclaim() {
			return syscall.ENOSPC
		}
	}
}

// reclaim waits until what was freed can be had, and reports whether there was anything. No
// handle is open.
func (fs *FS) reclaim() bool { return fs.freeing.Load() > 0 && fs.journal.Sync() == nil }

// take finds up to want free blocks in a row, best at or behind goal. They are nobody else's until
// drop, or free after place.
func (fs *FS) take(goal uint64, want int, why purpose) (start uint64, count int, err error) {
	left := fs.free.Load()
	if why == forNames {
		left -= fs.promised.Load() + fs.slack()
	}
	if left <= 0 {
		return 0, 0, syscall.ENOSPC
	}
	if !fs.valid(goal, 1) {
		goal = uint64(fs.super.S_first_data_block) + 1
	}
	goal -= uint64(fs.super.S_first_data_block)
	per := uint64(fs.super.S_blocks_per_group)
	home, bit := int(goal/per), int(goal%per)
	for least := want; ; least /= 8 {
		least = max(least, 1)
		for i := range len(fs.groups) {
			g, from := fs.groups[(home+i)%len(fs.groups)], 0
			if i == 0 {
				from = bit
			}
			if at, n := fs.takeIn(g, from, want, least); n > 0 {
				fs.free.Add(-int64(n))
				return g.first + uint64(at), n, nil
			}
		}
		if least == 1 {
			return 0, 0, syscall.ENOSPC
		}
	}
}

// takeIn takes from one group a run of at least least blocks, behind from if there is one.
func (fs *FS) takeIn(g *group, from, want, least int) (at, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.bad || g.used == nil && int(g.freeBlocks) < least {
		return 0, 0
	}
	if err := fs.load(g); err != nil {
		g.bad = true
		return 0, 0
	}
	if g.avail < least {
		return 0, 0
	}
	m := bitmap(g.used)
	for _, r := range [2][2]int{{from, g.count}, {0, min(from+least-1, g.count)}} {
		for at = m.next(r[0], r[1], false); at < r[1]; at = m.next(at+n, r[1], false) {
			if n = m.next(at, min(at+want, r[1]), true) - at; n >= least || at == from && n >= nearEnough {
				m.fill(at, n, true)
				g.avail -= n
				return at, n
			}
		}
	}
	return 0, 0
}

// group returns the group of a block, and its bit there.
func (fs *FS) group(block uint64) (*group, int) {
	at := block - uint64(fs.super.S_first_data_block)
	per := uint64(fs.super.S_blocks_per_group)
	return fs.groups[at/per], int(at % per)
}

// drop gives blocks back that were taken and not placed.
func (fs *FS) drop(start uint64, count int) {
	g, bit := fs.group(start)
	g.mu.Lock()
	bitmap(g.used).fill(bit, count, false)
	g.avail += count
	g.mu.Unlock()
	fs.free.Add(int64(count))
}

// place enters blocks that were taken, at once, in the bitmap.
func (fs *FS) place(h *jbd2.Handle, start uint64, count int) error {
	g, bit := fs.group(start)
	g.mu.Lock()
	defer g.mu.Unlock()
	return fs.mark(h, g, bit, count, true)
}

// mark changes the bitmap of a group and its descriptor. The caller holds g.mu.
func (fs *FS) mark(h *jbd2.Handle, g *group, bit, count int, used bool) error {
	var b *jbd2.Buffer
	var err error
	if g.flags&disk.BG_BLOCK_UNINIT != 0 {
		if b, err = h.Create(g.blockBitmap); err != nil {
			return err
		}
		for i, w := range fs.blockBits(g) {
			*disk.At[uint64](b.Data, 8*i) = w
		}
		g.flags &^= disk.BG_BLOCK_UNINIT
	} else {
		if b, err = fs.blockBitmap(g); err != nil {
			return err
		}
		if err := h.Modify(b); err != nil {
			b.Release()
			return err
		}
	}
	defer b.Release()
	if !setBits(b.Data, bit, count, used) {
		return fs.damaged("the block bitmap of group", uint64(g.number), "a block is free and in use")
	}
	if used {
		g.freeBlocks -= uint32(count)
	} else {
		g.freeBlocks += uint32(count)
	}
	if fs.csum {
		g.blockSum = fs.bitmapSum(b.Data, fs.super.S_clusters_per_group)
	}
	return fs.storeGroup(h, g)
}

// release frees blocks. They can be had again when the transaction is on the disk.
func (fs *FS) release(h *jbd2.Handle, start, count uint64) error {
	for count > 0 {
		g, bit := fs.group(start)
		n := int(min(count, uint64(g.count-bit)))
		g.mu.Lock()
		err := fs.load(g)
		if err == nil {
			err = fs.mark(h, g, bit, n, false)
		}
		g.mu.Unlock()
		if err != nil {
			return err
		}
		fs.freeing.Add(int64(n))
		h.OnCommit(func(err error) {
			if err != nil {
				return
			}
			g.mu.Lock()
			bitmap(g.used).fill(bit, n, false)
			g.avail += n
			g.mu.Unlock()
			fs.free.Add(int64(n))
			fs.freeing.Add(-int64(n))
		})
		start += uint64(n)
		count -= uint64(n)
	}
	return nil
}

// newBlock allocates one block for a structure, and returns its buffer, zeroed, as
// Handle.Create does.
func (fs *FS) newBlock(h *jbd2.Handle, goal uint64, why purpose) (*jbd2.Buffer, error) {
	start, _, err := fs.take(goal, 1, why)
	if err != nil {
		return nil, err
	}
	b, err := h.Create(start)
	if err == nil {
		if err = fs.place(h, start, 1); err != nil {
			b.Release()
		}
	}
	if err != nil {
		fs.drop(start, 1)
		return nil, err
	}
	return b, nil
}

// freeBlock frees the block of a structure.
func (fs *FS) freeBlock(h *jbd2.Handle, number uint64) error {
	if err := h.Revoke(number, 1); err != nil {
		return err
	}
	return fs.release(h, number, 1)
}
