package sock

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func socketpair(t *testing.T, kind int) (a, b int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(fds[0]); unix.Close(fds[1]) })
	return fds[0], fds[1]
}

// TestBlockingCalls: sockets without O_NONBLOCK wait in read, write, accept and connect.
func TestBlockingCalls(t *testing.T) {
	a, b := socketpair(t, unix.SOCK_STREAM)
	go func() {
		time.Sleep(10 * time.Millisecond)
		unix.Write(a, []byte("late"))
	}()
	buf := make([]byte, 10)
	n, err := unix.Read(b, buf)
	require.NoError(t, err)
	assert.Equal(t, "late", string(buf[:n]))

	data := bytes.Repeat([]byte("0123456789"), 100_000)
	go func() {
		n, err := unix.Write(a, data)
		assert.NoError(t, err)
		assert.Equal(t, len(data), n)
		unix.Shutdown(a, unix.SHUT_WR)
	}()
	var got []byte
	for part := make([]byte, 4999); ; {
		n, err := unix.Read(b, part)
		require.NoError(t, err)
		if n == 0 {
			break
		}
		got = append(got, part[:n]...)
	}
	assert.True(t, bytes.Equal(data, got))

	name := &unix.SockaddrUnix{Name: filepath.Join(t.TempDir(), "s")}
	l, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(l)
	require.NoError(t, unix.Bind(l, name))
	require.NoError(t, unix.Listen(l, 0))
	const count = 20
	connected := make(chan error, count)
	for range count { // more than the queue holds
		go func() {
			c, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err == nil {
				err = unix.Connect(c, name)
			}
			connected <- err
			unix.Close(c)
		}()
	}
	for range count {
		c, _, err := unix.Accept(l)
		require.NoError(t, err)
		unix.Close(c)
	}
	for range count {
		assert.NoError(t, <-connected)
	}

	// A reader that waits while its peer closes gets the end, one whose peer resets gets the error.
	go func() {
		time.Sleep(10 * time.Millisecond)
		unix.Shutdown(b, unix.SHUT_WR)
	}()
	n, err = unix.Read(a, buf)
	assert.NoError(t, err)
	assert.Zero(t, n)
}

func TestTimeouts(t *testing.T) {
	a, b := socketpair(t, unix.SOCK_STREAM)
	tv := unix.Timeval{Usec: 20_000}
	require.NoError(t, unix.SetsockoptTimeval(a, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv))
	require.NoError(t, unix.SetsockoptTimeval(a, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv))
	start := time.Now()
	_, err := unix.Read(a, make([]byte, 10))
	assert.Equal(t, unix.EAGAIN, err)
	assert.GreaterOrEqual(t, time.Since(start), 15*time.Millisecond)
	n, err := unix.Write(a, make([]byte, 1<<20))
	assert.NoError(t, err)
	assert.Less(t, n, 1<<20)
	_, err = unix.Write(a, make([]byte, 1<<20))
	assert.Equal(t, unix.EAGAIN, err)
	_, err = unix.Write(b, []byte("abc"))
	require.NoError(t, err)
	n, _, err = unix.Recvfrom(a, make([]byte, 10), unix.MSG_WAITALL)
	assert.NoError(t, err)
	assert.Equal(t, 3, n)
}

func TestWaitAll(t *testing.T) {
	a, b := socketpair(t, unix.SOCK_STREAM)
	go func() {
		for i := range 10 {
			unix.Write(a, []byte{byte(i)})
			time.Sleep(time.Millisecond)
		}
	}()
	buf := make([]byte, 10)
	n, _, err := unix.Recvfrom(b, buf, unix.MSG_WAITALL)
	require.NoError(t, err)
	assert.Equal(t, 10, n)
	assert.Equal(t, []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, buf)
	_, _, err = unix.Recvfrom(b, buf, unix.MSG_DONTWAIT)
	assert.Equal(t, unix.EAGAIN, err)
}

