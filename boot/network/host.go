//go:build goshawk

package network

import (
	"errors"
	"os"
	"path"
	"runtime"
	"time"
	"unsafe"

	"github.com/goshawk-os/goshawk/arch/amd64"
	"github.com/goshawk-os/goshawk/kernel/linux"
	"github.com/goshawk-os/goshawk/kernel/nucleus"
	"github.com/goshawk-os/goshawk/net/netstack"
)

// host is the machine that package configure configures.
type host struct{}

// ReadFile implements configure.Host.
func (host) ReadFile(name string) ([]byte, error) { return os.ReadFile(name) }

// WriteFile implements configure.Host.
func (host) WriteFile(name string, data []byte) error {
	if err := os.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o644)
}

// SetHostname implements configure.Host.
func (host) SetHostname(name string) { linux.SetHostName(name) }

// clock is the machine's wall clock. It is set at once, by a little as by much: what runs by the
// monotonic clock does not notice.
type clock struct{}

// Now implements configure.WallClock.
func (clock) Now() time.Time { return time.Now() }

// Adjust implements configure.WallClock.
func (clock) Adjust(d time.Duration) { nucleus.AdjustWall(int64(d)) }

// startCapture begins to capture into a file, or, if that is "host", into the one that goshawk run has
// opened. "" is no capture.
func startCapture(s *netstack.Stack, name string) error {
	switch name {
	case "":
	case "host":
		if amd64.In8(capturePort) != debugPort {
			return errors.New("nobody listens at port 0xea; start the machine by goshawk run -pcap")
		}
		s.Capture(captureDevice{}, func(error) {})
	default:
		f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		s.Capture(f, func(err error) { warn("capturing ends: " + err.Error()) })
	}
	return nil
}

// capturePort is a second isa-debugcon of QEMU's, which reads as what the first has for its number.
const capturePort, debugPort = 0xea, 0xe9

type captureDevice struct{}

// Write implements io.Writer.
func (captureDevice) Write(p []byte) (int, error) {
	if len(p) > 0 { // it lies in the heap, and so stays where it is
		amd64.OutBytes(capturePort, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		runtime.KeepAlive(p)
	}
	return len(p), nil
}
