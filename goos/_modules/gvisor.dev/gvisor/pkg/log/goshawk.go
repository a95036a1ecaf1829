// Package log stands in for gVisor's logger: the kernel has its console and no log, and the original
// brings regular expressions, JSON and a second printer along. What gVisor has to say of packets from
// the network is dropped, since a peer could fill the console with it; what it counts is in /proc/net.
package log

import "time"

// Level is a level of detail.
type Level uint32

// The levels.
const (
	Warning Level = iota
	Info
	Debug
)

// A Logger takes messages.
type Logger interface {
	Debugf(format string, v ...any)
	Infof(format string, v ...any)
	Warningf(format string, v ...any)
	IsLogging(level Level) bool
}

type silent struct{}

func (silent) Debugf(string, ...any)   {}
func (silent) Infof(string, ...any)    {}
func (silent) Warningf(string, ...any) {}
func (silent) IsLogging(Level) bool    { return false }

// Log returns the logger.
func Log() Logger { return silent{} }

// BasicRateLimitedLogger returns the logger.
func BasicRateLimitedLogger(time.Duration) Logger { return silent{} }

// Debugf drops a message.
func Debugf(string, ...any) {}

// Infof drops a message.
func Infof(string, ...any) {}

// Warningf drops a message.
func Warningf(string, ...any) {}

// IsLogging reports that messages are dropped.
func IsLogging(Level) bool { return false }

// BugTracebackOnce drops a message.
func BugTracebackOnce(error) {}

// LocalStack returns no stack.
func LocalStack(int) string { return "" }
