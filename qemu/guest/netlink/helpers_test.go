package netlink

import (
	"errors"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
)

// init keeps the main thread to the main goroutine: no test changes its network, which is the one that
// /proc/net shows.
func init() { runtime.LockOSThread() }

// guest reports whether the test runs in a guest.
func guest() bool {
	_, err := os.Stat("/proc/goshawk")
	return err == nil
}

// isolate gives the test a network in which it may change things, and returns its loopback, which is
// up. In a guest that is the machine's.
func isolate(t *testing.T) netlink.Link {
	t.Helper()
	if !guest() {
		runtime.LockOSThread() // and the thread ends with the test
		err := syscall.Unshare(syscall.CLONE_NEWNET)
		if errors.Is(err, syscall.EPERM) {
			t.Skip("needs root on Linux: ", err)
		}
		require.NoError(t, err)
	}
	lo, err := netlink.LinkByName("lo")
	require.NoError(t, err)
	require.NoError(t, netlink.LinkSetUp(lo))
	return lo
}
