//go:build unix && !linux

package qemu

import "errors"

var errNoTap = errors.New("tap devices are Linux's; use user networking or socket=")

func (t Tap) queues(int) int { return 1 }

// CheckTapSupport returns an error that says what keeps this user from using tap devices at all.
func CheckTapSupport() error { return errNoTap }

func (t Tap) check() error { return errNoTap }
