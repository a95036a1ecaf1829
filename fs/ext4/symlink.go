package ext4

import "github.com/goshawk-os/goshawk/fs/ext4/disk"

// A symlink is a symbolic link. Its target never changes.
type symlink struct{ node }

// Readlink implements vfs.Symlink.
func (l *symlink) Readlink() (string, error) {
	l.accessed()
	l.mu.RLock()
	defer l.mu.RUnlock()
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
	r, err := l.lookup(0)
	if err != nil {
		return "", err
	}
	if !r.data() {
		return "", fs.damaged("inode", uint64(l.ino), "a symbolic link without a block")
	}
	b, err := fs.cache.Get(r.phys)
	if err != nil {
		return "", err
	}
	defer b.Release()
	return string(b.Data[:l.size]), nil
}
