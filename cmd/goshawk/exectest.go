package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goshawk-os/goshawk/boot/image"
)

// execSettings are the flags of exec-test.
type execSettings struct {
	machine machineFlags
	files   []string // directories to ship beside the package's
	verbose bool
}

// timeoutMargin is how much later than the test binary's own alarm, which prints its goroutines, the
// machine is ended. It is below the minute that go test waits.
const timeoutMargin = 30 * time.Second

// execTestCommand is what goshawk test gives to go test as -exec: it boots one test binary.
func execTestCommand() *command {
	return &command{
		name:  "exec-test",
		usage: "[flags] TEST-BINARY [arguments]",
		long:  "Exec-test runs one test binary in a guest; goshawk test is its user.",
		run: func(args []string) (int, error) {
			s, args, err := execFlags(args)
			if err != nil {
				return 0, err
			}
			if len(args) == 0 {
				return 0, usagef("which test binary?")
			}
			return s.run(args[0], args[1:])
		},
	}
}

func (s *execSettings) run(binary string, args []string) (int, error) {
	tmp, err := os.MkdirTemp("", "goshawk-exec-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(tmp)
	kernel := filepath.Join(tmp, "test.elf")
	err = image.Finish(binary, kernel, image.Options{})
	if errors.Is(err, image.ErrNotGoshawk) {
		// Nothing in it imports os, so there is nothing that boots. testing does: it is no test.
		return 0, fmt.Errorf("%w; run it with goshawk test", err)
	}
	if err != nil {
		return 0, err
	}
	vm, err := s.machine.new()
	if err != nil {
		return 0, err
	}
	if err := insert(vm, kernel); err != nil {
		return 0, err
	}
	dir, err := os.Getwd() // $PWD, which go test sets
	if err != nil {
		return 0, err
	}
	vm.Module = filepath.Join(tmp, "files.tar")
	if vm.Mount, err = shipFiles(vm.Module, dir, s.files); err != nil {
		return 0, fmt.Errorf("shipping the files of %s: %w", dir, err)
	}
	// Coverage data goes to a directory on this side; without the flag testing makes one of its own.
	args = slices.DeleteFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "-test.gocoverdir=") })
	vm.Dir, vm.Argv0, vm.Args = dir, binary, args
	vm.Env = append(vm.Env, testEnvironment(dir)...) // of two with one name the first counts
	vm.Input, vm.Output = os.Stdin, os.Stdout
	if s.verbose {
		vm.Verbose, vm.Messages = printCommand, os.Stderr
	}
	if t := testTimeout(args); t > 0 {
		vm.Timeout = t + timeoutMargin
	}
	return boot(vm)
}

// testTimeout returns the value of -test.timeout, 0 if there is none.
func testTimeout(args []string) time.Duration {
	for _, arg := range args {
		if value, ok := strings.CutPrefix(arg, "-test.timeout="); ok {
			d, _ := time.ParseDuration(value) // the test binary itself says what is wrong with it
			return d
		}
	}
	return 0
}

// passedOn are the variables of this process's environment that a test gets.
var passedOn = []string{
	"GODEBUG", "GOEXPERIMENT", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "GOROOT", "GOTRACEBACK", "TZ",
}

// testEnvironment returns a test's environment.
func testEnvironment(dir string) []string {
	env := []string{"HOME=/root", "PATH=/usr/local/bin:/usr/bin:/bin", "PWD=" + dir, "TMPDIR=/tmp"}
	for _, k := range passedOn {
		if v, ok := os.LookupEnv(k); ok {
			env = append(env, k+"="+v)
		}
	}
	return env
}

// A tree is a directory to ship.
type tree struct {
	dir     string
	exclude []string // slash-separated paths below dir
}

