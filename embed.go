// Package goshawk carries the source text of the guest: the packages that
// goos lays over GOROOT/src to build a program for the bare machine.
package goshawk

import "embed"

// Sources holds the guest packages by their path below the module's root,
// and below goos/_src the files that replace or join files of GOROOT/src,
// and below goos/_modules those that join packages of other modules.
// It also contains what lies beside them (tests, boot/image); goos chooses.
// go.mod and go.sum say which modules the network stack is made of.
//
//go:embed arch boot drivers fs kernel net goos/_src goos/_modules go.mod go.sum
var Sources embed.FS
