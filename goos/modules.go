package goos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A requiredModule is a module that go.mod requires.
type requiredModule struct {
	Path, Version string
	Dir           string // where the go command keeps its files; "" until it is fetched
	failure       string // what the go command said when it last could not fetch it
}

// A moduleStore has the go command fetch modules: in the versions that
// go.mod asks for, with the content that go.sum tells.
type moduleStore struct {
	t        *Toolchain
	messages io.Writer // is told what is fetched over the network
	scratch  string    // an empty module with that go.sum
	sums     string
	required []*requiredModule
}

// newModuleStore reads go.mod and go.sum in sources. scratch is an empty
// directory that the store may use while it is in use itself.
func newModuleStore(ctx context.Context, t *Toolchain, sources fs.FS, scratch string, messages io.Writer) (*moduleStore, error) {
	s := &moduleStore{t: t, messages: messages, scratch: scratch}
	mod, err := fs.ReadFile(sources, "go.mod")
	if err != nil {
		return nil, fmt.Errorf("goos: the guest needs modules: %w", err)
	}
	sums, err := fs.ReadFile(sources, "go.sum")
	if err != nil {
		return nil, fmt.Errorf("goos: the guest needs modules: %w", err)
	}
	s.sums = string(sums)
	for name, text := range map[string][]byte{
		"required.mod": mod,
		"go.mod":       []byte("module goshawk.invalid/modules\n\ngo " + strings.TrimPrefix(Supported[0], "go") + "\n"),
		"go.sum":       sums,
	} {
		if err := os.WriteFile(filepath.Join(scratch, name), text, 0o666); err != nil {
			return nil, err
		}
	}
	out, err := s.command(ctx, "mod", "edit", "-json", "required.mod").Output()
	if err != nil {
		return nil, fmt.Errorf("goos: reading the guest's go.mod: %w", withMessages(err))
	}
	var parsed struct{ Require []*requiredModule }
	if err := json.Unmarshal(out, &parsed); err != nil {
		return nil, fmt.Errorf("goos: reading the guest's go.mod: %w", err)
	}
	s.required = parsed.Require
	return s, nil
}

// command prepares a go command in the scratch module.
func (s *moduleStore) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.t.Go, args...)
	cmd.Dir = s.scratch
	// -mod and -modfile are about the program's module.
	flags := slices.DeleteFunc(strings.Fields(s.t.goflags), func(f string) bool {
		return strings.HasPrefix(strings.TrimLeft(f, "-"), "mod=") || strings.HasPrefix(strings.TrimLeft(f, "-"), "modfile=")
	})
	cmd.Env = environment(s.t.Env, "PWD="+s.scratch, "GOWORK=off", "GO111MODULE=on", "GOFLAGS="+strings.Join(flags, " "))
	return cmd
}

// module returns the module that provides the package importPath, which the
// package at importer imports.
func (s *moduleStore) module(importPath, importer string) (*requiredModule, error) {
	var found *requiredModule
	for _, m := range s.required {
		if inPath(importPath, m.Path) && (found == nil || len(m.Path) > len(found.Path)) {
			found = m
		}
	}
	switch {
	case found == nil:
		return nil, fmt.Errorf("goos: %s imports %s, and goshawk's go.mod requires no module that has it", importer, importPath)
	case !strings.Contains(s.sums, "\n"+found.Path+" "+found.Version+" h1:") && !strings.HasPrefix(s.sums, found.Path+" "+found.Version+" h1:"):
		return nil, fmt.Errorf("goos: goshawk's go.sum has no checksum of %s %s, which has %s", found.Path, found.Version, importPath)
	}
	return found, nil
}

// inPath reports whether the import path is root or lies below it.
func inPath(importPath, root string) bool {
	return importPath == root || strings.HasPrefix(importPath, root+"/")
}

// fetch gives each of the modules its Dir: from the module cache, or else
// over the network.
func (s *moduleStore) fetch(ctx context.Context, modules []*requiredModule) error {
	missing := slices.DeleteFunc(slices.Clone(modules), func(m *requiredModule) bool { return m.Dir != "" })
	if len(missing) == 0 {
		return nil
	}
	if missing = s.download(ctx, missing, "GOPROXY=off"); len(missing) == 0 {
		return ctx.Err()
	}
	for _, m := range missing {
		fmt.Fprintf(s.messages, "goshawk: fetching %s %s\n", m.Path, m.Version)
	}
	missing = s.download(ctx, missing)
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(missing) > 0 {
		return s.failure(ctx, missing[0])
	}
	return nil
}

// download runs go mod download. It returns the modules that it has not got.
func (s *moduleStore) download(ctx context.Context, modules []*requiredModule, env ...string) (missing []*requiredModule) {
	args := []string{"mod", "download", "-json"}
	for _, m := range modules {
		args = append(args, m.Path+"@"+m.Version)
	}
	var out, messages bytes.Buffer
	cmd := s.command(ctx, args...)
	cmd.Env = environment(cmd.Env, env...)
	cmd.Stdout, cmd.Stderr = &out, &messages
	var failure string // of the command as a whole
	if err := cmd.Run(); err != nil {
		failure = strings.TrimSpace(err.Error() + " " + messages.String())
	}
	for _, m := range modules {
		m.failure = failure
	}
	for dec := json.NewDecoder(&out); ; {
		var got struct{ Path, Version, Dir, Error string }
		if dec.Decode(&got) != nil {
			break // the end, or that of a command that failed
		}
		for _, m := range modules {
			if m.Path != got.Path || m.Version != got.Version {
				continue
			}
			if m.Dir = got.Dir; got.Error != "" {
				m.Dir, m.failure = "", got.Error
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(modules), func(m *requiredModule) bool { return m.Dir != "" })
}

// failure is the error of a module that could not be fetched.
func (s *moduleStore) failure(ctx context.Context, m *requiredModule) error {
	var settings struct{ GOPROXY, GOMODCACHE string }
	out, err := s.command(ctx, "env", "-json", "GOPROXY", "GOMODCACHE").Output()
	if err == nil {
		err = json.Unmarshal(out, &settings)
	}
	if err != nil {
		return fmt.Errorf("go env: %w", withMessages(err))
	}
	return fmt.Errorf("the program uses package net, for which goshawk needs the module %s %s, and it cannot be fetched from GOPROXY=%s: %s; "+
		"connect this machine to the network or set GOPROXY to a proxy that has the module; it is fetched once and stays in GOMODCACHE=%s",
		m.Path, m.Version, settings.GOPROXY, m.failure, settings.GOMODCACHE)
}

// withMessages adds to the error of exec.Cmd.Output what the command said.
func withMessages(err error) error {
	if exit, ok := err.(*exec.ExitError); ok && len(exit.Stderr) > 0 {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
	}
	return err
}
