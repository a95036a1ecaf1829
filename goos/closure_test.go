package goos

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk"
)

// TestNetworkOverlay shows that the standard library with the network stack
// below net is whole: no package is missing, none imports itself, and with
// the tests of all packages neither.
func TestNetworkOverlay(t *testing.T) {
	for _, toolchain := range []string{"local", "go1.27.1"} {
		t.Run(toolchain, func(t *testing.T) {
			if toolchain != "local" && testing.Short() {
				t.Skip("fetches a toolchain")
			}
			ownCache(t)
			t.Setenv("GOTOOLCHAIN", toolchain)
			tc, err := Find(t.Context(), ".")
			require.NoError(t, err)
			overlay, err := tc.NetworkOverlay(t.Context(), "amd64", os.Stderr)
			require.NoError(t, err)
			list := func(args ...string) []string {
				cmd := exec.Command(tc.Go, append([]string{"list", "-overlay=" + overlay, tc.tagsFlag("")}, args...)...)
				cmd.Env = tc.Env
				out, err := cmd.Output()
				require.NoError(t, withMessages(err))
				return strings.Fields(string(out))
			}
			deps := list("-deps", "goshawk/boot/network")
			assert.Contains(t, deps, "goshawk/gvisor.dev/gvisor/pkg/tcpip/stack")
			assert.Contains(t, deps, "goshawk/golang.org/x/sys/unix")
			assert.Contains(t, deps, valuePath)
			for _, heavy := range []string{"net", "net/http", "encoding/json", "os/exec", "log/slog", "regexp", "text/template"} {
				assert.NotContains(t, deps, heavy)
			}
			assert.Contains(t, list("-test", "std"), "net.test")

			src := filepath.Join(tc.GOROOT, "src")
			replace := replacements(t, overlay)
			for from, to := range replace {
				rel, err := filepath.Rel(src, from)
				require.NoError(t, err)
				assert.NotContains(t, rel, "_test.go")
				if !strings.HasPrefix(rel, "goshawk") || filepath.Ext(rel) != ".go" {
					continue
				}
				assert.DirExists(t, filepath.Dir(from), "the assembler starts there")
				text, err := os.ReadFile(to)
				require.NoError(t, err)
				paths, err := importsOf(to, text)
				require.NoError(t, err)
				assert.False(t, slices.ContainsFunc(paths, inModule) || slices.Contains(paths, "net"), "%s imports %v", rel, paths)
			}

			light, err := tc.Overlay("amd64")
			require.NoError(t, err)
			assert.NotEqual(t, overlay, light)
			for from := range replacements(t, light) {
				for _, dir := range []string{"net", "goshawk/boot/network", "goshawk/net/netstack", "goshawk/gvisor.dev"} {
					assert.False(t, strings.HasPrefix(from, filepath.Join(src, filepath.FromSlash(dir))+string(filepath.Separator)), from)
				}
			}

			// What has assembly needs its directory even if only the overlay is left.
			sys := filepath.Join(src, "goshawk", "golang.org")
			require.NoError(t, os.RemoveAll(sys))
			_, err = tc.NetworkOverlay(t.Context(), "amd64", nil)
			require.NoError(t, err)
			assert.DirExists(t, filepath.Join(sys, "x", "sys", "unix"))
		})
	}
}

func TestSplitSources(t *testing.T) {
	sources := map[string][]byte{
		"a/a.go":             []byte("package a\n\nimport _ \"errors\"\n"),
		"b/b.go":             []byte("package b\n\nimport _ \"example.com/m/p\"\n"),
		"b/b_amd64.s":        []byte("// assembly\n"),
		"c/c.go":             []byte("package c\n\nimport (\n\t_ \"" + modulePrefix + "a\"\n\t_ \"" + modulePrefix + "b\"\n)\n"),
		"d/d.go":             []byte("package d\n\nimport _ \"" + modulePrefix + "a\"\n"),
		"d/host.go":          []byte("//go:build !goshawk\n\npackage d\n\nimport _ \"example.com/m/host\"\n"),
		"d/d_windows.go":     []byte("package d\n\nimport _ \"example.com/m/windows\"\n"),
		"d/new.go":           []byte("//go:build go1.28\n\npackage d\n\nimport _ \"example.com/m/new\"\n"),
		"e/e.go":             []byte("package e\n\nimport _ \"net\"\n"),
		"goos/_src/net/z.go": []byte("package net\n\nimport _ \"goshawk/c\"\n"),
		"goos/_src/os/z.go":  []byte("package os\n\nimport _ \"goshawk/d\"\n"),
	}
	tc := &Toolchain{Version: "go1.27.1"}
	split, err := tc.splitSources(sources)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"example.com/m/p": "b"}, split.roots)
	var light []string
	for name := range split.light {
		light = append(light, name)
	}
	assert.ElementsMatch(t, []string{"a/a.go", "d/d.go", "d/host.go", "d/d_windows.go", "d/new.go", "goos/_src/os/z.go"}, light)

	sources["a/a.go"] = []byte("package")
	_, err = tc.splitSources(sources)
	assert.ErrorContains(t, err, "a/a.go")
}

