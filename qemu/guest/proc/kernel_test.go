package proc

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRandom(t *testing.T) {
	seen := map[[16]byte]bool{}
	for range 1000 {
		var b [16]byte
		_, err := rand.Read(b[:])
		require.NoError(t, err)
		require.False(t, seen[b], "the same 16 bytes twice")
		seen[b] = true
	}
	ones := 0
	b := make([]byte, 1<<20)
	_, err := rand.Read(b)
	require.NoError(t, err)
	for _, x := range b {
		for ; x != 0; x &= x - 1 {
			ones++
		}
	}
	// 2^22 on average with a deviation of 1448: 10 deviations do not occur.
	assert.InDelta(t, 1<<22, ones, 14480)
}

func TestAnonymousMemory(t *testing.T) {
	const size = 4 << 20
	for range 20 {
		b, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE,
			syscall.MAP_ANON|syscall.MAP_PRIVATE)
		require.NoError(t, err)
		for i := 0; i < size; i += 1024 {
			if b[i] != 0 {
				require.Failf(t, "not zero", "byte %d", i)
			}
			b[i] = 1
		}
		require.NoError(t, syscall.Madvise(b[:size/2], syscall.MADV_DONTNEED))
		assert.Zero(t, b[1024], "given back, so zero again")
		assert.EqualValues(t, 1, b[size/2])
		require.NoError(t, syscall.Munmap(b))
	}
	_, err := syscall.Mmap(-1, 0, 0, syscall.PROT_READ, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	assert.Equal(t, syscall.EINVAL, err)
}

func TestEventfd(t *testing.T) {
	fd, _, errno := syscall.Syscall(syscall.SYS_EVENTFD2, 3, syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	require.Zero(t, errno)
	defer syscall.Close(int(fd))
	read := func() (uint64, error) {
		var b [8]byte
		_, err := syscall.Read(int(fd), b[:])
		return *(*uint64)(unsafe.Pointer(&b)), err
	}
	write := func(n uint64) error {
		b := (*[8]byte)(unsafe.Pointer(&n))
		_, err := syscall.Write(int(fd), b[:])
		return err
	}
	n, err := read()
	require.NoError(t, err)
	assert.EqualValues(t, 3, n)
	_, err = read()
	assert.Equal(t, syscall.EAGAIN, err)
	require.NoError(t, write(5))
	require.NoError(t, write(6))
	n, err = read()
	require.NoError(t, err)
	assert.EqualValues(t, 11, n)
	require.NoError(t, write(1<<64-2))
	assert.Equal(t, syscall.EAGAIN, write(1))
	assert.Equal(t, syscall.EINVAL, write(1<<64-1))
	_, err = syscall.Read(int(fd), make([]byte, 7))
	assert.Equal(t, syscall.EINVAL, err)
}

func TestEpoll(t *testing.T) {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	require.NoError(t, err)
	defer syscall.Close(epoll)
	var fds [2]int
	require.NoError(t, syscall.Pipe2(fds[:], syscall.O_NONBLOCK|syscall.O_CLOEXEC))
	defer syscall.Close(fds[0])
	add := func(fd int, events uint32) error {
		return syscall.EpollCtl(epoll, syscall.EPOLL_CTL_ADD, fd,
			&syscall.EpollEvent{Events: events, Fd: int32(fd)})
	}
	wait := func(timeout time.Duration) []syscall.EpollEvent {
		events := make([]syscall.EpollEvent, 8)
		n, err := syscall.EpollWait(epoll, events, int(timeout.Milliseconds()))
		require.NoError(t, err)
		return events[:n]
	}
	require.NoError(t, add(fds[0], syscall.EPOLLIN))
	assert.Equal(t, syscall.EEXIST, add(fds[0], syscall.EPOLLIN))
	start := time.Now()
	assert.Empty(t, wait(3*time.Millisecond))
	assert.GreaterOrEqual(t, time.Since(start), 3*time.Millisecond)

	_, err = syscall.Write(fds[1], []byte("x"))
	require.NoError(t, err)
	want := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fds[0])}
	for range 2 { // level-triggered: again as long as there is something to read
		assert.Equal(t, []syscall.EpollEvent{want}, wait(time.Minute))
	}
	_, err = syscall.Read(fds[0], make([]byte, 8))
	require.NoError(t, err)
	assert.Empty(t, wait(0))

	require.NoError(t, syscall.Close(fds[1]))
	want.Events = syscall.EPOLLHUP
	assert.Equal(t, []syscall.EpollEvent{want}, wait(time.Minute))
	require.NoError(t, syscall.EpollCtl(epoll, syscall.EPOLL_CTL_DEL, fds[0], nil))
	assert.Equal(t, syscall.ENOENT, syscall.EpollCtl(epoll, syscall.EPOLL_CTL_DEL, fds[0], nil))

	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	require.NoError(t, err)
	defer file.Close()
	assert.Equal(t, syscall.EPERM, add(int(file.Fd()), syscall.EPOLLIN), "a regular file")
	assert.Equal(t, syscall.EBADF, add(9999, syscall.EPOLLIN))
}
