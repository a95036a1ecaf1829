package osfile

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReadDir(t *testing.T) {
	dir := t.TempDir()
	var want []string
	for i := range 1000 {
		name := fmt.Sprintf("%d-%s", i, strings.Repeat("n", i%100))
		write(t, filepath.Join(dir, name), "")
		want = append(want, name)
	}
	slices.Sort(want)

	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var got []string
	for _, e := range entries {
		assert.False(t, e.IsDir())
		got = append(got, e.Name())
	}
	assert.Equal(t, want, got)

	file, err := os.Open(dir)
	require.NoError(t, err)
	defer file.Close()
	for range 2 {
		got = nil
		for {
			names, err := file.Readdirnames(7)
			if err == io.EOF {
				break
			}
			require.NoError(t, err)
			got = append(got, names...)
		}
		slices.Sort(got)
		assert.Equal(t, want, got)
		_, err = file.Seek(0, io.SeekStart)
		require.NoError(t, err)
	}
}

func TestMkdirTempAndRemoveAll(t *testing.T) {
	seen := map[string]bool{}
	for range 20 {
		dir, err := os.MkdirTemp(t.TempDir(), "a*z")
		require.NoError(t, err)
		base := filepath.Base(dir)
		assert.True(t, strings.HasPrefix(base, "a") && strings.HasSuffix(base, "z"), base)
		assert.False(t, seen[base])
		seen[base] = true
	}
	dir, err := os.MkdirTemp("", "goshawk-")
	require.NoError(t, err)
	assert.Equal(t, os.TempDir(), filepath.Dir(dir))
	deep := filepath.Join(dir, strings.Repeat("d/", 50))
	require.NoError(t, os.MkdirAll(deep, 0o755))
	write(t, filepath.Join(deep, "file"), "x")
	require.NoError(t, os.Symlink("/", filepath.Join(deep, "root")))
	require.NoError(t, os.RemoveAll(dir))
	assert.NoDirExists(t, dir)
	assert.DirExists(t, "/")

	file, err := os.CreateTemp(t.TempDir(), "")
	require.NoError(t, err)
	assert.NoError(t, file.Close())
}

func TestWorkingDirectory(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	t.Chdir(dir)
	got, err := syscall.Getwd()
	require.NoError(t, err)
	assert.Equal(t, dir, got)
	write(t, "relative", "x")
	assert.FileExists(t, filepath.Join(dir, "relative"))
	require.NoError(t, os.MkdirAll("a/b", 0o755))
	assert.Equal(t, "x", content(t, "a/b/../../relative"))
	assert.Equal(t, "x", content(t, "./a/.././/relative"))

	folder, err := os.Open("a")
	require.NoError(t, err)
	defer folder.Close()
	require.NoError(t, folder.Chdir())
	_, err = os.Stat("b")
	assert.NoError(t, err)
	assert.ErrorIs(t, os.Chdir("none"), fs.ErrNotExist)
	assert.ErrorIs(t, os.Chdir("../relative"), syscall.ENOTDIR)
}

// TestFS runs the standard library's checks of a file system on a folder.
func TestFS(t *testing.T) {
	dir := t.TempDir()
	source := fstest.MapFS{
		"a/b/c":   {Data: []byte("c"), Mode: 0o644},
		"a/d":     {Data: []byte("d"), Mode: 0o600},
		"e/empty": {Data: nil, Mode: 0o644},
	}
	require.NoError(t, os.CopyFS(dir, source))
	assert.NoError(t, fstest.TestFS(os.DirFS(dir), "a/b/c", "a/d", "e/empty"))

	var walked []string
	require.NoError(t, filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		walked = append(walked, strings.TrimPrefix(name, dir))
		return err
	}))
	assert.Equal(t, []string{"", "/a", "/a/b", "/a/b/c", "/a/d", "/e", "/e/empty"}, walked)
}

func TestRoot(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "secret"), "s")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "jail"), 0o755))
	root, err := os.OpenRoot(filepath.Join(dir, "jail"))
	require.NoError(t, err)
	defer root.Close()
	require.NoError(t, root.Mkdir("in", 0o755))
	file, err := root.Create("in/file")
	require.NoError(t, err)
	require.NoError(t, file.Close())
	_, err = root.Open("../secret")
	assert.Error(t, err)
	require.NoError(t, os.Symlink("../secret", filepath.Join(dir, "jail", "way-out")))
	_, err = root.Open("way-out")
	assert.Error(t, err)
	require.NoError(t, root.Rename("in/file", "moved"))
	require.NoError(t, root.Remove("moved"))
	require.NoError(t, root.RemoveAll("in"))
}

func TestConcurrentNames(t *testing.T) {
	dir := t.TempDir()
	var group sync.WaitGroup
	for w := range 8 {
		group.Go(func() {
			for i := range 100 {
				a := filepath.Join(dir, fmt.Sprintf("%d-%d", w, i))
				if !assert.NoError(t, os.Mkdir(a, 0o755)) ||
					!assert.NoError(t, os.WriteFile(a+"/f", []byte(a), 0o644)) ||
					!assert.NoError(t, os.Rename(a, a+"x")) {
					return
				}
				got, err := os.ReadFile(a + "x/f")
				assert.NoError(t, err)
				assert.Equal(t, a, string(got))
				assert.NoError(t, os.RemoveAll(a+"x"))
			}
		})
	}
	group.Wait()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, entries)
}
