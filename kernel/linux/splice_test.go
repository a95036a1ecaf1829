//go:build !goshawk

package linux

import (
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
)

func TestSplice(t *testing.T) {
	both(t, func(k *kernel) {
		r, w := k.pipe(syscall.O_NONBLOCK)
		r2, w2 := k.pipe(syscall.O_NONBLOCK)
		f := k.open(k.dir+"/f", syscall.O_CREAT|syscall.O_RDWR, 0o600)
		read := func(fd int) {
			b := make([]byte, 100)
			n, _ := k.do("read", syscall.SYS_READ, fd, b, len(b))
			k.logf("%q", b[:max(0, n)])
		}
		k.do("empty", syscall.SYS_SPLICE, r, nil, f, nil, 10, 0)
		k.do("write", syscall.SYS_WRITE, w, []byte("hello, world"), 12)
		k.do("pipe to file", syscall.SYS_SPLICE, r, nil, f, nil, 5, 0)
		k.do("pipe to pipe", syscall.SYS_SPLICE, r, nil, w2, nil, 2, 0)
		k.do("tee", syscall.SYS_TEE, r, w2, 3, 0)
		read(r2)
		offset := new(int64)
		*offset = 100
		k.do("pipe to file at an offset", syscall.SYS_SPLICE, r, nil, f, unsafe.Pointer(offset), 100, 0)
		k.logf("%d", *offset)
		*offset = 2
		k.do("file at an offset to pipe", syscall.SYS_SPLICE, f, unsafe.Pointer(offset), w, nil, 3, 0)
		k.logf("%d", *offset)
		read(r)
		k.do("lseek", syscall.SYS_LSEEK, f, 0, 1)
		k.do("lseek", syscall.SYS_LSEEK, f, 98, 0)
		k.do("file to pipe", syscall.SYS_SPLICE, f, nil, w, nil, 100, 0)
		k.do("end of file", syscall.SYS_SPLICE, f, nil, w, nil, 100, 0)
		read(r)

		k.do("no pipe", syscall.SYS_SPLICE, f, nil, f, nil, 10, 0)
		k.do("nothing", syscall.SYS_SPLICE, f, nil, f, nil, 0, 0)
		k.do("flags", syscall.SYS_SPLICE, f, nil, w, nil, 10, 99)
		k.do("the same pipe", syscall.SYS_SPLICE, r, nil, w, nil, 10, 0)
		k.do("tee, the same pipe", syscall.SYS_TEE, r, w, 10, 0)
		k.do("tee to a file", syscall.SYS_TEE, r, f, 10, 0)
		k.do("offset of a pipe", syscall.SYS_SPLICE, r, unsafe.Pointer(offset), f, nil, 10, 0)
		k.do("wrong end", syscall.SYS_SPLICE, w, nil, f, nil, 10, 0)
		k.do("wrong end", syscall.SYS_SPLICE, f, nil, r, nil, 10, 0)
		k.do("not open", syscall.SYS_SPLICE, f, nil, 9999, nil, 10, 0)
		k.do("append", syscall.SYS_FCNTL, f, syscall.F_SETFL, syscall.O_APPEND)
		k.do("write", syscall.SYS_WRITE, w, []byte("x"), 1)
		k.do("to an appended file", syscall.SYS_SPLICE, r, nil, f, nil, 10, 0)
		read(r)
		k.close(w)
		k.do("closed", syscall.SYS_SPLICE, r, nil, w2, nil, 10, 0)
		k.do("tee closed", syscall.SYS_TEE, r, w2, 10, 0)
		k.close(r, r2, w2, f)
	})
}

// A splice that has to wait is woken by either side.
func TestSpliceWaits(t *testing.T) {
	k := goshawkKernel(t)
	r, w := k.pipe(0)
	r2, w2 := k.pipe(0)
	const size = 1 << 20
	go func() {
		for left := size; left > 0; left -= 1000 {
			k.quiet(syscall.SYS_WRITE, w, make([]byte, min(1000, left)), min(1000, left))
		}
		k.quiet(syscall.SYS_CLOSE, w)
	}()
	go func() {
		for {
			n, err := k.quiet(syscall.SYS_SPLICE, r, nil, w2, nil, 1<<16, 0)
			if n <= 0 {
				assert.Zero(t, err)
				break
			}
		}
		k.quiet(syscall.SYS_CLOSE, w2)
	}()
	total := 0
	for {
		b := make([]byte, 5000)
		n, err := k.quiet(syscall.SYS_READ, r2, b, len(b))
		if n <= 0 {
			assert.Zero(t, err)
			break
		}
		total += n
	}
	assert.Equal(t, size, total)
}

// pause ends with a signal that has a handler.
func TestPause(t *testing.T) {
	k := goshawkKernel(t)
	got := make(chan syscall.Errno)
	go func() {
		_, err := k.quiet(syscall.SYS_PAUSE)
		got <- err
	}()
	for {
		// The Go runtime, also the host's, handles SIGURG.
		k.quiet(syscall.SYS_KILL, 1, int(syscall.SIGURG))
		select {
		case err := <-got:
			assert.Equal(t, syscall.EINTR, err)
			return
		default:
		}
	}
}

// TestSpliceFromShutSocket: a socket of datagrams that was shut down is readable and never has anything.
// A call that waits returns 0.
func TestSpliceFromShutSocket(t *testing.T) {
	both(t, func(k *kernel) {
		r, w := k.pipe(0)
		a, b := k.socketpair(syscall.SOCK_DGRAM)
		k.do("shutdown", syscall.SYS_SHUTDOWN, b, syscall.SHUT_RD)
		k.poll(b)
		k.do("FIONBIO", syscall.SYS_IOCTL, b, fioNBIO, unsafe.Pointer(new(int32)))
		k.do("splice", syscall.SYS_SPLICE, b, nil, w, nil, 10, 0)
		k.close(r, w, a, b)
	})
}
