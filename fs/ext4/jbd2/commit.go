package jbd2

import (
	"bytes"
	"cmp"
	"slices"
	"syscall"
	"time"

	"github.com/goshawk-os/goshawk/fs/block"
)

// commitLoop is the goroutine that commits.
func (j *Journal) commitLoop() {
	defer j.goroutines.Done()
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		t := j.running
		if t == nil || !t.requested {
			if t == nil && j.stopping {
				return
			}
			j.commitCond.Wait()
			continue
		}
		t.timer.Stop()
		t.locked = true
		for t.handles > 0 {
			j.commitCond.Wait()
		}
		j.running, j.committing = nil, t
		t.start, t.sequence = j.head, j.sequence
		t.size = j.logSize(t, 0, 0)
		j.free -= t.size
		err := j.err
		j.cond.Broadcast()
		j.mu.Unlock()

		used := 0
		if err == nil {
			if used, err = j.write(t); err != nil {
				j.say("the journal is aborted: a commit failed: " + err.Error())
				err = syscall.EIO
				j.Abort(err)
			}
		}
		if err == nil {
			j.settle(t, used > 0)
		}
		for _, f := range t.onCommit {
			f(err)
		}
		t.onCommit, t.order, t.revoked = nil, nil, nil

		j.mu.Lock()
		j.finish(t, used, err)
	}
}

// finish ends a commit. The caller holds mu.
func (j *Journal) finish(t *transaction, used int, err error) {
	j.committing = nil
	j.free += t.size - used
	t.size, t.err = used, err
	if err == nil {
		j.done = t.tid
	}
	if err == nil && used > 0 {
		j.stats.commits.Add(1)
		if l := j.log; l != nil {
			j.head = l.next(j.head, uint32(used))
			j.sequence++
			j.checkpoints = append(j.checkpoints, t)
			if j.free < int(l.end-l.first)/2 {
				j.background = true
				j.spaceCond.Signal()
			}
		}
	}
	close(t.finished)
	j.cond.Broadcast()
}

// write writes the transaction and returns how many blocks that took.
func (j *Journal) write(t *transaction) (used int, err error) {
	for _, f := range t.order {
		if err := f(); err != nil {
			j.say("file data could not be written before the commit of its metadata: " + err.Error())
		}
	}
	live := make([]*entry, 0, len(t.entries))
	for _, e := range t.entries {
		if !e.forgotten.Load() {
			live = append(live, e)
		}
	}
	if len(live) == 0 && (len(t.revoked) == 0 || j.log == nil) {
		return 0, j.flush(t) // for WillFlush
	}
	if j.log == nil {
		return len(live), j.writePlaces(t, live)
	}
	if err := j.markDirty(); err != nil {
		return 0, err
	}
	w := logWriter{j: j, t: t, pos: t.start}
	w.revokes()
	w.blocks(live)
	w.send()
	err = w.g.wait()
	j.spare = w.buf[:0]
	if err != nil {
		return 0, err
	}
	if err := j.flush(t); err != nil {
		return 0, err
	}
	j.stats.blocks.Add(uint64(len(live)))
	return w.used + 1, w.commit()
}

// flush makes what was written so far durable: file data and the log.
func (j *Journal) flush(t *transaction) error {
	j.mu.Lock()
	t.flushing = true
	j.mu.Unlock()
	if j.log != nil && j.log.area.Device != j.cache.dev {
		if err := block.Flush(j.log.area.Device); err != nil {
			return err
		}
	}
	return block.Flush(j.cache.dev)
}

// markDirty writes into the log's superblock where it begins if it was empty.
// The flush before the commit record makes that durable.
func (j *Journal) markDirty() error {
	l := j.log
	j.superMu.Lock()
	defer j.superMu.Unlock()
	if l.start != 0 {
		return nil
	}
	j.mu.Lock()
	l.start, l.sequence = j.head, j.sequence
	j.mu.Unlock()
	return l.write(false)
}

// copyTo takes the entry's content for the commit.
func (e *entry) copyTo(p []byte) {
	b := e.b
	b.mu.Lock()
	if e.frozen != nil {
		copy(p, e.frozen)
	} else {
		copy(p, b.Data)
	}
	e.taken, e.frozen = true, nil
	b.mu.Unlock()
}

// writePlaces is the commit without a log.
func (j *Journal) writePlaces(t *transaction, live []*entry) error {
	slices.SortFunc(live, func(a, b *entry) int { return cmp.Compare(a.b.Block, b.b.Block) })
	size := j.cache.size
	buf := make([]byte, min(len(live), maxBatch/size)*size)
	for batch := range slices.Chunk(live, maxBatch/size) {
		var blocks []uint64
		for i, e := range batch {
			e.copyTo(buf[i*size : (i+1)*size])
			blocks = append(blocks, e.b.Block)
		}
		if err := j.cache.writeBlocks(blocks, buf); err != nil {
			return err
		}
	}
	j.stats.blocks.Add(uint64(len(live)))
	return j.flush(t)
}

