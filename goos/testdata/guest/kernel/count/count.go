// Package count counts calls.
package count

import "sync/atomic"

var calls atomic.Uintptr

// Add counts one call.
//
//go:nosplit
func Add() { calls.Add(1) }

// Calls returns how many were counted.
//
//go:nosplit
func Calls() uintptr { return calls.Load() }
