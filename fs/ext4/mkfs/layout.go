package mkfs

import (
	"errors"
	"strconv"

	"github.com/goshawk-os/goshawk/fs/ext4/disk"
)

const (
	inodeSize = 256
	descSize  = disk.MIN_DESC_SIZE_64BIT
	flexSize  = 16 // groups whose bitmaps and inode tables lie together
	// leastRoom is how many blocks a last group must have for data, or it is left out.
	leastRoom = 50
)

// A layout says where everything lies. Numbers of blocks count from the
// beginning of the device.
type layout struct {
	o          *Options
	size       uint64 // of a block, bytes
	blocks     uint64
	first      uint64 // first data block
	perGroup   uint64
	groups     uint64
	descBlocks uint64
	inodes     uint64 // per group
	table      uint64 // blocks of a group's inode table

	where   []place
	bitmaps map[uint64][]byte // of groups with something other than copies of the superblock

	root, lost uint64
	lostBlocks uint64
	journal    []run
	journalMap uint64 // the leaf of the journal's extents, 0: they are in its inode
}

type place struct{ blockBitmap, inodeBitmap, inodeTable uint64 }

type run struct{ start, count uint64 }

func number(n uint64) string { return strconv.FormatUint(n, 10) }

func roundUp(a, b uint64) uint64 { return (a + b - 1) / b }

// plan lays out a file system on a device of so many bytes.
// Its logical blocks are as long, in bytes.
func plan(bytes, logical uint64, o *Options) (*layout, error) {
	const mib, tib = 1 << 20, 1 << 40
	l := &layout{o: o, size: uint64(o.BlockSize), bitmaps: make(map[uint64][]byte)}
	if bytes < mib {
		return nil, errors.New("mkfs: the device has " + number(bytes) + " bytes; the minimum is 1 MiB")
	}
	if l.size == 0 {
		if l.size = 4096; bytes < 512*mib {
			l.size = max(1024, logical)
		}
	}
	if logical > l.size || logical > 4096 {
		return nil, errors.New("mkfs: the device has logical blocks of " + number(logical) + " bytes, blocks must not be smaller")
	}
	l.blocks, l.perGroup = bytes/l.size, 8*l.size
	if l.size == 1024 {
		l.first = 1
	}
	ratio := o.InodeRatio
	if ratio == 0 {
		switch { // mke2fs.conf of e2fsprogs 1.47
		case bytes < 3*mib:
			ratio = 8192
		case bytes < 512*mib:
			ratio = 4096
		case bytes < 4*tib:
			ratio = 16384
		case bytes < 16*tib:
			ratio = 32768
		default:
			ratio = 65536
		}
	}
	wanted := l.blocks * l.size / ratio
	if o.Inodes != 0 {
		wanted = o.Inodes
	}
	for {
		l.groups = roundUp(l.blocks-l.first, l.perGroup)
		l.descBlocks = roundUp(l.groups*descSize, l.size)
		inodes := roundUp(max(wanted, disk.GOOD_OLD_FIRST_INO+1), l.groups)
		if o.Inodes == 0 && o.InodeRatio == 0 {
			inodes = min(inodes, 8*l.size) // the last group was too small for its share
		}
		if inodes > 8*l.size {
			return nil, errors.New("mkfs: " + number(wanted) + " inodes are too many; this device takes " + number(8*l.size*l.groups))
		}
		l.inodes = max(roundUp(inodes*inodeSize, l.size)*l.size/inodeSize, 16) &^ 7
		l.table = roundUp(l.inodes*inodeSize, l.size)
		if l.inodes*l.groups > 1<<32-1 {
			return nil, errors.New("mkfs: an ext4 file system has less than 4294967296 inodes; ask for fewer")
		}
		over := 2 + l.table
		if hasSuper(l.groups - 1) {
			over += 1 + l.descBlocks
		}
		left := (l.blocks - l.first) % l.perGroup
		if left != 0 && left < over+leastRoom && l.groups > 1 {
			l.blocks -= left
			continue
		}
		if 1+l.descBlocks+2+l.table+leastRoom > min(l.perGroup, l.blocks-l.first) {
			return nil, errors.New("mkfs: no room is left beside " + number(l.inodes*l.groups) + " inodes; ask for fewer, or for larger blocks")
		}
		break
	}
	return l, l.place()
}

