package vfs

import (
	"math"
	"slices"
	"sync"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/abi"
)

// lockTable holds the advisory locks of all files: those of flock(2) and the
// record locks of fcntl(2). The two kinds do not see each other.
type lockTable struct {
	mu sync.Mutex
	of map[Inode]*inodeLocks
}

var locks = lockTable{of: make(map[Inode]*inodeLocks)}

// inodeLocks exists while there is a lock or someone waits.
type inodeLocks struct {
	flocks  map[*File]int16 // F_RDLCK or F_WRLCK
	records []record        // those of one owner do not overlap
	changed chan struct{}   // closed when a lock went away; nil if nobody waits
}

// recordOwner is an open file description or a process.
type recordOwner struct {
	file *File
	pid  int32
}

// A record is a locked range; end is the last byte.
type record struct {
	owner      recordOwner
	typ        int16
	start, end int64
}

func (t *lockTable) get(i Inode) *inodeLocks {
	l := t.of[i]
	if l == nil {
		l = &inodeLocks{flocks: make(map[*File]int16)}
		t.of[i] = l
	}
	return l
}

// wake lets those who wait try again, and forgets an inode without locks.
func (t *lockTable) wake(i Inode, l *inodeLocks) {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
	if len(l.flocks) == 0 && len(l.records) == 0 {
		delete(t.of, i)
	}
}

// wait releases mu until a lock of the inode went away.
func (t *lockTable) wait(l *inodeLocks) {
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	c := l.changed
	t.mu.Unlock()
	<-c
	t.mu.Lock()
}

// drop removes what an open file description holds.
func (t *lockTable) drop(f *File) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := f.Inode()
	l := t.of[i]
	if l == nil {
		return
	}
	delete(l.flocks, f)
	l.set(record{recordOwner{file: f}, syscall.F_UNLCK, 0, math.MaxInt64})
	t.wake(i, l)
}

// Flock takes, changes or drops the lock of this open file description, as
// flock(2): op is LOCK_SH, LOCK_EX or LOCK_UN, perhaps with LOCK_NB.
func (f *File) Flock(op int) error {
	var typ int16
	switch op &^ syscall.LOCK_NB {
	case syscall.LOCK_SH:
		typ = syscall.F_RDLCK
	case syscall.LOCK_EX:
		typ = syscall.F_WRLCK
	case syscall.LOCK_UN:
		typ = syscall.F_UNLCK
	default:
		return syscall.EINVAL
	}
	if f.isPath() {
		return syscall.EBADF
	}
	locks.mu.Lock()
	defer locks.mu.Unlock()
	i := f.Inode()
	for {
		l := locks.get(i)
		if held, ok := l.flocks[f]; ok && held != typ {
			// A change of type gives up the old lock first: flock(2).
			delete(l.flocks, f)
			locks.wake(i, l)
			continue
		}
		if typ == syscall.F_UNLCK {
			locks.wake(i, l)
			return nil
		}
		if !l.flockConflict(f, typ) {
			l.flocks[f] = typ
			return nil
		}
		if op&syscall.LOCK_NB != 0 {
			return syscall.EAGAIN
		}
		locks.wait(l)
	}
}

func (l *inodeLocks) flockConflict(f *File, typ int16) bool {
	for other, held := range l.flocks {
		if other != f && (typ == syscall.F_WRLCK || held == syscall.F_WRLCK) {
			return true
		}
	}
	return false
}

// Lock takes, changes, drops or examines a record lock, as fcntl(2) with
// F_GETLK, F_SETLK, F_SETLKW, F_OFD_GETLK, F_OFD_SETLK or F_OFD_SETLKW. pid is
// the process that owns a POSIX lock. The waiting commands park the goroutine;
// there is no EDEADLK.
func (f *File) Lock(cmd int, lk *syscall.Flock_t, pid int32) error {
	if f.isPath() {
		return syscall.EBADF
	}
	owner := recordOwner{pid: pid}
	switch cmd {
	case abi.F_OFD_GETLK, abi.F_OFD_SETLK, abi.F_OFD_SETLKW:
		if lk.Pid != 0 {
			return syscall.EINVAL
		}
		owner = recordOwner{file: f}
	case syscall.F_GETLK, syscall.F_SETLK, syscall.F_SETLKW:
	default:
		return syscall.EINVAL
	}
	locking := lk.Type == syscall.F_RDLCK || lk.Type == syscall.F_WRLCK
	if cmd == syscall.F_GETLK && !locking {
		return syscall.EINVAL
	}
	start, end, err := f.lockRange(lk)
	if err != nil {
		return err
	}
	want := record{owner, lk.Type, start, end}
	get := cmd == syscall.F_GETLK || cmd == abi.F_OFD_GETLK
	switch {
	case !locking && lk.Type != syscall.F_UNLCK:
		return syscall.EINVAL
	case !get && lk.Type == syscall.F_RDLCK:
		err = f.readable()
	case !get && lk.Type == syscall.F_WRLCK:
		err = f.canWrite()
	}
	if err != nil {
		return err
	}

	locks.mu.Lock()
	defer locks.mu.Unlock()
	if get {
		locks.examine(f.Inode(), want, lk)
		return nil
	}
	for {
		l := locks.get(f.Inode())
		if want.typ == syscall.F_UNLCK || l.recordConflict(want) == nil {
			l.set(want)
			locks.wake(f.Inode(), l)
			return nil
		}
		if cmd == syscall.F_SETLK || cmd == abi.F_OFD_SETLK {
			return syscall.EAGAIN
		}
		locks.wait(l)
	}
}

