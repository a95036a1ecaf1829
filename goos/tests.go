package goos

import (
	"context"
	"io"
	"os/exec"
	"slices"
	"strings"
)

// TestArgs returns the flags that make "go test -c" or "go test" of t build
// test binaries for the bare machine with an overlay of t. vet is off since
// the go command's vet does not look for directories in overlays.
func TestArgs(t *Toolchain, overlay string) []string {
	return []string{"-overlay=" + overlay, t.tagsFlag(""), "-vet=off"}
}

// TestOverlay returns the overlay for the tests of packages: NetworkOverlay if
// a test binary of them contains package net, else Overlay. tags are build
// tags as in BuildOptions, flags further flags of go list, packages its
// patterns. What go list finds wrong with them go test is left to tell.
func (t *Toolchain) TestOverlay(ctx context.Context, tags string, flags, packages []string, messages io.Writer) (string, error) {
	overlay, err := t.Overlay("amd64")
	if err != nil {
		return "", err
	}
	args := slices.Concat([]string{"list", "-e", "-test", "-deps", "-f={{.ImportPath}}", "-overlay=" + overlay, t.tagsFlag(tags)}, flags, []string{"--"}, packages)
	cmd := exec.CommandContext(ctx, t.Go, args...)
	cmd.Env = t.Env
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if _, failed := err.(*exec.ExitError); err != nil && !failed {
		return "", err
	}
	for line := range strings.Lines(string(out)) {
		if name, _, _ := strings.Cut(strings.TrimSpace(line), " "); name == networkPackage { // also "net [net.test]"
			return t.NetworkOverlay(ctx, "amd64", messages)
		}
	}
	return overlay, nil
}

// tagsFlag returns the -tags flag with the tag goshawk and extra, or without
// extra the tags in GOFLAGS: as in the go command, one replaces the other.
func (t *Toolchain) tagsFlag(extra string) string {
	if extra == "" {
		extra = t.tags
	}
	if extra == "" {
		return "-tags=goshawk"
	}
	return "-tags=goshawk," + extra
}
