package mkfs

import (
	"math/bits"
	"unsafe"

	"github.com/goshawk-os/goshawk/fs/ext4/crc32c"
	"github.com/goshawk-os/goshawk/fs/ext4/disk"
)

const journalIno = 8

func bytesOf[T any](p *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(p)), unsafe.Sizeof(*p))
}

// putSuper puts a superblock with its checksum at the beginning of b.
func putSuper(b []byte, s *disk.SuperBlock) {
	copy(b, bytesOf(s))
	*disk.At[uint32](b, 1020) = crc32c.Update(^uint32(0), b[:1020])
}

// descriptors writes the bitmaps, makes inode tables zero and returns the group descriptors.
func (w *writer) descriptors() []byte {
	table := make([]byte, w.descBlocks*w.size)
	for g := range w.groups {
		at := w.where[g]
		d := disk.At[disk.GroupDesc](table, int(g)*descSize)
		split(&d.Bg_block_bitmap_lo, &d.Bg_block_bitmap_hi, at.blockBitmap)
		split(&d.Bg_inode_bitmap_lo, &d.Bg_inode_bitmap_hi, at.inodeBitmap)
		split(&d.Bg_inode_table_lo, &d.Bg_inode_table_hi, at.inodeTable)
		free, inodes := w.length(g)-w.head(g), w.inodes
		// The last group's bitmap has padding, which nobody should have to work out.
		if b := w.bitmaps[g]; b != nil || g == w.groups-1 {
			b = w.bitmap(g)
			free = w.perGroup
			for _, x := range b {
				free -= uint64(bits.OnesCount8(x))
			}
			w.put(at.blockBitmap, b)
			sum := crc32c.Update(w.seed, b)
			d.Bg_block_bitmap_csum_lo, d.Bg_block_bitmap_csum_hi = uint16(sum), uint16(sum>>16)
		} else {
			d.Bg_flags |= disk.BG_BLOCK_UNINIT
		}
		if g == 0 {
			b := make([]byte, w.size)
			b[0], b[1] = 0xff, 0x07
			for i := w.inodes; i < 8*w.size; i++ {
				b[i/8] |= 1 << (i % 8)
			}
			w.put(at.inodeBitmap, b)
			sum := crc32c.Update(w.seed, b[:w.inodes/8])
			d.Bg_inode_bitmap_csum_lo, d.Bg_inode_bitmap_csum_hi = uint16(sum), uint16(sum>>16)
			inodes -= disk.GOOD_OLD_FIRST_INO
			d.Bg_used_dirs_count_lo = 2
		} else {
			d.Bg_flags |= disk.BG_INODE_UNINIT
		}
		if g == 0 || w.zeroed {
			w.zero(at.inodeTable, w.table)
			d.Bg_flags |= disk.BG_INODE_ZEROED
		}
		d.Bg_free_blocks_count_lo, d.Bg_free_blocks_count_hi = uint16(free), uint16(free>>16)
		d.Bg_free_inodes_count_lo, d.Bg_free_inodes_count_hi = uint16(inodes), uint16(inodes>>16)
		d.Bg_itable_unused_lo, d.Bg_itable_unused_hi = uint16(inodes), uint16(inodes>>16)
		w.free += free
		d.Bg_checksum = uint16(crc32c.Update(w.number(uint32(g)), bytesOf(d)))
	}
	return table
}

func split(lo, hi *uint32, v uint64) { *lo, *hi = uint32(v), uint32(v>>32) }

// number returns the checksum's seed for what has a number.
func (w *writer) number(n uint32) uint32 { return crc32c.Update(w.seed, bytesOf(&n)) }

// owner is the seed for what belongs to an inode, whose generation is 0.
func (w *writer) owner(ino uint32) uint32 {
	var generation [4]byte
	return crc32c.Update(w.number(ino), generation[:])
}

// directories writes the blocks of the root and of lost+found.
func (w *writer) directories() {
	const lostIno = disk.GOOD_OLD_FIRST_INO
	root := make([]byte, w.size)
	n := dirEntry(root, 0, disk.ROOT_INO, ".", 12)
	n += dirEntry(root, n, disk.ROOT_INO, "..", 12)
	dirEntry(root, n, lostIno, "lost+found", int(w.size)-n-disk.DIR_TAIL_SIZE)
	w.dirTail(root, disk.ROOT_INO)
	w.put(w.root, root)
	lost := make([]byte, w.size*w.lostBlocks)
	for i := range w.lostBlocks {
		b := lost[i*w.size:][:w.size]
		if i == 0 {
			dirEntry(b, 0, lostIno, ".", 12)
			dirEntry(b, 12, disk.ROOT_INO, "..", int(w.size)-12-disk.DIR_TAIL_SIZE)
		} else {
			disk.At[disk.DirEntry2](b, 0).Rec_len = uint16(w.size) - disk.DIR_TAIL_SIZE
		}
		w.dirTail(b, lostIno)
	}
	w.put(w.lost, lost)
}

