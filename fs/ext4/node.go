package ext4

import (
	"math"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"
	"weak"

	"github.com/goshawk-os/goshawk/fs/ext4/crc32c"
	"github.com/goshawk-os/goshawk/fs/ext4/disk"
	"github.com/goshawk-os/goshawk/fs/ext4/jbd2"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// inode is what all inodes of this package have in common.
type inode interface {
	vfs.Inode
	base() *node
}

// node is an inode in memory.
type node struct {
	fs   *FS
	ino  uint32
	typ  uint32 // S_IFMT bits
	seed uint32 // of the checksums of what belongs to the inode
	self inode
	// Where the content lies, which does not change: in the inode, or by a block map.
	inlined, blockMap bool

	// Guarded by FS.mu.
	opens    int  // Files that use it
	linkable bool // has no name yet and may get one
	nameless bool
	freed    bool // nameless, not in use, and no longer on the disk

	// Guarded by FS.superMu: neighbours in the list of orphans.
	orphan                 bool
	prevOrphan, nextOrphan *node

	// seen says that the access time is behind all changes since the file was opened last.
	seen atomic.Bool

	mu   sync.RWMutex
	raw  disk.Inode
	size uint64 // of the file on the disk; its Mapping may know better
	used int    // bytes of the inode that have fields
	tail []byte // extended attributes in the inode, from their magic number on
	// stale says that times changed that are not in the table.
	stale bool
	// tid and dataTID are the last transactions that changed anything, and anything that is
	// needed to read the data.
	tid, dataTID jbd2.TID
}

type special struct{ node }

func (n *node) base() *node { return n }

// inode returns an inode that has a name, and reads it if it is not in memory.
func (fs *FS) inode(ino uint32) (inode, error) {
	fs.mu.Lock()
	i := fs.cached(ino)
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
	return fs.adopt(n)
}

// cached returns an inode that is in memory, or nil. The caller holds FS.mu.
func (fs *FS) cached(ino uint32) inode {
	if n := fs.inodes[ino].Value(); n != nil {
		return n.self
	}
	return nil
}

// adopt makes a node that was read or made an inode of its type, and puts it into the table unless
// there is one of its number.
func (fs *FS) adopt(n *node) (inode, error) {
	var i inode
	switch n.typ {
	case syscall.S_IFREG:
		f := &file{}
		moveNode(&f.node, n, f)
		if err := f.open(); err != nil {
			return nil, err
		}
		i = f
	case syscall.S_IFDIR:
		d := &directory{}
		moveNode(&d.node, n, d)
		i = d
	case syscall.S_IFLNK:
		l := &symlink{}
		moveNode(&l.node, n, l)
		i = l
	case syscall.S_IFCHR, syscall.S_IFBLK, syscall.S_IFIFO, syscall.S_IFSOCK:
		s := &special{}
		moveNode(&s.node, n, s)
		i = s
	default:
		return nil, fs.damaged("inode", uint64(n.ino), "unknown type of file")
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if first := fs.cached(n.ino); first != nil {
		return first, nil
	}
	if len(fs.inodes) > fs.sweepInodes {
		for ino, p := range fs.inodes {
			if p.Value() == nil {
				delete(fs.inodes, ino)
			}
		}
		fs.sweepInodes = max(2*len(fs.inodes), minSweep)
	}
	fs.inodes[n.ino] = weak.Make(i.base())
	return i, nil
}

// moveNode fills a node with what was read of it.
func moveNode(to, n *node, self inode) {
	to.fs, to.ino, to.typ, to.seed, to.self = n.fs, n.ino, n.typ, n.seed, self
	to.raw, to.size, to.used, to.tail = n.raw, n.size, n.used, n.tail
	to.inlined = n.raw.I_flags&disk.INLINE_DATA_FL != 0
	to.blockMap = n.raw.I_flags&(disk.INLINE_DATA_FL|disk.EXTENTS_FL) == 0
}

// inodePlace returns the block of the table that has an inode, and where it lies there.
func (fs *FS) inodePlace(ino uint32) (block uint64, off int) {
	per := fs.super.S_inodes_per_group
	at := uint64((ino-1)%per) * uint64(fs.inodeLen)
	return fs.groups[(ino-1)/per].inodeTable + at/uint64(fs.size), int(at % uint64(fs.size))
}

// readNode reads an inode from the table and checks it.
func (fs *FS) readNode(ino uint32) (*node, error) {
	if ino == 0 || ino > fs.super.S_inodes_count {
		return nil, fs.damaged("inode", uint64(ino), "there is no such number")
	}
	block, off := fs.inodePlace(ino)
	b, err := fs.cache.Get(block)
	if err != nil {
		return nil, err
	}
	defer b.Release()
	d := b.Data[off:][:fs.inodeLen]
	n := &node{fs: fs, ino: ino, used: len(d)}
	if n.used > disk.GOOD_OLD_INODE_SIZE {
		extra := int(*disk.At[uint16](d, disk.GOOD_OLD_INODE_SIZE))
		n.used = disk.GOOD_OLD_INODE_SIZE + extra
		if extra%4 != 0 || n.used > len(d) {
			return nil, fs.damaged("inode", uint64(ino), "wrong i_extra_isize")
		}
	}
	copy(n.bytes(), d[:n.used])
	if fs.csum {
		n.seed = crc32c.Update(crc32c.Update(fs.seed, raw4(ino)), raw4(n.raw.I_generation))
		if n.checksum(d) != uint32(n.raw.L_i_csum_lo)|uint32(n.raw.I_checksum_hi)<<16 {
			return nil, fs.damaged("inode", uint64(ino), "wrong checksum")
		}
	}
	if n.raw.I_mode == 0 {
		return nil, fs.damaged("inode", uint64(ino), "it is not in use")
	}
	n.typ = uint32(n.raw.I_mode) & syscall.S_IFMT
	n.size = uint64(n.raw.I_size_lo) | uint64(n.raw.I_size_high)<<32
	inlined := n.raw.I_flags&disk.INLINE_DATA_FL != 0
	if n.size > math.MaxInt64 || n.typ == syscall.S_IFDIR && !inlined && (n.size/uint64(fs.size) > fs.blocks || n.size%uint64(fs.size) != 0) {
		return nil, fs.damaged("inode", uint64(ino), "impossible size")
	}
	if len(d) > n.used+4 && *disk.At[uint32](d, n.used) == disk.XATTR_MAGIC {
		n.tail = append([]byte(nil), d[n.used:]...)
	}
	return n, nil
}

// bytes are the fields as they are on disk.
func (n *node) bytes() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&n.raw)), unsafe.Sizeof(n.raw))[:min(n.used, int(unsafe.Sizeof(n.raw)))]
}

