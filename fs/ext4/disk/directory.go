package disk

// Versions of the hash of a directory's index (directory.rst), and what
// s_flags says of it.
const (
	DX_HASH_LEGACY   = 0
	DX_HASH_HALF_MD4 = 1
	DX_HASH_TEA      = 2

	FLAGS_SIGNED_HASH   = 1
	FLAGS_UNSIGNED_HASH = 2
)

// DxRootInfo is struct dx_root_info, in the first block of an indexed directory at DX_ROOT_INFO.
type DxRootInfo struct {
	Reserved_zero   uint32
	Hash_version    uint8
	Info_length     uint8
	Indirect_levels uint8
	Unused_flags    uint8
}

// DxEntry is struct dx_entry. The first of a block has a DxCountLimit in the place of Hash.
type DxEntry struct {
	Hash  uint32
	Block uint32
}

// DxTail is struct dx_tail, behind the place for all entries.
type DxTail struct {
	Dt_reserved uint32
	Dt_checksum uint32
}

// Numbers of indexes.
const (
	DX_ROOT_INFO  = 0x18
	DX_TAIL_SIZE  = 8
	DX_BLOCK_MASK = 0x0fffffff // of a DxEntry's block
	FT_DIR        = 2
)
