package ext4

import (
	"math/bits"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/block"
	"github.com/goshawk-os/goshawk/fs/ext4/jbd2"
	"github.com/goshawk-os/goshawk/fs/pagecache"
)

// Data reaches the disk before the transaction that says where it lies: new
// blocks are taken, written, and then put into the file. So no crash shows
// what was in a block before (data=ordered of Linux), and commits never wait for data.

// ReadPages implements pagecache.Backend.
func (f *file) ReadPages(first int64, pages [][]byte) error {
	if f.inline != nil {
		for i, p := range pages {
			clear(p)
			if at := (first + int64(i)) * pagecache.PageSize; at < int64(len(f.inline)) {
				copy(p, f.inline[at:])
			}
		}
		return nil
	}
	var w transfer
	at, end := f.pageBlocks(first, len(pages))
	f.mu.RLock()
	for at < end {
		r, err := f.lookup(at)
		if err != nil {
			f.mu.RUnlock()
			return joinErrors(err, w.wait())
		}
		count := min(r.count, end-at)
		parts := f.parts(first, pages, at, count)
		if r.data() {
			w.add(f.fs, block.Read, r.phys, parts)
		} else {
			for _, p := range parts {
				clear(p)
			}
		}
		at += count
	}
	f.mu.RUnlock()
	w.submit(f.fs.dev)
	return w.wait()
}

// pageBlocks returns which blocks of the file are in so many pages.
func (f *file) pageBlocks(first int64, pages int) (at, end uint64) {
	per := uint64(pagecache.PageSize / f.fs.size)
	return uint64(first) * per, (uint64(first) + uint64(pages)) * per
}

// parts returns the memory of count blocks from at on, which lie in pages, the first of which is
// that of number first.
func (f *file) parts(first int64, pages [][]byte, at, count uint64) [][]byte {
	parts := make([][]byte, 0, count*uint64(f.fs.size)/pagecache.PageSize+2)
	from := at*uint64(f.fs.size) - uint64(first)*pagecache.PageSize
	for left := count * uint64(f.fs.size); left > 0; {
		p := pages[from/pagecache.PageSize][from%pagecache.PageSize:]
		p = p[:min(uint64(len(p)), left)]
		parts = append(parts, p)
		from += uint64(len(p))
		left -= uint64(len(p))
	}
	return parts
}

// A transfer is requests in flight together; what is adjacent on the disk is one.
type transfer struct {
	requests []*block.Request
	next     uint64 // block behind the last request
	done     chan error
	sent     int
}

func (w *transfer) add(fs *FS, op block.Op, phys uint64, parts [][]byte) {
	size := uint64(fs.size)
	if n := len(w.requests); n > 0 && w.next == phys {
		w.requests[n-1].Parts = append(w.requests[n-1].Parts, parts...)
	} else {
		w.requests = append(w.requests, &block.Request{Op: op, Off: int64(phys * size), Parts: parts})
	}
	w.next = phys
	for _, p := range parts {
		w.next += uint64(len(p)) / size
	}
}

func (w *transfer) submit(dev block.Device) {
	w.done = make(chan error, len(w.requests))
	for _, r := range w.requests {
		r.Done = func(_ *block.Request, err error) { w.done <- err }
		w.sent++
		dev.Submit(r)
	}
}

// wait waits for all that was submitted, and returns the first error.
func (w *transfer) wait() error {
	var first error
	for ; w.sent > 0; w.sent-- {
		if err := <-w.done; err != nil && first == nil {
			first = err
		}
	}
	return first
}

// Reserve implements pagecache.Backend.
func (f *file) Reserve(off, n int64) error {
	if err := f.changeable(); err != nil {
		return err
	}
	if off+n > (f.maxSize()+pagecache.PageSize-1)&^(pagecache.PageSize-1) {
		return syscall.EFBIG
	}
	per := int64(pagecache.PageSize / f.fs.size)
	first, end := off/pagecache.PageSize, (off+n+pagecache.PageSize-1)/pagecache.PageSize
	var lacking []int64
	f.mu.RLock()
	f.promiseMu.Lock()
	for p, known := first, int64(0); p < end; p++ {
		if f.promised[p>>6]&(1<<(p&63)) != 0 || p*per+per <= known {
			continue
		}
		// known is where that which has blocks ends.
		for known = p * per; known < p*per+per; {
			r, err := f.lookup(uint64(known))
			if err != nil {
				f.promiseMu.Unlock()
				f.mu.RUnlock()
				return err
			}
			if r.phys == 0 {
				lacking = append(lacking, p)
				break
			}
			known += int64(r.count)
		}
	}
	f.promiseMu.Unlock()
	f.mu.RUnlock()
	if len(lacking) == 0 {
		return nil
	}
	if err := f.fs.promise(int64(len(lacking)) * per); err != nil {
		return err
	}
	f.promiseMu.Lock()
	defer f.promiseMu.Unlock()
	if f.promised == nil {
		f.promised = make(map[int64]uint64)
	}
	for _, p := range lacking {
		f.promised[p>>6] |= 1 << (p & 63)
	}
	return nil
}

