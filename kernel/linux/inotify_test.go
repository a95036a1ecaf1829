//go:build !goshawk

package linux

import (
	"fmt"
	"math/rand"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const atFDCWD = -100

var inotifyNames = []string{"ACCESS", "MODIFY", "ATTRIB", "CLOSE_WRITE", "CLOSE_NOWRITE", "OPEN", "MOVED_FROM", "MOVED_TO",
	"CREATE", "DELETE", "DELETE_SELF", "MOVE_SELF", "?", "UNMOUNT", "Q_OVERFLOW", "IGNORED"}

// events reads the events of an inotify descriptor that does not wait.
func (k *kernel) events(fd int) []string {
	var list []string
	b := make([]byte, 64<<10)
	n, err := k.quiet(syscall.SYS_READ, fd, b, len(b))
	cookies := map[uint32]int{0: 0}
	for b = b[:max(0, n)]; len(b) > 0; {
		e := (*syscall.InotifyEvent)(unsafe.Pointer(&b[0]))
		if _, ok := cookies[e.Cookie]; !ok {
			cookies[e.Cookie] = len(cookies)
		}
		text := fmt.Sprint(e.Wd)
		for i, name := range inotifyNames {
			if e.Mask&(1<<i) != 0 {
				text += " " + name
			}
		}
		if e.Mask&syscall.IN_ISDIR != 0 {
			text += " ISDIR"
		}
		text += fmt.Sprintf(" %d %d %q", cookies[e.Cookie], e.Len, b[syscall.SizeofInotifyEvent:syscall.SizeofInotifyEvent+e.Len])
		list = append(list, text)
		b = b[syscall.SizeofInotifyEvent+e.Len:]
	}
	if err != 0 && err != syscall.EAGAIN {
		list = append(list, err.Error())
	}
	return list
}

func (k *kernel) inotify() int {
	return k.fd("inotify_init1", syscall.SYS_INOTIFY_INIT1, syscall.IN_NONBLOCK)
}

func (k *kernel) watch(fd int, path string, mask int) int {
	wd, _ := k.do("watch "+path, syscall.SYS_INOTIFY_ADD_WATCH, fd, path, mask)
	return wd
}

func (k *kernel) logEvents(fd int) {
	for _, e := range k.events(fd) {
		k.logf("  %s", e)
	}
}

func TestInotify(t *testing.T) {
	both(t, func(k *kernel) {
		d := k.dir + "/watched"
		k.do("mkdir", syscall.SYS_MKDIR, d, 0o755)
		k.do("symlink", syscall.SYS_SYMLINK, d, k.dir+"/link")
		fd := k.inotify()
		k.watch(fd, d, syscall.IN_ALL_EVENTS)
		file := d + "/a"
		f := k.open(file, syscall.O_CREAT|syscall.O_RDWR, 0o644)
		k.logEvents(fd)
		k.do("write", syscall.SYS_WRITE, f, []byte("text"), 4)
		k.do("write", syscall.SYS_WRITE, f, []byte("text"), 4)
		k.do("write nothing", syscall.SYS_WRITE, f, []byte("text"), 0)
		k.do("pread", syscall.SYS_PREAD64, f, make([]byte, 4), 4, 0)
		k.do("read the end", syscall.SYS_READ, f, make([]byte, 4), 4)
		k.do("ftruncate", syscall.SYS_FTRUNCATE, f, 2)
		k.do("fchmod", syscall.SYS_FCHMOD, f, 0o600)
		k.do("fallocate", syscall.SYS_FALLOCATE, f, 0, 0, 100)
		k.close(f)
		k.logEvents(fd)
		k.watch(fd, file, syscall.IN_ALL_EVENTS)
		pending := new(int32)
		k.do("truncate", syscall.SYS_TRUNCATE, file, 5)
		k.do("FIONREAD", syscall.SYS_IOCTL, fd, fioNRead, unsafe.Pointer(pending))
		k.logf("%d", *pending)
		k.do("too small a buffer", syscall.SYS_READ, fd, make([]byte, 8), 8)
		k.do("write to it", syscall.SYS_WRITE, fd, make([]byte, 8), 8)
		k.do("utimes", syscall.SYS_UTIMES, file, nil)
		for _, times := range [][4]int{{1, 2, 0, abiOmit}, {0, abiOmit, 1, 2}, {1, 2, 3, 4}, {0, abiOmit, 0, abiOmit}} {
			k.do("utimensat", syscall.SYS_UTIMENSAT, atFDCWD, file, unsafe.Pointer(&times[0]), 0)
		}
		k.do("link", syscall.SYS_LINK, file, d+"/second")
		k.do("rename to itself", syscall.SYS_RENAME, file, d+"/second")
		k.do("unlink", syscall.SYS_UNLINK, d+"/second")
		k.logEvents(fd)
		k.do("rename", syscall.SYS_RENAME, file, d+"/b")
		k.logEvents(fd)
		k.do("mkdir", syscall.SYS_MKDIR, d+"/sub", 0o755)
		k.watch(fd, d+"/sub", syscall.IN_ALL_EVENTS)
		k.do("chmod", syscall.SYS_CHMOD, d+"/sub", 0o700)
		k.do("rename out", syscall.SYS_RENAME, d+"/b", d+"/sub/c")
		k.do("rename a directory", syscall.SYS_RENAME, d+"/sub", d+"/sub2")
		k.logEvents(fd)
		dir := k.open(d+"/sub2", syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
		k.quiet(syscall.SYS_GETDENTS64, dir, make([]byte, 1000), 1000)
		k.close(dir)
		k.logEvents(fd)
		f = k.open(d+"/sub2/c", syscall.O_RDWR|syscall.O_TRUNC, 0)
		k.do("unlink", syscall.SYS_UNLINK, d+"/sub2/c")
		k.logEvents(fd)
		k.do("write", syscall.SYS_WRITE, f, []byte("x"), 1)
		k.close(f)
		k.logEvents(fd)
		k.do("rmdir", syscall.SYS_RMDIR, d+"/sub2")
		k.logEvents(fd)

		k.logf("rename over a watched file, exchange")
		for _, name := range []string{"x", "y", "z"} {
			k.close(k.open(d+"/"+name, syscall.O_CREAT|syscall.O_RDWR, 0o644))
			k.watch(fd, d+"/"+name, syscall.IN_ATTRIB|syscall.IN_DELETE_SELF|syscall.IN_MOVE_SELF)
		}
		k.logEvents(fd)
		k.do("rename", syscall.SYS_RENAME, d+"/x", d+"/y")
		k.logEvents(fd)
		k.do("exchange", 316, atFDCWD, d+"/y", atFDCWD, d+"/z", 2)
		k.logEvents(fd)

		k.logf("flags")
		k.do("mask 0", syscall.SYS_INOTIFY_ADD_WATCH, fd, d, 0)
		k.watch(fd, d+"/none", syscall.IN_OPEN)
		k.watch(fd, d+"/z", syscall.IN_OPEN|syscall.IN_ONLYDIR)
		k.watch(fd, d, syscall.IN_OPEN|syscall.IN_MASK_ADD|inMaskCreate)
		k.watch(fd, d, syscall.IN_OPEN|inMaskCreate)
		k.watch(fd, k.dir+"/link", syscall.IN_OPEN|syscall.IN_DONT_FOLLOW|syscall.IN_ONLYDIR)
		link := k.watch(fd, k.dir+"/link", syscall.IN_ATTRIB|syscall.IN_DONT_FOLLOW)
		k.do("lchown", syscall.SYS_LCHOWN, k.dir+"/link", -1, -1)
		k.logEvents(fd)
		k.do("rm_watch", syscall.SYS_INOTIFY_RM_WATCH, fd, link)
		k.do("rm_watch again", syscall.SYS_INOTIFY_RM_WATCH, fd, link)
		k.logEvents(fd)
		k.watch(fd, d, syscall.IN_CREATE)
		k.watch(fd, d, syscall.IN_OPEN|syscall.IN_MASK_ADD)
		k.close(k.open(d+"/new", syscall.O_CREAT|syscall.O_RDWR, 0o644))
		k.logEvents(fd)
		k.watch(fd, d, syscall.IN_OPEN|syscall.IN_ONESHOT)
		k.close(k.open(d+"/new", syscall.O_RDWR, 0))
		k.close(k.open(d+"/new", syscall.O_RDWR, 0))
		k.logEvents(fd)
		k.watch(fd, d, syscall.IN_MODIFY|syscall.IN_EXCL_UNLINK)
		f = k.open(d+"/new", syscall.O_RDWR, 0)
		k.do("write", syscall.SYS_WRITE, f, []byte("x"), 1)
		k.do("unlink", syscall.SYS_UNLINK, d+"/new")
		k.do("write", syscall.SYS_WRITE, f, []byte("x"), 1)
		k.logEvents(fd)
		k.do("not inotify", syscall.SYS_INOTIFY_ADD_WATCH, f, d, syscall.IN_OPEN)
		k.do("no descriptor", syscall.SYS_INOTIFY_ADD_WATCH, 9999, d, syscall.IN_OPEN)
		k.do("not inotify", syscall.SYS_INOTIFY_RM_WATCH, f, 1)
		k.do("bad flag", syscall.SYS_INOTIFY_INIT1, 1)
		k.close(f, fd)
	})
}

const abiOmit = 1<<30 - 2 // UTIME_OMIT

// What any sequence of operations shows is what it shows on Linux. There are no hard links: Linux
// reports a file without names as gone when one of its directory entries is no longer in use, even if
// it is still open through another. And a removed directory is in use there while a removed file of it
// is open.
func TestInotifyRandom(t *testing.T) {
	for seed := range int64(60) {
		both(t, func(k *kernel) {
			r := rand.New(rand.NewSource(seed))
			path := func() string { return k.dir + []string{"/a", "/b", "/d", "/d/a", "/d/e", "/d/e/f"}[r.Intn(6)] }
			fd := k.inotify()
			k.watch(fd, k.dir, syscall.IN_ALL_EVENTS)
			k.quiet(syscall.SYS_MKDIR, k.dir+"/d", 0o755)
			var open []int
			closeAll := func() {
				k.close(open...)
				open = nil
			}
			for range 60 {
				a, b := path(), path()
				switch r.Intn(12) {
				case 0, 1:
					f := k.fd("create "+a, syscall.SYS_OPEN, a, syscall.O_CREAT|syscall.O_RDWR, 0o644)
					if f >= 0 {
						open = append(open, f)
					}
				case 2:
					k.do("mkdir "+a, syscall.SYS_MKDIR, a, 0o755)
				case 3:
					k.do("unlink "+a, syscall.SYS_UNLINK, a)
				case 4:
					closeAll()
					k.do("rmdir "+a, syscall.SYS_RMDIR, a)
				case 5, 6:
					closeAll()
					k.do("rename "+a+" "+b, syscall.SYS_RENAME, a, b)
				case 7, 8, 9:
					k.watch(fd, a, syscall.IN_ALL_EVENTS)
				case 10:
					if len(open) > 0 {
						i := r.Intn(len(open))
						k.close(open[i])
						open = append(open[:i], open[i+1:]...)
					}
				case 11:
					if len(open) > 0 {
						k.do("write", syscall.SYS_WRITE, open[r.Intn(len(open))], []byte("x"), 1)
					}
				}
				k.logEvents(fd)
			}
			closeAll()
			k.close(fd)
		})
	}
}

func TestInotifyOverflow(t *testing.T) {
	k := goshawkKernel(t)
	fd := k.inotify()
	k.watch(fd, "/tmp", syscall.IN_ATTRIB)
	for i := range inotifyQueue + 10 {
		name := fmt.Sprint("/tmp/", i%2)
		if i < 2 {
			k.close(k.open(name, syscall.O_CREAT|syscall.O_RDWR, 0o644))
		}
		_, err := k.quiet(syscall.SYS_CHMOD, name, 0o600)
		require.Zero(t, err)
	}
	var all []string
	for {
		list := k.events(fd)
		if len(list) == 0 {
			break
		}
		all = append(all, list...)
	}
	require.Len(t, all, inotifyQueue+1)
	assert.Contains(t, all[inotifyQueue-1], "ATTRIB")
	assert.True(t, strings.HasPrefix(all[inotifyQueue], "-1 Q_OVERFLOW"), all[inotifyQueue])
}

// Inotify descriptors can be waited for.
func TestInotifyPoll(t *testing.T) {
	k := goshawkKernel(t)
	fd := k.inotify()
	k.watch(fd, "/tmp", syscall.IN_CREATE)
	require.Zero(t, pollOpen(uintptr(fd), 5, 6))
	assert.Empty(t, host.polls)
	k.quiet(syscall.SYS_MKDIR, "/tmp/x", 0o755)
	assert.Equal(t, []hostPoll{{5, 6, 'r'}}, host.polls)
}
