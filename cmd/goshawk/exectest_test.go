package main

import (
	"archive/tar"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestShipFiles(t *testing.T) {
	t.Setenv("GOROOT", "/nowhere")
	root := t.TempDir()
	for _, name := range []string{
		"go.mod", "testdata/above", "other/other.go", "a/testdata/middle", "a/p/p.go", "a/p/data.txt",
		"a/p/testdata/x.go", "a/p/testdata/.hidden", "a/p/templates/t.html", "a/p/sub/sub.go", "a/p/.git/HEAD", "extra/e",
	} {
		file := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o777))
		require.NoError(t, os.WriteFile(file, []byte(name), 0o666))
	}
	l, err := net.Listen("unix", filepath.Join(root, "a/p/socket"))
	require.NoError(t, err)
	defer l.Close()

	archive := filepath.Join(t.TempDir(), "files.tar")
	mount, err := shipFiles(archive, filepath.Join(root, "a/p"), []string{filepath.Join(root, "extra")})
	require.NoError(t, err)
	assert.Equal(t, root, mount)
	assert.Equal(t, []string{
		"a/p/data.txt", "a/p/p.go", "a/p/templates/t.html", "a/p/testdata/.hidden", "a/p/testdata/x.go",
		"a/testdata/middle", "extra/e", "testdata/above",
	}, filesOf(t, archive))

	_, err = shipFiles(archive, filepath.Join(root, "a/p"), []string{"/etc"})
	assert.ErrorContains(t, err, "/etc is not below")
}

func TestShipFilesOfGOROOT(t *testing.T) {
	root := t.TempDir()
	t.Setenv("GOROOT", root)
	for _, name := range []string{"lib/time/zoneinfo.zip", "src/go.mod", "src/p/p.go"} {
		file := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o777))
		require.NoError(t, os.WriteFile(file, []byte(name), 0o666))
	}
	archive := filepath.Join(t.TempDir(), "files.tar")
	mount, err := shipFiles(archive, filepath.Join(root, "src/p"), nil)
	require.NoError(t, err)
	assert.Equal(t, root, mount)
	assert.Equal(t, []string{"lib/time/zoneinfo.zip", "src/p/p.go"}, filesOf(t, archive))
}

// filesOf returns the sorted names of the regular files in a tar, after a check of their contents.
func filesOf(t *testing.T, archive string) []string {
	t.Helper()
	f, err := os.Open(archive)
	require.NoError(t, err)
	defer f.Close()
	var names []string
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if h.Typeflag == tar.TypeReg {
			content, err := io.ReadAll(r)
			require.NoError(t, err)
			assert.Equal(t, h.Name, string(content))
			names = append(names, h.Name)
		}
	}
	slices.Sort(names)
	return names
}

func TestTestTimeout(t *testing.T) {
	assert.Equal(t, 90*time.Second, testTimeout([]string{"-test.v", "-test.timeout=1m30s"}))
	assert.Zero(t, testTimeout([]string{"-test.v"}))
}
