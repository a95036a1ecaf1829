//go:build linux && amd64

package main

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// confinedVerb is the first argument that makes this program a launcher.
const confinedVerb = "confined"

// runConfined replaces this process by the program args[0], with the same name and arguments, on a
// Linux that has no processes to give.
func runConfined(args []string) error {
	// The filter is the thread's, and exec keeps the filter of the thread that calls it.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("setting no_new_privs: %w", err)
	}
	filter := confinement()
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
		return fmt.Errorf("installing the seccomp filter: %w", err)
	}
	return fmt.Errorf("starting %s: %w", args[0], unix.Exec(args[0], args, os.Environ()))
}

// confinement is a filter that refuses with the error of the guest what it does not have: fork, vfork,
// clone3 and clone of anything but a thread, with ENOSYS.
func confinement() []unix.SockFilter {
	// Offsets in struct seccomp_data (linux/seccomp.h): the call's number, and its first argument.
	const number, argument = 0, 16
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	answer := func(value uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: value}
	}
	// unless skips n instructions if the comparison with k is false.
	unless := func(comparison uint16, k uint32, n uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | comparison | unix.BPF_K, K: k, Jf: n}
	}
	const refuse = unix.SECCOMP_RET_ERRNO
	filter := []unix.SockFilter{load(number)}
	for _, call := range []uint32{unix.SYS_FORK, unix.SYS_VFORK, unix.SYS_CLONE3} {
		filter = append(filter, unless(unix.BPF_JEQ, call, 1), answer(refuse|uint32(unix.ENOSYS)))
	}
	return append(filter,
		unless(unix.BPF_JEQ, unix.SYS_CLONE, 3),
		load(argument),
		unless(unix.BPF_JSET, unix.CLONE_THREAD, 2),
		answer(unix.SECCOMP_RET_ALLOW),
		answer(unix.SECCOMP_RET_ALLOW),
		answer(refuse|uint32(unix.ENOSYS)),
	)
}
