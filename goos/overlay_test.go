package goos

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk"
)

// ownCache gives the test a cache directory of its own, except for the
// go command's build cache.
func ownCache(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if os.Getenv("GOCACHE") == "" {
		user, err := os.UserCacheDir()
		require.NoError(t, err)
		t.Setenv("GOCACHE", filepath.Join(user, "go-build"))
	}
	t.Setenv("XDG_CACHE_HOME", dir)
	return filepath.Join(dir, "goshawk")
}

// replacements returns the content of an overlay file.
func replacements(t *testing.T, jsonPath string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(jsonPath)
	require.NoError(t, err)
	var overlay struct{ Replace map[string]string }
	require.NoError(t, json.Unmarshal(text, &overlay))
	return overlay.Replace
}

func TestOverlay(t *testing.T) {
	ownCache(t)
	tc, err := Find(t.Context(), ".")
	require.NoError(t, err)
	overlay, err := tc.Overlay("amd64")
	require.NoError(t, err)
	replace := replacements(t, overlay)
	src := filepath.Join(tc.GOROOT, "src")
	for from, to := range replace {
		require.True(t, strings.HasPrefix(from, src+string(filepath.Separator)), from)
		text, err := os.ReadFile(to)
		require.NoError(t, err)
		if strings.HasPrefix(from, filepath.Join(src, "goshawk")) {
			assert.DirExists(t, filepath.Dir(from), "the assembler starts there")
			assert.NotContains(t, string(text), `"`+modulePrefix, from)
		}
		assert.NotContains(t, from, "_test.go")
		assert.NotContains(t, from, "boot/image")
	}
	edited, err := os.ReadFile(replace[filepath.Join(src, "syscall", "syscall_linux.go")])
	require.NoError(t, err)
	assert.Contains(t, string(edited), "goshawkDispatch(trap, a1, a2, a3, a4, a5, a6)")
	assert.NotContains(t, string(edited), "\truntime_entersyscall()\n")
	assert.NotContains(t, string(edited), "\truntime_exitsyscall()\n")
	assert.Contains(t, replace, filepath.Join(src, "os", "zgoshawk.go"))

	stat, err := os.Stat(overlay)
	require.NoError(t, err)
	again, err := tc.Overlay("amd64")
	require.NoError(t, err)
	assert.Equal(t, overlay, again)
	statAgain, err := os.Stat(again)
	require.NoError(t, err)
	assert.True(t, os.SameFile(stat, statAgain), "used again, not written again")

	pairs, err := tc.SourceMap(overlay)
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(src, "goshawk"), pairs[0].From)
	assert.DirExists(t, pairs[0].To)
	assert.Contains(t, pairs, PathPair{filepath.Join(src, "syscall", "syscall_linux.go"), replace[filepath.Join(src, "syscall", "syscall_linux.go")]})

	_, err = tc.Overlay("arm64")
	assert.EqualError(t, err, "goshawk does not support the architecture arm64; it supports amd64")
}

// TestOverlayConcurrent has several builds make the same overlay at once.
func TestOverlayConcurrent(t *testing.T) {
	cache := ownCache(t)
	var wg sync.WaitGroup
	paths := make([]string, 8)
	for i := range paths {
		wg.Go(func() {
			tc, err := Find(t.Context(), ".")
			if assert.NoError(t, err) {
				paths[i], err = tc.Overlay("amd64")
				assert.NoError(t, err)
			}
		})
	}
	wg.Wait()
	for _, p := range paths {
		assert.Equal(t, paths[0], p)
	}
	for _, to := range replacements(t, paths[0]) {
		assert.FileExists(t, to)
	}
	for _, dir := range []string{"overlay", "goroot"} {
		entries, err := os.ReadDir(filepath.Join(cache, dir))
		require.NoError(t, err)
		assert.Len(t, entries, 1, "nothing half is left in %s", dir)
	}
}

