package rt

import (
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// recovered returns what f panics with.
func recovered(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}

type large struct {
	_    [1 << 20]byte
	last int
}

var (
	nilInt   *int
	nilLarge *large
	nilMap   map[int]int
	zero     int
	eight    = 8
	sink     int
)

func TestFaultsAreRecovered(t *testing.T) {
	const nilMessage = "runtime error: invalid memory address or nil pointer dereference"
	tests := []struct {
		name, want string
		f          func()
	}{
		{"nil read", nilMessage, func() { sink = *nilInt }},
		{"nil write", nilMessage, func() { *nilInt = 1 }},
		{"nil, large offset", nilMessage, func() { sink = nilLarge.last }},
		{"nil function", nilMessage, func() { var f func(); f() }},
		{"nil map", "assignment to entry in nil map", func() { nilMap[1] = 1 }},
		{"divide by zero", "runtime error: integer divide by zero", func() { sink = eight / zero }},
		{"modulo zero", "runtime error: integer divide by zero", func() { sink = eight % zero }},
		{"index", "runtime error: index out of range [8] with length 0",
			func() { sink = []int(nil)[eight] }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for range 100 {
				err, ok := recovered(test.f).(runtime.Error)
				require.True(t, ok)
				require.EqualError(t, err, test.want)
			}
		})
	}
	assert.Equal(t, -1<<63, (-1<<63+zero)/(zero-1), "the one quotient that does not fit")
}

// TestFaultsOnAllThreads faults from many goroutines at once.
func TestFaultsOnAllThreads(t *testing.T) {
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			for range 200 {
				if recovered(func() { *nilInt = 1 }) == nil {
					t.Error("no panic")
				}
				runtime.Gosched()
			}
		})
	}
	group.Wait()
}

// TestFaultAddress reads memory that is not there and memory that may not be written.
func TestFaultAddress(t *testing.T) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	page, err := syscall.Mmap(-1, 0, 3*4096, syscall.PROT_READ, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	require.NoError(t, err)
	defer func() { assert.NoError(t, syscall.Munmap(page)) }()
	require.NoError(t, syscall.Mprotect(page[4096:8192], syscall.PROT_NONE))

	assert.Zero(t, page[0])
	fault := func(f func()) uintptr {
		value := recovered(f)
		addressed, ok := value.(interface{ Addr() uintptr })
		require.True(t, ok, "%v", value)
		return addressed.Addr()
	}
	at := func(i int) uintptr { return uintptr(unsafe.Pointer(&page[i])) }
	assert.Equal(t, at(5), fault(func() { page[5] = 1 }))
	assert.Equal(t, at(4096), fault(func() { sink = int(page[4096]) }))
	assert.Equal(t, at(8191), fault(func() { page[8191] = 1 }))
	assert.Zero(t, page[8192])
}

func TestSignals(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGHUP,
		syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGCHLD, syscall.SIGALRM} {
		t.Run(s.String(), func(t *testing.T) {
			received := make(chan os.Signal, 1)
			signal.Notify(received, s)
			defer signal.Stop(received)
			for range 10 {
				require.NoError(t, syscall.Kill(syscall.Getpid(), s))
				require.Equal(t, s, <-received)
			}
			self, err := os.FindProcess(os.Getpid())
			require.NoError(t, err)
			require.NoError(t, self.Signal(s))
			require.Equal(t, s, <-received)
			require.NoError(t, syscall.Tgkill(syscall.Getpid(), syscall.Gettid(), s))
			require.Equal(t, s, <-received)
		})
	}
}

func TestIgnoredSignal(t *testing.T) {
	signal.Ignore(syscall.SIGHUP)
	defer signal.Reset(syscall.SIGHUP)
	assert.True(t, signal.Ignored(syscall.SIGHUP))
	require.NoError(t, syscall.Kill(syscall.Getpid(), syscall.SIGHUP)) // would end the program
}

func TestNotifyContext(t *testing.T) {
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt)
	defer stop()
	require.NoError(t, syscall.Kill(syscall.Getpid(), syscall.SIGINT))
	<-ctx.Done()
	assert.Error(t, ctx.Err())
}

func TestKillErrors(t *testing.T) {
	assert.Equal(t, syscall.EINVAL, syscall.Kill(syscall.Getpid(), 1000))
	assert.Equal(t, syscall.ESRCH, syscall.Kill(1<<22+7, syscall.SIGUSR1))
	assert.NoError(t, syscall.Kill(syscall.Getpid(), 0))
}
