package jbd2

import (
	"strconv"
	"strings"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/block"
	"github.com/goshawk-os/goshawk/fs/ext4/crc32c"
)

// A Run is consecutive blocks of a device.
type Run struct {
	Start uint64 // first block
	Count uint64
}

// An Area is where a journal lies: the blocks of the journal's inode in order,
// or a part of another device. The journal's block 0 is its superblock.
type Area struct {
	Device    block.Device
	BlockSize int // bytes, that of the file system
	Runs      []Run
}

// locate returns the place of the journal's block n, bytes, and how many
// blocks from there on are consecutive. n is below the area's length.
func (a *Area) locate(n uint32) (off int64, count uint32) {
	rest := uint64(n)
	for _, r := range a.Runs {
		if rest < r.Count {
			return int64(r.Start+rest) * int64(a.BlockSize), uint32(min(r.Count-rest, 1<<31))
		}
		rest -= r.Count
	}
	panic("jbd2: a block past the journal's end")
}

func (a *Area) length() uint64 {
	var n uint64
	for _, r := range a.Runs {
		n += r.Count
	}
	return n
}

// ErrFeature is what Load's errors for features that are not understood wrap.
const ErrFeature = logError("jbd2: the journal has features that are not supported")

// logError is an error that exists before packages are initialised, when a guest may already mount.
type logError string

func (e logError) Error() string { return string(e) }

type featureError struct{ names string }

func (e *featureError) Error() string { return ErrFeature.Error() + ": " + e.names }
func (e *featureError) Unwrap() error { return ErrFeature }

// minLog is the fewest blocks that a log must have.
const minLog = 32

// A Log is a journal on disk.
type Log struct {
	area     Area
	records  records
	super    [superSize]byte
	first    uint32 // block of the log
	end      uint32 // block behind the log
	sequence uint32
	start    uint32
}

// Load reads and checks the superblock of a journal. Errors: EUCLEAN when it is
// damaged or not one, an error that wraps ErrFeature and names what is not
// supported, those of the device.
func Load(a Area) (*Log, error) {
	l := &Log{area: a}
	n := a.length()
	if n == 0 || a.BlockSize < superSize {
		return nil, syscall.EUCLEAN
	}
	p := make([]byte, a.BlockSize)
	off, _ := a.locate(0)
	if err := block.ReadAt(a.Device, p, off); err != nil {
		return nil, err
	}
	copy(l.super[:], p)
	s := l.super[:]
	if be32(s) != magic || be32(s[4:]) != typeSuperV1 && be32(s[4:]) != typeSuperV2 {
		return nil, syscall.EUCLEAN
	}
	if names := unsupported(s); names != "" {
		return nil, &featureError{names}
	}
	if l.setRecords(); l.records.summed() {
		if l.records.sumV2 && l.records.sumV3 || s[superSumType] != sumTypeCRC32C ||
			sumWithout(^uint32(0), s, superSum) != be32(s[superSum:]) {
			return nil, syscall.EUCLEAN
		}
	}
	l.first, l.end = be32(s[superFirst:]), be32(s[superMaxLen:])
	l.sequence, l.start = be32(s[superSequence:]), be32(s[superStart:])
	if be32(s[superBlock:]) != uint32(a.BlockSize) || uint64(l.end) > n || l.first == 0 || l.first >= l.end ||
		l.end-l.first < minLog || l.start != 0 && (l.start < l.first || l.start >= l.end) {
		return nil, syscall.EUCLEAN
	}
	return l, nil
}

// unsupported names the features of a superblock that are not understood.
func unsupported(s []byte) string {
	if be32(s[4:]) == typeSuperV1 {
		return "superblock of version 1"
	}
	var names []string
	if be32(s[superCompat:])&compatChecksum != 0 {
		names = append(names, "checksums v1")
	}
	incompat := be32(s[superIncompat:])
	if incompat&incompatAsyncCommit != 0 {
		names = append(names, "async_commit")
	}
	if incompat&incompatFastCommit != 0 {
		names = append(names, "fast_commit")
	}
	if rest := incompat &^ (incompatKnown | incompatAsyncCommit | incompatFastCommit); rest != 0 {
		names = append(names, "incompat 0x"+strconv.FormatUint(uint64(rest), 16))
	}
	if rest := be32(s[superROCompat:]); rest != 0 {
		names = append(names, "ro_compat 0x"+strconv.FormatUint(uint64(rest), 16))
	}
	return strings.Join(names, ", ")
}

