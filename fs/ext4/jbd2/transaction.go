package jbd2

import (
	"sync/atomic"
	"time"
)

// A transaction is what is committed as one. Journal.mu protects its fields
// but where noted.
type transaction struct {
	tid       TID
	handles   int  // open
	locked    bool // takes no new handles: a commit waits for those that are open
	requested bool // to be committed
	flushing  bool // all is written; the flush before the commit record has been sent
	timer     *time.Timer

	entries    []*entry            // blocks changed; the commit's own once it has begun
	reserved   int                 // credits of open handles
	revoked    map[uint64]struct{} // blocks freed
	revokeRoom int                 // block numbers that open handles may still revoke

	order    []func() error
	onCommit []func(error)

	finished chan struct{} // closed when it is on disk or has failed
	err      error         // why it has failed; read after finished

	start    uint32 // where it begins in the log
	sequence uint32
	size     int // log blocks: reserved, and when it is committed those used
}

// An entry is one block of a transaction. Buffer.mu of b protects the rest.
type entry struct {
	t         *transaction
	b         *Buffer
	frozen    []byte      // the content to be committed, when the next transaction has changed b.Data
	taken     bool        // the commit has its copy
	forgotten atomic.Bool // freed by the same transaction: not written
}

// newTransaction makes the running transaction. The caller holds mu.
func (j *Journal) newTransaction() *transaction {
	t := &transaction{tid: j.next, finished: make(chan struct{})}
	j.next++
	j.running = t
	t.timer = time.AfterFunc(j.opt.Interval, func() { j.Commit(t.tid) })
	return t
}

// groupBlocks is the most data blocks behind one descriptor: a group is written
// at once.
func (j *Journal) groupBlocks() int {
	return min(j.log.records.tags(), maxBatch/j.cache.size-1)
}

// logSize returns how many blocks a transaction takes in the log when it gets
// further blocks and revoked numbers. The caller holds mu.
func (j *Journal) logSize(t *transaction, blocks, revokes int) int {
	n := t.reserved + len(t.entries) + blocks
	if j.log == nil {
		return n
	}
	return n + ceil(n, j.groupBlocks()) + ceil(len(t.revoked)+t.revokeRoom+revokes, j.perRevoke) + 1
}

func ceil(n, d int) int { return (n + d - 1) / d }

// requestCommit returns the unfinished transaction tid, nil if there is none,
// and has it committed. The caller holds mu.
func (j *Journal) requestCommit(tid TID) *transaction {
	if t := j.running; t != nil && t.tid == tid {
		t.requested = true
		j.commitCond.Signal()
		return t
	}
	if t := j.committing; t != nil && t.tid == tid {
		return t
	}
	return nil
}
