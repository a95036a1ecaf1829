package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/qemu"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"goshawk": main})
}

// TestScripts runs the command as its users do: testdata/*.txtar, in the language of
// https://pkg.go.dev/github.com/rogpeppe/go-internal/testscript with "listen VAR", which occupies a
// TCP port and sets VAR to it, "port VAR", which finds a free one, "get URL", "stop URL", and the condition [root].
func TestScripts(t *testing.T) {
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	module, err := filepath.Abs("../..")
	require.NoError(t, err)
	testscript.Run(t, testscript.Params{
		Dir:                "testdata",
		RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("XDG_CACHE_HOME", cache)
			e.Setenv("MODULE", module)
			e.Setenv("LONG", strings.Repeat("x", 4096))
			for _, name := range []string{"GOSHAWK_QEMU", "GOSHAWK_ACCEL", "GOSHAWK_BOOTS", "GOFLAGS", "GOPROXY", "GOMODCACHE", "GOPATH"} {
				if v, ok := os.LookupEnv(name); ok {
					e.Setenv(name, v)
				}
			}
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"get":  func(ts *testscript.TestScript, _ bool, args []string) { ts.Check(get(ts.Stdout(), args[0])) },
			"stop": func(ts *testscript.TestScript, _ bool, args []string) { ts.Check(stop(args[0])) },
			"port": func(ts *testscript.TestScript, _ bool, args []string) {
				addr, err := qemu.FreePort("tcp", netip.MustParseAddr("127.0.0.1"))
				ts.Check(err)
				ts.Setenv(args[0], fmt.Sprint(addr.Port()))
			},
			"listen": func(ts *testscript.TestScript, _ bool, args []string) {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				ts.Check(err)
				ts.Defer(func() { l.Close() })
				_, port, err := net.SplitHostPort(l.Addr().String())
				ts.Check(err)
				ts.Setenv(args[0], port)
			},
		},
	})
}

// client gives up early: QEMU takes connections before the guest does, and then lets them wait for seconds.
var client = http.Client{Timeout: 500 * time.Millisecond, Transport: &http.Transport{DisableKeepAlives: true}}

// get writes what a URL gives as soon as somebody answers there.
func get(w io.Writer, url string) error {
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		resp, err := client.Get(url)
		if err == nil {
			defer resp.Body.Close()
			_, err = io.Copy(w, resp.Body)
			return err
		}
		if time.Since(start) > time.Minute {
			return err
		}
	}
}

// stop asks for a URL that ends the server until nobody listens there, whether or not an answer comes.
func stop(url string) error {
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		resp, err := client.Get(url)
		switch {
		case errors.Is(err, syscall.ECONNREFUSED):
			return nil
		case time.Since(start) > time.Minute:
			return fmt.Errorf("%s: it does not stop: %w", url, err)
		case err == nil:
			resp.Body.Close()
		}
	}
}

func TestParseTest(t *testing.T) {
	l, err := parseTest([]string{
		"-cpus=4", "-run", "^A|B$", "--mem", "2G", "-v", "./a", "-count=1", "./b", "-tags", "x,y", "-short", "-vet=off",
		"-c", "-o", "dir/", "-args", "-cpus", "z",
	})
	require.NoError(t, err)
	assert.Equal(t, &testLine{
		own:      []string{"-cpus=4", "-mem=2G"},
		flags:    []string{"-run=^A|B$", "-v", "-count=1", "-short"},
		packages: []string{"./a", "./b"},
		args:     []string{"-args", "-cpus", "z"},
		tags:     "x,y", vet: "off", output: "dir/", compile: true,
	}, l)

	for text, args := range map[string][]string{
		"-run needs a value":             {"-run"},
		"-o goes with -c":                {"-o", "x"},
		"files that a test writes":       {"-cpuprofile=cpu.out"},
		"the race detector needs cgo":    {"-race"},
		"sets -exec itself":              {"-exec", "x"},
		`invalid value "maybe" for flag`: {"-short=maybe"},
		"do not leave the guest":         {"-test.trace", "t"},
		"fuzzing starts processes":       {"-fuzz=."},
	} {
		_, err := parseTest(args)
		assert.ErrorContains(t, err, text)
	}
	l, err = parseTest([]string{"-race=false", "-v=test2json"})
	require.NoError(t, err)
	assert.Equal(t, []string{"-race=false", "-v=test2json"}, l.flags)
}

func TestRunnerQuotes(t *testing.T) {
	l := &testLine{own: []string{"-env=A=b c", "-env=D='"}, verbose: true}
	r, err := l.runner()
	require.NoError(t, err)
	assert.Contains(t, r, ` exec-test '-env=A=b c' "-env=D='" -x`)
	_, err = (&testLine{own: []string{`-env=A='"`}}).runner()
	assert.Error(t, err)
}
