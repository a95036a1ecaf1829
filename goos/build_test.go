package goos

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/boot/image"
)

// testGuest has Build use the guest in testdata, together with this package's
// files for os and syscall. Programs built with it run on Linux.
func testGuest(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/guest")))
	for _, pkg := range []string{"os", "syscall"} {
		require.NoError(t, os.CopyFS(filepath.Join(dir, layered, pkg), os.DirFS(filepath.Join("_src", pkg))))
	}
	old := guest
	guest = os.DirFS(dir)
	t.Cleanup(func() { guest = old })
}

// module makes a directory of the files, each "name: text".
func module(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
	}
	return dir
}

const seamProgram = `package main

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

func main() {
	data, err := os.ReadFile("/proc/self/comm")
	var tv syscall.Timeval
	e := syscall.Gettimeofday(&tv)
	fmt.Println(len(data) > 0, err, e, time.Since(time.Unix(tv.Sec, 0)) < time.Minute, tag)
	_, _, errno := syscall.Syscall(syscall.SYS_CLOSE, 1<<20, 0, 0)
	fmt.Println(os.Getpid(), syscall.Umask(0) >= 4, errno)
}
`

var seamModule = map[string]string{
	"go.mod":     "module example.com/seam/v2\n\ngo 1.26\n",
	"main.go":    seamProgram,
	"tag.go":     "//go:build goshawk && extra\n\npackage main\n\nconst tag = \"tagged\"\n",
	"notag.go":   "//go:build goshawk && !extra\n\npackage main\n\nconst tag = \"\"\n",
	"lib/lib.go": "package lib\n",
}

// run builds and runs a program, and returns what it writes.
func run(t *testing.T, o BuildOptions) (string, *Result) {
	t.Helper()
	var messages bytes.Buffer
	o.Stdout, o.Stderr = &messages, &messages
	if o.Output == "" {
		o.Output = t.TempDir()
	}
	result, err := Build(t.Context(), o)
	require.NoError(t, err, "%s", messages.String())
	assert.Empty(t, messages.String())
	_, err = image.Inspect(result.Output)
	require.NoError(t, err)
	out, err := exec.Command(result.Output).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out), result
}

// TestBuildSeam shows that system calls of programs reach the dispatcher.
func TestBuildSeam(t *testing.T) {
	ownCache(t)
	testGuest(t)
	for _, toolchain := range []string{"local", "go1.27.1"} {
		t.Run(toolchain, func(t *testing.T) {
			if toolchain != "local" && testing.Short() {
				t.Skip("fetches a toolchain")
			}
			dir := module(t, seamModule)
			for _, o := range []BuildOptions{{}, {Ldflags: "-s -w", Trimpath: true, Tags: "extra"}} {
				o.Dir, o.Env = dir, []string{"GOTOOLCHAIN=" + toolchain}
				want := "true <nil> <nil> true \n"
				if o.Tags != "" {
					want = "true <nil> <nil> true tagged\n"
				}
				out, result := run(t, o)
				assert.Equal(t, want+"1000000 true bad file descriptor\n", out)
				assert.Equal(t, "seam.elf", filepath.Base(result.Output))
				assert.Equal(t, "example.com/seam/v2", result.ImportPath)
			}
		})
	}
}

