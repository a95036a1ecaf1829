// Suite measures what a Go program gets from the system below it: memory, threads, time. It runs
// unchanged on Goshawk and on Linux, also as Linux's first process, and prints a line "row value unit"
// for each measurement and at last "done".
//
// Usage:
//
//	suite [DURATION]       measure, each row for about the duration
//	suite idle DURATION    print "idle" and sleep
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

func main() {
	args := os.Args[1:]
	if len(args) == 2 && args[0] == "idle" {
		fmt.Println("idle")
		time.Sleep(duration(args[1]))
		return
	}
	each := 300 * time.Millisecond
	if len(args) == 1 {
		each = duration(args[0])
	}
	testing.Init()
	if err := flag.Set("test.benchtime", each.String()); err != nil {
		fatal(err)
	}
	for _, r := range rows {
		runtime.GC()
		fmt.Printf("%s %.4g %s\n", r.name, r.measure(), r.unit)
	}
	fmt.Println("done")
}

func duration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		fatal(err)
	}
	return d
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "suite:", err)
	os.Exit(2)
}
