package net

// Every program that can open a socket has the network stack, and the stack
// is there before this package is used.
import "goshawk/boot/network"

// goshawkAwaitNetwork waits while the machine is still finding out which name
// servers there are: this package would not look again for five seconds.
func goshawkAwaitNetwork() { network.Await() }
