// Package rt tests the Go runtime as its users know it: garbage collection, scheduling, timers,
// faults, signals, profiles and traces. Its tests pass on Linux, and unchanged in a guest.
package rt
