package boot

import (
	"errors"
	"strings"
	"syscall"

	"github.com/goshawk-os/goshawk/fs/devfs"
	"github.com/goshawk-os/goshawk/fs/tarfs"
	"github.com/goshawk-os/goshawk/fs/tmpfs"
	"github.com/goshawk-os/goshawk/fs/vfs"
	"github.com/goshawk-os/goshawk/kernel/linux"
)

// directories are those that every root has.
var directories = []struct {
	path string
	mode uint32
}{
	{"/dev", 0o755}, {"/proc", 0o555}, {"/etc", 0o755}, {"/tmp", 0o1777},
	{"/usr", 0o755}, {"/usr/bin", 0o755},
}

// defaults are the files that a root has if it brings none of that name.
var defaults = []struct{ path, text string }{
	{"/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"},
	{"/etc/group", "root:x:0:\nnobody:x:65534:\n"},
}

// newRoot returns a name space on a file system in memory, which may grow to limit bytes and begins
// with the files of archive, if there is one. They are served from archive.
func newRoot(archive []byte, limit int64) (*vfs.Namespace, error) {
	o := tmpfs.Options{Limit: limit, Type: "tmpfs"}
	var fs *tmpfs.FS
	if archive == nil {
		fs = tmpfs.New(o)
	} else {
		var err error
		if fs, err = tarfs.New(archive, o); err != nil {
			return nil, errors.New("the files of the image: " + err.Error())
		}
	}
	space := vfs.New(fs)
	umask := space.Umask(0)
	defer space.Umask(umask)
	for _, d := range directories {
		if err := space.Mkdir(nil, d.path, d.mode); err != nil && err != syscall.EEXIST {
			return nil, errors.New("cannot make " + d.path + ": " + err.Error())
		}
	}
	for _, d := range defaults {
		f, err := space.Open(nil, d.path, syscall.O_CREAT|syscall.O_EXCL|syscall.O_WRONLY, 0o644)
		if err == syscall.EEXIST {
			continue
		}
		if err == nil {
			_, err = f.Write([]byte(d.text))
			f.Close()
		}
		if err != nil {
			return nil, errors.New("cannot make " + d.path + ": " + err.Error())
		}
	}
	return space, nil
}

// addProgram makes the program's image a file at its own path, unless there is one.
func addProgram(space *vfs.Namespace, path string, image []byte) error {
	path = absolute(path)
	end := strings.LastIndexByte(path, '/')
	err := makeAll(space, path[:end])
	if err == nil {
		var f *vfs.File
		f, err = space.Open(nil, path, syscall.O_CREAT|syscall.O_EXCL|syscall.O_WRONLY, 0o755)
		if err == syscall.EEXIST {
			return nil
		}
		if err == nil {
			f.Close()
			var inode vfs.Inode
			if inode, err = space.Inode(nil, path, 0); err == nil {
				err = tmpfs.Refer(inode, image)
			}
		}
	}
	if err != nil {
		return errors.New("the program's file " + path + ": " + err.Error())
	}
	return nil
}

// absolute returns the path of a program that was started in the root directory.
func absolute(path string) string {
	if strings.HasPrefix(path, "/") {
		return path
	}
	return "/" + path
}

// mountModule mounts the boot module, a tar, at the directory that option tar names. The files there
// may grow to limit bytes.
func mountModule(space *vfs.Namespace, path string, module []byte, limit int64) error {
	if path == "" {
		return nil
	}
	if module == nil {
		return errors.New("option tar=" + path + ": the loader gave no boot module; pass one with -initrd")
	}
	fs, err := tarfs.New(module, tmpfs.Options{Limit: limit})
	if err == nil {
		err = makeAll(space, path)
	}
	if err == nil {
		err = space.Mount(path, fs, "module", false)
	}
	if err != nil {
		return errors.New("boot module at " + path + ": " + err.Error())
	}
	return nil
}

// makeAll makes a directory and those above it.
func makeAll(space *vfs.Namespace, path string) error {
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		if err := space.Mkdir(nil, path[:i], 0o755); err != nil && err != syscall.EEXIST {
			return err
		}
	}
	return nil
}

// mountDevices mounts /dev. entropy fills memory with random bytes; addDisks registers the disks when
// somebody first looks for them.
func mountDevices(space *vfs.Namespace, entropy func([]byte), addDisks func(*devfs.FS)) error {
	var dev *devfs.FS
	dev = devfs.New(entropy, func() { addDisks(dev) })
	for minor, name := range []string{"tty", "console"} {
		if err := dev.Register(name, 0o620, vfs.Dev(5, uint32(minor)), linux.OpenConsole); err != nil {
			return errors.New("cannot make /dev/" + name + ": " + err.Error())
		}
	}
	space.OpenDevice = dev.OpenDevice
	if err := space.Mount("/dev", dev, "dev", false); err != nil {
		return errors.New("cannot mount /dev: " + err.Error())
	}
	return nil
}

func changeDirectory(space *vfs.Namespace, path string) error {
	if path == "" {
		return nil
	}
	if err := space.Chdir(path); err != nil {
		return errors.New("option cwd=" + path + ": " + err.Error())
	}
	return nil
}