// netGuest adds a network stack to the test guest, which needs a module and
// assembly of another.
func netGuest(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, guest))
	for name, text := range map[string]string{
		"boot/network/network.go": `package network

import (
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/google/btree"
)

func init() {
	tree := btree.NewOrderedG[int](2)
	pid, _, _ := unix.Syscall(unix.SYS_GETPID, 0, 0, 0)
	tree.ReplaceOrInsert(int(pid))
	tree.Ascend(func(pid int) bool {
		_, file, _, _ := runtime.Caller(1)
		_, bad := net.ParseMAC("x")
		_, _, alsoBad := net.ParseCIDR("::/129")
		if pid == 1000000 {
			os.Setenv("STACK", net.ParseIP("192.0.2.1").String()+" "+bad.Error()+" "+alsoBad.Error()+" "+file)
		}
		return true
	})
}

func Await() {}
`,
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o777))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o666))
	}
	for _, name := range []string{"go.mod", "go.sum", "goos/_src/net/zgoshawk.go", "goos/_src/" + valuePath + "/zgoshawk.go"} {
		text, err := fs.ReadFile(goshawk.Sources, name)
		require.NoError(t, err)
		file := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o777))
		require.NoError(t, os.WriteFile(file, text, 0o666))
	}
	guest = os.DirFS(dir)
}

// TestBuildNet shows that a program gets the stack exactly if it uses net, and
// what debuggers find its source by.
func TestBuildNet(t *testing.T) {
	ownCache(t)
	testGuest(t)
	netGuest(t)
	dir := module(t, map[string]string{
		"go.mod": "module example.com/nets\n\ngo 1.26\n",
		"with/main.go": "package main\n\nimport (\n\t\"net\"\n\t\"os\"\n)\n\n" +
			"func main() { println(net.IPv4len, os.Getenv(\"STACK\")) }\n",
		"without/main.go": "package main\n\nimport \"os\"\n\nfunc main() { println(os.Getenv(\"STACK\")) }\n",
	})
	const stack = "4 192.0.2.1 address x: invalid MAC address invalid CIDR address: ::/129 "
	for _, toolchain := range []string{"local", "go1.27.1"} {
		if toolchain != "local" && testing.Short() {
			t.Skip("fetches a toolchain")
		}
		env := []string{"GOTOOLCHAIN=" + toolchain}
		out, result := run(t, BuildOptions{Dir: dir, Package: "./without", Env: env})
		assert.Equal(t, "\n", out)
		plain := result.Overlay

		out, _ = run(t, BuildOptions{Dir: dir, Package: "./with", Env: env, Trimpath: true})
		assert.Equal(t, stack+"goshawk/github.com/google/btree/btree_generic.go\n", out)

		out, result = run(t, BuildOptions{Dir: dir, Package: "./with", Env: env})
		file, ok := strings.CutPrefix(strings.TrimSpace(out), stack)
		require.True(t, ok, out)
		assert.NotEqual(t, plain, result.Overlay)
		pairs, err := result.Toolchain.SourceMap(result.Overlay)
		require.NoError(t, err)
		// The root in it is of who compiled the package first into Go's build cache.
		_, below, ok := strings.Cut(file, "/src/goshawk/")
		require.True(t, ok, file)
		assert.Equal(t, filepath.Join(result.Toolchain.GOROOT, "src", "goshawk"), pairs[0].From)
		assert.FileExists(t, filepath.Join(pairs[0].To, filepath.FromSlash(below)))
	}
}

func TestTestOverlay(t *testing.T) {
	ownCache(t)
	testGuest(t)
	netGuest(t)
	dir := module(t, map[string]string{
		"go.mod":           "module example.com/tests\n\ngo 1.26\n",
		"plain/p.go":       "package plain\n",
		"plain/p_test.go":  "package plain\n\nimport _ \"testing\"\n",
		"tagged/t.go":      "package tagged\n",
		"tagged/t_test.go": "//go:build extra\n\npackage tagged_test\n\nimport _ \"net/http\"\n",
		"broken/b.go":      "package broken\n\nimport _ \"example.com/none\"\n",
	})
	t.Chdir(dir)
	tc, err := Find(t.Context(), ".")
	require.NoError(t, err)
	light, err := tc.Overlay("amd64")
	require.NoError(t, err)
	network, err := tc.NetworkOverlay(t.Context(), "amd64", nil)
	require.NoError(t, err)
	for _, c := range []struct {
		tags     string
		packages []string
		want     string
	}{
		{"", []string{"./plain"}, light},
		{"", nil, light},
		{"", []string{"./tagged", "./plain"}, light},
		{"extra", []string{"./tagged", "./plain"}, network},
		{"", []string{"strings", "encoding/json"}, network},
		{"", []string{"net"}, network},
		{"", []string{"./broken"}, light},
		{"", []string{"./none"}, light},
	} {
		got, err := tc.TestOverlay(t.Context(), c.tags, []string{"-mod=mod"}, c.packages, nil)
		require.NoError(t, err)
		assert.Equal(t, c.want, got, "%s %s", c.tags, c.packages)
	}
}
