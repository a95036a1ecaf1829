//go:build linux && amd64

// Conformance runs the standard library's own tests, unmodified, in the guest and on Linux as root
// without processes, and writes docs/conformance.md: where the two differ, and why.
//
// Usage: go run ./qemu/conformance [flags] [packages]
//
// Without packages it runs all it knows. Results are kept in out/conformance, keyed by the content of
// the two test binaries, so an interrupted run goes on where it was. The exit status is 1 if the guest
// fails a test that Linux passes and reasons.go does not say why.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/goshawk-os/goshawk/goos"
)

// A runner runs the tests of packages on both sides.
type runner struct {
	toolchain *goos.Toolchain
	goroot    string   // the Go distribution that the toolchain's GOROOT links to
	shipped   []string // directories of the toolchain's GOROOT that the guest gets
	overlay   string
	goshawk   string // the goshawk command
	self      string
	out       string // where results, logs and binaries are kept
	force     bool
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == confinedVerb {
		fail(runConfined(os.Args[2:]))
	}
	var r runner
	parallel := flag.Int("p", 1, "number of `packages` to run at a time")
	document := flag.String("o", "docs/conformance.md", "the `file` to write")
	flag.StringVar(&r.out, "work", "out/conformance", "`directory` of results, logs and test binaries")
	flag.BoolVar(&r.force, "force", false, "run what has a result too")
	reportOnly := flag.Bool("report", false, "run nothing, write the document from the results there are")
	flag.Usage = func() {
		fmt.Fprint(os.Stderr, "usage: go run ./qemu/conformance [flags] [packages of the standard library]\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if *parallel < 1 {
		fail(fmt.Errorf("-p %d: at least one package runs at a time", *parallel))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	fail(r.prepare(ctx))
	packages, err := r.list(ctx, flag.Args())
	fail(err)
	if !*reportOnly {
		r.runAll(ctx, packages, *parallel)
	}
	all := packages
	if flag.NArg() > 0 {
		all, err = r.list(ctx, nil)
		fail(err)
	}
	report, err := r.report(all)
	fail(err)
	fail(os.WriteFile(*document, []byte(report.text), 0o666))
	fail(ctx.Err())
	bad := len(report.unexplained) > 0
	for _, line := range report.unexplained {
		fmt.Println("unexplained:", line)
	}
	for _, p := range packages {
		if slices.Contains(report.missing, p.path) {
			fmt.Println("no result:", p.path)
			bad = true
		}
	}
	if bad {
		os.Exit(1)
	}
}

func fail(err error) {
	if err == nil {
		return
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	fmt.Fprintln(os.Stderr, "conformance:", err)
	os.Exit(1)
}

// prepare finds the toolchain, makes the overlay and builds the goshawk command, once for all packages:
// they all run on the same kernel, even if its sources change meanwhile.
func (r *runner) prepare(ctx context.Context) error {
	if os.Getuid() != 0 {
		return errors.New("the comparison is with Linux as root: run it as root, for example with sudo -E")
	}
	var err error
	if r.self, err = os.Executable(); err != nil {
		return err
	}
	if r.out, err = filepath.Abs(r.out); err != nil {
		return err
	}
	if err := os.MkdirAll(r.out, 0o777); err != nil {
		return err
	}
	if r.toolchain, err = goos.Find(ctx, "."); err != nil {
		return err
	}
	if r.goroot, err = filepath.EvalSymlinks(filepath.Join(r.toolchain.GOROOT, "bin")); err != nil {
		return err
	}
	r.goroot = filepath.Dir(r.goroot)
	sources, err := os.ReadDir(filepath.Join(r.goroot, "src"))
	if err != nil {
		return err
	}
	for _, dir := range []string{"test", "api", "doc"} {
		r.shipped = append(r.shipped, filepath.Join(r.toolchain.GOROOT, dir))
	}
	for _, e := range sources {
		if e.IsDir() {
			r.shipped = append(r.shipped, filepath.Join(r.toolchain.GOROOT, "src", e.Name()))
		}
	}
	if r.overlay, err = r.toolchain.NetworkOverlay(ctx, "amd64", os.Stderr); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(r.out, "goshawk-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	// By renaming: another run may be using the command.
	r.goshawk = filepath.Join(r.out, "goshawk")
	build := r.goCommand(ctx, "build", "-o", filepath.Join(tmp, "goshawk"), "./cmd/goshawk")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building cmd/goshawk: %w: %s", err, out)
	}
	return os.Rename(filepath.Join(tmp, "goshawk"), r.goshawk)
}

func (r *runner) goCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, r.toolchain.Go, args...)
	cmd.Env = r.toolchain.Env
	return cmd
}

// list returns the packages of the standard library that match the patterns, or all, and that have
// tests and no place in the excluded ones.
func (r *runner) list(ctx context.Context, patterns []string) ([]testPackage, error) {
	if len(patterns) == 0 {
		patterns = []string{"std"}
	}
	const format = `{{if and .Standard (or .TestGoFiles .XTestGoFiles)}}{{.ImportPath}} {{.Dir}}{{end}}`
	// Patterns do not follow links.
	cmd := r.goCommand(ctx, append([]string{"list", "-f", format}, patterns...)...)
	cmd.Env = append(cmd.Env, "GOROOT="+r.goroot)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", strings.Join(patterns, " "), err)
	}
	var packages []testPackage
	for line := range strings.Lines(string(out)) {
		path, dir, ok := strings.Cut(strings.TrimSpace(line), " ")
		if ok && !strings.HasPrefix(path, "vendor/") && excluded(path) == "" {
			packages = append(packages, testPackage{path: path, dir: dir, settings: settingsOf(path)})
		}
	}
	if len(packages) == 0 {
		return nil, fmt.Errorf("no package with tests to run here matches %s", strings.Join(patterns, " "))
	}
	return packages, nil
}

// runAll runs the packages, parallel at a time, and prints a line for each.
func (r *runner) runAll(ctx context.Context, packages []testPackage, parallel int) {
	var group sync.WaitGroup
	slots := make(chan struct{}, parallel)
	for _, p := range packages {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		group.Go(func() {
			defer func() { <-slots }()
			start := time.Now()
			res, cached, err := r.run(ctx, p)
			switch {
			case ctx.Err() != nil:
			case err != nil:
				fmt.Printf("%s: %v\n", p.path, err)
			case cached:
				fmt.Printf("%s: known\n", p.path)
			default:
				d := res.differences()
				fmt.Printf("%s: guest %v, Linux %v, %d different, %.0f s\n", p.path, res.Guest.count(), res.Linux.count(),
					len(d), time.Since(start).Seconds())
				for _, d := range d {
					fmt.Printf("\t%s\n", d)
				}
			}
		})
	}
	group.Wait()
}
