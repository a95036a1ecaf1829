package p9

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/goshawk-os/goshawk/fs/vfs"
)

// server is a Transport with a server behind it, which shares a folder of this machine as QEMU 7.2
// does: a fid is a path, and attributes are those of the path, even if the file is open.
type server struct {
	size  int          // of the longest message
	names sync.RWMutex // held for writing while paths change

	mu     sync.Mutex
	fids   map[uint32]*serverFid
	tags   map[uint16]bool // of requests under way
	most   int             // the largest number of them
	counts map[uint8]int   // of requests by type
}

type serverFid struct {
	path  string
	open  *os.File // or nil
	xattr string   // name of the extended attribute that is written, or ""
	value []byte   // of it, or of the one that is read
	flags int
}

func serve(dir string, size int) *server {
	return &server{
		size: size, fids: map[uint32]*serverFid{NOFID: {path: dir}}, tags: make(map[uint16]bool), counts: make(map[uint8]int),
	}
}

// share mounts a new folder.
func share(t testing.TB) (dir string, fs *FS, ns *vfs.Namespace) {
	dir = t.TempDir()
	fs, err := Mount(serve(dir, 128<<10), func(s string) { t.Error(s) })
	require.NoError(t, err)
	return dir, fs, vfs.New(fs)
}

func (s *server) MaxMessage() int { return s.size }

func (s *server) RoundTrip(request, reply [2][]byte) (int, error) {
	message := slices.Concat(request[0], request[1])
	tag := binary.LittleEndian.Uint16(message[5:])
	s.mu.Lock()
	if s.tags[tag] {
		panic("two requests with one tag")
	}
	s.tags[tag] = true
	s.most = max(s.most, len(s.tags))
	s.counts[message[4]]++
	s.mu.Unlock()
	answer := s.answer(message)
	s.mu.Lock()
	delete(s.tags, tag)
	s.mu.Unlock()
	n := copy(reply[0], answer)
	copy(reply[1], answer[n:])
	return len(answer), nil
}

func (s *server) answer(message []byte) []byte {
	q := reply{p: message}
	size, typ, tag := q.get32(), q.get8(), q.get16()
	if int(size) != len(message) || len(message) > s.size {
		panic(fmt.Sprintf("a request of type %d: %d bytes, says %d", typ, len(message), size))
	}
	r := call{out: make([]byte, headerSize)}
	err := s.do(typ, &q, &r)
	if !q.complete() {
		panic(fmt.Sprintf("a request of type %d is too short or too long", typ))
	}
	if err != nil {
		errno := syscall.EIO
		errors.As(err, &errno)
		typ = Rlerror - 1
		r.out = r.out[:headerSize]
		r.u32(uint32(errno))
	}
	put32(r.out, uint32(len(r.out)))
	r.out[4], r.out[5], r.out[6] = typ+1, byte(tag), byte(tag>>8)
	if len(r.out) > s.size {
		panic("a long answer")
	}
	return r.out
}

func (s *server) fid(id uint32) *serverFid {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fids[id] == nil {
		panic("an unknown fid")
	}
	return s.fids[id]
}

func (s *server) newFid(id uint32, f *serverFid) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fids[id] != nil {
		panic("a fid that is in use")
	}
	s.fids[id] = f
}

func (f *serverFid) child(name string) string {
	if name == "" || name == "." || name == ".." || strings.Contains(name, "/") {
		panic("a name that the client must not send")
	}
	return filepath.Join(f.path, name)
}

// putQid appends the qid of a path, for which err is how it got there.
func putQid(r *call, path string, err error) error {
	var st syscall.Stat_t
	if err == nil {
		err = syscall.Lstat(path, &st)
	}
	if err != nil {
		return err
	}
	r.out = append(r.out, qidType(st.Mode), 0, 0, 0, 0)
	r.u64(st.Ino)
	return nil
}

func qidType(mode uint32) byte {
	switch mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		return QTDIR
	case syscall.S_IFLNK:
		return QTSYMLINK
	}
	return 0
}

