//go:build !goshawk

package linux

import (
	"os"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func TestSocketRights(t *testing.T) {
	for _, kind := range []int{syscall.SOCK_STREAM, syscall.SOCK_DGRAM, syscall.SOCK_SEQPACKET} {
		both(t, func(k *kernel) {
			a, b := k.socketpair(kind)
			r, w := k.pipe(0)
			k.write(w, "through")
			k.sendmsg(a, message{parts: []string{"fd"}, control: rights(r)}, 0)
			peeked := k.recvmsg(b, 64, syscall.MSG_PEEK, 10)
			require.Len(k.t, peeked, 1)
			k.do("F_GETFD", syscall.SYS_FCNTL, peeked[0], syscall.F_GETFD, 0)
			k.close(peeked[0])
			got := k.recvmsg(b, 64, syscall.MSG_CMSG_CLOEXEC, 10)
			require.Len(k.t, got, 1)
			k.do("F_GETFD", syscall.SYS_FCNTL, got[0], syscall.F_GETFD, 0)
			k.close(r)
			k.read(got[0], 20)
			k.close(got[0])
			k.write(w, "x") // the last reader is gone

			k.sendmsg(a, message{parts: []string{"two"}, control: rights(w, w)}, 0)
			k.close(k.recvmsg(b, 16+4, 0, 10)...) // room for one
			k.sendmsg(a, message{parts: []string{"two"}, control: rights(w, w)}, 0)
			k.recvmsg(b, 0, 0, 10) // room for none
			k.sendmsg(a, message{parts: []string{"two"}, control: rights(w, w)}, 0)
			k.read(b, 10)

			k.sendmsg(a, message{parts: []string{"bad"}, control: rights(w, 9999)}, 0)
			k.sendmsg(a, message{parts: []string{"many"}, control: rights(make([]int, 254)...)}, 0)
			bad := rights(w)
			bad[0] = 100
			k.sendmsg(a, message{parts: []string{"length"}, control: bad}, 0)
			bad = rights(w)
			bad[12] = 99
			k.sendmsg(a, message{parts: []string{"type"}, control: bad}, 0)
			bad = rights(w)
			bad[8] = 99
			k.sendmsg(a, message{parts: []string{"level"}, control: bad}, 0)
			k.read(b, 10)

			// Files in flight are closed with the socket.
			r, w = k.pipe(syscall.O_NONBLOCK)
			k.sendmsg(a, message{parts: []string{"fd"}, control: rights(w)}, 0)
			k.close(w)
			k.read(r, 1)
			k.close(b)
			k.read(r, 1)
			k.close(a, r)
		})
	}
}

// TestSocketRightsInStream: what comes with a piece of a stream does not mix with what comes with
// another.
func TestSocketRightsInStream(t *testing.T) {
	both(t, func(k *kernel) {
		a, b := k.socketpair(syscall.SOCK_STREAM)
		r, w := k.pipe(0)
		k.write(a, "before ")
		k.sendmsg(a, message{parts: []string{"one "}, control: rights(r)}, 0)
		k.write(a, "between ")
		k.sendmsg(a, message{parts: []string{"two "}, control: rights(r, w)}, 0)
		k.sendmsg(a, message{parts: []string{"three "}, control: rights(w)}, 0)
		k.write(a, "behind ")
		k.queues(b)
		k.close(k.recvmsg(b, 64, syscall.MSG_PEEK, 100)...)
		k.close(k.recvmsg(b, 64, 0, 3)...)
		k.close(k.recvmsg(b, 64, 0, 6)...)
		k.close(k.recvmsg(b, 64, 0, 4)...)
		k.close(k.recvmsg(b, 64, 0, 100)...)
		k.read(b, 3)
		k.close(k.recvmsg(b, 64, 0, 100)...)
		k.close(k.recvmsg(b, 64, 0, 100)...)

		k.sendmsg(a, message{control: rights(r)}, 0) // no bytes
		k.recvmsg(b, 64, 0, 100)
		k.close(a, b, r, w)
	})
}

func ucred(pid, uid, gid int) []byte {
	return syscall.UnixCredentials(&syscall.Ucred{Pid: int32(pid), Uid: uint32(uid), Gid: uint32(gid)})
}

func TestSocketCredentials(t *testing.T) {
	for _, kind := range []int{syscall.SOCK_STREAM, syscall.SOCK_DGRAM, syscall.SOCK_SEQPACKET} {
		both(t, func(k *kernel) {
			own := 1 // the process ID
			if k.dir != "/tmp" {
				own = os.Getpid()
			}
			a, b := k.socketpair(kind)
			k.write(a, "without")
			k.setOption(b, syscall.SOL_SOCKET, syscall.SO_PASSCRED, 1)
			k.write(a, "with")
			k.recvmsg(b, 64, 0, 100)
			k.recvmsg(b, 64, 0, 100)
			k.write(a, "one ")
			k.sendmsg(a, message{parts: []string{"two "}, control: ucred(own, 5, 6)}, 0)
			k.write(a, "three")
			k.recvmsg(b, 64, 0, 100)
			k.recvmsg(b, 20, 0, 100) // cut
			k.recvmsg(b, 64, 0, 100)
			k.sendmsg(a, message{parts: []string{"x"}, control: ucred(own, -1, 0)}, 0)
			k.sendmsg(a, message{parts: []string{"x"}, control: ucred(4194000, 0, 0)}, 0)
			r, w := k.pipe(0)
			k.sendmsg(a, message{parts: []string{"both"}, control: append(ucred(own, 1, 2), rights(r)...)}, 0)
			k.close(k.recvmsg(b, 64, 0, 100)...)
			k.write(a, "read")
			k.read(b, 10)
			u, n := new(syscall.Ucred), new(int32)
			*n = 12
			k.do("SO_PEERCRED", syscall.SYS_GETSOCKOPT, a, syscall.SOL_SOCKET, syscall.SO_PEERCRED, unsafe.Pointer(u), unsafe.Pointer(n))
			k.logf("  %d %v", *n, *u == syscall.Ucred{Pid: int32(own)})
			k.close(a, b, r, w)
		})
	}
}
