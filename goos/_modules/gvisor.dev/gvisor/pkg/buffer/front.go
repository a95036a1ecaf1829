package buffer

// Front returns length bytes from offset, to be read and written, if they lie in the first view and no
// other buffer shares that; else nil.
func (b *Buffer) Front(offset, length int) []byte {
	v := b.data.head
	if v == nil || offset+length > v.write-v.read || v.chunk.refCount.Load() > 1 {
		return nil
	}
	return v.chunk.data[v.read+offset : v.read+offset+length]
}
