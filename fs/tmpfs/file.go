package tmpfs

import (
	"math"
	"math/bits"
	"sync"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// Space is counted, and holes are reported, in pages. Content is kept in
// chunks of up to chunkPages pages.
const (
	pageBits   = 12
	pageSize   = 1 << pageBits
	chunkBits  = 16
	chunkSize  = 1 << chunkBits
	chunkPages = chunkSize / pageSize
)

// file is a regular file.
type file struct {
	node
	// Guarded by node.mu.
	opens    int
	linkable bool // has no name yet and may get one
	freed    bool

	data sync.RWMutex
	size int64
	// ref is the whole content as long as it has never been changed since
	// Refer; there are no chunks then.
	ref    []byte
	chunks map[int64]*chunk // by offset / chunkSize; absent: a hole
	pages  int              // present pages of all chunks
}

// A chunk is a piece of content.
type chunk struct {
	// buf is the beginning of the piece. What lies behind its length is zero,
	// whatever is between length and capacity.
	buf []byte
	// present has a bit for each page that takes space, the first page in bit
	// 0, and written for each page that is data and no hole: present but not
	// written is what was preallocated. Bytes of other pages are zero.
	present, written uint16
	// shared says that buf is a part of what Refer was given: to be copied
	// before it is changed. Its pages are not counted in FS.used.
	shared bool
}

// pageMask returns the bits of the pages that contain bytes from to to-1 of a
// chunk.
func pageMask(from, to int) uint16 {
	first, end := from>>pageBits, (to+pageSize-1)>>pageBits
	return uint16(1<<end - 1<<first)
}

// Refer makes data the content of an empty regular file of this package. It is
// not copied, and must never change afterwards.
func Refer(i vfs.Inode, data []byte) error {
	f, ok := i.(*file)
	if !ok {
		return syscall.EINVAL
	}
	f.data.Lock()
	defer f.data.Unlock()
	if f.size != 0 || f.chunks != nil {
		return syscall.EINVAL
	}
	f.ref, f.size = data, int64(len(data))
	f.pages = (len(data) + pageSize - 1) / pageSize
	return nil
}

// modify prepares a file made by Refer for changes.
func (f *file) modify() {
	if f.ref == nil {
		return
	}
	f.chunks = make(map[int64]*chunk, len(f.ref)/chunkSize+1)
	for i, rest := int64(0), f.ref; len(rest) > 0; i++ {
		n := min(len(rest), chunkSize)
		f.chunks[i] = &chunk{buf: rest[:n:n], present: pageMask(0, n), written: pageMask(0, n), shared: true}
		rest = rest[n:]
	}
	f.ref = nil
}

// chunk returns the chunk with an index, making it if need be.
func (f *file) chunk(i int64) *chunk {
	c := f.chunks[i]
	if c == nil {
		if f.chunks == nil {
			f.chunks = make(map[int64]*chunk, 1)
		}
		c = &chunk{}
		f.chunks[i] = c
	}
	return c
}

// Stat implements vfs.Inode.
func (f *file) Stat() (vfs.Stat, error) {
	f.data.RLock()
	defer f.data.RUnlock()
	st, err := f.node.Stat()
	st.Size = f.size
	st.Blocks = int64(f.pages) * (pageSize / 512)
	return st, err
}

// Size implements vfs.Content.
func (f *file) Size() int64 {
	f.data.RLock()
	defer f.data.RUnlock()
	return f.size
}

// Bytes implements vfs.Viewer.
func (f *file) Bytes(off int64, n int) ([]byte, bool) {
	f.data.RLock()
	defer f.data.RUnlock()
	if f.ref == nil || off > int64(len(f.ref)) || int64(n) > int64(len(f.ref))-off {
		return nil, false
	}
	return f.ref[off : off+int64(n) : off+int64(n)], true
}

// ReadAt implements vfs.Content.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	f.data.RLock()
	defer f.data.RUnlock()
	if off >= f.size {
		return 0, nil
	}
	f.accessed()
	if int64(len(p)) > f.size-off {
		p = p[:f.size-off]
	}
	if f.ref != nil {
		return copy(p, f.ref[off:]), nil
	}
	for done := 0; done < len(p); {
		start := int(off & (chunkSize - 1))
		part := p[done:min(len(p), done+chunkSize-start)]
		n := 0
		if c := f.chunks[off>>chunkBits]; c != nil && start < len(c.buf) {
			n = copy(part, c.buf[start:])
		}
		clear(part[n:])
		done += len(part)
		off += int64(len(part))
	}
	return len(p), nil
}

