package qemu_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/goos"
	"github.com/goshawk-os/goshawk/qemu"
)

// built is a program in both forms: for Linux and as an image.
type built struct{ native, image string }

// build builds the main package at most once for all tests.
func build(t *testing.T, pkg string) built {
	t.Helper()
	once, _ := builds.LoadOrStore(pkg, sync.OnceValues(func() (built, error) {
		dir, err := scratch()
		if err != nil {
			return built{}, err
		}
		b := built{filepath.Join(dir, filepath.Base(pkg)), filepath.Join(dir, filepath.Base(pkg)+".elf")}
		if out, err := exec.Command("go", "build", "-o", b.native, pkg).CombinedOutput(); err != nil {
			return b, fmt.Errorf("go build: %w\n%s", err, out)
		}
		var messages bytes.Buffer
		_, err = goos.Build(context.Background(),
			goos.BuildOptions{Package: pkg, Output: b.image, Stdout: &messages, Stderr: &messages})
		if err != nil {
			return b, fmt.Errorf("%w\n%s", err, messages.String())
		}
		return b, nil
	}))
	b, err := once.(func() (built, error))()
	require.NoError(t, err)
	return b
}

var (
	builds  sync.Map // of functions, by package
	scratch = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "goshawk-qemu-") })
)

func TestMain(m *testing.M) {
	status := m.Run()
	if dir, err := scratch(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(status)
}

// runNative runs the program on Linux. Its status after a signal is a shell's: 128 and the signal.
func runNative(t *testing.T, name, input string, env, args []string) (output string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = env
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	require.NoError(t, ctx.Err())
	if wait := cmd.ProcessState.Sys().(syscall.WaitStatus); wait.Signaled() {
		return string(out), 128 + int(wait.Signal())
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// much is a text that has every byte and does not fit any buffer.
var much = strings.Repeat(string(func() (b []byte) {
	for i := range 256 {
		b = append(b, byte(i))
	}
	return b
}()), 400)

// program is one run of guest/prog and what must come of it.
type program struct {
	name    string
	args    []string
	env     []string
	input   string
	status  int
	output  string        // the whole output, if not empty
	parts   []string      // parts of the output, in their order
	options []qemu.Option // of the guest's machine

	guestOnly bool // for what would do harm on Linux
}

const trace = "/qemu/guest/prog/main.go:"

var programs = []program{
	{name: "args", args: []string{"args", "", "a b", "100%", "--", "-x", "ü\n\t", "console=framed"},
		output: `["" "a b" "100%" "--" "-x" "ü\n\t" "console=framed"]` + "\n"},
	{name: "env", args: []string{"env", "A", "EMPTY", "NONE"}, env: []string{"A=b = c%20d", "EMPTY="},
		output: "A=\"b = c%20d\" true\nEMPTY=\"\" true\nNONE=\"\" false\n"},
	{name: "stdin", args: []string{"stdin"}, input: much,
		output: fmt.Sprintf("%d bytes, %x\n", len(much), sha256.Sum256([]byte(much)))},
	{name: "empty stdin", args: []string{"stdin"},
		output: fmt.Sprintf("0 bytes, %x\n", sha256.Sum256(nil))},
	{name: "cat", args: []string{"cat"}, input: "one\n\ntwo\nthree",
		output: "<one>\n<>\n<two>\n<three>\nend\n"},
	{name: "output", args: []string{"output", "5000"}, status: 3, output: numbered(5000)},
	{name: "return", args: []string{"return"}},
	{name: "exit 0", args: []string{"exit", "0"}},
	{name: "exit 1", args: []string{"exit", "1"}, status: 1},
	{name: "exit 255", args: []string{"exit", "255"}, status: 255},
	{name: "exit 256", args: []string{"exit", "256"}, status: 0},
	{name: "exit -1", args: []string{"exit", "-1"}, status: 255},
	{name: "exit from a goroutine", args: []string{"exit-go"}, status: 5, output: "leaving\n"},
	{name: "usage", args: []string{"nonsense"}, status: 64, output: "usage: prog VERB [ARGUMENTS]\n"},

	{name: "panic", args: []string{"panic"}, status: 2,
		parts: []string{"panic: out of birds", "goroutine 1 [running]:", "main.main()", trace}},
	{name: "panic in a goroutine", args: []string{"panic-go"}, status: 2,
		parts: []string{"panic: goroutine number 9", "main.panicInGoroutine.func1()", trace,
			"created by sync.(*WaitGroup).Go in goroutine 1"}},
	{name: "nil", args: []string{"nil"}, status: 2,
		parts: []string{"panic: runtime error: invalid memory address or nil pointer dereference",
			"[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x", "main.main()", trace}},
	{name: "divide", args: []string{"divide"}, status: 2,
		parts: []string{"panic: runtime error: integer divide by zero", "main.main()", trace}},
	{name: "stack overflow", args: []string{"overflow", "50000000"}, status: 2,
		parts: []string{"runtime: goroutine stack exceeds 50000000-byte limit",
			"fatal error: stack overflow", "main.overflow(", trace, "frames elided", "main.main()"}},
	{name: "stack overflow at the usual limit", args: []string{"overflow"}, status: 2,
		parts: []string{"runtime: goroutine stack exceeds 1000000000-byte limit",
			"fatal error: stack overflow", "main.overflow(", trace, "frames elided", "main.main()"},
		options: []qemu.Option{qemu.Memory(2 * qemu.GiB)}},
	{name: "deadlock", args: []string{"deadlock"}, status: 2,
		parts: []string{"fatal error: all goroutines are asleep - deadlock!",
			"goroutine 1 [chan receive]:", "main.main()", trace}},
	{name: "goexit", args: []string{"goexit"}, status: 2,
		parts: []string{"fatal error: no goroutines (main called runtime.Goexit) - deadlock!"}},
	{name: "concurrent map writes", args: []string{"map"}, status: 2,
		parts: []string{"fatal error: concurrent map ", "main.concurrentMap.func1()", trace}},
	{name: "out of memory", args: []string{"exhaust"}, status: 2,
		parts:   []string{"goshawk: out of memory: all ", "SIGBUS: bus error", "main.exhaust("},
		options: []qemu.Option{qemu.Memory(64 * qemu.MiB)}, guestOnly: true},

	{name: "text is read-only", args: []string{"protect", "write-text"}, status: 2,
		parts: []string{"unexpected fault address", "SIGSEGV", "main.breakProtection("}},
	{name: "text is read-only in the direct map", args: []string{"protect", "write-text-alias"}, status: 2,
		parts: []string{"unexpected fault address", "SIGSEGV", "main.breakProtection("}, guestOnly: true},
	{name: "data does not run", args: []string{"protect", "run-data"}, status: 2,
		parts: []string{"SIGSEGV", "main.breakProtection("}},
	{name: "failure of the nucleus", args: []string{"protect", "nucleus"}, status: 125,
		parts: []string{"goshawk: fatal: page fault", "rip 0x", "nucleus.sigprocmask", "nucleus/syscall.go:"}, guestOnly: true},

	{name: "SIGTERM", args: []string{"kill", "15"}, status: 128 + 15},
	{name: "SIGINT", args: []string{"kill", "2"}, status: 128 + 2},
	{name: "SIGKILL", args: []string{"kill", "9"}, status: 128 + 9},
	{name: "SIGQUIT", args: []string{"kill", "3"}, status: 2,
		parts: []string{"SIGQUIT: quit", "goroutine 1 ", "main.kill(", trace}},
	{name: "SIGABRT", args: []string{"kill", "6"}, status: 2, parts: []string{"SIGABRT: abort"}},

	{name: "collector", args: []string{"collect", "300"}, env: []string{"GOGC=1"},
		output: "collected\n"},
	{name: "collector, world stopped, marks checked", args: []string{"collect", "150"},
		env:    []string{"GOGC=1", "GODEBUG=gcstoptheworld=1,gccheckmark=1"},
		output: "collected\n"},
	{name: "collector, freed memory clobbered", args: []string{"collect", "150"},
		env:    []string{"GOGC=1", "GODEBUG=clobberfree=1,invalidptr=1"},
		output: "collected\n"},
	{name: "collector without signals", args: []string{"collect", "150"},
		env:    []string{"GOGC=1", "GODEBUG=asyncpreemptoff=1"},
		output: "collected\n"},
	{name: "scheduler trace", args: []string{"collect", "300"},
		env:   []string{"GOGC=1", "GODEBUG=schedtrace=10"},
		parts: []string{"SCHED 0ms: gomaxprocs=", "collected"}},
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintln(&b, i, strings.Repeat("x", 50))
	}
	return b.String()
}

func (p program) check(t *testing.T, output string, status int) {
	t.Helper()
	assert.Equal(t, p.status, status, "exit status")
	if p.output != "" {
		assert.Equal(t, p.output, output)
	}
	rest := output
	for _, part := range p.parts {
		_, after, found := strings.Cut(rest, part)
		if !assert.True(t, found, "%q is missing or not in its place in:\n%s", part, output) {
			return
		}
		rest = after
	}
	if p.output == "" && p.parts == nil {
		assert.Empty(t, output)
	}
}

// TestPrograms runs each program on Linux, which shows that the test is right, and in a guest.
func TestPrograms(t *testing.T) {
	b := build(t, "./guest/prog")
	for _, p := range programs {
		if !p.guestOnly {
			t.Run("linux/"+p.name, func(t *testing.T) {
				output, status := runNative(t, b.native, p.input, p.env, p.args)
				p.check(t, output, status)
			})
		}
		t.Run("guest/"+p.name, func(t *testing.T) {
			options := append([]qemu.Option{qemu.Args(p.args...), qemu.Env(p.env...), qemu.CPUs(2),
				qemu.Input(strings.NewReader(p.input))}, p.options...)
			r := qemu.Run(t, b.image, options...)
			require.NoError(t, r.Err)
			p.check(t, r.Console, r.Status)
		})
	}
}

// marker calls done once when its text has come by.
type marker struct {
	text string
	done func()
	seen bytes.Buffer
}

func (m *marker) Write(b []byte) (int, error) {
	m.seen.Write(b)
	if m.done != nil && strings.Contains(m.seen.String(), m.text) {
		m.done()
		m.done = nil
	}
	return len(b), nil
}

// TestInterrupt: an interrupt from outside is a SIGINT of the program.
func TestInterrupt(t *testing.T) {
	b := build(t, "./guest/prog")
	for _, cpus := range []int{1, 2} {
		machine := qemu.New(b.image, qemu.Args("wait"), qemu.CPUs(cpus), qemu.Timeout(qemu.RunTimeout))
		started := make(chan struct{})
		output := &marker{text: "waiting\n", done: func() { close(started) }}
		machine.Output = output
		process, err := machine.Start(t.Context())
		require.NoError(t, err)
		go func() {
			select {
			case <-started:
				process.Interrupt()
			case <-t.Context().Done():
			}
		}()
		status, err := process.Wait()
		assert.NoError(t, err)
		assert.Equal(t, 7, status)
		assert.Equal(t, "waiting\nreceived: interrupt\n", output.seen.String())
	}
}

// TestInputComesAsItIs: a program sees a line as soon as it is sent, before the input ends.
func TestInputComesAsItIs(t *testing.T) {
	b := build(t, "./guest/prog")
	r, w := io.Pipe()
	machine := qemu.New(b.image, qemu.Args("cat"), qemu.Input(r), qemu.Timeout(qemu.RunTimeout))
	answered := make(chan struct{})
	output := &marker{text: "<first>\n", done: func() { close(answered) }}
	machine.Output = output
	process, err := machine.Start(t.Context())
	require.NoError(t, err)
	go func() {
		io.WriteString(w, "first\n")
		select {
		case <-answered:
			io.WriteString(w, "second\n")
		case <-t.Context().Done():
		}
		w.Close()
	}()
	status, err := process.Wait()
	assert.NoError(t, err)
	assert.Zero(t, status)
	assert.Equal(t, "<first>\n<second>\nend\n", output.seen.String())
}

// TestMachines runs a program on each kind of machine with each number of CPUs.
func TestMachines(t *testing.T) {
	b := build(t, "../cmd/hello")
	for _, kind := range qemu.Kinds {
		for _, cpus := range []int{1, 2, 4, qemu.MaxCPUs} {
			t.Run(fmt.Sprintf("%s-%d", kind, cpus), func(t *testing.T) {
				r := qemu.Run(t, b.image, qemu.On(kind), qemu.CPUs(cpus), qemu.Args("a", "b c"))
				require.NoError(t, r.Err)
				assert.Zero(t, r.Status)
				assert.Regexp(t, fmt.Sprintf("^Hello, world!\ngo1\\.\\S+ linux/amd64, CPUs: %d, "+
					"arguments: \\[\"a\" \"b c\"\\]\n$", cpus), r.Console)
			})
		}
	}
}

func TestFilesDemo(t *testing.T) {
	b := build(t, "../cmd/files")
	r := qemu.Run(t, b.image)
	require.NoError(t, r.Err)
	assert.Zero(t, r.Status)
	native, status := runNative(t, b.native, "", nil, nil)
	require.Zero(t, status)
	assert.Contains(t, native, "     1  Accipiter gentilis\n")
	assert.Equal(t, shape(native), shape(r.Console))
}

// shape returns the last word of each line, which says nothing of sizes of folders, times and
// random names.
func shape(output string) (words []string) {
	for line := range strings.Lines(output) {
		if fields := strings.Fields(line); len(fields) > 0 && !strings.Contains(line, "/files-") {
			words = append(words, fields[len(fields)-1])
		}
	}
	return words
}

// TestSuites runs the test packages below guest in guests, by goshawk test; files also on an ext4 file
// system, which is IMAGE.
func TestSuites(t *testing.T) {
	dir, err := scratch()
	require.NoError(t, err)
	command := filepath.Join(dir, "goshawk")
	out, err := exec.Command("go", "build", "-o", command, "../cmd/goshawk").CombinedOutput()
	require.NoError(t, err, string(out))
	for _, suite := range []struct {
		pkg   string
		flags []string
	}{
		{"rt", []string{"-cpus=1"}}, {"rt", []string{"-cpus=2"}}, {"rt", []string{"-cpus=4", "-machine=q35"}},
		{"osfile", []string{"-cpus=2"}}, {"osfile", []string{"-cpus=2", "-disk=IMAGE:/data", "-env=TMPDIR=/data"}}, {"proc", []string{"-cpus=1"}}, {"proc", []string{"-cpus=2"}},
		{"sock", []string{"-cpus=1"}}, {"sock", []string{"-cpus=2"}},
	} {
		t.Run(suite.pkg+strings.Join(suite.flags, ""), func(t *testing.T) {
			args := append([]string{"test", "-count=1", "-v", "-timeout=5m"}, suite.flags...)
			for i, a := range args {
				if !strings.Contains(a, "IMAGE") {
					continue
				}
				image := filepath.Join(t.TempDir(), "disk.img")
				e2fs(t, "mke2fs", "-q", "-t", "ext4", image, "256M")
				defer e2fs(t, "e2fsck", "-fn", image)
				args[i] = strings.ReplaceAll(a, "IMAGE", image)
			}
			cmd := exec.CommandContext(t.Context(), command, append(args, "./guest/"+suite.pkg)...)
			out, err := cmd.CombinedOutput()
			t.Logf("%s", out)
			assert.NoError(t, err)
			assert.True(t, bytes.Contains(out, []byte("\nok  \t")), "no test passed")
			assert.False(t, bytes.Contains(out, []byte("--- SKIP")), "a test was skipped")
		})
	}
}

// TestReleases boots a program built by each of the Go releases that Goshawk supports.
func TestReleases(t *testing.T) {
	for _, release := range []string{"go1.26.8", "go1.27.1"} {
		t.Run(release, func(t *testing.T) {
			image := filepath.Join(t.TempDir(), "prog.elf")
			var messages bytes.Buffer
			r, err := goos.Build(t.Context(), goos.BuildOptions{Package: "./guest/prog", Output: image,
				Stdout: &messages, Stderr: &messages, Env: []string{"GOTOOLCHAIN=" + release}})
			require.NoError(t, err, messages.String())
			require.Equal(t, release, r.Toolchain.Version)
			got := qemu.Run(t, image, qemu.CPUs(2), qemu.Env("GOGC=1"), qemu.Args("collect", "300"))
			require.NoError(t, got.Err)
			assert.Equal(t, "collected\n", got.Console)
			got = qemu.Run(t, image, qemu.Args("nil"))
			require.NoError(t, got.Err)
			assert.Equal(t, 2, got.Status)
			assert.Contains(t, got.Console, "main.main()")
		})
	}
}
