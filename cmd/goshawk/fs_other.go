//go:build !linux

package main

import "errors"

// errLinux says that the file systems need Linux, whose constants and structures they have.
var errLinux = errors.New("the file systems of images are for Linux only")

func fsCommand() *command {
	return &command{
		name:  "fs",
		usage: "...",
		short: "use the files of an ext4 image (on Linux only)",
		run:   func([]string) (int, error) { return 0, errLinux },
	}
}

func newImage(string, int64, imageOptions) error { return errLinux }