func (s *server) do(typ uint8, q *reply, r *call) error {
	if typ == Tversion {
		q.get32()
		r.u32(uint32(s.size)).text(q.getText())
		return nil
	}
	if typ == Trenameat {
		s.names.Lock()
		defer s.names.Unlock()
	} else {
		s.names.RLock()
		defer s.names.RUnlock()
	}
	id := q.get32()
	if typ == Tattach {
		q.get32()
		q.getText()
		q.getText()
		q.get32()
		root := s.fid(NOFID).path
		s.newFid(id, &serverFid{path: root})
		return putQid(r, root, nil)
	}
	f := s.fid(id)
	switch typ {
	case Twalk:
		id := q.get32()
		path := f.path
		n := q.get16()
		r.u16(n)
		if n == 1 {
			path = f.child(q.getText())
			if err := putQid(r, path, nil); err != nil {
				return err
			}
		}
		if f.open != nil {
			panic("a walk from an open fid")
		}
		s.newFid(id, &serverFid{path: path})
	case Tclunk:
		s.mu.Lock()
		delete(s.fids, id)
		s.mu.Unlock()
		return f.clunk()
	case Tlopen:
		return f.lopen(r, int(q.get32()), 0)
	case Tlcreate:
		name, flags, mode := q.getText(), q.get32(), q.get32()
		q.get32()
		f.path = f.child(name)
		return f.lopen(r, int(flags), mode)
	case Tread:
		off, p := q.get64(), make([]byte, q.get32())
		n, err := 0, error(nil)
		if f.open == nil {
			n = copy(p, f.value[min(off, uint64(len(f.value))):])
		} else {
			n, err = f.open.ReadAt(p, int64(off))
		}
		r.u32(uint32(n))
		r.out = append(r.out, p[:n]...)
		if err != io.EOF {
			return err
		}
	case Twrite:
		off := q.get64()
		p := q.take(int(q.get32()))
		n, err := len(p), error(nil)
		if f.open == nil {
			f.value = append(f.value[:off], p...)
		} else {
			n, err = unix.Pwrite(int(f.open.Fd()), p, int64(off)) // appends if opened so
		}
		r.u32(uint32(n))
		return err
	case Treaddir:
		return f.readdir(r, int(q.get64()), int(q.get32()))
	case Tfsync:
		q.get32()
		return f.open.Sync()
	case Tgetattr:
		q.get64()
		return f.getattr(r)
	case Tsetattr:
		return f.setattr(q)
	case Tstatfs:
		var st syscall.Statfs_t
		err := syscall.Statfs(f.path, &st)
		r.u32(uint32(st.Type)).u32(uint32(st.Bsize)).u64(st.Blocks).u64(st.Bfree).u64(st.Bavail).u64(st.Files).u64(st.Ffree).u64(0).u32(uint32(st.Namelen))
		return err
	case Treadlink:
		target, err := os.Readlink(f.path)
		r.text(target)
		return err
	case Tmkdir:
		path, mode := f.child(q.getText()), q.get32()
		q.get32()
		err := syscall.Mkdir(path, mode)
		if err == nil {
			err = syscall.Chmod(path, mode)
		}
		return putQid(r, path, err)
	case Tsymlink:
		path, target := f.child(q.getText()), q.getText()
		q.get32()
		return putQid(r, path, syscall.Symlink(target, path))
	case Tmknod:
		path, mode, major, minor := f.child(q.getText()), q.get32(), q.get32(), q.get32()
		q.get32()
		return putQid(r, path, syscall.Mknod(path, mode, int(unix.Mkdev(major, minor))))
	case Tlink:
		return syscall.Link(s.fid(q.get32()).path, f.child(q.getText()))
	case Tunlinkat:
		return unix.Unlinkat(unix.AT_FDCWD, f.child(q.getText()), int(q.get32()))
	case Trenameat:
		from, to := f.child(q.getText()), s.fid(q.get32()).child(q.getText())
		if err := syscall.Rename(from, to); err != nil {
			return err
		}
		s.moved(from, to)
	case Txattrwalk:
		return s.xattrwalk(f, q.get32(), q.getText(), r)
	case Txattrcreate:
		f.xattr = q.getText()
		q.get64()
		f.flags = int(q.get32())
	default:
		panic("a request of an unknown type")
	}
	return nil
}

// moved changes the fids whose paths have changed.
func (s *server) moved(from, to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.fids {
		if rest, ok := strings.CutPrefix(f.path, from); ok && (rest == "" || rest[0] == '/') {
			f.path = to + rest
		}
	}
}

