package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	goversion "go/version"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/goshawk-os/goshawk/boot/image"
	"github.com/goshawk-os/goshawk/goos"
	"github.com/goshawk-os/goshawk/qemu"
)

func testCommand() *command {
	return &command{
		name:  "test",
		usage: "[flags] [go test flags] [PACKAGES] [-args arguments]",
		short: "run tests in the guest",
		long: `
Test runs go test with the test binaries in guests: each package's tests are a
machine of their own. Packages, flags, output and exit status are go test's.
What go test has go vet check comes first; if it finds something, no test runs.

A test finds its package's directory where it is on this machine: the files in
it, testdata, and subdirectories that are not packages; also the testdata
directories above it in its module. What it writes is lost when it ends, so
flags that ask for profiles are refused. The environment consists of TZ, the
GO... variables that the runtime reads, HOME, PATH, TMPDIR, and -env.

With -c, the test binaries become images; goshawk run IMAGE -test.v runs one.

Flags of its own, which may stand among those of go test:

  -cpus n           number of CPUs (default 2)
  -mem size         memory (default 1G)
  -machine kind     microvm, q35 or pc (default microvm)
  -accel kind       auto, kvm or tcg (default $GOSHAWK_ACCEL or auto)
  -net words        a network device, as for goshawk run (default user); repeatable
  -hostname name    the guest's host name
  -env K=V          set an environment variable; repeatable
  -files directory  give the tests this directory of their module too, named from
                    the package's directory; repeatable
  -disk file[:/mnt] give the guest a disk, as for goshawk run; several packages need -p 1
  -share dir:/mnt   share a directory with the guest, as for goshawk run; repeatable
  -qemu-args args   further arguments for QEMU; repeatable

With -x, QEMU's command lines are shown too.`,
		examples: `	goshawk test ./...
	goshawk test -cpus 4 -mem 2G -run 'TestMap' -count 10 -v ./cache
	goshawk test strings encoding/json
`,
		run: func(args []string) (int, error) {
			ctx, done := building()
			defer done()
			return runTest(ctx, args)
		},
	}
}

// A testLine is the command line of goshawk test, taken apart.
type testLine struct {
	own      []string // flags of goshawk, as -name=value
	flags    []string // flags of go test, in their order, without -tags, -vet, -c and -o
	packages []string
	args     []string // -args and what follows
	tags     string
	vet      string // value of -vet
	output   string // value of -o
	compile  bool   // -c
	verbose  bool   // -x
	help     bool
}

// ownTestFlags are the flags of goshawk test that go test does not have.
var ownTestFlags = []string{"cpus", "mem", "machine", "accel", "net", "hostname", "env", "files", "disk", "share", "qemu-args"}

// boolTestFlags are the flags of go test that take no value unless it is joined by "=": "go help
// build", "go help testflag".
var boolTestFlags = []string{
	"a", "artifacts", "asan", "benchmem", "buildvcs", "c", "cover", "failfast", "fullpath", "json",
	"linkshared", "modcacherw", "msan", "n", "race", "short", "trimpath", "v", "work", "x",
}

// refusedTestFlags are those that cannot do in a guest what they are for.
var refusedTestFlags = map[string]string{
	"exec": "goshawk test sets -exec itself", "overlay": "goshawk test sets -overlay itself",
	"race": "the race detector needs cgo", "msan": "it needs cgo", "asan": "it needs cgo",
	"fuzz":      "fuzzing starts processes; without it the seeds run as tests",
	"artifacts": profileRefused, "blockprofile": profileRefused, "coverprofile": profileRefused,
	"cpuprofile": profileRefused, "memprofile": profileRefused, "mutexprofile": profileRefused,
	"trace": profileRefused,
}

const profileRefused = "files that a test writes do not leave the guest"