// fakeRoot makes a GOROOT that holds the edited files, each with its anchors.
func fakeRoot(t *testing.T) (root string, files map[string]string) {
	root, files = t.TempDir(), make(map[string]string)
	for _, e := range edits {
		files[e.File] += "// before\n" + e.Old + "// behind\n"
	}
	for name, text := range files {
		path := filepath.Join(root, "src", name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
	}
	return root, files
}

func TestEditMissingAnchor(t *testing.T) {
	ownCache(t)
	for _, e := range edits {
		root, files := fakeRoot(t)
		tc := &Toolchain{GOROOT: root, Version: "go1.26.99"}
		_, err := tc.Overlay("amd64")
		require.NoError(t, err)
		path := filepath.Join(root, "src", e.File)

		require.NoError(t, os.WriteFile(path, []byte(strings.Replace(files[e.File], e.Old, "", 1)), 0o666))
		_, err = tc.Overlay("amd64")
		require.Error(t, err)
		for _, part := range []string{"go1.26.99", e.File, "0 times", strings.TrimSuffix(strings.TrimPrefix(quoted(e.Old), `"`), `"`), "go1.26 and go1.27"} {
			assert.ErrorContains(t, err, part)
		}

		require.NoError(t, os.WriteFile(path, []byte(files[e.File]+e.Old), 0o666))
		_, err = tc.Overlay("amd64")
		if e.All {
			assert.NoError(t, err)
		} else {
			assert.ErrorContains(t, err, "2 times")
		}

		require.NoError(t, os.Remove(path))
		_, err = tc.Overlay("amd64")
		assert.ErrorContains(t, err, e.File)
	}
}

func quoted(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// TestKey shows that each input counts.
func TestKey(t *testing.T) {
	type files = map[string][]byte
	tc := &Toolchain{GOROOT: "/go", Version: "go1.26.8"}
	keys := map[string]bool{
		tc.key(files{"a": []byte("x")}, files{}, files{}):                                               true,
		tc.key(files{"a": []byte("y")}, files{}, files{}):                                               true,
		tc.key(files{"b": []byte("x")}, files{}, files{}):                                               true,
		tc.key(files{}, files{"a": []byte("x")}, files{}):                                               true,
		tc.key(files{"a": []byte("x"), "b": nil}, files{}, files{}):                                     true,
		(&Toolchain{GOROOT: "/g", Version: "go1.26.8"}).key(files{"a": []byte("x")}, files{}, files{}):  true,
		(&Toolchain{GOROOT: "/go", Version: "go1.26.9"}).key(files{"a": []byte("x")}, files{}, files{}): true,
	}
	assert.Len(t, keys, 7)
}

func TestRewriteImports(t *testing.T) {
	const source = `// Package p imports "github.com/goshawk-os/goshawk/a".
package p

import "github.com/goshawk-os/goshawk/a"
import (
	"errors"
	b "github.com/goshawk-os/goshawk/b/c" // from "github.com/goshawk-os/goshawk/b/c"
	_ "github.com/goshawk-os/goshawk-other/d"
	"net"
	"net/netip"
	"gvisor.dev/gvisor/pkg/tcpip"
)

var _ = "github.com/goshawk-os/goshawk/e"
`
	got, err := rewriteImports("p.go", []byte(source))
	require.NoError(t, err)
	assert.Equal(t, `// Package p imports "github.com/goshawk-os/goshawk/a".
package p

import "goshawk/a"
import (
	"errors"
	b "goshawk/b/c" // from "github.com/goshawk-os/goshawk/b/c"
	_ "goshawk/github.com/goshawk-os/goshawk-other/d"
	"goshawk/net/value"
	"net/netip"
	"goshawk/gvisor.dev/gvisor/pkg/tcpip"
)

var _ = "github.com/goshawk-os/goshawk/e"
`, string(got))
	_, err = rewriteImports("p.go", []byte("package"))
	assert.ErrorContains(t, err, "p.go:1:")
}

func TestPrune(t *testing.T) {
	cache := t.TempDir()
	old := time.Now().Add(-keepFor - time.Hour)
	for _, name := range []string{"old", "tmp-1", "new"} {
		require.NoError(t, os.MkdirAll(filepath.Join(cache, name, "src"), 0o777))
		if name != "new" {
			require.NoError(t, os.Chtimes(filepath.Join(cache, name), old, old))
		}
	}
	prune(cache)
	entries, err := os.ReadDir(cache)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	assert.Equal(t, "new", entries[0].Name())
}

// TestGuestSources shows that no file of the guest's kinds is forgotten.
func TestGuestSources(t *testing.T) {
	files, err := guestSources(goshawk.Sources)
	require.NoError(t, err)
	assert.Contains(t, files, "goos/_src/os/zgoshawk.go")
	assert.Contains(t, files, "goos/_src/syscall/asm_linux_amd64.s")
	for name := range files {
		assert.NotContains(t, name, "_test.go")
	}
}
