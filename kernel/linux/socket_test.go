//go:build !goshawk

package linux

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

func TestSocketPair(t *testing.T) {
	for _, kind := range []int{syscall.SOCK_STREAM, syscall.SOCK_DGRAM, syscall.SOCK_SEQPACKET} {
		both(t, func(k *kernel) {
			a, b := k.socketpair(kind)
			k.names(a)
			k.poll(a)
			k.read(b, 10)
			k.write(a, "hello")
			k.write(a, "world")
			k.poll(b)
			k.queues(b)
			k.recvfrom(b, 3, syscall.MSG_PEEK)
			k.recvfrom(b, 3, syscall.MSG_PEEK|syscall.MSG_TRUNC)
			k.recvmsg(b, 0, 0, 2, 1)
			k.read(b, 100)
			k.read(b, 100)
			k.do("read nothing", syscall.SYS_READ, b, nil, 0)
			k.write(a, "")
			k.poll(b)
			k.recvfrom(b, 10, 0)
			k.do("write nil", syscall.SYS_WRITE, a, nil, 1)
			k.sendmsg(a, message{parts: []string{"one", "", "two"}}, 0)
			k.recvmsg(b, 0, 0, 10)
			one, two := []byte("one"), []byte("two")
			list := []iovec{{&one[0], 3}, {&two[0], 3}}
			k.do("writev", syscall.SYS_WRITEV, a, unsafe.Pointer(&list[0]), 2)
			in := make([]byte, 8)
			list = []iovec{{&in[0], 2}, {&in[2], 2}, {&in[4], 4}}
			k.do("readv", syscall.SYS_READV, b, unsafe.Pointer(&list[0]), 3)
			k.logf("  %q", in)
			long := make([]iovec, 20)
			out := []byte("abcdefghijklmnopqrst")
			for i := range long {
				long[i] = iovec{&out[i], 1}
			}
			k.do("writev of many", syscall.SYS_WRITEV, a, unsafe.Pointer(&long[0]), len(long))
			k.read(b, 100)
			k.do("lseek", syscall.SYS_LSEEK, a, 0, 0)
			k.do("pread", syscall.SYS_PREAD64, a, in, 1, 0)
			k.do("preadv", syscall.SYS_PREADV, a, unsafe.Pointer(&list[0]), 2, 0)
			k.do("fsync", syscall.SYS_FSYNC, a)
			k.do("ftruncate", syscall.SYS_FTRUNCATE, a, 0)
			st := new(syscall.Stat_t)
			_, err := k.do("fstat", syscall.SYS_FSTAT, a, unsafe.Pointer(st))
			k.logStat(st, err)
			k.do("F_GETFL", syscall.SYS_FCNTL, a, syscall.F_GETFL, 0)
			k.do("F_GETFD", syscall.SYS_FCNTL, a, syscall.F_GETFD, 0)
			k.do("shutdown", syscall.SYS_SHUTDOWN, a, 3)
			k.do("shutdown", syscall.SYS_SHUTDOWN, a, syscall.SHUT_WR)
			k.poll(a)
			k.poll(b)
			k.write(a, "x")
			k.sendto(a, "x", "")
			k.read(b, 10)
			k.write(b, "back")
			k.read(a, 10)
			k.do("shutdown", syscall.SYS_SHUTDOWN, a, syscall.SHUT_RD)
			k.poll(a)
			k.poll(b)
			k.write(b, "x")
			k.close(a)
			k.poll(b)
			k.write(b, "x")
			k.read(b, 10)
			k.option(b, syscall.SOL_SOCKET, syscall.SO_ERROR, 4)
			k.close(b)
		})
	}
}

func TestSocketOfUnreadData(t *testing.T) {
	for _, kind := range []int{syscall.SOCK_STREAM, syscall.SOCK_SEQPACKET} {
		both(t, func(k *kernel) {
			a, b := k.socketpair(kind)
			k.write(a, "lost")
			k.write(b, "kept")
			k.close(b)
			k.poll(a)
			k.read(a, 2)
			k.read(a, 10)
			k.read(a, 10)
			k.read(a, 10)
			k.poll(a)
			k.close(a)

			a, b = k.socketpair(kind)
			k.write(a, "lost")
			k.close(b)
			k.write(a, "x")
			k.option(a, syscall.SOL_SOCKET, syscall.SO_ERROR, 4)
			k.option(a, syscall.SOL_SOCKET, syscall.SO_ERROR, 4)
			k.write(a, "x")
			k.close(a)
		})
	}
}