// checksum returns that of the inode d; its upper half is zero where the inode has no place for it.
func (n *node) checksum(d []byte) uint32 {
	c := crc32c.Update(n.seed, d[:disk.INODE_CSUM_LO])
	c = crc32c.Update(c, []byte{0, 0})
	if n.used < disk.INODE_CSUM_HI+2 {
		return crc32c.Update(c, d[disk.INODE_CSUM_LO+2:]) & 0xffff
	}
	c = crc32c.Update(c, d[disk.INODE_CSUM_LO+2:disk.INODE_CSUM_HI])
	c = crc32c.Update(c, []byte{0, 0})
	return crc32c.Update(c, d[disk.INODE_CSUM_HI+2:])
}

// store writes the inode to its table. The caller holds mu.
func (n *node) store(h *jbd2.Handle) error {
	block, off := n.fs.inodePlace(n.ino)
	b, err := n.fs.cache.Get(block)
	if err != nil {
		return err
	}
	defer b.Release()
	return n.storeIn(h, b, off)
}

// storeIn is store with the block of the table and the inode's place in it.
func (n *node) storeIn(h *jbd2.Handle, b *jbd2.Buffer, off int) error {
	if err := h.Modify(b); err != nil {
		return err
	}
	r, d := &n.raw, b.Data[off:][:n.fs.inodeLen]
	r.I_size_lo, r.I_size_high = uint32(n.size), uint32(n.size>>32)
	copy(d, n.bytes())
	if n.tail != nil {
		copy(d[n.used:], n.tail)
	} else {
		clear(d[n.used:])
	}
	if n.fs.csum {
		c := n.checksum(d)
		r.L_i_csum_lo = uint16(c)
		*disk.At[uint16](d, disk.INODE_CSUM_LO) = uint16(c)
		if n.used >= disk.INODE_CSUM_HI+2 {
			r.I_checksum_hi = uint16(c >> 16)
			*disk.At[uint16](d, disk.INODE_CSUM_HI) = uint16(c >> 16)
		}
	}
	n.tid, n.stale = h.TID(), false
	return nil
}