// shipFiles writes to tar what the tests of the package in dir may read, and returns the directory
// to unpack it in: the root of the package's module.
func shipFiles(tar, dir string, more []string) (mount string, err error) {
	mount = moduleRoot(dir)
	var trees []tree
	packageTree, err := treeOf(dir)
	if err != nil {
		return "", err
	}
	trees = append(trees, packageTree)
	for d := dir; d != mount; {
		d = filepath.Dir(d)
		if stat, err := os.Stat(filepath.Join(d, "testdata")); err == nil && stat.IsDir() {
			more = append(more, filepath.Join(d, "testdata"))
		}
	}
	if zones := filepath.Join(mount, "lib", "time"); mount == filepath.Clean(os.Getenv("GOROOT")) {
		more = append(more, zones)
	}
	for _, d := range more {
		if rel, err := filepath.Rel(mount, d); err != nil || !filepath.IsLocal(rel) {
			return "", fmt.Errorf("%s is not below %s, the root of the package's module", d, mount)
		}
		exclude, err := specialFiles(d)
		if err != nil {
			return "", err
		}
		trees = append(trees, tree{d, exclude})
	}
	return mount, writeTrees(tar, mount, trees)
}

// moduleRoot returns the directory with the go.mod that is in force in dir, or GOROOT, or else dir.
func moduleRoot(dir string) string {
	goroot := filepath.Clean(cmp.Or(os.Getenv("GOROOT"), "/nowhere"))
	for d := dir; ; d = filepath.Dir(d) {
		if d == goroot {
			return d
		}
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil && !strings.HasPrefix(d, goroot+string(filepath.Separator)) {
			return d
		}
		if d == filepath.Dir(d) {
			return dir
		}
	}
}

// treeOf returns a package's directory without the directories of other packages, hidden ones, and
// what a tar cannot hold.
func treeOf(dir string) (tree, error) {
	t := tree{dir: dir}
	err := walk(dir, func(rel, name string, d fs.DirEntry) error {
		switch {
		case d.Type()&(fs.ModeSocket|fs.ModeNamedPipe|fs.ModeDevice|fs.ModeIrregular) != 0:
			t.exclude = append(t.exclude, rel)
		case d.IsDir() && d.Name() == "testdata":
			special, err := specialFiles(name)
			for _, s := range special {
				t.exclude = append(t.exclude, rel+"/"+s)
			}
			return cmp.Or(err, fs.SkipDir)
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") || hasGoFiles(name)):
			t.exclude = append(t.exclude, rel)
			return fs.SkipDir
		}
		return nil
	})
	return t, err
}

// specialFiles returns the paths below dir of what a tar cannot hold.
func specialFiles(dir string) ([]string, error) {
	var found []string
	err := walk(dir, func(rel, _ string, d fs.DirEntry) error {
		if d.Type()&(fs.ModeSocket|fs.ModeNamedPipe|fs.ModeDevice|fs.ModeIrregular) != 0 {
			found = append(found, rel)
		}
		return nil
	})
	return found, err
}

// walk is filepath.WalkDir, with slash-separated paths below dir, which may be a link.
func walk(dir string, do func(rel, name string, d fs.DirEntry) error) error {
	return filepath.WalkDir(dir+string(filepath.Separator), func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil || rel == "." {
			return err
		}
		return do(filepath.ToSlash(rel), name, d)
	})
}

func hasGoFiles(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return strings.HasSuffix(e.Name(), ".go")
	})
}

// writeTrees writes the trees to one tar, by their paths below mount.
func writeTrees(name, mount string, trees []tree) error {
	// WriteTar ends an archive with two blocks of zeros (POSIX, pax: ustar), after which a reader stops.
	const trailer = 2 * 512
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	for i, t := range trees {
		if i > 0 {
			if _, err := f.Seek(-trailer, io.SeekEnd); err != nil {
				return err
			}
		}
		rel, err := filepath.Rel(mount, t.dir)
		if err != nil {
			return err
		}
		if err := image.WriteTar(f, t.dir, image.TarOptions{Prefix: filepath.ToSlash(rel), Exclude: t.exclude}); err != nil {
			return err
		}
	}
	return f.Close()
}
