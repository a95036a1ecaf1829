//go:build !goshawk

package linux

import (
	"encoding/binary"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func (k *kernel) open(path string, flags, mode int) int {
	return k.fd(fmt.Sprintf("open %s %#x", path, flags), syscall.SYS_OPENAT, abi.AT_FDCWD, path, flags, mode)
}

// stat logs what does not depend on the file system.
func (k *kernel) stat(path string) {
	st := new(syscall.Stat_t)
	_, err := k.do("newfstatat "+path, syscall.SYS_NEWFSTATAT, abi.AT_FDCWD, path, unsafe.Pointer(st), abi.AT_SYMLINK_NOFOLLOW)
	k.logStat(st, err)
}

func (k *kernel) logStat(st *syscall.Stat_t, err syscall.Errno) {
	if err != 0 {
		return
	}
	size, links := st.Size, st.Nlink
	if st.Mode&syscall.S_IFMT == syscall.S_IFDIR {
		size, links = 0, 0 // differs between file systems
	}
	k.logf("  mode %#o links %d uid %d gid %d size %d", st.Mode, links, st.Uid, st.Gid, size)
}

func TestFiles(t *testing.T) {
	both(t, func(k *kernel) {
		p := k.dir + "/f"
		k.open(p, syscall.O_RDWR, 0)
		f := k.open(p, syscall.O_RDWR|syscall.O_CREAT|syscall.O_EXCL, 0o666)
		k.open(p, syscall.O_RDWR|syscall.O_CREAT|syscall.O_EXCL, 0o666)
		k.do("F_GETFL", syscall.SYS_FCNTL, f, syscall.F_GETFL, 0)
		k.do("F_GETFD", syscall.SYS_FCNTL, f, syscall.F_GETFD, 0)
		k.do("F_SETFD", syscall.SYS_FCNTL, f, syscall.F_SETFD, syscall.FD_CLOEXEC)
		k.do("F_GETFD", syscall.SYS_FCNTL, f, syscall.F_GETFD, 0)
		k.write(f, "hello, world")
		k.do("lseek", syscall.SYS_LSEEK, f, 0, abi.SEEK_CUR)
		k.do("lseek", syscall.SYS_LSEEK, f, -5, abi.SEEK_END)
		k.do("lseek", syscall.SYS_LSEEK, f, -50, abi.SEEK_END)
		k.do("lseek", syscall.SYS_LSEEK, f, 0, 9)
		k.read(f, 100)
		k.read(f, 100)
		b := make([]byte, 5)
		k.do("pread", syscall.SYS_PREAD64, f, b, 5, 7)
		k.logf("%q", b)
		k.do("pread", syscall.SYS_PREAD64, f, b, 5, -1)
		k.do("pwrite", syscall.SYS_PWRITE64, f, []byte("HELLO"), 5, 0)
		k.do("FIONREAD", syscall.SYS_IOCTL, f, fioNRead, nil)
		n := new(int32)
		k.do("lseek", syscall.SYS_LSEEK, f, 2, abi.SEEK_SET)
		k.do("FIONREAD", syscall.SYS_IOCTL, f, fioNRead, unsafe.Pointer(n))
		k.logf("%d", *n)
		k.do("TCGETS", syscall.SYS_IOCTL, f, syscall.TCGETS, make([]byte, 64))
		parts := []iovec{{&b[0], 2}, {nil, 0}, {&b[2], 3}}
		k.do("readv", syscall.SYS_READV, f, unsafe.Pointer(&parts[0]), 3)
		k.logf("%q", b)
		k.do("preadv", syscall.SYS_PREADV, f, unsafe.Pointer(&parts[0]), 3, 1)
		k.logf("%q", b)
		k.do("writev", syscall.SYS_WRITEV, f, unsafe.Pointer(&parts[0]), 3)
		k.do("pwritev", syscall.SYS_PWRITEV, f, unsafe.Pointer(&parts[0]), 1, 100)
		k.do("readv too many", syscall.SYS_READV, f, unsafe.Pointer(&parts[0]), 5000)
		k.do("readv none", syscall.SYS_READV, f, nil, 0)
		k.stat(p)
		k.do("ftruncate", syscall.SYS_FTRUNCATE, f, 5)
		k.do("ftruncate", syscall.SYS_FTRUNCATE, f, -5)
		k.do("truncate", syscall.SYS_TRUNCATE, p, 3)
		k.do("truncate dir", syscall.SYS_TRUNCATE, k.dir, 3)
		k.stat(p)
		k.do("fallocate", syscall.SYS_FALLOCATE, f, 0, 0, 10000)
		k.do("fallocate", syscall.SYS_FALLOCATE, f, 0, -1, 10000)
		k.stat(p)
		k.do("fsync", syscall.SYS_FSYNC, f)
		k.do("fdatasync", syscall.SYS_FDATASYNC, f)
		k.do("sync_file_range", syscall.SYS_SYNC_FILE_RANGE, f, 0, 0, 7)
		k.do("fadvise64", syscall.SYS_FADVISE64, f, 0, 0, 4)
		k.do("fadvise64", syscall.SYS_FADVISE64, f, 0, 0, 77)
		k.do("F_SETFL", syscall.SYS_FCNTL, f, syscall.F_SETFL, syscall.O_APPEND|syscall.O_NONBLOCK)
		k.do("F_GETFL", syscall.SYS_FCNTL, f, syscall.F_GETFL, 0)
		k.do("lseek", syscall.SYS_LSEEK, f, 0, abi.SEEK_SET)
		k.write(f, "end")
		k.do("lseek", syscall.SYS_LSEEK, f, 0, abi.SEEK_CUR)
		ro := k.open(p, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		k.do("F_GETFD", syscall.SYS_FCNTL, ro, syscall.F_GETFD, 0)
		k.write(ro, "x")
		k.do("ftruncate", syscall.SYS_FTRUNCATE, ro, 5)
		wo := k.open(p, syscall.O_WRONLY|syscall.O_TRUNC, 0)
		k.read(wo, 5)
		k.stat(p)
		k.open(p, syscall.O_DIRECTORY, 0)
		k.open(p+"/x", 0, 0)
		k.open(k.dir, syscall.O_RDWR, 0)
		k.open("", 0, 0)
		k.do("open nil", syscall.SYS_OPEN, nil, 0, 0)
		k.do("close", syscall.SYS_CLOSE, -1)
		k.close(f, f, ro, wo)
		k.do("read closed", syscall.SYS_READ, f, b, 1)
	})
}

func TestNames(t *testing.T) {
	both(t, func(k *kernel) {
		at := func(p string) string { return k.dir + "/" + p }
		fd := abi.AT_FDCWD
		k.do("mkdir", syscall.SYS_MKDIRAT, fd, at("d"), 0o777)
		k.do("mkdir", syscall.SYS_MKDIR, at("d"), 0o777)
		k.do("mkdir", syscall.SYS_MKDIR, at("no/d"), 0o777)
		k.stat(at("d"))
		d := k.open(at("d"), syscall.O_DIRECTORY, 0)
		f := k.fd("openat", syscall.SYS_OPENAT, d, "f", syscall.O_CREAT|syscall.O_WRONLY, 0o640)
		k.close(f)
		k.do("unlink dir", syscall.SYS_UNLINKAT, fd, at("d"), 0)
		k.do("rmdir not empty", syscall.SYS_UNLINKAT, fd, at("d"), abi.AT_REMOVEDIR)
		k.do("rmdir file", syscall.SYS_RMDIR, at("d/f"))
		k.do("unlink bad flags", syscall.SYS_UNLINKAT, fd, at("d"), 1)
		k.do("openat not a dir fd", syscall.SYS_OPENAT, 999, "f", 0, 0)
		k.fd("openat absolute", syscall.SYS_OPENAT, 999, at("d/f"), 0, 0)
		k.do("link", syscall.SYS_LINKAT, fd, at("d/f"), d, "g", 0)
		k.do("link exists", syscall.SYS_LINK, at("d/f"), at("d/g"))
		k.do("link dir", syscall.SYS_LINK, at("d"), at("e"))
		k.stat(at("d/g"))
		k.do("symlink", syscall.SYS_SYMLINKAT, "d/f", fd, at("s"))
		k.do("symlink", syscall.SYS_SYMLINK, "x", at("s"))
		k.do("symlink empty", syscall.SYS_SYMLINK, "", at("s2"))
		k.stat(at("s"))
		b := make([]byte, 16)
		k.do("readlink", syscall.SYS_READLINKAT, fd, at("s"), b, 16)
		k.logf("%q", b)
		k.do("readlink short", syscall.SYS_READLINK, at("s"), b, 2)
		k.do("readlink 0", syscall.SYS_READLINK, at("s"), b, 0)
		k.do("readlink file", syscall.SYS_READLINK, at("d/f"), b, 16)
		k.open(at("s"), syscall.O_NOFOLLOW, 0)
		k.do("rename", syscall.SYS_RENAMEAT, d, "g", fd, at("h"))
		k.do("rename missing", syscall.SYS_RENAME, at("nope"), at("h"))
		k.do("rename onto dir", syscall.SYS_RENAME, at("h"), at("d"))
		k.do("rename into self", syscall.SYS_RENAME, at("d"), at("d/x"))
		k.do("rename noreplace", 316, fd, at("h"), fd, at("s"), abi.RENAME_NOREPLACE)
		k.do("rename bad flags", 316, fd, at("h"), fd, at("s"), 99)
		k.do("chmod", syscall.SYS_CHMOD, at("h"), 0o4711)
		k.do("fchmodat", syscall.SYS_FCHMODAT, fd, at("h"), 0o600)
		k.stat(at("h"))
		k.do("chown", syscall.SYS_FCHOWNAT, fd, at("h"), 5, -1, 0)
		k.do("lchown", syscall.SYS_LCHOWN, at("s"), 7, 8)
		k.do("fchown", syscall.SYS_FCHOWN, d, 1, 2)
		k.do("fchmod", syscall.SYS_FCHMOD, d, 0o711)
		k.stat(at("h"))
		k.stat(at("s"))
		k.stat(at("d"))
		k.do("access", syscall.SYS_ACCESS, at("h"), 7)
		k.do("access", syscall.SYS_FACCESSAT, fd, at("h"), 6)
		k.do("access", syscall.SYS_FACCESSAT, fd, at("nope"), 0)
		k.do("access", syscall.SYS_FACCESSAT, fd, at("h"), 99)
		st := new(syscall.Stat_t)
		_, err := k.do("fstat via empty path", syscall.SYS_NEWFSTATAT, d, "", unsafe.Pointer(st), abi.AT_EMPTY_PATH)
		k.logStat(st, err)
		k.do("stat empty path", syscall.SYS_NEWFSTATAT, d, "", unsafe.Pointer(st), 0)
		k.do("stat bad flags", syscall.SYS_NEWFSTATAT, d, "f", unsafe.Pointer(st), 0x10)
		k.do("stat nil", syscall.SYS_STAT, nil, unsafe.Pointer(st))
		k.do("stat slash", syscall.SYS_STAT, at("d/f/"), unsafe.Pointer(st))
		k.do("fstat", syscall.SYS_FSTAT, -1, unsafe.Pointer(st))
		long := string(make([]byte, 5000))
		for range 5000 {
			long = "x" + long[:4999]
		}
		k.do("long path", syscall.SYS_STAT, long, unsafe.Pointer(st))
		k.do("long name", syscall.SYS_STAT, at(long[:256]), unsafe.Pointer(st))
		times := &[2]syscall.Timespec{{Sec: 11, Nsec: 22}, {Sec: 33, Nsec: 44}}
		k.do("utimensat", syscall.SYS_UTIMENSAT, fd, at("h"), unsafe.Pointer(times), 0)
		k.quiet(syscall.SYS_STAT, at("h"), unsafe.Pointer(st))
		k.logf("%v %v", st.Atim, st.Mtim)
		times[0].Nsec = abi.UTIME_OMIT
		times[1].Nsec = -1
		k.do("utimensat", syscall.SYS_UTIMENSAT, fd, at("h"), unsafe.Pointer(times), 0)
		times[1].Nsec = 9
		k.do("futimens", syscall.SYS_UTIMENSAT, d, nil, unsafe.Pointer(times), 0)
		k.quiet(syscall.SYS_STAT, at("d"), unsafe.Pointer(st))
		k.logf("%v", st.Mtim)
		k.do("utimes", syscall.SYS_UTIMES, at("h"), unsafe.Pointer(&[2]syscall.Timeval{{Sec: 1, Usec: 2}, {Sec: 3, Usec: 4}}))
		k.quiet(syscall.SYS_STAT, at("h"), unsafe.Pointer(st))
		k.logf("%v %v", st.Atim, st.Mtim)
		k.do("mknod fifo", syscall.SYS_MKNODAT, fd, at("p"), syscall.S_IFIFO|0o600, 0)
		k.do("mknod dir", syscall.SYS_MKNOD, at("q"), syscall.S_IFDIR|0o600, 0)
		k.stat(at("p"))
		k.open(at("p"), syscall.O_WRONLY|syscall.O_NONBLOCK, 0)
		r := k.open(at("p"), syscall.O_RDONLY|syscall.O_NONBLOCK, 0)
		w := k.open(at("p"), syscall.O_WRONLY|syscall.O_NONBLOCK, 0)
		k.read(r, 4)
		k.write(w, "fifo")
		k.read(r, 10)
		k.close(w)
		k.read(r, 10)
		k.close(r, d)
		k.do("umask", syscall.SYS_UMASK, 0o77)
		k.do("mkdir", syscall.SYS_MKDIR, at("m"), 0o777)
		k.stat(at("m"))
		k.do("umask", syscall.SYS_UMASK, 0o22)
		sf := new(syscall.Statfs_t)
		k.do("statfs", syscall.SYS_STATFS, at(""), unsafe.Pointer(sf))
		k.do("statfs", syscall.SYS_STATFS, at("nope"), unsafe.Pointer(sf))
	})
}

func TestWorkingDirectory(t *testing.T) {
	both(t, func(k *kernel) {
		b := make([]byte, 4096)
		old, _ := k.quiet(syscall.SYS_GETCWD, b, len(b))
		before := string(b[:old-1])
		k.do("chdir", syscall.SYS_CHDIR, k.dir)
		n, _ := k.quiet(syscall.SYS_GETCWD, b, len(b))
		k.logf("%q", b[:n-1])
		k.do("getcwd short", syscall.SYS_GETCWD, b, 2)
		f := k.open("f", syscall.O_CREAT|syscall.O_RDWR, 0o600)
		k.do("fchdir file", syscall.SYS_FCHDIR, f)
		k.do("chdir file", syscall.SYS_CHDIR, "f")
		k.do("chdir missing", syscall.SYS_CHDIR, "nope")
		k.do("chdir back", syscall.SYS_CHDIR, before)
		d := k.open(k.dir, 0, 0)
		k.do("fchdir", syscall.SYS_FCHDIR, d)
		k.stat("f")
		k.do("chdir back", syscall.SYS_CHDIR, before)
		k.close(f, d)
	})
}

func TestGetdents(t *testing.T) {
	both(t, func(k *kernel) {
		names := map[string]bool{}
		for i := range 100 {
			k.close(k.open(fmt.Sprintf("%s/file%03d", k.dir, i), syscall.O_CREAT|syscall.O_RDWR, 0o600))
		}
		d := k.open(k.dir, 0, 0)
		k.do("short", syscall.SYS_GETDENTS64, d, make([]byte, 10), 10)
		for {
			b := make([]byte, 300)
			n, err := k.quiet(syscall.SYS_GETDENTS64, d, b, len(b))
			require.Zero(k.t, err)
			if n == 0 {
				break
			}
			for b = b[:n]; len(b) > 0; {
				size := binary.LittleEndian.Uint16(b[16:])
				name := b[19:size]
				for i, c := range name {
					if c == 0 {
						name = name[:i]
						break
					}
				}
				require.False(k.t, names[string(name)], "twice")
				names[string(name)] = true
				b = b[size:]
			}
		}
		k.logf("%d names", len(names))
		f := k.open(k.dir+"/file000", 0, 0)
		k.do("file", syscall.SYS_GETDENTS64, f, make([]byte, 100), 100)
		k.close(f, d)
	})
}

func TestDuplicates(t *testing.T) {
	both(t, func(k *kernel) {
		f := k.open(k.dir+"/f", syscall.O_CREAT|syscall.O_RDWR, 0o600)
		g := k.fd("dup", syscall.SYS_DUP, f)
		k.write(f, "abcdef")
		k.do("shared offset", syscall.SYS_LSEEK, g, 0, abi.SEEK_CUR)
		h := k.fd("F_DUPFD", syscall.SYS_FCNTL, f, syscall.F_DUPFD, 200)
		k.logf("%v", h >= 200)
		k.do("F_DUPFD_CLOEXEC", syscall.SYS_FCNTL, f, syscall.F_DUPFD_CLOEXEC, 500)
		k.do("F_GETFD", syscall.SYS_FCNTL, 500, syscall.F_GETFD, 0)
		k.do("F_GETFD", syscall.SYS_FCNTL, h, syscall.F_GETFD, 0)
		k.do("F_DUPFD negative", syscall.SYS_FCNTL, f, syscall.F_DUPFD, -1)
		k.do("dup2", syscall.SYS_DUP2, f, 501)
		k.do("dup2 same", syscall.SYS_DUP2, f+0, f+0)
		k.log = k.log[:len(k.log)-1]
		k.do("dup2 bad", syscall.SYS_DUP2, 999, 501)
		k.do("dup2 bad same", syscall.SYS_DUP2, 999, 999)
		k.do("dup3", syscall.SYS_DUP3, f, 502, syscall.O_CLOEXEC)
		k.do("F_GETFD", syscall.SYS_FCNTL, 502, syscall.F_GETFD, 0)
		k.do("dup3 same", syscall.SYS_DUP3, 502, 502, 0)
		k.do("dup3 flags", syscall.SYS_DUP3, f, 502, 1)
		k.do("fcntl", syscall.SYS_FCNTL, f, 9999, 0)
		k.do("fcntl", syscall.SYS_FCNTL, 999, syscall.F_GETFD, 0)
		k.do("close_range", 436, 500, 600, 0)
		k.do("closed", syscall.SYS_FCNTL, 501, syscall.F_GETFD, 0)
		k.do("close_range", 436, 3, 2, 0)
		k.close(f, g, h)
	})
}

func TestLocks(t *testing.T) {
	both(t, func(k *kernel) {
		f := k.open(k.dir+"/f", syscall.O_CREAT|syscall.O_RDWR, 0o600)
		g := k.open(k.dir+"/f", syscall.O_RDWR, 0)
		k.do("flock", syscall.SYS_FLOCK, f, syscall.LOCK_EX)
		k.do("flock busy", syscall.SYS_FLOCK, g, syscall.LOCK_EX|syscall.LOCK_NB)
		k.do("flock bad", syscall.SYS_FLOCK, g, 77)
		k.do("unlock", syscall.SYS_FLOCK, f, syscall.LOCK_UN)
		k.do("flock", syscall.SYS_FLOCK, g, syscall.LOCK_SH)
		k.do("flock", syscall.SYS_FLOCK, f, syscall.LOCK_SH|syscall.LOCK_NB)
		l := &syscall.Flock_t{Type: syscall.F_WRLCK, Start: 10, Len: 5}
		k.do("F_OFD_SETLK", syscall.SYS_FCNTL, f, abi.F_OFD_SETLK, unsafe.Pointer(l))
		k.do("F_OFD_SETLK busy", syscall.SYS_FCNTL, g, abi.F_OFD_SETLK, unsafe.Pointer(l))
		*l = syscall.Flock_t{Type: syscall.F_RDLCK}
		k.do("F_OFD_GETLK", syscall.SYS_FCNTL, g, abi.F_OFD_GETLK, unsafe.Pointer(l))
		k.logf("%+v", *l)
		k.do("F_SETLK nil", syscall.SYS_FCNTL, g, syscall.F_SETLK, nil)
		k.close(f, g)
	})
}

// A waiting flock is granted when the holder lets go.
func TestLockWaits(t *testing.T) {
	k := goshawkKernel(t)
	f := k.open("/tmp/f", syscall.O_CREAT|syscall.O_RDWR, 0o600)
	g := k.open("/tmp/f", syscall.O_RDWR, 0)
	k.do("flock", syscall.SYS_FLOCK, f, syscall.LOCK_EX)
	granted := make(chan syscall.Errno)
	go func() {
		_, err := k.quiet(syscall.SYS_FLOCK, g, syscall.LOCK_EX)
		granted <- err
	}()
	select {
	case <-granted:
		t.Fatal("granted while locked")
	case <-time.After(20 * time.Millisecond):
	}
	k.close(f)
	assert.Zero(t, <-granted)
}

func TestDescriptorLimit(t *testing.T) {
	both(t, func(k *kernel) {
		old, l := new(syscall.Rlimit), &syscall.Rlimit{Cur: 64, Max: 4096}
		k.do("prlimit64", syscall.SYS_PRLIMIT64, 0, syscall.RLIMIT_NOFILE, nil, unsafe.Pointer(old))
		l.Max = old.Max
		k.do("prlimit64", syscall.SYS_PRLIMIT64, 0, syscall.RLIMIT_NOFILE, unsafe.Pointer(l), nil)
		var fds []int
		for range 100 {
			fd, err := k.quiet(syscall.SYS_OPENAT, abi.AT_FDCWD, k.dir, 0, 0)
			if err != 0 {
				k.logf("after %v: %s", len(fds) > 10 && fd == -1, errName(err))
				break
			}
			fds = append(fds, fd)
		}
		k.do("pipe", syscall.SYS_PIPE2, unsafe.Pointer(new([2]int32)), 0)
		k.do("dup", syscall.SYS_DUP, 0)
		k.do("F_DUPFD", syscall.SYS_FCNTL, 0, syscall.F_DUPFD, 64)
		k.do("dup2", syscall.SYS_DUP2, 0, 64)
		k.do("getrlimit", syscall.SYS_GETRLIMIT, syscall.RLIMIT_NOFILE, unsafe.Pointer(l))
		k.logf("%d", l.Cur)
		k.do("prlimit64", syscall.SYS_PRLIMIT64, 0, 99, nil, unsafe.Pointer(l))
		l.Cur = l.Max + 1
		k.do("prlimit64", syscall.SYS_PRLIMIT64, 0, syscall.RLIMIT_NOFILE, unsafe.Pointer(l), nil)
		k.do("prlimit64", syscall.SYS_PRLIMIT64, 0, syscall.RLIMIT_NOFILE, unsafe.Pointer(old), nil)
		for _, fd := range fds {
			k.quiet(syscall.SYS_CLOSE, fd)
		}
	})
}

// Descriptors are the lowest free ones, whatever goroutines do at the same time.
func TestTableConcurrent(t *testing.T) {
	k := goshawkKernel(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				a, err := k.quiet(syscall.SYS_EVENTFD2, 0, 0)
				require.Zero(t, err)
				b, err := k.quiet(syscall.SYS_DUP, a)
				require.Zero(t, err)
				_, err = k.quiet(syscall.SYS_CLOSE, a)
				require.Zero(t, err)
				_, err = k.quiet(syscall.SYS_CLOSE, b)
				require.Zero(t, err)
			}
		})
	}
	wg.Wait()
	fd, err := k.quiet(syscall.SYS_EVENTFD2, 0, 0)
	require.Zero(t, err)
	assert.Equal(t, 3, fd)
}

