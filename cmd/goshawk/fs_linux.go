package main

import (
	"archive/tar"
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/goshawk-os/goshawk/fs/ext4"
	"github.com/goshawk-os/goshawk/fs/iofs"
	"github.com/goshawk-os/goshawk/fs/pagecache"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

// fsVerbs are what goshawk fs does with an image's file system.
var fsVerbs = map[string]struct {
	least, most int // arguments behind the image
	do          func(w io.Writer, files iofs.FS, arg string) error
}{
	"ls":     {0, 1, listImage},
	"cat":    {1, 1, catImage},
	"df":     {0, 0, func(w io.Writer, files iofs.FS, _ string) error { return freeOfImage(w, files) }},
	"export": {0, 0, func(w io.Writer, files iofs.FS, _ string) error { return exportImage(w, files) }},
}

func fsCommand() *command {
	flags := flag.NewFlagSet("fs", flag.ContinueOnError)
	return &command{
		name:  "fs",
		usage: "mkfs|ls|cat|df|export IMAGE [PATH]",
		short: "use the files of an ext4 image",
		long: `
Fs uses the ext4 file system of an image, by the same code as a guest, without
root. What reads does not change the image: if its journal has something to be done,
as after a power cut, that is done in memory.

	mkfs [-size 1G] [-label NAME] [-block BYTES] [-inode-ratio BYTES]
	     [-journal SIZE] [-no-journal] [-force] IMAGE
	                  make a file system, and with a size the image
	ls IMAGE [PATH]   list a directory, the default is the root
	cat IMAGE PATH    write a file to standard output
	df IMAGE          how much space there is and how much is free
	export IMAGE      write all files to standard output, as a tar archive`,
		examples: `	goshawk fs mkfs -size 1G data.img
	goshawk fs ls data.img /etc
	goshawk fs export data.img | tar t
`,
		flags: flags,
		run: func(args []string) (int, error) {
			if len(args) == 0 {
				return 0, usagef("say what to do: mkfs, ls, cat, df or export")
			}
			if args[0] == "mkfs" {
				return 0, mkfsVerb(args[1:])
			}
			verb, ok := fsVerbs[args[0]]
			switch n := len(args) - 2; {
			case !ok:
				return 0, usagef("%q: there are mkfs, ls, cat, df and export", args[0])
			case n < 0:
				return 0, usagef("name an image")
			case n > verb.most:
				return 0, usagef("%q: too many arguments", args[2+verb.most])
			case n < verb.least:
				return 0, usagef("name a file of the image")
			}
			name := args[1]
			return 0, withImage(name, func(files iofs.FS) error {
				w := bufio.NewWriter(os.Stdout)
				if err := verb.do(w, files, path.Join("/", strings.Join(args[2:], ""))[1:]); err != nil {
					return errors.Join(w.Flush(), fmt.Errorf("%s: %w", name, err))
				}
				return w.Flush()
			})
		},
	}
}

// imagePages is how much of an image's files is kept in memory, in pages.
const imagePages = 16 << 20 / pagecache.PageSize

// withImage has use work on an image's file system.
func withImage(name string, use func(iofs.FS) error) error {
	dev, err := openImage(name, false)
	if err != nil {
		return err
	}
	defer dev.Close()
	pages := pagecache.New(pagecache.Options{Limit: imagePages})
	defer pages.Close()
	mounted, err := ext4.Mount(dev, ext4.Options{Pages: pages, ReadOnly: true, Log: func(text string) { fmt.Fprintf(os.Stderr, "goshawk: %s: %s\n", name, text) }})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return use(iofs.FS{Namespace: vfs.New(mounted)})
}

// listImage lists a directory, or a file by itself.
func listImage(w io.Writer, files iofs.FS, name string) error {
	if name == "" {
		name = "."
	}
	var infos []fs.FileInfo
	st, err := fs.Stat(files, name)
	switch {
	case err != nil:
		return err
	case st.IsDir():
		list, err := fs.ReadDir(files, name)
		if err != nil {
			return err
		}
		for _, e := range list {
			i, err := e.Info()
			if err != nil {
				return err
			}
			infos = append(infos, i)
		}
	default:
		infos = []fs.FileInfo{st}
	}
	table := tabwriter.NewWriter(w, 0, 0, 1, ' ', tabwriter.AlignRight)
	for _, i := range infos {
		st, target := i.Sys().(*syscall.Stat_t), ""
		if i.Mode()&fs.ModeSymlink != 0 {
			if target, err = files.ReadLink(path.Join(name, i.Name())); err != nil {
				return err
			}
			target = " -> " + target
		}
		fmt.Fprintf(table, "%v\t%d\t%d\t%d\t%s\t %s%s\n", i.Mode(), st.Uid, st.Gid, i.Size(), i.ModTime().UTC().Format("2006-01-02 15:04:05"), i.Name(), target)
	}
	return table.Flush()
}

// catImage writes a file.
func catImage(w io.Writer, files iofs.FS, name string) error {
	f, err := files.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// freeOfImage writes how much space there is.
func freeOfImage(w io.Writer, files iofs.FS) error {
	st, err := files.Namespace.Statfs(nil, "/")
	if err != nil {
		return err
	}
	const kib = 1024
	block := uint64(st.Bsize)
	table := tabwriter.NewWriter(w, 0, 0, 1, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "\tall\tused\tfree\t\nKiB\t%d\t%d\t%d\t\ninodes\t%d\t%d\t%d\t\n",
		st.Blocks*block/kib, (st.Blocks-st.Bfree)*block/kib, st.Bavail*block/kib, st.Files, st.Files-st.Ffree, st.Ffree)
	return table.Flush()
}

// exportImage writes all files as a tar archive. Sockets have no place in one.
func exportImage(w io.Writer, files iofs.FS) error {
	archive := tar.NewWriter(w)
	err := fs.WalkDir(files, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || name == "." || e.Type() == fs.ModeSocket {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		target := ""
		if e.Type() == fs.ModeSymlink {
			if target, err = files.ReadLink(name); err != nil {
				return err
			}
		}
		header, err := tar.FileInfoHeader(info, target)
		if err != nil {
			return err
		}
		if header.Name = name; e.IsDir() {
			header.Name += "/"
		}
		if err := archive.WriteHeader(header); err != nil || !e.Type().IsRegular() {
			return err
		}
		return catImage(archive, files, name)
	})
	return errors.Join(err, archive.Close())
}