// lockRange returns the first and the last byte that lk means.
func (f *File) lockRange(lk *syscall.Flock_t) (start, end int64, err error) {
	switch lk.Whence {
	case abi.SEEK_SET:
	case abi.SEEK_CUR:
		f.mu.Lock()
		start = f.off
		f.mu.Unlock()
	case abi.SEEK_END:
		if f.content != nil {
			start = f.content.Size()
		}
	default:
		return 0, 0, syscall.EINVAL
	}
	if lk.Start > math.MaxInt64-start {
		return 0, 0, syscall.EOVERFLOW
	}
	start += lk.Start
	if start < 0 {
		return 0, 0, syscall.EINVAL
	}
	switch {
	case lk.Len > 0:
		if lk.Len-1 > math.MaxInt64-start {
			return 0, 0, syscall.EOVERFLOW
		}
		return start, start + lk.Len - 1, nil
	case lk.Len < 0:
		if start+lk.Len < 0 {
			return 0, 0, syscall.EINVAL
		}
		return start + lk.Len, start - 1, nil
	}
	return start, math.MaxInt64, nil
}

// examine puts into lk the record that want would conflict with, or, if want
// is F_UNLCK, one that its owner holds.
func (t *lockTable) examine(i Inode, want record, lk *syscall.Flock_t) {
	var found *record
	if l := t.of[i]; l != nil && want.typ != syscall.F_UNLCK {
		found = l.recordConflict(want)
	} else if l != nil {
		n := slices.IndexFunc(l.records, func(r record) bool { return r.owner == want.owner && r.overlaps(want) })
		if n >= 0 {
			found = &l.records[n]
		}
	}
	if found == nil {
		lk.Type = syscall.F_UNLCK
		return
	}
	lk.Type, lk.Whence, lk.Start = found.typ, abi.SEEK_SET, found.start
	lk.Len = 0
	if found.end != math.MaxInt64 {
		lk.Len = found.end - found.start + 1
	}
	lk.Pid = found.owner.pid
	if found.owner.file != nil {
		lk.Pid = -1
	}
}

func (r record) overlaps(o record) bool { return r.start <= o.end && o.start <= r.end }

// recordConflict returns a record that want has to wait for.
func (l *inodeLocks) recordConflict(want record) *record {
	for i := range l.records {
		r := &l.records[i]
		if r.overlaps(want) && r.owner != want.owner && (r.typ == syscall.F_WRLCK || want.typ == syscall.F_WRLCK) {
			return r
		}
	}
	return nil
}

// set gives the range of want its type for its owner, splitting and joining
// what the owner holds.
func (l *inodeLocks) set(want record) {
	var kept []record
	for _, r := range l.records {
		if r.owner != want.owner {
			kept = append(kept, r)
			continue
		}
		// No overflow: an end of MaxInt64 has no neighbour behind it.
		joins := r.typ == want.typ &&
			(r.end == math.MaxInt64 || r.end+1 >= want.start) &&
			(want.end == math.MaxInt64 || want.end+1 >= r.start)
		switch {
		case joins:
			want.start = min(want.start, r.start)
			want.end = max(want.end, r.end)
		default:
			if r.start < want.start {
				left := r
				left.end = min(r.end, want.start-1)
				kept = append(kept, left)
			}
			if r.end > want.end {
				right := r
				right.start = max(r.start, want.end+1)
				kept = append(kept, right)
			}
		}
	}
	if want.typ != syscall.F_UNLCK {
		kept = append(kept, want)
	}
	l.records = kept
}

// ReleaseRecordLocks drops the POSIX locks of process pid on the file: what
// each close(2) of a descriptor does, whichever descriptor locked it. Closing
// an O_PATH descriptor does not.
func (f *File) ReleaseRecordLocks(pid int32) {
	if f.isPath() {
		return
	}
	locks.mu.Lock()
	defer locks.mu.Unlock()
	i := f.Inode()
	l := locks.of[i]
	if l == nil {
		return
	}
	l.set(record{recordOwner{pid: pid}, syscall.F_UNLCK, 0, math.MaxInt64})
	locks.wake(i, l)
}
