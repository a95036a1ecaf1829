//go:build !goshawk

package linux

import (
	"testing"

	"github.com/goshawk-os/goshawk/fs/tmpfs"
	"github.com/goshawk-os/goshawk/fs/vfs"
	"github.com/stretchr/testify/require"
)

// The state of a new process.
var (
	newLimits      = process.limits
	newAttributes  = process.attributes
	newCredentials = process.credentials
)

func resetProcess() {
	for _, fd := range Descriptors() {
		closeFD(fd) // the names of sockets are not the process's
	}
	process = processState{limits: newLimits, attributes: newAttributes, credentials: newCredentials}
}

// reset starts the personality anew, on an empty root with /tmp and /dev/null.
func reset(t *testing.T) {
	t.Helper()
	resetProcess()
	console = terminal{}
	fifos = fifoTable{}
	host.mu.Lock()
	host.polls, host.signals, host.output = nil, nil, nil
	host.mu.Unlock()
	for i := range unsupportedCalls {
		unsupportedCalls[i].Store(0)
	}
	kept.list = nil
	space := vfs.New(tmpfs.New(tmpfs.Options{}))
	require.NoError(t, space.Mkdir(nil, "/tmp", 0o777))
	require.NoError(t, space.Chmod(nil, "/tmp", 0o755, 0))
	Start(space, true)
	console.feed([]byte{frameEscape, frameStart})
}