func TestSocketListen(t *testing.T) {
	for _, kind := range []int{syscall.SOCK_STREAM, syscall.SOCK_SEQPACKET} {
		both(t, func(k *kernel) {
			l := k.socket(kind)
			k.poll(l)
			k.listen(l, 1)
			k.read(l, 10)
			k.write(l, "x")
			k.accept(l)
			path := k.dir + "/socket"
			k.bind(l, path)
			k.stat(path)
			k.bind(l, path)
			k.bind(l, path+"2")
			k.stat(path + "2")
			k.names(l)
			k.connect(k.socket(kind), path)
			k.accept(l)
			k.listen(l, 1)
			k.listen(l, 1)
			k.poll(l)
			k.accept(l)
			k.option(l, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN, 4)
			c := k.socket(kind)
			k.names(c)
			k.connect(c, path)
			k.connect(c, path)
			k.names(c)
			k.poll(l)
			k.poll(c)
			k.write(c, "early")
			k.connect(l, path)
			s := k.accept(l)
			k.names(s)
			k.read(s, 10)
			k.write(s, "answer")
			k.read(c, 10)
			k.do("FIONREAD of a listener", syscall.SYS_IOCTL, l, fioNRead, unsafe.Pointer(new(int32)))

			other := k.socket(syscall.SOCK_DGRAM)
			k.connect(other, path)
			k.connect(k.socket(kind), k.dir+"/none")
			k.connect(k.socket(kind), k.dir)
			k.connect(k.socket(kind), path+"/x")
			k.bind(k.socket(kind), k.dir+"/none/x")
			k.bind(k.socket(kind), path)
			k.bind(other, path+"2")
			k.listen(other, 1)
			k.accept(other)
			k.open(path, syscall.O_RDWR, 0)

			n := 0
			for {
				fd, _ := k.quiet(syscall.SYS_SOCKET, syscall.AF_UNIX, kind|sockCalls, 0)
				b := unixAddress(path)
				if _, err := k.quiet(syscall.SYS_CONNECT, fd, b, len(b)); err != 0 {
					k.logf("%d connections, then %v", n, err)
					break
				}
				n++
			}
			w := k.socket(kind)
			k.connect(w, path)
			k.accept(l)
			k.connect(w, path)
			k.do("unlink", syscall.SYS_UNLINK, path)
			k.connect(k.socket(kind), path)
			k.write(c, "still")
			k.read(s, 10)
			k.close(l)
			k.poll(w) // not accepted
			k.read(w, 10)
			k.close(c)
			k.read(s, 10)
			k.close(s)
		})
	}
}

func TestSocketShutdownOfListener(t *testing.T) {
	both(t, func(k *kernel) {
		l := k.socket(syscall.SOCK_STREAM)
		k.bind(l, k.abstract("l"))
		k.listen(l, 5)
		k.connect(k.socket(syscall.SOCK_STREAM), k.abstract("l"))
		k.do("shutdown", syscall.SYS_SHUTDOWN, l, syscall.SHUT_RDWR)
		k.poll(l)
		k.connect(k.socket(syscall.SOCK_STREAM), k.abstract("l"))
		k.accept(l)
		k.accept(l)
		k.close(l)
	})
}

