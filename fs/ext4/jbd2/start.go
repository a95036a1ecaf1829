package jbd2

import (
	"syscall"
	"time"

	"github.com/goshawk-os/goshawk/fs/block"
)

// Start opens a journal over a log, which must not be Dirty, or without one
// (nil). It writes the log's superblock if the records are to change. Errors:
// EUCLEAN for a dirty log, those of the device.
func Start(c *Cache, l *Log, o Options) (*Journal, error) {
	if o.Interval == 0 {
		o.Interval = 5 * time.Second
	}
	j := &Journal{cache: c, log: l, opt: o, next: 1}
	j.cond.L, j.commitCond.L, j.spaceCond.L = &j.mu, &j.mu, &j.mu
	if l == nil {
		j.maxBlocks, j.free, j.perRevoke = 1<<13, 1<<30, 1<<20
	} else {
		if l.Dirty() {
			return nil, syscall.EUCLEAN
		}
		if r := &l.records; r.sumV3 != o.Checksum || r.sumV2 || r.wide != o.Wide ||
			be32(l.super[superIncompat:])&incompatRevoke == 0 {
			l.setFeatures(o.Checksum, o.Wide)
			if err := l.write(false); err != nil {
				return nil, err
			}
			if err := block.Flush(l.area.Device); err != nil {
				return nil, err
			}
		}
		// One block stays free, so that a full log differs from an empty one.
		j.head, j.sequence, j.free = l.first, l.sequence, int(l.end-l.first)-1
		j.maxBlocks, j.perRevoke = int(l.end-l.first)/4, l.records.revokes()
	}
	press := j.askCheckpoint
	c.pressure.Store(&press)
	j.goroutines.Add(2)
	go j.commitLoop()
	go j.checkpointLoop()
	return j, nil
}

// Close commits what is running, writes all blocks to their places, marks the
// log empty and ends the journal. Handles must have ended; Begin fails from now
// on. Error: EIO if not everything is on disk.
func (j *Journal) Close() error {
	j.mu.Lock()
	j.closing = true
	j.cond.Broadcast()
	j.mu.Unlock()
	err := j.Checkpoint()
	j.mu.Lock()
	j.stopping = true
	j.commitCond.Signal()
	j.spaceCond.Signal()
	j.mu.Unlock()
	j.goroutines.Wait()
	j.cache.pressure.Store(nil)
	return err
}

// abort is Abort with mu held.
func (j *Journal) abort(err error) {
	if j.err != nil || j.stopping {
		return
	}
	j.err = err
	if j.running != nil {
		j.running.requested = true
	}
	j.cond.Broadcast()
	j.commitCond.Signal()
	j.spaceCond.Signal()
	j.goroutines.Add(1)
	go func() {
		defer j.goroutines.Done()
		if l := j.log; l != nil {
			j.superMu.Lock()
			errno, ok := err.(syscall.Errno)
			if !ok {
				errno = syscall.EIO
			}
			putBE32(l.super[superErrno:], uint32(-int32(errno)))
			_ = l.write(true) // the device may well be what has failed
			j.superMu.Unlock()
		}
		if j.opt.OnAbort != nil {
			j.opt.OnAbort(err)
		}
	}()
}

// ClearErrno takes the error of an earlier abort (Log.Errno) out of the log's
// superblock. The file system has noted it on disk before.
func (j *Journal) ClearErrno() error {
	l := j.log
	if l == nil {
		return nil
	}
	j.superMu.Lock()
	defer j.superMu.Unlock()
	if l.Errno() == 0 || j.Err() != nil {
		return nil
	}
	putBE32(l.super[superErrno:], 0)
	return l.write(true)
}

// say tells Options.Log.
func (j *Journal) say(s string) {
	if j.opt.Log != nil {
		j.opt.Log(s)
	}
}
