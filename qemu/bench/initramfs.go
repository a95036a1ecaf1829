//go:build linux && amd64

package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// An archive is a cpio archive in the format "newc" (Linux: Documentation/driver-api/early-userspace/
// buffer-format.rst).
type archive struct {
	bytes.Buffer
	inode int
}

// add appends a file. major and minor are a device's numbers.
func (a *archive) add(name string, mode uint32, content []byte, major, minor int) {
	a.inode++
	fmt.Fprintf(a, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", a.inode, mode, 0, 0, 1, 0,
		len(content), 0, 0, major, minor, len(name)+1, 0)
	a.WriteString(name + "\x00")
	a.pad()
	a.Write(content)
	a.pad()
}

func (a *archive) pad() {
	for a.Len()%4 != 0 {
		a.WriteByte(0)
	}
}

// A fileFor is a file of the host that goes into an initramfs.
type fileFor struct {
	host, guest string // paths; the guest's without the leading slash
}

// writeInitramfs writes an initramfs with exe as /init, the devices that Go's start needs, and more
// files, which may be in /modules.
func writeInitramfs(file, exe string, more ...fileFor) error {
	var a archive
	a.add("dev", syscall.S_IFDIR|0o755, nil, 0, 0)
	a.add("dev/console", syscall.S_IFCHR|0o600, nil, 5, 1)
	a.add("dev/null", syscall.S_IFCHR|0o666, nil, 1, 3)
	a.add("modules", syscall.S_IFDIR|0o755, nil, 0, 0)
	for _, f := range append(more, fileFor{exe, "init"}) {
		content, err := os.ReadFile(f.host)
		if err != nil {
			return err
		}
		a.add(f.guest, syscall.S_IFREG|0o755, content, 0, 0)
	}
	a.add("TRAILER!!!", 0, nil, 0, 0)
	return os.WriteFile(file, a.Bytes(), fs.FileMode(0o666))
}
