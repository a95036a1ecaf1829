package linux

import (
	"syscall"

	"github.com/goshawk-os/goshawk/fs/vfs"
	"github.com/goshawk-os/goshawk/net/socket"
)

// What /proc shows of the process and the machine.

// Descriptors returns the open descriptors in ascending order.
func Descriptors() []int {
	var list []int
	for fd := process.files.next(0); fd >= 0; fd = process.files.next(fd + 1) {
		list = append(list, fd)
	}
	return list
}

// Descriptor returns the file behind a descriptor, with a reference that the caller closes.
func Descriptor(fd int) (*vfs.File, bool) {
	f, err := process.files.get(fd)
	return f, err == 0
}

// Sockets calls yield for each socket that a descriptor leads to, with the number of its inode, until
// yield returns false.
func Sockets(yield func(inode uint64, s socket.Socket) bool) {
	seen := make(map[uint64]bool)
	for fd := process.files.next(0); fd >= 0; fd = process.files.next(fd + 1) {
		s, f, err := socketOf(fd)
		if err != 0 {
			continue
		}
		st, failed := f.Stat()
		more := true
		if failed == nil && !seen[st.Ino] {
			seen[st.Ino] = true
			more = yield(st.Ino, s.socket)
		}
		f.Close()
		if !more {
			return
		}
	}
}

// Threads returns the IDs of the threads in ascending order.
func Threads() []int {
	var list []int
	for tid := nextThread(1); tid != 0; tid = nextThread(tid + 1) {
		list = append(list, tid)
	}
	return list
}

// Thread returns the ID of the calling thread.
func Thread() int { return gettid() }

func isThread(tid int) bool { return tid > 0 && nextThread(tid) == tid }

// ProcessName returns the name that PR_SET_NAME sets.
func ProcessName() string {
	process.mu.Lock()
	defer process.mu.Unlock()
	for i, c := range process.name {
		if c == 0 {
			return string(process.name[:i])
		}
	}
	return string(process.name[:])
}

// Limit returns a resource limit, RLIMIT_*.
func Limit(resource int) syscall.Rlimit {
	l, _ := process.limit(resource)
	return l
}

// Umask returns the permission bits that new files do not get.
func Umask() uint32 { return umask.Load() }

// Memory returns the bytes of memory that the machine has for programs, and how many of them are free.
func Memory() (total, free uint64) { return memInfo() }

// CPUTime returns the CPU time of the program, in nanoseconds.
func CPUTime() int64 { return cpuTime(-1) }

// Uptime returns the time since boot, in nanoseconds.
func Uptime() int64 { return nanotime() }

// BootTime returns the time of boot, in seconds since 1970.
func BootTime() int64 { return (wallNano() - nanotime()) / second }

// Random fills p with random bytes.
func Random(p []byte) { random(p) }

// OpenConsole opens the console: what /dev/console and /dev/tty lead to.
func OpenConsole(int) (vfs.Handle, error) { return &terminalFile{&console}, nil }