func parseTest(args []string) (*testLine, error) {
	l := new(testLine)
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "-args" || arg == "--args" {
			l.args = args[i:]
			break
		}
		if !strings.HasPrefix(arg, "-") || arg == "-" {
			l.packages = append(l.packages, arg)
			continue
		}
		name, value, joined := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(arg, "-"), "-"), "=")
		name = strings.TrimPrefix(name, "test.")
		boolean := slices.Contains(boolTestFlags, name)
		if name == "h" || name == "help" {
			l.help = true
			return l, nil
		}
		if !joined && !boolean {
			if i++; i == len(args) {
				return nil, usagef("flag -%s needs a value", name)
			}
			value = args[i]
		}
		on := boolean
		if boolean && joined && name != "v" {
			var err error
			if on, err = strconv.ParseBool(value); err != nil && name != "buildvcs" {
				return nil, usagef("invalid value %q for flag -%s", value, name)
			}
		}
		if why, refused := refusedTestFlags[name]; refused && (!boolean || on) {
			return nil, usagef("-%s: %s", name, why)
		}
		switch {
		case (name == "share" || name == "disk") && !filepath.IsAbs(value):
			// The tests run in their packages' directories.
			dir, err := os.Getwd()
			if err != nil {
				return nil, err
			}
			l.own = append(l.own, "-"+name+"="+strings.ReplaceAll(dir, ",", ",,")+"/"+value)
		case slices.Contains(ownTestFlags, name):
			l.own = append(l.own, "-"+name+"="+value)
		case name == "tags":
			l.tags = value
		case name == "vet":
			l.vet = value
		case name == "o":
			l.output = value
		case name == "c":
			l.compile = on
		case boolean && !joined:
			l.verbose = l.verbose || name == "x"
			l.flags = append(l.flags, "-"+name)
		default:
			l.verbose = l.verbose || name == "x" && on
			l.flags = append(l.flags, "-"+name+"="+value)
		}
	}
	if l.output != "" && !l.compile {
		return nil, usagef("-o goes with -c")
	}
	return l, nil
}

// runTest is goshawk test.
func runTest(ctx context.Context, args []string) (int, error) {
	l, err := parseTest(args)
	if err != nil {
		return 0, err
	}
	if l.help {
		fmt.Print(testCommand().help())
		return 0, nil
	}
	// What is wrong with goshawk's flags is said once and now, not by each package.
	s, _, err := execFlags(l.own)
	if err != nil {
		return 0, err
	}
	if !l.compile {
		if _, err := s.machine.new(); err != nil {
			return 0, err
		}
	}
	t, err := goos.Find(ctx, ".")
	if err != nil {
		return 0, err
	}
	if status, err := l.runVet(ctx, t); err != nil || status != 0 {
		return status, err
	}
	overlay, err := t.TestOverlay(ctx, l.tags, l.listFlags(), l.packages, os.Stderr)
	if err != nil {
		return 0, err
	}
	test := append([]string{"test"}, goos.TestArgs(t, overlay)...)
	if l.tags != "" {
		test = append(test, "-tags=goshawk,"+l.tags)
	}
	test = append(test, l.flags...)
	if l.compile {
		return l.compileTests(ctx, t, test)
	}
	runner, err := l.runner()
	if err != nil {
		return 0, err
	}
	test = append(test, "-exec="+runner)
	return l.goCommand(ctx, t, slices.Concat(test, l.packages, l.args))
}

// runner returns the value of -exec: this program's exec-test verb with goshawk's flags.
func (l *testLine) runner() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	words := append([]string{self, "exec-test"}, l.own...)
	if l.verbose {
		words = append(words, "-x")
	}
	for i, w := range words {
		// The go command knows quotes and no backslashes.
		switch {
		case !strings.ContainsAny(w, " \t\n\r'\""):
		case !strings.Contains(w, "'"):
			words[i] = "'" + w + "'"
		case !strings.Contains(w, `"`):
			words[i] = `"` + w + `"`
		default:
			return "", fmt.Errorf("%s: the go command cannot pass on both kinds of quotes", w)
		}
	}
	return strings.Join(words, " "), nil
}