// dirEntry puts the entry of a directory and returns its length.
func dirEntry(b []byte, at int, ino uint32, name string, length int) int {
	const directory = 2
	*disk.At[disk.DirEntry2](b, at) = disk.DirEntry2{Inode: ino, Rec_len: uint16(length), Name_len: uint8(len(name)), File_type: directory}
	copy(b[at+disk.DIR_ENTRY_SIZE:], name)
	return length
}

func (w *writer) dirTail(b []byte, ino uint32) {
	at := len(b) - disk.DIR_TAIL_SIZE
	*disk.At[disk.DirEntryTail](b, at) = disk.DirEntryTail{
		Det_rec_len: disk.DIR_TAIL_SIZE, Det_reserved_ft: disk.FT_DIR_CSUM, Det_checksum: crc32c.Update(w.owner(ino), b[:at]),
	}
}

// journalBlocksAndMap writes an empty journal and the leaf of its extents.
func (w *writer) journalBlocksAndMap() {
	if w.journal == nil {
		return
	}
	length := uint64(0)
	for _, r := range w.journal {
		w.zero(r.start, r.count) // what looked like a log must not be replayed
		length += r.count
	}
	// Superblock version 2 (journal.rst), big-endian; who mounts adds features.
	b := make([]byte, w.size)
	for at, v := range map[int]uint32{0: 0xc03b3998, 4: 4, 0xc: uint32(w.size), 0x10: uint32(length), 0x14: 1, 0x18: 1, 0x40: 1} {
		b[at], b[at+1], b[at+2], b[at+3] = byte(v>>24), byte(v>>16), byte(v>>8), byte(v)
	}
	copy(b[0x30:], w.o.UUID[:])
	w.put(w.journal[0].start, b)
	if w.journalMap == 0 {
		return
	}
	leaf := make([]byte, w.size)
	most := (len(leaf) - disk.EXT_ENTRY_SIZE) / disk.EXT_ENTRY_SIZE
	if len(leaf)%disk.EXT_ENTRY_SIZE < 4 {
		most-- // the checksum needs room
	}
	extents(leaf, w.journal, most)
	tail := disk.EXT_ENTRY_SIZE * (1 + most)
	*disk.At[uint32](leaf, tail) = crc32c.Update(w.owner(journalIno), leaf[:tail])
	w.put(w.journalMap, leaf)
}

// extents puts a leaf of an extent tree.
func extents(b []byte, runs []run, most int) {
	*disk.At[disk.ExtentHeader](b, 0) = disk.ExtentHeader{Eh_magic: disk.EXT_MAGIC, Eh_entries: uint16(len(runs)), Eh_max: uint16(most)}
	logical := uint64(0)
	for i, r := range runs {
		*disk.At[disk.Extent](b, disk.EXT_ENTRY_SIZE*(1+i)) = disk.Extent{
			Ee_block: uint32(logical), Ee_len: uint16(r.count), Ee_start_lo: uint32(r.start), Ee_start_hi: uint16(r.start >> 32),
		}
		logical += r.count
	}
}

// inode returns an inode that has the given blocks.
func (w *writer) inode(mode, links uint16, runs []run) disk.Inode {
	i := disk.Inode{
		I_mode: mode, I_links_count: links, I_flags: disk.EXTENTS_FL, I_extra_isize: disk.EXTRA_ISIZE,
		I_atime: w.now, I_ctime: w.now, I_mtime: w.now, I_crtime: w.now,
	}
	if w.now >= 1<<31 { // seconds are signed, and the low two bits of the extra fields count 2^32 of them
		i.I_atime_extra, i.I_ctime_extra, i.I_mtime_extra, i.I_crtime_extra = 1, 1, 1, 1
	}
	n := uint64(0)
	for _, r := range runs {
		n += r.count
	}
	split(&i.I_size_lo, &i.I_size_high, n*w.size)
	i.I_blocks_lo = uint32(n * w.size / 512)
	extents(i.I_block[:], runs[:min(len(runs), 4)], 4)
	return i
}

// journalInode returns the journal's inode.
func (w *writer) journalInode() disk.Inode {
	i := w.inode(0x8180, 1, w.journal)
	if w.journalMap != 0 {
		i.I_blocks_lo += uint32(w.size / 512)
		*disk.At[disk.ExtentHeader](i.I_block[:], 0) = disk.ExtentHeader{Eh_magic: disk.EXT_MAGIC, Eh_entries: 1, Eh_max: 4, Eh_depth: 1}
		clear(i.I_block[disk.EXT_ENTRY_SIZE:])
		*disk.At[disk.ExtentIdx](i.I_block[:], disk.EXT_ENTRY_SIZE) = disk.ExtentIdx{Ei_leaf_lo: uint32(w.journalMap), Ei_leaf_hi: uint16(w.journalMap >> 32)}
	}
	return i
}

