package goos

import (
	"bytes"
	"context"
	"fmt"
	"go/build"
	"go/parser"
	"go/token"
	"go/version"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// matcher returns a context that knows the files which t builds for the
// guest. Their text is that in files, by its path.
func (t *Toolchain) matcher(files map[string][]byte) (*build.Context, error) {
	release, err := strconv.Atoi(strings.TrimPrefix(version.Lang(t.Version), "go1."))
	if err != nil {
		return nil, fmt.Errorf("goos: the Go release %q: %w", t.Version, err)
	}
	c := &build.Context{GOOS: "linux", GOARCH: "amd64", Compiler: "gc", GOROOT: t.GOROOT, BuildTags: []string{"goshawk"}}
	for i := 1; i <= release; i++ {
		c.ReleaseTags = append(c.ReleaseTags, fmt.Sprintf("go1.%d", i))
	}
	c.OpenFile = func(name string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(files[filepath.ToSlash(name)])), nil
	}
	return c, nil
}

// importsOf returns the import paths in a Go file.
func importsOf(name string, text []byte) ([]string, error) {
	f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly)
	if err != nil {
		return nil, fmt.Errorf("goos: guest source %w", err)
	}
	var paths []string
	for _, spec := range f.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("goos: guest source %s: %w", name, err)
		}
		paths = append(paths, p)
	}
	return paths, nil
}

// inModule reports whether a package of this import path comes from another
// module, not from the standard library nor from the guest.
func inModule(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return strings.Contains(first, ".") && !strings.HasPrefix(importPath, modulePrefix)
}

// A split of the guest's sources is by what they need.
type split struct {
	light map[string][]byte // what does without other modules
	// roots are packages of other modules that the rest imports, each with
	// the path of one that imports it.
	roots map[string]string
}

// splitSources splits sources, the guest's files, by whether they import
// other modules, be it through other packages of the guest.
func (t *Toolchain) splitSources(sources map[string][]byte) (*split, error) {
	matcher, err := t.matcher(sources)
	if err != nil {
		return nil, err
	}
	s := &split{light: make(map[string][]byte), roots: make(map[string]string)}
	imports := make(map[string][]string) // of each directory
	for name, text := range sources {
		dir, base := path.Split(name)
		if match, err := matcher.MatchFile(dir, base); err != nil {
			return nil, fmt.Errorf("goos: guest source %w", err)
		} else if !match || path.Ext(name) != ".go" {
			continue
		}
		paths, err := importsOf(name, text)
		if err != nil {
			return nil, err
		}
		dir = path.Clean(dir)
		imports[dir] = append(imports[dir], paths...)
	}
	heavy := make(map[string]bool) // also what has need of net's value types
	for more := true; more; {
		more = false
		for dir, paths := range imports {
			for _, p := range paths {
				if inModule(p) {
					s.roots[p] = dir
				} else if p != networkPackage && !heavy[guestDir(p)] {
					continue
				}
				more = more || !heavy[dir]
				heavy[dir] = true
			}
		}
	}
	for name, text := range sources {
		if !heavy[path.Dir(name)] {
			s.light[name] = text
		}
	}
	return s, nil
}

// guestDir returns the directory of the guest's package of an import path.
func guestDir(importPath string) string {
	for _, prefix := range []string{modulePrefix, guestPrefix} {
		if rest, ok := strings.CutPrefix(importPath, prefix); ok {
			return rest
		}
	}
	return ""
}

// layModules returns the packages roots of other modules, and what they
// import of such, by the paths of their files below GOROOT/src.
func (t *Toolchain) layModules(ctx context.Context, sources fs.FS, roots map[string]string, messages io.Writer) (map[string][]byte, error) {
	laid := make(map[string][]byte)
	if len(roots) == 0 {
		return laid, nil
	}
	scratch, err := os.MkdirTemp("", "goshawk-modules-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	store, err := newModuleStore(ctx, t, sources, scratch, messages)
	if err != nil {
		return nil, err
	}
	done := make(map[string]bool)
	for pending := roots; len(pending) > 0; {
		next := make(map[string]string)
		modules := make(map[string]*requiredModule)
		for importPath, importer := range pending {
			if modules[importPath], err = store.module(importPath, importer); err != nil {
				return nil, err
			}
		}
		wanted := slices.SortedFunc(maps.Values(modules), func(a, b *requiredModule) int { return strings.Compare(a.Path, b.Path) })
		if err := store.fetch(ctx, slices.Compact(wanted)); err != nil {
			return nil, err
		}
		for importPath, m := range modules {
			done[importPath] = true
			imports, err := t.layPackage(sources, m, importPath, laid)
			if err != nil {
				return nil, err
			}
			for _, p := range imports {
				if inModule(p) && !done[p] && modules[p] == nil {
					next[p] = importPath
				}
			}
		}
		pending = next
	}
	return laid, nil
}

// layPackage adds the files of a package of m to laid, edited, with those of
// sources that join it, and with rewritten imports. It returns what they
// import.
func (t *Toolchain) layPackage(sources fs.FS, m *requiredModule, importPath string, laid map[string][]byte) (imports []string, err error) {
	dir := filepath.Join(m.Dir, filepath.FromSlash(strings.TrimPrefix(importPath, m.Path)))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("goos: the package %s of %s %s: %w", importPath, m.Path, m.Version, err)
	}
	files := make(map[string][]byte)
	for _, e := range entries {
		if !e.Type().IsRegular() || strings.HasSuffix(e.Name(), "_test.go") || !guestFile(e.Name()) || omit(importPath+"/"+e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		if files[e.Name()], err = editModuleFile(m, importPath+"/"+e.Name(), text); err != nil {
			return nil, err
		}
	}
	added, err := fs.Glob(sources, moduleFiles+importPath+"/*.go")
	if err != nil {
		return nil, err
	}
	for _, name := range added {
		if files[path.Base(name)] != nil {
			return nil, fmt.Errorf("goos: %s %s has a file of the name of %s", m.Path, m.Version, name)
		}
		if files[path.Base(name)], err = fs.ReadFile(sources, name); err != nil {
			return nil, err
		}
	}
	matcher, err := t.matcher(files)
	if err != nil {
		return nil, err
	}
	for name, text := range files {
		match, err := matcher.MatchFile("", name)
		if err != nil {
			return nil, fmt.Errorf("goos: %s: %w", importPath, err)
		}
		if !match {
			continue
		}
		if path.Ext(name) == ".go" {
			paths, err := importsOf(importPath+"/"+name, text)
			if err != nil {
				return nil, err
			}
			imports = append(imports, paths...)
			if text, err = rewriteImports(importPath+"/"+name, text); err != nil {
				return nil, err
			}
		}
		laid[guestPrefix+importPath+"/"+name] = text
	}
	return imports, nil
}

// guestFile reports whether a file of this name may be part of a package.
func guestFile(name string) bool {
	return slices.Contains([]string{".go", ".s", ".h"}, path.Ext(name))
}
