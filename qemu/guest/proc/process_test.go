package proc

import (
	"flag"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestArguments(t *testing.T) {
	require.NotEmpty(t, os.Args)
	assert.Contains(t, os.Args[0], "proc.test")
	assert.True(t, slices.ContainsFunc(os.Args[1:], func(arg string) bool {
		return strings.HasPrefix(arg, "-test.")
	}), "%q", os.Args)
	assert.True(t, flag.Parsed())
}

func TestEnvironment(t *testing.T) {
	const name = "GOSHAWK_TEST_VARIABLE"
	_, set := os.LookupEnv(name)
	require.False(t, set)
	require.NoError(t, os.Setenv(name, "a = b"))
	assert.Equal(t, "a = b", os.Getenv(name))
	assert.Contains(t, os.Environ(), name+"=a = b")
	assert.Equal(t, "<a = b>", os.ExpandEnv("<${"+name+"}>"))
	require.NoError(t, os.Unsetenv(name))
	assert.NotContains(t, os.Environ(), name+"=a = b")
	assert.Error(t, os.Setenv("", "x"))
	assert.Error(t, os.Setenv("A=B", "x"))
}

// TestStandardInput: go test gives its tests an empty standard input.
func TestStandardInput(t *testing.T) {
	b, err := io.ReadAll(os.Stdin)
	require.NoError(t, err)
	assert.Empty(t, b)
}

func TestIdentity(t *testing.T) {
	assert.Positive(t, os.Getpid())
	assert.Equal(t, os.Getpid(), syscall.Getpid())
	assert.GreaterOrEqual(t, os.Getppid(), 0)
	assert.GreaterOrEqual(t, os.Getuid(), 0)
	assert.Equal(t, os.Getuid(), os.Geteuid())
	assert.Equal(t, os.Getgid(), os.Getegid())
	_, err := os.Getgroups()
	assert.NoError(t, err)
	name, err := os.Hostname()
	require.NoError(t, err)
	assert.NotEmpty(t, name)
}

func text(field [65]int8) string {
	var b []byte
	for _, c := range field {
		if c == 0 {
			break
		}
		b = append(b, byte(c))
	}
	return string(b)
}

func TestUname(t *testing.T) {
	var name syscall.Utsname
	require.NoError(t, syscall.Uname(&name))
	assert.Equal(t, "Linux", text(name.Sysname))
	assert.Equal(t, "x86_64", text(name.Machine))
	assert.Regexp(t, `^\d+\.\d+`, text(name.Release))
	assert.NotEmpty(t, text(name.Version))
	host, err := os.Hostname()
	require.NoError(t, err)
	assert.Equal(t, host, text(name.Nodename))
}

func TestSysinfo(t *testing.T) {
	var info syscall.Sysinfo_t
	require.NoError(t, syscall.Sysinfo(&info))
	total, free := info.Totalram*uint64(info.Unit), info.Freeram*uint64(info.Unit)
	assert.Greater(t, total, uint64(8<<20))
	assert.Positive(t, free)
	assert.Less(t, free, total)
	assert.GreaterOrEqual(t, info.Uptime, int64(0))
	assert.Positive(t, info.Procs)
}

func TestResources(t *testing.T) {
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	assert.GreaterOrEqual(t, limit.Cur, uint64(256))
	assert.GreaterOrEqual(t, limit.Max, limit.Cur)

	processor := func() time.Duration {
		var usage syscall.Rusage
		require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
		return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	start := processor()
	for deadline := time.Now().Add(time.Minute); processor() < start+20*time.Millisecond; {
		require.False(t, time.Now().After(deadline), "the time on the processor stands still")
	}
}

func TestClocks(t *testing.T) {
	var a, b syscall.Timeval
	require.NoError(t, syscall.Gettimeofday(&a))
	now := time.Now()
	require.NoError(t, syscall.Gettimeofday(&b))
	assert.LessOrEqual(t, a.Nano()/1000, now.UnixMicro())
	assert.GreaterOrEqual(t, b.Nano()/1000, now.UnixMicro())

	pause := syscall.NsecToTimespec(int64(2 * time.Millisecond))
	start := time.Now()
	require.NoError(t, syscall.Nanosleep(&pause, nil))
	assert.GreaterOrEqual(t, time.Since(start), 2*time.Millisecond)
	invalid := syscall.Timespec{Nsec: 1_000_000_000}
	assert.Equal(t, syscall.EINVAL, syscall.Nanosleep(&invalid, nil))
}

func TestAffinity(t *testing.T) {
	var mask [128]uint64
	n, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_GETAFFINITY, 0, uintptr(len(mask)*8),
		uintptr(unsafe.Pointer(&mask[0])))
	require.Zero(t, errno)
	count := 0
	for _, word := range mask[:n/8] {
		for ; word != 0; word &= word - 1 {
			count++
		}
	}
	assert.Equal(t, runtime.NumCPU(), count)
}

func TestUnknownCall(t *testing.T) {
	_, _, errno := syscall.Syscall(5000, 0, 0, 0)
	assert.Equal(t, syscall.ENOSYS, errno)
	_, _, errno = syscall.RawSyscall6(5000, 0, 0, 0, 0, 0, 0)
	assert.Equal(t, syscall.ENOSYS, errno)
}
