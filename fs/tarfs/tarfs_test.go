package tarfs

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/tmpfs"
	"github.com/goshawk-os/goshawk/fs/vfs"
)

type member struct {
	tar.Header
	content string
}

// archive makes a tar with archive/tar.
func archive(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		m.Size = int64(len(m.content))
		require.NoError(t, w.WriteHeader(&m.Header))
		_, err := w.Write([]byte(m.content))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

func mount(t *testing.T, data []byte) *vfs.Namespace {
	t.Helper()
	fs, err := New(data, tmpfs.Options{})
	require.NoError(t, err)
	return vfs.New(fs)
}

func read(t *testing.T, ns *vfs.Namespace, path string) string {
	t.Helper()
	f, err := ns.Open(nil, path, syscall.O_RDONLY, 0)
	require.NoError(t, err)
	defer f.Close()
	st, err := f.Stat()
	require.NoError(t, err)
	p := make([]byte, st.Size+1)
	n, err := f.Read(p)
	require.NoError(t, err)
	return string(p[:n])
}

func TestFormats(t *testing.T) {
	when := time.Unix(1234567890, 0)
	long := strings.Repeat("directory/", 30) + "file"
	for _, format := range []tar.Format{tar.FormatUSTAR, tar.FormatPAX, tar.FormatGNU} {
		t.Run(format.String(), func(t *testing.T) {
			header := func(name string, typ byte, mode int64, link string) tar.Header {
				return tar.Header{Name: name, Typeflag: typ, Mode: mode, Linkname: link, ModTime: when, Format: format}
			}
			members := []member{
				{header("dir/", tar.TypeDir, 0o750, ""), ""},
				{header("dir/file", tar.TypeReg, 0o4755, ""), "content"},
				{header("dir/hard", tar.TypeLink, 0o644, "dir/file"), ""},
				{header("dir/soft", tar.TypeSymlink, 0o777, "file"), ""},
				{header("fifo", tar.TypeFifo, 0o600, ""), ""},
				{header("./missing/parent/file", tar.TypeReg, 0o644, ""), "made"},
				{header("empty", tar.TypeReg, 0o644, ""), ""},
				{header("twice", tar.TypeReg, 0o644, ""), "first"},
				{header("twice", tar.TypeReg, 0o644, ""), "second"},
			}
			if format != tar.FormatUSTAR {
				members = append(members, member{header(long, tar.TypeReg, 0o644, ""), "far"},
					member{header("longlink", tar.TypeSymlink, 0o777, long), ""})
			}
			data := archive(t, members...)
			ns := mount(t, data)
			assert.Equal(t, "content", read(t, ns, "/dir/soft"))
			assert.Equal(t, "made", read(t, ns, "/missing/parent/file"))
			assert.Equal(t, "second", read(t, ns, "/twice"))
			assert.Equal(t, "", read(t, ns, "/empty"))
			if format != tar.FormatUSTAR {
				assert.Equal(t, "far", read(t, ns, "/longlink"))
			}
			for path, mode := range map[string]uint32{
				"/dir": syscall.S_IFDIR | 0o750, "/dir/file": syscall.S_IFREG | 0o4755, "/dir/soft": syscall.S_IFLNK | 0o777,
				"/fifo": syscall.S_IFIFO | 0o600, "/missing/parent": syscall.S_IFDIR | 0o755,
			} {
				st, err := ns.Stat(nil, path, abi.AT_SYMLINK_NOFOLLOW)
				require.NoError(t, err)
				assert.Equal(t, mode, st.Mode, path)
				if path != "/missing/parent" {
					assert.Equal(t, syscall.Timespec{Sec: 1234567890}, st.Mtime, path)
				}
			}
			a, _ := ns.Stat(nil, "/dir/file", 0)
			b, _ := ns.Stat(nil, "/dir/hard", 0)
			assert.Equal(t, a, b)
			assert.EqualValues(t, 2, a.Nlink)
		})
	}
}

func TestPaxTimesAndLargeIDs(t *testing.T) {
	ns := mount(t, archive(t, member{tar.Header{
		Name: "f", Typeflag: tar.TypeReg, Format: tar.FormatPAX, ModTime: time.Unix(-5, 250), Uid: 1 << 30, Gid: 7,
	}, ""}))
	st, err := ns.Stat(nil, "/f", 0)
	require.NoError(t, err)
	assert.Equal(t, syscall.Timespec{Sec: -5, Nsec: 250}, st.Mtime)
	assert.EqualValues(t, 1<<30, st.Uid)
	assert.EqualValues(t, 7, st.Gid)
}

func TestContentIsNotCopiedUntilWritten(t *testing.T) {
	content := strings.Repeat("0123456789abcdef", 20_000)
	data := archive(t, member{tar.Header{Name: "f", Typeflag: tar.TypeReg}, content})
	before := bytes.Clone(data)
	ns := mount(t, data)
	f, err := ns.Open(nil, "/f", syscall.O_RDWR, 0)
	require.NoError(t, err)
	view, ok := f.Bytes(100, 1000)
	require.True(t, ok)
	assert.Equal(t, unsafe.Pointer(&data[512+100]), unsafe.Pointer(&view[0]))
	for _, out := range [][2]int64{{int64(len(content)), 1}, {int64(len(content)) + 1, 0}, {-1, 1}} {
		_, ok := f.Bytes(out[0], int(out[1]))
		assert.False(t, ok)
	}

	want := []byte(content)
	for _, off := range []int{0, 70_000, 65_530, len(content) - 3} {
		_, err := f.Pwrite([]byte("CHANGED"), int64(off))
		require.NoError(t, err)
		want = append(want, make([]byte, max(0, off+7-len(want)))...)
		copy(want[off:], "CHANGED")
	}
	require.NoError(t, f.Fallocate(abi.FALLOC_FL_PUNCH_HOLE|abi.FALLOC_FL_KEEP_SIZE, 150_000, 50_000))
	clear(want[150_000:200_000])
	require.NoError(t, f.Truncate(int64(len(content)-100)))
	require.NoError(t, f.Truncate(int64(len(content))))
	want = want[:len(content)]
	clear(want[len(content)-100:])
	assert.Equal(t, string(want), read(t, ns, "/f"))
	assert.Equal(t, before, data, "the archive stays as it was")
	assert.Equal(t, content[100:1100], string(view))
	_, ok = f.Bytes(0, 1)
	assert.False(t, ok)
}

func TestHostileArchives(t *testing.T) {
	reg := func(name, content string) member {
		return member{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}, content}
	}
	good := archive(t, reg("f", "content"))
	damaged := func(change func(b []byte)) []byte {
		b := bytes.Clone(good)
		change(b)
		return b
	}
	// sum makes the header's checksum right again.
	sum := func(b []byte) {
		copy(b[148:156], "        ")
		total := 0
		for _, c := range b[:512] {
			total += int(c)
		}
		for i := range 6 {
			b[148+5-i] = byte('0' + total>>(3*i)&7)
		}
		b[154], b[155] = 0, ' '
	}
	pax := func(records string) []byte {
		b := make([]byte, 1024)
		copy(b, "x")
		copy(b[124:], "00000001000\x00")
		b[156] = 'x'
		sum(b)
		copy(b[512:], records)
		return append(b, good...)
	}
	for _, tt := range []struct {
		what string
		data []byte
		want string
	}{
		{"dot dot", archive(t, reg("a/../../f", "")), "contains .."},
		{"root is a file", archive(t, reg(".", "")), "the root is no directory"},
		{"file below a file", archive(t, reg("f", ""), reg("f/g", "")), "not a directory"},
		{"file over a directory", archive(t, reg("d/g", ""), reg("d", "")), "is a directory"},
		{"file below a symlink", archive(t, member{tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "/etc"}, ""}, reg("l/passwd", "")), "not a directory"},
		{"hard link to nothing", archive(t, member{tar.Header{Name: "l", Typeflag: tar.TypeLink, Linkname: "none"}, ""}), "no such file"},
		{"long name", archive(t, reg(strings.Repeat("n", 256), "")), "name too long"},
		{"long path", archive(t, reg(strings.Repeat("n/", 2100)+"n", "")), "4095 are allowed"},
		{"wrong checksum", damaged(func(b []byte) { b[0]++ }), "checksum"},
		{"cut within a header", good[:300], "within a header"},
		{"cut within a file", good[:514], "within a file"},
		{"no number", damaged(func(b []byte) { copy(b[124:], "9999"); sum(b) }), "bad number"},
		{"huge size", damaged(func(b []byte) { copy(b[124:], "77777777777"); sum(b) }), "within a file"},
		{"negative size", damaged(func(b []byte) { copy(b[124:136], strings.Repeat("\xff", 12)); sum(b) }), "negative size"},
		{"size beyond 64 bits", damaged(func(b []byte) { copy(b[124:136], "\x80"+strings.Repeat("\x7f", 11)); sum(b) }), "too large"},
		{"unknown type", damaged(func(b []byte) { b[156] = 'Z'; sum(b) }), "not supported"},
		{"no target", damaged(func(b []byte) { b[156] = '2'; sum(b) }), "target"},
		{"record without length", pax("path=x\n"), "malformed"},
		{"record too long", pax("999 path=x\n"), "malformed"},
		{"record too short", pax("2 \n"), "malformed"},
		{"sparse file", pax("22 GNU.sparse.major=1\n" + strings.Repeat("\x00", 490)), "sparse"},
		{"text", []byte(strings.Repeat("no tar ", 200)), "bad number"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			_, err := New(tt.data, tmpfs.Options{})
			require.ErrorContains(t, err, tt.want)
			assert.Contains(t, err.Error(), "entry at byte ")
		})
	}
}

