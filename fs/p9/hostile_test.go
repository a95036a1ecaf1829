package p9

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/fs/vfs"
)

// liar is a transport that changes replies. lie returns the reply that arrives.
type liar struct {
	Transport
	mu  sync.Mutex
	lie func(request, reply []byte) []byte // nil: the truth
}

func (l *liar) RoundTrip(request, reply [2][]byte) (int, error) {
	whole := make([]byte, len(reply[0])+len(reply[1]))
	n, err := l.Transport.RoundTrip(request, [2][]byte{whole})
	if err != nil {
		return n, err
	}
	l.mu.Lock()
	message := whole[:n]
	if l.lie != nil {
		message = l.lie(request[0], append([]byte(nil), message...))
	}
	l.mu.Unlock()
	if message == nil {
		return 0, errors.New("the device is out of service")
	}
	n = copy(reply[0], message)
	copy(reply[1], message[n:])
	return len(message), nil
}

// lying mounts a folder with a little tree, and lies from then on.
func lying(t testing.TB, lie func(request, reply []byte) []byte) (fs *FS, ns *vfs.Namespace, log *[]string) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "d/e"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), []byte(strings.Repeat("text", 100)), 0o600))
	require.NoError(t, os.Symlink("file", filepath.Join(dir, "link")))
	l := &liar{Transport: serve(dir, 16<<10)}
	log = new([]string)
	var mu sync.Mutex
	fs, err := Mount(l, func(s string) {
		mu.Lock()
		defer mu.Unlock()
		*log = append(*log, s)
	})
	require.NoError(t, err)
	l.mu.Lock()
	l.lie = lie
	l.mu.Unlock()
	return fs, vfs.New(fs), log
}

// workload uses all calls, and returns the first error that is none of Linux's.
func workload(ns *vfs.Namespace) (bad error) {
	look := func(err error) {
		if _, ok := err.(syscall.Errno); err != nil && !ok {
			bad = err
		}
	}
	p := make([]byte, 1000)
	use := func(path string, flags int) {
		f, err := ns.Open(nil, path, flags, 0o600)
		look(err)
		if err != nil {
			return
		}
		_, err = f.Read(p)
		look(err)
		_, err = f.Write(p)
		look(err)
		_, err = f.ReadDir(p)
		look(err)
		_, err = f.Stat()
		look(err)
		_, err = f.Statfs()
		look(err)
		_, err = f.Seek(0, 2)
		look(err)
		look(f.Sync())
		look(f.Truncate(3))
		look(f.Chmod(0o600))
		look(f.Close())
	}
	use("/", syscall.O_RDONLY)
	use("/file", syscall.O_RDWR)
	use("/link", syscall.O_WRONLY|syscall.O_APPEND)
	use("/d", syscall.O_RDONLY)
	use("/new", syscall.O_RDWR|syscall.O_CREAT)
	look(ns.Mkdir(nil, "/d/sub", 0o700))
	look(ns.Symlink("x", nil, "/d/sym"))
	look(ns.Mknod(nil, "/d/fifo", syscall.S_IFIFO|0o600, 0))
	look(ns.Link(nil, "/file", nil, "/d/hard", 0))
	_, err := ns.Readlink(nil, "/link")
	look(err)
	look(ns.Setxattr(nil, "/file", "user.a", []byte("b"), 0, 0))
	_, err = ns.Getxattr(nil, "/file", "user.a", p, 0)
	look(err)
	_, err = ns.Listxattr(nil, "/file", p, 0)
	look(err)
	look(ns.Removexattr(nil, "/file", "user.a", 0))
	look(ns.Chdir("/d/e"))
	look(ns.Rename(nil, "/new", nil, "/d/e/new", 0))
	look(ns.Rename(nil, "/d", nil, "/x", 0))
	_, err = ns.Getcwd()
	look(err)
	look(ns.Chdir("/"))
	for _, name := range []string{"e/new", "sub", "sym", "fifo", "hard"} {
		look(ns.Unlink(nil, "/x/"+name, 0))
	}
	return bad
}

