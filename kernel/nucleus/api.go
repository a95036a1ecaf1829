package nucleus

import (
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// The functions here are for thread mode: the kernel above the nucleus.

// Raw makes one of the nucleus's system calls (syscall.go) with Linux's number
// and arguments. Addresses among the arguments must stay valid: they belong to
// globals, the heap, or a caller that may not be moved.
//
//go:noescape
func Raw(num, a1, a2, a3, a4, a5, a6 uintptr) (r1 uintptr, err syscall.Errno)

// ConsoleWrite sends all of p to the serial port before it returns.
func ConsoleWrite(p []byte) {
	if len(p) > 0 {
		Raw(syscall.SYS_WRITE, 1, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), 0, 0, 0)
		runtime.KeepAlive(p)
	}
}

// ConsoleRead takes up to len(p) bytes that the serial port has received, and
// returns how many there were. One goroutine may call it at a time.
func ConsoleRead(p []byte) int {
	if len(p) == 0 {
		return 0
	}
	n, _ := Raw(callConsoleRead, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), 0, 0, 0, 0)
	runtime.KeepAlive(p)
	return int(n)
}

// CommandLine returns the kernel's command line as the loader gave it.
func CommandLine() string {
	return unsafe.String((*byte)(at(commandLine)), commandLineSize)
}

// Module returns the boot module (initrd), nil if there is none. It is never
// freed and may not be written to.
func Module() []byte {
	if moduleSize == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(at(module)), moduleSize)
}

// EmbeddedRoot returns the tar that the image was built with, nil if there is
// none. It may not be written to.
func EmbeddedRoot() []byte {
	if rootSize == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(at(root)), rootSize)
}

// Image returns the program's ELF file as far as it is in memory: without sections
// and symbols. It may not be written to; the data in it are the program's own.
func Image() []byte { return unsafe.Slice((*byte)(at(imageBase)), imageSize) }

// Exit ends the machine with an exit status. It does not return.
func Exit(code int) {
	Raw(syscall.SYS_EXIT_GROUP, uintptr(code), 0, 0, 0, 0, 0)
}

// Nanotime returns the nanoseconds since boot.
func Nanotime() int64 { return nanotime() }

// Walltime returns the time since 1970, in seconds and nanoseconds.
func Walltime() (sec int64, nsec int32) {
	t := nanotime() + clock.wall
	return t / 1_000_000_000, int32(t % 1_000_000_000)
}

// AdjustWall adds ns nanoseconds to the time since 1970.
func AdjustWall(ns int64) { atomic.AddInt64(&clock.wall, ns) }

// CPUTime returns the CPU time of a thread in nanoseconds, or with -1 of all
// threads that exist.
func CPUTime(tid int) int64 {
	n, _ := Raw(callCPUTime, uintptr(tid), 0, 0, 0, 0, 0)
	return int64(n)
}

// Random fills p with random bytes.
func Random(p []byte) {
	if len(p) > 0 {
		Raw(callRandom, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), 0, 0, 0, 0)
		runtime.KeepAlive(p)
	}
}

// Mmap maps anonymous private memory; the arguments are those of mmap(2).
func Mmap(addr, length uintptr, prot, flags int) (uintptr, syscall.Errno) {
	return Raw(syscall.SYS_MMAP, addr, length, uintptr(prot), uintptr(flags), 0, 0)
}

// Munmap is munmap(2).
func Munmap(addr, length uintptr) syscall.Errno {
	_, err := Raw(syscall.SYS_MUNMAP, addr, length, 0, 0, 0, 0)
	return err
}

// Mprotect is mprotect(2).
func Mprotect(addr, length uintptr, prot int) syscall.Errno {
	_, err := Raw(syscall.SYS_MPROTECT, addr, length, uintptr(prot), 0, 0, 0)
	return err
}

// Madvise is madvise(2).
func Madvise(addr, length uintptr, advice int) syscall.Errno {
	_, err := Raw(syscall.SYS_MADVISE, addr, length, uintptr(advice), 0, 0, 0)
	return err
}

// MemInfo returns how much memory the machine has for programs, and how much of
// it is free, in bytes.
func MemInfo() (total, free uint64) { return totalFrames << pageShift, freeFrames << pageShift }

// WatchMemory has LineMemory raised, once, when a page fault leaves less than so many
// bytes free.
func WatchMemory(free uint64) { atomic.StoreUint64(&memoryMark, free>>pageShift) }

// NumCPU returns the number of CPUs that run.
func NumCPU() int { return int(cpuCount) }

// Gettid returns the ID of the calling thread.
func Gettid() int {
	n, _ := Raw(syscall.SYS_GETTID, 0, 0, 0, 0, 0, 0)
	return int(n)
}

// NextThread returns the lowest ID of a thread that is at least tid, 0 if there
// is none.
func NextThread(tid int) int {
	n, _ := Raw(callNextThread, uintptr(tid), 0, 0, 0, 0, 0)
	return int(n)
}

// CPU returns the number of the CPU that runs the caller now.
func CPU() int {
	n, _ := Raw(callCPU, 0, 0, 0, 0, 0, 0)
	return int(n)
}

// Kill sends a signal to a thread, or with tid 0 to the process.
func Kill(tid, sig int) syscall.Errno {
	if tid == 0 {
		_, err := Raw(syscall.SYS_KILL, processID, uintptr(sig), 0, 0, 0, 0)
		return err
	}
	_, err := Raw(syscall.SYS_TGKILL, processID, uintptr(tid), uintptr(sig), 0, 0, 0)
	return err
}
