// Package machine_test holds the rules that the packages below this folder share.
package machine_test

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// packages can all be called before the Go runtime exists.
var packages = []string{"acpi", "drbg", "phys", "pvclock", "pvh", "rtc", "tsc"}

// allowed are the runtime functions that their code may call: they need no g but the current one,
// no allocator and no scheduler. Those of the second line end in a report of the nucleus.
var allowed = regexp.MustCompile(`^(` +
	`runtime\.(memmove|memclrNoHeapPointers|memequal|duffzero|duffcopy)|` +
	`runtime\.(morestack_noctxt|panicBounds|panicdivide|panicshift|panicSlice\w*|panicIndex\w*)|` +
	`github\.com/goshawk-os/goshawk/kernel/machine/.*` +
	`)\(SB\)$`)

var (
	function = regexp.MustCompile(`^(\S+) STEXT `)
	wrapper  = regexp.MustCompile(`\tTEXT\t\S+, \S*WRAPPER`)
	call     = regexp.MustCompile(`\t(?:CALL|DUFFZERO|DUFFCOPY)\t(\S+)`)
)

// TestObjects reads the compiler's listing of each package: no call to anything but the allowed
// functions (so no allocation, no write barrier, no defer), no indirect call, no initialiser.
func TestObjects(t *testing.T) {
	for _, name := range packages {
		t.Run(name, func(t *testing.T) {
			for _, complaint := range complaints(t, listing(t, "./"+name)) {
				t.Error(complaint)
			}
		})
	}
}

// TestObjectsOfOffender shows that the check above finds what it looks for.
func TestObjectsOfOffender(t *testing.T) {
	text := strings.Join(complaints(t, listing(t, "./testdata/offender")), "\n")
	for _, want := range []string{"runtime.newobject", "runtime.gcWriteBarrier", "indirect", "init"} {
		require.Contains(t, text, want)
	}
}

func listing(t *testing.T, pkg string) string {
	t.Helper()
	out, err := exec.Command("go", "build", "-gcflags=-S", pkg).CombinedOutput()
	require.NoError(t, err, string(out))
	return string(out)
}

func complaints(t *testing.T, listing string) (found []string) {
	t.Helper()
	name, skip, functions := "", false, 0
	for line := range strings.Lines(listing) {
		line = strings.TrimRight(line, "\n")
		if m := function.FindStringSubmatch(line); m != nil {
			name = m[1]
			skip = strings.HasPrefix(name, "type:") // equality, for map keys and interfaces
			functions++
			if strings.HasSuffix(name, ".init") {
				found = append(found, name+": has an initialiser")
			}
			continue
		}
		if wrapper.MatchString(line) {
			skip = true // of a value method, for interfaces: linked only if one is used
		}
		m := call.FindStringSubmatch(line)
		if m == nil || skip || allowed.MatchString(m[1]) {
			continue
		}
		if !strings.HasSuffix(m[1], "(SB)") {
			found = append(found, name+": indirect call through "+m[1])
			continue
		}
		found = append(found, name+": calls "+m[1])
	}
	require.Positive(t, functions, "the listing holds no function")
	return found
}