func (f *serverFid) lopen(r *call, flags int, mode uint32) error {
	fd, err := syscall.Open(f.path, flags|syscall.O_CLOEXEC, mode)
	if err != nil {
		return err
	}
	f.open = os.NewFile(uintptr(fd), f.path)
	if flags&syscall.O_CREAT != 0 {
		err = syscall.Chmod(f.path, mode)
	}
	err = putQid(r, f.path, err)
	r.u32(0)
	return err
}

func (f *serverFid) clunk() error {
	switch {
	case f.open != nil:
		return f.open.Close()
	case f.xattr != "" && len(f.value) == 0:
		return unix.Lremovexattr(f.path, f.xattr)
	case f.xattr != "":
		return unix.Lsetxattr(f.path, f.xattr, f.value, f.flags)
	}
	return nil
}

func (f *serverFid) readdir(r *call, off, count int) error {
	list, err := os.ReadDir(f.path)
	r.u32(0)
	for i := off; i < len(list); i++ {
		info, err := list[i].Info()
		if err != nil {
			continue // removed meanwhile
		}
		if len(r.out)-countHeader+directoryEntry+len(list[i].Name()) > count {
			break
		}
		st := info.Sys().(*syscall.Stat_t)
		r.out = append(r.out, qidType(st.Mode), 0, 0, 0, 0)
		r.u64(st.Ino).u64(uint64(i + 1))
		r.out = append(r.out, byte(st.Mode>>12))
		r.text(list[i].Name())
	}
	put32(r.out[headerSize:], uint32(len(r.out)-countHeader))
	return err
}

func (f *serverFid) getattr(r *call) error {
	var st syscall.Stat_t
	if err := syscall.Lstat(f.path, &st); err != nil {
		return err
	}
	r.u64(P9_GETATTR_BASIC)
	r.out = append(r.out, qidType(st.Mode), 0, 0, 0, 0)
	r.u64(st.Ino).u32(st.Mode).u32(st.Uid).u32(st.Gid).u64(st.Nlink).u64(st.Rdev)
	r.u64(uint64(st.Size)).u64(uint64(st.Blksize)).u64(uint64(st.Blocks))
	for _, t := range []syscall.Timespec{st.Atim, st.Mtim, st.Ctim, {}} {
		r.u64(uint64(t.Sec)).u64(uint64(t.Nsec))
	}
	r.u64(0).u64(0)
	return nil
}

func (f *serverFid) setattr(q *reply) (err error) {
	valid, mode, uid, gid, size := q.get32(), q.get32(), int(int32(q.get32())), int(int32(q.get32())), q.get64()
	var times [2]unix.Timespec
	for i := range times {
		times[i] = unix.Timespec{Sec: int64(q.get64()), Nsec: int64(q.get64())}
		switch valid & (P9_SETATTR_ATIME | P9_SETATTR_ATIME_SET) << i {
		case 0:
			times[i].Nsec = unix.UTIME_OMIT
		case P9_SETATTR_ATIME << i:
			times[i].Nsec = unix.UTIME_NOW
		}
	}
	if valid&P9_SETATTR_MODE != 0 {
		err = syscall.Chmod(f.path, mode)
	}
	if err == nil && valid&(P9_SETATTR_ATIME|P9_SETATTR_MTIME) != 0 {
		err = unix.UtimesNanoAt(unix.AT_FDCWD, f.path, times[:], unix.AT_SYMLINK_NOFOLLOW)
	}
	if valid&P9_SETATTR_UID == 0 {
		uid = -1
	}
	if valid&P9_SETATTR_GID == 0 {
		gid = -1
	}
	if err == nil && (valid&(P9_SETATTR_UID|P9_SETATTR_GID) != 0 || valid == P9_SETATTR_CTIME) {
		err = syscall.Lchown(f.path, uid, gid)
	}
	if err == nil && valid&P9_SETATTR_SIZE != 0 {
		err = syscall.Truncate(f.path, int64(size))
	}
	return err
}

func (s *server) xattrwalk(f *serverFid, id uint32, name string, r *call) error {
	x := &serverFid{path: f.path, value: make([]byte, 64<<10)}
	var n int
	var err error
	if name == "" {
		n, err = unix.Llistxattr(f.path, x.value)
	} else {
		n, err = unix.Lgetxattr(f.path, name, x.value)
	}
	if err != nil {
		return err
	}
	x.value = x.value[:n]
	s.newFid(id, x)
	r.u64(uint64(n))
	return nil
}
