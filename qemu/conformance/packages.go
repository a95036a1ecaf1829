//go:build linux && amd64

package main

import (
	"strings"
	"time"
)

// A testPackage is a package of the standard library with tests.
type testPackage struct {
	path, dir string
	settings
}

// settings say how a package's tests run, on both sides.
type settings struct {
	short    bool          // -short
	deadline time.Duration // of one run of the test binary
	memory   string        // of the guest
}

// outside are the packages left out, by pattern, with the reason. The first match counts.
var outside = []struct{ pattern, why string }{
	{"net/http/cgi", "starts processes"},
	{"os/exec/...", "starts processes"},
	{"plugin", "needs cgo"},
	{"runtime/cgo", "needs cgo"},
	{"runtime/race/...", "needs cgo"},
	{"internal/runtime/cgobench", "needs cgo"},
}

// heavy are the packages whose full tests take more than some seconds of a processor; an emulated one
// is ten to thirty times slower. They run with -short, as in the Go distribution's all.bash.
var heavy = []string{
	"archive/...", "compress/...", "crypto/...", "debug/...", "encoding/...", "go/...", "hash/...", "html/...",
	"image/...", "index/...", "internal/...", "math/...", "mime/...", "net/...", "reflect", "regexp/...", "runtime/...",
	"slices", "sort", "strconv", "strings", "bytes", "sync/...", "testing/...", "text/...", "unicode/...", "unique", "weak",
}

func settingsOf(path string) settings {
	s := settings{deadline: 10 * time.Minute, memory: "1G"}
	for _, pattern := range heavy {
		s.short = s.short || match(pattern, path)
	}
	if path == "runtime" {
		s.deadline, s.memory = 40*time.Minute, "2G"
	}
	return s
}

// excluded returns why a package is left out, "" if it is not.
func excluded(path string) string {
	for _, o := range outside {
		if match(o.pattern, path) {
			return o.why
		}
	}
	return ""
}

// match reports whether a package's path matches a pattern: itself, or with /... all below it too.
func match(pattern, path string) bool {
	prefix, below := strings.CutSuffix(pattern, "/...")
	return path == prefix || below && strings.HasPrefix(path, prefix+"/")
}
