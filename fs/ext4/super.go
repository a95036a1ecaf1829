package ext4

import (
	"errors"
	"strconv"

	"github.com/goshawk-os/goshawk/fs/block"
	"github.com/goshawk-os/goshawk/fs/ext4/crc32c"
	"github.com/goshawk-os/goshawk/fs/ext4/disk"
	"github.com/goshawk-os/goshawk/fs/ext4/jbd2"
)

// understood are the s_feature_incompat bits that reading takes. All of
// s_feature_ro_compat may be unknown to a reader.
const understood = disk.INCOMPAT_FILETYPE | disk.INCOMPAT_RECOVER | disk.INCOMPAT_META_BG | disk.INCOMPAT_EXTENTS |
	disk.INCOMPAT_64BIT | disk.INCOMPAT_MMP | disk.INCOMPAT_FLEX_BG | disk.INCOMPAT_CSUM_SEED |
	disk.INCOMPAT_LARGEDIR | disk.INCOMPAT_INLINE_DATA

type featureName struct {
	bit  uint32
	name string
}

// refused are the names, as tune2fs(8) spells them, of the others.
var refused = []featureName{
	{disk.INCOMPAT_COMPRESSION, "compression"}, {disk.INCOMPAT_JOURNAL_DEV, "journal_dev"},
	{disk.INCOMPAT_EA_INODE, "ea_inode"}, {disk.INCOMPAT_DIRDATA, "dirdata"},
	{disk.INCOMPAT_ENCRYPT, "encrypt"}, {disk.INCOMPAT_CASEFOLD, "casefold"},
}

// featureNames returns the names of bits, each after a space; those that have none are one number.
func featureNames(bits uint32, known []featureName) (names string) {
	for _, f := range known {
		if bits&f.bit != 0 {
			names += " " + f.name
			bits &^= f.bit
		}
	}
	if bits != 0 {
		names += " 0x" + strconv.FormatUint(uint64(bits), 16)
	}
	return names
}

// readSuper reads and checks the superblock.
func (fs *FS) readSuper() error {
	s, err := fs.loadSuper()
	if err != nil {
		return err
	}
	fs.super = *s
	if unknown := s.S_feature_incompat &^ understood; unknown != 0 {
		return errors.New("ext4: the file system has features that are not supported:" + featureNames(unknown, refused))
	}
	fs.size = 1024 << min(s.S_log_block_size, 3)
	if fs.size > 4096 {
		return errors.New("ext4: blocks of more than 4096 bytes are not supported")
	}
	info := fs.dev.Info()
	if info.LogicalBlock > fs.size {
		return errors.New("ext4: the blocks of the device are larger than those of the file system")
	}
	fs.blocks, fs.descLen = uint64(s.S_blocks_count_lo), disk.MIN_DESC_SIZE
	if s.S_feature_incompat&disk.INCOMPAT_64BIT != 0 {
		fs.blocks |= uint64(s.S_blocks_count_hi) << 32
		fs.descLen = int(s.S_desc_size)
	}
	fs.inodeLen = disk.GOOD_OLD_INODE_SIZE
	if s.S_rev_level > disk.GOOD_OLD_REV {
		fs.inodeLen = int(s.S_inode_size)
	}
	bits := uint32(8 * fs.size)
	switch {
	case fs.blocks > uint64(info.Size)/uint64(fs.size):
		return errors.New("ext4: the device is smaller than the file system, " + strconv.FormatUint(fs.blocks, 10) + " blocks of " + strconv.Itoa(fs.size) + " bytes")
	case fs.descLen < disk.MIN_DESC_SIZE || fs.descLen > fs.size || fs.descLen&(fs.descLen-1) != 0,
		s.S_feature_incompat&disk.INCOMPAT_64BIT != 0 && fs.descLen < disk.MIN_DESC_SIZE_64BIT,
		fs.inodeLen < disk.GOOD_OLD_INODE_SIZE || fs.inodeLen > fs.size || fs.inodeLen&(fs.inodeLen-1) != 0,
		s.S_blocks_per_group == 0, s.S_log_cluster_size > 20, s.S_clusters_per_group > bits,
		s.S_inodes_per_group == 0 || s.S_inodes_per_group > bits,
		uint64(s.S_first_data_block) >= fs.blocks || s.S_first_data_block > 1,
		(fs.blocks-uint64(s.S_first_data_block)+uint64(s.S_blocks_per_group)-1)/uint64(s.S_blocks_per_group)*uint64(s.S_inodes_per_group) != uint64(s.S_inodes_count):
		return errors.New("ext4: the superblock is damaged: its numbers contradict each other")
	}
	if fs.csum {
		fs.seed = crc32c.Update(^uint32(0), s.S_uuid[:])
		if s.S_feature_incompat&disk.INCOMPAT_CSUM_SEED != 0 {
			fs.seed = s.S_checksum_seed
		}
	}
	return nil
}