// TestBuildSys shows that golang.org/x/sys/unix links, whose assembly jumps to
// functions of package syscall, and that they reach the dispatcher.
func TestBuildSys(t *testing.T) {
	if testing.Short() {
		t.Skip("fetches a module and a toolchain")
	}
	ownCache(t)
	testGuest(t)
	dir := module(t, map[string]string{
		"go.mod": "module example.com/sys\n\ngo 1.26\n",
		"main.go": `package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func main() {
	var tv unix.Timeval
	fmt.Println(unix.Gettimeofday(&tv), tv.Sec > 0)
	for _, call := range []func(_, _, _, _ uintptr) (_, _ uintptr, _ unix.Errno){unix.Syscall, unix.RawSyscall} {
		pid, _, errno := call(unix.SYS_GETPID, 0, 0, 0)
		fmt.Println(pid, errno)
	}
	for _, call := range []func(_, _, _, _, _, _, _ uintptr) (_, _ uintptr, _ unix.Errno){unix.Syscall6, unix.RawSyscall6} {
		pid, _, errno := call(unix.SYS_GETPID, 0, 0, 0, 0, 0, 0)
		fmt.Println(pid, errno)
	}
}
`})
	tidy := exec.Command("go", "mod", "tidy")
	tidy.Dir, tidy.Env = dir, append(os.Environ(), "GOFLAGS=-mod=mod")
	text, err := tidy.CombinedOutput()
	require.NoError(t, err, "%s", text)
	for _, toolchain := range []string{"local", "go1.27.1"} {
		out, _ := run(t, BuildOptions{Dir: dir, Env: []string{"GOTOOLCHAIN=" + toolchain}})
		assert.Equal(t, "<nil> true\n"+strings.Repeat("1000000 errno 0\n", 4), out)
	}
}

// TestBuildWhere names the package in all ways.
func TestBuildWhere(t *testing.T) {
	ownCache(t)
	testGuest(t)
	hello := "package main\n\nimport (\n\t\"os\"\n\t\"example.com/m/greet\"\n)\n\nfunc main() { os.Stdout.WriteString(greet.Word) }\n"
	dir := module(t, map[string]string{
		"m/go.mod":          "module example.com/m\n\ngo 1.26\n",
		"m/cmd/a/main.go":   hello,
		"m/greet/greet.go":  "package greet\n\nconst Word = \"m\"\n",
		"other/go.mod":      "module example.com/other\n\ngo 1.26\n",
		"other/main.go":     "package main\n\nimport \"os\"\n\nfunc main() { os.Stdout.WriteString(\"other\") }\n",
		"none/x.go":         "package main\n\nimport \"os\"\n\nfunc main() { os.Stdout.WriteString(\"none\") }\n",
		"work/go.work":      "go 1.26\n\nuse (\n\t../uses\n\t../m2\n\t.\n)\n",
		"work/go.mod":       "module example.com/work\n\ngo 1.26\n",
		"uses/go.mod":       "module example.com/uses\n\ngo 1.26\n",
		"uses/main.go":      hello,
		"m2/go.mod":         "module example.com/m\n\ngo 1.26\n",
		"m2/greet/greet.go": "package greet\n\nconst Word = \"workspace\"\n",
	})
	for _, c := range []struct{ dir, pkg, want, name string }{
		{"m/cmd/a", "", "m", "a"},
		{"m", "./cmd/a", "m", "a"},
		{"m", "example.com/m/cmd/a", "m", "a"},
		{"m", "cmd/a/main.go", "m", "main"},
		{"m", "../other", "other", "other"},
		{"m", filepath.Join(dir, "other"), "other", "other"},
		{"none", "../other", "other", "other"},
		{"m", "../none/x.go", "none", "x"},
		{"work", "../uses", "workspace", "uses"},
	} {
		t.Run(c.dir+" "+c.pkg, func(t *testing.T) {
			out, result := run(t, BuildOptions{Dir: filepath.Join(dir, c.dir), Package: c.pkg})
			assert.Equal(t, c.want, out)
			assert.Equal(t, c.name+".elf", filepath.Base(result.Output))
		})
	}
}

// TestBuildVersion builds a program of a module in the proxy.
func TestBuildVersion(t *testing.T) {
	if testing.Short() {
		t.Skip("fetches a module")
	}
	ownCache(t)
	testGuest(t)
	out, result := run(t, BuildOptions{Dir: t.TempDir(), Package: "golang.org/x/example/hello@latest"})
	assert.Equal(t, "Hello, world!\n", out)
	info, err := buildinfo.ReadFile(result.Output)
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(info.Main.Version, "v0.0.0-"), info.Main.Version)

	var messages bytes.Buffer
	_, err = Build(t.Context(), BuildOptions{Package: "golang.org/x/example/nothing@latest", Stderr: &messages})
	assert.ErrorIs(t, err, ErrShown)
	assert.Contains(t, messages.String(), "golang.org/x/example/nothing")
}

