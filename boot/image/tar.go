package image

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// A TarOptions value says what WriteTar leaves out and where it puts the
// rest.
type TarOptions struct {
	Prefix  string   // slash-separated directory in the archive; "" is its root
	Exclude []string // slash-separated paths below dir, left out with all below them
}

// WriteTar writes the files below dir to w as a tar that depends on their
// names, contents, permission bits and modification times (in seconds) only:
// names are sorted, and there are no owners. It holds directories, regular
// files and symbolic links; anything else is an error.
func WriteTar(w io.Writer, dir string, o TarOptions) error {
	tw := tar.NewWriter(w)
	stat, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !stat.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	prefix := strings.Trim(path.Clean("/"+o.Prefix), "/")
	for i, c := range prefix + "/" {
		if i > 0 && c == '/' {
			if err := writeEntry(tw, stat, prefix[:i], dir); err != nil {
				return err
			}
		}
	}
	// WalkDir on the path with a separator, so that a symbolic link to a
	// directory is followed, as a command line argument should be.
	err = filepath.WalkDir(dir+string(filepath.Separator), func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil || rel == "." {
			return err
		}
		rel = filepath.ToSlash(rel)
		if slices.Contains(o.Exclude, rel) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return writeEntry(tw, info, path.Join(prefix, rel), name)
	})
	if err != nil {
		return err
	}
	return tw.Close()
}

// writeEntry writes one directory, regular file or symbolic link, which is
// found at file.
func writeEntry(tw *tar.Writer, info fs.FileInfo, name, file string) error {
	h := &tar.Header{
		Name:    name,
		Mode:    int64(info.Mode().Perm()),
		ModTime: info.ModTime().Truncate(1e9),
	}
	for bit, value := range map[fs.FileMode]int64{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if info.Mode()&bit != 0 {
			h.Mode |= value
		}
	}
	switch info.Mode().Type() {
	case fs.ModeDir:
		h.Typeflag = tar.TypeDir
		h.Name += "/"
		return tw.WriteHeader(h)
	case fs.ModeSymlink:
		target, err := os.Readlink(file)
		if err != nil {
			return err
		}
		h.Typeflag, h.Linkname = tar.TypeSymlink, filepath.ToSlash(target)
		return tw.WriteHeader(h)
	case 0:
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		h.Typeflag, h.Size = tar.TypeReg, info.Size()
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		if n, err := io.CopyN(tw, f, h.Size); err == io.EOF {
			return fmt.Errorf("%s became shorter while it was read: %d bytes of %d", file, n, h.Size)
		} else if err != nil {
			return err
		}
		return nil
	}
	return fmt.Errorf("%s is a %s; an image holds directories, regular files and symbolic links only: remove it or choose another directory",
		file, typeName(info.Mode()))
}

// typeName says what kind of file m is, for errors.
func typeName(m fs.FileMode) string {
	switch m.Type() {
	case fs.ModeSocket:
		return "socket"
	case fs.ModeNamedPipe:
		return "named pipe"
	}
	return "device"
}