// update changes the inode and stores it.
func (n *node) update(h *jbd2.Handle, change func(r *disk.Inode)) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(&n.raw)
	return n.store(h)
}

func raw4(v uint32) []byte { return []byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)} }

// Type implements vfs.Inode.
func (n *node) Type() uint32 { return n.typ }

// Stat implements vfs.Inode.
func (n *node) Stat() (vfs.Stat, error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	r := &n.raw
	st := vfs.Stat{
		Dev: n.fs.o.Dev, Ino: uint64(n.ino), Mode: uint32(r.I_mode), Nlink: uint64(r.I_links_count),
		Uid: uint32(r.I_uid) | uint32(r.L_i_uid_high)<<16, Gid: uint32(r.I_gid) | uint32(r.L_i_gid_high)<<16,
		Size: int64(n.size), Blksize: int64(n.fs.size), Blocks: n.sectors(),
		Atime: timespec(r.I_atime, r.I_atime_extra), Mtime: timespec(r.I_mtime, r.I_mtime_extra),
		Ctime: timespec(r.I_ctime, r.I_ctime_extra),
	}
	if r.I_crtime|r.I_crtime_extra != 0 {
		st.Btime = timespec(r.I_crtime, r.I_crtime_extra)
	}
	if n.typ == syscall.S_IFCHR || n.typ == syscall.S_IFBLK {
		st.Rdev = n.rdev()
	}
	return st, nil
}

// sectors returns how many units of 512 bytes the inode's blocks take. The caller holds mu.
func (n *node) sectors() int64 {
	v := uint64(n.raw.I_blocks_lo)
	if n.fs.super.S_feature_ro_compat&disk.RO_COMPAT_HUGE_FILE != 0 {
		v |= uint64(n.raw.L_i_blocks_hi) << 32
		if n.raw.I_flags&disk.HUGE_FILE_FL != 0 {
			v *= uint64(n.fs.size / 512)
		}
	}
	return int64(v)
}

// addBlocks counts blocks that the inode got, or lost. The caller holds mu.
func (n *node) addBlocks(count int64) {
	v := uint64(n.sectors() + count*int64(n.fs.size/512))
	r := &n.raw
	r.I_flags &^= disk.HUGE_FILE_FL
	if v >= 1<<48 {
		r.I_flags |= disk.HUGE_FILE_FL
		v /= uint64(n.fs.size / 512)
	}
	r.I_blocks_lo = uint32(v)
	if n.fs.super.S_feature_ro_compat&disk.RO_COMPAT_HUGE_FILE != 0 {
		r.L_i_blocks_hi = uint16(v >> 32)
	}
}

// rdev returns the number of a device, of which there are two encodings.
func (n *node) rdev() uint64 {
	if old := *disk.At[uint32](n.raw.I_block[:], 0); old != 0 {
		return vfs.Dev(old>>8&0xff, old&0xff)
	}
	v := *disk.At[uint32](n.raw.I_block[:], 4)
	return vfs.Dev(v>>8&0xfff, v&0xff|v>>12&0xfff00)
}

