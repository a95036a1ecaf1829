// Package iofs shows the files of a namespace as package io/fs has them, for what works on any tree of
// files: archives, listings, the tests of testing/fstest.
package iofs

import (
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// FS is a namespace from its root on. Errors are a *fs.PathError with an errno in it.
type FS struct{ Namespace *vfs.Namespace }

var (
	_ fs.ReadLinkFS  = FS{}
	_ fs.ReadDirFile = (*file)(nil)
	_ io.ReaderAt    = (*file)(nil)
	_ io.Seeker      = (*file)(nil)
)

type file struct {
	f    *vfs.File
	fsys FS
	name string   // from the root of fsys
	rest []string // names that were read and not handed out
}

type info struct {
	name string
	st   vfs.Stat
}

func failed(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

// Open implements fs.FS.
func (s FS) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, failed("open", name, fs.ErrInvalid)
	}
	f, err := s.Namespace.Open(nil, "/"+name, syscall.O_RDONLY, 0)
	if err != nil {
		return nil, failed("open", name, err)
	}
	return &file{f: f, fsys: s, name: name}, nil
}

// Lstat implements fs.ReadLinkFS.
func (s FS) Lstat(name string) (fs.FileInfo, error) {
	if !fs.ValidPath(name) {
		return nil, failed("lstat", name, fs.ErrInvalid)
	}
	st, err := s.Namespace.Stat(nil, "/"+name, abi.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return nil, failed("lstat", name, err)
	}
	return info{path.Base(name), st}, nil
}

// ReadLink implements fs.ReadLinkFS.
func (s FS) ReadLink(name string) (string, error) {
	if !fs.ValidPath(name) {
		return "", failed("readlink", name, fs.ErrInvalid)
	}
	target, err := s.Namespace.Readlink(nil, "/"+name)
	if err != nil {
		return "", failed("readlink", name, err)
	}
	return target, nil
}

// Stat implements fs.File.
func (f *file) Stat() (fs.FileInfo, error) {
	st, err := f.f.Stat()
	return info{path.Base(f.name), st}, err
}

// Read implements fs.File.
func (f *file) Read(p []byte) (int, error) {
	n, err := f.f.Read(p)
	if err == nil && n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, err
}

// Seek implements io.Seeker.
func (f *file) Seek(off int64, whence int) (int64, error) {
	f.rest = nil
	return f.f.Seek(off, whence)
}

// ReadAt implements io.ReaderAt.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.f.Pread(p, off)
	if err == nil && n < len(p) {
		return n, io.EOF
	}
	return n, err
}

// Close implements fs.File.
func (f *file) Close() error { return f.f.Close() }

// recordsSize is how much of a directory is read at once, in bytes: several records of getdents64(2), of which the
// longest take 280.
const recordsSize = 1024

// ReadDir implements fs.ReadDirFile. All entries of a directory are sorted by name.
func (f *file) ReadDir(n int) ([]fs.DirEntry, error) {
	var list []fs.DirEntry
	var buf [recordsSize]byte
	for n <= 0 || len(list) < n {
		if len(f.rest) == 0 {
			got, err := f.f.ReadDir(buf[:])
			if err != nil {
				return list, failed("readdir", f.name, err)
			}
			if got == 0 {
				if n > 0 && len(list) == 0 {
					return nil, io.EOF
				}
				break
			}
			_, _, f.rest = syscall.ParseDirent(buf[:got], -1, nil) // without "." and ".."
			continue
		}
		i, err := f.fsys.Lstat(path.Join(f.name, f.rest[0]))
		if err != nil {
			return list, err
		}
		f.rest = f.rest[1:]
		list = append(list, fs.FileInfoToDirEntry(i))
	}
	if n <= 0 {
		slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	}
	return list, nil
}

// Name, Size, IsDir, ModTime and the rest implement fs.FileInfo.
func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.st.Size }
func (i info) IsDir() bool        { return i.Mode().IsDir() }
func (i info) ModTime() time.Time { return time.Unix(i.st.Mtime.Sec, i.st.Mtime.Nsec) }

// Sys returns a *syscall.Stat_t, as package os does.
func (i info) Sys() any {
	st := i.st.Sys()
	return &st
}

func (i info) Mode() fs.FileMode {
	mode := fs.FileMode(i.st.Mode & 0o777)
	for _, bit := range [...]struct {
		linux uint32
		mode  fs.FileMode
	}{{syscall.S_ISUID, fs.ModeSetuid}, {syscall.S_ISGID, fs.ModeSetgid}, {syscall.S_ISVTX, fs.ModeSticky}} {
		if i.st.Mode&bit.linux != 0 {
			mode |= bit.mode
		}
	}
	switch i.st.Mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		mode |= fs.ModeDir
	case syscall.S_IFLNK:
		mode |= fs.ModeSymlink
	case syscall.S_IFIFO:
		mode |= fs.ModeNamedPipe
	case syscall.S_IFSOCK:
		mode |= fs.ModeSocket
	case syscall.S_IFBLK:
		mode |= fs.ModeDevice
	case syscall.S_IFCHR:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	}
	return mode
}