func TestEmptyArchives(t *testing.T) {
	for _, data := range [][]byte{nil, make([]byte, 1024), make([]byte, 512)} {
		_, err := New(data, tmpfs.Options{})
		assert.NoError(t, err)
	}
}

func FuzzNew(f *testing.F) {
	f.Add([]byte{})
	for _, format := range []tar.Format{tar.FormatPAX, tar.FormatGNU} {
		f.Add(archive(f,
			member{tar.Header{Name: "d/", Typeflag: tar.TypeDir, Format: format}, ""},
			member{tar.Header{Name: "d/" + strings.Repeat("x", 120), Typeflag: tar.TypeReg, Format: format}, "content"},
			member{tar.Header{Name: "l", Typeflag: tar.TypeLink, Linkname: "d/" + strings.Repeat("x", 120), Format: format}, ""},
			member{tar.Header{Name: "s", Typeflag: tar.TypeSymlink, Linkname: "d", Format: format}, ""}))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		// Right checksums, or the fuzzer would hardly come past them.
		for off := 0; off+512 <= len(data); off += 512 {
			h := data[off : off+512]
			if string(h[257:262]) != "ustar" {
				continue
			}
			copy(h[148:156], "        ")
			total := 0
			for _, c := range h {
				total += int(c)
			}
			for i := range 6 {
				h[148+5-i] = byte('0' + total>>(3*i)&7)
			}
			h[154] = 0
		}
		fs, err := New(data, tmpfs.Options{})
		if err != nil {
			return
		}
		walk(t, vfs.New(fs), "/")
	})
}

// walk reads all that an accepted archive has.
func walk(t *testing.T, ns *vfs.Namespace, path string) {
	st, err := ns.Stat(nil, path, abi.AT_SYMLINK_NOFOLLOW)
	if err == syscall.ENAMETOOLONG {
		return // beneath a path of 4095 bytes
	}
	require.NoError(t, err)
	switch st.Mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		require.Len(t, read(t, ns, path), int(st.Size))
	case syscall.S_IFLNK:
		_, err := ns.Readlink(nil, path)
		require.NoError(t, err)
	case syscall.S_IFDIR:
		d, err := ns.Open(nil, path, syscall.O_RDONLY, 0)
		require.NoError(t, err)
		defer d.Close()
		buf := make([]byte, 4096)
		for {
			n, err := d.ReadDir(buf)
			require.NoError(t, err)
			if n == 0 {
				return
			}
			for p := buf[:n]; len(p) > 0; {
				size := binary.NativeEndian.Uint16(p[16:])
				name := cString(p[19:size])
				if name != "." && name != ".." {
					walk(t, ns, strings.TrimSuffix(path, "/")+"/"+name)
				}
				p = p[size:]
			}
		}
	}
}
