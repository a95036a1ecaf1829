//go:build goshawk

// The program devices looks for the machine's devices as the network does, and says what it finds.
// Only the guest has the package that it is about.
package main

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"goshawk/boot/devices"
	"goshawk/drivers/virtio/net"
)

func main() {
	report := func(text string) { fmt.Println("report:", text) }
	for i, t := range devices.Networks(report) {
		d, err := net.Open(t, devices.Memory(), net.Options{Pairs: runtime.NumCPU()})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		mac, _ := d.MAC()
		fmt.Printf("network %d: %x\n", i, mac)
	}
	if len(devices.Networks(nil)) == 0 {
		fmt.Println("no network")
	}
	// The kernel's goroutines are at work, and not the program's.
	fmt.Println("goroutines:", runtime.NumGoroutine())
	stacks := make([]byte, 1<<16)
	os.Stdout.Write(stacks[:runtime.Stack(stacks, true)])
	if len(os.Args) > 1 {
		select {} // for ever: nothing of the program is left that could end it
	}
	time.Sleep(time.Second)
}
