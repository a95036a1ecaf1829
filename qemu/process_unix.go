//go:build unix && !linux

package qemu

import "syscall"

// processAttributes puts QEMU in a process group of its own, away from the terminal's signals.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
