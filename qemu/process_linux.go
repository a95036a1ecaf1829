package qemu

import "syscall"

// processAttributes puts QEMU in a process group of its own, away from the terminal's signals, and
// has it end with this process.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
