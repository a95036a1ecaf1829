package tmpfs

// maxLent is how many parts are lent at once: chunks, and pages of holes.
const maxLent = 16

// zeros are a page of a hole.
var zeros [pageSize]byte

// Lend implements vfs.Lender.
func (f *file) Lend(off int64, n int, use func(parts [][]byte)) int {
	f.data.RLock()
	defer f.data.RUnlock()
	n = int(min(int64(n), max(0, f.size-off)))
	if n == 0 {
		use(nil)
		return 0
	}
	f.accessed()
	if f.ref != nil {
		use([][]byte{f.ref[off : off+int64(n)]})
		return n
	}
	parts := make([][]byte, 0, maxLent)
	lent := 0
	for n > 0 && len(parts) < maxLent {
		start := int(off & (chunkSize - 1))
		part := zeros[start&(pageSize-1):]
		if c := f.chunks[off>>chunkBits]; c != nil && start < len(c.buf) {
			part = c.buf[start:]
		}
		part = part[:min(n, len(part))]
		parts = append(parts, part)
		lent += len(part)
		n -= len(part)
		off += int64(len(part))
	}
	use(parts)
	return lent
}