// loadSuper reads the superblock and checks what it says about itself.
func (fs *FS) loadSuper() (*disk.SuperBlock, error) {
	if fs.dev.Info().Size < 2*disk.SUPER_OFFSET {
		return nil, errors.New("ext4: the device is too small to hold a file system")
	}
	b := make([]byte, 4096)
	if fs.dev.Info().Size < int64(len(b)) {
		b = b[:2*disk.SUPER_OFFSET]
	}
	if err := block.ReadAt(fs.dev, b, 0); err != nil {
		return nil, errors.New("ext4: the superblock cannot be read: " + err.Error())
	}
	s := disk.At[disk.SuperBlock](b, disk.SUPER_OFFSET)
	if s.S_magic != disk.SUPER_MAGIC {
		return nil, ErrNone
	}
	if fs.csum = s.S_feature_ro_compat&disk.RO_COMPAT_METADATA_CSUM != 0; fs.csum &&
		(s.S_checksum_type != 1 || crc32c.Update(^uint32(0), b[disk.SUPER_OFFSET:disk.SUPER_OFFSET+1020]) != s.S_checksum) {
		return nil, errors.New("ext4: the superblock is damaged: wrong checksum")
	}
	return s, nil
}

// kept are the features that this package keeps up when it changes a file system, and their names.
var kept = []struct {
	incompat bool
	known    uint32
	names    []featureName // of others
}{
	{true, disk.INCOMPAT_FILETYPE | disk.INCOMPAT_RECOVER | disk.INCOMPAT_META_BG | disk.INCOMPAT_EXTENTS | disk.INCOMPAT_64BIT |
		disk.INCOMPAT_FLEX_BG | disk.INCOMPAT_CSUM_SEED | disk.INCOMPAT_LARGEDIR,
		[]featureName{{disk.INCOMPAT_MMP, "mmp"}, {disk.INCOMPAT_INLINE_DATA, "inline_data"}}},
	{false, disk.RO_COMPAT_SPARSE_SUPER | disk.RO_COMPAT_LARGE_FILE | disk.RO_COMPAT_HUGE_FILE | disk.RO_COMPAT_GDT_CSUM |
		disk.RO_COMPAT_DIR_NLINK | disk.RO_COMPAT_EXTRA_ISIZE | disk.RO_COMPAT_METADATA_CSUM | disk.RO_COMPAT_ORPHAN_PRESENT,
		[]featureName{
			{disk.RO_COMPAT_QUOTA, "quota"}, {disk.RO_COMPAT_BIGALLOC, "bigalloc"}, {disk.RO_COMPAT_READONLY, "read-only"},
			{disk.RO_COMPAT_PROJECT, "project"}, {disk.RO_COMPAT_SHARED_BLOCKS, "shared_blocks"}, {disk.RO_COMPAT_VERITY, "verity"},
		}},
}

// writable reports whether this package can change the file system, and logs why not.
func (fs *FS) writable() bool {
	names := ""
	for _, k := range kept {
		has := fs.super.S_feature_ro_compat
		if k.incompat {
			has = fs.super.S_feature_incompat
		}
		names += featureNames(has&^k.known, k.names)
	}
	switch {
	case names != "":
		fs.log("ext4: the file system can only be read, since it has features that writing does not support:" + names)
		return false
	case fs.super.S_feature_incompat&disk.INCOMPAT_EXTENTS == 0 || fs.super.S_feature_incompat&disk.INCOMPAT_FILETYPE == 0:
		fs.log("ext4: the file system can only be read, since it does not have the features extent and filetype")
		return false
	}
	return true
}

// loadLog reads the journal and replays it if it has something that is not on the rest of the
// disk, and then reads again what that may have changed. Without need it returns nil.
func (fs *FS) loadLog(needed bool) (*jbd2.Log, error) {
	s := &fs.super
	if s.S_feature_compat&disk.COMPAT_HAS_JOURNAL == 0 || !needed && s.S_feature_incompat&disk.INCOMPAT_RECOVER == 0 {
		return nil, nil
	}
	if s.S_journal_inum == 0 {
		return nil, errors.New("ext4: the journal lies on another device, which is not supported")
	}
	n, err := fs.readNode(s.S_journal_inum)
	if err != nil {
		return nil, errors.New("ext4: the journal's inode cannot be read: " + err.Error())
	}
	area := jbd2.Area{Device: fs.dev, BlockSize: fs.size}
	for at, end := uint64(0), min(n.size/uint64(fs.size), fs.blocks); at < end; {
		r, err := n.lookup(at)
		if err != nil || !r.data() {
			return nil, errors.New("ext4: the journal's inode is damaged")
		}
		count := min(r.count, end-at)
		area.Runs = append(area.Runs, jbd2.Run{Start: r.phys, Count: count})
		at += count
	}
	l, err := jbd2.Load(area)
	if err != nil {
		return nil, errors.New("ext4: the journal cannot be read: " + err.Error())
	}
	if !l.Dirty() {
		return l, nil
	}
	if fs.dev.Info().ReadOnly {
		return nil, errors.New("ext4: the journal must be replayed, and the device is read-only")
	}
	r, err := l.Recover(fs.cache)
	if err != nil {
		return nil, errors.New("ext4: the journal cannot be replayed: " + err.Error())
	}
	if r.Note != "" {
		fs.log("ext4: journal: " + r.Note)
	}
	if err := fs.readSuper(); err != nil {
		return nil, err
	}
	if fs.cache.BlockSize() != fs.size {
		return nil, errors.New("ext4: the journal has damaged the superblock")
	}
	return l, fs.readGroups()
}
