//go:build !goshawk

package linux

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write docs/syscalls.md from the call table")

const syscallsDocument = "../../docs/syscalls.md"

// TestDocument holds docs/syscalls.md to the call table.
func TestDocument(t *testing.T) {
	text := document()
	if *update {
		require.NoError(t, os.WriteFile(syscallsDocument, []byte(text), 0o644))
	}
	have, err := os.ReadFile(syscallsDocument)
	require.NoError(t, err)
	assert.Equal(t, text, string(have), "docs/syscalls.md is not what the call table says: go test ./kernel/linux -run TestDocument -update")
}

func document() string {
	count := map[level]int{}
	var rows strings.Builder
	for num, c := range calls {
		if c.name == "" {
			continue
		}
		count[c.level]++
		note := c.note
		if note == "" && c.level == missing {
			note = "ENOSYS"
		}
		fmt.Fprintf(&rows, "| %d | %s | %s | %s |\n", num, c.name, [...]string{"missing", "refused", "partial", "full"}[c.level], note)
	}
	return fmt.Sprintf(`# System calls

What stands behind each Linux system call (amd64) that a program makes. This page is generated from
the call table, kernel/linux/calls_amd64.go, by `+"`go test ./kernel/linux -run TestDocument -update`"+`.

- **full** (%d): as on Linux, for a program that is the only process and runs as root.
- **partial** (%d): the note says what is different or left out.
- **refused** (%d): always the same error, as a Linux that is locked down may answer.
- **missing** (%d): ENOSYS. /proc/goshawk/syscalls counts who asks.

Of the calls that wait, only pause ends with EINTR. The Go runtime has its signal handlers restart
calls, and those which Linux never restarts (signal(7)) just go on waiting: poll, select, epoll_wait,
nanosleep.

An address that is not mapped, other than those of page zero, is a fault in the calling goroutine and
not EFAULT.

| number | call | support | note |
|---:|---|---|---|
%s`, count[full], count[partial], count[refused], count[missing], rows.String())
}

func TestTable(t *testing.T) {
	seen := map[string]int{}
	for num, c := range calls {
		if c.name == "" {
			assert.Zero(t, c.level, num)
			continue
		}
		other, twice := seen[c.name]
		assert.False(t, twice, "%s is %d and %d", c.name, other, num)
		seen[c.name] = num
		carriers := 0
		for _, has := range []bool{c.do != nil, c.socket != nil, c.raw} {
			if has {
				carriers++
			}
		}
		assert.Equal(t, c.level != missing, carriers == 1, c.name)
		assert.LessOrEqual(t, carriers, 1, c.name)
		assert.NotContains(t, c.note, "|", c.name)
		if c.level == partial || c.level == refused {
			assert.NotEmpty(t, c.note, c.name)
		}
	}
	assert.Equal(t, syscall.SYS_OPENAT, seen["openat"])
	assert.Equal(t, syscall.SYS_PRLIMIT64, seen["prlimit64"])
}

func TestUnsupportedIsCounted(t *testing.T) {
	k := goshawkKernel(t)
	for range 3 {
		_, err := k.quiet(syscall.SYS_EXECVE)
		require.Equal(t, syscall.ENOSYS, err)
	}
	_, err := k.quiet(9999)
	require.Equal(t, syscall.ENOSYS, err)
	_, err = k.quiet(400) // a number without a call
	require.Equal(t, syscall.ENOSYS, err)
	counts := map[string]uint32{}
	for name, n := range UnsupportedCalls {
		counts[name] += n
	}
	assert.Equal(t, map[string]uint32{"execve": 3, "unknown": 2}, counts)
}