// WriteAt implements vfs.Content.
func (f *file) WriteAt(p []byte, off int64) (n int, end int64, err error) {
	f.data.Lock()
	defer f.data.Unlock()
	if off == vfs.AppendOffset {
		off = f.size
	}
	if len(p) == 0 {
		return 0, off, nil
	}
	if off == math.MaxInt64 {
		return 0, off, syscall.EFBIG
	}
	if int64(len(p)) > math.MaxInt64-off {
		p = p[:math.MaxInt64-off]
	}
	f.modify()
	for n < len(p) && err == nil {
		start := int(off & (chunkSize - 1))
		part := p[n:min(len(p), n+chunkSize-start)]
		var wrote int
		wrote, err = f.writeChunk(off>>chunkBits, part, start)
		n += wrote
		off += int64(wrote)
	}
	if n > 0 {
		f.size = max(f.size, off)
		f.changed(true)
	}
	return n, off, err
}

// writeChunk writes p at offset start of a chunk.
func (f *file) writeChunk(i int64, p []byte, start int) (int, error) {
	c := f.chunk(i)
	if err := f.own(c); err != nil {
		return 0, err
	}
	n := f.allocate(c, start, start+len(p)) - start
	if n <= 0 {
		if c.present == 0 {
			delete(f.chunks, i)
		}
		return 0, syscall.ENOSPC
	}
	c.write(p[:n], start, i > 0)
	c.written |= pageMask(start, start+n)
	if n < len(p) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

// own copies a shared chunk, so that it can be changed.
func (f *file) own(c *chunk) error {
	if !c.shared {
		return nil
	}
	need := bits.OnesCount16(c.present)
	if got := f.fs.reserve(need); got < need {
		f.fs.release(got)
		return syscall.ENOSPC
	}
	c.buf = append(make([]byte, 0, capacity(len(c.buf))), c.buf...)
	c.shared = false
	return nil
}

// allocate makes the pages between from and to present, as many as there is
// space for, and returns the end of those that are: at most to.
func (f *file) allocate(c *chunk, from, to int) int {
	missing := pageMask(from, to) &^ c.present
	if missing == 0 {
		return to
	}
	need := bits.OnesCount16(missing)
	got := f.fs.reserve(need)
	f.pages += got
	for ; got > 0; got, need = got-1, need-1 {
		page := missing & -missing
		c.present |= page
		missing &^= page
	}
	if need > 0 {
		return bits.TrailingZeros16(missing) << pageBits
	}
	return to
}

// write copies p to offset start of the chunk. large says that the chunk is
// likely to become full.
func (c *chunk) write(p []byte, start int, large bool) {
	end := start + len(p)
	if end > cap(c.buf) {
		if start == 0 && len(c.buf) == 0 && (end == chunkSize || !large) {
			c.buf = append([]byte(nil), p...) // without zeroing what p overwrites
			return
		}
		room := capacity(end)
		if large && start <= len(c.buf) {
			room = chunkSize
		}
		c.buf = append(make([]byte, 0, room), c.buf...)
	}
	if old := len(c.buf); end > old {
		c.buf = c.buf[:end]
		if start > old {
			clear(c.buf[old:start])
		}
	}
	copy(c.buf[start:], p)
}

// capacity returns how much room to make for n bytes.
func capacity(n int) int {
	return min(chunkSize, 1<<bits.Len(uint(max(n, 64)-1)))
}

// Truncate implements vfs.Content.
func (f *file) Truncate(size int64) error {
	f.data.Lock()
	defer f.data.Unlock()
	if size != f.size {
		f.modify()
	}
	if size <= f.size {
		f.cut(size) // even if equal: there may be pages behind the end
	}
	f.size = size
	f.changed(true)
	return nil
}

// cut removes all pages behind size, and makes the rest of the page in which
// it lies zero.
func (f *file) cut(size int64) {
	last, within := size>>chunkBits, int(size&(chunkSize-1))
	f.each(last, math.MaxInt64, func(i int64, c *chunk) {
		if i == last && within > 0 {
			c.buf = c.buf[:min(len(c.buf), within)]
			f.drop(c, c.present&^pageMask(0, within))
		} else {
			f.drop(c, c.present)
		}
		if c.present == 0 {
			delete(f.chunks, i)
		}
	})
}

// each calls do for the chunks from index first to last, in any order. do may
// delete the chunk.
func (f *file) each(first, last int64, do func(i int64, c *chunk)) {
	if last-first >= int64(len(f.chunks)) {
		for i, c := range f.chunks {
			if first <= i && i <= last {
				do(i, c)
			}
		}
		return
	}
	for i := first; i <= last; i++ {
		if c := f.chunks[i]; c != nil {
			do(i, c)
		}
	}
}

// drop makes pages of a chunk holes; the caller has made their bytes zero.
func (f *file) drop(c *chunk, pages uint16) {
	c.present &^= pages
	c.written &^= pages
	n := bits.OnesCount16(pages)
	f.pages -= n
	if !c.shared {
		f.fs.release(n)
	}
}

// Allocate implements vfs.Allocator.
func (f *file) Allocate(mode uint32, off, n int64) error {
	f.data.Lock()
	defer f.data.Unlock()
	f.modify()
	if mode&abi.FALLOC_FL_PUNCH_HOLE != 0 {
		return f.punch(off, off+n)
	}
	if err := f.preallocate(off, off+n); err != nil {
		return err
	}
	if mode&abi.FALLOC_FL_KEEP_SIZE == 0 && off+n > f.size {
		f.size = off + n
	}
	f.changed(true)
	return nil
}

// preallocate makes the pages between off and end present, all or none.
func (f *file) preallocate(off, end int64) error {
	pages := (end+pageSize-1)>>pageBits - off>>pageBits
	if end > math.MaxInt64-pageSize || pages > f.fs.limit {
		return syscall.ENOSPC
	}
	first, last := off>>chunkBits, (end-1)>>chunkBits
	need := int(pages)
	var err error
	f.each(first, last, func(i int64, c *chunk) {
		if err == nil {
			err = f.own(c) // pages of a shared chunk are not counted, new ones are
		}
		need -= bits.OnesCount16(c.present & chunkMask(i, off, end))
	})
	if err != nil {
		return err
	}
	if got := f.fs.reserve(need); got < need {
		f.fs.release(got)
		return syscall.ENOSPC
	}
	f.pages += need
	for i := first; i <= last; i++ {
		f.chunk(i).present |= chunkMask(i, off, end)
	}
	return nil
}

// chunkMask returns the bits of the pages of chunk i that contain bytes from
// off to end-1 of the file.
func chunkMask(i, off, end int64) uint16 {
	base := i << chunkBits
	return pageMask(int(max(off, base)-base), int(min(end-base, chunkSize)))
}

// punch makes the bytes from off to end-1 zero and whole pages among them
// holes.
func (f *file) punch(off, end int64) error {
	var err error
	f.each(off>>chunkBits, (end-1)>>chunkBits, func(i int64, c *chunk) {
		if err != nil {
			return
		}
		if err = f.own(c); err != nil {
			return
		}
		base := i << chunkBits
		from, to := int(max(off, base)-base), int(min(end-base, chunkSize))
		if from < len(c.buf) {
			clear(c.buf[from:min(to, len(c.buf))])
		}
		first, last := (from+pageSize-1)>>pageBits, to>>pageBits
		if first < last {
			f.drop(c, c.present&uint16(1<<last-1<<first))
		}
		if c.present == 0 {
			delete(f.chunks, i)
		}
	})
	f.changed(true)
	return err
}

// SeekData implements vfs.Sparse.
func (f *file) SeekData(off int64) (int64, error) {
	f.data.RLock()
	defer f.data.RUnlock()
	if off >= f.size {
		return 0, syscall.ENXIO
	}
	if f.ref != nil {
		return off, nil
	}
	best := int64(math.MaxInt64)
	for i := off >> chunkBits; best == math.MaxInt64; i++ {
		if c := f.chunks[i]; c != nil {
			if data, ok := c.data(i, off); ok {
				best = data
			}
			continue
		}
		// Perhaps a large hole: look at what there is instead.
		for j, c := range f.chunks {
			if data, ok := c.data(j, off); ok {
				best = min(best, data)
			}
		}
		break
	}
	if best >= f.size {
		return 0, syscall.ENXIO
	}
	return best, nil
}

// data returns the first offset in the file, at or behind off, that is data of
// this chunk, whose index is i.
func (c *chunk) data(i, off int64) (int64, bool) {
	for page := range int64(chunkPages) {
		start := i<<chunkBits + page<<pageBits
		if c.written>>page&1 != 0 && start+pageSize > off {
			return max(start, off), true
		}
	}
	return 0, false
}

// SeekHole implements vfs.Sparse.
func (f *file) SeekHole(off int64) (int64, error) {
	f.data.RLock()
	defer f.data.RUnlock()
	if off >= f.size {
		return 0, syscall.ENXIO
	}
	if f.ref != nil {
		return f.size, nil
	}
	page := int(off&(chunkSize-1)) >> pageBits
	for i := off >> chunkBits; ; i++ {
		if c := f.chunks[i]; c != nil {
			page += bits.TrailingZeros16(^(c.written >> page))
		}
		if page < chunkPages {
			return min(f.size, max(off, i<<chunkBits+int64(page)<<pageBits)), nil
		}
		page = 0
	}
}

// Acquire implements vfs.Acquirer.
func (f *file) Acquire() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.freed {
		return false
	}
	f.opens++
	return true
}

// Release implements vfs.Acquirer.
func (f *file) Release() {
	f.mu.Lock()
	f.opens--
	free := f.unreachable()
	f.mu.Unlock()
	if free {
		f.free()
	}
}

// unreachable reports, once, that the file has neither a name nor a user. The
// caller holds mu and calls free after it has unlocked it.
func (f *file) unreachable() bool {
	if f.freed || f.nlink > 0 || f.opens > 0 {
		return false
	}
	f.freed = true
	return true
}

// free gives the content back.
func (f *file) free() {
	f.data.Lock()
	defer f.data.Unlock()
	for _, c := range f.chunks {
		f.drop(c, c.present)
	}
	f.chunks, f.ref, f.size, f.pages = nil, nil, 0, 0
}
