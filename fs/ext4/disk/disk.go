// Package disk holds the structures of ext4 as they lie on a disk, in little
// endian, which is that of all machines this system runs on. Names and layout
// are those of Documentation/filesystems/ext4 of Linux 6.12 (super.rst,
// group_descr.rst, inodes.rst, ifork.rst, directory.rst, attributes.rst,
// checksums.rst). The structures are laid over blocks with At.
package disk

import "unsafe"

// At returns the structure that begins at b[off], nil if b ends before it does.
func At[T any](b []byte, off int) *T {
	size := int(unsafe.Sizeof(*new(T)))
	if off < 0 || off > len(b)-size {
		return nil
	}
	return (*T)(unsafe.Pointer(&b[off]))
}

// Numbers of super.rst and inodes.rst.
const (
	SUPER_OFFSET = 1024 // of the superblock on the device, bytes
	SUPER_MAGIC  = 0xef53
	ROOT_INO     = 2

	GOOD_OLD_REV        = 0
	GOOD_OLD_INODE_SIZE = 128
	GOOD_OLD_FIRST_INO  = 11
)

// Features that a system must know to use the file system at all (s_feature_incompat).
const (
	INCOMPAT_COMPRESSION = 0x1
	INCOMPAT_FILETYPE    = 0x2
	INCOMPAT_RECOVER     = 0x4
	INCOMPAT_JOURNAL_DEV = 0x8
	INCOMPAT_META_BG     = 0x10
	INCOMPAT_EXTENTS     = 0x40
	INCOMPAT_64BIT       = 0x80
	INCOMPAT_MMP         = 0x100
	INCOMPAT_FLEX_BG     = 0x200
	INCOMPAT_EA_INODE    = 0x400
	INCOMPAT_DIRDATA     = 0x1000
	INCOMPAT_CSUM_SEED   = 0x2000
	INCOMPAT_LARGEDIR    = 0x4000
	INCOMPAT_INLINE_DATA = 0x8000
	INCOMPAT_ENCRYPT     = 0x10000
	INCOMPAT_CASEFOLD    = 0x20000
)

// Features that a system may ignore (s_feature_compat).
const (
	COMPAT_HAS_JOURNAL   = 0x4
	COMPAT_EXT_ATTR      = 0x8
	COMPAT_DIR_INDEX     = 0x20
	COMPAT_SPARSE_SUPER2 = 0x200
	COMPAT_ORPHAN_FILE   = 0x1000
)

// Features that a system must know to change the file system (s_feature_ro_compat).
const (
	RO_COMPAT_SPARSE_SUPER   = 0x1
	RO_COMPAT_LARGE_FILE     = 0x2
	RO_COMPAT_HUGE_FILE      = 0x8
	RO_COMPAT_GDT_CSUM       = 0x10
	RO_COMPAT_DIR_NLINK      = 0x20
	RO_COMPAT_EXTRA_ISIZE    = 0x40
	RO_COMPAT_QUOTA          = 0x100
	RO_COMPAT_BIGALLOC       = 0x200
	RO_COMPAT_METADATA_CSUM  = 0x400
	RO_COMPAT_READONLY       = 0x1000
	RO_COMPAT_PROJECT        = 0x2000
	RO_COMPAT_SHARED_BLOCKS  = 0x4000
	RO_COMPAT_VERITY         = 0x8000
	RO_COMPAT_ORPHAN_PRESENT = 0x10000
)

// States of a file system (s_state).
const (
	VALID_FS = 0x1 // was unmounted
	ERROR_FS = 0x2 // something was found to be wrong
)

// Flags of a group (bg_flags), with a checksum of the descriptor only.
const (
	BG_INODE_UNINIT = 0x1 // neither inode bitmap nor table were ever written
	BG_BLOCK_UNINIT = 0x2 // the block bitmap was never written
	BG_INODE_ZEROED = 0x4 // the whole inode table is on the disk
)

