package goos

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goshawk-os/goshawk"
)

const (
	modulePrefix = "github.com/goshawk-os/goshawk/" // import paths on the host
	guestPrefix  = "goshawk/"                       // import paths below GOROOT/src
	layered      = "goos/_src/"                     // files laid at the same path below GOROOT/src

	// networkPackage imports the network stack, by a file laid beside its own.
	networkPackage = "net"
	// valuePath is the package with net's value types alone.
	valuePath = guestPrefix + "net/value"

	// generation counts the changes of what is made from the same sources.
	generation = 2

	// keepFor is how long an overlay that no build uses stays in the cache.
	keepFor = 30 * 24 * time.Hour
)

// guest holds the guest's sources. Tests put a guest of their own here.
var guest fs.FS = goshawk.Sources

// Overlay returns the path of a file for the go command's -overlay flag that
// lays the kernel and the edits over t's GOROOT, without the network stack.
// It lies in the user's cache directory below a hash of everything that went
// into it, is complete as soon as it is there, and is shared by concurrent
// builds.
func (t *Toolchain) Overlay(arch string) (jsonPath string, err error) {
	return t.overlay(arch, nil, func(sources map[string][]byte) (map[string][]byte, error) {
		split, err := t.splitSources(sources)
		if err != nil {
			return nil, err
		}
		return lay(split.light)
	})
}

// NetworkOverlay is as Overlay, for programs that use package net: net has
// the network stack below it. Its first use fetches the modules that the
// stack is made of, unless they are in the module cache, and tells messages
// about it.
func (t *Toolchain) NetworkOverlay(ctx context.Context, arch string, messages io.Writer) (jsonPath string, err error) {
	if messages == nil {
		messages = io.Discard
	}
	extra := make(map[string][]byte)
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := fs.ReadFile(guest, name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		extra[name] = text
	}
	err = fs.WalkDir(guest, path.Clean(moduleFiles), func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			extra[name], err = fs.ReadFile(guest, name)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	values, err := t.readRoot(valueFiles)
	if err != nil {
		return "", err
	}
	maps.Copy(extra, values)
	return t.overlay(arch, extra, func(sources map[string][]byte) (map[string][]byte, error) {
		split, err := t.splitSources(sources)
		if err != nil {
			return nil, err
		}
		modules, err := t.layModules(ctx, guest, split.roots, messages)
		if err != nil {
			return nil, err
		}
		laid, err := lay(sources)
		if err != nil {
			return nil, err
		}
		for name, text := range values {
			modules[valuePath+"/"+path.Base(name)] = text
		}
		for name, text := range modules {
			if _, ok := laid[name]; ok {
				return nil, fmt.Errorf("goos: two files are to be laid at %s", name)
			}
			laid[name] = text
		}
		return laid, nil
	})
}

// overlay makes an overlay, or returns the one made before of the same: of
// the guest's sources, the edited files and, with the network stack, extra.
// generate returns all files but the edited ones by their path below
// GOROOT/src.
func (t *Toolchain) overlay(arch string, extra map[string][]byte, generate func(sources map[string][]byte) (map[string][]byte, error)) (jsonPath string, err error) {
	if arch != "amd64" {
		return "", fmt.Errorf("goshawk does not support the architecture %s; it supports amd64", arch)
	}
	sources, err := guestSources(guest)
	if err != nil {
		return "", err
	}
	originals, err := t.readRoot(editedFiles())
	if err != nil {
		return "", err
	}
	cache, err := cacheDir("overlay")
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, t.key(sources, originals, extra))
	jsonPath = filepath.Join(dir, "overlay.json")
	if _, err := os.Stat(jsonPath); err == nil {
		now := time.Now()
		os.Chtimes(dir, now, now) // in use; only an unused overlay that goes early is lost by a failure
		return jsonPath, t.makeDirs(dir)
	}
	prune(cache)
	edited, err := applyEdits(t.Version, originals)
	if err != nil {
		return "", err
	}
	laid, err := generate(sources)
	if err != nil {
		return "", err
	}
	for file, text := range edited {
		if path.Dir(file) == networkPackage && extra == nil {
			continue // it uses what is laid with the network stack
		}
		if _, ok := laid[file]; ok {
			return "", fmt.Errorf("goos: %s is both edited and replaced", file)
		}
		laid[file] = text
	}
	if err := t.write(dir, laid); err != nil {
		return "", err
	}
	return jsonPath, t.makeDirs(dir)
}

// readRoot reads files of GOROOT/src. One that is not there is empty: it has
// no anchors.
func (t *Toolchain) readRoot(names []string) (map[string][]byte, error) {
	files := make(map[string][]byte)
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(t.GOROOT, "src", filepath.FromSlash(name)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		files[name] = text
	}
	return files, nil
}

// makeDirs makes the directories of the guest's packages in GOROOT/src, as
// they are in the directory overlay.
func (t *Toolchain) makeDirs(overlay string) error {
	return filepath.WalkDir(filepath.Join(overlay, "src", guestPrefix), func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(overlay, name)
		if err != nil {
			return err
		}
		return os.MkdirAll(filepath.Join(t.GOROOT, rel), 0o777)
	})
}

