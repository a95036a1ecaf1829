package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tree makes files of every kind that a tar may hold.
func tree(t *testing.T) string {
	dir := t.TempDir()
	at := time.Unix(1_700_000_000, 123456789)
	for _, name := range []string{"b/c", "b/a", "a", "z.d/.hidden", "b.txt"} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(name), 0o640))
		require.NoError(t, os.Chmod(path, 0o640))
	}
	require.NoError(t, os.Chmod(filepath.Join(dir, "a"), 0o751|os.ModeSetuid))
	require.NoError(t, os.Symlink("../absent", filepath.Join(dir, "b", "link")))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "empty"), 0o700))
	for _, name := range []string{"b/c", "b/a", "a", "z.d/.hidden", "b.txt", "b", "empty", "z.d", "."} {
		require.NoError(t, os.Chtimes(filepath.Join(dir, name), at, at))
	}
	return dir
}

// listing describes the entries of a tar. Times of symbolic links are left
// out, since they cannot be set.
func listing(t *testing.T, archive []byte) []string {
	var lines []string
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return lines
		}
		require.NoError(t, err)
		data, err := io.ReadAll(r)
		require.NoError(t, err)
		assert.Zero(t, h.Uid+h.Gid)
		assert.Empty(t, h.Uname+h.Gname)
		if h.Typeflag != tar.TypeSymlink {
			assert.Equal(t, time.Unix(1_700_000_000, 0), h.ModTime)
		}
		lines = append(lines, fmt.Sprintf("%s %#o %s%s", h.Name, h.Mode, data, h.Linkname))
	}
}

func TestWriteTar(t *testing.T) {
	dir := tree(t)
	var first, second bytes.Buffer
	require.NoError(t, WriteTar(&first, dir, TarOptions{}))
	assert.Equal(t, []string{
		"a 04751 a",
		"b/ 0755 ",
		"b/a 0640 b/a",
		"b/c 0640 b/c",
		"b/link 0777 ../absent",
		"b.txt 0640 b.txt",
		"empty/ 0700 ",
		"z.d/ 0755 ",
		"z.d/.hidden 0640 z.d/.hidden",
	}, listing(t, first.Bytes()))
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(dir, link))
	require.NoError(t, WriteTar(&second, link, TarOptions{}))
	assert.Equal(t, first.Bytes(), second.Bytes(), "through a symbolic link")
}

func TestWriteTarOptions(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, WriteTar(&out, tree(t), TarOptions{Prefix: "/src/app/", Exclude: []string{"b", "z.d/.hidden", "b.txt"}}))
	assert.Equal(t, []string{
		"src/ 0700 ",
		"src/app/ 0700 ",
		"src/app/a 04751 a",
		"src/app/empty/ 0700 ",
		"src/app/z.d/ 0755 ",
	}, maskFirst(listing(t, out.Bytes())))
}

// maskFirst replaces the mode of the first two entries, which is that of the
// temporary directory.
func maskFirst(lines []string) []string {
	for i, name := range []string{"src/", "src/app/"} {
		lines[i] = name + " 0700 "
	}
	return lines
}

func TestWriteTarSocket(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	require.NoError(t, err)
	defer l.Close()
	err = WriteTar(io.Discard, dir, TarOptions{})
	assert.ErrorContains(t, err, filepath.Join(dir, "s")+" is a socket; ")
	assert.NoError(t, WriteTar(io.Discard, dir, TarOptions{Exclude: []string{"s"}}))
	assert.ErrorContains(t, WriteTar(io.Discard, filepath.Join(dir, "s"), TarOptions{}), "is not a directory")
}
