//go:build linux && amd64

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Outcomes of a test.
const (
	passed  = "pass"
	failed  = "fail"
	skipped = "skip"
)

// wholePackage stands in place of a test's name for what fails and is no test: building, TestMain.
const wholePackage = "(package)"

// outcomes are the results of the tests, subtests too, of a package, by name.
type outcomes map[string]string

// result is what is kept of a package.
type result struct {
	Key          string // what it is a result of
	Guest, Linux outcomes
}

func (r *runner) resultFile(pkg string) string {
	return filepath.Join(r.out, strings.ReplaceAll(pkg, "/", "_")+".json")
}

// known returns the result that is kept of a package, nil if there is none.
func (r *runner) known(pkg string) (*result, error) {
	data, err := os.ReadFile(r.resultFile(pkg))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	res := new(result)
	if err := json.Unmarshal(data, res); err != nil {
		return nil, fmt.Errorf("%s: %w", r.resultFile(pkg), err)
	}
	return res, nil
}

// run runs a package's tests on both sides, unless the result is known.
func (r *runner) run(ctx context.Context, p testPackage) (res *result, cached bool, err error) {
	tmp, err := os.MkdirTemp(r.out, "test-")
	if err != nil {
		return nil, false, err
	}
	defer os.RemoveAll(tmp)
	guest, linux := filepath.Join(tmp, "guest", "guest.test"), filepath.Join(tmp, "linux.test")
	guestError := r.build(ctx, p, guest, "-overlay="+r.overlay, "-tags=goshawk")
	if err := r.build(ctx, p, linux); err != nil {
		return nil, false, err
	}
	h := sha256.New()
	fmt.Fprintln(h, p.settings, r.guestArguments(p), guestError)
	for _, name := range []string{guest, linux} {
		if err := hashFile(h, name); err != nil && (name != guest || guestError == nil) {
			return nil, false, err
		}
	}
	key := fmt.Sprintf("%x", h.Sum(nil))
	res, err = r.known(p.path)
	if err != nil || res != nil && res.Key == key && !r.force {
		return res, true, err
	}
	res = &result{Key: key}
	if guestError != nil {
		res.Guest = outcomes{wholePackage: failed}
		err = os.WriteFile(r.logFile(p, "guest"), []byte(guestError.Error()), 0o666)
	} else {
		res.Guest, err = r.runSide(ctx, p, "guest", guest)
	}
	if err != nil {
		return nil, false, err
	}
	if res.Linux, err = r.runSide(ctx, p, "linux", linux); err != nil {
		return nil, false, err
	}
	data, err := json.MarshalIndent(res, "", "\t")
	if err != nil {
		return nil, false, err
	}
	return res, false, os.WriteFile(r.resultFile(p.path), data, 0o666)
}

// build builds a package's test binary.
func (r *runner) build(ctx context.Context, p testPackage, output string, flags ...string) error {
	args := slices.Concat([]string{"test", "-c", "-vet=off", "-o", output}, flags, []string{p.path})
	if out, err := r.goCommand(ctx, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("go test -c: %w\n%s", err, out)
	}
	return nil
}

func hashFile(h io.Writer, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(h, f)
	return err
}

func (r *runner) logFile(p testPackage, side string) string {
	return filepath.Join(r.out, strings.ReplaceAll(p.path, "/", "_")+"."+side+".log")
}

// guestArguments are those of goshawk exec-test. They ship GOROOT's directories; those of src one by
// one, since in the toolchain's GOROOT they are links.
func (r *runner) guestArguments(p testPackage) []string {
	args := []string{"exec-test", "-cpus=2", "-mem=" + p.memory}
	for _, dir := range r.shipped {
		args = append(args, "-files="+dir)
	}
	return args
}

// maxCrashes bounds how often a test binary that crashes is run again without the test it died in.
const maxCrashes = 20

// runSide runs a test binary on one side until it has said of each test how it went: a test that takes
// the binary with it has failed, and the others run without it.
func (r *runner) runSide(ctx context.Context, p testPackage, side, binary string) (outcomes, error) {
	log, err := os.Create(r.logFile(p, side))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	crashed := make(outcomes)
	for {
		output, status, err := r.runOnce(ctx, p, side, binary, crashed)
		if err != nil {
			return nil, err
		}
		if _, err := log.Write(output); err != nil {
			return nil, err
		}
		got, culprits, err := r.parse(ctx, p, output)
		if err != nil {
			return nil, err
		}
		again := len(culprits) > 0 && len(crashed) < maxCrashes
		for _, c := range culprits {
			crashed[c] = failed
		}
		if again {
			fmt.Fprintf(log, "\nconformance: exit status %d; again without %s\n\n", status, strings.Join(culprits, " "))
			continue
		}
		maps.Copy(got, crashed)
		got[wholePackage] = passed
		if status != 0 && got.count().failed == 0 || len(culprits) > 0 {
			got[wholePackage] = failed
		}
		return got, log.Close()
	}
}

