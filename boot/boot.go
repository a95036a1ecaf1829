//go:build goshawk

// Package boot is the guest's list of subsystems, in the order in which they start. The nucleus runs
// already, and so does the Go runtime on top of it; package os and the program come after.
package boot

import (
	"sync"
	_ "unsafe" // for linkname

	"github.com/goshawk-os/goshawk/kernel/linux"
	"github.com/goshawk-os/goshawk/kernel/nucleus"
	"github.com/goshawk-os/goshawk/kernel/stackroom"
)

func init() { startKernel() }

var once sync.Once

// startKernel starts the kernel, once. Calls on files that come before this package is initialised make
// it start then, so nothing here and in what it uses may need the initialisation of a package.
//
//go:linkname startKernel goshawk.startKernel
func startKernel() { once.Do(start) }

func start() {
	stackroom.GrowProgram()
	o := readOptions(nucleus.CommandLine())
	total, _ := nucleus.MemInfo()

	space, err := newRoot(nucleus.EmbeddedRoot(), int64(total/2))
	check(err)
	check(mountModule(space, o.tar, nucleus.Module(), int64(total/2)))
	check(addProgram(space, o.args[0], nucleus.Image()))
	check(mountDevices(space, nucleus.Random, addDisks))
	check(mountProc(space, o.args))
	check(mountDisks(space, o.mounts))
	check(mountShares(space, o.shares))
	check(changeDirectory(space, o.cwd))
	linux.Start(space, o.framed)

	for _, word := range o.unknown {
		warn("unknown option on the kernel's command line, ignored: " + word +
			" (arguments of the program come after a word --)")
	}
}

// failure is the exit status of a kernel that cannot start.
const failure = 125

// check ends the machine if a part of the kernel could not start.
func check(err error) {
	if err != nil {
		warn(err.Error())
		nucleus.Exit(failure)
	}
}

func warn(text string) { nucleus.ConsoleWrite([]byte("goshawk: " + text + "\r\n")) }
