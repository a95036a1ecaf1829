// Prog does what its first argument says. The tests of package qemu run it on Linux and in a guest,
// and judge its output and its exit status.
package main

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

var verbs = map[string]func(args []string){
	"args":     printArgs,
	"env":      printEnv,
	"stdin":    sumInput,
	"cat":      cat,
	"output":   printMuch,
	"where":    where,
	"exit":     exit,
	"exit-go":  exitFromGoroutine,
	"return":   func([]string) {},
	"panic":    func([]string) { panic(errors.New("out of birds")) },
	"panic-go": panicInGoroutine,
	"nil":      func([]string) { **new(*int) = 1 },
	"divide":   func(args []string) { fmt.Println(1 / len(args)) },
	"overflow": overflowStack,
	"deadlock": func([]string) { <-make(chan int) },
	"goexit":   func([]string) { runtime.Goexit() },
	"map":      concurrentMap,
	"kill":     kill,
	"wait":     waitForInterrupt,
	"collect":  collect,
	"protect":  breakProtection,
	"exhaust":  exhaust,
}

func main() {
	if len(os.Args) < 2 || verbs[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: prog VERB [ARGUMENTS]")
		os.Exit(64)
	}
	verbs[os.Args[1]](os.Args[2:])
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "prog:", err)
	os.Exit(1)
}

func printArgs(args []string) { fmt.Printf("%q\n", args) }

func printEnv(args []string) {
	for _, name := range args {
		value, set := os.LookupEnv(name)
		fmt.Printf("%s=%q %v\n", name, value, set)
	}
}

// sumInput reads all input and prints its length and sum.
func sumInput([]string) {
	sum := sha256.New()
	n, err := io.Copy(sum, os.Stdin)
	if err != nil {
		fail(err)
	}
	fmt.Printf("%d bytes, %x\n", n, sum.Sum(nil))
}

// cat answers each line of the input.
func cat([]string) {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Printf("<%s>\n", lines.Text())
	}
	if err := lines.Err(); err != nil {
		fail(err)
	}
	fmt.Println("end")
}

// printMuch prints numbered lines and exits at once: none may be lost.
func printMuch(args []string) {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		fail(err)
	}
	for i := range n {
		fmt.Println(i, strings.Repeat("x", 50))
	}
	os.Exit(3)
}

func where([]string) {
	dir, err := os.Getwd()
	if err != nil {
		fail(err)
	}
	fmt.Println(dir)
}

func exit(args []string) {
	status, err := strconv.Atoi(args[0])
	if err != nil {
		fail(err)
	}
	defer fmt.Println("deferred calls do not run")
	os.Exit(status)
}

func exitFromGoroutine([]string) {
	go func() {
		fmt.Println("leaving")
		os.Exit(5)
	}()
	select {}
}

func panicInGoroutine([]string) {
	var group sync.WaitGroup
	for i := range 10 {
		group.Go(func() {
			if i == 9 {
				panic(fmt.Sprint("goroutine number ", i))
			}
			select {}
		})
	}
	group.Wait()
}

// overflowStack overflows a stack of the given limit in bytes, or of Go's usual one.
func overflowStack(args []string) {
	if len(args) > 0 {
		limit, err := strconv.Atoi(args[0])
		if err != nil {
			fail(err)
		}
		debug.SetMaxStack(limit)
	}
	fmt.Println(overflow(1))
}

// overflow calls itself until the stack has reached its limit.
func overflow(n int) int {
	if n == 0 {
		return 0
	}
	var frame [64]int
	frame[n%64] = n
	return overflow(n+1) + frame[(n+1)%64]
}

func concurrentMap([]string) {
	m := map[int]int{}
	for range 4 {
		go func() {
			for i := 0; ; i++ {
				m[i%100] = i
			}
		}()
	}
	time.Sleep(time.Minute)
}

// kill sends the program a signal that it does nothing about.
func kill(args []string) {
	number, err := strconv.Atoi(args[0])
	if err != nil {
		fail(err)
	}
	if err := syscall.Kill(syscall.Getpid(), syscall.Signal(number)); err != nil {
		fail(err)
	}
	time.Sleep(time.Minute)
}

func waitForInterrupt([]string) {
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	fmt.Println("waiting")
	fmt.Println("received:", <-interrupts)
	os.Exit(7)
}

type node struct {
	left, right *node
	value       int
}

func grow(depth, value int) *node {
	if depth == 0 {
		return &node{value: value}
	}
	return &node{grow(depth-1, 2*value), grow(depth-1, 2*value+1), value}
}

func (n *node) sum() int {
	if n == nil {
		return 0
	}
	return n.value + n.left.sum() + n.right.sum()
}

// collect allocates trees, maps, strings and channels of several goroutines and checks them.
func collect(args []string) {
	rounds, err := strconv.Atoi(args[0])
	if err != nil {
		fail(err)
	}
	const depth = 9
	const nodes = 1<<(depth+1) - 1
	var group sync.WaitGroup
	for g := range 4 {
		group.Go(func() {
			kept := grow(depth, 1)
			names := map[string][]int{}
			for round := range rounds {
				name := fmt.Sprint(g, "/", round%7)
				names[name] = append(slices.Clone(names[name]), round)
				if sum := grow(depth, 1).sum(); sum != nodes*(nodes+1)/2 {
					fail(fmt.Errorf("a fresh tree sums to %d", sum))
				}
				results := make(chan *node)
				go func() { results <- kept.left }()
				if <-results != kept.left {
					fail(errors.New("a pointer changed on its way through a channel"))
				}
			}
			if sum := kept.sum(); sum != nodes*(nodes+1)/2 {
				fail(fmt.Errorf("the kept tree sums to %d", sum))
			}
			count := 0
			for _, list := range names {
				count += len(list)
			}
			if count != rounds {
				fail(fmt.Errorf("the map holds %d numbers", count))
			}
		})
	}
	group.Wait()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	if stats.NumGC < 5 {
		fail(fmt.Errorf("the collector ran only %d times", stats.NumGC))
	}
	fmt.Println("collected")
}

var kept [][]byte

// exhaust allocates until there is no more memory.
func exhaust([]string) {
	for {
		piece := make([]byte, 1<<20)
		for i := 0; i < len(piece); i += 4096 {
			piece[i] = 1
		}
		kept = append(kept, piece)
	}
}

// breakProtection does what the protection of memory must not let pass.
func breakProtection(args []string) {
	data := []byte{0xc3} // RET
	switch args[0] {
	case "write-text":
		*(*byte)(unsafe.Pointer(funcAddress())) = 0xcc
	case "write-text-alias": // in the direct map of physical memory
		*(*byte)(unsafe.Add(unsafe.Pointer(nil), 0xffff_8000_0000_0000+uintptr(funcAddress()))) = 0xcc
	case "run-data":
		code := unsafe.Pointer(&data[0])
		f := unsafe.Pointer(&code)
		(*(*func())(unsafe.Pointer(&f)))()
	case "nucleus": // a pointer that the nucleus trusts
		syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, 0, 0x1000, 0, 8, 0, 0)
	}
	fmt.Println("nothing happened")
}

// funcAddress returns an address in the program's text.
func funcAddress() unsafe.Pointer {
	f := breakProtection
	return **(**unsafe.Pointer)(unsafe.Pointer(&f))
}
