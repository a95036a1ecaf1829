//go:build linux && amd64

package main

import (
	"os"
	"os/exec"
	"path"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/goos"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == confinedVerb {
		fail(runConfined(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// TestConfined runs itself confined.
func TestConfined(t *testing.T) {
	const inside = "CONFORMANCE_INSIDE"
	self, err := os.Executable()
	require.NoError(t, err)
	if os.Getenv(inside) == "" {
		cmd := exec.Command(self, confinedVerb, self, "-test.run=^TestConfined$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"=1")
		out, err := cmd.CombinedOutput()
		assert.NoError(t, err, "%s", out)
		assert.Contains(t, string(out), "--- PASS: TestConfined")
		return
	}
	assert.ErrorIs(t, exec.Command(self, "-test.run=^$").Run(), syscall.ENOSYS)
	threads := make(chan int)
	for range 2 {
		go func() {
			runtime.LockOSThread()
			threads <- syscall.Gettid()
			select {}
		}()
	}
	assert.NotEqual(t, <-threads, <-threads, "threads can be made")
}

func TestParse(t *testing.T) {
	toolchain, err := goos.Find(t.Context(), ".")
	require.NoError(t, err)
	r := runner{toolchain: toolchain}
	const mark = "\x16"
	for _, c := range []struct {
		name, output string
		want         outcomes
		culprits     []string
	}{
		{
			"complete",
			mark + "=== RUN   TestA\n" + mark + "=== RUN   TestA/0xc000012345\n" + mark + "--- FAIL: TestA/0xc000012345 (0.00s)\n" +
				mark + "=== NAME  TestA\n" + mark + "--- FAIL: TestA (0.00s)\n" + mark + "=== NAME  \n" + mark + "=== RUN   TestB\n" + mark + "--- SKIP: TestB (0.00s)\n" +
				mark + "=== NAME  \nFAIL\n",
			outcomes{"TestA": failed, "TestA/0x…": failed, "TestB": skipped}, nil,
		},
		{
			"exit in a test",
			mark + "=== RUN   TestA\n" + mark + "--- PASS: TestA (0.00s)\n" + mark + "=== RUN   TestB\n" + mark +
				"=== PAUSE TestB\n" + mark + "=== RUN   TestC\n" + mark + "=== RUN   TestC/sub\nfatal error: x\n",
			outcomes{"TestA": passed}, []string{"TestC"},
		},
		{
			"panic",
			mark + "=== RUN   TestB\n" + mark + "=== RUN   TestC\n" + mark + "--- FAIL: TestC (0.00s)\npanic: x\n",
			nil, []string{"TestC"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, culprits, err := r.parse(t.Context(), testPackage{path: "p"}, []byte(c.output))
			require.NoError(t, err)
			assert.Equal(t, c.culprits, culprits)
			for name, outcome := range c.want {
				assert.Equal(t, outcome, got[name], name)
			}
		})
	}
}

func TestDifferences(t *testing.T) {
	res := result{
		Guest: outcomes{"TestA": failed, "TestA/x": failed, "TestB": failed, "TestC": passed, "TestD": failed, "TestE": skipped},
		Linux: outcomes{
			"TestA": passed, "TestA/x": passed, "TestB": passed, "TestB/x": passed, "TestC": passed, "TestD": failed, "TestE": passed,
		},
	}
	assert.Equal(t, []difference{{"TestA/x", failed}, {"TestB", failed}, {"TestE", skipped}}, res.differences())
	res.Guest = outcomes{wholePackage: failed}
	assert.Equal(t, []difference{{wholePackage, failed}}, res.differences())
}

func TestReasons(t *testing.T) {
	for _, r := range reasons {
		_, err := path.Match(r.test, "")
		assert.NoError(t, err, r.test)
		assert.NotEmpty(t, r.why, r.test)
		assert.Empty(t, excluded(r.pkg), r.pkg)
	}
}
