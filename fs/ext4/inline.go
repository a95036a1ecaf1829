package ext4

import "github.com/goshawk-os/goshawk/fs/ext4/disk"

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
