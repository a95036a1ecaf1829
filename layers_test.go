package goshawk_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk"
)

const module = "github.com/goshawk-os/goshawk"

// guestStd are the standard library's packages that guest packages may
// import (docs/design.md, section 2).
var guestStd = []string{
	"bytes", "cmp", "errors", "io", "io/fs", "iter", "maps", "math", "math/bits", "path", "runtime", "slices", "sort",
	"strconv", "strings", "sync", "sync/atomic", "syscall", "time", "unicode/utf16", "unicode/utf8", "unsafe", "weak",
}

// arrows say which packages of this module the guest packages below a path
// may import: those at or below the paths named. The longest path counts
// (docs/design.md, sections 2 and 9).
var arrows = map[string][]string{
	"arch":         {"arch"},
	"fs":           {"fs"},
	"kernel":       {"arch", "kernel/cmdline", "kernel/machine", "kernel/nucleus"},
	"kernel/linux": {"arch", "fs", "kernel", "net/socket", "net/unix"},
	"net/socket":   {},
	"net/unix":     {"fs", "net/socket"},
	"drivers":      {"arch", "drivers", "fs", "kernel"},
	"boot":         {"arch", "boot/devices", "drivers", "fs", "kernel", "net/unix"},

	"net/configure": {"net/configure"},
	"net/inet":      {"net/socket", "kernel/stackroom"},
	"net/netstack":  {"kernel/stackroom"},
	"net/netlink":   {"net/netlink", "net/netstack", "net/socket"},
	"boot/network":  {"arch", "boot", "drivers", "fs", "kernel", "net"},
}

// hooked are the layers that hang below package net instead of os: they may
// import packages of the standard library that do without net (the go command
// finds a cycle otherwise), and the modules in hookedModules.
var hooked = []string{"net/configure", "net/inet", "net/netlink", "net/netstack", "boot/network"}

var hookedModules = []string{"golang.org/x/sys", "gvisor.dev/gvisor"}

// mayImportOther reports whether a package of a layer may import a package
// that is not of this module.
func mayImportOther(layer, imported string) bool {
	if !slices.Contains(hooked, layer) || slices.Contains(guestStd, imported) {
		return slices.Contains(guestStd, imported)
	}
	first, _, _ := strings.Cut(imported, "/")
	if !strings.Contains(first, ".") {
		return true
	}
	return slices.ContainsFunc(hookedModules, func(m string) bool { return below(imported, m) })
}

type goPackage struct {
	ImportPath, Dir         string
	GoFiles, SFiles, HFiles []string
	Imports                 []string
}

// guestPackages lists the guest's packages as they are built for the guest.
func guestPackages(t *testing.T) []goPackage {
	t.Helper()
	var patterns []string
	for _, dir := range []string{"arch", "boot", "drivers", "fs", "kernel", "net"} {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			patterns = append(patterns, "./"+dir+"/...")
		}
	}
	cmd := exec.Command("go", append([]string{"list", "-tags=goshawk", "-json=ImportPath,Dir,GoFiles,SFiles,HFiles,Imports"}, patterns...)...)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", stderr.String())
	var all []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else {
			require.NoError(t, err)
		}
		if !below(inModule(p.ImportPath), "boot/image") && !strings.Contains(p.ImportPath, "/testdata/") {
			all = append(all, p)
		}
	}
	return all
}

// inModule returns the path of a package of this module below its root.
func inModule(importPath string) string { return strings.TrimPrefix(importPath, module+"/") }

// below reports whether the path name is dir or lies below it.
func below(name, dir string) bool { return name == dir || strings.HasPrefix(name, dir+"/") }

// mayImport returns the paths that the package at name may import from.
func mayImport(name string) (layer string, allowed []string) {
	for dir := range arrows {
		if below(name, dir) && len(dir) > len(layer) {
			layer = dir
		}
	}
	return layer, arrows[layer]
}

func TestImports(t *testing.T) {
	layers := make(map[string]bool)
	for _, p := range guestPackages(t) {
		name := inModule(p.ImportPath)
		layer, allowed := mayImport(name)
		layers[layer] = true
		for _, imported := range p.Imports {
			if !strings.HasPrefix(imported, module+"/") {
				assert.True(t, mayImportOther(layer, imported), "%s imports %s, which packages of %s may not import", name, imported, layer)
				continue
			}
			target := inModule(imported)
			assert.True(t, slices.ContainsFunc(allowed, func(dir string) bool { return below(target, dir) }) && !below(target, "boot/image"),
				"%s imports %s, but %s may import only %s", name, target, layer, strings.Join(allowed, ", "))
		}
	}
	for _, layer := range slices.Concat([]string{"arch", "fs", "kernel", "kernel/linux", "drivers", "net/socket", "net/unix", "boot"}, hooked) {
		assert.True(t, layers[layer], "no package of the layer %s was seen", layer)
	}
}

// TestSourcesComplete shows that the embedded sources lack no file that the
// guest is built from, neither a package nor a file laid over GOROOT/src or
// joined to another module's package.
func TestSourcesComplete(t *testing.T) {
	check := func(name string) {
		want, err := os.ReadFile(filepath.FromSlash(name))
		require.NoError(t, err)
		got, err := fs.ReadFile(goshawk.Sources, name)
		if assert.NoError(t, err, "the directive in embed.go does not cover %s", name) {
			assert.True(t, bytes.Equal(want, got), "%s is embedded with other content", name)
		}
	}
	for _, p := range guestPackages(t) {
		for _, file := range slices.Concat(p.GoFiles, p.SFiles, p.HFiles) {
			check(path.Join(inModule(p.ImportPath), file))
		}
	}
	for _, dir := range []string{"goos/_src", "goos/_modules"} {
		require.NoError(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				check(filepath.ToSlash(name))
			}
			return err
		}))
	}
}
