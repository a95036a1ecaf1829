//go:build !goshawk

package linux

import (
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func (k *kernel) pipe(flags int) (r, w int) {
	var fds [2]int32
	_, err := k.do("pipe2", syscall.SYS_PIPE2, unsafe.Pointer(&fds), flags)
	require.Zero(k.t, err)
	return int(fds[0]), int(fds[1])
}

func (k *kernel) close(fds ...int) {
	for _, fd := range fds {
		k.do("close", syscall.SYS_CLOSE, fd)
	}
}

func (k *kernel) write(fd int, s string) {
	k.do("write", syscall.SYS_WRITE, fd, []byte(s), len(s))
}

func (k *kernel) read(fd, n int) {
	b := make([]byte, n)
	r, _ := k.do("read", syscall.SYS_READ, fd, b, n)
	k.logf("%q", b[:max(0, min(r, 64))])
}

func TestPipe(t *testing.T) {
	both(t, func(k *kernel) {
		r, w := k.pipe(syscall.O_NONBLOCK)
		k.read(r, 10) // EAGAIN
		k.write(w, "hello")
		k.do("read nil", syscall.SYS_READ, r, nil, 1)
		n := new(int32)
		k.do("FIONREAD", syscall.SYS_IOCTL, r, 0x541b, unsafe.Pointer(n))
		k.logf("%d", *n)
		k.read(r, 3)
		k.read(r, 10)
		k.do("read nothing", syscall.SYS_READ, r, nil, 0)
		k.do("write nil", syscall.SYS_WRITE, w, nil, 1)
		k.do("read wrong end", syscall.SYS_READ, w, make([]byte, 1), 1)
		k.do("write wrong end", syscall.SYS_WRITE, r, make([]byte, 1), 1)
		k.do("lseek", syscall.SYS_LSEEK, r, 0, 0)
		k.do("pread", syscall.SYS_PREAD64, r, make([]byte, 1), 1, 0)
		k.do("ftruncate", syscall.SYS_FTRUNCATE, w, 0)
		k.do("fsync", syscall.SYS_FSYNC, w)
		k.do("F_GETPIPE_SZ", syscall.SYS_FCNTL, w, fGetPipeSize, 0)
		k.do("F_SETPIPE_SZ", syscall.SYS_FCNTL, w, fSetPipeSize, 5000)
		k.do("fill", syscall.SYS_WRITE, w, make([]byte, 10000), 10000)
		k.do("full", syscall.SYS_WRITE, w, make([]byte, 1), 1)
		k.do("F_SETPIPE_SZ too small", syscall.SYS_FCNTL, w, fSetPipeSize, 4096)
		k.read(r, 4096)
		k.do("atomic fits", syscall.SYS_WRITE, w, make([]byte, 4096), 4096)
		k.do("atomic does not fit", syscall.SYS_WRITE, w, make([]byte, 4096), 4096)
		k.do("F_GETFL", syscall.SYS_FCNTL, r, syscall.F_GETFL, 0)
		k.do("F_GETFL", syscall.SYS_FCNTL, w, syscall.F_GETFL, 0)
		k.close(w)
		k.read(r, 100000)
		k.read(r, 1)
		k.close(r, r)
		k.do("bad flags", syscall.SYS_PIPE2, unsafe.Pointer(&[2]int32{}), 1)
		k.do("nil", syscall.SYS_PIPE2, nil, 0)
	})
}

func TestPipeWithoutReader(t *testing.T) {
	k := goshawkKernel(t)
	r, w := k.pipe(0)
	k.close(r)
	_, err := k.do("write", syscall.SYS_WRITE, w, []byte("x"), 1)
	assert.Equal(t, syscall.EPIPE, err)
	assert.Equal(t, []hostSignal{{syscall.Gettid(), int(syscall.SIGPIPE)}}, host.signals)
}

// Blocking reads and writes of two goroutines: every byte arrives, in order.
func TestPipeBlocking(t *testing.T) {
	k := goshawkKernel(t)
	r, w := k.pipe(0)
	const total = 1 << 20
	done := make(chan error)
	go func() {
		b := make([]byte, total)
		for i := range b {
			b[i] = byte(i * 7)
		}
		n, err := k.quiet(syscall.SYS_WRITE, w, b, total)
		if err == 0 {
			err = closeFD(w)
		}
		if n != total {
			err = syscall.EIO
		}
		done <- err
	}()
	got := 0
	for {
		b := make([]byte, 1000)
		n, err := k.quiet(syscall.SYS_READ, r, b, len(b))
		require.Zero(t, err)
		if n == 0 {
			break
		}
		for i := range b[:n] {
			require.Equal(t, byte((got+i)*7), b[i])
		}
		got += n
	}
	assert.Equal(t, total, got)
	assert.Equal(t, syscall.Errno(0), <-done)
}

// Writes of up to PIPE_BUF bytes by several goroutines are not interleaved.
func TestPipeAtomicWrites(t *testing.T) {
	k := goshawkKernel(t)
	r, w := k.pipe(0)
	const size, writers, rounds = 3000, 4, 50
	for i := range writers {
		go func() {
			b := make([]byte, size)
			for j := range b {
				b[j] = byte(i)
			}
			for range rounds {
				k.quiet(syscall.SYS_WRITE, w, b, size)
			}
		}()
	}
	all := make([]byte, 0, size*writers*rounds)
	for len(all) < cap(all) {
		n, err := k.quiet(syscall.SYS_READ, r, all[len(all):cap(all)], cap(all)-len(all))
		require.Zero(t, err)
		all = all[:len(all)+n]
	}
	for i := 0; i < len(all); i += size {
		for _, c := range all[i : i+size] {
			require.Equal(t, all[i], c)
		}
	}
}

// A writer that waits for room gets it when the pipe is made larger.
func TestPipeGrows(t *testing.T) {
	k := goshawkKernel(t)
	r, w := k.pipe(0)
	k.quiet(syscall.SYS_WRITE, w, make([]byte, pipeSize), pipeSize)
	require.Zero(t, pollOpen(uintptr(w), 1, 2))
	assert.Empty(t, host.polls)
	n, err := k.quiet(syscall.SYS_FCNTL, w, fSetPipeSize, 2*pipeSize)
	require.Zero(t, err)
	assert.Equal(t, 2*pipeSize, n)
	assert.Equal(t, []hostPoll{{1, 2, 'w'}}, host.polls)
	k.close(r, w)
}

// The parts of a writev arrive together: here there is no room for all of them.
func TestWritevInOnePiece(t *testing.T) {
	both(t, func(k *kernel) {
		r, w := k.pipe(syscall.O_NONBLOCK)
		k.do("F_SETPIPE_SZ", syscall.SYS_FCNTL, w, fSetPipeSize, 4096)
		k.do("write", syscall.SYS_WRITE, w, make([]byte, 4090), 4090)
		a, b := []byte("1234"), []byte("5678")
		parts := []iovec{{&a[0], 4}, {&b[0], 4}}
		k.do("writev", syscall.SYS_WRITEV, w, unsafe.Pointer(&parts[0]), 2)
		k.close(r, w)
	})
}
