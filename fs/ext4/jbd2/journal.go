package jbd2

import (
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A TID names a transaction of one Journal; later ones have greater numbers.
// It is not the sequence number in the log: it never wraps. 0 is before all.
type TID uint64

// Options of a journal.
type Options struct {
	// Interval is the greatest age of a running transaction before it is
	// committed; 0: 5 seconds.
	Interval time.Duration
	// Checksum and Wide say what the log's records are to have from now on:
	// checksums v3 (a file system with metadata_csum), block numbers of 64 bits.
	Checksum, Wide bool
	// Log is told in one sentence what went wrong; nil: nobody is.
	Log func(string)
	// OnAbort is called once, by a goroutine of its own, when the journal is aborted.
	OnAbort func(error)
}

// Stats counts what a journal has done since Start.
type Stats struct {
	Commits     uint64 // transactions written
	Blocks      uint64 // metadata blocks in them
	Revoked     uint64 // block numbers in revoke records
	Copies      uint64 // blocks copied because the next transaction changed them
	Checkpoints uint64 // tails moved
	Overruns    uint64 // blocks changed by handles beyond their credits
}

// A Journal makes changes of many metadata blocks atomic. All methods may be
// called by many goroutines at once.
type Journal struct {
	cache *Cache
	log   *Log // nil: without a log
	opt   Options

	maxBlocks int // most log blocks of one transaction
	perRevoke int // block numbers in one block of revoke records

	mu         sync.Mutex
	cond       sync.Cond // a transaction may be joined, space came, abort; waiting goroutines wait for it
	commitCond sync.Cond // work for the goroutine that commits
	spaceCond  sync.Cond // work for the goroutine that makes checkpoints
	waiting    int
	goroutines sync.WaitGroup
	closing    bool  // Begin fails
	stopping   bool  // goroutines end
	err        error // of the abort

	next TID // of the next transaction
	done TID // newest one on disk
	// running takes new handles unless it is locked; committing is being
	// written; checkpoints are on disk, oldest first, and blocks of theirs are
	// still needed in the log.
	running     *transaction
	committing  *transaction
	checkpoints []*transaction

	head       uint32 // log block where the next transaction begins
	sequence   uint32 // its number in the log
	free       int    // log blocks that no transaction has or has reserved, but for the running one
	wantSpace  bool   // Begin waits for a checkpoint
	background bool   // a checkpoint would be good

	passMu  sync.Mutex // one checkpoint at a time
	superMu sync.Mutex // the log's superblock, Log.start and Log.sequence
	spare   []byte     // memory of the last commit; the committing goroutine's

	stats struct {
		commits, blocks, revoked, copies, checkpoints, overruns atomic.Uint64
	}
}

// Err returns the error that aborted the journal, nil when it works.
func (j *Journal) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// Cache returns the cache of metadata blocks.
func (j *Journal) Cache() *Cache { return j.cache }

// HasLog reports whether changes are atomic: false for a file system without a
// journal.
func (j *Journal) HasLog() bool { return j.log != nil }

// MaxCredits returns the most credits that one handle may have: an operation
// that may change more blocks is cut into steps (Handle.Extend, Handle.Restart).
func (j *Journal) MaxCredits() int { return j.maxBlocks / 2 }

// Stats returns what the journal has done so far.
func (j *Journal) Stats() Stats {
	return Stats{
		Commits: j.stats.commits.Load(), Blocks: j.stats.blocks.Load(), Revoked: j.stats.revoked.Load(),
		Copies: j.stats.copies.Load(), Checkpoints: j.stats.checkpoints.Load(), Overruns: j.stats.overruns.Load(),
	}
}

// Running returns the number of the transaction that a Begin would join now, or
// of the newest one if none is running. CommitAndWait of it waits for all that
// has been done so far.
func (j *Journal) Running() TID {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.next - 1
}

// Commit asks for a commit of the transaction tid, if that is still running, and
// does not wait.
func (j *Journal) Commit(tid TID) {
	j.mu.Lock()
	j.requestCommit(tid)
	j.mu.Unlock()
}

// CommitAndWait waits until the transaction tid is on disk, and commits it if
// it is still running. The device's volatile cache has then been flushed after
// all of the transaction was written. If the transaction had been committed
// before, nothing is flushed (see WillFlush). Errors: EIO, or what else aborted
// the journal before the transaction was on disk.
func (j *Journal) CommitAndWait(tid TID) error {
	j.mu.Lock()
	if tid <= j.done {
		j.mu.Unlock()
		return nil
	}
	t := j.requestCommit(tid)
	if t == nil {
		err := j.err
		j.mu.Unlock()
		return err
	}
	j.mu.Unlock()
	<-t.finished
	return t.err
}

// WillFlush reports whether a CommitAndWait of tid would flush the file
// system's device after now. fsync of a file whose data was written outside of
// the transaction flushes the device itself when it does not.
func (j *Journal) WillFlush(tid TID) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil || tid <= j.done {
		return false
	}
	if t := j.committing; t != nil && t.tid == tid {
		return !t.flushing
	}
	return j.running != nil && j.running.tid == tid
}

// Sync commits the running transaction, if there is one, and waits until all
// transactions up to it are on disk.
func (j *Journal) Sync() error {
	j.mu.Lock()
	tid, err := j.next-1, j.err
	j.mu.Unlock()
	if err != nil {
		return syscall.EIO
	}
	return j.CommitAndWait(tid)
}

// Abort stops the journal: nothing more is written, neither to the log nor to
// the blocks' places; err is what waiters get and the log's superblock notes that
// the file system needs a check. Only the first call counts. It does not wait.
func (j *Journal) Abort(err error) {
	j.mu.Lock()
	j.abort(err)
	j.mu.Unlock()
}
