package disk

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
)

// TestLayout compares sizes and offsets with those in Linux's documentation.
func TestLayout(t *testing.T) {
	var s SuperBlock
	assert.EqualValues(t, 1024, unsafe.Sizeof(s))
	assert.EqualValues(t, 0x38, unsafe.Offsetof(s.S_magic))
	assert.EqualValues(t, 0x68, unsafe.Offsetof(s.S_uuid))
	assert.EqualValues(t, 0xe0, unsafe.Offsetof(s.S_journal_inum))
	assert.EqualValues(t, 0xfe, unsafe.Offsetof(s.S_desc_size))
	assert.EqualValues(t, 0x150, unsafe.Offsetof(s.S_blocks_count_hi))
	assert.EqualValues(t, 0x175, unsafe.Offsetof(s.S_checksum_type))
	assert.EqualValues(t, 0x194, unsafe.Offsetof(s.S_error_count))
	assert.EqualValues(t, 0x200, unsafe.Offsetof(s.S_mount_opts))
	assert.EqualValues(t, 0x248, unsafe.Offsetof(s.S_overhead_clusters))
	assert.EqualValues(t, 0x270, unsafe.Offsetof(s.S_checksum_seed))
	assert.EqualValues(t, 0x280, unsafe.Offsetof(s.S_orphan_file_inum))
	assert.EqualValues(t, 0x3fc, unsafe.Offsetof(s.S_checksum))
	assert.EqualValues(t, 64, unsafe.Sizeof(GroupDesc{}))
	assert.EqualValues(t, DESC_CHECKSUM, unsafe.Offsetof(GroupDesc{}.Bg_checksum))
	var i Inode
	assert.EqualValues(t, 160, unsafe.Sizeof(i))
	assert.EqualValues(t, 0x28, unsafe.Offsetof(i.I_block))
	assert.EqualValues(t, INODE_CSUM_LO, unsafe.Offsetof(i.L_i_csum_lo))
	assert.EqualValues(t, 0x80, unsafe.Offsetof(i.I_extra_isize))
	assert.EqualValues(t, INODE_CSUM_HI, unsafe.Offsetof(i.I_checksum_hi))
	for _, size := range []uintptr{unsafe.Sizeof(ExtentHeader{}), unsafe.Sizeof(ExtentIdx{}), unsafe.Sizeof(Extent{})} {
		assert.EqualValues(t, EXT_ENTRY_SIZE, size)
	}
	assert.EqualValues(t, DIR_ENTRY_SIZE, unsafe.Sizeof(DirEntry2{}))
	assert.EqualValues(t, DIR_TAIL_SIZE, unsafe.Sizeof(DirEntryTail{}))
	assert.EqualValues(t, XATTR_HEADER_SIZE, unsafe.Sizeof(XattrHeader{}))
	assert.EqualValues(t, XATTR_CHECKSUM, unsafe.Offsetof(XattrHeader{}.H_checksum))
	assert.EqualValues(t, XATTR_ENTRY_SIZE, unsafe.Sizeof(XattrEntry{}))
}

func TestAt(t *testing.T) {
	b := make([]byte, 20)
	assert.NotNil(t, At[Extent](b, 8))
	assert.Nil(t, At[Extent](b, 9))
	assert.Nil(t, At[Extent](b, -1))
	assert.Nil(t, At[Inode](b, 0))
}
