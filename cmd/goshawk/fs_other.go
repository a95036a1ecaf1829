//go:build !linux

package main

import "errors"

// fsCommand says that the file systems need Linux, whose constants and structures they have.
func fsCommand() *command {
	return &command{
		name:  "fs",
		usage: "...",
		short: "read the files of an ext4 image (on Linux only)",
		run:   func([]string) (int, error) { return 0, errors.New("goshawk fs runs on Linux only") },
	}
}
