package netstack

import (
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"

	"github.com/goshawk-os/goshawk/kernel/stackroom"
)

// clock is gVisor's clock over the machine's own, without a detour through calendar time: TCP reads it
// several times for each segment.
type clock struct {
	tcpip.Clock
	nanotime func() int64
}

// NowMonotonic implements tcpip.Clock.
func (c *clock) NowMonotonic() tcpip.MonotonicTime {
	return tcpip.MonotonicTime{}.Add(time.Duration(c.nanotime()))
}

// AfterFunc implements tcpip.Clock.
func (c *clock) AfterFunc(d time.Duration, f func()) tcpip.Timer {
	return c.Clock.AfterFunc(d, func() {
		stackroom.Grow()
		f()
	})
}
