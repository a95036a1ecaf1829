package jbd2

import (
	"cmp"
	"slices"
	"strconv"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/block"
)

// Recovery says what a Recover has done.
type Recovery struct {
	Transactions int    // found complete in the log
	Blocks       int    // written to their places
	Revoked      int    // not written: freed by a later transaction
	Note         string // why the log ended where it did, when that is remarkable
}

// Recover writes the blocks of all complete transactions in the log to their
// places, flushes, marks the log empty, and drops all buffers of the cache:
// those got before must be released and got again. Nothing is written unless
// the whole log has been found in order. It can be called again after any
// failure or crash. Errors: EUCLEAN when a complete transaction is damaged
// (Recovery.Note says how), those of the device (EROFS of one that is
// read-only).
func (l *Log) Recover(c *Cache) (Recovery, error) {
	s := scan{l: l, c: c, newest: make(map[uint64]record), revoked: make(map[uint64]uint32), sequence: l.sequence}
	s.r.l = l
	if l.start == 0 {
		return Recovery{}, nil
	}
	if err := s.run(); err != nil {
		return s.result, err
	}
	if err := s.replay(); err != nil {
		return s.result, err
	}
	if err := block.Flush(c.dev); err != nil {
		return s.result, err
	}
	// The number after the last one may be in the log, of a transaction that
	// was being written: it is not used again.
	l.start, l.sequence = 0, s.sequence+1
	if err := l.write(true); err != nil {
		return s.result, err
	}
	c.drop()
	return s.result, nil
}

// A record is the newest content of a block in the log.
type record struct {
	pos      uint32 // log block
	sequence uint32
	escaped  bool
}

// A scan reads the log and keeps what is to be replayed.
type scan struct {
	l        *Log
	c        *Cache
	r        logReader
	sequence uint32 // of the transaction that is being read
	newest   map[uint64]record
	revoked  map[uint64]uint32 // newest transaction that has freed the block

	// of the transaction that is being read
	tags    []placedTag
	revokes []uint64
	bad     string // what is damaged in it

	result Recovery
}

type placedTag struct {
	tag
	pos uint32
}

// run reads transactions until the first that is not complete.
func (s *scan) run() error {
	l, r := s.l, &s.l.records
	pos := l.start
	for left := l.end - l.first; left > 0; {
		p, err := s.r.block(pos)
		if err != nil {
			return err
		}
		if be32(p) != magic || be32(p[8:]) != s.sequence {
			return s.ended(pos, left, "")
		}
		used := uint32(1)
		switch be32(p[4:]) {
		case typeDescriptor:
			if !r.sealed(p) {
				return s.ended(pos, left, "a descriptor block has a wrong checksum")
			}
			n := s.descriptor(p, pos)
			if n >= left {
				return s.ended(pos, left, "a descriptor block claims more blocks than the log has")
			}
			used += n
			if err := s.check(len(s.tags) - int(n)); err != nil {
				return err
			}
		case typeRevoke:
			if !r.sealed(p) || !s.revoke(p) {
				return s.ended(pos, left, "a revoke block is damaged")
			}
		case typeCommit:
			if !r.commitSealed(p) {
				return s.ended(pos, left, "its commit block has a wrong checksum")
			}
			if s.bad != "" {
				return s.damaged(s.bad)
			}
			s.committed()
		default:
			return s.ended(pos, left, "")
		}
		pos = l.next(pos, used)
		left -= used
	}
	return nil
}

func (s *scan) name() string { return "transaction " + strconv.FormatUint(uint64(s.sequence), 10) }

func (s *scan) damaged(why string) error {
	s.result.Note = s.name() + " is complete, but damaged: " + why
	return syscall.EUCLEAN
}

// ended decides at a block that cannot be part of the transaction being read,
// at pos, whether the log ends before that transaction, which was being written
// when the power was cut. It does not, and something is damaged, if the
// transaction's commit block follows, which is written when all before it is on
// disk, or the next transaction. Without checksums these cannot be told from
// what is there by chance.
func (s *scan) ended(pos, left uint32, why string) error {
	l := s.l
	r := &l.records
	for n := min(left, (l.end-l.first)/4+1); n > 0 && r.summed(); n-- {
		p, err := s.r.block(pos)
		if err != nil {
			return err
		}
		if be32(p) == magic {
			typ, sequence := be32(p[4:]), be32(p[8:])
			if typ == typeCommit && (sequence == s.sequence || sequence == s.sequence+1) && r.commitSealed(p) ||
				(typ == typeDescriptor || typ == typeRevoke) && sequence == s.sequence+1 && r.sealed(p) {
				if why == "" {
					why = "a block of it is not of the log"
				}
				return s.damaged(why)
			}
		}
		pos = l.next(pos, 1)
	}
	if why != "" {
		s.result.Note = s.name() + " is not complete: " + why
	}
	return nil
}

