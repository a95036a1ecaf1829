package goos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goshawk-os/goshawk/boot/image"
)

// ErrShown is the error of a go command that has already said on
// BuildOptions.Stderr what is wrong.
var ErrShown = errors.New("the go command failed")

// BuildOptions says what to build and how.
type BuildOptions struct {
	Dir      string           // directory that Package, Output and Root are relative to; "" is the current one
	Package  string           // import path, directory, .go file or path@version of a main package; "" is "."
	Output   string           // file or directory to write to; "" is the program's name with ".elf" in Dir
	Tags     string           // build tags, separated by commas
	Ldflags  string           // flags for the linker
	Trimpath bool             // as go build -trimpath
	Root     string           // directory that becomes the program's root directory; "" for none
	Verbose  func(cmd string) // is told each command before it runs; may be nil
	Stdout   io.Writer        // the go command's output; nil discards it
	Stderr   io.Writer        // the go command's messages; nil discards them
	Env      []string         // variables, "K=V", over those of this process
}

// A Result says what Build has built.
type Result struct {
	Output     string     // path of the image
	ImportPath string     // of the program's main package
	Toolchain  *Toolchain // the one that built it
	Overlay    string     // the overlay it was built with
}

// Build builds an image: go build with the overlay, then image.Finish.
func Build(ctx context.Context, o BuildOptions) (*Result, error) {
	tmp, err := os.MkdirTemp("", "goshawk-build-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	if o.Package == "" {
		o.Package = "."
	}
	b := &builder{BuildOptions: o, tmp: tmp, base: environment(append(os.Environ(), o.Env...))}
	if err := b.locate(ctx); err != nil {
		return nil, err
	}
	if b.toolchain, err = find(ctx, b.dir, b.base); err != nil {
		return nil, err
	}
	overlay, err := b.toolchain.Overlay("amd64")
	if err != nil {
		return nil, err
	}
	main, err := b.list(ctx, overlay)
	if err != nil {
		return nil, err
	}
	if slices.Contains(main.Deps, networkPackage) {
		if overlay, err = b.toolchain.NetworkOverlay(ctx, "amd64", o.Stderr); err != nil {
			return nil, err
		}
	}
	binary, err := b.compile(ctx, overlay, main)
	if err != nil {
		return nil, err
	}
	output := b.output(main)
	root := o.Root
	if root != "" && !filepath.IsAbs(root) {
		root = filepath.Join(o.Dir, root)
	}
	if err := image.Finish(binary, output, image.Options{Root: root}); err != nil {
		return nil, fmt.Errorf("making the image %s: %w", output, err)
	}
	return &Result{Output: output, ImportPath: main.ImportPath, Toolchain: b.toolchain, Overlay: overlay}, nil
}

// A builder is one run of Build.
type builder struct {
	BuildOptions
	tmp       string   // scratch directory
	base      []string // environment
	dir       string   // where the go command runs
	pattern   string   // what it builds there
	versioned bool     // pattern is a path in another module, at the version of dir's go.mod
	toolchain *Toolchain
}

// A mainPackage is what go list says of the program's package.
type mainPackage struct {
	ImportPath, Name, Dir string
	GoFiles, Deps         []string
	Module                *struct{ Version string }
}

// locate finds the directory whose go.mod or go.work governs the build.
func (b *builder) locate(ctx context.Context) error {
	b.dir, b.pattern = b.Dir, b.Package
	local := filepath.IsAbs(b.Package) || slices.Contains([]string{".", ".."}, strings.SplitN(filepath.ToSlash(b.Package), "/", 2)[0])
	file := strings.HasSuffix(b.Package, ".go")
	switch {
	case !local && !file && strings.Contains(b.Package, "@"):
		return b.fetch(ctx)
	case !local && !file:
		return nil
	}
	folder := b.Package
	if !filepath.IsAbs(folder) {
		folder = filepath.Join(b.Dir, folder)
	}
	pattern := "."
	if file {
		folder, pattern = filepath.Dir(folder), filepath.Base(folder)
	}
	if stat, err := os.Stat(folder); err != nil || !stat.IsDir() {
		return nil // a pattern such as ./..., or go list will say what is wrong
	}
	root := moduleRoot(folder)
	if root == moduleRoot(b.Dir) {
		return nil
	}
	// A workspace may hold modules from anywhere.
	out, err := b.command(ctx, "go", b.Dir, b.base, "list", "-m", "-f", "{{.Dir}}").Output()
	if err == nil && slices.Contains(strings.Split(strings.TrimSpace(string(out)), "\n"), root) {
		return nil
	}
	b.dir, b.pattern = folder, pattern
	return nil
}