// fulfil ends the promises for pages first to end-1: they have blocks, or need none any more.
func (f *file) fulfil(first, end int64) {
	f.promiseMu.Lock()
	defer f.promiseMu.Unlock()
	count := 0
	drop := func(word int64, mask uint64) {
		w := f.promised[word]
		count += bits.OnesCount64(w & mask)
		if w &^= mask; w == 0 {
			delete(f.promised, word)
		} else {
			f.promised[word] = w
		}
	}
	mask := func(word int64) uint64 {
		m := ^uint64(0)
		if from := first - word<<6; from > 0 {
			m &= ^uint64(0) << from // 64 and more: nothing
		}
		if to := end - word<<6; to < 64 {
			m &= 1<<max(to, 0) - 1
		}
		return m
	}
	if end>>6-first>>6 > int64(len(f.promised)) {
		for word := range f.promised {
			drop(word, mask(word))
		}
	} else {
		for word := first >> 6; word<<6 < end; word++ {
			drop(word, mask(word))
		}
	}
	if count > 0 {
		f.fs.promised.Add(-int64(count * (pagecache.PageSize / f.fs.size)))
	}
}

// WritePages implements pagecache.Backend.
func (f *file) WritePages(first int64, pages [][]byte, size int64) error {
	at, end := f.pageBlocks(first, len(pages))
	end = min(end, f.blocks(size))
	var w transfer
	var fresh, unwritten []extent // blocks that the file gets, and that become data
	give := func() {
		for _, e := range fresh {
			f.fs.drop(e.phys, int(e.count))
		}
	}
	f.mu.RLock()
	onDisk := f.size
	for goal := uint64(0); at < end; {
		r, err := f.lookup(at)
		count := min(r.count, end-at)
		if err == nil && r.phys == 0 {
			if goal == 0 {
				goal = f.goal(at)
			}
			var got int
			r.phys, got, err = f.fs.take(goal, int(count), forFiles)
			count = uint64(got)
			if err == nil {
				fresh = append(fresh, extent{uint32(at), uint32(count), r.phys, false})
			}
		} else if err == nil && r.unwritten {
			unwritten = append(unwritten, extent{uint32(at), uint32(count), r.phys, false})
		}
		if err != nil {
			f.mu.RUnlock()
			give()
			return err
		}
		w.add(f.fs, block.Write, r.phys, f.parts(first, pages, at, count))
		goal = r.phys + count
		at += count
	}
	f.mu.RUnlock()
	w.submit(f.fs.dev)
	if err := w.wait(); err != nil {
		give()
		return err
	}
	newSize := uint64(min(size, (first+int64(len(pages)))*pagecache.PageSize))
	for len(fresh)+len(unwritten) > 0 || newSize > onDisk {
		most := min(maxExtents, max((f.fs.journal.MaxCredits()-writeCredits)/extentCredits, 1))
		a, b := fresh[:min(most, len(fresh))], []extent(nil)
		if len(a) == 0 {
			b = unwritten[:min(most, len(unwritten))]
		}
		last := len(a) == len(fresh) && len(b) == len(unwritten)
		done := 0
		err := f.fs.change(writeCredits+extentCredits*(len(a)+len(b)), func(h *jbd2.Handle) (err error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			for _, e := range a {
				if err = f.add(h, e); err != nil {
					return joinErrors(err, f.store(h))
				}
				done++
			}
			for _, e := range b {
				if err = f.convert(h, e); err != nil {
					return joinErrors(err, f.store(h))
				}
			}
			if last && newSize > f.size {
				f.size, f.dataTID = newSize, h.TID()
			}
			return f.store(h)
		})
		fresh = fresh[done:]
		if err != nil {
			give()
			return err
		}
		unwritten = unwritten[len(b):]
		if last {
			break
		}
	}
	f.fulfil(first, first+int64(len(pages)))
	return nil
}

// convert makes blocks data that were only allocated. The caller holds mu and stores the inode.
func (f *file) convert(h *jbd2.Handle, e extent) error {
	more, err := f.cut(h, uint64(e.at), uint64(e.end()), false)
	if err == nil && !more {
		err = f.put(h, e)
	}
	if more || err == syscall.ENOSPC {
		return syscall.EIO // half of it is done, which must not be committed
	}
	return err
}
