//go:build !goshawk

package linux

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestIdentity(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("compares with what Linux answers root")
	}
	both(t, func(k *kernel) {
		for _, num := range []uintptr{syscall.SYS_GETUID, syscall.SYS_GETEUID, syscall.SYS_GETGID, syscall.SYS_GETEGID} {
			k.do("get", num)
		}
		ids := new([3]uint32)
		k.do("getresuid", syscall.SYS_GETRESUID, unsafe.Pointer(&ids[0]), unsafe.Pointer(&ids[1]), unsafe.Pointer(&ids[2]))
		k.do("getresuid nil", syscall.SYS_GETRESUID, nil, unsafe.Pointer(&ids[1]), unsafe.Pointer(&ids[2]))
		k.logf("%v", *ids)
		k.do("setresuid", syscall.SYS_SETRESUID, -1, 0, -1)
		k.do("setuid -1", syscall.SYS_SETUID, -1)
		k.do("setfsuid", syscall.SYS_SETFSUID, 0)
		k.do("getgroups negative", syscall.SYS_GETGROUPS, -1, nil)
		k.do("getpgid", syscall.SYS_GETPGID, 999999)
		k.do("kill nobody", syscall.SYS_KILL, 999999, 0)
		k.do("kill bad", syscall.SYS_KILL, 0, 99)
		k.do("kill probe", syscall.SYS_KILL, 0, 0)
		k.do("tgkill bad", syscall.SYS_TGKILL, 0, 1, 0)
		k.do("wait4", syscall.SYS_WAIT4, -1, nil, 0, nil)
		k.do("prctl bad", syscall.SYS_PRCTL, 9999, 0)
		k.do("PR_SET_NAME nil", syscall.SYS_PRCTL, prSetName, 0)
		k.do("getpriority", syscall.SYS_GETPRIORITY, 0, 0)
		k.do("getpriority bad", syscall.SYS_GETPRIORITY, 9, 0)
		k.do("sched_get_priority_max", syscall.SYS_SCHED_GET_PRIORITY_MAX, 1)
		k.do("sched_get_priority_min", syscall.SYS_SCHED_GET_PRIORITY_MIN, 1)
		k.do("sched_get_priority_min", syscall.SYS_SCHED_GET_PRIORITY_MIN, 99)
		k.do("sched_getscheduler", syscall.SYS_SCHED_GETSCHEDULER, 0)
		k.do("sched_yield", syscall.SYS_SCHED_YIELD)
		k.do("getcpu nil", 309, nil, nil)
		k.do("getrandom", 318, make([]byte, 10), 10, 0)
		k.do("getrandom bad", 318, make([]byte, 10), 10, 99)
		k.do("getrandom nil", 318, nil, 10, 0)
		k.do("uname nil", syscall.SYS_UNAME, nil)
		k.do("gettimeofday nil", syscall.SYS_GETTIMEOFDAY, nil, nil)
		k.do("getrusage bad", syscall.SYS_GETRUSAGE, 5, make([]byte, 200))
		k.do("getsockname", syscall.SYS_GETSOCKNAME, 999, nil, nil)
		k.do("personality", syscall.SYS_PERSONALITY, 0xffffffff)
	})
}

func TestName(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	old := make([]byte, 16)
	hostKernel(t).quiet(syscall.SYS_PRCTL, prGetName, old)
	both(t, func(k *kernel) {
		b := make([]byte, 16)
		k.do("PR_SET_NAME", syscall.SYS_PRCTL, prSetName, "short")
		k.do("PR_GET_NAME", syscall.SYS_PRCTL, prGetName, b)
		k.logf("%q", b)
		k.do("PR_SET_NAME", syscall.SYS_PRCTL, prSetName, "a name that is too long")
		k.do("PR_GET_NAME", syscall.SYS_PRCTL, prGetName, b)
		k.logf("%q", b)
	})
	hostKernel(t).quiet(syscall.SYS_PRCTL, prSetName, old)
}