func TestRights(t *testing.T) {
	for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET} {
		a, b := socketpair(t, kind)
		r, w, err := os.Pipe()
		require.NoError(t, err)
		file, err := os.Create(filepath.Join(t.TempDir(), "f"))
		require.NoError(t, err)
		require.NoError(t, unix.Sendmsg(a, []byte("take these"), unix.UnixRights(int(w.Fd()), int(file.Fd()), a), nil, 0))
		buf, control := make([]byte, 20), make([]byte, 100)
		n, cn, flags, _, err := unix.Recvmsg(b, buf, control, unix.MSG_CMSG_CLOEXEC)
		require.NoError(t, err)
		assert.Equal(t, "take these", string(buf[:n]))
		assert.Equal(t, unix.MSG_CMSG_CLOEXEC, flags)
		messages, err := unix.ParseSocketControlMessage(control[:cn])
		require.NoError(t, err)
		require.Len(t, messages, 1)
		fds, err := unix.ParseUnixRights(&messages[0])
		require.NoError(t, err)
		require.Len(t, fds, 3)
		for _, fd := range fds {
			on, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
			assert.NoError(t, err)
			assert.Equal(t, unix.FD_CLOEXEC, on)
		}
		_, err = unix.Write(fds[0], []byte("through the pipe"))
		require.NoError(t, err)
		w.Close()
		unix.Close(fds[0])
		n, err = r.Read(buf)
		require.NoError(t, err)
		assert.Equal(t, "through the pipe", string(buf[:n]))
		_, err = r.Read(buf)
		assert.Error(t, err)
		_, err = unix.Write(fds[1], []byte("shared"))
		require.NoError(t, err)
		at, err := file.Seek(0, 1)
		require.NoError(t, err)
		assert.Equal(t, int64(6), at)
		_, err = unix.Write(fds[2], []byte("itself"))
		require.NoError(t, err)
		n, err = unix.Read(b, buf)
		require.NoError(t, err)
		assert.Equal(t, "itself", string(buf[:n]))
		for _, fd := range fds[1:] {
			unix.Close(fd)
		}
		file.Close()
		r.Close()
	}
}

func TestCredentials(t *testing.T) {
	a, b := socketpair(t, unix.SOCK_STREAM)
	peer, err := unix.GetsockoptUcred(a, unix.SOL_SOCKET, unix.SO_PEERCRED)
	require.NoError(t, err)
	want := unix.Ucred{Pid: int32(os.Getpid()), Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid())}
	assert.Equal(t, want, *peer)
	require.NoError(t, unix.SetsockoptInt(b, unix.SOL_SOCKET, unix.SO_PASSCRED, 1))
	require.NoError(t, unix.Sendmsg(a, []byte("x"), unix.UnixCredentials(&want), nil, 0))
	control := make([]byte, 100)
	_, n, _, _, err := unix.Recvmsg(b, make([]byte, 10), control, 0)
	require.NoError(t, err)
	messages, err := unix.ParseSocketControlMessage(control[:n])
	require.NoError(t, err)
	require.Len(t, messages, 1)
	got, err := unix.ParseUnixCredentials(&messages[0])
	require.NoError(t, err)
	assert.Equal(t, want, *got)
}

func TestEpoll(t *testing.T) {
	a, b := socketpair(t, unix.SOCK_STREAM|unix.SOCK_NONBLOCK)
	e, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	require.NoError(t, err)
	defer unix.Close(e)
	require.NoError(t, unix.EpollCtl(e, unix.EPOLL_CTL_ADD, b,
		&unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET}))
	events := make([]unix.EpollEvent, 4)
	wait := func(ms int) uint32 {
		n, err := unix.EpollWait(e, events, ms)
		require.NoError(t, err)
		if n == 0 {
			return 0
		}
		return events[0].Events
	}
	assert.Equal(t, uint32(unix.EPOLLOUT), wait(0))
	assert.Zero(t, wait(0))
	for range 2 { // edge-triggered: more data is an event, though the first were not read
		unix.Write(a, []byte("x"))
		assert.Equal(t, uint32(unix.EPOLLIN|unix.EPOLLOUT), wait(1000))
		assert.Zero(t, wait(0))
	}
	unix.Shutdown(a, unix.SHUT_WR)
	assert.Equal(t, uint32(unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP), wait(1000))
	unix.Close(a)
	assert.Equal(t, uint32(unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP|unix.EPOLLHUP), wait(1000)&^unix.EPOLLERR)

	p := []unix.PollFd{{Fd: int32(b), Events: unix.POLLIN}}
	n, err := unix.Poll(p, 0)
	assert.NoError(t, err)
	assert.Equal(t, 1, n)
	assert.Equal(t, int16(unix.POLLIN|unix.POLLHUP), p[0].Revents&^unix.POLLERR)
}