// setRecords takes the shape of the records from the superblock.
func (l *Log) setRecords() {
	incompat := be32(l.super[superIncompat:])
	r := &l.records
	r.blockSize = l.area.BlockSize
	r.sumV2, r.sumV3 = incompat&incompatSumV2 != 0, incompat&incompatSumV3 != 0
	r.wide = incompat&incompat64Bit != 0
	copy(r.uuid[:], l.super[superUUID:])
	r.seed = crc32c.Update(^uint32(0), r.uuid[:])
}

// Dirty reports whether the log holds transactions that may have to be
// replayed: the file system was not unmounted.
func (l *Log) Dirty() bool { return l.start != 0 }

// Blocks returns how many blocks the journal has, with its superblock.
func (l *Log) Blocks() uint64 { return uint64(l.end) }

// UUID returns the journal's s_uuid.
func (l *Log) UUID() [16]byte { return l.records.uuid }

// Errno returns the error for which the journal was aborted when it was used
// last, 0 if it was not. The file system notes it in its own superblock and
// calls Journal.ClearErrno.
func (l *Log) Errno() syscall.Errno {
	n := int32(be32(l.super[superErrno:]))
	return syscall.Errno(max(n, -n))
}

// write puts the superblock on the device with the log's start and sequence.
func (l *Log) write(fua bool) error {
	s := l.super[:]
	putBE32(s[superSequence:], l.sequence)
	putBE32(s[superStart:], l.start)
	if l.records.summed() {
		s[superSumType] = sumTypeCRC32C
		putBE32(s[superSum:], sumWithout(^uint32(0), s, superSum))
	}
	p := make([]byte, l.area.BlockSize)
	copy(p, s)
	off, _ := l.area.locate(0)
	return block.Do(l.area.Device, &block.Request{Op: block.Write, Off: off, Parts: [][]byte{p}, FUA: fua})
}

// next returns the log's block that follows n after count blocks.
func (l *Log) next(n, count uint32) uint32 {
	if n += count; n >= l.end {
		n -= l.end - l.first
	}
	return n
}

// FormatOptions say how a new journal is made.
type FormatOptions struct {
	UUID           [16]byte // the file system's
	Checksum, Wide bool     // see Options; a journal without them gets them at Start
}

// Format makes an empty journal: zeroes the area and writes the superblock. The
// area must have more than 32 blocks (Linux wants 1024). The device is not flushed.
func Format(a Area, o FormatOptions) error {
	n := a.length()
	if n <= minLog || n > 1<<31 || a.BlockSize < superSize {
		return syscall.EINVAL
	}
	for _, r := range a.Runs {
		if err := zero(a.Device, int64(r.Start)*int64(a.BlockSize), int64(r.Count)*int64(a.BlockSize)); err != nil {
			return err
		}
	}
	l := &Log{area: a, first: 1, end: uint32(n), sequence: 1}
	s := l.super[:]
	putHeader(s, typeSuperV2, 0)
	putBE32(s[superBlock:], uint32(a.BlockSize))
	putBE32(s[superMaxLen:], l.end)
	putBE32(s[superFirst:], l.first)
	putBE32(s[superUsers:], 1)
	copy(s[superUUID:], o.UUID[:])
	l.setFeatures(o.Checksum, o.Wide)
	return l.write(false)
}

// setFeatures changes the shape of the records; the log is empty.
func (l *Log) setFeatures(sum, wide bool) {
	incompat := be32(l.super[superIncompat:]) &^ (incompatSumV2 | incompatSumV3 | incompat64Bit)
	l.super[superSumType] = 0
	putBE32(l.super[superSum:], 0)
	if sum {
		incompat |= incompatSumV3
	}
	if wide {
		incompat |= incompat64Bit
	}
	putBE32(l.super[superIncompat:], incompat|incompatRevoke)
	l.setRecords()
}
