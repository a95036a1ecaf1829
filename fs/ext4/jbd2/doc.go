// Package jbd2 keeps the metadata blocks of an ext4 file system: a cache of
// them, transactions that change many of them as one, and the log on disk from
// which a crash is repaired (JBD2).
//
// The format is that of Documentation/filesystems/ext4/journal.rst of Linux
// 6.12: version 2 superblock, block numbers of 32 or 64 bits, checksums v3
// (v2 is read), revoke records, escaping of the magic number. Not understood,
// and refused by name when a log has them: fast commits, asynchronous commits,
// checksums v1, and superblocks of version 1.
//
// # Use
//
//	cache := jbd2.NewCache(device, blockSize, blocks, limit)
//	log, err := jbd2.Load(area)           // nil log: a file system without a journal
//	if log.Dirty() { log.Recover(cache) } // buffers got before are stale now
//	j, err := jbd2.Start(cache, log, jbd2.Options{...})
//
//	h, err := j.Begin(3)                  // at most 3 blocks will change
//	b, err := cache.Get(block)            // a reference to the block's buffer
//	h.Modify(b)                           // before the first change of b.Data by h
//	b.Data[7] = 1
//	b.Release()
//	tid := h.TID()
//	h.End()
//	j.CommitAndWait(tid)                  // fsync
//	j.Close()
//
// # How a block gets to its place
//
// The handles that are open at a time share one running transaction. A commit
// (each 5 seconds, by CommitAndWait, when the transaction is large) waits until
// its handles have ended, calls the functions that Order was given, writes the
// blocks to the log, flushes the device, and writes the commit record with FUA.
// Handles that begin meanwhile belong to the next transaction: a block that
// both change is copied by Modify if the commit has not taken its own copy yet.
// One commit runs at a time, so the callers of CommitAndWait that come during a
// commit share the next one (group commit).
//
// A committed block stays in the cache until a checkpoint has written it to its
// place; then the part of the log that held it is free again. Checkpoints
// run when half of the log is used, or much of the cache waits for one.
//
// Without a log the API is the same and a commit writes the blocks to
// their places and flushes the device: crashes may then leave any mixture.
//
// # Locks
//
//	locks that a caller may hold at Begin and Restart (of an inode)
//	  an open handle, from Begin to End; Restart lets go of it for a moment
//	    locks that a caller takes with an open handle (allocator, extent tree);
//	    they are never held at Begin or Restart
//	      Buffer.load   the reading of one block
//
//	inside of the package
//	  Journal.passMu         one checkpoint at a time
//	    Cache.writing        checkpoint writes in flight
//	      Buffer.mu          what transactions know of one buffer
//	        Journal.mu       transactions, space in the log
//	        shard.mu         a part of the cache's index
//	    Journal.superMu      the log's superblock
//	      Journal.mu
//
// The functions given to Order and OnCommit take no lock that somebody holds
// while waiting in Begin.
//
// Begin may wait for a commit, and a commit waits for open handles: a goroutine
// with an open handle neither begins another one nor calls CommitAndWait, Sync,
// Checkpoint or Close.
package jbd2