// inodeTable writes the inodes that are in use.
func (w *writer) inodeTable() {
	b := make([]byte, roundUp(disk.GOOD_OLD_FIRST_INO*inodeSize, w.size)*w.size)
	put := func(ino uint32, i disk.Inode) {
		at := b[(ino-1)*inodeSize:][:inodeSize]
		copy(at, bytesOf(&i))
		sum := crc32c.Update(w.owner(ino), at)
		*disk.At[uint16](at, disk.INODE_CSUM_LO), *disk.At[uint16](at, disk.INODE_CSUM_HI) = uint16(sum), uint16(sum>>16)
	}
	put(1, disk.Inode{I_atime: w.now, I_ctime: w.now, I_mtime: w.now, I_extra_isize: disk.EXTRA_ISIZE}) // of bad blocks
	put(disk.ROOT_INO, w.inode(0x41ed, 3, []run{{w.root, 1}}))
	put(disk.GOOD_OLD_FIRST_INO, w.inode(0x41c0, 2, []run{{w.lost, w.lostBlocks}}))
	if w.journal != nil {
		put(journalIno, w.journalInode())
	}
	w.put(w.where[0].inodeTable, b)
}

// super returns the superblock.
func (w *writer) super() *disk.SuperBlock {
	percent := uint64(5)
	if w.o.Reserved != nil {
		percent = uint64(*w.o.Reserved)
	}
	logSize := uint32(bits.Len64(w.size) - 11)
	s := &disk.SuperBlock{
		S_inodes_count: uint32(w.inodes * w.groups), S_free_inodes_count: uint32(w.inodes*w.groups) - disk.GOOD_OLD_FIRST_INO,
		S_first_data_block: uint32(w.first), S_log_block_size: logSize, S_log_cluster_size: logSize,
		S_blocks_per_group: uint32(w.perGroup), S_clusters_per_group: uint32(w.perGroup), S_inodes_per_group: uint32(w.inodes),
		S_wtime: w.now, S_lastcheck: w.now, S_mkfs_time: w.now, S_max_mnt_count: 0xffff, S_magic: disk.SUPER_MAGIC,
		S_state: disk.VALID_FS, S_errors: 1, S_rev_level: 1, S_first_ino: disk.GOOD_OLD_FIRST_INO, S_inode_size: inodeSize,
		S_feature_compat:   disk.COMPAT_EXT_ATTR | disk.COMPAT_DIR_INDEX,
		S_feature_incompat: disk.INCOMPAT_FILETYPE | disk.INCOMPAT_EXTENTS | disk.INCOMPAT_64BIT | disk.INCOMPAT_FLEX_BG,
		S_feature_ro_compat: disk.RO_COMPAT_SPARSE_SUPER | disk.RO_COMPAT_LARGE_FILE | disk.RO_COMPAT_HUGE_FILE |
			disk.RO_COMPAT_DIR_NLINK | disk.RO_COMPAT_EXTRA_ISIZE | disk.RO_COMPAT_METADATA_CSUM,
		S_uuid: w.o.UUID, S_hash_seed: *disk.At[[4]uint32](w.o.HashSeed[:], 0), S_def_hash_version: disk.DX_HASH_HALF_MD4,
		S_desc_size: descSize, S_default_mount_opts: 0xc, // user_xattr, acl
		S_min_extra_isize: disk.EXTRA_ISIZE, S_want_extra_isize: disk.EXTRA_ISIZE, S_flags: disk.FLAGS_SIGNED_HASH,
		S_log_groups_per_flex: 4, S_checksum_type: 1,
	}
	split(&s.S_blocks_count_lo, &s.S_blocks_count_hi, w.blocks)
	split(&s.S_r_blocks_count_lo, &s.S_r_blocks_count_hi, w.blocks*percent/100)
	split(&s.S_free_blocks_count_lo, &s.S_free_blocks_count_hi, w.free)
	copy(s.S_volume_name[:], w.o.Label)
	if w.journal != nil {
		s.S_feature_compat |= disk.COMPAT_HAS_JOURNAL
		s.S_journal_inum, s.S_jnl_backup_type = journalIno, 1
		i := w.journalInode()
		for n := range 15 {
			s.S_jnl_blocks[n] = *disk.At[uint32](i.I_block[:], 4*n)
		}
		s.S_jnl_blocks[15], s.S_jnl_blocks[16] = i.I_size_high, i.I_size_lo
	}
	return s
}
