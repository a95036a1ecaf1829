package vfs

import (
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
)

// An Event is what a Watch reports, in the terms of inotify(7).
type Event struct {
	Mask     uint32 // one of syscall.IN_ACCESS to IN_MOVE_SELF, and IN_ISDIR
	Cookie   uint32 // connects IN_MOVED_FROM with IN_MOVED_TO, else 0
	Name     string // in the watched directory, "" for the watched file itself
	Unlinked bool   // Name had been removed before
}

// A Watch is told of what happens through this package to an inode and, if it
// is a directory, to the files in it.
type Watch struct {
	inode  Inode
	notify func(Event)
}

// NewWatch starts a watch. notify is called on any goroutine, perhaps while a
// File's position is locked: it must neither wait nor use files. It may be
// called a last time while Close returns.
func NewWatch(inode Inode, notify func(Event)) *Watch {
	w := &Watch{inode, notify}
	watches.mu.Lock()
	defer watches.mu.Unlock()
	if watches.of == nil {
		watches.of = make(map[Inode][]*Watch)
	}
	watches.of[inode] = append(slices.Clone(watches.of[inode]), w)
	watches.count.Add(1)
	return w
}

// Close ends the watch. It may be called more than once.
func (w *Watch) Close() {
	watches.mu.Lock()
	defer watches.mu.Unlock()
	list := watches.of[w.inode]
	i := slices.Index(list, w)
	if i < 0 {
		return
	}
	watches.count.Add(-1)
	if len(list) == 1 {
		delete(watches.of, w.inode)
		return
	}
	watches.of[w.inode] = slices.Delete(slices.Clone(list), i, i+1)
}

// watches are all watches. While there are none, an operation on a file costs
// the look at count.
var watches watchTable

type watchTable struct {
	count  atomic.Int32
	cookie atomic.Uint32
	mu     sync.Mutex
	of     map[Inode][]*Watch // lists are never changed in place
}

func (t *watchTable) active() bool { return t.count.Load() != 0 }

// tell reports e, which happened to a file, to those who watch inode: the file
// or its directory.
func (t *watchTable) tell(inode Inode, e Event) {
	t.mu.Lock()
	list := t.of[inode]
	t.mu.Unlock()
	for _, w := range list {
		w.notify(e)
	}
}

// happened reports what happened to the file at l, to those who watch its
// directory and to those who watch the file.
func happened(l location, event uint32) {
	if !watches.active() {
		return
	}
	inode := l.inode()
	e := Event{Mask: event | isDirectory(inode)}
	if parent, name, linked := l.entry.Where(); parent != l.entry {
		named := e
		named.Name, named.Unlinked = name, !linked
		watches.tell(parent.Inode(), named)
	}
	watches.tell(inode, e)
}

func isDirectory(inode Inode) uint32 {
	if inode.Type() == syscall.S_IFDIR {
		return syscall.IN_ISDIR
	}
	return 0
}

// named reports that a name in dir, of the file subject, came or went.
func named(dir Inode, name string, subject Inode, event uint32) {
	if watches.active() {
		watches.tell(dir, Event{Mask: event | isDirectory(subject), Name: name})
	}
}

// linksChanged reports that a file has more or fewer names than before. That
// its last use has ended shows as IN_DELETE_SELF.
func linksChanged(inode Inode) {
	if watches.active() {
		watches.tell(inode, Event{Mask: syscall.IN_ATTRIB | isDirectory(inode)})
	}
}

// removed reports that a file is gone, if it has no name left and is not open.
func removed(inode Inode) {
	if !watches.active() {
		return
	}
	if st, err := inode.Stat(); err != nil || st.Nlink != 0 {
		return
	}
	if a, ok := inode.(Acquirer); ok && a.Acquire() {
		a.Release()
		return
	}
	watches.tell(inode, Event{Mask: syscall.IN_DELETE_SELF | isDirectory(inode)})
}

// moved reports that the file subject went from one name to another, in place
// of the file replaced, which may be nil.
func moved(from Inode, name string, to Inode, newName string, subject, replaced Inode) {
	if !watches.active() {
		return
	}
	cookie, dir := watches.cookie.Add(1), isDirectory(subject)
	watches.tell(from, Event{Mask: syscall.IN_MOVED_FROM | dir, Cookie: cookie, Name: name})
	watches.tell(to, Event{Mask: syscall.IN_MOVED_TO | dir, Cookie: cookie, Name: newName})
	if replaced != nil {
		linksChanged(replaced)
	}
	watches.tell(subject, Event{Mask: syscall.IN_MOVE_SELF | dir})
}
