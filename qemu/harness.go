package qemu

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// TB is what Run needs of a testing.TB.
type TB interface {
	Helper()
	Name() string
	Context() context.Context
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	Failed() bool
	Cleanup(func())
	ArtifactDir() string
}

// RunTimeout is the deadline of a machine that Run starts without the option Timeout.
const RunTimeout = 2 * time.Minute

// A Result is what a machine did.
type Result struct {
	Console string        // all output of the guest
	Status  int           // the exit status it reported
	Elapsed time.Duration // from the start of QEMU to its end
	Err     error         // why there is no exit status; nil if there is one
}

// Run boots an image and waits for its end. The test fails at once if the machine cannot be started,
// for want of QEMU too; how the guest ended is for the caller to judge, by Result.
//
// When the test fails, the command line and the console's log go to the test's log and to a file in
// the directory GOSHAWK_LOGS, or in the test's artifact directory if that is not set.
func Run(t TB, image string, opts ...Option) Result {
	t.Helper()
	m := New(image, opts...)
	if m.Timeout == 0 {
		m.Timeout = RunTimeout
	}
	var console bytes.Buffer
	m.Output = &console
	var command string
	m.Verbose = func(line string) { command = line }
	start := time.Now()
	p, err := m.Start(t.Context())
	if err != nil {
		t.Fatalf("%v", err)
	}
	var r Result
	r.Status, r.Err = p.Wait()
	r.Elapsed = time.Since(start)
	r.Console = console.String()
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		t.Logf("%s", command)
		t.Logf("status %d, error %v, %v; console:\n%s", r.Status, r.Err, r.Elapsed.Round(time.Millisecond), r.Console)
		file, err := keepLog(t, command+"\n\n"+r.Console)
		t.Logf("console log kept in %s (%v)", file, err)
	})
	return r
}

// keepLog writes a failed test's log and returns the file's path.
func keepLog(t TB, text string) (string, error) {
	dir := os.Getenv("GOSHAWK_LOGS")
	if dir == "" {
		dir = t.ArtifactDir()
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(dir, strings.ReplaceAll(t.Name(), "/", "_")+"-*.log")
	if err != nil {
		return "", err
	}
	_, err = io.WriteString(f, text)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return filepath.Clean(f.Name()), err
}