// runVet does what go test does before it runs tests. It is done apart since the go command's vet
// does not see the overlay's packages.
func (l *testLine) runVet(ctx context.Context, t *goos.Toolchain) (int, error) {
	if l.vet == "off" {
		return 0, nil
	}
	// defaultVetFlags of cmd/go/internal/test.
	checks := []string{
		"atomic", "bools", "buildtag", "directive", "errorsas", "ifaceassert", "nilfunc", "printf", "slog",
		"stringintconv", "tests",
	}
	if goversion.Compare(t.Version, "go1.27") >= 0 {
		checks = append(checks, "stdversion")
	}
	switch l.vet {
	case "":
	case "all":
		checks = nil
	default:
		checks = strings.Split(l.vet, ",")
	}
	args := []string{"vet"}
	for _, c := range checks {
		args = append(args, "-"+c)
	}
	args = append(args, l.listFlags("n", "x")...)
	if l.tags != "" {
		args = append(args, "-tags="+l.tags)
	}
	return l.goCommand(ctx, t, append(args, l.packages...))
}

// listFlags returns those of go test's flags that say how packages are found, and the others named.
func (l *testLine) listFlags(others ...string) []string {
	var flags []string
	for _, f := range l.flags {
		name, _, _ := strings.Cut(strings.TrimPrefix(f, "-"), "=")
		if name == "mod" || name == "modfile" || slices.Contains(others, name) {
			flags = append(flags, f)
		}
	}
	return flags
}

// compileTests makes images of the test binaries.
func (l *testLine) compileTests(ctx context.Context, t *goos.Toolchain, test []string) (int, error) {
	tmp, err := os.MkdirTemp("", "goshawk-test-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(tmp)
	binaries := tmp + string(filepath.Separator)
	status, err := l.goCommand(ctx, t, slices.Concat(test, []string{"-c", "-o", binaries}, l.packages))
	if err != nil || status != 0 {
		return status, err
	}
	made, err := os.ReadDir(tmp)
	if err != nil {
		return 0, err
	}
	output := l.output
	if output == "" {
		output = "."
	}
	stat, err := os.Stat(output)
	isDir := err == nil && stat.IsDir() || strings.HasSuffix(output, "/")
	switch {
	case isDir:
		if err := os.MkdirAll(output, 0o777); err != nil {
			return 0, err
		}
	case len(made) > 1:
		return 0, usagef("-o %s is not a directory, and there are %d packages", output, len(made))
	}
	for _, e := range made {
		out := output
		if isDir {
			out = filepath.Join(output, e.Name())
		}
		if err := image.Finish(filepath.Join(tmp, e.Name()), out, image.Options{}); err != nil {
			return 0, fmt.Errorf("making the image %s: %w", out, err)
		}
	}
	return 0, nil
}

// goCommand runs the go command on this process's console and returns its exit status.
func (l *testLine) goCommand(ctx context.Context, t *goos.Toolchain, args []string) (int, error) {
	cmd := exec.CommandContext(ctx, t.Go, args...)
	cmd.Env = t.Env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// From the terminal a signal reaches the go command too, which stops its tests by it.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if l.verbose {
		var b strings.Builder
		for _, arg := range cmd.Args {
			quoted, err := syntax.Quote(arg, syntax.LangBash)
			if err != nil {
				return 0, err
			}
			b.WriteString(quoted + " ")
		}
		printCommand(strings.TrimSpace(b.String()))
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// execFlags parses goshawk's own flags of a test.
func execFlags(args []string) (*execSettings, []string, error) {
	var s execSettings
	fs := flag.NewFlagSet("test", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	s.machine.define(fs, 2, qemu.GiB)
	fs.Func("files", "", func(dir string) error {
		dir, err := filepath.Abs(dir)
		s.files = append(s.files, dir)
		return err
	})
	fs.BoolVar(&s.verbose, "x", false, "")
	if err := fs.Parse(args); err != nil {
		return nil, nil, usageError{err}
	}
	return &s, fs.Args(), nil
}
