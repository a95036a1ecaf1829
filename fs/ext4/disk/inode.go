package disk

// Inode is struct ext4_inode (inodes.rst). With an inode size of 128 it ends
// behind L_i_reserved; how many of the fields from I_extra_isize on are used,
// that field says.
type Inode struct {
	I_mode         uint16
	I_uid          uint16
	I_size_lo      uint32
	I_atime        uint32
	I_ctime        uint32
	I_mtime        uint32
	I_dtime        uint32
	I_gid          uint16
	I_links_count  uint16
	I_blocks_lo    uint32
	I_flags        uint32
	L_i_version    uint32
	I_block        [60]byte
	I_generation   uint32
	I_file_acl_lo  uint32
	I_size_high    uint32
	I_obso_faddr   uint32
	L_i_blocks_hi  uint16
	L_i_file_acl_h uint16
	L_i_uid_high   uint16
	L_i_gid_high   uint16
	L_i_csum_lo    uint16
	L_i_reserved   uint16
	I_extra_isize  uint16
	I_checksum_hi  uint16
	I_ctime_extra  uint32
	I_mtime_extra  uint32
	I_atime_extra  uint32
	I_crtime       uint32
	I_crtime_extra uint32
	I_version_hi   uint32
	I_projid       uint32
}

// Offsets of the two parts of an inode's checksum.
const (
	INODE_CSUM_LO = 0x7c
	INODE_CSUM_HI = 0x82
)

// Flags of an inode (i_flags).
const (
	IMMUTABLE_FL   = 0x10
	APPEND_FL      = 0x20
	INDEX_FL       = 0x1000
	HUGE_FILE_FL   = 0x40000
	EXTENTS_FL     = 0x80000
	INLINE_DATA_FL = 0x10000000
)

// LINK_MAX is the most names of an inode. A directory with more subdirectories counts 1
// (dir_nlink).
const LINK_MAX = 65000

// EXTRA_ISIZE is the i_extra_isize that the fields of Inode need.
const EXTRA_ISIZE = 32

// Block map (ifork.rst): direct block numbers, then one of each depth.
const (
	NDIR_BLOCKS = 12
	MAP_LEVELS  = 3
)

// ExtentHeader is struct ext4_extent_header; ExtentIdx and Extent, which
// follow it, are as large as it.
type ExtentHeader struct {
	Eh_magic      uint16
	Eh_entries    uint16
	Eh_max        uint16
	Eh_depth      uint16
	Eh_generation uint32
}

// ExtentIdx is struct ext4_extent_idx.
type ExtentIdx struct {
	Ei_block   uint32
	Ei_leaf_lo uint32
	Ei_leaf_hi uint16
	Ei_unused  uint16
}

// Extent is struct ext4_extent. A length above EXT_INIT_MAX_LEN is that of an
// unwritten extent, and that much too great.
type Extent struct {
	Ee_block    uint32
	Ee_len      uint16
	Ee_start_hi uint16
	Ee_start_lo uint32
}

// Numbers of extent trees (ifork.rst).
const (
	EXT_MAGIC        = 0xf30a
	EXT_INIT_MAX_LEN = 32768
	EXT_MAX_DEPTH    = 5
	EXT_ENTRY_SIZE   = 12 // of all three structures
)

// DirEntry2 is struct ext4_dir_entry_2 (directory.rst) without the name, which follows.
type DirEntry2 struct {
	Inode     uint32
	Rec_len   uint16
	Name_len  uint8
	File_type uint8
}

// DirEntryTail is struct ext4_dir_entry_tail, the end of a directory block with
// METADATA_CSUM.
type DirEntryTail struct {
	Det_reserved_zero1 uint32
	Det_rec_len        uint16
	Det_reserved_zero2 uint8
	Det_reserved_ft    uint8
	Det_checksum       uint32
}

// DxCountLimit is struct dx_countlimit: it takes the place of the first dx_entry of
// an index block, whose size is DX_ENTRY_SIZE.
type DxCountLimit struct {
	Limit uint16
	Count uint16
}

// Numbers of directories.
const (
	DIR_ENTRY_SIZE  = 8
	DIR_TAIL_SIZE   = 12
	FT_DIR_CSUM     = 0xde
	DX_ROOT_ENTRIES = 0x20 // offset of the dx_countlimit in the first block
	DX_NODE_ENTRIES = 0x8  // and in others
	DX_ENTRY_SIZE   = 8
	INLINE_DIR_HEAD = 4 // number of the parent, before the entries of an inline directory
)

// XattrHeader is struct ext4_xattr_header, the beginning of a block of extended
// attributes (attributes.rst). Those in an inode begin with h_magic alone.
type XattrHeader struct {
	H_magic    uint32
	H_refcount uint32
	H_blocks   uint32
	H_hash     uint32
	H_checksum uint32
	H_reserved [3]uint32
}

// XattrEntry is struct ext4_xattr_entry without the name, which follows.
type XattrEntry struct {
	E_name_len   uint8
	E_name_index uint8
	E_value_offs uint16
	E_value_inum uint32
	E_value_size uint32
	E_hash       uint32
}

// Numbers of extended attributes.
const (
	XATTR_MAGIC       = 0xea020000
	XATTR_HEADER_SIZE = 32
	XATTR_CHECKSUM    = 0x10 // offset of h_checksum
	XATTR_ENTRY_SIZE  = 16

	XATTR_INDEX_POSIX_ACL_ACCESS  = 2
	XATTR_INDEX_POSIX_ACL_DEFAULT = 3
	XATTR_INDEX_SYSTEM            = 7
)