// guestSources returns the files of sources that belong to the guest.
func guestSources(sources fs.FS) (map[string][]byte, error) {
	files := make(map[string][]byte)
	err := fs.WalkDir(sources, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (name == "boot/image" || name == path.Clean(moduleFiles) || d.Name() == "testdata"):
			return fs.SkipDir
		case d.IsDir() || strings.HasSuffix(name, "_test.go"):
			return nil
		case !guestFile(name):
			return nil
		}
		files[name], err = fs.ReadFile(sources, name)
		return err
	})
	return files, err
}

// key is a hash of everything that an overlay is made from.
func (t *Toolchain) key(sources, originals, extra map[string][]byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d %q %q %+v %+v %q\n", generation, t.GOROOT, t.Version, edits, moduleEdits, omitted)
	for _, files := range []map[string][]byte{sources, originals, extra} {
		fmt.Fprintf(h, "%d files\n", len(files))
		for _, name := range slices.Sorted(maps.Keys(files)) {
			fmt.Fprintf(h, "%q %d\n", name, len(files[name]))
			h.Write(files[name])
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// lay returns the guest's files by their path below GOROOT/src.
func lay(sources map[string][]byte) (map[string][]byte, error) {
	laid := make(map[string][]byte)
	for name, text := range sources {
		if rest, ok := strings.CutPrefix(name, layered); ok {
			laid[rest] = text
			continue
		}
		if path.Ext(name) == ".go" {
			var err error
			if text, err = rewriteImports(name, text); err != nil {
				return nil, err
			}
		}
		laid[guestPrefix+name] = text
	}
	return laid, nil
}

// rewriteImports turns imports of this and of other modules into imports of
// the standard library's packages that their packages become, and of net into
// that of its value types.
func rewriteImports(name string, text []byte) ([]byte, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, text, parser.ImportsOnly)
	if err != nil {
		return nil, fmt.Errorf("goos: guest source %w", err)
	}
	var out []byte
	done := 0
	for _, spec := range f.Imports {
		old := spec.Path.Value[1 : len(spec.Path.Value)-1]
		start := fset.PositionFor(spec.Path.Pos(), false).Offset + 1 // behind the quote
		out = append(out, text[done:start]...)
		out = append(out, laidImport(old)...)
		done = start + len(old)
	}
	return append(out, text[done:]...), nil
}

// laidImport returns the import path that stands for old in what is laid.
func laidImport(old string) string {
	rest, own := strings.CutPrefix(old, modulePrefix)
	switch {
	case own:
		return guestPrefix + rest
	case inModule(old):
		return guestPrefix + old
	case old == "net":
		return valuePath
	}
	return old
}

// write makes the directory dir with the laid files and overlay.json, at
// once: either all of it is there or nothing.
func (t *Toolchain) write(dir string, laid map[string][]byte) error {
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "tmp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	var overlay struct{ Replace map[string]string }
	overlay.Replace = make(map[string]string)
	for name, text := range laid {
		rel := filepath.FromSlash("src/" + name)
		file := filepath.Join(tmp, rel)
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			return err
		}
		if err := os.WriteFile(file, text, 0o666); err != nil {
			return err
		}
		overlay.Replace[filepath.Join(t.GOROOT, rel)] = filepath.Join(dir, rel)
	}
	text, err := json.MarshalIndent(overlay, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(tmp, "overlay.json"), text, 0o666); err != nil {
		return err
	}
	return publish(tmp, dir)
}

// prune removes what no build has used for long, and what a crash left.
// A failure leaves files behind and harms nothing.
func prune(cache string) {
	entries, err := os.ReadDir(cache)
	if err != nil {
		return
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > keepFor {
			os.RemoveAll(filepath.Join(cache, e.Name()))
		}
	}
}

// A PathPair says where a debugger finds source text: a path recorded in the
// debug information (a directory or a file) and the path where it lies.
type PathPair struct{ From, To string }

// SourceMap returns the pairs for gdb's "set substitute-path" (dlv's
// substitute-path) for a program built with the overlay of that path.
func (t *Toolchain) SourceMap(jsonPath string) ([]PathPair, error) {
	text, err := os.ReadFile(jsonPath)
	if err != nil {
		return nil, err
	}
	var overlay struct{ Replace map[string]string }
	if err := json.Unmarshal(text, &overlay); err != nil {
		return nil, fmt.Errorf("%s: %w", jsonPath, err)
	}
	guest := filepath.Join(t.GOROOT, "src", "goshawk")
	pairs := []PathPair{{guest, filepath.Join(filepath.Dir(jsonPath), "src", "goshawk")}}
	for _, from := range slices.Sorted(maps.Keys(overlay.Replace)) {
		if !strings.HasPrefix(from, guest+string(filepath.Separator)) {
			pairs = append(pairs, PathPair{from, overlay.Replace[from]})
		}
	}
	return pairs, nil
}