// runOnce runs a test binary once without some tests, and returns its output and exit status.
func (r *runner) runOnce(ctx context.Context, p testPackage, side, binary string, without outcomes) ([]byte, int, error) {
	args := []string{binary, "-test.v=test2json", "-test.paniconexit0", "-test.timeout=" + p.deadline.String()}
	if p.short {
		args = append(args, "-test.short")
	}
	if len(without) > 0 {
		var names []string
		for _, name := range slices.Sorted(maps.Keys(without)) {
			names = append(names, regexp.QuoteMeta(name))
		}
		args = append(args, "-test.skip=^("+strings.Join(names, "|")+")$")
	}
	tmp, err := os.MkdirTemp("", "conformance-")
	if err != nil {
		return nil, 0, err
	}
	defer os.RemoveAll(tmp)
	limited, cancel := context.WithTimeout(ctx, p.deadline+time.Minute)
	defer cancel()
	var cmd *exec.Cmd
	if side == "guest" {
		cmd = exec.CommandContext(limited, r.goshawk, append(r.guestArguments(p), args...)...)
		cmd.Dir = filepath.Join(r.toolchain.GOROOT, "src", p.path)
		cmd.Env = append(r.toolchain.Env, "PWD="+cmd.Dir)
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		cmd.WaitDelay = 10 * time.Second
	} else {
		// The environment is that of goshawk's exec-test.
		cmd = exec.CommandContext(limited, r.self, append([]string{confinedVerb}, args...)...)
		cmd.Env = []string{
			"HOME=/root", "PATH=/usr/local/bin:/usr/bin:/bin", "PWD=" + p.dir, "TMPDIR=" + tmp, "GOROOT=" + r.goroot,
		}
		cmd.Dir = p.dir
	}
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && limited.Err() == nil {
		return nil, 0, err
	}
	return output.Bytes(), cmd.ProcessState.ExitCode(), ctx.Err()
}

// parse reads the output of a test binary. If the binary ended before its tests, culprits are the
// top-level tests that may have ended it.
func (r *runner) parse(ctx context.Context, p testPackage, output []byte) (got outcomes, culprits []string, err error) {
	cmd := r.goCommand(ctx, "tool", "test2json", "-p", p.path)
	cmd.Stdin = bytes.NewReader(output)
	events, err := cmd.Output()
	if err != nil {
		return nil, nil, fmt.Errorf("test2json: %w", err)
	}
	got = make(outcomes)
	running := make(map[string]bool) // those that have begun; false: waiting for others
	decoder := json.NewDecoder(bytes.NewReader(events))
	for decoder.More() {
		var e event
		if err := decoder.Decode(&e); err != nil {
			return nil, nil, fmt.Errorf("test2json: %w", err)
		}
		if e.Test == "" {
			continue
		}
		e.Test = address.ReplaceAllString(e.Test, "0x…")
		switch e.Action {
		case "run", "cont":
			running[topLevel(e.Test)] = true
		case "pause":
			running[topLevel(e.Test)] = topLevel(e.Test) != e.Test
		case passed, failed, skipped:
			if topLevel(e.Test) == e.Test {
				delete(running, e.Test)
			}
			if got[e.Test] != failed {
				got[e.Test] = e.Action
			}
		}
	}
	if verdict.Match(output) {
		return got, nil, nil
	}
	if m := panicked.FindSubmatch(output); m != nil {
		return got, []string{topLevel(string(m[1]))}, nil
	}
	for name, on := range running {
		if on {
			culprits = append(culprits, name)
		}
	}
	slices.Sort(culprits)
	return got, culprits, nil
}

// An event is a line of test2json's output (go doc test2json).
type event struct{ Action, Test string }

var (
	// An address in a test's name is another one each time.
	address = regexp.MustCompile(`0x[0-9a-f]{6,}`)
	// What a test binary prints last.
	verdict = regexp.MustCompile(`(?m)^\x16?(PASS|FAIL)\r?$`)
	// A test that panics is reported, and then the binary ends.
	panicked = regexp.MustCompile(`(?m)^\x16?--- FAIL: (\S+) \(.*\)\r?\npanic: `)
)

func topLevel(test string) string {
	name, _, _ := strings.Cut(test, "/")
	return name
}
