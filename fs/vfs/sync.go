package vfs

import (
	"slices"
	"syscall"
)

// Sync writes the file back to what it is stored on, as fsync(2): EINVAL for
// what cannot be synchronised (pipes, sockets).
func (f *File) Sync() error { return f.sync(false) }

// DataSync is Sync for what is needed to read the data, as fdatasync(2).
func (f *File) DataSync() error { return f.sync(true) }

func (f *File) sync(data bool) error {
	if f.isPath() {
		return syscall.EBADF
	}
	if f.handle != nil {
		return syscall.EINVAL
	}
	// A disk has what is to be synchronised in its content.
	for _, x := range [2]any{f.content, f.Inode()} {
		if d, ok := x.(DataSyncer); ok && data {
			return d.DataSync()
		}
		if s, ok := x.(Syncer); ok {
			return s.Sync()
		}
	}
	return nil
}

// SyncRange writes n bytes from off on back, to the end if n is 0, as
// sync_file_range(2).
func (f *File) SyncRange(off, n int64) error {
	if f.isPath() {
		return syscall.EBADF
	}
	if f.handle != nil {
		return syscall.ESPIPE
	}
	if r, ok := f.content.(RangeSyncer); ok {
		if n == 0 {
			n = max(f.content.Size()-off, 0)
		}
		return r.SyncRange(off, n)
	}
	return nil
}

// SyncFS synchronises the file system that the file lies in, as syncfs(2).
func (f *File) SyncFS() error {
	if f.isPath() {
		return syscall.EBADF
	}
	if f.loc.mount == nil {
		return nil
	}
	if s, ok := f.loc.mount.fs.(Syncer); ok {
		return s.Sync()
	}
	return nil
}

// settle makes what was just written lasting if the file was opened with O_SYNC
// or O_DSYNC.
func (f *File) settle() error {
	switch flags := f.Flags(); {
	case flags&syscall.O_DSYNC == 0 || f.Inode().Type() != syscall.S_IFREG: // a disk looks at the flags itself
		return nil
	case flags&syscall.O_SYNC == syscall.O_SYNC:
		return f.Sync()
	}
	return f.DataSync()
}

// settled turns the result of a write that could not be made lasting into an error.
func settled(n int, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	return n, nil
}

// Sync synchronises all file systems, as sync(2), and returns the first error.
func (ns *Namespace) Sync() error {
	var first error
	for _, m := range ns.table.Load().list {
		if s, ok := m.fs.(Syncer); ok {
			if err := s.Sync(); err != nil && first == nil {
				first = err
			}
		}
	}
	return first
}

// Unmount leaves all file systems in order, the last mounted first, for the end
// of the machine: they stay mounted, and can only be read. report is told of those that could not be.
func (ns *Namespace) Unmount(report func(path string, err error)) {
	for _, m := range slices.Backward(ns.table.Load().list) {
		if u, ok := m.fs.(Unmounter); ok {
			if err := u.Unmount(); err != nil {
				path, _ := ns.path(location{m, m.root})
				report(path, err)
			}
		}
	}
}

// MustUnmount reports whether there is anything that Unmount has to do.
func (ns *Namespace) MustUnmount() bool {
	return slices.ContainsFunc(ns.table.Load().list, func(m *mount) bool {
		_, ok := m.fs.(Unmounter)
		return ok && !m.readOnly
	})
}
