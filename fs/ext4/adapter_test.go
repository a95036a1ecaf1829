package ext4_test

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// adapter shows a Namespace as an io/fs.FS, for testing/fstest.
type adapter struct{ ns *vfs.Namespace }

type openFile struct {
	f    *vfs.File
	name string
	fsys adapter
	path string
}

type info struct {
	name string
	st   vfs.Stat
}

func (a adapter) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	f, err := a.ns.Open(nil, "/"+name, syscall.O_RDONLY, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &openFile{f, name[strings.LastIndexByte(name, '/')+1:], a, "/" + name}, nil
}

func (o *openFile) Stat() (fs.FileInfo, error) {
	st, err := o.f.Stat()
	return info{o.name, st}, err
}

func (o *openFile) Read(p []byte) (int, error) {
	n, err := o.f.Read(p)
	if err == nil && n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, err
}

func (o *openFile) Seek(off int64, whence int) (int64, error) { return o.f.Seek(off, whence) }

func (o *openFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := o.f.Pread(p, off)
	if err == nil && n < len(p) {
		return n, io.EOF
	}
	return n, err
}

func (o *openFile) Close() error { return o.f.Close() }

func (o *openFile) ReadDir(n int) ([]fs.DirEntry, error) {
	var list []fs.DirEntry
	buf := make([]byte, 300)
	for n <= 0 || len(list) < n {
		if n > 0 {
			// One record at a time, for what does not fit the answer has to
			// come with the next call.
			buf = buf[:32]
		}
		got, err := o.f.ReadDir(buf)
		if errors.Is(err, syscall.EINVAL) && len(buf) < cap(buf) {
			got, err = o.f.ReadDir(buf[:cap(buf)])
		}
		if err != nil {
			return list, err
		}
		if got == 0 {
			if n > 0 && len(list) == 0 {
				return nil, io.EOF
			}
			break
		}
		for _, e := range parse(buf[:cap(buf)][:got]) {
			if e.name == "." || e.name == ".." {
				continue
			}
			st, err := o.fsys.ns.Stat(nil, o.path+"/"+e.name, abi.AT_SYMLINK_NOFOLLOW)
			if err != nil {
				return list, err
			}
			list = append(list, fs.FileInfoToDirEntry(info{e.name, st}))
		}
	}
	if n <= 0 {
		sort.Slice(list, func(i, j int) bool { return list[i].Name() < list[j].Name() })
	}
	return list, nil
}

type dirent struct {
	name string
	off  int64
}

func parse(p []byte) (list []dirent) {
	for len(p) > 0 {
		size := binary.NativeEndian.Uint16(p[16:])
		name, _, _ := strings.Cut(string(p[19:size]), "\x00")
		list = append(list, dirent{name, int64(binary.NativeEndian.Uint64(p[8:]))})
		p = p[size:]
	}
	return list
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.st.Size }
func (i info) IsDir() bool        { return i.Mode().IsDir() }
func (i info) Sys() any           { return i.st }
func (i info) ModTime() time.Time { return time.Unix(i.st.Mtime.Sec, i.st.Mtime.Nsec) }
func (i info) Mode() fs.FileMode {
	mode := fs.FileMode(i.st.Mode & 0o777)
	switch i.st.Mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		mode |= fs.ModeDir
	case syscall.S_IFLNK:
		mode |= fs.ModeSymlink
	}
	return mode
}
