package jbd2

import (
	"cmp"
	"slices"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/block"
)

// Checkpoint commits what is running, writes all blocks of transactions up to
// that one to their places, and marks the log empty if no handle has begun
// meanwhile. Error: EIO if that failed or the journal was aborted.
func (j *Journal) Checkpoint() error {
	if err := j.Sync(); err != nil {
		return err
	}
	if j.log == nil {
		return nil
	}
	j.mu.Lock()
	upTo := j.done
	j.mu.Unlock()
	if err := j.pass(upTo, true); err != nil {
		return err
	}
	return j.markEmpty()
}

// checkpointLoop is the goroutine that makes space in the log.
func (j *Journal) checkpointLoop() {
	defer j.goroutines.Done()
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		if j.stopping {
			return
		}
		if j.err != nil || j.log == nil || !j.wantSpace && !j.background {
			j.spaceCond.Wait()
			continue
		}
		if len(j.checkpoints) == 0 {
			// Space comes when the commit that runs now has ended and
			// its transaction can be written back.
			if j.committing == nil {
				j.wantSpace, j.background = false, false
				j.cond.Broadcast()
				continue
			}
			t := j.committing
			j.mu.Unlock()
			<-t.finished
			j.mu.Lock()
			continue
		}
		force := j.wantSpace
		j.wantSpace, j.background = false, false
		upTo := j.done
		j.mu.Unlock()
		err := j.pass(upTo, force)
		j.mu.Lock()
		if err == nil {
			j.cond.Broadcast()
		}
	}
}

// askCheckpoint has a checkpoint made in the background.
func (j *Journal) askCheckpoint() {
	j.mu.Lock()
	j.background = true
	j.spaceCond.Signal()
	j.mu.Unlock()
}

// pass writes the blocks of the committed transactions up to upTo to their
// places and frees their part of the log, oldest first. Blocks that a newer
// transaction has changed cannot be written before that one is committed: force
// commits it, otherwise the pass ends there.
func (j *Journal) pass(upTo TID, force bool) error {
	j.passMu.Lock()
	defer j.passMu.Unlock()
	for {
		j.mu.Lock()
		if j.err != nil {
			j.mu.Unlock()
			return syscall.EIO
		}
		group, blocks := 0, 0
		for _, t := range j.checkpoints {
			if t.tid > upTo || blocks >= j.maxBlocks {
				break
			}
			group, blocks = group+1, blocks+t.size
		}
		list := j.checkpoints[:group:group]
		j.mu.Unlock()
		if group == 0 {
			return nil
		}
		blockedBy, err := j.writeBack(list)
		if err == nil {
			err = j.moveTail(list)
		}
		if err != nil {
			j.say("the journal is aborted: metadata could not be written to its place: " + err.Error())
			j.Abort(syscall.EIO)
			return syscall.EIO
		}
		if blockedBy != 0 {
			if !force {
				return nil
			}
			if err := j.CommitAndWait(blockedBy); err != nil {
				return syscall.EIO
			}
		}
	}
}

// writeBack writes the blocks of transactions, but for those that another one is
// changing: it returns the newest of these transactions, or 0.
func (j *Journal) writeBack(list []*transaction) (blockedBy TID, err error) {
	var dirty []*Buffer
	for _, t := range list {
		for _, e := range t.entries {
			if e.b.cp.Load() == t {
				dirty = append(dirty, e.b)
			}
		}
	}
	slices.SortFunc(dirty, func(a, b *Buffer) int { return cmp.Compare(a.Block, b.Block) })
	size := j.cache.size
	perBatch := maxBatch / size
	buf := make([]byte, min(len(dirty), perBatch)*size)
	last := list[len(list)-1].tid
	for batch := range slices.Chunk(dirty, perBatch) {
		blocked, err := j.writeBatch(batch, buf, last)
		if err != nil {
			return 0, err
		}
		blockedBy = max(blockedBy, blocked)
	}
	return blockedBy, nil
}

func (j *Journal) writeBatch(batch []*Buffer, buf []byte, last TID) (blockedBy TID, err error) {
	j.cache.writing.Lock()
	defer j.cache.writing.Unlock()
	size := j.cache.size
	var blocks []uint64
	var written []*Buffer
	var states []*transaction
	for _, b := range batch {
		b.mu.Lock()
		t := b.cp.Load()
		if e := b.cur.Load(); t == nil || t.tid > last {
			// Revoked, or committed again meanwhile.
		} else if e != nil {
			blockedBy = max(blockedBy, e.t.tid)
		} else {
			copy(buf[len(blocks)*size:], b.Data)
			blocks, written, states = append(blocks, b.Block), append(written, b), append(states, t)
		}
		b.mu.Unlock()
	}
	if err := j.cache.writeBlocks(blocks, buf); err != nil {
		return 0, err
	}
	for i, b := range written {
		b.cp.CompareAndSwap(states[i], nil)
	}
	return blockedBy, nil
}

// moveTail frees the log of the oldest transactions of the list whose blocks
// all are in their places or in the log of newer transactions.
func (j *Journal) moveTail(list []*transaction) error {
	n, blocks := 0, 0
	for n < len(list) && !slices.ContainsFunc(list[n].entries, func(e *entry) bool { return e.b.cp.Load() == list[n] }) {
		blocks += list[n].size
		n++
	}
	if n == 0 {
		return nil
	}
	if err := block.Flush(j.cache.dev); err != nil {
		return err
	}
	l := j.log
	j.superMu.Lock()
	j.mu.Lock()
	l.start, l.sequence = j.head, j.sequence
	if n < len(j.checkpoints) {
		l.start, l.sequence = j.checkpoints[n].start, j.checkpoints[n].sequence
	}
	j.mu.Unlock()
	err := l.write(true)
	j.superMu.Unlock()
	if err != nil {
		return err
	}
	j.stats.checkpoints.Add(1)
	j.mu.Lock()
	j.checkpoints = slices.Clone(j.checkpoints[n:])
	j.free += blocks
	j.cond.Broadcast()
	j.mu.Unlock()
	return nil
}

// markEmpty writes into the superblock that nothing is to be recovered, if that
// is so.
func (j *Journal) markEmpty() error {
	l := j.log
	j.passMu.Lock()
	defer j.passMu.Unlock()
	j.superMu.Lock()
	defer j.superMu.Unlock()
	j.mu.Lock()
	idle := j.err == nil && j.committing == nil && len(j.checkpoints) == 0
	sequence := j.sequence
	j.mu.Unlock()
	if !idle || l.start == 0 {
		return nil
	}
	l.start, l.sequence = 0, sequence
	if err := l.write(true); err != nil {
		j.Abort(syscall.EIO)
		return syscall.EIO
	}
	return nil
}