// moduleRoot returns the nearest directory at or above dir that has a
// go.mod, "" if there is none.
func moduleRoot(dir string) string {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	for {
		if stat, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil && stat.Mode().IsRegular() {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

// fetch makes a module that requires the path@version in b.Package: so the
// go command chooses the toolchain that the path's module asks for.
func (b *builder) fetch(ctx context.Context) error {
	b.dir = filepath.Join(b.tmp, "module")
	b.pattern, _, _ = strings.Cut(b.Package, "@")
	b.versioned = true
	if err := os.Mkdir(b.dir, 0o777); err != nil {
		return err
	}
	mod := fmt.Sprintf("module goshawk.invalid/build\n\ngo %s\n", strings.TrimPrefix(Supported[0], "go"))
	if err := os.WriteFile(filepath.Join(b.dir, "go.mod"), []byte(mod), 0o666); err != nil {
		return err
	}
	b.base = environment(b.base, "GOWORK=off")
	var messages bytes.Buffer // downloads and additions to go.mod, unless it fails
	cmd := b.command(ctx, "go", b.dir, b.base, "get", b.Package)
	cmd.Stderr = &messages
	return b.run(ctx, cmd, &messages)
}

// list asks go list about the program.
func (b *builder) list(ctx context.Context, overlay string) (*mainPackage, error) {
	var out, messages bytes.Buffer
	cmd := b.command(ctx, b.toolchain.Go, b.dir, b.toolchain.Env, "list", "-overlay="+overlay,
		b.toolchain.tagsFlag(b.Tags), "-json=ImportPath,Name,Dir,GoFiles,Deps,Module", "--", b.pattern)
	cmd.Stdout, cmd.Stderr = &out, &messages
	if err := b.run(ctx, cmd, &messages); err != nil {
		return nil, err
	}
	var found []*mainPackage
	for dec := json.NewDecoder(&out); ; {
		p := new(mainPackage)
		if err := dec.Decode(p); err == io.EOF {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		found = append(found, p)
	}
	switch {
	case len(found) == 0:
		return nil, fmt.Errorf("%s matches no package", b.Package)
	case len(found) > 1:
		return nil, fmt.Errorf("%s matches %d packages; name one", b.Package, len(found))
	case found[0].Name != "main":
		return nil, fmt.Errorf("%s is package %s, not a program (package main)", found[0].ImportPath, found[0].Name)
	}
	return found[0], nil
}

// compile builds the program and returns the path of what the linker wrote.
func (b *builder) compile(ctx context.Context, overlay string, main *mainPackage) (string, error) {
	patterns := []string{b.pattern}
	if !slices.Contains(main.Deps, "os") {
		extra := filepath.Join(main.Dir, "zgoshawk_os.go")
		var err error
		if overlay, err = b.addOS(overlay, extra); err != nil {
			return "", err
		}
		if strings.HasSuffix(b.pattern, ".go") {
			patterns = append(patterns, filepath.Join(filepath.Dir(b.pattern), filepath.Base(extra)))
		}
	}
	flags := []string{"-overlay=" + overlay, b.toolchain.tagsFlag(b.Tags)}
	if b.Trimpath {
		flags = append(flags, "-trimpath")
	}
	if b.Ldflags != "" {
		flags = append(flags, "-ldflags="+b.Ldflags)
	}
	if b.versioned {
		return b.install(ctx, flags, b.pattern+"@"+main.Module.Version)
	}
	binary := filepath.Join(b.tmp, "program")
	args := slices.Concat([]string{"build"}, flags, []string{"-o", binary, "--"}, patterns)
	return binary, b.run(ctx, b.command(ctx, b.toolchain.Go, b.dir, b.toolchain.Env, args...), nil)
}

// install builds as "go install path@version" does: with the dependencies of
// the path's own module and with its version in the build information. What
// go install writes can be directed by GOPATH only: it refuses GOBIN for
// another GOOS.
func (b *builder) install(ctx context.Context, flags []string, target string) (string, error) {
	out, err := b.command(ctx, b.toolchain.Go, b.dir, b.toolchain.Env, "env", "-changed", "-json").Output()
	if err != nil {
		return "", fmt.Errorf("go env: %w", err)
	}
	var settings map[string]string
	if err := json.Unmarshal(out, &settings); err != nil {
		return "", fmt.Errorf("go env: %w", err)
	}
	cache, err := b.command(ctx, b.toolchain.Go, b.dir, b.toolchain.Env, "env", "GOMODCACHE").Output()
	if err != nil {
		return "", fmt.Errorf("go env: %w", err)
	}
	gopath := filepath.Join(b.tmp, "gopath")
	env := b.toolchain.Env
	for k, v := range settings { // those of the user's go env -w, which GOENV=off hides
		env = environment(env, k+"="+v)
	}
	env = environment(env, "GOENV=off", "GOBIN=", "GOPATH="+gopath, "GOMODCACHE="+strings.TrimSpace(string(cache)),
		"GOTOOLCHAIN=local", "GOROOT="+b.toolchain.GOROOT)
	args := slices.Concat([]string{"install"}, flags, []string{"--", target})
	if err := b.run(ctx, b.command(ctx, b.toolchain.Go, b.dir, env, args...), nil); err != nil {
		return "", err
	}
	for _, pattern := range []string{"bin/linux_amd64/*", "bin/*"} {
		if found, _ := filepath.Glob(filepath.Join(gopath, filepath.FromSlash(pattern))); len(found) == 1 {
			return found[0], nil
		}
	}
	return "", fmt.Errorf("go install %s wrote no program", target)
}

// addOS returns a copy of the overlay that also adds the file extra, which
// imports os, to the program: without os there is no kernel in it.
func (b *builder) addOS(overlay, extra string) (string, error) {
	text, err := os.ReadFile(overlay)
	if err != nil {
		return "", err
	}
	var content struct{ Replace map[string]string }
	if err := json.Unmarshal(text, &content); err != nil {
		return "", fmt.Errorf("%s: %w", overlay, err)
	}
	source := filepath.Join(b.tmp, "zgoshawk_os.go")
	content.Replace[extra] = source
	if err := os.WriteFile(source, []byte("package main\n\nimport _ \"os\"\n"), 0o666); err != nil {
		return "", err
	}
	if text, err = json.Marshal(content); err != nil {
		return "", err
	}
	overlay = filepath.Join(b.tmp, "overlay.json")
	return overlay, os.WriteFile(overlay, text, 0o666)
}

// command prepares a command that runs in dir.
func (b *builder) command(ctx context.Context, name, dir string, env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = environment(env, "PWD="+dir)
	return cmd
}

// run runs cmd. messages, if not nil, is shown only if it fails.
func (b *builder) run(ctx context.Context, cmd *exec.Cmd, messages *bytes.Buffer) error {
	if b.Verbose != nil {
		b.Verbose("cd " + cmd.Dir + " && " + strings.Join(cmd.Args, " "))
	}
	if messages == nil {
		cmd.Stdout, cmd.Stderr = b.Stdout, b.Stderr
	}
	err := cmd.Run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if _, failed := err.(*exec.ExitError); failed {
		if messages != nil && b.Stderr != nil {
			io.Copy(b.Stderr, messages) // a failure to show it leaves ErrShown as it is
		}
		return ErrShown
	}
	return err
}

// output returns the path of the image.
func (b *builder) output(main *mainPackage) string {
	name := programName(main, b.pattern) + ".elf"
	out := b.Output
	if out == "" {
		out = name
	}
	dir := strings.HasSuffix(filepath.ToSlash(out), "/")
	if !filepath.IsAbs(out) {
		out = filepath.Join(b.Dir, out)
	}
	if stat, err := os.Stat(out); dir || err == nil && stat.IsDir() {
		out = filepath.Join(out, name)
	}
	return out
}

// programName returns the name that go build gives to a program: that of the
// file, or the last element of the import path that is no major version.
func programName(main *mainPackage, pattern string) string {
	if strings.HasSuffix(pattern, ".go") {
		return strings.TrimSuffix(filepath.Base(pattern), ".go")
	}
	dir, name := path.Split(main.ImportPath)
	if digits, ok := strings.CutPrefix(name, "v"); ok && dir != "" && digits != "" && strings.Trim(digits, "0123456789") == "" {
		return path.Base(dir)
	}
	return name
}