func TestSocketNames(t *testing.T) {
	both(t, func(k *kernel) {
		s := k.socket(syscall.SOCK_STREAM)
		k.do("bind short", syscall.SYS_BIND, s, []byte{1}, 1)
		k.do("bind other family", syscall.SYS_BIND, s, []byte{2, 0, 'x'}, 3)
		k.do("bind long", syscall.SYS_BIND, s, make([]byte, 200), 200)
		k.bind(s, strings.Repeat("x", 109))
		k.do("connect short", syscall.SYS_CONNECT, s, []byte{1, 0}, 2)
		k.do("connect other family", syscall.SYS_CONNECT, s, []byte{2, 0, 'x'}, 3)
		k.do("connect nobody", syscall.SYS_CONNECT, s, []byte{0, 0, 'x'}, 3)
		k.connect(s, k.abstract("none"))
		k.bind(s, k.abstract("a"))
		k.names(s)
		k.bind(s, k.abstract("b"))
		other := k.socket(syscall.SOCK_STREAM)
		k.bind(other, k.abstract("a"))
		k.bind(other, k.abstract("a\x00b"))
		k.names(other)
		packets := k.socket(syscall.SOCK_DGRAM)
		k.bind(packets, k.abstract("a")) // a name space of its own
		k.close(s)
		s = k.socket(syscall.SOCK_STREAM)
		k.bind(s, k.abstract("a"))

		auto := k.socket(syscall.SOCK_DGRAM)
		k.bind(auto, "")
		k.bind(auto, "")
		b, n := make([]byte, 128), new(int32)
		*n = int32(len(b))
		k.do("getsockname", syscall.SYS_GETSOCKNAME, auto, b, unsafe.Pointer(n))
		k.logf("%d %q", *n, b[:3])
		*n = 4
		k.do("getsockname cut", syscall.SYS_GETSOCKNAME, auto, b, unsafe.Pointer(n))
		k.logf("%d", *n)
		*n = -1
		k.do("getsockname negative", syscall.SYS_GETSOCKNAME, auto, b, unsafe.Pointer(n))
		k.do("getsockname nil", syscall.SYS_GETSOCKNAME, auto, b, nil)

		k.do("chdir", syscall.SYS_CHDIR, k.dir)
		full := k.socket(syscall.SOCK_DGRAM)
		name := strings.Repeat("y", 108)
		k.bind(full, name)
		k.names(full)
		relative := k.socket(syscall.SOCK_DGRAM)
		k.bind(relative, "relative\x00behind")
		k.names(relative)
		k.do("chdir", syscall.SYS_CHDIR, "/")
		k.sendto(full, "by path", k.dir+"/relative")
		k.recvfrom(relative, 10, 0)

		fd := k.open(k.dir+"/file", syscall.O_CREAT|syscall.O_RDWR, 0o600)
		k.bind(fd, "x")
		k.listen(fd, 1)
		k.connect(s, k.dir+"/file")
		k.do("socketless", syscall.SYS_GETSOCKNAME, 9999, b, unsafe.Pointer(n))
		path := k.open(k.dir+"/relative", 0o10000000, 0)
		k.listen(path, 1)
	})
}

func TestSocketKinds(t *testing.T) {
	both(t, func(k *kernel) {
		socket := func(domain, kind, protocol int) {
			k.fd(fmt.Sprint("socket ", domain, kind, protocol), syscall.SYS_SOCKET, domain, kind, protocol)
		}
		socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 1)
		socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 2)
		socket(syscall.AF_UNIX, syscall.SOCK_RAW, 0)
		socket(syscall.AF_UNIX, syscall.SOCK_RDM, 0)
		socket(syscall.AF_UNIX, 0, 0)
		socket(syscall.AF_UNIX, 15, 0)
		socket(syscall.AF_UNIX, syscall.SOCK_STREAM|0x100, 0)
		socket(45, syscall.SOCK_STREAM, 0)
		socket(1000, syscall.SOCK_STREAM, 0)
		socket(-1, syscall.SOCK_STREAM, 0)
		s := k.socket(syscall.SOCK_RAW)
		k.option(s, syscall.SOL_SOCKET, syscall.SO_TYPE, 4)
		k.option(s, syscall.SOL_SOCKET, soDomain, 4)
		k.option(s, syscall.SOL_SOCKET, soProtocol, 4)
		k.do("socketpair nil", syscall.SYS_SOCKETPAIR, syscall.AF_UNIX, syscall.SOCK_STREAM, 0, nil)
		k.do("socketpair unknown family", syscall.SYS_SOCKETPAIR, 45, syscall.SOCK_STREAM, 0, make([]byte, 8))
	})
}

