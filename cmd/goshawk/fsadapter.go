package main

import (
	"encoding/binary"
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

// An imageFS shows the files of a namespace as an io/fs.FS with symbolic links.
type imageFS struct{ ns *vfs.Namespace }

var (
	_ fs.ReadDirFS  = imageFS{}
	_ fs.ReadLinkFS = imageFS{}
)

type imageFile struct {
	*vfs.File
	name string
}

type imageInfo struct {
	name string
	st   vfs.Stat
}

// Open implements fs.FS.
func (i imageFS) Open(name string) (fs.File, error) {
	f, err := i.open(name)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (i imageFS) open(name string) (imageFile, error) {
	if !fs.ValidPath(name) {
		return imageFile{}, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	f, err := i.ns.Open(nil, "/"+name, syscall.O_RDONLY, 0)
	if err != nil {
		return imageFile{}, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return imageFile{f, path.Base(name)}, nil
}

// Stat implements fs.File.
func (f imageFile) Stat() (fs.FileInfo, error) {
	st, err := f.File.Stat()
	return imageInfo{f.name, st}, err
}

// Read implements fs.File.
func (f imageFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	if n == 0 && err == nil && len(p) > 0 {
		return 0, io.EOF
	}
	return n, err
}

// Lstat implements fs.ReadLinkFS.
func (i imageFS) Lstat(name string) (fs.FileInfo, error) {
	st, err := i.ns.Stat(nil, "/"+name, abi.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return nil, &fs.PathError{Op: "lstat", Path: name, Err: err}
	}
	return imageInfo{path.Base(name), st}, nil
}

// ReadLink implements fs.ReadLinkFS.
func (i imageFS) ReadLink(name string) (string, error) {
	target, err := i.ns.Readlink(nil, "/"+name)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	return target, nil
}

// ReadDir implements fs.ReadDirFS: the names are sorted.
func (i imageFS) ReadDir(name string) ([]fs.DirEntry, error) {
	f, err := i.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []fs.DirEntry
	buf := make([]byte, 64<<10)
	for {
		n, err := f.File.ReadDir(buf)
		if err != nil {
			return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
		}
		if n == 0 {
			break
		}
		for _, entry := range entryNames(buf[:n]) {
			if entry == "." || entry == ".." {
				continue
			}
			info, err := i.Lstat(path.Join(name, entry))
			if err != nil {
				return nil, err
			}
			list = append(list, fs.FileInfoToDirEntry(info))
		}
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list, nil
}

// entryNames returns the names in records of getdents64(2).
func entryNames(p []byte) (names []string) {
	const reclen, name = 16, 19 // offsets
	for len(p) > 0 {
		size := binary.NativeEndian.Uint16(p[reclen:])
		text, _, _ := strings.Cut(string(p[name:size]), "\x00")
		names = append(names, text)
		p = p[size:]
	}
	return names
}

// Name, Size, IsDir, ModTime, Sys and Mode implement fs.FileInfo.
func (i imageInfo) Name() string       { return i.name }
func (i imageInfo) Size() int64        { return i.st.Size }
func (i imageInfo) IsDir() bool        { return i.Mode().IsDir() }
func (i imageInfo) ModTime() time.Time { return time.Unix(i.st.Mtime.Sec, i.st.Mtime.Nsec) }

// Sys returns a *syscall.Stat_t.
func (i imageInfo) Sys() any {
	st := i.st.Sys()
	return &st
}

// Mode implements fs.FileInfo.
func (i imageInfo) Mode() fs.FileMode {
	mode := fs.FileMode(i.st.Mode & 0o777)
	for _, bit := range []struct {
		linux uint32
		mode  fs.FileMode
	}{{syscall.S_ISUID, fs.ModeSetuid}, {syscall.S_ISGID, fs.ModeSetgid}, {syscall.S_ISVTX, fs.ModeSticky}} {
		if i.st.Mode&bit.linux != 0 {
			mode |= bit.mode
		}
	}
	return mode | map[uint32]fs.FileMode{
		syscall.S_IFDIR: fs.ModeDir, syscall.S_IFLNK: fs.ModeSymlink, syscall.S_IFIFO: fs.ModeNamedPipe, syscall.S_IFSOCK: fs.ModeSocket,
		syscall.S_IFBLK: fs.ModeDevice, syscall.S_IFCHR: fs.ModeDevice | fs.ModeCharDevice,
	}[i.st.Mode&syscall.S_IFMT]
}
