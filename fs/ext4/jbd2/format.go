package jbd2

import "github.com/goshawk-os/goshawk/fs/ext4/crc32c"

// Numbers and offsets of the log's structures, all big-endian
// (Documentation/filesystems/ext4/journal.rst, Linux 6.12).

// Block header, section "Block Header": h_magic, h_blocktype, h_sequence.
const (
	magic      = 0xc03b3998
	headerSize = 12

	typeDescriptor = 1
	typeCommit     = 2
	typeSuperV1    = 3
	typeSuperV2    = 4
	typeRevoke     = 5
)

// Super block, section "Super Block": offsets of fields in its 1024 bytes.
const (
	superSize     = 1024
	superBlock    = 0x0c // s_blocksize
	superMaxLen   = 0x10 // s_maxlen: blocks of the journal with this one
	superFirst    = 0x14 // s_first: first block of the log
	superSequence = 0x18 // s_sequence: first commit expected in the log
	superStart    = 0x1c // s_start: where that transaction begins; 0: nothing to recover
	superErrno    = 0x20 // s_errno: a negative errno of Linux
	superCompat   = 0x24 // s_feature_compat
	superIncompat = 0x28 // s_feature_incompat
	superROCompat = 0x2c // s_feature_ro_compat
	superUUID     = 0x30 // s_uuid
	superUsers    = 0x40 // s_nr_users
	superSumType  = 0x50 // s_checksum_type, a byte
	superSum      = 0xfc // s_checksum: crc32c of the 1024 bytes with this field zero
)

const (
	compatChecksum = 1 // JBD2_FEATURE_COMPAT_CHECKSUM: v1

	incompatRevoke      = 1    // JBD2_FEATURE_INCOMPAT_REVOKE
	incompat64Bit       = 2    // JBD2_FEATURE_INCOMPAT_64BIT
	incompatAsyncCommit = 4    // JBD2_FEATURE_INCOMPAT_ASYNC_COMMIT
	incompatSumV2       = 8    // JBD2_FEATURE_INCOMPAT_CSUM_V2
	incompatSumV3       = 0x10 // JBD2_FEATURE_INCOMPAT_CSUM_V3
	incompatFastCommit  = 0x20 // JBD2_FEATURE_INCOMPAT_FAST_COMMIT

	incompatKnown = incompatRevoke | incompat64Bit | incompatSumV2 | incompatSumV3

	sumTypeCRC32C = 4 // JBD2_CRC32C_CHKSUM
)

// Tags, section "Descriptor Block". A tag is
//
//	v3:    t_blocknr, t_flags, t_blocknr_high, t_checksum, 32 bits each
//	else:  t_blocknr 32, t_checksum 16, t_flags 16, t_blocknr_high 32 with 64BIT,
//	       and with v2 two bytes that nobody uses
//
// with the UUID of 16 bytes behind it unless tagSameUUID is set.
const (
	tagEscape   = 1 // the block began with the magic number, and has zeroes there in the log
	tagSameUUID = 2
	tagLast     = 8 // of the descriptor

	uuidSize = 16
	tailSize = 4 // checksum at the end of a descriptor or revoke block
)

// Revocation block, section "Revocation Block": r_count (bytes used, with the
// header of 16), block numbers of 4 or 8 bytes.
const revokeHeaderSize = 16

// Commit block, section "Commit Block".
const (
	commitSum  = 0x10 // h_chksum[0]
	commitSec  = 0x30 // h_commit_sec
	commitNsec = 0x38 // h_commit_nsec
)

func be16(p []byte) uint16 { return uint16(p[0])<<8 | uint16(p[1]) }

func be32(p []byte) uint32 {
	return uint32(p[0])<<24 | uint32(p[1])<<16 | uint32(p[2])<<8 | uint32(p[3])
}

func be64(p []byte) uint64 { return uint64(be32(p))<<32 | uint64(be32(p[4:])) }

func putBE32(p []byte, v uint32) {
	p[0], p[1], p[2], p[3] = byte(v>>24), byte(v>>16), byte(v>>8), byte(v)
}

