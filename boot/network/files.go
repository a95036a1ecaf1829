//go:build goshawk

package network

import (
	"github.com/goshawk-os/goshawk/boot"
	"github.com/goshawk-os/goshawk/fs/procfs"
	"github.com/goshawk-os/goshawk/kernel/linux"
	"github.com/goshawk-os/goshawk/net/netlink"
	"github.com/goshawk-os/goshawk/net/netlink/procnet"
	"github.com/goshawk-os/goshawk/net/netstack"
)

// showFiles adds the files of the network to /proc, and makes /sys. They are made when a program
// first looks for one.
func showFiles(s *netstack.Stack, f *netlink.Family) {
	sys := procfs.New("sysfs")
	show(boot.Proc(), "1/net", func() []procnet.File { return procnet.Net(s, f, linux.Sockets) })
	show(boot.Proc(), "sys/net/core", func() []procnet.File { return procnet.Core(s) })
	show(boot.Proc(), "sys/net/ipv4", func() []procnet.File { return procnet.IPv4(s) })
	show(boot.Proc(), "sys/net/ipv6", func() []procnet.File { return procnet.IPv6(s) })
	show(sys, "class/net", func() []procnet.File {
		var files []procnet.File
		for _, l := range s.Links() {
			for _, f := range procnet.Link(l) {
				files = append(files, procnet.File{Name: l.Name() + "/" + f.Name, Content: f.Content})
			}
		}
		return files
	})
	if err := boot.MountSys(sys); err != nil {
		warn(err.Error())
	}
}

// show adds files to a directory when a program first looks into it.
func show(fs *procfs.FS, directory string, files func() []procnet.File) {
	err := fs.Extend(directory, func() {
		for _, f := range files() {
			if err := fs.AddFile(directory+"/"+f.Name, 0o444, f.Content); err != nil {
				warn(err.Error())
			}
		}
	})
	if err != nil {
		warn(err.Error())
	}
}
