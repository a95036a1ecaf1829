package goos

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFind(t *testing.T) {
	ownCache(t)
	t.Setenv("GOOS", "plan9")
	t.Setenv("GOFLAGS", "-tags=one,two -buildvcs=false")
	tc, err := Find(t.Context(), ".")
	require.NoError(t, err)
	assert.Equal(t, []string{"GOOS=linux"}, variables(tc.Env, "GOOS"))
	assert.Equal(t, []string{"GOTOOLCHAIN=local"}, variables(tc.Env, "GOTOOLCHAIN"))
	assert.Equal(t, []string{"GOROOT=" + tc.GOROOT}, variables(tc.Env, "GOROOT"))
	assert.Equal(t, []string{"-overlay=f", "-tags=goshawk,one,two", "-vet=off"}, TestArgs(tc, "f"))
	assert.Equal(t, "-tags=goshawk,three", tc.tagsFlag("three"))
	assert.FileExists(t, filepath.Join(tc.GOROOT, "src", "os", "file.go"))

	t.Setenv("GOFLAGS", "-overlay=x.json")
	_, err = Find(t.Context(), ".")
	assert.ErrorContains(t, err, "remove it from GOFLAGS")
}

// variables returns the settings of the variable name in env.
func variables(env []string, name string) []string {
	var found []string
	for _, e := range env {
		if strings.HasPrefix(e, name+"=") {
			found = append(found, e)
		}
	}
	return found
}

// TestFindOther finds the toolchain that the directory's go.mod asks for.
func TestFindOther(t *testing.T) {
	if testing.Short() {
		t.Skip("fetches a toolchain")
	}
	ownCache(t)
	t.Setenv("GOTOOLCHAIN", "auto")
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module m\n\ngo 1.27.1\n"), 0o666))
	tc, err := Find(t.Context(), dir)
	require.NoError(t, err)
	assert.Equal(t, "go1.27.1", tc.Version)
	assert.NotContains(t, tc.GOROOT, "golang.org/toolchain@")
}

// fakeGo puts a go command into PATH that answers go env with out.
func fakeGo(t *testing.T, out string) {
	dir := t.TempDir()
	script := "#!/bin/sh\ncat <<'END'\n" + out + "\nEND\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), []byte(script), 0o755))
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func TestFindUnsupported(t *testing.T) {
	ownCache(t)
	for _, version := range []string{"go1.25.3", "go1.28.0", "go1.28rc1 X:simd", "devel go1.28-1a2b3c4d"} {
		fakeGo(t, `{"GOROOT": "/opt/go", "GOVERSION": "`+version+`"}`)
		_, err := Find(t.Context(), "/")
		assert.EqualError(t, err, "the go command in / is "+version+" (/opt/go); goshawk supports go1.26 and go1.27: "+
			"set GOTOOLCHAIN=go1.27.0 or install such a release")
	}
}

func TestFindNoGo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Find(t.Context(), ".")
	assert.ErrorContains(t, err, "the go command is not in PATH")
}