// setRdev is its opposite.
func (n *node) setRdev(dev uint64) {
	r := &n.raw
	major, minor := uint32(dev>>8&0xfff|dev>>32&^0xfff), uint32(dev&0xff|dev>>12&^0xff)
	if major < 256 && minor < 256 {
		*disk.At[uint32](r.I_block[:], 0) = major<<8 | minor
		return
	}
	*disk.At[uint32](r.I_block[:], 4) = minor&0xff | major<<8 | minor&^0xff<<12
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

// setTime is its opposite. An inode without i_*time_extra keeps seconds until 2038.
func (n *node) setTime(seconds, extra *uint32, t syscall.Timespec) {
	last := int64(math.MaxInt32) + 3<<32
	if n.used < disk.GOOD_OLD_INODE_SIZE+28 { // behind i_crtime_extra
		last = math.MaxInt32
	}
	if t.Sec = max(t.Sec, math.MinInt32); t.Sec > last {
		t.Sec, t.Nsec = last, 0
	}
	*seconds = uint32(t.Sec)
	*extra = uint32((t.Sec-int64(int32(t.Sec)))>>32)&3 | uint32(t.Nsec)<<2
}

func (n *node) setAtime(t syscall.Timespec) { n.setTime(&n.raw.I_atime, &n.raw.I_atime_extra, t) }
func (n *node) setMtime(t syscall.Timespec) {
	n.seen.Store(false)
	n.setTime(&n.raw.I_mtime, &n.raw.I_mtime_extra, t)
}
func (n *node) setCtime(t syscall.Timespec) {
	n.seen.Store(false)
	n.setTime(&n.raw.I_ctime, &n.raw.I_ctime_extra, t)
}

// setOwner sets the owner and the group.
func (n *node) setOwner(uid, gid uint32) {
	if uid != vfs.NoID {
		n.raw.I_uid, n.raw.L_i_uid_high = uint16(uid), uint16(uid>>16)
	}
	if gid != vfs.NoID {
		n.raw.I_gid, n.raw.L_i_gid_high = uint16(gid), uint16(gid>>16)
	}
}

// SetAttr implements vfs.Inode.
func (n *node) SetAttr(a vfs.Attr) error {
	return n.fs.change(inodeCredits, func(h *jbd2.Handle) error {
		return n.update(h, func(r *disk.Inode) {
			if a.Set&vfs.SetOwner != 0 {
				n.setOwner(a.UID, a.GID)
				if n.typ != syscall.S_IFDIR {
					r.I_mode &^= syscall.S_ISUID
					if r.I_mode&syscall.S_IXGRP != 0 {
						r.I_mode &^= syscall.S_ISGID
					}
				}
			}
			if a.Set&vfs.SetMode != 0 {
				r.I_mode = uint16(n.typ | a.Mode&0o7777)
			}
			if a.Set&vfs.SetAtime != 0 {
				n.setAtime(a.Atime)
			}
			if a.Set&vfs.SetMtime != 0 {
				n.setMtime(a.Mtime)
			}
			n.setCtime(vfs.Now())
		})
	})
}

// touch sets times in memory; they are written with the next change of the inode, or by Sync.
func (n *node) touch(set func(now syscall.Timespec)) {
	n.mu.Lock()
	set(vfs.Now())
	first := !n.stale
	n.stale = true
	n.mu.Unlock()
	if first {
		n.fs.mu.Lock()
		n.fs.stale[n] = struct{}{}
		n.fs.mu.Unlock()
	}
}

// written notes that the content has changed.
func (n *node) written() {
	n.touch(func(now syscall.Timespec) {
		n.setMtime(now)
		n.setCtime(now)
	})
}

// accessed sets the access time by the rule of the mount option relatime: if
// it is not behind the last change, or a day old, which is looked at once for each opening.
func (n *node) accessed() {
	if n.seen.Load() || n.fs.readOnly.Load() {
		return
	}
	const day = 24 * 60 * 60
	n.mu.RLock()
	r := &n.raw
	a, m, c := timespec(r.I_atime, r.I_atime_extra), timespec(r.I_mtime, r.I_mtime_extra), timespec(r.I_ctime, r.I_ctime_extra)
	n.mu.RUnlock()
	if !before(m, a) || !before(c, a) || vfs.Now().Sec-a.Sec >= day {
		n.touch(n.setAtime)
	}
	n.seen.Store(true)
}

func before(a, b syscall.Timespec) bool { return a.Sec < b.Sec || a.Sec == b.Sec && a.Nsec < b.Nsec }

// flushTimes writes times that only memory has.
func (n *node) flushTimes() error {
	n.fs.mu.Lock()
	delete(n.fs.stale, n)
	n.fs.mu.Unlock()
	n.mu.RLock()
	stale := n.stale
	n.mu.RUnlock()
	if !stale {
		return nil
	}
	return n.fs.change(inodeCredits, func(h *jbd2.Handle) error {
		n.mu.Lock()
		defer n.mu.Unlock()
		if !n.stale {
			return nil
		}
		return n.store(h)
	})
}

// Sync implements vfs.Syncer.
func (n *node) Sync() error {
	if err := n.flushTimes(); err != nil {
		return err
	}
	n.mu.RLock()
	tid := n.tid
	n.mu.RUnlock()
	return n.fs.commit(tid)
}

// Acquire implements vfs.Acquirer.
func (n *node) Acquire() bool {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if n.freed {
		return false
	}
	n.opens++
	n.seen.Store(false)
	return true
}

// Release implements vfs.Acquirer.
func (n *node) Release() {
	n.fs.mu.Lock()
	n.opens--
	n.fs.mu.Unlock()
	n.fs.reap(n)
}
