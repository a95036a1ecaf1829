package goos

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk"
)

// modCache returns the module cache, which holds the modules of this one.
func modCache(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOMODCACHE").Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

// guestNeeding makes a guest whose network stack imports the import path.
func guestNeeding(t *testing.T, importPath string) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{
		"boot/boot.go":            {Data: []byte("package boot\n")},
		"boot/network/network.go": {Data: []byte("package network\n\nimport _ \"" + importPath + "\"\n")},
		"goos/_src/net/z.go":      {Data: []byte("package net\n\nimport _ \"goshawk/boot/network\"\n")},
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := fs.ReadFile(goshawk.Sources, name)
		require.NoError(t, err)
		files[name] = &fstest.MapFile{Data: text}
	}
	old := guest
	guest = files
	t.Cleanup(func() { guest = old })
	return files
}

func TestFetch(t *testing.T) {
	proxy := "file://" + filepath.ToSlash(modCache(t)) + "/cache/download"
	ownCache(t)
	t.Setenv("GOPROXY", proxy)
	t.Setenv("GOMODCACHE", t.TempDir())
	t.Setenv("GOFLAGS", "-modcacherw -mod=vendor") // the latter is about the program
	guestNeeding(t, "golang.org/x/time/rate")
	tc, err := Find(t.Context(), ".")
	require.NoError(t, err)
	_, err = tc.Overlay("amd64")
	require.NoError(t, err, "needs no module")
	var messages bytes.Buffer
	overlay, err := tc.NetworkOverlay(t.Context(), "amd64", &messages)
	require.NoError(t, err)
	assert.Regexp(t, `^goshawk: fetching golang\.org/x/time v[0-9.]+\n$`, messages.String())
	assert.Contains(t, replacements(t, overlay), filepath.Join(tc.GOROOT, "src", "goshawk", "golang.org", "x", "time", "rate", "rate.go"))

	messages.Reset()
	t.Setenv("GOPROXY", "off")
	tc, err = Find(t.Context(), ".")
	require.NoError(t, err)
	again, err := tc.NetworkOverlay(t.Context(), "amd64", &messages)
	require.NoError(t, err)
	assert.Equal(t, overlay, again)
	require.NoError(t, os.RemoveAll(filepath.Dir(overlay)))
	again, err = tc.NetworkOverlay(t.Context(), "amd64", &messages)
	require.NoError(t, err, "from the module cache")
	assert.Equal(t, overlay, again)
	assert.Empty(t, messages.String())

	t.Setenv("GOMODCACHE", t.TempDir())
	tc, err = Find(t.Context(), ".")
	require.NoError(t, err)
	_, err = tc.NetworkOverlay(t.Context(), "amd64", nil)
	assert.NoError(t, err, "from the overlay made before")
}

