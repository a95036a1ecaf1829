package ext4

import (
	"syscall"
	"unsafe"

	"github.com/goshawk-os/goshawk/fs/ext4/crc32c"
	"github.com/goshawk-os/goshawk/fs/ext4/disk"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// inode is what all inodes of this package have in common.
type inode interface {
	vfs.Inode
	base() *node
}

// node is an inode. Nothing in it changes after it was read.
type node struct {
	fs   *FS
	ino  uint32
	seed uint32 // of the checksums of what belongs to the inode
	raw  disk.Inode
	size uint64
	tail []byte // extended attributes in the inode, from their magic number on
}

type special struct{ node }

func (n *node) base() *node { return n }

// inode returns an inode, and reads it if it is not in memory.
func (fs *FS) inode(ino uint32) (inode, error) {
	fs.mu.Lock()
	i := fs.inodes[ino]
	fs.mu.Unlock()
	if i != nil {
		return i, nil
	}
	n, err := fs.readNode(ino)
	if err != nil {
		return nil, err
	}
	if n.raw.I_links_count == 0 {
		return nil, fs.damaged("inode", uint64(ino), "it has a name and no links")
	}
	switch n.Type() {
	case syscall.S_IFREG:
		f := &file{node: *n}
		if err := f.open(); err != nil {
			return nil, err
		}
		i = f
	case syscall.S_IFDIR:
		i = &directory{node: *n}
	case syscall.S_IFLNK:
		i = &symlink{*n}
	case syscall.S_IFCHR, syscall.S_IFBLK, syscall.S_IFIFO, syscall.S_IFSOCK:
		i = &special{*n}
	default:
		return nil, fs.damaged("inode", uint64(ino), "unknown type of file")
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if first := fs.inodes[ino]; first != nil {
		return first, nil
	}
	fs.inodes[ino] = i
	return i, nil
}

// readNode reads an inode from the table and checks it.
func (fs *FS) readNode(ino uint32) (*node, error) {
	if ino == 0 || ino > fs.super.S_inodes_count {
		return nil, fs.damaged("inode", uint64(ino), "there is no such number")
	}
	per := fs.super.S_inodes_per_group
	at := uint64((ino-1)%per) * uint64(fs.inodeLen)
	b, err := fs.cache.Get(fs.groups[(ino-1)/per].inodeTable + at/uint64(fs.size))
	if err != nil {
		return nil, err
	}
	defer b.Release()
	d := b.Data[at%uint64(fs.size):][:fs.inodeLen]
	n := &node{fs: fs, ino: ino}
	used := len(d)
	if used > disk.GOOD_OLD_INODE_SIZE {
		extra := int(*disk.At[uint16](d, disk.GOOD_OLD_INODE_SIZE))
		used = disk.GOOD_OLD_INODE_SIZE + extra
		if extra%4 != 0 || used > len(d) {
			return nil, fs.damaged("inode", uint64(ino), "wrong i_extra_isize")
		}
	}
	raw := unsafe.Slice((*byte)(unsafe.Pointer(&n.raw)), unsafe.Sizeof(n.raw))
	copy(raw, d[:used])
	if fs.csum {
		n.seed = crc32c.Update(crc32c.Update(fs.seed, raw4(ino)), raw4(n.raw.I_generation))
		if !n.checksum(d, used) {
			return nil, fs.damaged("inode", uint64(ino), "wrong checksum")
		}
	}
	if *disk.At[uint16](raw, 0) == 0 {
		return nil, fs.damaged("inode", uint64(ino), "it is not in use")
	}
	n.size = uint64(n.raw.I_size_lo) | uint64(n.raw.I_size_high)<<32
	if n.size > 1<<63-1 || n.Type() == syscall.S_IFDIR && n.size/uint64(fs.size) > fs.blocks {
		return nil, fs.damaged("inode", uint64(ino), "impossible size")
	}
	if len(d) > used+4 && *disk.At[uint32](d, used) == disk.XATTR_MAGIC {
		n.tail = append([]byte(nil), d[used:]...)
	}
	return n, nil
}

// checksum checks that of the inode d, of which used bytes have fields.
func (n *node) checksum(d []byte, used int) bool {
	want := uint32(n.raw.L_i_csum_lo)
	c := crc32c.Update(n.seed, d[:disk.INODE_CSUM_LO])
	c = crc32c.Update(c, []byte{0, 0})
	high := used >= disk.INODE_CSUM_HI+2
	if !high {
		return crc32c.Update(c, d[disk.INODE_CSUM_LO+2:])&0xffff == want
	}
	c = crc32c.Update(c, d[disk.INODE_CSUM_LO+2:disk.INODE_CSUM_HI])
	c = crc32c.Update(c, []byte{0, 0})
	return crc32c.Update(c, d[disk.INODE_CSUM_HI+2:]) == want|uint32(n.raw.I_checksum_hi)<<16
}

func raw4(v uint32) []byte { return []byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)} }

// Type implements vfs.Inode.
func (n *node) Type() uint32 { return uint32(n.raw.I_mode) & syscall.S_IFMT }

// Stat implements vfs.Inode.
func (n *node) Stat() (vfs.Stat, error) {
	r := &n.raw
	blocks := uint64(r.I_blocks_lo)
	if n.fs.super.S_feature_ro_compat&disk.RO_COMPAT_HUGE_FILE != 0 {
		blocks |= uint64(r.L_i_blocks_hi) << 32
		if r.I_flags&disk.HUGE_FILE_FL != 0 {
			blocks *= uint64(n.fs.size / 512)
		}
	}
	st := vfs.Stat{
		Dev: n.fs.o.Dev, Ino: uint64(n.ino), Mode: uint32(r.I_mode), Nlink: uint64(r.I_links_count),
		Uid: uint32(r.I_uid) | uint32(r.L_i_uid_high)<<16, Gid: uint32(r.I_gid) | uint32(r.L_i_gid_high)<<16,
		Size: int64(n.size), Blksize: int64(n.fs.size), Blocks: int64(blocks),
		Atime: timespec(r.I_atime, r.I_atime_extra), Mtime: timespec(r.I_mtime, r.I_mtime_extra),
		Ctime: timespec(r.I_ctime, r.I_ctime_extra),
	}
	if r.I_crtime|r.I_crtime_extra != 0 {
		st.Btime = timespec(r.I_crtime, r.I_crtime_extra)
	}
	if t := n.Type(); t == syscall.S_IFCHR || t == syscall.S_IFBLK {
		st.Rdev = n.rdev()
	}
	return st, nil
}

// rdev returns the number of a device, of which there are two encodings.
func (n *node) rdev() uint64 {
	if old := *disk.At[uint32](n.raw.I_block[:], 0); old != 0 {
		return vfs.Dev(old>>8&0xff, old&0xff)
	}
	v := *disk.At[uint32](n.raw.I_block[:], 4)
	return vfs.Dev(v>>8&0xfff, v&0xff|v>>12&0xfff00)
}

// timespec combines seconds and i_*time_extra: two bits more of the seconds, and
// nanoseconds.
func timespec(seconds, extra uint32) syscall.Timespec {
	t := syscall.Timespec{Sec: int64(int32(seconds)) + int64(extra&3)<<32, Nsec: int64(extra >> 2)}
	if t.Nsec >= 1e9 {
		t.Nsec = 0
	}
	return t
}

// SetAttr implements vfs.Inode.
func (n *node) SetAttr(vfs.Attr) error { return syscall.EROFS }