// descriptor reads the tags of a descriptor block at pos, and returns how many
// there are.
func (s *scan) descriptor(p []byte, pos uint32) uint32 {
	r := &s.l.records
	limit := r.blockSize - r.tail()
	n := uint32(0)
	for at := headerSize; at+r.tagSize() <= limit; {
		t := r.getTag(p[at:])
		at += r.tagSize()
		if t.flags&tagSameUUID == 0 {
			at += uuidSize
		}
		n++
		if t.block >= s.c.blocks {
			s.bad = "block " + strconv.FormatUint(t.block, 10) + " is past the file system's end"
		}
		s.tags = append(s.tags, placedTag{t, s.l.next(pos, n%(s.l.end-s.l.first))})
		if t.flags&tagLast != 0 {
			break
		}
	}
	return n
}

// check compares the checksums of the data blocks of the tags from i on.
func (s *scan) check(i int) error {
	r := &s.l.records
	if !r.summed() {
		return nil
	}
	for _, t := range s.tags[i:] {
		p, err := s.r.block(t.pos)
		if err != nil {
			return err
		}
		if !r.blockSumRight(t.tag, s.sequence, p) {
			s.bad = "the checksum of block " + strconv.FormatUint(t.block, 10) + " in log block " +
				strconv.FormatUint(uint64(t.pos), 10) + " is wrong"
		}
	}
	return nil
}

// revoke reads a revoke block; false: it is damaged.
func (s *scan) revoke(p []byte) bool {
	r := &s.l.records
	n := int(be32(p[headerSize:]))
	if n < revokeHeaderSize || n > r.blockSize-r.tail() {
		return false
	}
	for p = p[revokeHeaderSize:n]; len(p) >= r.revokeSize(); p = p[r.revokeSize():] {
		if r.wide {
			s.revokes = append(s.revokes, be64(p))
		} else {
			s.revokes = append(s.revokes, uint64(be32(p)))
		}
	}
	return true
}

// committed takes over what the transaction did.
func (s *scan) committed() {
	for _, t := range s.tags {
		s.newest[t.block] = record{t.pos, s.sequence, t.flags&tagEscape != 0}
	}
	for _, n := range s.revokes {
		s.revoked[n] = s.sequence
	}
	s.tags, s.revokes = s.tags[:0], s.revokes[:0]
	s.sequence++
	s.result.Transactions++
}

// replay writes the newest blocks that no later transaction has freed.
func (s *scan) replay() error {
	var blocks []uint64
	for n, r := range s.newest {
		// Sequence numbers wrap around: their difference counts.
		if freed, ok := s.revoked[n]; ok && int32(freed-r.sequence) >= 0 {
			s.result.Revoked++
		} else {
			blocks = append(blocks, n)
		}
	}
	slices.SortFunc(blocks, cmp.Compare[uint64])
	size := s.c.size
	buf := make([]byte, min(len(blocks), maxBatch/size)*size)
	for batch := range slices.Chunk(blocks, maxBatch/size) {
		var g requests
		for i, n := range batch {
			off, _ := s.l.area.locate(s.newest[n].pos)
			g.submit(s.l.area.Device, block.Read, off, buf[i*size:(i+1)*size])
		}
		if err := g.wait(); err != nil {
			return err
		}
		for i, n := range batch {
			if s.newest[n].escaped {
				putBE32(buf[i*size:], magic)
			}
		}
		if err := s.c.writeBlocks(batch, buf); err != nil {
			return err
		}
		s.result.Blocks += len(batch)
	}
	return nil
}

// A logReader reads blocks of the log, mostly in order.
type logReader struct {
	l   *Log
	buf []byte
	at  uint32 // log block where buf begins
}

// block returns a block of the log, valid until the next call.
func (r *logReader) block(n uint32) ([]byte, error) {
	size := r.l.area.BlockSize
	if i := n - r.at; n < r.at || int(i) >= len(r.buf)/size {
		off, count := r.l.area.locate(n)
		count = min(count, r.l.end-n, uint32(maxBatch/size))
		if cap(r.buf) == 0 {
			r.buf = make([]byte, maxBatch/size*size)
		}
		r.buf, r.at = r.buf[:int(count)*size], n
		if err := block.ReadAt(r.l.area.Device, r.buf, off); err != nil {
			r.buf = r.buf[:0]
			return nil, err
		}
	}
	i := int(n-r.at) * size
	return r.buf[i : i+size], nil
}
