package ext4

import (
	"syscall"

	"github.com/goshawk-os/goshawk/fs/block"
	"github.com/goshawk-os/goshawk/fs/ext4/disk"
	"github.com/goshawk-os/goshawk/fs/pagecache"
)

// file is a regular file; its content is in memory when it is in the inode itself.
type file struct {
	node
	pages *pagecache.Mapping
}

func (f *file) open() error {
	b := &backend{&f.node, nil}
	if f.raw.I_flags&disk.INLINE_DATA_FL != 0 {
		var err error
		if b.inline, err = f.inlineData(); err != nil {
			return err
		}
	}
	f.pages = f.fs.o.Pages.NewMapping(b, int64(f.size))
	return nil
}

// Size implements vfs.Content.
func (f *file) Size() int64 { return int64(f.size) }

// ReadAt implements vfs.Content.
func (f *file) ReadAt(p []byte, off int64) (int, error) { return f.pages.ReadAt(p, off) }

// WriteAt implements vfs.Content.
func (f *file) WriteAt([]byte, int64) (int, int64, error) { return 0, 0, syscall.EROFS }

// Truncate implements vfs.Content.
func (f *file) Truncate(int64) error { return syscall.EROFS }

// SeekData implements vfs.Sparse.
func (f *file) SeekData(off int64) (int64, error) { return f.seek(off, true) }

// SeekHole implements vfs.Sparse.
func (f *file) SeekHole(off int64) (int64, error) { return f.seek(off, false) }

func (f *file) seek(off int64, data bool) (int64, error) {
	if off < 0 || off >= int64(f.size) {
		return 0, syscall.ENXIO
	}
	if f.raw.I_flags&disk.INLINE_DATA_FL != 0 {
		if data {
			return off, nil
		}
		return int64(f.size), nil
	}
	size := uint64(f.fs.size)
	at, end := uint64(off)/size, (f.size+size-1)/size
	for at < end {
		phys, count, err := f.lookup(at)
		if err != nil {
			return 0, err
		}
		if (phys != 0) == data {
			return max(off, int64(at*size)), nil
		}
		if at >= 1<<32 {
			break // no file has blocks there
		}
		at += count
	}
	if data {
		return 0, syscall.ENXIO
	}
	return int64(f.size), nil
}

// backend reads pages of a file; inline is the content when the inode has it.
type backend struct {
	n      *node
	inline []byte
}

// ReadPages implements pagecache.Backend.
func (b *backend) ReadPages(first int64, pages [][]byte) error {
	fs := b.n.fs
	per := pagecache.PageSize / fs.size
	if b.n.raw.I_flags&disk.INLINE_DATA_FL != 0 {
		for i, p := range pages {
			clear(p)
			if at := (first + int64(i)) * pagecache.PageSize; at < int64(len(b.inline)) {
				copy(p, b.inline[at:])
			}
		}
		return nil
	}
	end := len(pages) * per
	for i := 0; i < end; {
		phys, run, err := b.n.lookup(uint64(first)*uint64(per) + uint64(i))
		if err != nil {
			return err
		}
		// Blocks of a block map come one by one: what is adjacent is read at once.
		for phys != 0 && run < uint64(end-i) {
			next, more, err := b.n.lookup(uint64(first)*uint64(per) + uint64(i) + run)
			if err != nil || next != phys+run {
				break
			}
			run += more
		}
		count := int(min(run, uint64(end-i)))
		parts := make([][]byte, count)
		for j := range parts {
			parts[j] = pages[(i+j)/per][(i+j)%per*fs.size:][:fs.size]
			if phys == 0 {
				clear(parts[j])
			}
		}
		if phys != 0 {
			if err := block.Do(fs.dev, &block.Request{Op: block.Read, Off: int64(phys) * int64(fs.size), Parts: parts}); err != nil {
				return err
			}
		}
		i += count
	}
	return nil
}

// Reserve implements pagecache.Backend.
func (b *backend) Reserve(int64, int64) error { return syscall.EROFS }

// WritePages implements pagecache.Backend.
func (b *backend) WritePages(int64, [][]byte, int64) error { return syscall.EROFS }

// inlineData returns the content of a file that lies in its inode (inlinedata.rst):
// i_block, then the attribute system.data.
func (n *node) inlineData() ([]byte, error) {
	data := append([]byte(nil), n.raw.I_block[:]...)
	err := n.tailXattrs(func(x xattr) bool {
		if x.index == disk.XATTR_INDEX_SYSTEM && x.name == "data" {
			data = append(data, x.value...)
			return false
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	if n.size > uint64(len(data)) {
		return nil, n.fs.damaged("inode", uint64(n.ino), "its size is not that of its inline data")
	}
	return data[:n.size], nil
}

type symlink struct{ node }

// Readlink implements vfs.Symlink.
func (l *symlink) Readlink() (string, error) {
	fs := l.fs
	if l.size == 0 || l.size > uint64(fs.size) {
		return "", fs.damaged("inode", uint64(l.ino), "impossible length of a symbolic link")
	}
	own := uint32(0) // sectors of the block of attributes
	if l.raw.I_file_acl_lo != 0 || l.raw.L_i_file_acl_h != 0 {
		own = uint32(fs.size / 512)
	}
	switch {
	case l.raw.I_flags&disk.INLINE_DATA_FL != 0:
		data, err := l.inlineData()
		return string(data), err
	case l.raw.I_blocks_lo == own:
		if l.size >= uint64(len(l.raw.I_block)) {
			return "", fs.damaged("inode", uint64(l.ino), "impossible length of a symbolic link")
		}
		return string(l.raw.I_block[:l.size]), nil
	}
	phys, _, err := l.lookup(0)
	if err != nil {
		return "", err
	}
	if phys == 0 {
		return "", fs.damaged("inode", uint64(l.ino), "a symbolic link without a block")
	}
	b, err := fs.cache.Get(phys)
	if err != nil {
		return "", err
	}
	defer b.Release()
	return string(b.Data[:l.size]), nil
}