func TestTransfers(t *testing.T) {
	both(t, func(k *kernel) {
		f := k.open(k.dir+"/f", syscall.O_CREAT|syscall.O_RDWR, 0o600)
		g := k.open(k.dir+"/g", syscall.O_CREAT|syscall.O_RDWR, 0o600)
		k.write(f, "0123456789")
		off := new(int64)
		*off = 3
		k.do("copy_file_range", 326, f, unsafe.Pointer(off), g, nil, 4, 0)
		k.logf("%d", *off)
		k.do("lseek", syscall.SYS_LSEEK, g, 0, abi.SEEK_SET)
		k.read(g, 100)
		k.do("copy_file_range flags", 326, f, nil, g, nil, 4, 1)
		*off = 5
		k.do("sendfile", syscall.SYS_SENDFILE, g, f, unsafe.Pointer(off), 100)
		k.logf("%d", *off)
		k.do("lseek", syscall.SYS_LSEEK, f, 8, abi.SEEK_SET)
		r, w := k.pipe(0)
		k.do("sendfile to pipe", syscall.SYS_SENDFILE, w, f, nil, 100)
		k.do("lseek", syscall.SYS_LSEEK, f, 0, abi.SEEK_CUR)
		k.read(r, 100)
		k.do("sendfile end", syscall.SYS_SENDFILE, w, f, nil, 100)
		k.do("sendfile from write-only", syscall.SYS_SENDFILE, w, w, nil, 100)
		k.do("lseek", syscall.SYS_LSEEK, g, 0, abi.SEEK_SET)
		k.read(g, 100)
		k.close(f, g, r, w)
	})
}

func TestXattrs(t *testing.T) {
	k := goshawkKernel(t) // host file systems differ in what they support
	k.close(k.open("/tmp/f", syscall.O_CREAT|syscall.O_RDWR, 0o600))
	_, err := k.quiet(syscall.SYS_SETXATTR, "/tmp/f", "user.a", []byte("value"), 5, 0)
	require.Zero(t, err)
	b := make([]byte, 10)
	n, err := k.quiet(syscall.SYS_GETXATTR, "/tmp/f", "user.a", b, 10)
	require.Zero(t, err)
	assert.Equal(t, "value", string(b[:n]))
	n, _ = k.quiet(syscall.SYS_LISTXATTR, "/tmp/f", nil, 0)
	assert.Equal(t, len("user.a")+1, n)
	f := k.open("/tmp/f", 0, 0)
	_, err = k.quiet(syscall.SYS_FREMOVEXATTR, f, "user.a")
	require.Zero(t, err)
	_, err = k.quiet(syscall.SYS_FGETXATTR, f, "user.a", b, 10)
	assert.Equal(t, syscall.ENODATA, err)
}