// SuperBlock is struct ext4_super_block (super.rst), to s_checksum_seed's
// neighbours; the rest is not used.
type SuperBlock struct {
	S_inodes_count         uint32
	S_blocks_count_lo      uint32
	S_r_blocks_count_lo    uint32
	S_free_blocks_count_lo uint32
	S_free_inodes_count    uint32
	S_first_data_block     uint32
	S_log_block_size       uint32
	S_log_cluster_size     uint32
	S_blocks_per_group     uint32
	S_clusters_per_group   uint32
	S_inodes_per_group     uint32
	S_mtime                uint32
	S_wtime                uint32
	S_mnt_count            uint16
	S_max_mnt_count        uint16
	S_magic                uint16
	S_state                uint16
	S_errors               uint16
	S_minor_rev_level      uint16
	S_lastcheck            uint32
	S_checkinterval        uint32
	S_creator_os           uint32
	S_rev_level            uint32
	S_def_resuid           uint16
	S_def_resgid           uint16
	S_first_ino            uint32
	S_inode_size           uint16
	S_block_group_nr       uint16
	S_feature_compat       uint32
	S_feature_incompat     uint32
	S_feature_ro_compat    uint32
	S_uuid                 [16]byte
	S_volume_name          [16]byte
	S_last_mounted         [64]byte
	S_algorithm_bitmap     uint32
	S_prealloc_blocks      uint8
	S_prealloc_dir_blocks  uint8
	S_reserved_gdt_blocks  uint16
	S_journal_uuid         [16]byte
	S_journal_inum         uint32
	S_journal_dev          uint32
	S_last_orphan          uint32
	S_hash_seed            [4]uint32
	S_def_hash_version     uint8
	S_jnl_backup_type      uint8
	S_desc_size            uint16
	S_default_mount_opts   uint32
	S_first_meta_bg        uint32
	S_mkfs_time            uint32
	S_jnl_blocks           [17]uint32
	S_blocks_count_hi      uint32
	S_r_blocks_count_hi    uint32
	S_free_blocks_count_hi uint32
	S_min_extra_isize      uint16
	S_want_extra_isize     uint16
	S_flags                uint32
	S_raid_stride          uint16
	S_mmp_interval         uint16
	S_mmp_block            [2]uint32
	S_raid_stripe_width    uint32
	S_log_groups_per_flex  uint8
	S_checksum_type        uint8
	S_encryption_level     uint8
	S_reserved_pad         uint8
	S_kbytes_written       [2]uint32
	S_snapshot             [5]uint32 // s_snapshot_inum, _id, _r_blocks_count, _list
	S_error_count          uint32
	S_first_error          [52]byte // s_first_error_time to s_first_error_line
	S_last_error           [52]byte // s_last_error_time to s_last_error_func
	S_mount_opts           [64]byte
	S_usr_quota_inum       uint32
	S_grp_quota_inum       uint32
	S_overhead_clusters    uint32
	S_backup_bgs           [2]uint32
	S_encrypt_algos        [4]byte
	S_encrypt_pw_salt      [16]byte
	S_lpf_ino              uint32
	S_prj_quota_inum       uint32
	S_checksum_seed        uint32
	S_wtime_hi             uint8
	S_mtime_hi             uint8
	S_mkfs_time_hi         uint8
	S_lastcheck_hi         uint8
	S_first_error_time_hi  uint8
	S_last_error_time_hi   uint8
	S_error_errcode        [2]uint8
	S_encoding             uint16
	S_encoding_flags       uint16
	S_orphan_file_inum     uint32
	S_reserved             [94 * 4]byte
	S_checksum             uint32
}

// GroupDesc is struct ext4_group_desc (group_descr.rst). Without 64BIT only its
// first 32 bytes exist.
type GroupDesc struct {
	Bg_block_bitmap_lo      uint32
	Bg_inode_bitmap_lo      uint32
	Bg_inode_table_lo       uint32
	Bg_free_blocks_count_lo uint16
	Bg_free_inodes_count_lo uint16
	Bg_used_dirs_count_lo   uint16
	Bg_flags                uint16
	Bg_exclude_bitmap_lo    uint32
	Bg_block_bitmap_csum_lo uint16
	Bg_inode_bitmap_csum_lo uint16
	Bg_itable_unused_lo     uint16
	Bg_checksum             uint16
	Bg_block_bitmap_hi      uint32
	Bg_inode_bitmap_hi      uint32
	Bg_inode_table_hi       uint32
	Bg_free_blocks_count_hi uint16
	Bg_free_inodes_count_hi uint16
	Bg_used_dirs_count_hi   uint16
	Bg_itable_unused_hi     uint16
	Bg_exclude_bitmap_hi    uint32
	Bg_block_bitmap_csum_hi uint16
	Bg_inode_bitmap_csum_hi uint16
	Bg_reserved             uint32
}

// Sizes of a GroupDesc without 64BIT and at least with it, and where its checksum lies.
const (
	MIN_DESC_SIZE       = 32
	MIN_DESC_SIZE_64BIT = 64
	DESC_CHECKSUM       = 0x1e
)
