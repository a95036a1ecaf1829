package jbd2

import (
	"bytes"
	"syscall"
)

// A Handle is one operation's part of a transaction: what is changed between
// Begin and End is on disk as a whole or not at all. It belongs to one
// goroutine.
type Handle struct {
	j       *Journal
	t       *transaction // nil when ended
	tid     TID          // of t, also when ended
	credits int          // blocks that may still be added to the transaction
	revokes int          // block numbers that may be revoked before that takes a credit
}

// Begin opens a handle that may change up to credits different blocks. It waits
// while the running transaction is being closed and while the log has no space.
// Errors: EROFS after an abort or Close, ENOSPC if credits are more than
// MaxCredits.
func (j *Journal) Begin(credits int) (*Handle, error) {
	h := &Handle{j: j}
	if err := h.begin(credits); err != nil {
		return nil, err
	}
	return h, nil
}

func (h *Handle) begin(credits int) error {
	j := h.j
	if credits > j.MaxCredits() {
		return syscall.ENOSPC
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		if j.err != nil || j.closing {
			return syscall.EROFS
		}
		t := j.running
		if t == nil {
			t = j.newTransaction()
		}
		if !t.locked {
			size := j.logSize(t, credits, j.perRevoke)
			if size <= j.maxBlocks && size <= j.free {
				t.handles++
				t.reserved += credits
				t.revokeRoom += j.perRevoke
				h.t, h.tid, h.credits, h.revokes = t, t.tid, credits, j.perRevoke
				return nil
			}
			if size > j.maxBlocks {
				j.requestCommit(t.tid)
			} else {
				j.wantSpace = true
				j.spaceCond.Signal()
			}
		}
		j.waiting++
		j.cond.Wait()
		j.waiting--
	}
}

// TID returns the number of the transaction that the handle is part of, or was
// when it ended.
func (h *Handle) TID() TID { return h.tid }

// Credits returns how many more blocks the handle may change that its
// transaction has not changed yet.
func (h *Handle) Credits() int { return h.credits }