// TestBroken: a reply that breaks the protocol ends the service, with a word
// about it.
func TestBroken(t *testing.T) {
	put := binary.LittleEndian.PutUint32
	tests := map[string]func(request, reply []byte) []byte{
		"nothing":  func(_, r []byte) []byte { return r[:0] },
		"short":    func(_, r []byte) []byte { return r[:6] },
		"cut":      func(_, r []byte) []byte { put(r, uint32(len(r)-1)); return r[:len(r)-1] },
		"longer":   func(_, r []byte) []byte { put(r, uint32(len(r)+1)); return append(r, 0) },
		"size":     func(_, r []byte) []byte { r[2]++; return r },
		"tag":      func(_, r []byte) []byte { r[5]++; return r },
		"type":     func(_, r []byte) []byte { r[4] += 2; return r },
		"request":  func(q, r []byte) []byte { r[4] = q[4]; return r },
		"no error": func(_, r []byte) []byte { r[4] = Rlerror; return r },
		"device":   func(_, r []byte) []byte { return nil },
		"walk": func(q, r []byte) []byte {
			if r[4] == Twalk+1 {
				r[7]++
			}
			return r
		},
		"type of the root's entry": func(q, r []byte) []byte { // a directory by its mode, not by its qid
			if r[4] == Twalk+1 && r[7] == 1 {
				r[9] = 0
			}
			return r
		},
	}
	for name, lie := range tests {
		t.Run(name, func(t *testing.T) {
			_, ns, log := lying(t, lie)
			_, err := ns.Stat(nil, "/d", 0)
			assert.Equal(t, syscall.EIO, err)
			_, err = ns.Stat(nil, "/", 0)
			assert.Equal(t, syscall.EIO, err, "out of service")
			require.Len(t, *log, 1)
			assert.Regexp(t, `^9p: .*; the share is out of service$`, (*log)[0])
		})
	}
}

// TestCounts: more data than asked for, or other than there are.
func TestCounts(t *testing.T) {
	on := func(typ byte, change func(r []byte) []byte) func(q, r []byte) []byte {
		return func(q, r []byte) []byte {
			if q[4] == typ && r[4] == typ+1 {
				r = change(r)
				binary.LittleEndian.PutUint32(r, uint32(len(r)))
			}
			return r
		}
	}
	count := func(d int) func(r []byte) []byte {
		return func(r []byte) []byte {
			binary.LittleEndian.PutUint32(r[7:], uint32(int(binary.LittleEndian.Uint32(r[7:]))+d))
			return r
		}
	}
	tests := map[string]func(q, r []byte) []byte{
		"read more":       on(Tread, count(1)),
		"read less":       on(Tread, count(-1)),
		"read huge":       on(Tread, count(1<<31-1)),
		"read without":    on(Tread, func(r []byte) []byte { return r[:9] }),
		"write more":      on(Twrite, count(1)),
		"write none":      on(Twrite, count(-100)),
		"readdir more":    on(Treaddir, count(1)),
		"readdir partial": on(Treaddir, func(r []byte) []byte { return count(-1)(r[:len(r)-1]) }),
		"readdir slash":   on(Treaddir, func(r []byte) []byte { r[countHeader+directoryEntry] = '/'; return r }),
		"readdir zero":    on(Treaddir, func(r []byte) []byte { r[countHeader+directoryEntry] = 0; return r }),
		"readdir empty": on(Treaddir, func(r []byte) []byte {
			r[countHeader+22], r[countHeader+23] = 0, 0
			return r
		}),
		"readdir dots": on(Treaddir, func(r []byte) []byte { // for ever
			r = append(r[:countHeader], make([]byte, directoryEntry+1)...)
			r[countHeader+22], r[countHeader+24] = 1, '.'
			binary.LittleEndian.PutUint32(r[7:], directoryEntry+1)
			return r
		}),
		"size":     on(Tgetattr, func(r []byte) []byte { r[headerSize+8+qidSize+12+16+7] = 0xff; return r }),
		"readlink": on(Treadlink, func(r []byte) []byte { r[8] = 0x7f; return r }),
	}
	for name, lie := range tests {
		t.Run(name, func(t *testing.T) {
			_, ns, log := lying(t, lie)
			f, err := ns.Open(nil, "/file", syscall.O_RDWR, 0)
			if err == nil {
				_, err = f.Read(make([]byte, 50))
			}
			if err == nil {
				_, err = f.Write(make([]byte, 100))
			}
			if err == nil {
				_, err = ns.Readlink(nil, "/link")
			}
			if err == nil {
				f, err = ns.Open(nil, "/", syscall.O_RDONLY, 0)
				for n := 1; n > 0 && err == nil; {
					n, err = f.ReadDir(make([]byte, 1000))
				}
			}
			assert.Equal(t, syscall.EIO, err)
			assert.Len(t, *log, 1)
		})
	}
}