// settle tells the buffers that the transaction is on disk.
func (j *Journal) settle(t *transaction, logged bool) {
	for _, e := range t.entries {
		b := e.b
		b.mu.Lock()
		if logged && j.log != nil && !e.forgotten.Load() {
			b.cp.Store(t)
		}
		b.cur.CompareAndSwap(e, nil)
		b.mu.Unlock()
	}
	if len(t.revoked) == 0 {
		return
	}
	// The freed blocks can be used for file data from now on: no write of
	// their old content may be in flight or come later.
	j.cache.writing.Lock()
	defer j.cache.writing.Unlock()
	for n := range t.revoked {
		if b := j.cache.peek(n); b != nil {
			b.mu.Lock()
			b.cp.Store(nil)
			if b.cur.Load() == nil {
				j.cache.remove(b)
			}
			b.mu.Unlock()
		}
	}
}

// A logWriter puts one transaction into the log.
type logWriter struct {
	j    *Journal
	t    *transaction
	pos  uint32 // where buf goes
	used int    // blocks of the transaction so far, with those in buf
	buf  []byte
	g    requests
}

// add returns the next block of the log, zeroed. The caller has made room.
func (w *logWriter) add() []byte {
	size := w.j.cache.size
	n := len(w.buf)
	w.buf = w.buf[:n+size]
	w.used++
	p := w.buf[n:]
	clear(p)
	return p
}

// room makes sure that the next n blocks lie in one piece.
func (w *logWriter) room(n int) {
	size := w.j.cache.size
	if len(w.buf)+n*size > maxBatch {
		w.send()
		w.buf = nil
	}
	if w.buf == nil {
		w.buf, w.j.spare = w.j.spare, nil
	}
	w.buf = slices.Grow(w.buf, n*size)
}

// send starts the writing of buf.
func (w *logWriter) send() {
	l, size := w.j.log, uint32(w.j.cache.size)
	for p := w.buf; len(p) > 0; {
		off, count := l.area.locate(w.pos)
		n := min(uint32(len(p))/size, count, l.end-w.pos)
		w.g.submit(l.area.Device, block.Write, off, p[:n*size])
		w.pos = l.next(w.pos, n)
		p = p[n*size:]
	}
}

// revokes adds the revoke records.
func (w *logWriter) revokes() {
	r := &w.j.log.records
	var p []byte
	end := revokeHeaderSize
	seal := func() {
		if p != nil {
			putBE32(p[headerSize:], uint32(end))
			r.seal(p)
		}
	}
	for n := range w.t.revoked {
		if p == nil || end+r.revokeSize() > r.blockSize-r.tail() {
			seal()
			w.room(1)
			p, end = w.add(), revokeHeaderSize
			putHeader(p, typeRevoke, w.t.sequence)
		}
		if r.wide {
			putBE64(p[end:], n)
		} else {
			putBE32(p[end:], uint32(n))
		}
		end += r.revokeSize()
	}
	seal()
	w.j.stats.revoked.Add(uint64(len(w.t.revoked)))
}

var magicBytes = []byte{0xc0, 0x3b, 0x39, 0x98}

// blocks adds descriptors and the blocks' contents.
func (w *logWriter) blocks(live []*entry) {
	r := &w.j.log.records
	for group := range slices.Chunk(live, w.j.groupBlocks()) {
		w.room(1 + len(group))
		d := w.add()
		putHeader(d, typeDescriptor, w.t.sequence)
		at := headerSize
		for i, e := range group {
			p := w.add()
			e.copyTo(p)
			t := tag{block: e.b.Block}
			if bytes.Equal(p[:4], magicBytes) {
				clear(p[:4])
				t.flags |= tagEscape
			}
			if i > 0 {
				t.flags |= tagSameUUID
			}
			if i == len(group)-1 {
				t.flags |= tagLast
			}
			if r.sumV3 {
				t.checksum = r.blockSum(w.t.sequence, p)
			}
			r.putTag(d[at:], t)
			at += r.tagSize()
			if i == 0 {
				at += copy(d[at:], r.uuid[:])
			}
		}
		r.seal(d)
	}
}

// commit writes the commit record, durable when it returns.
func (w *logWriter) commit() error {
	l := w.j.log
	p := make([]byte, w.j.cache.size)
	putHeader(p, typeCommit, w.t.sequence)
	now := time.Now()
	putBE64(p[commitSec:], uint64(now.Unix()))
	putBE32(p[commitNsec:], uint32(now.Nanosecond()))
	l.records.sealCommit(p)
	off, _ := l.area.locate(w.pos)
	return block.Do(l.area.Device, &block.Request{Op: block.Write, Off: off, Parts: [][]byte{p}, FUA: true})
}
