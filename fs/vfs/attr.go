package vfs

import (
	"syscall"

	"github.com/goshawk-os/goshawk/fs/abi"
)

// Stat returns the attributes of a file, as newfstatat(2).
func (ns *Namespace) Stat(dir *File, path string, flags int) (Stat, error) {
	if flags&^(abi.AT_SYMLINK_NOFOLLOW|abi.AT_EMPTY_PATH|abi.AT_NO_AUTOMOUNT) != 0 {
		return Stat{}, syscall.EINVAL
	}
	l, err := ns.resolveAt(dir, path, flags, flags&abi.AT_SYMLINK_NOFOLLOW == 0)
	if err != nil {
		return Stat{}, err
	}
	return l.inode().Stat()
}

// Inode returns the inode at path: the key under which a socket node's listener
// is found, and what a Watch watches. flags is 0 or AT_SYMLINK_NOFOLLOW.
func (ns *Namespace) Inode(dir *File, path string, flags int) (Inode, error) {
	l, err := ns.resolve(dir, path, flags&abi.AT_SYMLINK_NOFOLLOW == 0)
	if err != nil {
		return nil, err
	}
	return l.inode(), nil
}

// Access checks what the superuser may do, as faccessat2(2).
func (ns *Namespace) Access(dir *File, path string, mode uint32, flags int) error {
	if mode&^(abi.R_OK|abi.W_OK|abi.X_OK) != 0 || flags&^(abi.AT_EACCESS|abi.AT_SYMLINK_NOFOLLOW|abi.AT_EMPTY_PATH) != 0 {
		return syscall.EINVAL
	}
	l, err := ns.resolveAt(dir, path, flags, flags&abi.AT_SYMLINK_NOFOLLOW == 0)
	if err != nil || mode == abi.F_OK {
		return err
	}
	st, err := l.inode().Stat()
	if err != nil {
		return err
	}
	typ := st.Mode & syscall.S_IFMT
	if mode&abi.X_OK != 0 && typ != syscall.S_IFDIR && typ != syscall.S_IFLNK && st.Mode&0o111 == 0 {
		return syscall.EACCES
	}
	if mode&abi.W_OK != 0 && (typ == syscall.S_IFREG || typ == syscall.S_IFDIR || typ == syscall.S_IFLNK) {
		return l.writable()
	}
	return nil
}

// Chmod sets the permission bits, as fchmodat2(2).
func (ns *Namespace) Chmod(dir *File, path string, mode uint32, flags int) error {
	l, err := ns.resolveChange(dir, path, flags)
	if err != nil {
		return err
	}
	return chmod(l, mode)
}

// Chown sets owner and group, as fchownat(2). NoID leaves one as it is.
func (ns *Namespace) Chown(dir *File, path string, uid, gid uint32, flags int) error {
	l, err := ns.resolveChange(dir, path, flags)
	if err != nil {
		return err
	}
	return chown(l, uid, gid)
}

// Utimes sets access and modification time, as utimensat(2). UTIME_NOW and
// UTIME_OMIT as nanoseconds mean the present and no change.
func (ns *Namespace) Utimes(dir *File, path string, times [2]syscall.Timespec, flags int) error {
	l, err := ns.resolveChange(dir, path, flags)
	if err != nil {
		return err
	}
	return utimes(l, times)
}

// resolveChange resolves for the calls that change attributes.
func (ns *Namespace) resolveChange(dir *File, path string, flags int) (location, error) {
	if flags&^(abi.AT_SYMLINK_NOFOLLOW|abi.AT_EMPTY_PATH) != 0 {
		return location{}, syscall.EINVAL
	}
	return ns.resolveAt(dir, path, flags, flags&abi.AT_SYMLINK_NOFOLLOW == 0)
}

func chmod(l location, mode uint32) error {
	if err := l.writable(); err != nil {
		return err
	}
	if l.inode().Type() == syscall.S_IFLNK {
		return syscall.EOPNOTSUPP
	}
	return setAttr(l, Attr{Set: SetMode, Mode: mode & 0o7777})
}

func chown(l location, uid, gid uint32) error {
	if err := l.writable(); err != nil {
		return err
	}
	return setAttr(l, Attr{Set: SetOwner, UID: uid, GID: gid})
}

// setAttr changes attributes and reports it. To set one of the times reports
// as the access that it stands for.
func setAttr(l location, a Attr) error {
	if err := l.inode().SetAttr(a); err != nil {
		return err
	}
	switch {
	case a.Set == SetAtime:
		happened(l, syscall.IN_ACCESS)
	case a.Set == SetMtime:
		happened(l, syscall.IN_MODIFY)
	case a.Set == SetOwner && a.UID == NoID && a.GID == NoID:
	default:
		happened(l, syscall.IN_ATTRIB)
	}
	return nil
}

func utimes(l location, times [2]syscall.Timespec) error {
	a := Attr{Atime: times[0], Mtime: times[1]}
	now := Now()
	for i, t := range []*syscall.Timespec{&a.Atime, &a.Mtime} {
		set := SetAtime << i
		switch {
		case t.Nsec == abi.UTIME_OMIT:
		case t.Nsec == abi.UTIME_NOW:
			*t = now
			a.Set |= set
		case t.Nsec < 0 || t.Nsec > 999_999_999:
			return syscall.EINVAL
		default:
			a.Set |= set
		}
	}
	if a.Set == 0 {
		return nil
	}
	if err := l.writable(); err != nil {
		return err
	}
	return setAttr(l, a)
}

// Truncate sets the size of a regular file, as truncate(2).
func (ns *Namespace) Truncate(dir *File, path string, size int64) error {
	if size < 0 {
		return syscall.EINVAL
	}
	l, err := ns.resolve(dir, path, true)
	if err != nil {
		return err
	}
	switch l.inode().Type() {
	case syscall.S_IFREG:
	case syscall.S_IFDIR:
		return syscall.EISDIR
	default:
		return syscall.EINVAL
	}
	if err := l.writable(); err != nil {
		return err
	}
	c, ok := l.inode().(Content)
	if !ok {
		return syscall.EPERM
	}
	if err := c.Truncate(size); err != nil {
		return err
	}
	happened(l, syscall.IN_MODIFY)
	return nil
}

// Statfs describes the file system at path, as statfs(2).
func (ns *Namespace) Statfs(dir *File, path string) (syscall.Statfs_t, error) {
	l, err := ns.resolve(dir, path, true)
	if err != nil {
		return syscall.Statfs_t{}, err
	}
	return statfs(l)
}

func statfs(l location) (syscall.Statfs_t, error) {
	s, err := l.mount.fs.Statfs()
	s.Flags = abi.ST_VALID
	if l.mount.readOnly {
		s.Flags |= abi.ST_RDONLY
	}
	return s, err
}