// place gives everything its blocks.
func (l *layout) place() error {
	full := errors.New("mkfs: the device is too small for what was asked; ask for fewer inodes or a smaller journal")
	l.where = make([]place, l.groups)
	last := uint64(0)
	for f := uint64(0); f < l.groups; f += flexSize {
		members, at, ok := l.where[f:min(f+flexSize, l.groups)], l.start(f), true
		take := func(n uint64) (start uint64) {
			start, ok = l.take(at, n, ok)
			at = start + n
			return start
		}
		for i := range members {
			members[i].blockBitmap = take(1)
		}
		for i := range members {
			members[i].inodeBitmap = take(1)
		}
		for i := range members {
			members[i].inodeTable = take(l.table)
		}
		if !ok {
			return full
		}
		if f == 0 {
			last = at
		}
	}
	ok := true
	l.root, ok = l.take(last, 1, ok)
	l.lostBlocks = min(16384/l.size, disk.NDIR_BLOCKS) // as much as mke2fs gives it
	l.lost, ok = l.take(last, l.lostBlocks, ok)
	if !ok {
		return full
	}
	return l.placeJournal(last, full)
}

func (l *layout) placeJournal(at uint64, full error) error {
	want, err := l.journalBlocks()
	if err != nil {
		return err
	}
	if want > l.blocks/2 {
		return errors.New("mkfs: a journal of " + number(want) + " blocks takes more than half of the device")
	}
	for left := want; left > 0; {
		start, ok := l.take(at, 1, true)
		if !ok {
			return full
		}
		n := uint64(1)
		for n < min(left, disk.EXT_INIT_MAX_LEN) && start+n < l.blocks && !l.used(start+n) {
			l.mark(start + n)
			n++
		}
		l.journal = append(l.journal, run{start, n})
		left -= n
		at = start + n
	}
	if len(l.journal) > 4 {
		ok := true
		if l.journalMap, ok = l.take(at, 1, true); !ok {
			return full
		}
		if uint64(len(l.journal)) > (l.size-2*disk.EXT_ENTRY_SIZE)/disk.EXT_ENTRY_SIZE {
			return errors.New("mkfs: the journal is too large; ask for a smaller one")
		}
	}
	return nil
}

// journalBlocks returns the length of the journal: ext2fs_default_journal_size of
// e2fsprogs 1.47 unless the caller says.
func (l *layout) journalBlocks() (uint64, error) {
	const least = 1024
	if l.o.NoJournal {
		return 0, nil
	}
	if l.o.JournalSize != 0 {
		n := l.o.JournalSize / l.size
		if n < least || n > 10240000 {
			return 0, errors.New("mkfs: a journal has " + number(least*l.size) + " to " + number(10240000*l.size) + " bytes, not " + number(l.o.JournalSize))
		}
		return n, nil
	}
	if l.blocks < 2048 {
		return 0, nil // mke2fs makes none either
	}
	n := uint64(least)
	for _, limit := range []uint64{32768, 262144, 524288, 4194304, 8388608, 16777216, 33554432} {
		if l.blocks < limit {
			break
		}
		if n *= 2; limit == 32768 {
			n *= 2
		}
	}
	return n, nil
}

// start returns the first block of a group.
func (l *layout) start(group uint64) uint64 { return l.first + group*l.perGroup }

// length returns how many blocks a group has.
func (l *layout) length(group uint64) uint64 { return min(l.perGroup, l.blocks-l.start(group)) }

// head returns how many blocks the superblock and the descriptors take at the
// beginning of a group.
func (l *layout) head(group uint64) uint64 {
	if hasSuper(group) {
		return 1 + l.descBlocks
	}
	return 0
}

// bitmap returns a group's bitmap of used blocks.
func (l *layout) bitmap(group uint64) []byte {
	b := l.bitmaps[group]
	if b == nil {
		b = make([]byte, l.size)
		for i := range l.head(group) {
			b[i/8] |= 1 << (i % 8)
		}
		for i := l.length(group); i < l.perGroup; i++ {
			b[i/8] |= 1 << (i % 8)
		}
		l.bitmaps[group] = b
	}
	return b
}

func (l *layout) used(block uint64) bool {
	i := (block - l.first) % l.perGroup
	return l.bitmap((block - l.first) / l.perGroup)[i/8]&(1<<(i%8)) != 0
}

func (l *layout) mark(block uint64) {
	i := (block - l.first) % l.perGroup
	l.bitmap((block - l.first) / l.perGroup)[i/8] |= 1 << (i % 8)
}

// take finds n adjacent free blocks from a block on and marks them used, if ok.
func (l *layout) take(at, n uint64, ok bool) (uint64, bool) {
	if !ok {
		return 0, false
	}
	for start := at; start+n <= l.blocks; at++ {
		switch {
		case at-start == n:
			for b := start; b < at; b++ {
				l.mark(b)
			}
			return start, true
		case at >= l.blocks:
			return 0, false
		case l.used(at):
			start = at + 1
		}
	}
	return 0, false
}

// hasSuper reports whether a group has a copy of the superblock: SPARSE_SUPER.
func hasSuper(g uint64) bool {
	if g < 2 {
		return true
	}
	for _, base := range []uint64{3, 5, 7} {
		p := base
		for p < g {
			p *= base
		}
		if p == g {
			return true
		}
	}
	return false
}