func TestFetchFailure(t *testing.T) {
	proxy := "file://" + filepath.ToSlash(modCache(t)) + "/cache/download"
	edit := func(name, old, new string) func(fstest.MapFS) {
		return func(files fstest.MapFS) {
			text := string(files[name].Data)
			require.Contains(t, text, old)
			files[name] = &fstest.MapFile{Data: []byte(strings.ReplaceAll(text, old, new))}
		}
	}
	for name, c := range map[string]struct {
		importPath, proxy string
		change            func(fstest.MapFS)
		want              []string
	}{
		"offline": {"golang.org/x/time/rate", "off", nil, []string{
			"the module golang.org/x/time v", "cannot be fetched from GOPROXY=off: golang.org/x/time@v", "disabled by GOPROXY=off", "GOMODCACHE=",
		}},
		"not there": {"golang.org/x/time/rate", "file:///nonexistent", nil, []string{
			"golang.org/x/time v", "GOPROXY=file:///nonexistent", "no such file",
		}},
		"other content": {"golang.org/x/time/rate", proxy, edit("go.sum", "golang.org/x/time ", "golang.org/x/time v0.0.1 h1:x=\ngolang.org/x/time "), nil},
		"tampered with": {"golang.org/x/time/rate", proxy, func(files fstest.MapFS) {
			lines := strings.SplitAfter(string(files["go.sum"].Data), "\n")
			for i, line := range lines {
				if strings.HasPrefix(line, "golang.org/x/time ") && !strings.Contains(line, "/go.mod ") {
					lines[i] = line[:strings.Index(line, "h1:")] + "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
				}
			}
			files["go.sum"] = &fstest.MapFile{Data: []byte(strings.Join(lines, ""))}
		}, []string{"golang.org/x/time v", "checksum mismatch"}},
		"no checksum": {"golang.org/x/time/rate", proxy, edit("go.sum", "golang.org/x/time ", "example.com/time "), []string{
			"goshawk's go.sum has no checksum of golang.org/x/time v",
		}},
		"no such module":  {"example.com/m/p", proxy, nil, []string{"boot/network imports example.com/m/p, and goshawk's go.mod requires no module that has it"}},
		"no such package": {"golang.org/x/time/rates", proxy, nil, []string{"the package golang.org/x/time/rates of golang.org/x/time v"}},
		"no go.mod": {"golang.org/x/time/rate", proxy, func(files fstest.MapFS) { delete(files, "go.mod") }, []string{
			"the guest needs modules", "go.mod",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			ownCache(t)
			t.Setenv("GOPROXY", c.proxy)
			t.Setenv("GOMODCACHE", t.TempDir())
			t.Setenv("GOFLAGS", "-modcacherw")
			files := guestNeeding(t, c.importPath)
			if c.change != nil {
				c.change(files)
			}
			tc, err := Find(t.Context(), ".")
			require.NoError(t, err)
			_, err = tc.NetworkOverlay(t.Context(), "amd64", nil)
			if c.want == nil {
				require.NoError(t, err)
			}
			for _, part := range c.want {
				assert.ErrorContains(t, err, part)
			}
		})
	}
}

// TestModuleEdits shows that all edits are of files that are there, and each
// pattern of omitted files matches some.
func TestModuleEdits(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f={{.Path}} {{.Dir}}", "all").Output()
	require.NoError(t, err)
	dirs := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		name, dir, _ := strings.Cut(strings.TrimSpace(line), " ")
		dirs[name] = dir
	}
	find := func(file string) (*requiredModule, string) {
		for name, dir := range dirs {
			if rest, ok := strings.CutPrefix(file, name+"/"); ok && dir != "" {
				return &requiredModule{Path: name, Version: "v1.2.3"}, filepath.Join(dir, filepath.FromSlash(rest))
			}
		}
		t.Fatalf("no module has %s", file)
		return nil, ""
	}
	for _, e := range moduleEdits {
		m, file := find(e.File)
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		_, err = editModuleFile(m, e.File, text)
		assert.NoError(t, err)
		_, err = editModuleFile(m, e.File, []byte("package p\n"))
		for _, part := range []string{m.Path + " v1.2.3", e.File, "0 times"} {
			assert.ErrorContains(t, err, part)
		}
		assert.False(t, omit(e.File), "%s is edited and left out", e.File)
	}
	for _, pattern := range omitted {
		before, after, _ := strings.Cut(pattern, "...")
		_, dir := find(before)
		found := false
		require.NoError(t, filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
			found = found || strings.HasSuffix(name, after)
			return err
		}))
		assert.True(t, found, "%s matches no file", pattern)
	}
	assert.True(t, omit("gvisor.dev/gvisor/pkg/tcpip/stack/stack_state_autogen.go"))
	assert.False(t, omit("gvisor.dev/gvisor/pkg/tcpip/stack/stack.go"))
	assert.NoError(t, fs.WalkDir(goshawk.Sources, strings.TrimSuffix(moduleFiles, "/"), func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			_, file := find(strings.TrimPrefix(name, moduleFiles))
			assert.DirExists(t, filepath.Dir(file), name)
		}
		return err
	}))
}
