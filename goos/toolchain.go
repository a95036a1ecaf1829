// Package goos modifies the Linux port of Go for the bare machine: it finds
// a toolchain, generates the overlay that lays the kernel over its GOROOT,
// and builds programs with both.
package goos

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"go/version"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Supported lists the language versions whose releases goshawk can edit.
var Supported = []string{"go1.26", "go1.27"}

// A Toolchain is a Go installation that can build for the bare machine.
type Toolchain struct {
	Go      string   // the go command
	GOROOT  string   // its root, in the user's cache directory
	Version string   // its release, as "go1.26.8"
	Env     []string // complete environment for running it

	goflags string // the user's GOFLAGS
	tags    string // the build tags in them
}

// environment returns base with what holds for every build: Linux on amd64
// without cgo. The vars, each "K=V", are added last.
func environment(base []string, vars ...string) []string {
	vars = append([]string{"GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0"}, vars...)
	env := slices.DeleteFunc(slices.Clone(base), func(old string) bool {
		k, _, _ := strings.Cut(old, "=")
		return slices.ContainsFunc(vars, func(v string) bool { return strings.HasPrefix(v, k+"=") })
	})
	return append(env, vars...)
}

// Find resolves the go command as the go command itself would in dir
// (GOTOOLCHAIN, the toolchain line of go.mod), and checks it against
// Supported. The toolchain is used through a GOROOT of links in the user's
// cache directory.
func Find(ctx context.Context, dir string) (*Toolchain, error) {
	return find(ctx, dir, os.Environ())
}

func find(ctx context.Context, dir string, base []string) (*Toolchain, error) {
	goCmd, err := exec.LookPath("go")
	if err != nil {
		return nil, fmt.Errorf("the go command is not in PATH (%w); install Go from https://go.dev/dl/", err)
	}
	env := environment(base)
	cmd := exec.CommandContext(ctx, goCmd, "env", "-json", "GOROOT", "GOVERSION", "GOFLAGS")
	cmd.Dir, cmd.Env = dir, env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go env in %s: %w: %s", dir, err, bytes.TrimSpace(stderr.Bytes()))
	}
	var v struct{ GOROOT, GOVERSION, GOFLAGS string }
	if err := json.Unmarshal(out, &v); err != nil {
		return nil, fmt.Errorf("go env in %s: %w", dir, err)
	}
	release, _, _ := strings.Cut(v.GOVERSION, " ") // without the experiments
	if !slices.Contains(Supported, version.Lang(release)) {
		return nil, fmt.Errorf("the go command in %s is %s (%s); goshawk supports %s: set GOTOOLCHAIN=%s.0 or install such a release",
			dir, v.GOVERSION, v.GOROOT, supportedText(), Supported[len(Supported)-1])
	}
	tags, err := tagsOf(v.GOFLAGS)
	if err != nil {
		return nil, err
	}
	root, err := linkRoot(v.GOROOT, release)
	if err != nil {
		return nil, fmt.Errorf("making the toolchain %s usable: %w", v.GOROOT, err)
	}
	return &Toolchain{
		Go:      filepath.Join(root, "bin", "go"+filepath.Ext(goCmd)),
		GOROOT:  root,
		Version: v.GOVERSION,
		Env:     environment(base, "GOTOOLCHAIN=local", "GOROOT="+root),
		goflags: v.GOFLAGS,
		tags:    tags,
	}, nil
}

// tagsOf returns the value of -tags in goflags. The build's own -tags would
// hide it.
func tagsOf(goflags string) (string, error) {
	var tags string
	for _, f := range strings.Fields(goflags) {
		name, value, _ := strings.Cut(strings.TrimLeft(f, "-"), "=")
		switch name {
		case "tags":
			tags = value
		case "overlay":
			return "", errors.New("GOFLAGS sets -overlay, and goshawk needs an overlay of its own: remove it from GOFLAGS")
		}
	}
	return tags, nil
}

// linkRoot returns a GOROOT in the user's cache directory that consists of
// links to the real one, but whose src is a directory of its own. In it
// Overlay makes the directories of the guest's packages: the files in them
// come from the overlay, but the go command starts the assembler in them.
// Besides, the go command refuses an overlay over anything in the module
// cache, where the toolchains lie that it fetches.
func linkRoot(root, release string) (string, error) {
	cache, err := cacheDir("goroot")
	if err != nil {
		return "", err
	}
	linked := filepath.Join(cache, fmt.Sprintf("%s-%.6x", release, sha256.Sum256([]byte(root))))
	if _, err := os.Stat(linked); err == nil {
		return linked, nil
	}
	tmp, err := os.MkdirTemp(cache, "tmp-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := os.Mkdir(filepath.Join(tmp, "src"), 0o777); err != nil {
		return "", err
	}
	for _, dir := range []string{"", "src"} {
		entries, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil {
			return "", err
		}
		for _, e := range entries {
			name := filepath.Join(dir, e.Name())
			if name == "src" {
				continue
			}
			if err := os.Symlink(filepath.Join(root, name), filepath.Join(tmp, name)); err != nil {
				return "", err
			}
		}
	}
	return linked, publish(tmp, linked)
}

// publish renames the complete directory tmp to dir, unless another process
// has made the same in the meantime.
func publish(tmp, dir string) error {
	err := os.Rename(tmp, dir)
	if err != nil {
		if _, statErr := os.Stat(dir); statErr == nil {
			return nil
		}
	}
	return err
}

// cacheDir returns and makes a folder of goshawk's in the user's cache
// directory.
func cacheDir(name string) (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache directory: %w", err)
	}
	dir := filepath.Join(base, "goshawk", name)
	return dir, os.MkdirAll(dir, 0o777)
}

// supportedText lists Supported for errors.
func supportedText() string { return strings.Join(Supported, " and ") }