// TestBuildWithoutOS builds programs that import nothing.
func TestBuildWithoutOS(t *testing.T) {
	ownCache(t)
	testGuest(t)
	dir := module(t, map[string]string{
		"go.mod":  "module example.com/bare\n\ngo 1.26\n",
		"main.go": "package main\n\nfunc main() { println(\"bare\") }\n",
	})
	for _, pkg := range []string{".", "main.go"} {
		out, _ := run(t, BuildOptions{Dir: dir, Package: pkg})
		assert.Equal(t, "bare\n", out)
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 2, "the program's directory is left as it is")
}

// TestBuildReproducible builds the same twice, with other cache directories.
func TestBuildReproducible(t *testing.T) {
	testGuest(t)
	dir := module(t, seamModule)
	root := module(t, map[string]string{"etc/hosts": "x", "a": "y"})
	var images [][]byte
	for _, o := range []BuildOptions{{}, {}, {Trimpath: true}, {Trimpath: true}} {
		if o.Trimpath || images == nil {
			ownCache(t) // its path is in the debug information without -trimpath
		}
		o.Dir, o.Root = dir, root
		_, result := run(t, o)
		data, err := os.ReadFile(result.Output)
		require.NoError(t, err)
		images = append(images, data)
	}
	assert.True(t, bytes.Equal(images[0], images[1]))
	assert.True(t, bytes.Equal(images[2], images[3]), "with -trimpath")
}

func TestBuildOutput(t *testing.T) {
	ownCache(t)
	testGuest(t)
	dir := module(t, map[string]string{
		"go.mod":  "module example.com/bare\n\ngo 1.26\n",
		"main.go": "package main\n\nfunc main() {}\n",
		"out/x":   "",
	})
	for output, want := range map[string]string{"": "bare.elf", "image": "image", "out": "out/bare.elf", "out/": "out/bare.elf"} {
		var commands []string
		result, err := Build(t.Context(), BuildOptions{Dir: dir, Output: output, Verbose: func(c string) { commands = append(commands, c) }})
		require.NoError(t, err)
		assert.Equal(t, filepath.Join(dir, want), result.Output)
		assert.FileExists(t, result.Output)
		assert.Contains(t, strings.Join(commands, "\n"), "go build -overlay=")
	}
}

func TestBuildErrors(t *testing.T) {
	ownCache(t)
	testGuest(t)
	dir := module(t, seamModule)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "bad"), 0o777))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bad", "main.go"), []byte("package main\n\nfunc main() { undefined() }\n"), 0o666))
	for pkg, want := range map[string]string{
		"./lib":  "example.com/seam/v2/lib is package lib, not a program (package main)",
		"./...":  "./... matches 3 packages; name one",
		"./bad":  ErrShown.Error(),
		"./none": ErrShown.Error(),
		"none":   ErrShown.Error(),
	} {
		var messages bytes.Buffer
		_, err := Build(t.Context(), BuildOptions{Dir: dir, Package: pkg, Stdout: &messages, Stderr: &messages, Output: t.TempDir()})
		assert.EqualError(t, err, want)
		assert.Equal(t, err == ErrShown, messages.Len() > 0, "%s: %s", pkg, &messages)
		if pkg == "./bad" {
			assert.Equal(t, "# example.com/seam/v2/bad\nbad/main.go:3:15: undefined: undefined\n", messages.String(), "Go's own words alone")
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Build(ctx, BuildOptions{Dir: dir})
	assert.ErrorIs(t, err, context.Canceled)
}