func TestUname(t *testing.T) {
	k := goshawkKernel(t)
	u := new(syscall.Utsname)
	_, err := k.quiet(syscall.SYS_UNAME, unsafe.Pointer(u))
	require.Zero(t, err)
	field := func(f [65]int8) (s string) {
		for i := 0; f[i] != 0; i++ {
			s += string(rune(f[i]))
		}
		return s
	}
	assert.Equal(t, "Linux 6.1.0-goshawk x86_64", fmt.Sprint(field(u.Sysname), " ", field(u.Release), " ", field(u.Machine)))
}

func TestKillSelf(t *testing.T) {
	k := goshawkKernel(t)
	for _, id := range []int{1, 0, -1} {
		_, err := k.quiet(syscall.SYS_KILL, id, int(syscall.SIGUSR1))
		require.Zero(t, err)
	}
	_, err := k.quiet(syscall.SYS_TGKILL, 1, 77, int(syscall.SIGURG))
	require.Zero(t, err)
	assert.Equal(t, []hostSignal{{0, 10}, {0, 10}, {0, 10}, {77, 23}}, host.signals)
}

func TestMmap(t *testing.T) {
	both(t, func(k *kernel) {
		const rw = syscall.PROT_READ | syscall.PROT_WRITE
		const anonymous = syscall.MAP_PRIVATE | syscall.MAP_ANONYMOUS
		bytes := func(at, n int) []byte { return unsafe.Slice((*byte)(pointer(uintptr(at))), n) }
		at := k.fd("mmap", syscall.SYS_MMAP, 0, 8192, rw, anonymous, -1, 0)
		bytes(at, 8192)[8191] = 7
		at2 := k.fd("mremap", syscall.SYS_MREMAP, at, 8192, 1<<20, remapMayMove)
		k.logf("%d", bytes(at2, 1<<20)[8191])
		k.do("mremap no move", syscall.SYS_MREMAP, at2+1, 8192, 1<<20, 0)
		k.do("mprotect", syscall.SYS_MPROTECT, at2, 4096, syscall.PROT_READ)
		k.do("mprotect unaligned", syscall.SYS_MPROTECT, at2+1, 4096, syscall.PROT_READ)
		k.do("madvise", syscall.SYS_MADVISE, at2, 4096, syscall.MADV_DONTNEED)
		k.do("msync", syscall.SYS_MSYNC, at2, 4096, 4)
		k.do("msync", syscall.SYS_MSYNC, at2, 4096, 5)
		k.do("munmap", syscall.SYS_MUNMAP, at2, 1<<20)
		k.do("munmap unaligned", syscall.SYS_MUNMAP, at2+1, 1<<20)
		k.do("munmap nothing", syscall.SYS_MUNMAP, at2, 0)
		k.do("mmap nothing", syscall.SYS_MMAP, 0, 0, rw, anonymous, -1, 0)
		k.do("mmap bad fd", syscall.SYS_MMAP, 0, 4096, rw, syscall.MAP_PRIVATE, -1, 0)
		k.do("mmap neither", syscall.SYS_MMAP, 0, 4096, rw, syscall.MAP_ANONYMOUS, -1, 0)

		f := k.open(k.dir+"/f", syscall.O_CREAT|syscall.O_RDWR, 0o600)
		text := make([]byte, 6000)
		text[0], text[4096], text[5999] = 1, 2, 3
		k.do("write", syscall.SYS_WRITE, f, text, len(text))
		m := k.fd("private", syscall.SYS_MMAP, 0, 8192, rw, syscall.MAP_PRIVATE, f, 0)
		b := bytes(m, 8192)
		k.logf("%d %d %d %d", b[0], b[4096], b[5999], b[6000])
		b[0] = 9
		k.do("pread", syscall.SYS_PREAD64, f, text, 1, 0)
		k.logf("%d", text[0])
		k.do("munmap", syscall.SYS_MUNMAP, m, 8192)
		m = k.fd("shared read-only at an offset", syscall.SYS_MMAP, 0, 4096, syscall.PROT_READ, syscall.MAP_SHARED, f, 4096)
		k.logf("%d", bytes(m, 4096)[0])
		k.do("munmap", syscall.SYS_MUNMAP, m, 4096)
		k.do("bad offset", syscall.SYS_MMAP, 0, 4096, syscall.PROT_READ, syscall.MAP_SHARED, f, 100)
		r, w := k.pipe(0)
		k.do("a pipe", syscall.SYS_MMAP, 0, 4096, syscall.PROT_READ, syscall.MAP_SHARED, r, 0)
		wo := k.open(k.dir+"/f", syscall.O_WRONLY, 0)
		k.do("write-only", syscall.SYS_MMAP, 0, 4096, syscall.PROT_READ, syscall.MAP_PRIVATE, wo, 0)
		ro := k.open(k.dir+"/f", syscall.O_RDONLY, 0)
		k.do("read-only", syscall.SYS_MMAP, 0, 4096, rw, syscall.MAP_SHARED, ro, 0)
		k.close(f, r, w, wo, ro)
	})
	k := goshawkKernel(t)
	f := k.open("/tmp/f", syscall.O_CREAT|syscall.O_RDWR, 0o600)
	_, err := k.quiet(syscall.SYS_MMAP, 0, 4096, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED, f, 0)
	assert.Equal(t, syscall.ENODEV, err, "stores could not reach the file")
}

