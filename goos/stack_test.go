package goos

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEditedStack runs the tests of net/netstack, which run with gVisor as its module has it when they
// run by themselves, with gVisor as the guest has it: edited, with the files of _modules.
func TestEditedStack(t *testing.T) {
	const stack, tests = "gvisor.dev/gvisor", "./net/netstack"
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	goCommand := func(args ...string) string {
		cmd := exec.Command("go", args...)
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	version, module, _ := strings.Cut(strings.TrimSpace(goCommand("list", "-m", "-f", "{{.Version}} {{.Dir}}", stack)), " ")
	m := &requiredModule{Path: stack, Version: version, Dir: module}
	edited := t.TempDir()
	write := func(name string, text []byte) {
		target := filepath.Join(edited, filepath.FromSlash(strings.TrimPrefix(name, stack)))
		require.NoError(t, os.MkdirAll(filepath.Dir(target), 0o777))
		require.NoError(t, os.WriteFile(target, text, 0o666))
	}
	text, err := os.ReadFile(filepath.Join(module, "go.mod"))
	require.NoError(t, err)
	write(stack+"/go.mod", text)
	for pkg := range strings.FieldsSeq(goCommand("list", "-deps", "-test", "-f", "{{.ImportPath}}", tests)) {
		if !inPath(pkg, stack) || strings.Contains(pkg, "[") {
			continue
		}
		dir := filepath.Join(module, filepath.FromSlash(strings.TrimPrefix(pkg, stack)))
		files, err := os.ReadDir(dir)
		require.NoError(t, err)
		for _, f := range files {
			name := path.Join(pkg, f.Name())
			if f.IsDir() || omit(name) {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, f.Name()))
			require.NoError(t, err)
			text, err = editModuleFile(m, name, text)
			require.NoError(t, err)
			write(name, text)
		}
		added, err := os.ReadDir(filepath.Join("_modules", filepath.FromSlash(pkg)))
		if !errors.Is(err, fs.ErrNotExist) {
			require.NoError(t, err)
		}
		for _, f := range added {
			if f.IsDir() {
				continue
			}
			text, err := os.ReadFile(filepath.Join("_modules", filepath.FromSlash(pkg), f.Name()))
			require.NoError(t, err)
			write(path.Join(pkg, f.Name()), text)
		}
	}
	modfile := filepath.Join(t.TempDir(), "go.mod")
	text, err = os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(modfile, append(text, "\nreplace "+stack+" => "+edited+"\n"...), 0o666))
	text, err = os.ReadFile(filepath.Join(root, "go.sum"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(strings.TrimSuffix(modfile, "mod")+"sum", text, 0o666))
	t.Log(goCommand("test", "-mod=mod", "-modfile="+modfile, tests))
}
