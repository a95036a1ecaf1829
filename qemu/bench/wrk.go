//go:build linux && amd64

package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// A load is what wrk has found.
type load struct {
	requests  float64 // in all
	perSecond float64
	p50, p99  time.Duration
	errors    string // "" for none
}

var (
	wrkRequests = regexp.MustCompile(`(?m)^\s*(\d+) requests in `)
	wrkRate     = regexp.MustCompile(`(?m)^Requests/sec:\s*([0-9.]+)`)
	wrkPart     = regexp.MustCompile(`(?m)^\s*(50|99)%\s+([0-9.]+)(us|ms|s|m)\s*$`)
	wrkErrors   = regexp.MustCompile(`(?m)^\s*(Socket errors: .*|Non-2xx or 3xx responses: .*)$`)
)

// wrk has a number of connections ask for a page again and again, for whole seconds.
func wrk(ctx context.Context, url string, connections int, d time.Duration) (load, error) {
	out, err := exec.CommandContext(ctx, "wrk", "-t1", "-c"+strconv.Itoa(connections),
		fmt.Sprintf("-d%ds", int(d.Seconds())), "--latency", url).CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	return parseWrk(string(out))
}

func parseWrk(out string) (load, error) {
	var l load
	requests, rate := wrkRequests.FindStringSubmatch(out), wrkRate.FindStringSubmatch(out)
	if requests == nil || rate == nil {
		return l, fmt.Errorf("wrk printed %q", out)
	}
	l.requests, _ = strconv.ParseFloat(requests[1], 64)
	l.perSecond, _ = strconv.ParseFloat(rate[1], 64)
	for _, m := range wrkPart.FindAllStringSubmatch(out, -1) {
		d, err := time.ParseDuration(m[2] + m[3])
		if err != nil {
			return l, fmt.Errorf("wrk printed %q", out)
		}
		if m[1] == "50" {
			l.p50 = d
		} else {
			l.p99 = d
		}
	}
	if m := wrkErrors.FindStringSubmatch(out); m != nil {
		l.errors = m[1]
	}
	return l, nil
}