// TestErrors: numbers that are no errors, and those after which package vfs or os
// would ask again for ever.
func TestErrors(t *testing.T) {
	for errno, want := range map[uint32]error{
		0: syscall.EIO, 4: syscall.EIO, 116: syscall.EIO, 134: syscall.EIO, 1 << 31: syscall.EIO, 13: syscall.EACCES, 133: syscall.Errno(133),
	} {
		_, ns, log := lying(t, func(q, r []byte) []byte {
			r = append(r[:0], 11, 0, 0, 0, Rlerror, q[5], q[6])
			return binary.LittleEndian.AppendUint32(r, errno)
		})
		_, err := ns.Open(nil, "/file", syscall.O_RDONLY, 0)
		assert.Equal(t, want, err)
		assert.Empty(t, *log)
	}
}

// TestLoop: a directory that is said to lie in itself.
func TestLoop(t *testing.T) {
	var root uint64
	fs, ns, _ := lying(t, func(q, r []byte) []byte {
		if q[4] == Twalk && r[4] == Twalk+1 && r[7] == 1 && r[9] == QTDIR {
			binary.LittleEndian.PutUint64(r[14:], root)
		}
		return r
	})
	root = fs.root.key.path
	_, err := ns.Stat(nil, "/d", 0)
	assert.Equal(t, syscall.EIO, err)
	assert.Equal(t, syscall.EIO, ns.Chdir("/d/e"))
	cwd, err := ns.Getcwd()
	require.NoError(t, err)
	assert.Equal(t, "/", cwd)
}

// TestNegotiation: what a server may answer to Tversion and Tattach.
func TestNegotiation(t *testing.T) {
	for name, test := range map[string]struct {
		lie  func(q, r []byte) []byte
		want error
	}{
		"other version": {func(q, r []byte) []byte { r[len(r)-1] = 'u'; return r }, syscall.EPROTO},
		"tiny":          {func(q, r []byte) []byte { binary.LittleEndian.PutUint32(r[7:], 4095); return r }, syscall.EPROTO},
		"huge":          {func(q, r []byte) []byte { binary.LittleEndian.PutUint32(r[7:], 16<<10+1); return r }, syscall.EPROTO},
		"a file": {func(q, r []byte) []byte {
			if q[4] == Tattach {
				r[7] = 0
			}
			return r
		}, syscall.EIO},
		"a link": {func(q, r []byte) []byte {
			if q[4] == Tattach {
				r[7] = QTSYMLINK
			}
			return r
		}, syscall.ENOTDIR},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Mount(&liar{Transport: serve(t.TempDir(), 16<<10), lie: test.lie}, nil)
			assert.Equal(t, test.want, err)
		})
	}
}

// TestNoise changes bytes of replies at random: no panic, no hang, and errors
// are those of Linux.
func TestNoise(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 3))
		quiet := random.IntN(60)
		_, ns, _ := lying(t, func(q, r []byte) []byte {
			if quiet--; quiet >= 0 {
				return r
			}
			quiet = random.IntN(10)
			for range 1 + random.IntN(3) {
				// The size, tag and type mostly stay, for otherwise little is read.
				if i := random.IntN(len(r)); i >= headerSize || random.IntN(8) == 0 {
					r[i] = byte(random.Uint32() >> random.IntN(8))
				}
			}
			return r
		})
		require.NoError(t, workload(ns), fmt.Sprint("seed ", seed))
	}
}

// TestWorkload shows that the other tests' work is real.
func TestWorkload(t *testing.T) {
	_, ns, log := lying(t, nil)
	require.NoError(t, workload(ns))
	_, err := ns.Stat(nil, "/x/e", 0)
	assert.NoError(t, err)
	assert.Empty(t, *log)
}