// mmsghdr is struct mmsghdr.
type mmsghdr struct {
	header unix.Msghdr
	length uint32
	_      uint32
}

func vectors(buffers ...[]byte) []mmsghdr {
	list := make([]mmsghdr, len(buffers))
	for i, b := range buffers {
		list[i].header.Iov = &unix.Iovec{Base: &b[0], Len: uint64(len(b))}
		list[i].header.Iovlen = 1
	}
	return list
}

func TestManyMessages(t *testing.T) {
	a, b := socketpair(t, unix.SOCK_DGRAM)
	out := vectors([]byte("one"), []byte("three"), []byte("two"))
	n, _, err := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(a), uintptr(unsafe.Pointer(&out[0])), 3, 0, 0, 0)
	require.Zero(t, err)
	require.Equal(t, uintptr(3), n)
	assert.Equal(t, []uint32{3, 5, 3}, []uint32{out[0].length, out[1].length, out[2].length})
	first, second := make([]byte, 10), make([]byte, 4)
	in := vectors(first, second, make([]byte, 10), make([]byte, 10))
	n, _, err = unix.Syscall6(unix.SYS_RECVMMSG, uintptr(b), uintptr(unsafe.Pointer(&in[0])), 4, unix.MSG_WAITFORONE, 0, 0)
	require.Zero(t, err)
	require.Equal(t, uintptr(3), n)
	assert.Equal(t, "one", string(first[:in[0].length]))
	assert.Equal(t, "thre", string(second[:in[1].length]))
	assert.Equal(t, int32(unix.MSG_TRUNC), in[1].header.Flags)
	_, _, err = unix.Syscall6(unix.SYS_RECVMMSG, uintptr(b), uintptr(unsafe.Pointer(&in[0])), 4, unix.MSG_DONTWAIT, 0, 0)
	assert.Equal(t, unix.EAGAIN, err)
	runtime.KeepAlive(out)
	runtime.KeepAlive(in)
}

func TestVectors(t *testing.T) {
	a, b := socketpair(t, unix.SOCK_STREAM)
	var out [][]byte
	var want []byte
	for i := range 1024 {
		out = append(out, bytes.Repeat([]byte{byte(i)}, i%7))
		want = append(want, out[i]...)
	}
	n, err := unix.Writev(a, out)
	require.NoError(t, err)
	assert.Equal(t, len(want), n)
	var in [][]byte
	for range 1000 {
		in = append(in, make([]byte, 5))
	}
	n, err = unix.Readv(b, in)
	require.NoError(t, err)
	assert.Equal(t, want, bytes.Join(in, nil)[:n])
}

func TestAutobind(t *testing.T) {
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(s)
	require.NoError(t, unix.Bind(s, &unix.SockaddrUnix{}))
	name, err := unix.Getsockname(s)
	require.NoError(t, err)
	assert.Regexp(t, "^@[0-9a-f]{5}$", name.(*unix.SockaddrUnix).Name)
}

func TestProcNetUnix(t *testing.T) {
	name := filepath.Join(t.TempDir(), "listed")
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(s)
	require.NoError(t, unix.Bind(s, &unix.SockaddrUnix{Name: name}))
	require.NoError(t, unix.Listen(s, 1))
	var st unix.Stat_t
	require.NoError(t, unix.Fstat(s, &st))
	text, err := os.ReadFile("/proc/net/unix")
	require.NoError(t, err)
	assert.Regexp(t, fmt.Sprintf(`[0-9a-f]{16}: [0-9A-F]{8} 00000000 00010000 0001 01 +%d %s\n`, st.Ino, name), string(text))
}

func TestNotSupported(t *testing.T) {
	_, err := unix.Socket(45, unix.SOCK_STREAM, 0)
	assert.Equal(t, unix.EAFNOSUPPORT, err)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	assert.Equal(t, unix.ENOTSOCK, unix.Listen(int(r.Fd()), 1))
	assert.Equal(t, unix.EBADF, unix.Listen(9999, 1))
}