func putBE64(p []byte, v uint64) {
	putBE32(p, uint32(v>>32))
	putBE32(p[4:], uint32(v))
}

func putHeader(p []byte, typ, sequence uint32) {
	putBE32(p, magic)
	putBE32(p[4:], typ)
	putBE32(p[8:], sequence)
}

// records is how the log's features shape its records.
type records struct {
	blockSize int
	sumV2     bool
	sumV3     bool
	wide      bool
	seed      uint32 // of all checksums: crc32c of s_uuid
	uuid      [uuidSize]byte
}

func (r *records) summed() bool { return r.sumV2 || r.sumV3 }

func (r *records) tagSize() int {
	switch {
	case r.sumV3:
		return 16
	case r.sumV2 && r.wide:
		return 14
	case r.sumV2:
		return 10
	case r.wide:
		return 12
	default:
		return 8
	}
}

// tail is what checksums take at the end of descriptor and revoke blocks.
func (r *records) tail() int {
	if r.summed() {
		return tailSize
	}
	return 0
}

// tags returns how many tags a descriptor block has room for.
func (r *records) tags() int {
	return (r.blockSize - headerSize - r.tail() - uuidSize) / r.tagSize()
}

func (r *records) revokeSize() int {
	if r.wide {
		return 8
	}
	return 4
}

// revokes returns how many block numbers a revoke block has room for.
func (r *records) revokes() int {
	return (r.blockSize - revokeHeaderSize - r.tail()) / r.revokeSize()
}

// A tag says where a block of the log belongs.
type tag struct {
	block    uint64
	flags    uint32
	checksum uint32 // 16 bits with v2
}

// putTag writes a tag without the UUID behind it.
func (r *records) putTag(p []byte, t tag) {
	putBE32(p, uint32(t.block))
	if r.sumV3 {
		putBE32(p[4:], t.flags)
		putBE32(p[8:], uint32(t.block>>32))
		putBE32(p[12:], t.checksum)
		return
	}
	putBE32(p[4:], t.flags&0xffff)
	if r.wide {
		putBE32(p[8:], uint32(t.block>>32))
	}
}

func (r *records) getTag(p []byte) tag {
	t := tag{block: uint64(be32(p))}
	if r.sumV3 {
		t.flags, t.checksum = be32(p[4:]), be32(p[12:])
	} else {
		t.checksum, t.flags = uint32(be16(p[4:])), uint32(be16(p[6:]))
	}
	if r.wide {
		t.block |= uint64(be32(p[8:])) << 32
	}
	return t
}

// blockSum returns the checksum of a block as it lies in the log.
func (r *records) blockSum(sequence uint32, p []byte) uint32 {
	var s [4]byte
	putBE32(s[:], sequence)
	return crc32c.Update(crc32c.Update(r.seed, s[:]), p)
}

func (r *records) blockSumRight(t tag, sequence uint32, p []byte) bool {
	sum := r.blockSum(sequence, p)
	if r.sumV2 {
		return sum&0xffff == t.checksum
	}
	return sum == t.checksum
}

// sumWithout is the checksum of a block with zeroes in the four bytes at off.
func sumWithout(seed uint32, p []byte, off int) uint32 {
	var zero [4]byte
	return crc32c.Update(crc32c.Update(crc32c.Update(seed, p[:off]), zero[:]), p[off+4:])
}

// seal puts the checksum at the end of a descriptor or revoke block.
func (r *records) seal(p []byte) {
	if r.summed() {
		off := r.blockSize - tailSize
		putBE32(p[off:], sumWithout(r.seed, p, off))
	}
}

func (r *records) sealed(p []byte) bool {
	off := r.blockSize - tailSize
	return !r.summed() || be32(p[off:]) == sumWithout(r.seed, p, off)
}

func (r *records) sealCommit(p []byte) {
	if r.summed() {
		putBE32(p[commitSum:], sumWithout(r.seed, p, commitSum))
	}
}

func (r *records) commitSealed(p []byte) bool {
	return !r.summed() || be32(p[commitSum:]) == sumWithout(r.seed, p, commitSum)
}