func TestSocketDatagrams(t *testing.T) {
	both(t, func(k *kernel) {
		a, b, c := k.socket(syscall.SOCK_DGRAM), k.socket(syscall.SOCK_DGRAM), k.socket(syscall.SOCK_DGRAM)
		k.names(a)
		k.write(a, "nobody")
		k.read(a, 10)
		k.bind(a, k.abstract("a"))
		k.bind(b, k.abstract("b"))
		k.sendto(c, "unnamed", k.abstract("a"))
		k.sendto(b, "named", k.abstract("a"))
		k.queues(a)
		k.recvfrom(a, 10, 0)
		k.recvmsg(a, 0, syscall.MSG_TRUNC, 2)
		k.recvfrom(a, 10, 0)
		k.sendto(b, "none", k.abstract("none"))
		k.sendto(b, "cut", k.abstract("a"))
		k.recvmsg(a, 0, 0, 2)
		k.recvfrom(a, 10, syscall.MSG_OOB)
		k.sendmsg(b, message{parts: []string{"x"}, name: k.abstract("a")}, syscall.MSG_OOB)
		k.recvfrom(a, 10, syscall.MSG_ERRQUEUE)

		k.connect(b, k.abstract("a"))
		k.names(b)
		k.write(b, "connected")
		k.recvfrom(a, 20, 0)
		k.connect(a, k.abstract("b"))
		k.sendto(c, "not for me", k.abstract("a"))
		k.connect(c, k.abstract("a"))
		k.do("disconnect", syscall.SYS_CONNECT, a, []byte{0, 0}, 2)
		k.names(a)
		k.write(a, "nobody")
		k.sendto(c, "again", k.abstract("a"))
		k.recvfrom(a, 20, 0)

		k.connect(a, k.abstract("b"))
		k.write(b, "lost")
		k.do("disconnect", syscall.SYS_CONNECT, a, []byte{0, 0}, 2)
		k.poll(b)
		k.read(b, 10)
		k.read(b, 10)
		k.read(a, 10)

		k.close(a)
		k.poll(b)
		k.write(b, "refused")
		k.write(b, "not connected")
		k.sendto(b, "refused", k.abstract("a"))
		k.do("too long", syscall.SYS_SENDTO, b, make([]byte, 1<<20), 1<<20, 0, unixAddress(k.abstract("b")), len(unixAddress(k.abstract("b"))))
		k.sendto(b, "to itself", k.abstract("b"))
		k.recvfrom(b, 20, 0)
		k.do("shutdown", syscall.SYS_SHUTDOWN, b, syscall.SHUT_RD)
		k.poll(b)
		k.read(b, 10)
		k.sendto(c, "too late", k.abstract("b"))
		k.do("shutdown", syscall.SYS_SHUTDOWN, b, syscall.SHUT_WR)
		k.poll(b)
		k.sendto(b, "x", k.abstract("b"))
		k.close(b, c)
	})
}

func TestSocketOptions(t *testing.T) {
	both(t, func(k *kernel) {
		a, b := k.socketpair(syscall.SOCK_STREAM)
		const level = syscall.SOL_SOCKET
		for _, name := range []int{syscall.SO_REUSEADDR, syscall.SO_BROADCAST, syscall.SO_KEEPALIVE, syscall.SO_SNDBUF, syscall.SO_RCVBUF,
			syscall.SO_OOBINLINE, syscall.SO_PASSCRED, syscall.SO_RCVLOWAT, syscall.SO_PRIORITY, 32, 33} {
			for _, v := range []int32{1, 5, 100000, 1 << 30, -1, 0} {
				if name == syscall.SO_PRIORITY && v > 6 {
					continue
				}
				k.setOption(a, level, name, v)
				if name < 32 {
					k.option(a, level, name, 4)
				}
			}
			k.do("short", syscall.SYS_SETSOCKOPT, a, level, name, make([]byte, 4), 2)
		}
		k.setOption(a, level, syscall.SO_LINGER, 1, 5)
		k.option(a, level, syscall.SO_LINGER, 8)
		for _, name := range []int{syscall.SO_TYPE, soDomain, soProtocol, syscall.SO_ERROR, syscall.SO_ACCEPTCONN, 9999} {
			k.setOption(a, level, name, 1)
		}
		k.option(a, level, 9999, 4)
		k.option(a, 6, 1, 4)
		k.setOption(a, 6, 1, 1)
		k.option(a, level, syscall.SO_TYPE, 2)
		k.option(a, level, syscall.SO_TYPE, 0)
		k.option(a, level, syscall.SO_TYPE, 20)
		k.option(a, level, syscall.SO_TYPE, -1)
		k.option(a, level, syscall.SO_SNDLOWAT, 4)
		k.option(a, level, syscall.SO_ACCEPTCONN, 4)
		k.do("getsockopt nil", syscall.SYS_GETSOCKOPT, a, level, syscall.SO_TYPE, nil, nil)
		tv := make([]byte, 16)
		for _, name := range []int{syscall.SO_RCVTIMEO, syscall.SO_SNDTIMEO} {
			*(*syscall.Timeval)(unsafe.Pointer(&tv[0])) = syscall.Timeval{Sec: 3, Usec: 500000}
			k.do("timeout", syscall.SYS_SETSOCKOPT, a, level, name, tv, 16)
			k.option(a, level, name, 16)
			*(*syscall.Timeval)(unsafe.Pointer(&tv[0])) = syscall.Timeval{Usec: 1e6}
			k.do("timeout", syscall.SYS_SETSOCKOPT, a, level, name, tv, 16)
			k.do("timeout", syscall.SYS_SETSOCKOPT, a, level, name, tv, 8)
			*(*syscall.Timeval)(unsafe.Pointer(&tv[0])) = syscall.Timeval{Sec: -1}
			k.do("timeout", syscall.SYS_SETSOCKOPT, a, level, name, tv, 16)
			k.option(a, level, name, 16)
		}
		k.close(a, b)
	})
}