// The addresses that a caller passes may be on its stack, which moves while the call is carried out.
func TestStackPointers(t *testing.T) {
	const num = 400 // free
	calls[num] = call{name: "test", ptrs: p0, do: func(a args) (uintptr, syscall.Errno) {
		grow(1000)
		*(*int)(a.p[0]) = 42
		return 0, 0
	}}
	defer func() { calls[num] = call{} }()
	done := make(chan int)
	moved := false
	go func() { // on a new stack, a small one
		var local int
		before := uintptr(unsafe.Pointer(&local))
		dispatch(num, uintptr(unsafe.Pointer(&local)), 0, 0, 0, 0, 0)
		moved = uintptr(unsafe.Pointer(&local)) != before
		done <- local
	}()
	assert.Equal(t, 42, <-done)
	assert.True(t, moved, "the stack did not move, so this test has shown nothing")
}

// grow uses some stack.
//
//go:noinline
func grow(n int) (sum int) {
	var frame [100]byte
	if n > 0 {
		sum = grow(n - 1)
	}
	for i := range frame {
		frame[i] = byte(n + i)
	}
	return sum + int(frame[n%100])
}

// A call on the personality's hot path does not allocate.
func TestAllocations(t *testing.T) {
	k := goshawkKernel(t)
	r, w := k.pipe(syscall.O_NONBLOCK)
	f := k.open("/tmp/f", syscall.O_CREAT|syscall.O_RDWR, 0o600)
	b := make([]byte, 100)
	keep(b)
	p := uintptr(unsafe.Pointer(&b[0]))
	st := new(syscall.Stat_t)
	keep(st)
	require.Zero(t, pollOpen(uintptr(r), 1, 1))
	host.polls = make([]hostPoll, 0, 10000)
	for name, call := range map[string]func(){
		"pipe": func() {
			dispatch(syscall.SYS_WRITE, uintptr(w), p, 100, 0, 0, 0)
			dispatch(syscall.SYS_READ, uintptr(r), p, 100, 0, 0, 0)
		},
		"file": func() {
			dispatch(syscall.SYS_PWRITE64, uintptr(f), p, 100, 0, 0, 0)
			dispatch(syscall.SYS_PREAD64, uintptr(f), p, 100, 0, 0, 0)
		},
		"fstat":  func() { dispatch(syscall.SYS_FSTAT, uintptr(f), uintptr(unsafe.Pointer(st)), 0, 0, 0, 0) },
		"fcntl":  func() { dispatch(syscall.SYS_FCNTL, uintptr(f), syscall.F_GETFL, 0, 0, 0, 0) },
		"EAGAIN": func() { dispatch(syscall.SYS_READ, uintptr(r), p, 100, 0, 0, 0) },
		"getpid": func() { dispatch(syscall.SYS_GETPID, 0, 0, 0, 0, 0, 0) },
	} {
		assert.Zero(t, testing.AllocsPerRun(100, call), name)
	}
}