// Modify must be called before b.Data is changed. It may be called again: a
// block that the same transaction has changed before takes no credit. Errors:
// EROFS after an abort, ENOSPC when neither credits nor space in the log are
// left.
func (h *Handle) Modify(b *Buffer) error {
	if e := b.cur.Load(); e != nil && e.t == h.t && !e.forgotten.Load() {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return h.join(b)
}

// Create returns the buffer of a block whose content on disk is of no interest
// because it was just allocated: zeroed, and as after Modify. The caller
// releases it. Errors: those of Modify, EUCLEAN for a number past the file
// system's end.
func (h *Handle) Create(n uint64) (*Buffer, error) {
	b, fresh, err := h.j.cache.reference(n)
	if err != nil {
		return nil, err
	}
	if fresh {
		b.finish(nil)
	} else if b.wait() != nil { // somebody else failed to read it, and the cache has dropped the buffer
		b.Release()
		return h.Create(n)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := h.join(b); err != nil {
		b.Release()
		return nil, err
	}
	if !fresh {
		clear(b.Data)
	}
	b.verified.Store(true)
	return b, nil
}

// join makes the buffer part of the handle's transaction. The caller holds b.mu.
func (h *Handle) join(b *Buffer) error {
	j, t := h.j, h.t
	e := b.cur.Load()
	again := e != nil && e.t == t
	if again && !e.forgotten.Load() {
		return nil
	}
	j.mu.Lock()
	if j.err != nil {
		j.mu.Unlock()
		return syscall.EROFS
	}
	if !again {
		if err := h.charge(); err != nil {
			j.mu.Unlock()
			return err
		}
		n := &entry{t: t, b: b}
		t.entries = append(t.entries, n)
		defer b.cur.Store(n)
	}
	delete(t.revoked, b.Block)
	j.mu.Unlock()
	if again {
		e.forgotten.Store(false)
	} else if e != nil && !e.taken && !e.forgotten.Load() {
		e.frozen = bytes.Clone(b.Data) // e's transaction is being committed
		j.stats.copies.Add(1)
	}
	return nil
}

// charge takes a credit, or space beyond the credits, for one log block that
// the caller adds. It holds Journal.mu.
func (h *Handle) charge() error {
	if h.credits > 0 {
		h.credits--
		h.t.reserved--
		return nil
	}
	if h.j.logSize(h.t, 1, 0) > h.j.free {
		return syscall.ENOSPC
	}
	h.j.stats.overruns.Add(1)
	return nil
}

// Revoke must be called when metadata blocks, n to n+count-1, are freed. What
// this and earlier transactions did to them is not replayed any more after this
// one is committed, and their buffers are dropped then. Until then (OnCommit)
// they must not be used for anything else, except that the same transaction may
// Create or Modify them again. The first BlockSize/8 - 3 numbers of a handle
// need no credit, further ones need one for each as many. Errors: those of
// Modify.
func (h *Handle) Revoke(n uint64, count int) error {
	j, t := h.j, h.t
	for ; count > 0; n, count = n+1, count-1 {
		if b := j.cache.peek(n); b != nil {
			b.mu.Lock()
			if e := b.cur.Load(); e != nil && e.t == t {
				e.forgotten.Store(true)
			}
			b.mu.Unlock()
		}
		j.mu.Lock()
		if j.err != nil {
			j.mu.Unlock()
			return syscall.EROFS
		}
		if h.revokes == 0 {
			if err := h.charge(); err != nil {
				j.mu.Unlock()
				return err
			}
			h.revokes = j.perRevoke
			t.revokeRoom += j.perRevoke
		}
		h.revokes--
		t.revokeRoom--
		if t.revoked == nil {
			t.revoked = make(map[uint64]struct{})
		}
		t.revoked[n] = struct{}{}
		j.mu.Unlock()
	}
	return nil
}

// OnCommit has f called when the transaction is on disk, with nil, or when it
// will never be, with the error; in the order of registration, by the goroutine
// that commits. f must be quick and must not Begin.
func (h *Handle) OnCommit(f func(error)) {
	h.j.mu.Lock()
	h.t.onCommit = append(h.t.onCommit, f)
	h.j.mu.Unlock()
}

// Order has f called by the commit before it writes anything: f writes file
// data that the transaction's metadata points to and waits for it, but need not
// flush. It must not Begin. Its error is logged and the commit goes on, as with
// data_err=ignore of Linux: the page cache tells fsync.
func (h *Handle) Order(f func() error) {
	h.j.mu.Lock()
	h.t.order = append(h.t.order, f)
	h.j.mu.Unlock()
}

// Extend asks for n more credits in the same transaction. False: there is no
// room; the caller brings its structures into an order that may be committed,
// and calls Restart.
func (h *Handle) Extend(n int) bool {
	j, t := h.j, h.t
	j.mu.Lock()
	defer j.mu.Unlock()
	size := j.logSize(t, n, 0)
	if t.locked || j.err != nil || size > j.maxBlocks || size > j.free {
		return false
	}
	h.credits += n
	t.reserved += n
	return true
}

// Restart ends the handle's part of its transaction, asks for a commit of that
// one, and opens the handle again with n credits in a newer one. What was
// changed so far may be on disk without what follows. Errors: those of Begin;
// the handle has ended then.
func (h *Handle) Restart(n int) error {
	if err := h.End(); err != nil {
		return syscall.EROFS
	}
	h.j.Commit(h.tid)
	return h.begin(n)
}

// End closes the handle; to call it again does nothing. Error: what has aborted
// the journal.
func (h *Handle) End() error {
	j, t := h.j, h.t
	j.mu.Lock()
	defer j.mu.Unlock()
	if t == nil {
		return j.err
	}
	h.t = nil
	t.handles--
	t.reserved -= h.credits
	t.revokeRoom -= h.revokes
	h.credits, h.revokes = 0, 0
	if t.handles == 0 && t.locked {
		j.commitCond.Signal()
	}
	if j.waiting > 0 {
		j.cond.Broadcast()
	}
	return j.err
}
