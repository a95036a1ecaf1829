package nucleus_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestObjectsNeedNoRuntime holds the rule of the package comment: code that runs
// in nucleus mode must not allocate, store pointers with a write barrier, defer,
// build strings or copy large structures. What the compiler needs for any of
// these is a function of package runtime, which the object file then refers to.
// The names below are all that may occur.
func TestObjectsNeedNoRuntime(t *testing.T) {
	allowed := map[string]bool{
		"runtime..inittask":       true, // order of initialisation
		"runtime.memequal_varlen": true, // in type descriptors only
		"runtime.panicBounds":     true, // index out of range: a fatal report
		"runtime.nanotime":        true, // thread mode (api.go)
	}
	for _, pkg := range []string{
		"kernel/nucleus", "kernel/machine/acpi", "kernel/machine/drbg", "kernel/machine/phys",
		"kernel/machine/pvclock", "kernel/machine/pvh", "kernel/machine/rtc", "arch/amd64",
	} {
		object := output(t, "go", "list", "-export", "-tags=goshawk", "-f={{.Export}}", "github.com/goshawk-os/goshawk/"+pkg)
		symbols := output(t, "go", "tool", "nm", strings.TrimSpace(object))
		count := 0
		for line := range strings.Lines(symbols) {
			count++
			field := strings.Fields(line)
			if len(field) < 2 || field[len(field)-2] != "U" {
				continue
			}
			name := field[len(field)-1]
			if strings.HasPrefix(name, "runtime.") && !allowed[name] {
				t.Errorf("%s needs %s", pkg, name)
			}
		}
		require.NotZero(t, count, "%s: no symbols", pkg)
	}
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	require.NoError(t, err, "%s %s", name, strings.Join(args, " "))
	return string(out)
}
