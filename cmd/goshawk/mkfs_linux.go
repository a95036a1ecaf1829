package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/goshawk-os/goshawk/fs/ext4/mkfs"
	"github.com/goshawk-os/goshawk/qemu"
)

// mkfsVerb is goshawk fs mkfs, which has flags of its own.
func mkfsVerb(args []string) error {
	var o imageOptions
	var size, journal qemu.Size
	var force bool
	flags := flag.NewFlagSet("fs mkfs", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Var(&size, "size", "`size` of the image if there is none, such as 1G")
	flags.StringVar(&o.label, "label", "", "`name` of the file system, at most 16 bytes")
	flags.IntVar(&o.blockSize, "block", 0, "`bytes` of a block: 1024, 2048 or 4096; by default 4096 from 512M on, else 1024")
	flags.Uint64Var(&o.inodeRatio, "inode-ratio", 0, "`bytes` of the image for each file that there can be; by default 16384, in small images 4096")
	flags.Var(&journal, "journal", "`size` of the journal; by default it follows that of the image")
	flags.BoolVar(&o.noJournal, "no-journal", false, "no journal: a power cut may damage the file system")
	flags.BoolVar(&force, "force", false, "also if the image holds something")
	var names []string
	for len(args) > 0 { // flags may stand behind the image
		if err := flags.Parse(args); err != nil {
			var text bytes.Buffer
			flags.SetOutput(&text)
			flags.PrintDefaults()
			return usagef("mkfs: %v; its flags are\n%s", err, text.String())
		}
		if args = flags.Args(); len(args) > 0 {
			names, args = append(names, args[0]), args[1:]
		}
	}
	if len(names) != 1 {
		return usagef("mkfs: name one image")
	}
	o.journal = uint64(journal)
	name := names[0]
	switch info, err := os.Stat(name); {
	case errors.Is(err, fs.ErrNotExist) && size == 0:
		return fmt.Errorf("%s does not exist; with a size it is made: goshawk fs mkfs -size 1G %s", name, name)
	case errors.Is(err, fs.ErrNotExist):
		return newImage(name, int64(size), o)
	case err != nil:
		return err
	case size != 0 && info.Mode().IsRegular() && info.Size() != int64(size):
		return fmt.Errorf("%s has %d bytes already: leave -size out, or remove the file", name, info.Size())
	}
	dev, err := openImage(name, true)
	if err != nil {
		return err
	}
	defer dev.Close()
	if !force {
		if err := dev.blank(); err != nil {
			return err
		}
	}
	return format(dev, name, o)
}

// blank returns an error if the beginning of the image, where file systems and tables of partitions
// have their marks, is not all zero.
func (d *imageDevice) blank() error {
	p := make([]byte, 128<<10)
	n, err := d.file.ReadAt(p, 0)
	if err != nil && err != io.EOF {
		return err
	}
	if len(bytes.Trim(p[:n], "\x00")) > 0 {
		return fmt.Errorf("%s holds something already, which would be lost; -force does it", d.file.Name())
	}
	return nil
}

// newImage makes an image file with a file system. Without success there is no such file.
func newImage(name string, size int64, o imageOptions) (err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o666)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(name)
		}
	}()
	err = f.Truncate(size)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	dev, err := openImage(name, true)
	if err != nil {
		return err
	}
	defer dev.Close()
	return format(dev, name, o)
}

func format(dev *imageDevice, name string, o imageOptions) error {
	r, err := mkfs.Format(dev, mkfs.Options{
		BlockSize: o.blockSize, InodeRatio: o.inodeRatio, JournalSize: o.journal, NoJournal: o.noJournal, Label: o.label,
		UUID: newUUID(), HashSeed: newUUID(), Time: time.Now(),
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	fmt.Fprintf(os.Stderr, "goshawk: %s: ext4 with %d blocks of %d bytes, %d inodes, a journal of %d blocks\n",
		name, r.Blocks, r.BlockSize, r.Inodes, r.JournalBlocks)
	return nil
}

// newUUID returns a random UUID (RFC 9562, version 4).
func newUUID() (u [16]byte) {
	rand.Read(u[:])
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return u
}
