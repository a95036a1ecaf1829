//go:build !goshawk

package linux

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// kernel is a Linux to run a scenario on: the host's, or the personality.
type kernel struct {
	t    *testing.T
	call func(num uintptr, a [6]uintptr) (uintptr, syscall.Errno)
	dir  string
	log  []string
}

// do makes a system call and writes it and its answer to the log. Arguments are integers, strings
// (as zero-terminated), byte slices and pointers.
func (k *kernel) do(name string, num uintptr, a ...any) (int, syscall.Errno) {
	r, err := k.quiet(num, a...)
	k.logf("%s = %d %s", name, r, errName(err))
	return r, err
}

// fd is do for a call that returns a descriptor, whose number is not logged.
func (k *kernel) fd(name string, num uintptr, a ...any) int {
	r, err := k.quiet(num, a...)
	k.logf("%s = fd? %v %s", name, r >= 0, errName(err))
	return r
}

func (k *kernel) logf(format string, a ...any) { k.log = append(k.log, fmt.Sprintf(format, a...)) }

func (k *kernel) quiet(num uintptr, a ...any) (int, syscall.Errno) {
	var raw [6]uintptr
	for i, v := range a {
		raw[i] = word(v)
	}
	r, err := k.call(num, raw)
	runtime.KeepAlive(a)
	return int(r), err
}

// kept holds what word made pointers to: addresses in the heap, which do not move.
var kept struct {
	mu   sync.Mutex
	list []any
}

func keep(v any) {
	kept.mu.Lock()
	kept.list = append(kept.list, v)
	kept.mu.Unlock()
}

func word(v any) uintptr {
	switch v := v.(type) {
	case int:
		return uintptr(v)
	case uintptr:
		return v
	case nil:
		return 0
	case string:
		b := append([]byte(v), 0)
		keep(b)
		return uintptr(unsafe.Pointer(&b[0]))
	case []byte:
		keep(v)
		return uintptr(unsafe.Pointer(unsafe.SliceData(v)))
	case unsafe.Pointer:
		keep(v)
		return uintptr(v)
	}
	panic(fmt.Sprintf("argument of type %T", v))
}

func errName(err syscall.Errno) string {
	if err == 0 {
		return "ok"
	}
	return fmt.Sprintf("%d (%s)", int(err), err.Error())
}

func hostKernel(t *testing.T) *kernel {
	return &kernel{t: t, dir: t.TempDir(), call: func(num uintptr, a [6]uintptr) (uintptr, syscall.Errno) {
		r, _, err := syscall.Syscall6(num, a[0], a[1], a[2], a[3], a[4], a[5])
		return r, err
	}}
}

func goshawkKernel(t *testing.T) *kernel {
	reset(t)
	return &kernel{t: t, dir: "/tmp", call: func(num uintptr, a [6]uintptr) (uintptr, syscall.Errno) {
		r, _, err := dispatch(num, a[0], a[1], a[2], a[3], a[4], a[5])
		return r, syscall.Errno(err)
	}}
}

// both runs a scenario on the host's Linux and on the personality and requires the same answers.
func both(t *testing.T, scenario func(k *kernel)) {
	t.Helper()
	linux, goshawk := hostKernel(t), goshawkKernel(t)
	scenario(linux)
	scenario(goshawk)
	require.NotEmpty(t, linux.log)
	for i := range linux.log {
		linux.log[i] = strings.ReplaceAll(linux.log[i], linux.dir, "DIR")
	}
	for i := range goshawk.log {
		goshawk.log[i] = strings.ReplaceAll(goshawk.log[i], goshawk.dir, "DIR")
	}
	require.Equal(t, strings.Join(linux.log, "\n"), strings.Join(goshawk.log, "\n"))
}

func TestMain(m *testing.M) {
	syscall.Umask(0o22)
	os.Exit(m.Run())
}
